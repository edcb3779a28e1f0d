"""An HTTP proxy on loopback that lets CONNECT through, or does what bad ones do."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class HttpProxy:
    """`asked` are the heads that clients have sent. `answers` plays another proxy with a client's socket."""

    def __init__(self, answers: Callable[[socket.socket], None] | None = None) -> None:
        self.asked: list[str] = []
        self.tunnels = 0
        self.passed = bytearray()  # what clients have sent through
        self.to: int | None = None  # a port that is dialled in place of the one that was asked for
        self._answers = answers
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._port = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._port.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close every tunnel."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def close(self) -> None:
        """Take nobody any more."""
        self._port.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._port.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if not self._tunnel(client):
            client.close()

    def _tunnel(self, client: socket.socket) -> bool:
        """Whether there was a tunnel, which closes it."""
        head = b""
        with contextlib.suppress(OSError):
            while not head.endswith(b"\r\n\r\n"):
                byte = client.recv(1)
                if not byte:
                    return False
                head += byte
            self.asked.append(head.decode("ascii"))
            if self._answers is not None:
                self._answers(client)
                return False
            host, _, port = head.split()[1].decode("ascii").rpartition(":")
            try:
                server = socket.create_connection((host.strip("[]"), self.to or int(port)))
            except OSError:
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                return False
            client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n")
            self.tunnels += 1
            self._pairs.append((client, server))
            threading.Thread(target=self._forward, args=(server, client), daemon=True).start()
            self._forward(client, server, self.passed)
            return True
        return False

    def _forward(self, source: socket.socket, target: socket.socket, copy: bytearray | None = None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 14):
                if copy is not None:
                    copy += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
