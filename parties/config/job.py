"""The job file: what the parties agree on, the same at every party."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from parties.config.errors import did_you_mean, plain, shown, validate, wrong
from parties.config.fields import (
    AUTO,
    Address,
    IdentityLine,
    KeyColumns,
    Model,
    Normalisers,
    PartyName,
    PartyRole,
    Seed,
    Task,
    Text,
    split_address,
)
from parties.config.joint import Joint
from parties.config.reading import parse_yaml, read_text
from parties.config.train import Train
from parties.local.command_line import quoted_command
from parties.network.identity import PublicIdentity
from parties.network.transport import MOST_MESSAGE
from psi.contract import Repeated
from psi.normalise import Step, contract_version, read_steps
from vsplit.protocol import ConfigError

MOST_PARTIES = 64

Share = Annotated[float, Field(gt=0, lt=1)]


class Member(Model):
    """One party of the job. `identity` is `auto` or its public line."""

    role: PartyRole
    identity: IdentityLine


class Align(Model):
    """The columns that together name a record, by the names that the parties agreed on, and how their values are read.

    `normalise` has the normalisers of a key column, in their order; `repeated` says what becomes of a key on several
    rows; with `hints`, parties with few records in common send each other coarse statistics of how their keys look.
    """

    key: KeyColumns
    normalise: Annotated[dict[Text, Normalisers], Field(default_factory=dict)]
    repeated: Literal["error", "first", "last", "many_to_one"] = "error"
    hints: bool = True

    @model_validator(mode="after")
    def _normalises_key_columns(self) -> Align:
        for column in self.normalise:
            if column not in self.key:
                hint = did_you_mean(column, self.key)
                raise wrong(
                    "normalise",
                    f"names {shown(column)}, which is not a key column{f'{hint} It' if hint else '; it'} must "
                    f"name columns of align.key: {', '.join(map(plain, self.key))}",
                )
        return self

    @property
    def steps(self) -> tuple[tuple[Step, ...], ...]:
        """The normalisers of each key column, in the order of `key`."""
        return tuple(read_steps(self.normalise.get(column, ())) for column in self.key)

    @property
    def contract(self) -> str:
        """The version of the id contract, and of the tables that the named normalisers go by."""
        return contract_version(self.steps)

    def repeated_at(self, role: PartyRole) -> Repeated:
        """The policy for repeated keys at a party in `role`: only the label party may have many rows for one key."""
        return "error" if self.repeated == "many_to_one" and role == "feature" else self.repeated


class Split(Model):
    """Shares of the shared records: by seed over the common order, or by the label party's date column."""

    train: Share
    validation: Share
    test: Share
    by: Literal["seed", "date"] = "seed"
    seed: Seed = 0

    @model_validator(mode="after")
    def _sums_to_one(self) -> Split:
        total = math.fsum((self.train, self.validation, self.test))
        if abs(total - 1) > 1e-9:
            raise wrong("", f"has shares (train, validation, test) that add up to {total:g}; they must add up to 1")
        return self


class Job(Model):
    """The whole job. The order of `parties` is the order in which embeddings are concatenated or added."""

    job: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="letters, digits, - and _, at most 64 characters")
    ]
    task: Task
    address: Address
    parties: dict[PartyName, Member]
    align: Align
    split: Split
    model: Joint
    train: Train

    @model_validator(mode="after")
    def _has_one_label_party(self) -> Job:
        roles = [member.role for member in self.parties.values()]
        if roles.count("label") != 1:
            raise wrong("parties", f"has {roles.count('label')} parties with `role: label`; it must have exactly one")
        if not 2 <= len(roles) <= MOST_PARTIES:
            raise wrong(
                "parties", f"has {len(roles)} parties; it must have 2 to {MOST_PARTIES}, one of them with labels"
            )
        return self

    @model_validator(mode="after")
    def _parties_are_distinct(self) -> Job:
        names: dict[str, str] = {}
        lines: dict[str, str] = {}
        for name, member in self.parties.items():
            if name.lower() in names:
                raise wrong(
                    f"parties.{name}",
                    f"differs from {names[name.lower()]} only in upper and lower case; names become file names, "
                    "so choose another one",
                )
            names[name.lower()] = name
            if member.identity != AUTO:
                if member.identity in lines:
                    raise wrong(
                        f"parties.{name}.identity",
                        f"is also the line of {lines[member.identity]}; each party must have a key of its own",
                    )
                lines[member.identity] = name
        return self

    @model_validator(mode="after")
    def _a_batch_fits_a_message(self) -> Job:
        most = MOST_MESSAGE // (self.model.bytes_per_value * self.model.embedding) - 2
        if self.train.batch_size > most:
            raise wrong(
                "train.batch_size",
                f"is {self.train.batch_size} with embeddings of {self.model.embedding} numbers, more than a message can "
                f"hold; it must be at most {most}",
            )
        return self

    @model_validator(mode="after")
    def _a_sum_hides_its_summands(self) -> Job:
        self.model.check_parties(len(self.feature_parties))
        return self

    @model_validator(mode="after")
    def _weights_are_for_classes(self) -> Job:
        if self.train.class_weights != "none" and self.task == "regression":
            raise wrong("train.class_weights", "is balanced in a regression, which has no classes; it must be none")
        return self

    @property
    def label_party(self) -> str:
        """The name of the party that holds the labels and listens."""
        return next(name for name, member in self.parties.items() if member.role == "label")

    @property
    def feature_parties(self) -> tuple[str, ...]:
        """The names of the feature parties, in the job's order."""
        return tuple(name for name, member in self.parties.items() if member.role == "feature")

    @property
    def host_and_port(self) -> tuple[str, int]:
        """`address` as host and port."""
        return split_address(self.address)

    @property
    def needs_launch(self) -> bool:
        """Whether only `vsplit launch` can run this job: an identity is `auto`, or the port is 0."""
        return self.host_and_port[1] == 0 or any(member.identity == AUTO for member in self.parties.values())

    def identity_of(self, name: str) -> PublicIdentity:
        """The public identity of a party. Raises ConfigError where the job says `auto`."""
        line = self.parties[name].identity
        if line == AUTO:
            raise ConfigError(
                f"The job {self.job} says `identity: auto` for {name}, which works only in a launch on one machine. Put the "
                f"line that {quoted_command('identity', 'new', name)} printed at that party into parties.{name}.identity of "
                f"the job file, or start all parties with {quoted_command('launch', 'FOLDER')}."
            )
        return PublicIdentity.parse(line)

    def with_identities(self, lines: Mapping[str, str | PublicIdentity]) -> Job:
        """This job with the identities in `lines` for the parties named there. Raises ConfigError."""
        values = self.model_dump()
        for name, line in lines.items():
            if name not in values["parties"]:
                raise ConfigError(f"The job {self.job} has no party {shown(name)}; it has {', '.join(self.parties)}.")
            values["parties"][name]["identity"] = str(line)
        return validate(Job, values, f"the job {self.job}")

    def with_address(self, address: str) -> Job:
        """This job with another address, HOST:PORT. Raises ConfigError."""
        return validate(Job, {**self.model_dump(), "address": address}, f"the job {self.job}")


_ANY_LEARNING: dict[str, Any] = {
    "task": "binary",
    "split": {"train": 0.7, "validation": 0.1, "test": 0.2},
    "model": {"embedding": 1, "aggregate": "concat", "top": {"hidden": [1]}},
    "train": {"epochs": 1, "batch_size": 1, "optimizer": "adam", "lr": 0.001},
}
"""A placeholder for all that an overlap ignores, so that the rest is checked by the rules of every job."""


def load_job(path: Path | str, named_by: str = "", *, overlap: bool = False) -> Job:
    """Read and check `job.yaml`. `named_by` tells, in an error, which file and key named this path.

    An overlap comes before any contract. So with `overlap` what the file says about learning is replaced by a placeholder, and
    may be missing, incomplete, or different at each party. Raises ConfigError: one sentence with the file, the key, what was
    found and what is allowed.
    """
    path = Path(path)
    values: dict[str, Any] = parse_yaml(read_text(path, named_by), path)
    return validate(Job, values | _ANY_LEARNING if overlap else values, path)
