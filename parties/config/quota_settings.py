"""What counting the runs with each other party needs of a party's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from parties.config.party import Party
from parties.config.party_file import Accept


@dataclass(frozen=True, slots=True)
class QuotaSettings:
    """The file of counts (None: this party has no lasting key), the bounds, and whom they hold for.

    `identities` has the identity line of every other party. `party_file` is for errors.
    """

    file: Path | None
    party_file: Path
    job: str
    label_party: str
    identities: Mapping[str, str]
    accept: Accept

    @classmethod
    def of(cls, party: Party) -> QuotaSettings:
        """Those of `party`."""
        job = party.job
        identities = {name: member.identity for name, member in job.parties.items() if name != party.name}
        return cls(party.partners, party.file, job.job, job.label_party, identities, party.settings.accept)

    @property
    def is_label(self) -> bool:
        """Whether this party is the label party."""
        return self.label_party not in self.identities
