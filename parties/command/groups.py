"""The kinds of message in five groups, and in plain words what crosses in each and what it reveals to its receiver.

The page for the data-protection officer shows the groups first and the kinds below them. Each kind is in exactly one group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from parties.local.text import listed
from vsplit.measured import (
    INVERTED,
    INVERTED_SUM,
    LABELS,
    LABELS_IN_ALL,
    LABELS_OF_ONE,
    MEASURED_WIDTH,
    OTHERS,
    OTHERS_WITHOUT,
    SCORES,
)

if TYPE_CHECKING:
    from parties.command.cut_layer import CutLayer
    from parties.config.job import Job

GroupName = Literal["known", "lists", "embeddings", "gradients", "housekeeping"]

TITLES: dict[GroupName, str] = {
    "known": "Who is known to whom",
    "lists": "Identity lists",
    "embeddings": "Embeddings",
    "gradients": "Gradients",
    "housekeeping": "Housekeeping",
}

KINDS_OF: dict[GroupName, tuple[str, ...]] = {
    "known": (
        "ListSize", "ListSizes", "MatchCount", "Agreement", "MatchBits", "OwnPositions", "MatchPositions",
        "RowCounts", "Parts",
    ),
    "lists": ("MaskedKeys", "MaskedByAll", "Sealed", "KeyShapes"),
    "embeddings": ("Embedding", "MaskedEmbedding", "EncryptedSum"),
    "gradients": ("Gradient", "Verdict"),
    "housekeeping": (
        "Handshake", "LedgerSalt", "LedgerLastLine", "LedgerHead", "LocalStateOffer", "StartDecision", "StateKept",
        "StateKeptByAll", "ModelOffer", "ModelRequest", "FreshKeys", "KeyProofs", "AttemptNonce", "AttemptNonces",
        "PaillierKey",
    ),
}  # fmt: skip
GROUP_OF: dict[str, GroupName] = {kind: group for group, kinds in KINDS_OF.items() for kind in kinds}


@dataclass(frozen=True, slots=True)
class Words:
    """What crosses in a group, what it reveals to its receiver, and what was measured of that (empty: nothing was)."""

    crosses: str
    reveals: str
    measured: str = ""


def words_of(group: GroupName, job: Job, cut: CutLayer | None) -> Words:
    """A group in plain words, for this job; `cut` is None for an overlap, in which nothing is trained."""
    match group:
        case "known":
            return _known(job, overlap=cut is None)
        case "lists":
            return _lists(job)
        case "embeddings":
            return _none("embedding") if cut is None else _embeddings(job, cut)
        case "gradients":
            return _none("gradient") if cut is None else _gradients(job, cut)
        case "housekeeping":
            return _housekeeping()


def _none(what: str) -> Words:
    return Words(f"Nothing: an overlap trains no model, so no {what} crosses.", "Nothing.")


def _known(job: Job, *, overlap: bool) -> Words:
    label, features = job.label_party, listed(job.feature_parties)
    counts = "The parties send each other how many records with a usable key they hold, and how many all of them share."
    any_two = ""
    if len(job.feature_parties) > 1:
        any_two = (
            f" {label} also learns how many records each other party shares with it, and how many any of them share."
        )
    if overlap:
        return Words(
            counts,
            "How many people are known to all parties, but no name, as long as every party follows the protocol."
            f"{any_two} A party that asks often, or with a list made for this purpose, can find out about single people; the "
            "bounds below limit that.",
        )
    more = ""
    if job.align.repeated == "many_to_one":
        more += f" {label} sends how many rows it has of each shared person."
    if job.split.by == "date":
        more += f" {label} sends for each shared record whether its date is old, newer or newest."
    return Words(
        f"{counts} Once all agree that these are enough, each learns which of its own records all other parties hold.{more}",
        f"Each party learns which of the people on its own list are known to all other parties. {features} thereby "
        f"{'learns' if len(job.feature_parties) == 1 else 'learn'} that {label} knows their outcome, since {label} "
        f"omits records without one.{any_two} That somebody is on a list at all can be a sensitive fact.",
    )


def _lists(job: Job) -> Words:
    hints = ""
    if job.align.hints:
        hints = (
            " Only where few records match, the parties also send each other statistics of their keys: lengths, kinds of "
            "characters and forms of dates, in coarse steps."
        )
    return Words(
        "Each party's list of keys, each key hashed and masked with a secret that is drawn for this run only, in random "
        f"order.{hints}",
        "Nothing about a person who is not known to all parties, as long as every party follows the protocol. A party that "
        "puts invented keys on its list learns which of them the other parties hold.",
    )


def _embeddings(job: Job, cut: CutLayer) -> Words:
    label, features = job.label_party, listed(job.feature_parties)
    secure = job.model.secure_sum is not None
    shown = f"the sum of the embeddings of {features}, and no single one" if secure else f"the embedding of {features}"
    return Words(
        f"For each shared record {label} receives {shown}: {cut.numbers}, {cut.bits:,} bits in all, which a private "
        f"model computes from the columns. {cut.passes}",
        f"They are computed from the columns and can be turned back into them. {label} needs some records of which it knows "
        "these columns, from whatever source; from these it learns how to read all others."
        + (" A sum hides which party a number comes from, but hardly what it reveals." if secure else ""),
        f"With 1,000 known records the columns of all others were reconstructed with {INVERTED} of the error of a guess from "
        f"single embeddings of {MEASURED_WIDTH} numbers, and with {INVERTED_SUM} from the sum of two.{_not_measured(job.task)}",
    )


def _gradients(job: Job, cut: CutLayer) -> Words:
    label, features = job.label_party, listed(job.feature_parties)
    both = len(job.feature_parties) > 1
    return Words(
        f"For each training record and epoch {label} sends {'each of ' if both else ''}{features} {cut.width} "
        f"number{'' if cut.width == 1 else 's'}: in which direction, and how far, the embedding would have to move for the "
        f"loss to fall. That is up to {cut.epochs} times for each training record. After each epoch it sends whether the "
        "model improved.",
        f"They are computed from the labels. {features} can read from them the outcome of each person in the training records, "
        "and roughly how the joint model scores that person"
        + (", and something about the other parties' columns." if both else "."),
        f"{LABELS} of all training labels were read from the first epoch, {LABELS_IN_ALL} from all epochs, where an embedding "
        f"had {MEASURED_WIDTH} numbers, and {LABELS_OF_ONE} from the first epoch where it had one. A feature party's estimate "
        f"of the scores had a rank correlation of {SCORES} with the true ones."
        + (
            f" With 1,000 known records it reconstructed another feature party's columns with {OTHERS} of the error of a "
            f"guess, and with {OTHERS_WITHOUT} without the gradients."
            if both
            else ""
        )
        + _not_measured(job.task),
    )


def _not_measured(task: str) -> str:
    """All examples have two classes, so their figures say little about another task."""
    asked = {"multiclass": "several classes", "regression": "a number as the outcome"}.get(task)
    return f" All of this was measured with two classes; with {asked}, as here, nothing was measured." if asked else ""


def _housekeeping() -> Words:
    return Words(
        "What the programs exchange to do the same steps in the same order: digests of the job, fresh public keys and random "
        "numbers, the progress of each party, and signatures over the record of messages.",
        "Which run is resumed and how far it is, how many lines a record of messages has, and nothing about a person.",
    )
