"""Reads judged answers in any column layout, and decodes the codes of preferences."""
