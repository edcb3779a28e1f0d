"""Floods a port of this machine with connections that prove nothing; ends by itself.

    python benchmarks/faults_parts/strangers.py PORT [--kind bare] [--source 127.0.0.2] [--sources 1] [--rate N] [--seconds 5]

It says "flooding" when it has begun, and at the end how many connections it has made. Loopback only.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import socket
import ssl
import time
from collections import deque

RATE = 4_000
"""Connections a second."""

HELD = 4_000
"""Most connections that are held open; the oldest are given up."""

KINDS = {
    "bare": "nothing is said",
    "closed": "nothing is said, and the connection closed at once",
    "garbage": "a request of another protocol",
    "part": "the beginning of a ClientHello",
    "drip": "a ClientHello byte by byte",
    "hello": "a whole ClientHello, and nothing after it",
}
_TO = "127.0.0.1"
_DRIPPING = 200  # connections that are given another byte in each round
# So that the flood does not run out of ports: a port is chosen when the other end of the connection is known.
_NO_PORT_YET = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)


def flood(port: int, kind: str, sources: list[str], seconds: float, rate: int) -> int:
    """Flood the port from these addresses; how many connections were made."""
    hello = client_hello()
    words = {"garbage": b"GET / HTTP/1.1\r\n\r\n", "part": hello[:60], "drip": hello[:1], "hello": hello}
    made, begun = 0, time.monotonic()
    held: deque[socket.socket] = deque()
    while (passed := time.monotonic() - begun) < seconds:
        for _ in range(min(rate // 10, int(passed * rate) - made)):
            plain = _connection(port, sources[made % len(sources)])
            made += 1
            with contextlib.suppress(OSError):
                plain.send(words.get(kind, b""))
            held.append(plain)
            if len(held) > (0 if kind == "closed" else HELD):
                held.popleft().close()
        if kind == "drip":
            for plain in list(held)[-_DRIPPING:]:
                with contextlib.suppress(OSError):
                    plain.send(hello[1:2])
        time.sleep(0.002)
    for plain in held:
        plain.close()
    return made


def client_hello() -> bytes:
    """The first words of a TLS 1.3 handshake, whole."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    going = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), going).do_handshake()
    return going.read()


def _connection(port: int, source: str) -> socket.socket:
    plain = socket.socket()
    plain.setblocking(False)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with contextlib.suppress(OSError):
        plain.setsockopt(socket.IPPROTO_IP, _NO_PORT_YET, 1)
        plain.bind((source, 0))
        plain.connect_ex((_TO, port))
    return plain


def main() -> None:
    """Flood as the command line says."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("port", type=int)
    arguments.add_argument("--kind", choices=KINDS, default="bare")
    arguments.add_argument("--source", default="127.0.0.2", help="the first address")
    arguments.add_argument("--sources", type=int, default=1, help="how many addresses, from the first on")
    arguments.add_argument("--rate", type=int, default=RATE)
    arguments.add_argument("--seconds", type=float, default=5.0)
    given = arguments.parse_args()
    first = ipaddress.IPv4Address(given.source)
    sources = [str(first + number) for number in range(given.sources)]
    if not all(ipaddress.IPv4Address(source).is_loopback for source in sources):
        arguments.error("only addresses of 127.0.0.0/8")
    print("flooding", flush=True)
    print(flood(given.port, given.kind, sources, given.seconds, given.rate))


if __name__ == "__main__":
    main()
