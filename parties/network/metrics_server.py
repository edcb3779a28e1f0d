"""A page of figures for programs of one's own: plain HTTP at one address, in threads of its own.

A few clients at a time, each with one deadline from the moment in which it came to that in which it has its answer. So
clients that are slow, drip, or stay cost no more than these few threads, for no longer than that, and nobody waits behind
them: where there are too many, the oldest goes.
"""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from socketserver import TCPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

CLIENT_PATIENCE = 5.0
"""Seconds in which a client has to send its whole request and to take the whole answer."""
MOST_CLIENTS = 8
"""So many are served at a time; one more ends the oldest."""

_QUEUE = 32  # connections that the system keeps until they are taken
_STOP_LOOK = 0.1  # seconds between two looks whether to stop
_END_PATIENCE = 1.0  # seconds in which clients that were cut off are gone


@contextlib.contextmanager
def serving_http(address: tuple[str, int], application: Callable[..., Any], name: str) -> Iterator[int]:
    """Serve a WSGI application at `address` in threads called `name`; yields the port.

    At the end whoever is being served is cut off, and nobody is waited for longer than a second or two. Raises OSError where
    the port cannot be opened.
    """
    server = _Server(address, name)
    server.set_app(application)
    thread = threading.Thread(target=server.serve_forever, args=(_STOP_LOOK,), name=name, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()  # it takes connections and serves none, so it has ended
        server.server_close()
        server.cut_off()


class _TimedSocket(socket.socket):
    """A connection on which nothing waits beyond its deadline, however many calls it takes to read a request.

    (A timeout of `sendall` counts for the whole of it already, and that of each `recv` anew.)
    """

    deadline: float

    def recv_into(self, *arguments: Any, **named: Any) -> int:
        """As that of a socket, for as long as is left."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the client's time is over")
        self.settimeout(left)
        return super().recv_into(*arguments, **named)


class _Client(WSGIRequestHandler):
    """One request. A client that is slow loses its connection, and nothing is written on the screen."""

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""

    def get_stderr(self) -> Any:
        """Where wsgiref writes what went wrong with a client, which is no matter of this party's."""
        return io.StringIO()


class _Server(WSGIServer):
    request_queue_size = _QUEUE

    def __init__(self, address: tuple[str, int], name: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._name = name
        self._clients: dict[threading.Thread, socket.socket] = {}  # the oldest first
        super().__init__(address, _Client)

    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection, whose time begins now."""
        plain, client_address = super().get_request()
        request = _TimedSocket(plain.family, plain.type, plain.proto, plain.detach())
        request.deadline = time.monotonic() + CLIENT_PATIENCE
        request.settimeout(CLIENT_PATIENCE)
        return request, client_address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve it in a thread of its own, once there is room."""
        clients = self._clients = {thread: held for thread, held in self._clients.items() if thread.is_alive()}
        if len(clients) >= MOST_CLIENTS:
            self._end(next(iter(clients)), _END_PATIENCE)
        thread = threading.Thread(target=self._serve, args=(request, client_address), name=self._name, daemon=True)
        clients[thread] = request
        thread.start()

    def cut_off(self) -> None:
        """End all clients; the port is closed, so that there will be no others."""
        until = time.monotonic() + _END_PATIENCE
        for thread in list(self._clients):
            self._end(thread, max(0.0, until - time.monotonic()))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no matter of this party's."""

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)

    def _end(self, thread: threading.Thread, patience: float) -> None:
        with contextlib.suppress(OSError):  # it has gone by itself
            self._clients.pop(thread).shutdown(socket.SHUT_RDWR)
        thread.join(patience)
