"""The digests of messages in a ledger: under a key of the two parties, or the session's name before there is one.

SPEC.md, section 8.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

DIGEST = 16
"""Bytes of a message's digest."""
_NONCE = 12


class OpenKey:
    """Digests before two parties have a key: a hash under the session's name, which all parties know.

    A hash, since a tag under a key that other parties know would reveal the random numbers of the message to them.
    """

    __slots__ = ("_session",)

    def __init__(self, session: bytes) -> None:
        self._session = session

    def digest(self, sender: str, number: int, parts: Sequence[memoryview | bytes]) -> bytes:
        """DIGEST bytes for the message with this number of `sender` whose wire bytes are `parts`, concatenated."""
        name = sender.encode()
        code = hmac.new(self._session, struct.pack(">QB", number, len(name)) + name, "sha256")
        for part in parts:
            code.update(part)
        return code.digest()[:DIGEST]


class PairKey:
    """The key under which two parties digest the messages between them; `repr` does not show it."""

    __slots__ = ("_ciphers", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._ciphers: dict[str, tuple[bytes, AESGCM]] = {}  # by the sender, since both sides count from 1

    def digest(self, sender: str, number: int, parts: Sequence[memoryview | bytes]) -> bytes:
        """DIGEST bytes for the message with this number of `sender` whose wire bytes are `parts`, concatenated.

        No two messages may have the same number and sender.
        """
        if sender not in self._ciphers:
            key = hmac.digest(self._key, sender.encode(), "sha256")
            self._ciphers[sender] = key, AESGCM(key)
        (key, cipher), nonce = self._ciphers[sender], number.to_bytes(_NONCE, "big")
        # The tag of a message of which nothing is encrypted and everything authenticated: GMAC.
        if len(parts) == 1:
            return cipher.encrypt(nonce, b"", parts[0])
        encryptor = Cipher(AES(key), GCM(nonce)).encryptor()
        for part in parts:
            encryptor.authenticate_additional_data(part)
        encryptor.finalize()
        return encryptor.tag
