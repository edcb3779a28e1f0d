"""A mark in the first words of TLS by which the label party sees, before it computes anything, that a caller knows the job.

It proves no identity: that is what the handshake is for. It says who is served first where more call than can be served.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping

from parties.network.identity import PublicIdentity

_MARK = re.compile(rb"vsplit-caller/([0-9a-f]{32})([0-9a-f]{32})")
_REMEMBERED = 4096  # marks of each party that were used


def caller_mark(caller: PublicIdentity, label_party: PublicIdentity) -> str:
    """A fresh mark, which stands in the ClientHello as the name of a further protocol (ALPN)."""
    nonce = secrets.token_hex(16)
    return f"vsplit-caller/{nonce}{_tag(_key(caller, label_party), nonce.encode())}"


class CallerMarks:
    """The label party's side: it knows which marks the callers that the job lists can make, and takes each one once."""

    def __init__(self, label_party: PublicIdentity, parties: Mapping[str, PublicIdentity]) -> None:
        self._keys = {name: _key(identity, label_party) for name, identity in parties.items()}
        self._used: dict[str, dict[bytes, None]] = {name: {} for name in parties}

    def caller(self, hello: bytes) -> str | None:
        """The party whose unused mark is in this ClientHello; None: nobody's."""
        found = _MARK.search(hello)
        if found is None:
            return None
        nonce, tag = found.groups()
        name = next((name for name, key in self._keys.items() if _is_equal(_tag(key, nonce), tag)), None)
        if name is None or nonce in self._used[name]:
            return None
        used = self._used[name]
        used[nonce] = None
        if len(used) > _REMEMBERED:
            del used[next(iter(used))]
        return name


def _key(caller: PublicIdentity, label_party: PublicIdentity) -> bytes:
    return hashlib.sha256(b"vsplit-caller-v1" + label_party.key + caller.key).digest()


def _tag(key: bytes, nonce: bytes) -> str:
    return hmac.new(key, nonce, hashlib.sha256).hexdigest()[:32]


def _is_equal(tag: str, other: bytes) -> bool:
    return hmac.compare_digest(tag.encode(), other)
