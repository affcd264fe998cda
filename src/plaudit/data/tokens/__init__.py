"""What a model is given: token items, batches of them within a token budget, and their layouts."""
