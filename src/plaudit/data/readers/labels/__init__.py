"""Which columns rate or label an answer, and what their values mean."""
