"""The library: what roles are made of (`protocol`), sealed messages, training, evaluation, and the arithmetic below them.

Importing this package imports neither torch nor anything that opens a socket.
"""

__version__ = "0.2.0"

__all__ = ["__version__"]
