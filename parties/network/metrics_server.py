"""A plain HTTP server for the metrics of a run, at one address and in threads of its own.

It serves a few clients at a time, each with one deadline for its whole request and answer. So clients that are slow, or stay
connected, cost no more than these few threads and for no longer than that, and no other client waits for them: where there are
too many, the oldest is disconnected.
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
"""Clients served at a time; one more disconnects the oldest."""

_QUEUE = 32  # connections that the system queues until they are accepted
_STOP_LOOK = 0.1  # seconds between two checks whether to stop
_END_PATIENCE = 1.0  # seconds to wait for the threads of disconnected clients


@contextlib.contextmanager
def serving_http(address: tuple[str, int], application: Callable[..., Any], name: str) -> Iterator[int]:
    """Serve a WSGI application at `address` in threads called `name`; yields the port.

    At the end clients are disconnected, and none is waited for longer than a second or two. Raises OSError where the port
    cannot be opened.
    """
    server = _Server(address, name)
    server.set_app(application)
    thread = threading.Thread(target=server.serve_forever, args=(_STOP_LOOK,), name=name, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()  # it accepts connections and serves none, so it has ended
        server.server_close()
        server.disconnect_all()


class _TimedSocket(socket.socket):
    """A connection on which no call waits beyond its deadline, however many calls it takes to read a request.

    (The timeout of `sendall` holds for the whole call already, that of `recv` for each call.)
    """

    deadline: float

    def recv_into(self, *arguments: Any, **named: Any) -> int:
        """As `socket.recv_into`, until the deadline."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the client's time is over")
        self.settimeout(left)
        return super().recv_into(*arguments, **named)


class _Client(WSGIRequestHandler):
    """One request. A slow client loses its connection, and nothing is printed."""

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""

    def get_stderr(self) -> Any:
        """Where wsgiref writes errors of a client, which do not concern this party."""
        return io.StringIO()


class _Server(WSGIServer):
    request_queue_size = _QUEUE

    def __init__(self, address: tuple[str, int], name: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._name = name
        self._clients: dict[threading.Thread, socket.socket] = {}  # the oldest first
        super().__init__(address, _Client)

    def server_bind(self) -> None:
        """Bind without asking a name server for the name of this machine."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection; its deadline is set now."""
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

    def disconnect_all(self) -> None:
        """Disconnect all clients; the port is closed, so no others come."""
        until = time.monotonic() + _END_PATIENCE
        for thread in list(self._clients):
            self._end(thread, max(0.0, until - time.monotonic()))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that disconnected."""

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)

    def _end(self, thread: threading.Thread, patience: float) -> None:
        with contextlib.suppress(OSError):  # it has disconnected already
            self._clients.pop(thread).shutdown(socket.SHUT_RDWR)
        thread.join(patience)
