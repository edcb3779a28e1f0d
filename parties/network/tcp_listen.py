"""The listening socket of the label party, for IPv4, IPv6 or both."""

from __future__ import annotations

import contextlib
import errno
import socket

from vsplit.protocol import ConfigError

EVERYWHERE = "*"
ANY4, ANY6 = "0.0.0.0", "::"  # noqa: S104 - where the party file says so

BACKLOG = 4096
"""Connections that have come and are not accepted yet. Linux allows at most net.core.somaxconn, by default the same."""

ONLY_IPV4 = (
    "This machine has no IPv6, so the port is open for IPv4 only; parties that can reach this machine only by IPv6 cannot "
    "connect."
)

_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def open_port(host: str, port: int) -> socket.socket:
    """Listen at `host` and `port`. `::` accepts IPv4 as well; `*` accepts both, or IPv4 alone where this machine has no IPv6.

    Raises ConfigError where that is impossible.
    """
    try:
        listening = _open(host, port)
    except OSError as error:
        raise _cannot(host, port, error) from None
    listening.setblocking(False)
    return listening


def only_ipv4(listening: socket.socket, host: str) -> bool:
    """Whether every address was asked for, and only IPv4 is available."""
    return host == EVERYWHERE and listening.family == socket.AF_INET


def has_ipv6() -> bool:
    """Whether a port of this machine can be opened for IPv6."""
    if not socket.has_ipv6:
        return False
    try:
        socket.create_server((ANY6, 0), family=socket.AF_INET6, dualstack_ipv6=True).close()
    except OSError as error:
        if error.errno in _NO_IPV6:
            return False
        raise
    except ValueError:  # no IPv6 with IPv4 in one socket
        return False
    return True


def _open(host: str, port: int) -> socket.socket:
    if host == EVERYWHERE:
        host = ANY6 if has_ipv6() else ANY4
    if ":" not in host:
        with contextlib.suppress(socket.gaierror):  # a name that has addresses of IPv6 alone
            return socket.create_server((host, port), family=socket.AF_INET, backlog=BACKLOG)
    both = host == ANY6
    return socket.create_server((host, port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=both)


def _cannot(host: str, port: int, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"Port {port} of this machine is in use by another program: end that program, or agree on another port in the "
            "job's `address`."
        )
    if error.errno == errno.EACCES:
        return ConfigError(
            f"This machine does not let this user listen on port {port}: agree on a port above 1023 in the job's `address`."
        )
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if host == ANY6:
        return ConfigError(
            f"This machine cannot listen at {where} ({error.strerror}), as it has no IPv6: write `listen: :{port}` in the "
            "party file, which uses what is available."
        )
    return ConfigError(
        f"This machine cannot listen at {where} ({error.strerror}): the host in the job's `address` must be one of its own, or "
        f"name one with `listen` in the party file (`listen: :{port}` is every address of this machine)."
    )
