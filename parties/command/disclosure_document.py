"""What a data-protection officer needs to know about a job before a run: the content of the page and JSON of `vsplit check`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from parties.command.bounds import Bound, bounds_in_force, needed_with_a_key
from parties.command.groups import GROUP_OF, KINDS_OF, TITLES, GroupName, Words, words_of
from parties.config.digests import Purpose, handshake_digests
from parties.config.party import Party
from parties.config.quota_settings import QuotaSettings
from parties.config.seed_warning import seed_warning
from parties.run.quotas import recent_runs
from vsplit import __version__

if TYPE_CHECKING:
    from parties.command.cut_layer import CutLayer
    from parties.command.disclosure import OutgoingMessages
    from parties.config.job import Job
    from parties.data.party_data import PartyData


@dataclass(frozen=True, slots=True)
class Member:
    """A party of the job, with its identity line (`auto`: a launch on one machine makes a key)."""

    name: str
    role: str
    identity: str
    recent_runs: int | None
    """Runs, overlaps and predictions with it in the last 30 days; None: not counted, or this party itself."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that decides what crosses: its key, its value, and what it decides."""

    key: str
    value: str
    decides: str


@dataclass(frozen=True, slots=True)
class Group:
    """One of the five groups: its words, and the kinds of message below it that this party sends."""

    name: GroupName
    title: str
    words: Words
    kinds: Sequence[OutgoingMessages]

    @property
    def messages(self) -> int:
        """Messages of this group in every run."""
        return sum(row.messages for row in self.kinds if not row.only_if)

    @property
    def bytes(self) -> int:
        """About their bytes."""
        return sum(row.bytes for row in self.kinds if not row.only_if)

    @property
    def receivers(self) -> list[str]:
        """The parties that receive any of them."""
        return list(dict.fromkeys(row.to for row in self.kinds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What leaves one party in one job. `digest` identifies the job, as in its ledger; `made` is a time with an offset."""

    made: datetime
    version: str
    purpose: Purpose
    job: str
    task: str | None
    digest: str
    party: str
    role: str
    address: str
    job_file: str
    party_file: str
    members: Sequence[Member]
    records: int
    columns: Sequence[str] | None
    cut: CutLayer | None
    groups: Sequence[Group]
    settings: Sequence[Setting]
    bounds: Sequence[Bound]
    warnings: Sequence[str]


def document_of_run(party_data: PartyData, made: datetime) -> Document:
    """What leaves this party in a run of its job, if all records match and every epoch is trained."""
    from parties.command.cut_layer import cut_layer, cut_layer_warning
    from parties.command.disclosure import what_leaves
    from parties.data.party_data import most_rows

    party, image, own = party_data.party, party_data.party.settings.data.image, len(party_data.keys.keys)
    columns = [str(name) for name in party_data.table.features.columns] + ([image.column] if image is not None else [])
    warning = cut_layer_warning(party_data)
    has_many = party.job.align.repeated == "many_to_one" and party.role == "feature"
    return _document(
        party,
        "run",
        made,
        own,
        what_leaves(party_data),
        bounds_in_force(party, own, most_rows(party.settings.accept, own) if has_many else None),
        cut=cut_layer(party_data),
        columns=columns,
        warnings=list(filter(None, (warning, needed_with_a_key(party), seed_warning(party)))),
    )


def document_of_overlap(party: Party, own_records: int, made: datetime) -> Document:
    """What leaves this party in an overlap of its job, if all lists are as long as its own."""
    from parties.command.disclosure import leaves_in_overlap

    leaving = leaves_in_overlap(party.job, party.name, own_records)
    bounds = bounds_in_force(party, own_records, purpose="overlap")
    return _document(party, "overlap", made, own_records, leaving, bounds)


def as_json(document: Document) -> dict[str, Any]:
    """The document for programs."""
    values = asdict(document)
    values["made"] = document.made.isoformat(timespec="seconds")
    if document.cut is not None:
        values["cut"]["bits"] = document.cut.bits
    for written, group in zip(values["groups"], document.groups, strict=True):
        written |= {"messages": group.messages, "bytes": group.bytes, "to": group.receivers}
    return values


def _document(
    party: Party,
    purpose: Purpose,
    made: datetime,
    own_records: int,
    leaving: Sequence[OutgoingMessages],
    bounds: Sequence[Bound],
    *,
    cut: CutLayer | None = None,
    columns: Sequence[str] | None = None,
    warnings: Sequence[str] = (),
) -> Document:
    job, counts = party.job, recent_runs(QuotaSettings.of(party), made)
    return Document(
        made=made,
        version=__version__,
        purpose=purpose,
        job=job.job,
        task=job.task if purpose == "run" else None,
        digest=_digest(job, purpose),
        party=party.name,
        role=party.role,
        address=job.address,
        job_file=str(party.job_file),
        party_file=str(party.file),
        members=[Member(name, one.role, one.identity, counts.get(name)) for name, one in job.parties.items()],
        records=own_records,
        columns=columns,
        cut=cut,
        groups=[
            Group(name, title, words_of(name, job, cut), _of_group(leaving, name)) for name, title in TITLES.items()
        ],
        settings=_settings(job, party.settings.seed, purpose),
        bounds=bounds,
        warnings=warnings,
    )


def _of_group(leaving: Sequence[OutgoingMessages], group: GroupName) -> list[OutgoingMessages]:
    order = {kind: place for place, kind in enumerate(KINDS_OF[group])}
    return sorted((row for row in leaving if GROUP_OF[row.kind] == group), key=lambda row: order[row.kind])


def _digest(job: Job, purpose: Purpose) -> str:
    """64 hex digits; for a run those in the first line of every party's ledger."""
    if purpose == "run":
        from parties.ledger.exchange import job_digest

        return job_digest(job).hex()
    digests = handshake_digests(job, purpose)
    return hashlib.sha256(b"".join(key.encode() + b"\0" + one for key, one in digests.items())).hexdigest()


def _settings(job: Job, seed: int | None, purpose: Purpose) -> list[Setting]:
    steps = {column: list(steps) for column, steps in job.align.model_dump(mode="json")["normalise"].items()}
    found = [
        ("align.key", ", ".join(job.align.key), "which columns identify a person"),
        (
            "align.normalise",
            "; ".join(f"{column}: {', '.join(map(str, used))}" for column, used in steps.items()) or "none",
            "how a key is written before it is hashed",
        ),
        ("align.repeated", job.align.repeated, "what a key on several rows means"),
        ("align.hints", str(job.align.hints).lower(), "whether statistics of keys are sent where few match"),
    ]
    if purpose == "run":
        model, train = job.model, job.train
        found += [
            ("split.by", job.split.by, "with date, each feature party learns how old each shared record is"),
            ("model.embedding", f"{model.embedding:,}", "numbers for each record and pass, from each feature party"),
            ("model.aggregate", model.aggregate, "whether the label party learns each embedding or only their sum"),
            *_of_sums(job),
            ("train.epochs", f"{train.epochs:,}", "how often at most a record's embedding and gradient cross"),
            (
                "train.early_stopping",
                f"after {train.early_stopping.patience} epochs" if train.early_stopping else "none",
                "whether training may stop earlier",
            ),
        ]
        found.append(
            (
                "seed",
                "none" if seed is None else "given",
                "in this party's file: whether its initial weights can be guessed",
            )
        )
    return [Setting(*one) for one in found]


def _of_sums(job: Job) -> list[tuple[str, str, str]]:
    secure = job.model.secure_sum
    if secure is None:
        return []
    return [("model.secure_sum", f"±{secure.range:g} in {secure.bits} bits", "how exactly a sum is computed")]
