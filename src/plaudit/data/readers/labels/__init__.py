"""Finds the columns that label or rate an answer, and the meaning of their values."""
