"""Two or more answers with what people said of them, and what the codes of a preference mean."""
