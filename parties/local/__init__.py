"""What every package needs from this machine: safe reading and writing of files, text made safe to show, the command line."""

__all__: list[str] = []
