"""Detectors: properties of answers whose change an audit watches. Pure functions of texts, one module a family."""
