"""What `vsplit predict` needs of a party's configuration and of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from parties.config.data_source import DataSource
from parties.config.job import Job
from parties.config.local_model import LocalModel
from parties.config.party import Party
from parties.config.party_file import Accept
from parties.config.party_names import PartyNames
from vsplit.protocol import ConfigError

Missing = Literal["fallback", "refuse"]
"""What becomes of records that not all feature parties know: the label party's own model scores them, or none is scored."""

TABLES = (".parquet", ".csv")
"""The kinds of file that scores can be written to."""


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """The options of the command; None: not given. `data`, `out` and `missing` are for the label party alone."""

    run: Path | None = None
    data: Path | None = None
    out: Path | None = None
    missing: Missing | None = None


@dataclass(frozen=True, slots=True)
class ScoringSettings:
    """The settings of one prediction at one party.

    `run_folder` is that of the finished run. `out` is the file for the scores; None: one in the folder of the prediction.
    """

    file: Path
    names: PartyNames
    job: Job
    accept: Accept
    model: LocalModel
    source: DataSource
    run_folder: Path
    wait: float
    out: Path | None
    missing: Missing

    @classmethod
    def of(cls, party: Party, options: ScoringOptions) -> ScoringSettings:
        """Those of `party`. Raises ConfigError for an option that this party cannot have."""
        names = PartyNames.of(party.job, party.name)
        _check_options(names, options)
        return cls(
            file=party.file,
            names=names,
            job=party.job,
            accept=party.settings.accept,
            model=LocalModel.of(party),
            source=DataSource.to_score(party, options.data),
            run_folder=party.output if options.run is None else options.run.absolute(),
            wait=party.settings.wait,
            out=None if options.out is None else options.out.absolute(),
            missing=options.missing or "fallback",
        )


def _check_options(names: PartyNames, options: ScoringOptions) -> None:
    given = [name for name in ("data", "out", "missing") if getattr(options, name) is not None]
    if given and not names.is_label:
        raise ConfigError(
            f"The option --{given[0]} is for the label party, {names.label_party}: it has the records to score, and receives "
            f"the scores. Omit it at {names.me}."
        )
    if options.out is not None and options.out.suffix.lower() not in TABLES:
        raise ConfigError(f"The option --out names {options.out}; it must end in {' or '.join(TABLES)}.")
    if options.out is not None and (options.out.is_dir() or not options.out.absolute().parent.is_dir()):
        raise ConfigError(
            f"The option --out names {options.out}, which cannot be a file; name one in an existing folder."
        )
