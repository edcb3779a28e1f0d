"""The interface of every aggregation, at both sides, and what an aggregation knows of the job.

A feature party has an `EmbeddingSender`, which sends its embedding of each batch. The label party has the corresponding
`EmbeddingReceiver`: it receives the arrays that the top model joins, and knows whose embeddings each of them holds.
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
"""The aggregations that show the label party only the sum of the feature parties' embeddings. The sum still carries the
information of the columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureSum:
    """How embeddings become whole numbers for a secure sum, and the strength of the Paillier key.

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
    """What a job defines for the embeddings, where the bottom models end and the top model begins.

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
    """One batch whose embeddings cross; equal at all parties.

    `step` counts optimiser steps; `part` is that of the split (see `vsplit.learn.batches`). In one training no two batches
    have the same `epoch`, `part` and `number`, and these increase, compared in this order.
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

        `beginning` is a digest of where it starts, which must be the same at all feature parties.
        """

    @abstractmethod
    def bind(self, message: Message) -> None:
        """The label party has sent `message`, which must be the same for all feature parties."""

    @abstractmethod
    def send_embedding(self, batch: Batch, values: Floats) -> Role[int]:
        """Send the embedding of a batch, float32 [rows, width], all finite; returns how many values were clipped."""


class EmbeddingReceiver(ABC):
    """The label party's side.

    `groups` has the feature parties whose embeddings each received array holds; every feature party occurs once.
    """

    groups: Sequence[Sequence[str]]

    @abstractmethod
    def begin(self) -> Role[None]:
        """Agree on what this training needs, before its first batch."""

    @abstractmethod
    def take(self, batch: Batch) -> Role[list[Floats]]:
        """Receive a batch: one array float32 [rows, width] for each group, in their order.

        Raises ProtocolError, with the name of the party, for anything other than what is due.
        """

    @abstractmethod
    def join(self, arrived: Sequence[Tensor], own: Tensor | None) -> Tensor:
        """The top model's input, float32 [rows, joined width], from the received arrays and this party's embedding, if any."""
