"""The messages that parties exchange for their ledgers. SPEC.md, section 8."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np

from parties.ledger.ledger_state import LedgerState, SignedLine
from parties.ledger.record import MOST, Head, Position
from vsplit.protocol import Array, Bytes, Message

SALT, HASH, SIGNATURE = 32, 32, 64
"""Bytes of a party's half of a key, of a hash, and of a signature."""


class LedgerSalt(Message, frozen=True, kw_only=True, eq=False):
    """In both directions, once a session: one half of the key under which the two parties digest their messages."""

    reveals: ClassVar[str] = (
        "nothing: random bytes, with which both ledgers have the same digests and no other party can test guesses"
    )

    half: Annotated[Bytes, Array("uint8", (SALT,))]


class LedgerLastLine(Message, frozen=True, kw_only=True, eq=False):
    """Feature party to label party, before each `LedgerHead`: how many lines its ledger has, and the hash of the last."""

    reveals: ClassVar[str] = (
        "how many lines the ledger of its sender has, and a fingerprint of the last that reveals nothing else; the other side "
        "signs both, so that a later change up to that line is detected"
    )

    lines: int
    head: Annotated[Bytes, Array("uint8", (HASH,))]

    def check(self) -> None:
        if not 0 < self.lines <= MOST:
            raise ValueError("a ledger has lines")


class LedgerHead(Message, frozen=True, kw_only=True, eq=False):
    """In both directions, at each checkpoint and at the end: the state of the sender's ledger, signed; see `LedgerState`.

    With it the sender signs `peer_lines` and `peer_head`, the last line that its receiver has reported; see `SignedLine`.
    """

    reveals: ClassVar[str] = (
        "how many lines the ledger of its sender has, and fingerprints of it that reveal nothing else; it is signed, and "
        "repeats the last line of its receiver's ledger, so that a later change up to that line is detected"
    )

    lines: int
    head: Annotated[Bytes, Array("uint8", (HASH,))]
    sent: int
    sent_stream: Annotated[Bytes, Array("uint8", (HASH,))]
    received: int
    received_stream: Annotated[Bytes, Array("uint8", (HASH,))]
    peer_lines: int
    peer_head: Annotated[Bytes, Array("uint8", (HASH,))]
    final: bool
    signature: Annotated[Bytes, Array("uint8", (SIGNATURE,))]

    def check(self) -> None:
        if not (0 < self.lines <= MOST and 0 < self.peer_lines <= MOST):
            raise ValueError("a ledger has lines, and no fewer than no messages")
        if not (0 <= self.sent <= MOST and 0 <= self.received <= MOST):
            raise ValueError("a ledger has lines, and no fewer than no messages")

    @property
    def state(self) -> LedgerState:
        """What the sender has recorded."""
        return LedgerState(
            self.lines,
            self.head.tobytes(),
            self.sent,
            self.sent_stream.tobytes(),
            self.received,
            self.received_stream.tobytes(),
        )

    @property
    def signed_line(self) -> SignedLine:
        """What the sender signs of its receiver's ledger."""
        return SignedLine(self.peer_lines, self.peer_head.tobytes(), self.final)


OPEN_KINDS = frozenset({"Handshake", LedgerSalt.__name__})
"""What crosses before there is a key: fingerprints that every party of the job can compute, and random bytes."""


def head_line(head: LedgerHead, signer: str, receiver: str, session: str, position: Position) -> Head:
    """The line with which this head is recorded."""
    return Head(
        **position,
        signer=signer,
        receiver=receiver,
        session=session,
        lines=head.lines,
        head=_hex(head.head),
        sent=head.sent,
        sent_stream=_hex(head.sent_stream),
        received=head.received,
        received_stream=_hex(head.received_stream),
        signature=_hex(head.signature),
        peer_lines=head.peer_lines,
        peer_head=_hex(head.peer_head),
        final=head.final,
    )


def as_messages(line: Head) -> tuple[LedgerLastLine, LedgerHead]:
    """The messages that crossed where this head, of format 2, was sent; the first of them if a feature party signed it."""
    if line.peer_lines is None or line.peer_head is None:
        raise ValueError("a head of format 1 was sent otherwise")
    head = LedgerHead(
        lines=line.lines,
        head=_unhex(line.head),
        sent=line.sent,
        sent_stream=_unhex(line.sent_stream),
        received=line.received,
        received_stream=_unhex(line.received_stream),
        peer_lines=line.peer_lines,
        peer_head=_unhex(line.peer_head),
        final=line.final,
        signature=_unhex(line.signature),
    )
    return LedgerLastLine(lines=head.lines, head=head.head), head


def _hex(array: Bytes) -> str:
    return array.tobytes().hex()


def _unhex(text: str) -> Bytes:
    return to_array(bytes.fromhex(text))


def to_array(raw: bytes) -> Bytes:
    """Bytes as a message holds them."""
    return np.frombuffer(raw, dtype=np.uint8)
