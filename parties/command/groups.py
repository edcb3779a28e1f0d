"""The kinds of message in five groups, and in plain words what crosses in each and what it tells its receiver.

For the data-protection officer, who is shown the groups first and the kinds below them. Each kind stands in exactly one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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
    from parties.config.party import Party

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
        "ListSize",
        "ListSizes",
        "MatchCount",
        "Agreement",
        "MatchBits",
        "OwnPositions",
        "MatchPositions",
        "RowCounts",
        "Parts",
    ),
    "lists": ("MaskedKeys", "MaskedByAll", "Sealed", "KeyShapes"),
    "embeddings": ("Embedding", "MaskedEmbedding", "EncryptedSum"),
    "gradients": ("Gradient", "Verdict"),
    "housekeeping": (
        "Handshake",
        "LedgerSalt",
        "LedgerLastLine",
        "LedgerHead",
        "LocalStateOffer",
        "StartDecision",
        "StateKept",
        "StateKeptByAll",
        "FreshKeys",
        "KeyProofs",
        "AttemptNonce",
        "AttemptNonces",
        "PaillierKey",
    ),
}
GROUP_OF: dict[str, GroupName] = {kind: group for group, kinds in KINDS_OF.items() for kind in kinds}


@dataclass(frozen=True, slots=True)
class Words:
    """What crosses in a group, what its receiver can tell from it, and what was measured of that (empty: nothing was)."""

    crosses: str
    tells: str
    measured: str = ""


def words_of(group: GroupName, party: Party, cut: CutLayer | None) -> Words:
    """A group in plain words, for this party's job; `cut` is None for an overlap, in which nothing is learned."""
    match group:
        case "known":
            return _known(party, overlap=cut is None)
        case "lists":
            return _lists(party.job)
        case "embeddings":
            return _none("embedding") if cut is None else _embeddings(party.job, cut)
        case "gradients":
            return _none("gradient") if cut is None else _gradients(party.job, cut)
        case "housekeeping":
            return _housekeeping()


def _none(what: str) -> Words:
    return Words(f"Nothing: an overlap trains no model, so no {what} crosses.", "Nothing.")


def _known(party: Party, *, overlap: bool) -> Words:
    label, features = party.job.label_party, _listed(party.job.feature_parties)
    counts = "The parties tell each other how many records with a usable key they hold, and how many all of them share."
    any_two = ""
    if len(party.job.feature_parties) > 1:
        any_two = (
            f" {label} also learns how many records each other party shares with it, and how many any of them share."
        )
    if overlap:
        return Words(
            counts,
            "How many people are known to all parties, and nobody's name, as long as every party follows the protocol."
            f"{any_two} Whoever asks often, or with a list chosen for it, can find out about single people; the bounds below "
            "limit that.",
        )
    more = ""
    if party.job.align.repeated == "many_to_one":
        more += f" {label} tells how many rows it has of each shared person."
    if party.job.split.by == "date":
        more += f" {label} tells of each shared record whether its date is old, newer or newest."
    return Words(
        f"{counts} Once all agree that these are enough, each is told which of its own records all the others hold too.{more}",
        f"Each party learns which of the people on its own list are known to all the others. {features} thereby "
        f"{'learns' if len(party.job.feature_parties) == 1 else 'learn'} that {label} knows their outcome, since {label} "
        f"leaves out records without one.{any_two} That somebody is on a list at all can be a sensitive fact.",
    )


def _lists(job: Job) -> Words:
    hints = ""
    if job.align.hints:
        hints = (
            " Only where few records match, the parties also tell each other roughly how their keys look: lengths, kinds of "
            "characters and forms of dates, in coarse steps."
        )
    return Words(
        "Each party's list of keys, each key hashed and masked with a secret that is drawn for this run alone, in random "
        f"order.{hints}",
        "Nothing about a person who is not known to all, as long as every party follows the protocol. A party that puts "
        "invented keys on its list learns which of them the others hold.",
    )


def _embeddings(job: Job, cut: CutLayer) -> Words:
    label, features = job.label_party, _listed(job.feature_parties)
    secure = job.model.secure_sum is not None
    shown = f"the sum of the embeddings of {features}, and no single one" if secure else f"the embedding of {features}"
    return Words(
        f"For each shared record {label} is shown {shown}: {cut.numbers}, {cut.bits:,} bits in all, which a private model "
        f"makes from the columns. {cut.passes}",
        f"They are made from the columns and can be turned back into them. {label} needs some records of which it knows "
        "these columns, from whatever source; it learns from them how to read all others."
        + (" A sum hides which party a number came from, and hardly what it says." if secure else ""),
        f"With 1,000 known records the columns of all others were worked out to {INVERTED} of the error of a guess from single "
        f"embeddings of {MEASURED_WIDTH} numbers, and to {INVERTED_SUM} from the sum of two.{_not_measured(job.task)}",
    )


def _gradients(job: Job, cut: CutLayer) -> Words:
    label, features = job.label_party, _listed(job.feature_parties)
    both = len(job.feature_parties) > 1
    return Words(
        f"For each training record and epoch {label} sends {'each of ' if both else ''}{features} {cut.width} "
        f"number{'' if cut.width == 1 else 's'}: in which direction, and how far, the embedding would have to move for the "
        f"loss to fall. That is up to {cut.epochs} times for each training record. After each epoch it says whether the "
        "model became better.",
        f"They are made from the labels. {features} can read from them the outcome of each person who is trained on, and about "
        "how the joint model scores that person" + (", and something of the other parties' columns." if both else "."),
        f"{LABELS} of all training labels were read from the first epoch, {LABELS_IN_ALL} over all, where an embedding had "
        f"{MEASURED_WIDTH} numbers, and {LABELS_OF_ONE} from the first epoch where it had one. What a feature party took for "
        f"the scores had a rank correlation of {SCORES} with the true ones."
        + (
            f" With 1,000 known records it worked out another feature party's columns to {OTHERS} of the error of a guess, and "
            f"to {OTHERS_WITHOUT} without the gradients."
            if both
            else ""
        )
        + _not_measured(job.task),
    )


def _not_measured(task: str) -> str:
    """All examples have two classes: of a job with another task their figures say little."""
    asked = {"multiclass": "several classes", "regression": "a number as the outcome"}.get(task)
    return f" All of this was measured with two classes; with {asked}, as here, nothing was." if asked else ""


def _housekeeping() -> Words:
    return Words(
        "What programs tell each other to do the same thing in the same order: fingerprints of the job, fresh public keys and "
        "random numbers, how far each has come, and signatures over the record of messages.",
        "Which run goes on and how far it is, how many lines a record of messages has, and nothing about a person.",
    )


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
