"""What an honest-but-curious side reads from what it is sent in training.

Each attack is given what its side has, and no more; the truth is used only to say how well it read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import RidgeCV

Floats = npt.NDArray[np.floating]
Rows = npt.NDArray[np.int64]
Learn = Callable[[Floats, Floats, Floats], Floats]
"""Learns from inputs and outputs of known records, and answers for others' inputs."""

JUDGED = 5000
"""So many other records, at most, an inversion is judged on."""
KNOWN_LABELS = 20
"""How many records' labels the feature party knows: they tell which of two groups is which."""


def along_the_direction(gradients: Sequence[Floats], batches: Sequence[Rows], rows: int) -> Floats:
    """For each record trained on in one epoch, how far its unit gradient points in the direction common to its batch.

    The direction is the first right singular vector of the batch's unit gradients. Its sign is arbitrary and is taken from
    the batches before, of which the last count most, since the direction turns slowly. Returns float [rows].
    """
    found, before = np.zeros(rows), None
    for gradient, batch in zip(gradients, batches, strict=True):
        unit = unit_rows(gradient)
        direction = np.linalg.svd(unit, full_matrices=False)[2][0]
        if before is None:
            before = direction
        if before @ direction < 0:
            direction = -direction
        found[batch], before = unit @ direction, 0.7 * before + direction
    return found


def unit_rows(values: Floats) -> Floats:
    """Each row at length 1; a row of zeros stays."""
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(length > 0, length, 1)


def signed(reading: Floats, labels: Rows, known: Rows) -> Floats:
    """`reading`, turned so that most of the known records with the label 1 have a positive one."""
    agree = np.mean((reading[known] > 0) == (labels[known] == 1))
    return reading if agree >= 0.5 else -reading


def read_labels(
    gradients: Sequence[Sequence[Floats]], batches: Sequence[Sequence[Rows]], labels: Rows, random: np.random.Generator
) -> tuple[Rows, Rows]:
    """What a feature party takes for the labels: by the gradients of the first epoch, and by those of all together.

    `gradients` and `batches` are by epoch; of `labels` only a few are looked at, which it is taken to know.
    """
    known = random.choice(len(labels), KNOWN_LABELS, replace=False)
    each = [
        signed(along_the_direction(one, cut, len(labels)), labels, known)
        for one, cut in zip(gradients, batches, strict=True)
    ]
    votes = np.sum(each, axis=0)
    return (each[0] > 0).astype(np.int64), (votes > 0).astype(np.int64)


def read_scores(
    gradients: Sequence[Sequence[Floats]], batches: Sequence[Sequence[Rows]], read: Rows, last: int = 10
) -> Floats:
    """What a feature party takes for the score of each record, from the last epochs' gradients and the labels it `read`.

    A gradient is the derivative along the score times (score - label). So its length, which grows with the distance
    between the two, counts upwards from the label 0 and downwards from the label 1.
    """
    lengths = np.zeros((min(last, len(gradients)), len(read)))
    for found, one, cut in zip(lengths, gradients[-last:], batches[-last:], strict=True):
        for gradient, batch in zip(one, cut, strict=True):
            found[batch] = np.linalg.norm(gradient, axis=1) * len(batch)  # the loss is a mean over its batch
    length = np.mean(lengths, axis=0)
    return np.where(read == 1, length.max() - length, length)


def rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's."""
    return float(np.corrcoef(pd.Series(one).rank(), pd.Series(other).rank())[0, 1])


def of_the_gradients(gradients: Floats, read: Rows) -> Floats:
    """What a record's gradients, float [rows, epochs, width], say besides its label: their directions and lengths."""
    length = np.linalg.norm(gradients, axis=2, keepdims=True)
    turned = np.where(read == 1, -1.0, 1.0)[:, None, None]
    direction = gradients / np.where(length > 0, length, 1) * turned
    logarithm = np.log(np.maximum(length[:, :, 0], 1e-12))
    return np.hstack([direction.reshape(len(read), -1), logarithm, read[:, None]])


def linear(seen: Floats, wanted: Floats, asked: Floats) -> Floats:
    """Ridge regression, its penalty chosen by leaving out one: for what is nearly a linear function."""
    found: Floats = RidgeCV(alphas=np.logspace(-2, 4, 13)).fit(seen, wanted).predict(asked)
    return found


def trees(seen: Floats, wanted: Floats, asked: Floats) -> Floats:
    """Extremely randomised trees: for what hangs on conditions."""
    forest = ExtraTreesRegressor(100, min_samples_leaf=2, random_state=0)
    found: Floats = forest.fit(seen, wanted).predict(asked)
    return found


def inversion_error(
    seen: Floats, columns: Floats, known: int, random: np.random.Generator, learn: Learn = linear
) -> float:
    """How far off a side is that learns from `known` records to get from what it has `seen` to another side's `columns`.

    It is the root mean square error on other records over that of the guess at the known records' mean, as a mean over
    columns that are not constant: 1 says that nothing was learned, 0 that all was.
    """
    order = random.permutation(len(columns))
    helpers, others = order[:known], order[known : known + JUDGED]
    varied = (columns[helpers].std(0) > 0) & (columns[others].std(0) > 0)
    wanted = columns[:, varied]
    scaled = np.clip((seen - seen[helpers].mean(0)) / (seen[helpers].std(0) + 1e-6), -10, 10)
    error = np.sqrt(np.mean((learn(scaled[helpers], wanted[helpers], scaled[others]) - wanted[others]) ** 2, axis=0))
    guess = np.sqrt(np.mean((wanted[helpers].mean(0) - wanted[others]) ** 2, axis=0))
    return float(np.mean(error / guess))
