"""Checks of data before training: which methods it fits, lengths in tokens, contamination."""
