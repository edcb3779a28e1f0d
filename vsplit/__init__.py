"""The foundation and the learning: what roles speak (`vsplit.protocol`) and how they train (`vsplit.learn`).

Importing this package imports neither torch nor anything that opens a socket.
"""

__version__ = "0.2.0"
