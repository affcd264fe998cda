"""Reading files as records. What decides the training signal is never guessed: it is found in the file or asked."""
