"""plaudit: human feedback into a better language model."""
