"""Renders records as token items with a chat template."""
