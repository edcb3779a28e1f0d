"""What two parties do together for their ledgers: agree on a key for digests, and sign for each other what is on record.

SPEC.md, section 8. Roles without I/O: entropy is passed in, and so is what the own ledger holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, ClassVar

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from parties.ledger.record import FORMAT, MOST, Head, Pin, Standing
from parties.local.command_line import quoted_command
from vsplit.protocol import Array, Bytes, Message, ProtocolError, Role, Send, receive

SALT, HASH, SIGNATURE = 32, 32, 64
"""Bytes of a party's half of a key, of a hash, and of a signature."""

_KEY = b"vsplit-ledger-v1 key"
_HEAD = b"vsplit-ledger-head-v2"
_HEAD_OF_FORMAT_1 = b"vsplit-ledger-head-v1"
_END = b"vsplit-ledger-end-v2"
_END_OF_FORMAT_1 = b"vsplit-ledger-end-v1"
_LIMIT = 1024
RandomBytes = Callable[[int], bytes]
Sign = Callable[[bytes], bytes]
"""An Ed25519 signature, 64 bytes, with this party's private key."""


class LedgerSalt(Message, frozen=True, kw_only=True, eq=False):
    """Both ways, once a session: one half of the key under which the two parties digest their messages."""

    reveals: ClassVar[str] = (
        "nothing: random bytes, by which both ledgers have the same digests and nobody can test guesses"
    )

    half: Annotated[Bytes, Array("uint8", (SALT,))]


class LedgerLastLine(Message, frozen=True, kw_only=True, eq=False):
    """Feature party to label party, before each `LedgerHead`: how many lines its ledger has, and the hash of the last."""

    reveals: ClassVar[str] = (
        "how many lines the ledger of its sender has, and a fingerprint of the last that tells nothing else; the other side "
        "signs both, so that a later change of what stands before that line is found"
    )

    lines: int
    head: Annotated[Bytes, Array("uint8", (HASH,))]

    def check(self) -> None:
        if not 0 < self.lines <= MOST:
            raise ValueError("a ledger has lines")


class LedgerHead(Message, frozen=True, kw_only=True, eq=False):
    """Both ways, at each checkpoint and at the end: how far the sender's ledger is, signed; see `record.Standing`.

    With it the sender signs `peer_lines` and `peer_head`, the last line that its receiver has told; see `record.Pin`.
    """

    reveals: ClassVar[str] = (
        "how many lines the ledger of its sender has, and fingerprints of it that tell nothing else; it is signed, and repeats "
        "the last line of its receiver's ledger, so that a later change of what stands before that line is found"
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
    def standing(self) -> Standing:
        """What the sender says that it has on record."""
        return Standing(
            self.lines,
            self.head.tobytes(),
            self.sent,
            self.sent_stream.tobytes(),
            self.received,
            self.received_stream.tobytes(),
        )

    @property
    def pin(self) -> Pin:
        """What the sender signs of its receiver's ledger."""
        return Pin(self.peer_lines, self.peer_head.tobytes(), self.final)


OPEN_KINDS = frozenset({"Handshake", LedgerSalt.__name__})
"""What crosses before there is a key: fingerprints that every holder of the job can make, and random bytes."""


@dataclass(frozen=True, slots=True)
class Bond:
    """What every signature is bound to: the job's digest (32 bytes), the session (16 bytes), and who is who.

    `identities` has the public key, 32 raw bytes, of every party by name; `format` is that of the session's record.
    """

    job: bytes
    session: bytes
    identities: Mapping[str, bytes]
    format: int = FORMAT

    def pair_key(self, label_party: str, feature_party: str, label_half: bytes, feature_half: bytes) -> bytes:
        """32 bytes that only the two parties have, in this session only."""
        ids = self.identities[label_party], self.identities[feature_party]
        info = _joined(_KEY, self.job, self.session, *ids)
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(label_half + feature_half)

    def statement(self, signer: str, receiver: str, standing: Standing, pin: Pin | None) -> bytes:
        """What `signer` signs for `receiver`; without a pin in format 1."""
        pinned = () if pin is None else (pin.lines.to_bytes(8, "big"), pin.head, bytes([pin.final]))
        return _joined(
            _HEAD_OF_FORMAT_1 if pin is None else _HEAD,
            self.job,
            self.session,
            signer.encode(),
            receiver.encode(),
            self.identities[signer],
            self.identities[receiver],
            standing.lines.to_bytes(8, "big"),
            standing.head,
            standing.sent.to_bytes(8, "big"),
            standing.sent_stream,
            standing.received.to_bytes(8, "big"),
            standing.received_stream,
            *pinned,
        )

    def end_statement(self, party: str, word: str, line: int, before: bytes, time: datetime) -> bytes:
        """What `party` signs where its session is over: number and time of that line, and the hash of the one before.

        In format 1 the time was left out.
        """
        label, when = (_END, (time.isoformat().encode(),)) if self.format > 1 else (_END_OF_FORMAT_1, ())
        return _joined(
            label, self.job, self.session, party.encode(), word.encode(), line.to_bytes(8, "big"), before, *when
        )

    def is_signed(self, by: str, statement: bytes, signature: bytes) -> bool:
        """Whether `signature` is one of the party `by` over `statement`; all of it may come from a file that was changed."""
        return is_signed(self.identities.get(by, b""), statement, signature)


def is_signed(key: bytes, statement: bytes, signature: bytes) -> bool:
    """Whether `signature` is one over `statement` by the public key `key`; all of it may be anything."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, statement)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Signer:
    """The party `me` with its private key's `sign`, in one session."""

    me: str
    bond: Bond
    sign: Sign = field(repr=False)

    def head(self, receiver: str, standing: Standing, pin: Pin) -> LedgerHead:
        """A message that tells `receiver` where this party's ledger is, and signs for the last line that `receiver` told."""
        return LedgerHead(
            lines=standing.lines,
            head=_array(standing.head),
            sent=standing.sent,
            sent_stream=_array(standing.sent_stream),
            received=standing.received,
            received_stream=_array(standing.received_stream),
            peer_lines=pin.lines,
            peer_head=_array(pin.head),
            final=pin.final,
            signature=_array(self.sign(self.bond.statement(self.me, receiver, standing, pin))),
        )

    def check(self, sender: str, head: LedgerHead, mine: Standing, *, final: bool) -> None:
        """Raise ProtocolError unless `sender` has signed the story of this party's own ledger, and its last line as told."""
        theirs, statement = head.standing, self.bond.statement(sender, self.me, head.standing, head.pin)
        if not self.bond.is_signed(sender, statement, head.signature.tobytes()):
            raise ProtocolError(
                sender,
                f"{sender} sent the head of its ledger without its own signature for this job and session; its program is "
                "another version or does not follow the protocol.",
            )
        if not mine.agrees_with(theirs):
            raise ProtocolError(
                sender,
                f"{sender} has another record of what it and {self.me} exchanged in this session: there {theirs.sent:,} "
                f"messages left and {theirs.received:,} came, here {mine.received:,} came and {mine.sent:,} left, and if the "
                "numbers are equal, contents are not. Keep both ledgers, and compare them: "
                f"{quoted_command('ledger', 'verify', f'LEDGER_OF_{self.me}', f'LEDGER_OF_{sender}')}.",
            )
        if head.pin != Pin(mine.lines, mine.head, final):
            raise ProtocolError(
                sender,
                f"{sender} signed for another line of the ledger of {self.me} than the last one, line {mine.lines:,}, or for "
                "another moment of the run; its program does not follow the protocol, so ask there.",
            )


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The two heads of one exchange: this party's own, and the one that the other signed."""

    own: LedgerHead
    theirs: LedgerHead


def agree_as_label(feature_parties: Sequence[str], random_bytes: RandomBytes) -> Role[dict[str, tuple[bytes, bytes]]]:
    """The label party's side: for each feature party the own half of the key and that party's half, 32 bytes each.

    Learns and reveals: random bytes. Assumes: `random_bytes(n)` returns n bytes that nobody else can know.
    """
    theirs = {}
    for party in feature_parties:
        theirs[party] = (yield from receive(party, LedgerSalt, _LIMIT)).half.tobytes()
    halves = {}
    for party in feature_parties:
        own = random_bytes(SALT)
        yield Send(party, LedgerSalt(half=_array(own)))
        halves[party] = own, theirs[party]
    return halves


def agree_as_feature(label_party: str, random_bytes: RandomBytes) -> Role[tuple[bytes, bytes]]:
    """A feature party's side: the label party's half of the key, and the own half. As `agree_as_label`."""
    own = random_bytes(SALT)
    yield Send(label_party, LedgerSalt(half=_array(own)))
    theirs = yield from receive(label_party, LedgerSalt, _LIMIT)
    return theirs.half.tobytes(), own


def exchange_heads_label(
    signer: Signer, standings: Mapping[str, Standing], feature_parties: Sequence[str], *, final: bool = False
) -> Role[dict[str, Exchanged]]:
    """The label party's side, when nothing is under way; `standings` are where its ledger is with each feature party.

    `final`: the training has ended. Learns: how many lines each ledger has. Reveals: the same of its own. Assumes: private
    keys are their owners' alone. Raises ProtocolError where a feature party has signed another story, or has not signed.
    """
    last, own, theirs = {}, {}, {}
    for party in feature_parties:
        last[party] = yield from receive(party, LedgerLastLine, _LIMIT)
    for party in feature_parties:
        pin = Pin(last[party].lines, last[party].head.tobytes(), final)
        own[party] = signer.head(party, standings[party], pin)
        yield Send(party, own[party])
    for party in feature_parties:
        theirs[party] = yield from receive(party, LedgerHead, _LIMIT)
        signer.check(party, theirs[party], standings[party], final=final)
        if (theirs[party].lines, theirs[party].head.tobytes()) != (
            own[party].peer_lines,
            own[party].peer_head.tobytes(),
        ):
            raise ProtocolError(
                party,
                f"{party} signed for another last line of its ledger than it had told just before; its program does not follow "
                "the protocol, so ask there.",
            )
    return {party: Exchanged(own[party], theirs[party]) for party in feature_parties}


def exchange_heads_feature(
    signer: Signer, standing: Standing, label_party: str, *, final: bool = False
) -> Role[Exchanged]:
    """A feature party's side. As `exchange_heads_label`."""
    yield Send(label_party, LedgerLastLine(lines=standing.lines, head=_array(standing.head)))
    theirs = yield from receive(label_party, LedgerHead, _LIMIT)
    signer.check(label_party, theirs, standing, final=final)
    own = signer.head(label_party, standing, Pin(theirs.lines, theirs.head.tobytes(), final))
    yield Send(label_party, own)
    return Exchanged(own, theirs)


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


def _unhex(text: str) -> Bytes:
    return _array(bytes.fromhex(text))


def _array(raw: bytes) -> Bytes:
    return np.frombuffer(raw, dtype=np.uint8)


def _joined(*parts: bytes) -> bytes:
    """The parts one after another, each with its length before it, so that no two lists of parts look alike."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
