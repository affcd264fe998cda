"""`plaudit compare`: several methods on the same preferences and prompts, over seeds, on one frontier."""
