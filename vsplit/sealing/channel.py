"""The sealed channel between two feature parties: ChaCha20-Poly1305 boxes, bound to their position in the session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, NoReturn

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from vsplit.protocol import HEAD, Array, Bytes, Message, ProtocolError, Role, receive, send

KEY, TAG = 32, 16
"""Bytes of a key, and by which a sealed message is longer than its content."""

_BOX = b"vsplit-seal-v1 box"


class Sealed(Message, frozen=True, kw_only=True, eq=False):
    """A message from one feature party to another, relayed by the label party; `sequence` counts one direction."""

    reveals: ClassVar[str] = (
        "to the label party, which relays it and cannot open it, its length; to the feature party that receives it, masked and "
        "shuffled values, positions in such a list, or, in training, ciphertexts that only the label party can decrypt"
    )

    sequence: int
    box: Annotated[Bytes, Array("uint8", (None,))]

    def check(self) -> None:
        """Raise ValueError unless the message can have been sealed."""
        if not 0 <= self.sequence < 2**63 or len(self.box) < TAG:
            raise ValueError("a sealed message has a sequence number and a tag")


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a sealed message in the session. Both ends know it, so it is authenticated and not sent.

    `context` represents all that both ends must have in common besides, such as an attempt at a training.
    """

    phase: str
    context: bytes = b""
    epoch: int = 0
    batch: int = 0


class Seal:
    """One party's end of the sealed channel to and from `peer`, through `relay`.

    Each direction has a key and a counter of its own. The counter is the nonce, and only `seal` and `open` advance it, so that
    no nonce is used twice; for the same reason an end can be neither copied nor pickled. `common` is a third key, the same at
    both ends, which seals nothing: `export` derives secrets from it.
    """

    __slots__ = ("_bound_in", "_bound_out", "_common", "_in", "_opened", "_out", "_sealed", "peer", "relay")

    def __init__(
        self, me: str, peer: str, relay: str, key_out: bytes, key_in: bytes, common: bytes, about: bytes
    ) -> None:
        self.peer = peer
        self.relay = relay
        self._out, self._in = ChaCha20Poly1305(key_out), ChaCha20Poly1305(key_in)
        self._common = common
        self._bound_out = _BOX + about + joined(me.encode(), peer.encode())
        self._bound_in = _BOX + about + joined(peer.encode(), me.encode())
        self._sealed = self._opened = 0

    def seal(self, place: Place, content: Bytes) -> Sealed:
        """`content`, uint8 [n], sealed for the peer as the next message, whose position is `place`."""
        sequence, self._sealed = self._sealed, self._sealed + 1
        raw = np.ascontiguousarray(content).reshape(-1).data
        box = self._out.encrypt(_nonce(sequence), raw, _bound(self._bound_out, place, sequence))
        return Sealed(sequence=sequence, box=np.frombuffer(box, dtype=np.uint8))

    def open(self, place: Place, message: Sealed) -> Bytes:
        """The content, uint8 [n], of the peer's next message, whose position must be `place`.

        Raises ProtocolError, which names the peer and the relay, where anything differs from what the peer sealed.
        """
        if message.sequence != self._opened:
            self._refuse(
                f"is number {message.sequence:,} where number {self._opened:,} was due: a message was left out, repeated or "
                "moved"
            )
        bound = _bound(self._bound_in, place, self._opened)
        try:
            content = self._in.decrypt(_nonce(self._opened), message.box.tobytes(), bound)
        except InvalidTag:
            self._refuse("cannot be opened: it was changed or replaced, or belongs to another position in the session")
        self._opened += 1
        return np.frombuffer(content, dtype=np.uint8)

    def export(self, purpose: bytes) -> bytes:
        """A secret of 32 bytes for this `purpose`, the same at the peer's end of this session and unknown to all others."""
        return HKDFExpand(algorithm=SHA256(), length=KEY, info=purpose).derive(self._common)

    def _refuse(self, what: str) -> NoReturn:
        raise ProtocolError(
            self.relay,
            f"A sealed message of {self.peer} that {self.relay} passed on {what}. Either {self.relay} or the network has "
            f"interfered, or {self.peer} runs another version: ask both sides.",
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("the end of a sealed channel is neither copied nor pickled: its counter must not be used twice")

    def __repr__(self) -> str:
        return f"<Seal with {self.peer} through {self.relay}>"


def pass_on(sender: str, to: str, limit: int) -> Role[None]:
    """The relay: pass the next sealed message of `sender`, of at most `limit` bytes of content, on to the party `to`."""
    yield from send(to, (yield from receive(sender, Sealed, limit + TAG + HEAD)))


def _bound(direction: bytes, place: Place, sequence: int) -> bytes:
    numbers = (place.epoch, place.batch, sequence)
    return (
        direction
        + joined(place.phase.encode(), place.context)
        + b"".join(number.to_bytes(8, "big") for number in numbers)
    )


def _nonce(sequence: int) -> bytes:
    return sequence.to_bytes(12, "big")


def joined(*parts: bytes) -> bytes:
    """The parts one after another, each preceded by its length, so that different lists of parts give different bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
