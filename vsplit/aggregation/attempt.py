"""The agreement of all parties on an attempt at a training: bytes that no earlier or later attempt has.

Every party contributes 16 random bytes. So a party never takes part in the same attempt twice, whatever the other parties do,
and masks and seals that are bound to the attempt never repeat. They are also bound to what the label party sends during it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import numpy as np

from vsplit.protocol import HEAD, Array, Bytes, Message, ProtocolError, Role, receive, send

NONCE = 16
RandomBytes = Callable[[int], bytes]

_ATTEMPT = b"vsplit-attempt-v3"


class AttemptNonce(Message, frozen=True, kw_only=True, eq=False):
    """Feature party to label party, before a training: 16 random bytes."""

    reveals: ClassVar[str] = "nothing: random bytes"

    nonce: Annotated[Bytes, Array("uint8", (NONCE,))]


class AttemptNonces(Message, frozen=True, kw_only=True, eq=False):
    """Label party to feature party: the random bytes of all parties, its own first, then in the job's order."""

    reveals: ClassVar[str] = "nothing: random bytes of all parties"

    nonces: Annotated[Bytes, Array("uint8", (None, NONCE))]


def agree_as_label(feature_parties: Sequence[str], random_bytes: RandomBytes) -> Role[None]:
    """The label party's side."""
    nonces = [random_bytes(NONCE)]
    for party in feature_parties:
        nonces.append((yield from receive(party, AttemptNonce, NONCE + HEAD)).nonce.tobytes())
    joined = np.frombuffer(b"".join(nonces), np.uint8).reshape(-1, NONCE)
    for party in feature_parties:
        yield from send(party, AttemptNonces(nonces=joined))


def agree_as_feature(
    me: str, label_party: str, feature_parties: Sequence[str], random_bytes: RandomBytes, about: Sequence[bytes]
) -> Role[AttemptDigest]:
    """A feature party's side. `about` is what else must be equal at all feature parties, such as the name of the run.

    Raises ProtocolError where its own nonce is not among those that are returned.
    """
    own = np.frombuffer(random_bytes(NONCE), np.uint8)
    yield from send(label_party, AttemptNonce(nonce=own))
    nonces = (yield from receive(label_party, AttemptNonces, NONCE * (len(feature_parties) + 1) + HEAD)).nonces
    if len(nonces) != len(feature_parties) + 1 or not np.array_equal(nonces[1 + list(feature_parties).index(me)], own):
        raise ProtocolError(
            label_party,
            f"{label_party} began the training with other random bytes than this party's own: it would repeat an earlier "
            "training, or its program is another version; ask there.",
        )
    return AttemptDigest(_ATTEMPT, nonces.tobytes(), *about)


class AttemptDigest:
    """A digest of an attempt, and of all messages of the label party since that must be the same for all feature parties.

    Masks and seals are bound to it. So a label party that sent one of them something else could no longer add their
    embeddings.
    """

    __slots__ = ("digest",)

    def __init__(self, *beginning: bytes) -> None:
        self.digest = _joined_digest(*beginning)

    def bind(self, message: Message) -> None:
        """Include a message of the label party."""
        fields = (getattr(message, name) for name in message.__struct_fields__)
        parts = [
            # The shape follows from the job and the batch, which are bound elsewhere.
            field.tobytes() if isinstance(field, np.ndarray) else repr(field).encode()
            for field in fields
        ]
        self.digest = _joined_digest(self.digest, type(message).__name__.encode(), *parts)

    def __repr__(self) -> str:
        return "<AttemptDigest>"


def _joined_digest(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()
