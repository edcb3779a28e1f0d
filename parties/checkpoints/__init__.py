"""What a run stores on disk until it is finished, and how all parties resume from it."""

__all__: list[str] = []
