"""The agreement on keys between every two feature parties, relayed by the label party.

Fresh X25519 keys are signed by the parties' Ed25519 identities, together with all that the session is about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vsplit.protocol import HEAD, Array, Bytes, Message, ProtocolError, Role, receive, send
from vsplit.sealing.channel import KEY, Seal, joined

SIGNATURE = 64
"""Bytes of a signature."""

_PROOF = b"vsplit-seal-v1 proof"
_DIRECTION = b"vsplit-seal-v1 key"
_COMMON = b"vsplit-seal-v1 common"


class FreshKeys(Message, frozen=True, kw_only=True, eq=False):
    """One X25519 public key for each other feature party, in the job's order; as relayed, one from each of them."""

    reveals: ClassVar[str] = "nothing: public keys, drawn for this session alone"

    keys: Annotated[Bytes, Array("uint8", (None, KEY))]


class KeyProofs(Message, frozen=True, kw_only=True, eq=False):
    """One Ed25519 signature for each other feature party, in the job's order; as relayed, one from each of them."""

    reveals: ClassVar[str] = "nothing: proofs that the public keys of this session come from the parties of the job"

    signatures: Annotated[Bytes, Array("uint8", (None, SIGNATURE))]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a feature party contributes to the agreement on keys.

    `sign` makes an Ed25519 signature (64 bytes) with the private key of `me`; `identities` has the public key, 32 raw
    bytes, of every feature party by name, its own included, in the job's order. `job` is a digest of the job, `session` the
    name of this session at the label party: two parties that received different names cannot agree on keys.
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


def exchange_keys(relay: str, mine: Credentials, random_bytes: Callable[[int], bytes]) -> Role[dict[str, Seal]]:
    """A feature party's side: agree on keys with every other feature party, through the label party `relay`.

    Returns the seals by party. Learns: nothing. Reveals: to the relay, public keys and signatures over them.
    Assumes: the identities of the job are right; `random_bytes(n)` returns n bytes that no other party can know.
    Raises ProtocolError where a key or a signature is not that of the party from which it is said to come.
    """
    others = mine.others
    secrets = [X25519PrivateKey.from_private_bytes(random_bytes(KEY)) for _ in others]
    fresh = [secret.public_key().public_bytes_raw() for secret in secrets]
    yield from send(relay, FreshKeys(keys=_rows(fresh)))
    answer = (yield from receive(relay, FreshKeys, KEY * len(others) + HEAD)).keys
    theirs = [row.tobytes() for row in _checked(relay, answer, len(others))]
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
    """The label party's side: relay each feature party's public keys and proofs to the others.

    Learns: nothing. Reveals: nothing of its own. Raises ProtocolError for another number of keys than there are parties.
    """
    others = len(feature_parties) - 1
    keys = {}
    for party in feature_parties:
        rows = (yield from receive(party, FreshKeys, KEY * others + HEAD)).keys
        keys[party] = _checked(party, rows, others)
    for party, rows in _transposed(feature_parties, keys).items():
        yield from send(party, FreshKeys(keys=rows))
    proofs = {}
    for party in feature_parties:
        rows = (yield from receive(party, KeyProofs, SIGNATURE * others + HEAD)).signatures
        proofs[party] = _checked(party, rows, others)
    for party, rows in _transposed(feature_parties, proofs).items():
        yield from send(party, KeyProofs(signatures=rows))


def _seal(relay: str, mine: Credentials, other: str, secret: X25519PrivateKey, their: bytes) -> Seal:
    own = secret.public_key().public_bytes_raw()
    try:
        shared = secret.exchange(X25519PublicKey.from_public_bytes(their))
    except ValueError:  # A point of low order, although the other side has signed it.
        raise ProtocolError(
            other,
            f"{other} sent a fresh key of low order, which gives no secret; its program is another version, so ask there.",
        ) from None
    outward = _statement(mine, mine.me, other, own, their)
    inward = _statement(mine, other, mine.me, their, own)
    # Both ends take the statement that is first in the order of bytes, so that they derive the same.
    common = _derived(shared, _COMMON + min(outward, inward))
    keys = _derived(shared, _DIRECTION + outward), _derived(shared, _DIRECTION + inward)
    return Seal(mine.me, other, relay, *keys, common, joined(mine.job, mine.session))


def _statement(mine: Credentials, sender: str, receiver: str, sender_key: bytes, receiver_key: bytes) -> bytes:
    """All that a pair of keys is bound to, in one direction: what `sender` signs, and what its key is derived with."""
    return joined(
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
            f"job and session: {relay} or the network has replaced it, or {other} has another key in its job file; ask "
            "both sides.",
        ) from None


def _derived(shared: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY, salt=None, info=purpose).derive(shared)


def _rows(parts: Sequence[bytes]) -> Bytes:
    return np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(len(parts), -1)


def _checked(sender: str, rows: Bytes, due: int) -> Bytes:
    if len(rows) != due:
        raise ProtocolError(
            sender,
            f"{sender} sent {len(rows)} keys or proofs where {due} were due; its program is another version, so ask there.",
        )
    return rows


def _transposed(parties: Sequence[str], rows: Mapping[str, Bytes]) -> dict[str, Bytes]:
    """The rows that each party gets from each of the others, both in the job's order."""
    transposed = {}
    for place, party in enumerate(parties):
        # A party's rows omit the party itself, so later parties are one place earlier in them.
        found = [rows[other][place - (place > at)] for at, other in enumerate(parties) if other != party]
        transposed[party] = np.stack(found)
    return transposed
