"""A page of figures for programs of one's own: plain HTTP at one address, in a thread of its own.

It serves one client at a time, so that many of them cost no more memory or threads than one.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from socketserver import TCPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

CLIENT_PATIENCE = 5.0
"""Seconds in which a client has to send each part of its request, and to take the answer."""

_STOP_LOOK = 0.1  # seconds between two looks whether to stop
_QUEUE = 8  # connections that wait for their turn


@contextlib.contextmanager
def serving_http(address: tuple[str, int], application: Callable[..., Any], name: str) -> Iterator[int]:
    """Serve a WSGI application at `address` in a thread called `name`; yields the port.

    Raises OSError where the port cannot be opened.
    """
    server = _Server(address)
    server.set_app(application)
    thread = threading.Thread(target=server.serve_forever, args=(_STOP_LOOK,), name=name, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Client(WSGIRequestHandler):
    """One request. A client that is slow loses its turn, and nothing is written on the screen."""

    timeout = CLIENT_PATIENCE

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


class _Server(WSGIServer):
    request_queue_size = _QUEUE

    def __init__(self, address: tuple[str, int]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Client)

    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no matter of this party's."""
