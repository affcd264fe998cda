"""The input of a model: token items, batches within a token budget, and batch layouts."""
