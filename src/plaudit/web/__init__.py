"""The feedback application: an HTTP API and the pages on top of it."""
