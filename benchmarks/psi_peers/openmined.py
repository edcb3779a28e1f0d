"""openmined.psi: party 0 is the server, party 1 the client; the client alone learns which of its rows are in common.

Runs in an environment with openmined.psi. The server's list crosses as it is (DataStructure.RAW): the default, a
Golomb-compressed set, takes fewer bytes and as long, and may find wrong matches.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

import private_set_intersection.python as openmined

from benchmarks.psi_peers.party import Order, person_of_rows
from benchmarks.psi_peers.people import ids

_FALSE_POSITIVES = 1e-12  # asked for by the call; RAW has none
_LENGTH = 8
_PATIENCE = 60.0
_RETRY = 0.05


class Server:
    """Party 0: learns the size of the client's list."""

    def __init__(self, order: Order) -> None:
        self.extra: dict[str, float] = {}
        self._size = order.size
        self._ids = list(ids(order.party, order.size))
        self._server = openmined.server.CreateWithNewKey(True)
        with socket.create_server(("127.0.0.1", order.ports[0])) as port:
            port.settimeout(_PATIENCE)
            self._link, _ = port.accept()
        self._link.settimeout(None)

    def run(self) -> None:
        setup = self._server.CreateSetupMessage(_FALSE_POSITIVES, self._size, self._ids, openmined.DataStructure.RAW)
        _send(self._link, setup.SerializeToString())
        request = openmined.Request()
        request.ParseFromString(_receive(self._link))
        _send(self._link, self._server.ProcessRequest(request).SerializeToString())

    def found(self) -> None:
        return None

    def close(self) -> None:
        self._link.close()


class Client:
    """Party 1: learns the rows in common."""

    def __init__(self, order: Order) -> None:
        self.extra: dict[str, float] = {}
        self._order = order
        self._ids = list(ids(order.party, order.size))
        self._rows: Sequence[int] = ()
        self._client = openmined.client.CreateWithNewKey(True)
        self._link = _dial(order.ports[0])

    def run(self) -> None:
        request = self._client.CreateRequest(self._ids).SerializeToString()
        # The server sends first: if both sent at once, each would wait for the other to read.
        setup, response = openmined.ServerSetup(), openmined.Response()
        setup.ParseFromString(_receive(self._link))
        _send(self._link, request)
        response.ParseFromString(_receive(self._link))
        self._rows = self._client.GetIntersection(setup, response)

    def found(self) -> list[int]:
        return person_of_rows(self._order.party, self._order.size, self._rows)

    def close(self) -> None:
        self._link.close()


def _dial(port: int) -> socket.socket:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(_RETRY)


def _send(link: socket.socket, data: bytes) -> None:
    link.sendall(len(data).to_bytes(_LENGTH, "big"))
    link.sendall(data)


def _receive(link: socket.socket) -> bytes:
    return bytes(_exactly(link, int.from_bytes(_exactly(link, _LENGTH), "big")))


def _exactly(link: socket.socket, count: int) -> bytearray:
    data = bytearray(count)
    left = memoryview(data)
    while left:
        came = link.recv_into(left)
        if not came:
            raise ConnectionError("the other party has gone")
        left = left[came:]
    return data


def prepare(order: Order) -> Server | Client:
    """Party 0 is the server, party 1 the client."""
    return Server(order) if order.party == 0 else Client(order)
