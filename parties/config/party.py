"""The party file together with its job: the whole configuration of one party."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from parties.config.digests import Purpose
from parties.config.errors import did_you_mean, shown, validate
from parties.config.fields import AUTO, PartyRole, split_address, split_listen
from parties.config.job import Job, load_job
from parties.config.party_file import PartyFile
from parties.config.proxy import check_proxy
from parties.config.reading import parse_yaml, read_text
from parties.config.urls import check_url, is_url
from parties.local.plain_file import real_path
from parties.local.text import beside, ended
from vsplit.protocol import ConfigError

LABEL_KEYS = ("label", "positive", "date")


@dataclass(frozen=True, slots=True)
class Party:
    """The configuration of one party: its settings, the job, and absolute paths.

    `identity` is None where the job says `auto` and the file names no key. `partners`, the file that counts the runs with
    each other party, is None where this party has no lasting key. `source` is None where the data comes from a database, and
    `order` where a new common order is drawn.
    """

    file: Path
    job_file: Path
    job: Job
    settings: PartyFile
    identity: Path | None
    partners: Path | None
    source: Path | None
    order: Path | None
    output: Path

    @property
    def name(self) -> str:
        """This party's name in the job."""
        return self.settings.party

    @property
    def role(self) -> PartyRole:
        """What this party is in the job."""
        return self.job.parties[self.name].role

    @property
    def has_lasting_key(self) -> bool:
        """Whether this party has a key of its own, and not one that a launch makes for `identity: auto`."""
        return self.partners is not None and self.job.parties[self.name].identity != AUTO

    @property
    def key_columns(self) -> tuple[str, ...]:
        """This party's names for the job's key columns, in the job's order."""
        return self.settings.data.key or self.job.align.key

    @property
    def bind(self) -> tuple[str, int]:
        """(host, port) where the label party listens: `listen`, or else the job's address; the host `*` is every address."""
        return split_listen(self.settings.listen or self.job.address)

    @property
    def log_file(self) -> Path | None:
        """The file of the log; None: no log, or on the error output."""
        log = self.settings.log
        return None if log is None or log.file is None else _resolved(self.file, log.file)

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """(host, port) of the endpoint with metrics for Prometheus; None: there is none."""
        return None if self.settings.metrics is None else split_address(self.settings.metrics)

    @property
    def code_folder(self) -> Path:
        """The folder that is searched first for this party's own bottom model: `bottom.folder`, or that of the party file."""
        folder = self.settings.bottom.folder
        return self.file.parent if folder is None else _resolved(self.file, folder)

    @property
    def data_folder(self) -> Path:
        """The folder that paths in the data are relative to: that of the source file, or of the party file."""
        return (self.source or self.file).parent


def load_party(path: Path | str, purpose: Purpose = "run") -> Party:
    """Read and check a party file and the job that it names. Reads neither key nor data, and no environment variable.

    For an overlap, what the job and the file say about learning is ignored and may be missing; the `job` of such a party
    must not be used for learning. A prediction needs no label. Raises ConfigError: one sentence with the file, the key, what
    was found and what is allowed.
    """
    file = Path(path).absolute()
    settings = _read_settings(file)
    job_file = _resolved(file, settings.job)
    job = load_job(job_file, named_by=f"the key job of {file}", overlap=purpose == "overlap")
    _check_name(settings.party, job, file, job_file)
    identity = None if settings.identity is None else _resolved(file, settings.identity)
    party = Party(
        file=file,
        job_file=job_file,
        job=job,
        settings=settings,
        identity=identity,
        partners=_partners_file(file, settings.partners, identity),
        source=None if is_url(settings.data.source) else _resolved(file, settings.data.source),
        order=None if settings.order is None else _resolved(file, settings.order),
        output=_resolved(file, settings.output),
    )
    for source in filter(None, (settings.data, settings.predict)):
        if is_url(source.source):
            check_url(source.source, str(file))
    _check_identity(party)
    _check_proxy(party)
    if purpose != "overlap":
        _check_role(party, needs_label=purpose == "run")
    _check_columns(party)
    return party


def _read_settings(file: Path) -> PartyFile:
    values = parse_yaml(read_text(file), file)
    if "parties" in values and "party" not in values:
        raise ConfigError(
            f"{file} is a job file, which all parties share; give your party file, the one whose key job names it."
        )
    return validate(PartyFile, values, file)


def _check_name(name: str, job: Job, file: Path, job_file: Path) -> None:
    if name not in job.parties:
        raise ConfigError(
            f"In {file}, the key party is {shown(name)}, which is not a party of {job_file}"
            f"{did_you_mean(name, job.parties) or '.'} It must be one of {', '.join(job.parties)}."
        )


def _resolved(file: Path, written: str) -> Path:
    path = real_path(beside(file, written))
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:  # such a path can be neither read nor created
            raise ConfigError(f"In {file}, a key names {path}, a link that leads back to itself.") from None
    return path


def _partners_file(file: Path, written: str | None, identity: Path | None) -> Path | None:
    if identity is None:
        return None
    return identity.with_name(f"{identity.stem}.partners.json") if written is None else _resolved(file, written)


def _check_identity(party: Party) -> None:
    if party.identity is None and party.job.parties[party.name].identity != AUTO:
        raise ConfigError(
            f"In {party.file}, the key identity is missing, but {party.job_file} has an identity line for {party.name}; "
            "name the key file to which this line belongs (identity: ../keys/NAME.key)."
        )


def _check_proxy(party: Party) -> None:
    proxy = party.settings.proxy
    if proxy is None:
        return
    if party.role == "label":
        raise _cross(
            party, "proxy", f"is given, but {party.name} is the label party, which dials no other party; omit it"
        )
    check_proxy(proxy, str(party.file))


def _check_role(party: Party, *, needs_label: bool) -> None:
    """Check the keys that only the label party may have, and those that only some jobs need."""
    data, job = party.settings.data, party.job
    if party.role == "feature":
        for key, value in [
            ("listen", party.settings.listen),
            ("order", party.settings.order),
            ("predict", party.settings.predict),
            *((f"data.{one}", getattr(data, one)) for one in LABEL_KEYS),
        ]:
            if value is not None:
                raise _cross(
                    party, key, f"is given, but {party.name} is a feature party; only {job.label_party} may have it"
                )
        return
    if not needs_label:
        return
    if data.label is None:
        raise _cross(
            party, "data.label", f"is missing; {party.name} is the label party, so it must name the column to predict"
        )
    if data.positive is not None and job.task != "binary":
        raise _cross(
            party, "data.positive", f"is given, but the task is {job.task}; only a binary task has a positive label"
        )
    if data.date is None and job.split.by == "date":
        raise _cross(
            party, "data.date", "is missing, but the job says split.by: date; it must name the column of dates"
        )
    if data.date is not None and job.split.by != "date":
        raise _cross(
            party, "data.date", "is given, but the job splits by seed; omit it, or list the column in data.ignore"
        )


def _check_columns(party: Party) -> None:
    """Check that each column has one use, and that there are as many key columns as in the job."""
    data, key = party.settings.data, party.key_columns
    if len(key) != len(party.job.align.key):
        wanted = len(party.job.align.key)
        raise _cross(
            party,
            "data.key",
            f"names {len(key)} column(s), but align.key of the job has {wanted}; it must name {wanted}",
        )
    uses = [("data.key", one) for one in key]
    uses += [(f"data.{name}", one) for name in ("label", "date") if (one := getattr(data, name)) is not None]
    uses += [("data.image.column", data.image.column)] if data.image is not None else []
    uses += [("data.ignore", one) for one in data.ignore] + [("data.categories", one) for one in data.categories]
    first: dict[str, str] = {}
    for use, column in uses:
        if column in first:
            raise _cross(
                party, use, f"names the column {shown(column)}, which {first[column]} names already; use it once"
            )
        first[column] = use


def _cross(party: Party, key: str, sentence: str) -> ConfigError:
    return ConfigError(f"In {party.file}, the key {key} {ended(sentence)}")
