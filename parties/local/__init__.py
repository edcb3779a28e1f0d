"""What all rooms need of the local machine: safe file access, text that is safe to print, and the command as it was typed."""

__all__: list[str] = []
