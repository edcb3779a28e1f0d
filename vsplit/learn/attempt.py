"""Who begins a training agrees with all others on an attempt: bytes that no earlier or later training has.

Every party draws 16 bytes for it. So whatever the others do, a party never takes part in the same attempt twice, and masks
and seals that are bound to it never come again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np

from vsplit.learn.messages import HEAD
from vsplit.protocol import Array, Bytes, Message, ProtocolError, Role, receive, send

NONCE = 16
RandomBytes = Callable[[int], bytes]

_ATTEMPT = b"vsplit-attempt-v1"


class AttemptNonce(Message, frozen=True, kw_only=True, eq=False):
    """Feature party to label party, before a training: 16 random bytes."""

    reveals: ClassVar[str] = "nothing: random bytes"

    nonce: Annotated[Bytes, Array("uint8", (NONCE,))]


class AttemptNonces(Message, frozen=True, kw_only=True, eq=False):
    """Label party to feature party: everybody's random bytes, its own first, then in the job's order."""

    reveals: ClassVar[str] = "nothing: everybody's random bytes"

    nonces: Annotated[Bytes, Array("uint8", (None, NONCE))]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What this attempt is named: `name`, 32 bytes, and `number`, the first 64 bits of it."""

    name: bytes = field(repr=False)

    @property
    def number(self) -> int:
        """The first 8 bytes as a number, for `vsplit.sealing.Place`."""
        return int.from_bytes(self.name[:8], "big")


def agree_as_label(feature_parties: Sequence[str], random_bytes: RandomBytes, about: bytes = b"") -> Role[Attempt]:
    """The label party's side. `about` is what all parties must have in common besides, such as a public key."""
    nonces = [random_bytes(NONCE)]
    for party in feature_parties:
        nonces.append((yield from receive(party, AttemptNonce, NONCE + HEAD)).nonce.tobytes())
    together = np.frombuffer(b"".join(nonces), np.uint8).reshape(-1, NONCE)
    for party in feature_parties:
        yield from send(party, AttemptNonces(nonces=together))
    return _attempt(together, about)


def agree_as_feature(
    me: str, label_party: str, feature_parties: Sequence[str], random_bytes: RandomBytes, about: bytes = b""
) -> Role[Attempt]:
    """A feature party's side. Raises ProtocolError where its own nonce is not among those that come back."""
    own = np.frombuffer(random_bytes(NONCE), np.uint8)
    yield from send(label_party, AttemptNonce(nonce=own))
    told = (yield from receive(label_party, AttemptNonces, NONCE * (len(feature_parties) + 1) + HEAD)).nonces
    if len(told) != len(feature_parties) + 1 or not np.array_equal(told[1 + list(feature_parties).index(me)], own):
        raise ProtocolError(
            label_party,
            f"{label_party} began the training with other random bytes than this party's own: it would repeat an earlier "
            "training, or its program is another version; ask there.",
        )
    return _attempt(told, about)


def _attempt(nonces: Bytes, about: bytes) -> Attempt:
    return Attempt(hashlib.sha256(_ATTEMPT + len(nonces).to_bytes(4, "big") + nonces.tobytes() + about).digest())
