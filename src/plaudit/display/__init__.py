"""Numbers, words and SVG figures for people: one kit for report, web and terminal."""
