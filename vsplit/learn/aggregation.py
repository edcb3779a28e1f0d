"""How embeddings reach the top model: the one thing in which the aggregations of a job differ.

A feature party has a `Giving`, by which its embedding of each batch leaves; the label party has the `Taking` that fits,
by which the arrays arrive that it joins, and which knows whose embeddings each of them holds. `OpenGiving` and
`OpenTaking` send embeddings as they are. `vsplit.learn.masked` and `vsplit.learn.chain` have the ways on which a sum of them
arrives instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vsplit.learn.batches import most_in_batch
from vsplit.learn.messages import HEAD, Embedding
from vsplit.learn.plan import Aggregate, Plan
from vsplit.protocol import Floats, Message, ProtocolError, Role, receive, send


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


class Giving(ABC):
    """A feature party's side."""

    @abstractmethod
    def begin(self, beginning: bytes) -> Role[None]:
        """Agree on what this training needs, before its first batch.

        `beginning` is a digest of where it begins, which must be the same at all feature parties.
        """

    @abstractmethod
    def hear(self, message: Message) -> None:
        """The label party has sent `message`, and owes the same to all feature parties."""

    @abstractmethod
    def give(self, batch: Batch, values: Floats) -> Role[int]:
        """Send the embedding of a batch, float32 [rows, width], all finite; returns how many values had to be clipped."""


class Taking(ABC):
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


class OpenGiving(Giving):
    """Sends each embedding to the label party as it is."""

    def __init__(self, label_party: str) -> None:
        self._label_party = label_party

    def begin(self, beginning: bytes) -> Role[None]:
        """Nothing needs to be agreed on."""
        yield from ()

    def hear(self, message: Message) -> None:
        """Each feature party is told a gradient of its own."""

    def give(self, batch: Batch, values: Floats) -> Role[int]:
        """Send the embedding; nothing is ever clipped."""
        yield from send(self._label_party, Embedding(step=batch.step, values=values))
        return 0


class OpenTaking(Taking):
    """Receives the embedding of each feature party by itself, and joins them as the plan says.

    `me` is the label party's name among the plan's contributors.
    """

    def __init__(self, me: str, feature_parties: Sequence[str], plan: Plan) -> None:
        self.groups = [(party,) for party in feature_parties]
        self._me = me
        self._feature_parties = tuple(feature_parties)
        self._plan = plan

    def begin(self) -> Role[None]:
        """Nothing needs to be agreed on."""
        yield from ()

    def take(self, batch: Batch) -> Role[list[Floats]]:
        """One embedding of each feature party, in the job's order."""
        due = batch.rows, self._plan.width
        limit = most_in_batch(self._plan.batch_size) * self._plan.width * 4 + HEAD
        arrived = []
        for party in self._feature_parties:
            message = yield from receive(party, Embedding, limit, answer_first=True)
            if message.step != batch.step or message.values.shape != due:
                raise ProtocolError(
                    party,
                    f"{party} sent an embedding of step {message.step} and shape {message.values.shape} where step "
                    f"{batch.step} and {due} were due.",
                )
            arrived.append(message.values)
        return arrived

    def join(self, arrived: Sequence[Tensor], own: Tensor | None) -> Tensor:
        """Side by side, or added, in the order of the plan's contributors."""
        embeddings = dict(zip(self._feature_parties, arrived, strict=True))
        if own is not None:
            embeddings[self._me] = own
        return join(self._plan.aggregate, [embeddings[name] for name in self._plan.contributors if name in embeddings])


def join(aggregate: Aggregate, embeddings: Sequence[Tensor]) -> Tensor:
    """Join embeddings float32 [n, width], given in the job's order of parties.

    The order is that of the job and never that of arrival, since floating-point sums depend on it.
    """
    if aggregate == "concat":
        return torch.cat(list(embeddings), 1)
    total = embeddings[0]
    for embedding in embeddings[1:]:
        total = total + embedding
    return total
