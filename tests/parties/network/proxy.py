"""A proxy on loopback that does what bad networks do: it cuts, holds, delays and throttles."""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class Proxy:
    """Stands between the parties on loopback, forwards, and does what bad networks do.

    `delay` is in seconds for each piece of at most 16 KiB, `rate` in bytes a second (0: no bound). `budget`, once it is
    set, is how many bytes more are forwarded before all connections are cut.
    """

    def __init__(self, to: int) -> None:
        self.delay = 0.0
        self.rate = 0
        self.budget: int | None = None
        self.connections = 0
        self.recorded = bytearray()  # what clients have sent
        self._to = to
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket, threading.Event]] = []
        self._shut = False
        self._port = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._port.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, reset: bool = False) -> None:
        """Close every connection that there is."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for one, other, flows in pairs:
            flows.set()
            for end in (one, other):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def hold(self) -> None:
        """Forward nothing more on the connections that there are, and leave them open."""
        with self._lock:
            for _, _, flows in self._pairs:
                flows.clear()

    def shut(self, shut: bool = True) -> None:
        """From now on, close new connections at once; or take them again."""
        self._shut = shut

    def close(self) -> None:
        """Cut, and take no more."""
        self._port.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._port.accept()
                if self._shut:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                if self._port.fileno() < 0:
                    return
                client.close()
                continue
            flows = threading.Event()
            flows.set()
            with self._lock:
                self.connections += 1
                self._pairs.append((client, server, flows))
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._forward, args=(*ends, flows), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, flows: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 14):
                flows.wait()
                time.sleep(self.delay + (len(data) / self.rate if self.rate else 0.0))
                if source.getsockname()[1] == self.port:
                    self.recorded += data
                with self._lock:
                    left = len(data) if self.budget is None else min(self.budget, len(data))
                    self.budget = None if self.budget is None else self.budget - left
                    spent = self.budget == 0
                target.sendall(data[:left])
                if spent:
                    self.budget = None
                    self.cut()
            target.shutdown(socket.SHUT_WR)
