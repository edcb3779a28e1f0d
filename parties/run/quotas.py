"""Counts the runs, overlaps and predictions with each other party in the last days, and the bound on them (SPEC.md, section 7).

Each run and each overlap with a list that differs in one record can reveal whether another party has that record. So they
are counted for each other party, by its public identity, in a small file of this party's own. They are counted before this
party's list leaves, so that an interrupted run counts as well.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from parties.config.digests import Purpose
from parties.config.fields import AUTO
from parties.config.quota_settings import QuotaSettings
from parties.local.atomic import write_whole
from parties.local.plain_file import read_plain
from parties.network.identity import PublicIdentity
from vsplit.protocol import ConfigError, RefusedError

if sys.platform != "win32":
    import fcntl

DAYS = 30
"""Runs are counted over the last days, so many."""


class CountedRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One run, overlap or prediction: when it began, of which job; in a prediction, how many records were to be scored."""

    at: Annotated[datetime, msgspec.Meta(tz=True)]
    job: str
    command: Purpose
    records: int = 0


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: the runs with each other party, by its identity line."""

    version: Literal[1]
    partners: dict[str, list[CountedRun]]


def count_run(settings: QuotaSettings, purpose: Purpose, now: datetime, records: int = 0) -> None:
    """Count one more run with every other party of the job, and write it down; a prediction with its number of records.

    Raises RefusedError, and writes nothing, where there were `accept.max_runs` runs with one of them in the last 30
    days, or `records` are more than a feature party allows; ConfigError where the file cannot be read, understood or
    written. Where this party has no lasting key, nothing can be counted.
    """
    check_records(settings, records)
    if settings.file is None:
        return
    with _locked(settings.file):
        runs = _read(settings.file)
        for name in settings.identities:
            recent = _recent(runs.get(settings.identities[name], []), now)
            _check(settings, name, recent, now)
            check_records(settings, records, sum(one.records for one in recent if one.at > now - timedelta(days=1)))
        for name in settings.identities:
            runs.setdefault(settings.identities[name], []).append(CountedRun(now, settings.job, purpose, records))
        latest = {line: recent for line, every in runs.items() if (recent := _recent(every, now))}
        _write(settings.file, _Content(1, latest))


def check_quotas(settings: QuotaSettings, now: datetime) -> None:
    """Raise what `count_run` would raise, and count nothing."""
    runs = {} if settings.file is None else _read(settings.file)
    for name in settings.identities:
        if settings.identities[name] != AUTO:
            _check(settings, name, _recent(runs.get(settings.identities[name], []), now), now)


def check_records(settings: QuotaSettings, records: int, before: int = 0) -> None:
    """Raise RefusedError where a feature party does not allow a prediction of so many records, with `before` in 24 hours."""
    bounds, label_party = settings.accept.predict, settings.label_party
    if not records or bounds is None or settings.is_label:
        return
    if records < bounds.at_least:
        raise RefusedError(
            f"{label_party} asks for scores of {records:,} records, and {settings.party_file} allows no fewer than "
            f"{bounds.at_least:,} at once (accept.predict.at_least). Score more records together, or let an authorised person "
            "lower this bound."
        )
    if before + records > bounds.per_day:
        raise RefusedError(
            f"{label_party} asks for scores of {records:,} records after {before:,} in the last 24 hours, and "
            f"{settings.party_file} allows {bounds.per_day:,} (accept.predict.per_day). Wait, score fewer records, or let an "
            "authorised person raise this bound."
        )


def recent_records(settings: QuotaSettings, now: datetime) -> int | None:
    """How many records the label party had scored in the last 24 hours; None: they are not counted."""
    line = settings.identities.get(settings.label_party, AUTO)
    if settings.file is None or line == AUTO:
        return None
    return sum(one.records for one in _read(settings.file).get(line, []) if one.at > now - timedelta(days=1))


def recent_runs(settings: QuotaSettings, now: datetime) -> Mapping[str, int | None]:
    """How many runs, overlaps and predictions there were with each other party in 30 days; None: they are not counted.

    They are not where each launch makes new keys. Raises ConfigError where the file cannot be understood.
    """
    runs = {} if settings.file is None else _read(settings.file)
    counted = {name: settings.file is not None and settings.identities[name] != AUTO for name in settings.identities}
    return {
        name: len(_recent(runs.get(settings.identities[name], []), now)) if counted[name] else None for name in counted
    }


def _recent(every: list[CountedRun], now: datetime) -> list[CountedRun]:
    """Those of the last 30 days. A time in the future, as of a wrong clock, counts as well."""
    return sorted((run for run in every if run.at > now - timedelta(days=DAYS)), key=lambda run: run.at)


def _check(settings: QuotaSettings, name: str, recent: list[CountedRun], now: datetime) -> None:
    most = settings.accept.max_runs
    if len(recent) < most:
        return
    # Rounded up to the minute, from whose beginning a run is allowed again.
    again = max(recent[-most].at + timedelta(days=DAYS), now) + timedelta(minutes=1, microseconds=-1)
    raise RefusedError(
        f"There were {len(recent):,} runs, overlaps and predictions with {name} since {_day(recent[0].at)}, and "
        f"{settings.party_file} allows {most:,} with one party in any {DAYS} days (accept.max_runs): many runs of lists that "
        f"differ in a few records reveal who these are. Wait until {_day(again)}, or let an authorised person raise "
        "accept.max_runs."
    )


def _day(time: datetime) -> str:
    """The minute of `time`, in Coordinated Universal Time."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


_MOST = 1 << 26  # bytes of the file


def _read(path: Path) -> dict[str, list[CountedRun]]:
    try:
        content = msgspec.json.decode(read_plain(path, _MOST), type=_Content)
        for line in content.partners:
            PublicIdentity.parse(line)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(
            f"The file {path}, in which this party counts its runs with each other party, cannot be read: {error.strerror}."
        ) from None
    except (msgspec.MsgspecError, ConfigError):
        raise ConfigError(
            f"The file {path}, in which this party counts its runs with each other party, is damaged. Put back a copy of it; "
            "only if counting may start again, move the file away."
        ) from None
    return content.partners


def _write(path: Path, content: _Content) -> None:
    """Write the file completely or not at all, to the disk before anything leaves, readable by this user alone."""
    try:
        write_whole(path, [msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"])
    except OSError as error:
        raise _unwritable(path, error) from None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Simultaneous runs count one after the other, where the system has such locks."""
    try:
        descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        if sys.platform != "win32":
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"The file {path}, in which this party counts its runs with each other party, cannot be written "
        f"({error.strerror}): name another place in the key partners of the party file."
    )
