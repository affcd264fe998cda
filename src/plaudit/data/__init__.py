"""People's records: read from any layout, split, mixed, checked, and rendered to token items."""
