"""Generates pages of docs/reference from the code: `python -m docs.generator`. A test compares the pages with the code."""
