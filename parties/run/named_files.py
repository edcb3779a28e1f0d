"""What a party file names: its run folders, and the files that must not be removed with one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from parties.config.errors import validate
from parties.config.party_file import PartyFile
from parties.config.reading import parse_yaml, read_text
from parties.config.urls import is_url
from parties.local.plain_file import real_path
from parties.local.text import beside


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """The run folder that a party file names, its last component as it is written there, and the other files (`used`)."""

    file: Path
    party: str
    output: Path
    names: frozenset[str]
    used: frozenset[Path]

    @classmethod
    def read(cls, file: Path) -> NamedFiles:
        """Read them from the party file `file`. Raises ConfigError."""
        settings = validate(PartyFile, parse_yaml(read_text(file), file), file)
        log = settings.log
        named = [settings.job, settings.identity, settings.partners, settings.order]
        named += [_path_in(source.source) for source in (settings.data, settings.predict) if source]
        named += [settings.bottom.folder, log.file if log else None]
        output = real_path(beside(file, settings.output))
        return cls(
            file=file,
            party=settings.party,
            output=output,
            names=frozenset({output.name, Path(settings.output).name}),
            used=frozenset(real_path(beside(file, name)) for name in named if name) | {real_path(file)},
        )


def _path_in(source: str) -> str:
    """The path in a source; of a database URL that of its file, if it has one."""
    return source.rpartition("://")[2].partition("?")[0].removeprefix("/") if is_url(source) else source
