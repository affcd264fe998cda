"""Steps, their order, skipping and resume; the built-in recipes."""
