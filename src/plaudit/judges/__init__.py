"""Judges: a prompt and its responses in, a ranking or comparisons out."""
