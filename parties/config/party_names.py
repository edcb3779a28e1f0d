"""The names of a job's parties, as one of them needs them."""

from __future__ import annotations

from dataclasses import dataclass

from parties.config.fields import PartyRole
from parties.config.job import Job


@dataclass(frozen=True, slots=True)
class PartyNames:
    """This party's own name (`me`), and the names of all parties in the job's order."""

    me: str
    label_party: str
    all: tuple[str, ...]

    @classmethod
    def of(cls, job: Job, me: str) -> PartyNames:
        """The names in `job`, for its party `me`."""
        return cls(me, job.label_party, tuple(job.parties))

    @property
    def is_label(self) -> bool:
        """Whether this party is the label party."""
        return self.me == self.label_party

    @property
    def role(self) -> PartyRole:
        """This party's role."""
        return "label" if self.is_label else "feature"

    @property
    def feature_parties(self) -> tuple[str, ...]:
        """All feature parties."""
        return tuple(name for name in self.all if name != self.label_party)

    @property
    def others(self) -> tuple[str, ...]:
        """All parties but this one."""
        return tuple(name for name in self.all if name != self.me)

    @property
    def peers(self) -> tuple[str, ...]:
        """The parties with which this one exchanges messages: a feature party has the label party alone."""
        return self.feature_parties if self.is_label else (self.label_party,)
