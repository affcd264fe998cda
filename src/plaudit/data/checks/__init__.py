"""What a file or a recipe's data is good for, found before anything is trained on it."""
