"""Text in, text out: models that answer conversations."""
