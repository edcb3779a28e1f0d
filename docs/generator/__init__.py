"""Writes the pages of docs/reference that are made from the code: `python -m docs.generator`. A test compares them with it."""
