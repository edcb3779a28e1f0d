"""The identity that a new connection proves, its first frame, and the first frame that answers it."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import replace

from parties.network.certificates import PROTOCOL, shown_identity
from parties.network.frame_writer import FrameWriter
from parties.network.frames import HEAD, NO_SESSION, FrameError, Opening, Type, read_opening
from parties.network.identity import PublicIdentity


def authenticated_name(stream: ssl.SSLSocket, parties: Mapping[str, PublicIdentity]) -> str:
    """The party whose key the other end of a finished handshake holds; raises ConnectionError for any other key."""
    shown = shown_identity(stream.getpeercert(binary_form=True))
    name = next((name for name, identity in parties.items() if identity == shown), None)
    if name is None:
        raise ConnectionError("an identity that the job does not list")
    if stream.selected_alpn_protocol() != PROTOCOL:
        with contextlib.suppress(OSError):
            stream.send(FrameWriter().control(Type.STOP, 0, b"mismatch"))
        raise ConnectionError("a program of another version")
    return name


def first_frame(stream: ssl.SSLSocket, head: bytearray) -> Opening:
    """The first frame, whose head so far is in `head`; raises SSLWantReadError while more of it is to come."""
    while len(head) < HEAD.size:
        more = stream.recv(HEAD.size - len(head))
        if not more:
            raise ConnectionError("closed before its first frame")
        head += more
    opening, length = read_opening(bytes(head[: HEAD.size]))
    if opening.type is Type.WELCOME:
        raise FrameError("a first frame that only the label party sends")
    while len(head) < HEAD.size + length:  # the reason of a STOP
        more = stream.recv(HEAD.size + length - len(head))
        if not more:
            raise ConnectionError("closed within its first frame")
        head += more
    return replace(opening, reason=bytes(head[HEAD.size :]))


def answer(stream: ssl.SSLSocket, kind: Type, session: bytes = NO_SESSION, payload: bytes = b"") -> None:
    """Send the first frame back, for which a new connection has room; raises OSError."""
    stream.send(FrameWriter(session).control(kind, 0, payload))


def turn_away(stream: ssl.SSLSocket, reason: str) -> None:
    """Answer with a STOP for this reason, and close."""
    with contextlib.suppress(OSError):
        answer(stream, Type.STOP, payload=reason.encode("ascii"))
    stream.close()
