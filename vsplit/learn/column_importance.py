"""The roles of permutation importance: predictions with each column shuffled over the rows. SPEC.md, section 12.5."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vsplit.aggregation.interface import SECURE, Aggregate, CutLayer
from vsplit.aggregation.plain import PlainReceiver, PlainSender
from vsplit.learn.batches import Rows
from vsplit.learn.models import Inputs
from vsplit.learn.scoring import InputSource, LabelPart, batch_of, blocks, embed, embedding_of, predict
from vsplit.protocol import ConfigError, Note, Role

_STAGE = "importance of columns"


@dataclass(frozen=True, slots=True)
class Column:
    """Which of a party's inputs a column of its table became: positions in `numeric` and in `categories`, or the image."""

    numeric: tuple[int, ...] = ()
    categories: tuple[int, ...] = ()
    image: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ShuffledColumn:
    """The inputs of another source, but those of `column` are of the row at `order`, a permutation of the rows."""

    source: InputSource
    column: Column
    order: Rows = field(repr=False)

    def __len__(self) -> int:
        return len(self.source)

    def take(self, rows: Rows) -> Inputs:
        """The inputs of these rows."""
        own, other = self.source.take(rows), self.source.take(self.order[rows])
        numeric, categories = own.numeric.clone(), own.categories.clone()
        numeric[:, list(self.column.numeric)] = other.numeric[:, list(self.column.numeric)]
        categories[:, list(self.column.categories)] = other.categories[:, list(self.column.categories)]
        return Inputs(numeric, categories, other.image if self.column.image else own.image)


@dataclass(frozen=True, slots=True, eq=False)
class ColumnPredictions:
    """Predictions as they are, and with each column shuffled, once for each repeat, by party and number of the column."""

    plain: npt.NDArray[np.float64]
    shuffled: dict[tuple[str, int], list[npt.NDArray[np.float64]]]


def check_importance(aggregate: Aggregate) -> None:
    """Raise ConfigError where the columns of feature parties may not be shuffled."""
    if aggregate in SECURE:
        raise ConfigError(
            f"With {aggregate} the importance of a feature party's columns is not computed: the difference of two sums, one "
            "of them with a shuffled column, would be the difference of two embeddings of that party alone."
        )


def importance_feature(
    label_party: str,
    bottom: nn.Module,
    store: InputSource,
    columns: Sequence[Column],
    aggregate: Aggregate,
    repeats: int,
    seed: int,
) -> Role[None]:
    """Send the embeddings of all rows of `store`, then those with each column shuffled, `repeats` times each.

    The rows are in the common order. `seed` is private, and determines the permutations. Raises ConfigError where `aggregate`
    is a secure sum.

    Learns: nothing.
    Reveals: to the label party, how many columns it has and, for each by its number, how the embedding of each row
    differs where the column has the value of another row, which is not named.
    Assumes: the label party is semi-honest; features are not protected from it.
    """
    check_importance(aggregate)
    sender, number = PlainSender(label_party), 0
    rng, rows = np.random.default_rng(seed), np.arange(len(store))
    sources: list[InputSource] = [store]
    sources += [ShuffledColumn(store, column, rng.permutation(rows)) for column in columns for _ in range(repeats)]
    bottom.eval()
    for done, source in enumerate(sources, 1):
        for padded, size in blocks(rows):
            yield from sender.send_embedding(batch_of(number, size), embedding_of(bottom, source, padded, size))
            number += 1
        yield Note(_STAGE, done, len(sources))


@dataclass(frozen=True, slots=True, eq=False)
class LabelColumns:
    """The label party's inputs, and which of them each of its columns became."""

    source: InputSource
    columns: Sequence[Column]


def importance_label(
    me: str, part: LabelPart, own: LabelColumns | None, counts: Mapping[str, int], cut: CutLayer, records: int,
    repeats: int, seed: int, rows: Rows | None = None,
) -> Role[ColumnPredictions]:  # fmt: skip
    """Predictions for this party's rows with each column shuffled, of this party and of the feature parties.

    `own` is None without features; `records` and `rows` are as in `score_label`. `counts` has the number of columns of each
    feature party that takes part, and `cut` is that of a scoring (`scoring_cut`). The result is for
    `vsplit.evaluation.shapley.permutation_importance`. Raises ConfigError with a secure sum.

    Learns: for each column of a feature party, by its number, how each row's embedding differs where it is shuffled.
    Reveals: nothing: no message is sent.
    Assumes: feature parties are semi-honest.
    """
    check_importance(cut.aggregate)
    receivers = {name: PlainReceiver(me, [name], cut) for name in counts}
    joining, every = PlainReceiver(me, tuple(counts), cut), np.arange(records) if rows is None else rows
    mine = None if own is None or part.bottom is None else embed(part.bottom, own.source)
    part.top.eval()

    def predictions(embeddings: Mapping[str, Tensor], mine: Tensor | None) -> npt.NDArray[np.float64]:
        return predict(part, joining, list(embeddings.values()), mine, every)

    plain: dict[str, Tensor] = {}
    for name, receiver in receivers.items():
        plain[name] = yield from _one_pass(receiver, records, 0, part.device)
    found = ColumnPredictions(predictions(plain, mine), {})
    for number, shuffled in _shuffled_own(part, own, repeats, seed):
        found.shuffled.setdefault((me, number), []).append(predictions(plain, shuffled))
    for name, receiver in receivers.items():
        for index in range(counts[name] * repeats):
            changed = yield from _one_pass(receiver, records, index + 1, part.device)
            key = name, index // repeats
            found.shuffled.setdefault(key, []).append(predictions({**plain, name: changed}, mine))
            yield Note(_STAGE, index + 1, counts[name] * repeats, name)
    return found


def _one_pass(receiver: PlainReceiver, records: int, index: int, device: str) -> Role[Tensor]:
    """The embeddings of all records that a feature party sends in its pass `index`, counted from 0."""
    found, sizes = [], [size for _, size in blocks(np.arange(records))]
    for number, size in enumerate(sizes, index * len(sizes)):
        (values,) = yield from receiver.take(batch_of(number, size))
        found.append(torch.tensor(values, device=device))
    return torch.cat(found)


def _shuffled_own(part: LabelPart, own: LabelColumns | None, repeats: int, seed: int) -> Iterator[tuple[int, Tensor]]:
    """The own embeddings with each column shuffled, and the number of the column."""
    if own is None or part.bottom is None:
        return
    rng = np.random.default_rng(seed)
    for number, column in enumerate(own.columns):
        for _ in range(repeats):
            yield number, embed(part.bottom, ShuffledColumn(own.source, column, rng.permutation(len(own.source))))
