"""A mark in the ClientHello by which the label party recognises, before any handshake, a caller that knows the job.

It proves no identity: that is the purpose of the handshake. It decides which connections are served first under load.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping

from parties.network.identity import PublicIdentity

_MARK = re.compile(rb"vsplit-caller/([0-9a-f]{32})([0-9a-f]{32})")
_REMEMBERED = 4096  # used marks stored for each party


def caller_mark(caller: PublicIdentity, label_party: PublicIdentity) -> str:
    """A fresh mark. The ClientHello carries it as the name of a further protocol (ALPN)."""
    nonce = secrets.token_hex(16)
    return f"vsplit-caller/{nonce}{_tag(_key(caller, label_party), nonce.encode())}"


class CallerMarks:
    """The label party's side: recognises the marks of the callers that the job lists, and accepts each mark once."""

    def __init__(self, label_party: PublicIdentity, parties: Mapping[str, PublicIdentity]) -> None:
        self._keys = {name: _key(identity, label_party) for name, identity in parties.items()}
        self._used: dict[str, dict[bytes, None]] = {name: {} for name in parties}

    def caller(self, hello: bytes) -> str | None:
        """The party whose unused mark is in this ClientHello; None where there is none."""
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
