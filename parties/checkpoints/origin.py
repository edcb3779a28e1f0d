"""What a stored file depends on: the version, the party, the job, the party's data, and the environment."""

from __future__ import annotations

from pathlib import Path

import msgspec

from parties.local.command_line import restart_hint
from vsplit.protocol import ConfigError


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file was written from, and so what may resume from it.

    `job`: digests of the job, key by key. `local`: digests of this party's own data and of what its file says of them.
    `environment`: what the last digits of the results may depend on.
    """

    version: str
    party: str
    job: dict[str, str]
    local: dict[str, str] = msgspec.field(name="home")
    environment: dict[str, str]

    def is_like(self, other: Origin) -> bool:
        """Whether the two are equal but for the environment."""
        return msgspec.structs.replace(self, environment=other.environment) == other

    def changes_since(self, then: Origin) -> list[str]:
        """What differs in the environment, and may change the last digits of results."""
        before, now = then.environment, self.environment
        return [
            f"{name} ({before.get(name, 'none')} before, {now[name]} now)"
            for name in now
            if before.get(name) != now[name]
        ]

    def check_resumes(self, then: Origin, folder: Path) -> None:
        """Raise ConfigError, which names what differs, unless a run of origin `then` in `folder` can be resumed."""
        if then.version != self.version:
            raise self.other_version(then.version, folder)
        if then.party != self.party:
            raise ConfigError(
                f"The unfinished run in {folder} is {then.party}'s, and this is {self.party}: give each party a folder of "
                "its own in the key output of its party file."
            )
        for where, mine, stored in ((" of the job file", self.job, then.job), ("", self.local, then.local)):
            if mine != stored:
                name = next((key for key in (*mine, *stored) if mine.get(key) != stored.get(key)), "")
                what = f"the key {name}{where}" if where else name
                raise ConfigError(
                    f"The unfinished run in {folder} began with other inputs: {what} is not the same. Restore it to resume the "
                    f"run, or {restart_hint()}."
                )

    def other_version(self, version: str, folder: Path) -> ConfigError:
        """The error for a run in `folder` that another version of vsplit has begun."""
        return ConfigError(
            f"The unfinished run in {folder} is of vsplit {version}, and this is {self.version}: install that "
            f"version at every party to resume it, or {restart_hint()}."
        )
