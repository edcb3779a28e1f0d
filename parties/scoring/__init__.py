"""Scores for new people by the model of a finished run."""

__all__: list[str] = []
