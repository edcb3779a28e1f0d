"""How embeddings reach the top model: what each aggregation is asked for, at both sides, and what it knows of the job.

A feature party has an `EmbeddingSender`, by which its embedding of each batch leaves. The label party has the
`EmbeddingReceiver` that fits: by it the arrays arrive that the top model joins, and it knows whose embeddings each holds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vsplit.protocol import Floats, Message, Role

if TYPE_CHECKING:
    from torch import Tensor

Aggregate = Literal["concat", "sum", "masked_sum", "paillier_sum"]
Rounding = Literal["nearest", "stochastic"]
Noise = Literal["short", "full"]

SECURE: frozenset[Aggregate] = frozenset({"masked_sum", "paillier_sum"})
"""The aggregations that show the label party the sum of the feature parties' embeddings and no single one; what the columns
say is in the sum as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureSum:
    """How embeddings become whole numbers for a secure sum, and how strong the Paillier key is.

    Values are clipped to [-range, range] and written with `bits` bits; `key_bits` and `noise` are for `paillier_sum` alone
    and None without it.
    """

    range: float = 8.0
    bits: int = 16
    rounding: Rounding = "nearest"
    key_bits: int | None = None
    noise: Noise | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CutLayer:
    """What a job says of the embeddings, where the bottom models end and the top model begins.

    `contributors` are the parties with a bottom model, in the job's order: the order in which embeddings are concatenated
    or added. `width` is the number of columns of each embedding, `most_rows` the rows of the largest batch. `secure_sum` is
    given with an aggregation that is one of `SECURE`.
    """

    aggregate: Aggregate
    contributors: tuple[str, ...]
    width: int
    most_rows: int
    secure_sum: SecureSum | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch whose embeddings cross, as all parties know it.

    `step` counts optimiser steps; `part` is that of the split (see `vsplit.learn.batches`). In one training no two
    batches have the same `epoch`, `part` and `number`, and these grow, compared in this order.
    """

    step: int
    epoch: int
    part: int
    number: int
    rows: int


class EmbeddingSender(ABC):
    """A feature party's side."""

    @abstractmethod
    def begin(self, beginning: bytes) -> Role[None]:
        """Agree on what this training needs, before its first batch.

        `beginning` is a digest of where it begins, which must be the same at all feature parties.
        """

    @abstractmethod
    def bind(self, message: Message) -> None:
        """The label party has sent `message`, and owes the same to all feature parties."""

    @abstractmethod
    def send_embedding(self, batch: Batch, values: Floats) -> Role[int]:
        """Send the embedding of a batch, float32 [rows, width], all finite; returns how many values had to be clipped."""


class EmbeddingReceiver(ABC):
    """The label party's side.

    `groups` has the feature parties whose embeddings each arriving array holds: in all, every feature party once.
    """

    groups: Sequence[Sequence[str]]

    @abstractmethod
    def begin(self) -> Role[None]:
        """Agree on what this training needs, before its first batch."""

    @abstractmethod
    def take(self, batch: Batch) -> Role[list[Floats]]:
        """What arrives for a batch: one array float32 [rows, width] for each group, in their order.

        Raises ProtocolError, with the name of the party, for anything else than is due.
        """

    @abstractmethod
    def join(self, arrived: Sequence[Tensor], own: Tensor | None) -> Tensor:
        """The top model's input, float32 [rows, joined width], from what arrived and this party's own embedding, if any."""
