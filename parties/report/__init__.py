"""The report of a finished run: its contents, its wording, its figures and plots, and the HTML page."""

__all__: list[str] = []
