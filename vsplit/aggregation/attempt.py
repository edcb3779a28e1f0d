"""Who begins a training agrees with all others on an attempt: bytes that no earlier or later training has.

Every party draws 16 bytes for it. So whatever the others do, a party never takes part in the same attempt twice, and masks
and seals that are bound to it never come again. They are bound as well to what the label party tells while it goes on.
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
    """Label party to feature party: everybody's random bytes, its own first, then in the job's order."""

    reveals: ClassVar[str] = "nothing: everybody's random bytes"

    nonces: Annotated[Bytes, Array("uint8", (None, NONCE))]


def agree_as_label(feature_parties: Sequence[str], random_bytes: RandomBytes) -> Role[None]:
    """The label party's side."""
    nonces = [random_bytes(NONCE)]
    for party in feature_parties:
        nonces.append((yield from receive(party, AttemptNonce, NONCE + HEAD)).nonce.tobytes())
    together = np.frombuffer(b"".join(nonces), np.uint8).reshape(-1, NONCE)
    for party in feature_parties:
        yield from send(party, AttemptNonces(nonces=together))


def agree_as_feature(
    me: str, label_party: str, feature_parties: Sequence[str], random_bytes: RandomBytes, about: Sequence[bytes]
) -> Role[AttemptDigest]:
    """A feature party's side. `about` is what all feature parties must have in common besides, such as the name of the run.

    Raises ProtocolError where its own nonce is not among those that come back.
    """
    own = np.frombuffer(random_bytes(NONCE), np.uint8)
    yield from send(label_party, AttemptNonce(nonce=own))
    told = (yield from receive(label_party, AttemptNonces, NONCE * (len(feature_parties) + 1) + HEAD)).nonces
    if len(told) != len(feature_parties) + 1 or not np.array_equal(told[1 + list(feature_parties).index(me)], own):
        raise ProtocolError(
            label_party,
            f"{label_party} began the training with other random bytes than this party's own: it would repeat an earlier "
            "training, or its program is another version; ask there.",
        )
    return AttemptDigest(_ATTEMPT, told.tobytes(), *about)


class AttemptDigest:
    """A digest of an attempt, and of all that the label party has told since and owes to all feature parties alike.

    Masks and seals are bound to it. So a label party that told one of them something else could not add their embeddings
    any more.
    """

    __slots__ = ("digest",)

    def __init__(self, *beginning: bytes) -> None:
        self.digest = _joined_digest(*beginning)

    def bind(self, message: Message) -> None:
        """Take in what the label party has told."""
        fields = (getattr(message, name) for name in message.__struct_fields__)
        parts = [
            # The shape follows from the job and the batch, which are bound elsewhere.
            field.tobytes() if isinstance(field, np.ndarray) else repr(field).encode()
            for field in fields
        ]
        self.digest = _joined_digest(self.digest, type(message).__name__.encode(), *parts)

    def __repr__(self) -> str:
        return "<Told>"


def _joined_digest(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()
