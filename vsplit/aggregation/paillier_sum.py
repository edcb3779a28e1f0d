"""`paillier_sum`: each feature party adds its encrypted embedding to those before it; the label party receives the total.

SPEC.md, section "Encrypted sums", has the protocol. The label party holds the private key and relays every hop of the chain, so
the hops are sealed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, ClassVar

import numpy as np

from vsplit.aggregation.attempt import RandomBytes, agree_as_label
from vsplit.aggregation.interface import Batch, CutLayer
from vsplit.aggregation.noise_pool import NoisePool, pieces_of
from vsplit.aggregation.secure_sum import Member, SumReceiver, SumSender, fixed_point_of, place_of, secure_sum_of
from vsplit.measured import COMMAND, INVERTED_SUM
from vsplit.paillier.cipher import add, check_ciphertexts, decrypt, encrypt
from vsplit.paillier.keys import PrivateKey, PublicKey, generate, public_bytes, read_public
from vsplit.paillier.noise import Kind
from vsplit.paillier.packing import Packing
from vsplit.protocol import HEAD, Array, Bytes, Floats, Message, ProtocolError, Role, receive, send, work
from vsplit.sealing import TAG, Place, Seal, Sealed, pass_on


class PaillierKey(Message, frozen=True, kw_only=True, eq=False):
    """Label party to feature party, before a training: the modulus, least significant byte first."""

    reveals: ClassVar[str] = "nothing: a public key, drawn for this training alone"

    modulus: Annotated[Bytes, Array("uint8", (None,))]


class EncryptedSum(Message, frozen=True, kw_only=True, eq=False):
    """Last feature party to label party: the encrypted sum for one batch, uint8 [ciphertexts, bytes]."""

    reveals: ClassVar[str] = (
        "the sum of all feature parties' embeddings of each record, and no single embedding. The sum hides which party a "
        "number comes from, but hardly the features: in the examples they were reconstructed from it, with 1,000 known "
        f"records, to {INVERTED_SUM} of the error of guessing the mean ({COMMAND})"
    )

    epoch: int
    part: int
    number: int
    ciphertexts: Annotated[Bytes, Array("uint8", (None, None))]


@dataclass(frozen=True, slots=True)
class CiphertextLayout:
    """The layout of a job's ciphertexts, and the length of its messages."""

    packing: Packing
    kind: Kind
    width: int
    most_rows: int

    @property
    def key_bits(self) -> int:
        """Bits of the modulus."""
        return self.packing.key_bits

    @property
    def most_ciphertexts(self) -> int:
        """Ciphertexts of the largest batch."""
        return self.packing.plaintexts(self.most_rows * self.width)

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of one ciphertext."""
        return 2 * self.packing.plaintext_bytes

    @property
    def limit(self) -> int:
        """The most bytes of content that one message has."""
        return self.most_ciphertexts * self.ciphertext_bytes

    def ciphertexts(self, batch: Batch) -> int:
        """Ciphertexts of this batch."""
        return self.packing.plaintexts(batch.rows * self.width)


def layout_of(cut: CutLayer, feature_parties: Sequence[str]) -> CiphertextLayout:
    """The layout of a job's ciphertexts; raises ValueError where the job has no key, ConfigError where it does not fit."""
    settings = secure_sum_of(cut)
    if settings.key_bits is None or settings.noise is None:
        raise ValueError("paillier_sum needs the length of its key and the kind of its noise")
    packing = Packing(fixed_point_of(cut, feature_parties), settings.key_bits)
    return CiphertextLayout(packing, settings.noise, cut.width, cut.most_rows)


@dataclass(slots=True)
class _Attempt:
    """What a feature party has for one attempt."""

    key: PublicKey
    noise_pool: NoisePool = field(repr=False)


class PaillierSender(SumSender):
    """A feature party's side: one link of the chain, in the job's order."""

    def __init__(self, member: Member, cut: CutLayer) -> None:
        super().__init__(member, cut)
        parties, seals = member.feature_parties, member.seals
        at = list(parties).index(member.me)
        self._layout = layout_of(cut, parties)
        self._before = seals[parties[at - 1]] if at > 0 else None
        self._after = seals[parties[at + 1]] if at + 1 < len(parties) else None
        self._here: _Attempt | None = None

    def begin(self, beginning: bytes) -> Role[None]:
        """Receive the label party's public key, agree on an attempt, and start to generate the first noise."""
        message = yield from receive(self.label_party, PaillierKey, self._layout.key_bits // 8 + HEAD)
        key = read_public(message.modulus, self._layout.key_bits, self.label_party)
        # Parties that received different keys have different contexts, so neither can open what the other seals.
        yield from self.agree(beginning, message.modulus.tobytes())
        noise_pool = NoisePool(
            key, self.label_party, self._layout.kind, self._layout.most_ciphertexts, self.random_bytes
        )
        self._here = _Attempt(key, noise_pool)
        yield from noise_pool.prepare()

    def send_embedding(self, batch: Batch, values: Floats) -> Role[int]:
        """Encrypt the embedding, add it to the sum from the party before, and send the new sum on.

        Raises ProtocolError for a hop that differs from what the party before sealed, or does not hold ciphertexts.
        """
        if self._here is None:
            raise RuntimeError("a training begins before its first batch")
        here, count = self._here, self._layout.ciphertexts(batch)
        quantised = self.fixed_point.encode(values, self.random_bytes)
        noise = yield from here.noise_pool.take(count)
        total = encrypt(here.key, self._layout.packing.pack(quantised.units), noise.take())
        yield from here.noise_pool.prepare()
        place = Place(f"paillier_sum, part {batch.part}", self.context, batch.epoch, batch.number)
        if self._before is not None:
            # This party's noise is new, so it makes the sum a new ciphertext as well.
            total = add(here.key, (yield from self._receive(self._before, here.key, place, count)), total)
        if self._after is not None:
            yield from send(self.label_party, self._after.seal(place, total))
        else:
            yield from send(
                self.label_party,
                EncryptedSum(epoch=batch.epoch, part=batch.part, number=batch.number, ciphertexts=total),
            )
        return quantised.clipped

    def _receive(self, before: Seal, key: PublicKey, place: Place, count: int) -> Role[Bytes]:
        hop = yield from receive(self.label_party, Sealed, self._layout.limit + TAG + HEAD)
        content = before.open(place, hop)
        size = self._layout.ciphertext_bytes
        if len(content) != count * size:
            raise ProtocolError(
                before.peer,
                f"{before.peer} sent {len(content):,} bytes where {count:,} ciphertexts of {size:,} bytes were due; its "
                "program is another version, so ask there.",
            )
        ciphertexts = content.reshape(count, size)
        check_ciphertexts(key, ciphertexts, count, before.peer)
        return ciphertexts


class PaillierReceiver(SumReceiver):
    """The label party's side: it generates the keys, relays the hops, and decrypts the total."""

    def __init__(self, feature_parties: Sequence[str], cut: CutLayer, random_bytes: RandomBytes) -> None:
        super().__init__(feature_parties, cut, random_bytes)
        self._layout = layout_of(cut, feature_parties)
        self._key: PrivateKey | None = None

    def begin(self) -> Role[None]:
        """Generate a key pair, send the public key to every feature party, and agree on an attempt."""
        self._key = generate(self._layout.key_bits, self.random_bytes)
        modulus = public_bytes(self._key.public_key)
        for party in self.feature_parties:
            yield from send(party, PaillierKey(modulus=modulus))
        yield from agree_as_label(self.feature_parties, self.random_bytes)

    def take(self, batch: Batch) -> Role[list[Floats]]:
        """The sum of the embeddings of a batch, from the last party's total."""
        if self._key is None:
            raise RuntimeError("a training begins before its first batch")
        for sender, to in pairwise(self.feature_parties):
            yield from pass_on(sender, to, self._layout.limit)
        last = self.feature_parties[-1]
        message = yield from receive(last, EncryptedSum, self._layout.limit + HEAD)
        found = message.epoch, message.part, message.number
        if found != place_of(batch):
            raise ProtocolError(
                last, f"{last} sent an encrypted sum of the batch {found} where the batch {place_of(batch)} was due."
            )
        check_ciphertexts(self._key.public_key, message.ciphertexts, self._layout.ciphertexts(batch), last)
        plaintexts = yield from work(decrypt, [(self._key, piece) for piece in pieces_of(message.ciphertexts)])
        totals = self._layout.packing.unpack(np.concatenate(plaintexts), batch.rows * self.cut.width, last)
        return [self.decoded(batch, totals, last)]
