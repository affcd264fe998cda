"""Findings of a run as data: its record, warning signs, and verdict. The report only displays them."""
