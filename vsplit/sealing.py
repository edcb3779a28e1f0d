"""Messages between two feature parties that the label party passes on and can neither open nor change.

SPEC.md, section "Sealed hops", has the protocol and its argument. First every two feature parties agree on keys that live
for one session: fresh X25519 keys, signed by the parties' Ed25519 identities together with all that the session is about.
Then each message is a ChaCha20-Poly1305 box, bound to its place in the session. `exchange_keys` and `relay_key_exchange`
are the two sides of the agreement, as roles. `Seal` is one party's end of the channel to one other party, `pass_on` is the
relay, and `Seal.export` derives further secrets that the two parties share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, NoReturn

import numpy as np
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from vsplit.protocol import HEAD, Array, Bytes, Message, ProtocolError, Role, receive, send

KEY, SIGNATURE, TAG = 32, 64, 16
"""Bytes of a key of either kind, of a signature, and by which a sealed message is longer than its content."""

_PROOF = b"vsplit-seal-v1 proof"
_DIRECTION = b"vsplit-seal-v1 key"
_COMMON = b"vsplit-seal-v1 common"
_BOX = b"vsplit-seal-v1 box"


class FreshKeys(Message, frozen=True, kw_only=True, eq=False):
    """One X25519 public key for each other feature party, in the job's order; passed on, one from each of them."""

    reveals: ClassVar[str] = "nothing: public keys, drawn for this session alone"

    keys: Annotated[Bytes, Array("uint8", (None, KEY))]


class KeyProofs(Message, frozen=True, kw_only=True, eq=False):
    """One Ed25519 signature for each other feature party, in the job's order; passed on, one from each of them."""

    reveals: ClassVar[str] = "nothing: proofs that the public keys of this session come from the parties of the job"

    signatures: Annotated[Bytes, Array("uint8", (None, SIGNATURE))]


class Sealed(Message, frozen=True, kw_only=True, eq=False):
    """A message from one feature party to another that the label party passes on; `sequence` counts one direction."""

    reveals: ClassVar[str] = (
        "its length to the label party, which passes it on and cannot open it; to the feature party that it is for, masked "
        "and shuffled values, places in such a list, or in training ciphertexts that only the label party could decrypt"
    )

    sequence: int
    box: Annotated[Bytes, Array("uint8", (None,))]

    def check(self) -> None:
        """Raise ValueError unless the message can have been sealed."""
        if not 0 <= self.sequence < 2**63 or len(self.box) < TAG:
            raise ValueError("a sealed message has a sequence number and a tag")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a feature party brings to the agreement on keys.

    `sign` makes an Ed25519 signature (64 bytes) with the private key of `me`; `identities` has the public key, 32 raw
    bytes, of every feature party by name, its own included, in the job's order. `job` is a digest of the job, `session`
    what the label party named this session: two parties that were told different ones cannot agree on keys.
    """

    me: str
    sign: Callable[[bytes], bytes] = field(repr=False)
    identities: Mapping[str, bytes]
    job: bytes
    session: bytes

    def __post_init__(self) -> None:
        if self.me not in self.identities or any(len(key) != KEY for key in self.identities.values()):
            raise ValueError(f"every party, this one included, has a public identity of {KEY} bytes")

    @property
    def others(self) -> list[str]:
        """The other feature parties, in the job's order."""
        return [name for name in self.identities if name != self.me]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the session a sealed message belongs; both ends know it, so it is bound and not sent.

    `context` stands for all that both ends must have in common besides, such as an attempt at a training.
    """

    phase: str
    context: bytes = b""
    epoch: int = 0
    batch: int = 0


class Seal:
    """One party's end of the sealed way to and from `peer`, by way of `relay`.

    Each direction has a key and a count of its own. The count is the nonce, and only `seal` and `open` move it, so that
    no nonce serves twice; an end can be neither copied nor pickled, for the same reason. `common` is a third key, the same
    at both ends, which seals nothing: `export` derives from it.
    """

    __slots__ = ("_bound_in", "_bound_out", "_common", "_in", "_opened", "_out", "_sealed", "peer", "relay")

    def __init__(
        self, me: str, peer: str, relay: str, key_out: bytes, key_in: bytes, common: bytes, about: bytes
    ) -> None:
        self.peer = peer
        self.relay = relay
        self._out, self._in = ChaCha20Poly1305(key_out), ChaCha20Poly1305(key_in)
        self._common = common
        self._bound_out = _BOX + about + _joined(me.encode(), peer.encode())
        self._bound_in = _BOX + about + _joined(peer.encode(), me.encode())
        self._sealed = self._opened = 0

    def seal(self, place: Place, content: Bytes) -> Sealed:
        """`content`, uint8 [n], sealed for the peer as the next message, which belongs at `place`."""
        sequence, self._sealed = self._sealed, self._sealed + 1
        raw = np.ascontiguousarray(content).reshape(-1).data
        box = self._out.encrypt(_nonce(sequence), raw, _bound(self._bound_out, place, sequence))
        return Sealed(sequence=sequence, box=np.frombuffer(box, dtype=np.uint8))

    def open(self, place: Place, message: Sealed) -> Bytes:
        """The content, uint8 [n], of the peer's next message, which must belong at `place`.

        Raises ProtocolError, which names the peer and the relay, where anything at all is not as the peer sealed it.
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
            self._refuse("cannot be opened: it was changed or replaced, or belongs to another place of the session")
        self._opened += 1
        return np.frombuffer(content, dtype=np.uint8)

    def export(self, purpose: bytes) -> bytes:
        """A secret of 32 bytes for this `purpose`, the same at the peer's end of this session and known to nobody else."""
        return HKDFExpand(algorithm=SHA256(), length=KEY, info=purpose).derive(self._common)

    def _refuse(self, what: str) -> NoReturn:
        raise ProtocolError(
            self.relay,
            f"A sealed message of {self.peer} that {self.relay} passed on {what}. Either {self.relay} or the way between "
            f"has interfered, or {self.peer} runs another version: ask both sides.",
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("the end of a sealed way is neither copied nor pickled: its count must not be used twice")

    def __repr__(self) -> str:
        return f"<Seal with {self.peer} by way of {self.relay}>"


def exchange_keys(relay: str, mine: Credentials, random_bytes: Callable[[int], bytes]) -> Role[dict[str, Seal]]:
    """A feature party's side: agree on keys with every other feature party, by way of the label party `relay`.

    Returns the seals by party. Learns: nothing. Reveals: to the relay, public keys and signatures over them.
    Assumes: the identities of the job are right; `random_bytes(n)` returns n bytes that nobody else can know.
    Raises ProtocolError where a key or a signature is not that of the party that it is said to come from.
    """
    others = mine.others
    secrets = [X25519PrivateKey.from_private_bytes(random_bytes(KEY)) for _ in others]
    fresh = [secret.public_key().public_bytes_raw() for secret in secrets]
    yield from send(relay, FreshKeys(keys=_rows(fresh)))
    told = (yield from receive(relay, FreshKeys, KEY * len(others) + HEAD)).keys
    theirs = [row.tobytes() for row in _checked(relay, told, len(others))]
    proofs = [
        mine.sign(_PROOF + _statement(mine, mine.me, other, own, their))
        for other, own, their in zip(others, fresh, theirs, strict=True)
    ]
    yield from send(relay, KeyProofs(signatures=_rows(proofs)))
    answers = (yield from receive(relay, KeyProofs, SIGNATURE * len(others) + HEAD)).signatures
    answers = _checked(relay, answers, len(others))
    seals = {}
    for other, secret, own, their, proof in zip(others, secrets, fresh, theirs, answers, strict=True):
        _verify(relay, mine, other, _statement(mine, other, mine.me, their, own), proof.tobytes())
        seals[other] = _seal(relay, mine, other, secret, their)
    return seals


def relay_key_exchange(feature_parties: Sequence[str]) -> Role[None]:
    """The label party's side: hand each feature party's public keys and proofs to the others.

    Learns: nothing. Reveals: nothing of its own. Raises ProtocolError for another number of keys than there are parties.
    """
    others = len(feature_parties) - 1
    keys = {}
    for party in feature_parties:
        told = (yield from receive(party, FreshKeys, KEY * others + HEAD)).keys
        keys[party] = _checked(party, told, others)
    for party, rows in _turned(feature_parties, keys).items():
        yield from send(party, FreshKeys(keys=rows))
    proofs = {}
    for party in feature_parties:
        said = (yield from receive(party, KeyProofs, SIGNATURE * others + HEAD)).signatures
        proofs[party] = _checked(party, said, others)
    for party, rows in _turned(feature_parties, proofs).items():
        yield from send(party, KeyProofs(signatures=rows))


def pass_on(sender: str, to: str, limit: int) -> Role[None]:
    """The relay: hand the next sealed message of `sender`, of at most `limit` bytes of content, to the party `to`."""
    yield from send(to, (yield from receive(sender, Sealed, limit + TAG + HEAD)))


def _seal(relay: str, mine: Credentials, other: str, secret: X25519PrivateKey, their: bytes) -> Seal:
    own = secret.public_key().public_bytes_raw()
    try:
        shared = secret.exchange(X25519PublicKey.from_public_bytes(their))
    except ValueError:  # A point of low order, which the other side has signed all the same.
        raise ProtocolError(
            other,
            f"{other} sent a fresh key of low order, which gives no secret; its program is another version, so ask there.",
        ) from None
    outward = _statement(mine, mine.me, other, own, their)
    inward = _statement(mine, other, mine.me, their, own)
    # Both ends take the statement that is first in the order of bytes, so that they derive the same.
    common = _derived(shared, _COMMON + min(outward, inward))
    keys = _derived(shared, _DIRECTION + outward), _derived(shared, _DIRECTION + inward)
    return Seal(mine.me, other, relay, *keys, common, _joined(mine.job, mine.session))


def _statement(mine: Credentials, sender: str, receiver: str, sender_key: bytes, receiver_key: bytes) -> bytes:
    """All that a pair of keys is for, seen from one direction: what `sender` signs and its key is derived with."""
    return _joined(
        mine.job,
        mine.session,
        sender.encode(),
        receiver.encode(),
        mine.identities[sender],
        mine.identities[receiver],
        sender_key,
        receiver_key,
    )


def _verify(relay: str, mine: Credentials, other: str, statement: bytes, proof: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(mine.identities[other]).verify(proof, _PROOF + statement)
    except (InvalidSignature, ValueError):
        raise ProtocolError(
            relay,
            f"The key for this session that {relay} passed on from {other} does not carry the signature of {other} for this "
            f"job and session: {relay} or the way between has replaced it, or {other} has another key in its job file; ask "
            "both sides.",
        ) from None


def _derived(shared: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY, salt=None, info=purpose).derive(shared)


def _bound(way: bytes, place: Place, sequence: int) -> bytes:
    numbers = (place.epoch, place.batch, sequence)
    return (
        way + _joined(place.phase.encode(), place.context) + b"".join(number.to_bytes(8, "big") for number in numbers)
    )


def _nonce(sequence: int) -> bytes:
    return sequence.to_bytes(12, "big")


def _joined(*parts: bytes) -> bytes:
    """The parts one after another, each with its length before it, so that no two lists of parts look alike."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _rows(parts: Sequence[bytes]) -> Bytes:
    return np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(len(parts), -1)


def _checked(sender: str, rows: Bytes, due: int) -> Bytes:
    if len(rows) != due:
        raise ProtocolError(
            sender,
            f"{sender} sent {len(rows)} keys or proofs where {due} were due; its program is another version, so ask there.",
        )
    return rows


def _turned(parties: Sequence[str], rows: Mapping[str, Bytes]) -> dict[str, Bytes]:
    """What each party is to have from each of the others, both in the job's order."""
    turned = {}
    for place, party in enumerate(parties):
        # A party's rows leave it out itself, so later parties stand one place earlier in them.
        found = [rows[other][place - (place > at)] for at, other in enumerate(parties) if other != party]
        turned[party] = np.stack(found)
    return turned
