"""The report: what it shows (`content`), its words, its figures, and the page."""
