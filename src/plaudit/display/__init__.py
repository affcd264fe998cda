"""Numbers and words for people, shared by report, web and terminal."""
