"""The job file that the parties agree on, the party file that stays private, and how both are read and checked."""

__all__: list[str] = []
