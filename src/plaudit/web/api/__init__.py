"""Everything that the pages do, as HTTP: one file a subject."""
