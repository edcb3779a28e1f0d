"""The route from a feature party to the label party: direct, or through an HTTP proxy by the method CONNECT.

The proxy receives the label party's address, and then passes bytes on. TLS runs through it from end to end.
"""

from __future__ import annotations

import base64
import http.client
import io
import re
import socket
import time
from dataclasses import dataclass, field
from typing import cast

from parties.network.tcp_connect import open_connection
from vsplit.protocol import ConfigError

PROXY_SECONDS = 20.0
"""Seconds within which a proxy has to answer in full; it may have to wait for the label party."""

LONGEST_HEAD = 1 << 14
"""Most bytes of the head of its answer."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the label party can be reached."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. `str` and `repr` show neither name nor password."""

    host: str
    port: int
    name: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"http://{Address(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class Route:
    """Direct, or through `proxy`. `hint` is what else a person should know where the label party cannot be reached."""

    proxy: Proxy | None = None
    hint: str = ""

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """A connection on which the next byte is from or for the label party.

        Raises OSError where another attempt may succeed, and ConfigError where the proxy refuses this connection.
        """
        if self.proxy is None:
            return open_connection(host, port, timeout)
        try:
            plain = open_connection(self.proxy.host, self.proxy.port, timeout)
        except OSError as error:
            reason = error.strerror or str(error) or "no answer"
            raise ConnectionError(f"the proxy {self.proxy} cannot be reached: {reason}") from None
        try:
            _ask(plain, self.proxy, str(Address(host, port)))
        except BaseException:
            plain.close()
            raise
        return plain


DIRECT = Route()


class _Answer:
    """Bytes in the form from which the standard library reads an HTTP response."""

    def __init__(self, head: bytes) -> None:
        self._head = head

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._head)


def _ask(plain: socket.socket, proxy: Proxy, address: str) -> None:
    request = f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n"
    if proxy.name is not None:
        pair = base64.b64encode(f"{proxy.name}:{proxy.password or ''}".encode()).decode()
        request += f"Proxy-Authorization: Basic {pair}\r\n"
    until = time.monotonic() + PROXY_SECONDS
    try:
        plain.settimeout(PROXY_SECONDS)
        plain.sendall(f"{request}\r\n".encode("ascii"))
        head = _head(plain, proxy, until)
    except TimeoutError:
        raise TimeoutError(f"the proxy {proxy} did not answer in full within {PROXY_SECONDS:g} s") from None
    except (ConnectionResetError, BrokenPipeError):
        raise _closed(proxy) from None
    answer = http.client.HTTPResponse(cast(socket.socket, _Answer(head)), method="CONNECT")
    try:
        answer.begin()
    except (http.client.HTTPException, ValueError):
        raise _no_proxy(proxy) from None
    if not 200 <= answer.status < 300:
        _raise_refusal(answer, proxy, address)


def _head(plain: socket.socket, proxy: Proxy, until: float) -> bytes:
    """The head of the answer and not a byte more, since what follows it is the label party's."""
    head = b""
    while not head.endswith((b"\r\n\r\n", b"\n\n")):
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        plain.settimeout(left)
        byte = plain.recv(1)
        if not byte:
            raise _closed(proxy)
        head += byte
        if not head.startswith(b"HTTP/1."[: len(head)]):
            raise _no_proxy(proxy)
        if len(head) > LONGEST_HEAD:
            raise ConfigError(
                f"The proxy {proxy} answered with a head of more than {LONGEST_HEAD // 1024} KiB: check that "
                "`proxy` in the party file names an HTTP proxy."
            )
    return head


def _raise_refusal(answer: http.client.HTTPResponse, proxy: Proxy, address: str) -> None:
    """Raise the error for the answer: OSError for what may be temporary, ConfigError for what only a person can change."""
    status = answer.status
    if status == http.client.PROXY_AUTHENTICATION_REQUIRED:
        raise ConfigError(_authentication(answer, proxy))
    if status == http.client.FORBIDDEN:
        raise ConfigError(
            f"The proxy {proxy} does not allow this party to connect to {address} (403): ask its administrators to allow "
            "CONNECT to this address and port."
        )
    if status >= 500 and status not in (http.client.NOT_IMPLEMENTED, http.client.HTTP_VERSION_NOT_SUPPORTED):
        raise ConnectionError(f"the proxy {proxy} could not reach it: {status} {_phrase(status)}".rstrip())
    if status in (http.client.REQUEST_TIMEOUT, http.client.TOO_MANY_REQUESTS):
        raise ConnectionError(f"the proxy {proxy} is overloaded: {status} {_phrase(status)}")
    raise ConfigError(
        f"The program at {proxy} does not allow CONNECT ({status} {_phrase(status)}".rstrip()
        + "): check that `proxy` in the party file names an HTTP proxy, and ask its administrators to allow CONNECT to "
        f"{address}."
    )


def _authentication(answer: http.client.HTTPResponse, proxy: Proxy) -> str:
    offered = [re.match(r"[A-Za-z-]{1,20}", one.strip()) for one in answer.headers.get_all("Proxy-Authenticate") or ()]
    schemes = list(dict.fromkeys(one.group() for one in offered if one))
    if schemes and "basic" not in (one.lower() for one in schemes):
        return (
            f"The proxy {proxy} asks for authentication by {' or '.join(schemes)} (407), which vsplit does not support: "
            "ask its administrators to allow Basic, or to allow this machine without a password."
        )
    if proxy.name is None:
        return (
            f"The proxy {proxy} asks for a name and a password (407): write "
            f"http://${{PROXY_USER}}:${{PROXY_PASSWORD}}@{Address(proxy.host, proxy.port)} as `proxy` in the party file, and "
            "set these environment variables."
        )
    return (
        f"The proxy {proxy} does not accept the name and password (407): check the environment variables in `proxy` of the "
        "party file."
    )


def _closed(proxy: Proxy) -> ConnectionError:
    return ConnectionError(f"the proxy {proxy} closed the connection before it answered")


def _no_proxy(proxy: Proxy) -> ConfigError:
    return ConfigError(
        f"The program at {proxy} is not an HTTP proxy, or does not answer as one: check `proxy` in the party file."
    )


def _phrase(status: int) -> str:
    return http.client.responses.get(status, "")
