"""`vsplit ledger`: what left this organisation and what came, and the proof that the record of it is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from parties.command_line import typed
from parties.driver import UNREADABLE
from parties.ledger.compare import Compared, compare
from parties.ledger.examined import Examined
from parties.ledger.show import Meeting, Sum, Sums, meetings
from parties.ledger.verify import examine, survey
from vsplit.protocol import ConfigError

IN_FOLDER = ("ledger.jsonl", ".unfinished/ledger")
"""Where a ledger stands in a run folder: of a run that has finished, and of one that has not."""
MOST_FAULTS = 20
"""So many faults of one ledger are printed; one change may break all that follows."""
BROKEN = 7
"""The exit code where a ledger is broken, or two tell different stories."""


def print_ledger(path: Path, console: Console, *, as_json: bool) -> int:
    """Sum up the ledger at `path`, or of the run folder `path`. Raises ConfigError where there is none."""
    file, _ = _ledger_file(path)
    sums = Sums()
    found = survey(file, unfinished=True, each=sums.take)
    if found.begin is None:
        raise ConfigError(f"{file} is no ledger: it does not begin as one.")
    rows, met = sums.rows(), meetings(found)
    reveals = _reveals()
    if as_json:
        _print_json(_shown(found, rows, met, reveals))
        return BROKEN if found.faults else 0
    begin = found.begin
    if found.faults:
        console.print(
            f"[bold red]This ledger is broken[/] ({_faults(found)}): {escape(typed('ledger', 'verify', path))} says where.",
            highlight=False,
        )
    console.print(
        f"[bold]{escape(begin.party)}[/] ({begin.role} party), job {escape(begin.job)}: {found.lines:,} lines",
        highlight=False,
    )
    console.print(_sum_table(rows))
    console.print("What each kind tells its receiver:", highlight=False)
    for kind in dict.fromkeys(row.kind for row in rows):
        told = reveals.get(kind, "(a kind that this version does not know)")
        console.print(f"  [bold]{escape(kind)}[/]: {escape(told)}", highlight=False)
    console.print(_meeting_table(met))
    if found.torn or found.cut:
        console.print("A crash had left a line without an end.", highlight=False)
    return BROKEN if found.faults else 0


def print_verdict(
    one: Path, two: Path | None, console: Console, *, job: Path | None, unfinished: bool, as_json: bool
) -> int:
    """Prove that one ledger is unbroken, or two that tell the same story; the exit code says whether they are.

    `job` is a job file whose identities the ledgers must name. Raises ConfigError where there is nothing to judge.
    """
    ledgers = [_read(path, unfinished, alone=two is None) for path in (one, *([two] if two else []))]
    compared = compare(*ledgers) if len(ledgers) == 2 else None
    strangers = [sentence for found in ledgers for sentence in _strangers(found, job)] if job else []
    well = not (any(found.faults for found in ledgers) or strangers or (compared and compared.faults))
    if as_json:
        _print_json(_judged(ledgers, compared, strangers, well))
    else:
        _print_judged(console, ledgers, compared, strangers, identities_known=job is not None)
    return 0 if well else BROKEN


def _read(path: Path, unfinished: bool, *, alone: bool) -> Examined:
    file, goes_on = _ledger_file(path)
    return (survey if alone else examine)(file, unfinished=unfinished or goes_on)


def _ledger_file(path: Path) -> tuple[Path, bool]:
    """The file that was meant, and whether it is that of a run that has not finished."""
    if not path.exists():
        raise ConfigError(f"There is no ledger {path.absolute()}: give the file, or the run folder in which it stands.")
    if not path.is_dir():
        return path, False
    for name in IN_FOLDER:
        if (path / name).is_file():
            return path / name, name != IN_FOLDER[0]
    raise ConfigError(f"In the folder {path.absolute()} stands no ledger: it has neither {' nor '.join(IN_FOLDER)}.")


def _reveals() -> dict[str, str]:
    from parties.leave import KINDS

    told = {kind.__name__: kind.reveals for kind in KINDS}
    return told | {UNREADABLE: "bytes that are no message of the kind that was awaited; they end the session"}


def _strangers(found: Examined, job_file: Path) -> list[str]:
    """Identities of the ledger that are not those of the job file."""
    from parties.config.fields import AUTO
    from parties.config.job import load_job

    listed = {name: member.identity for name, member in load_job(job_file).parties.items()}
    if AUTO in listed.values():
        raise ConfigError(
            f"The job file {job_file} says `identity: auto`, so that each launch makes keys of its own, and has no lines to "
            "compare with."
        )
    sentences = []
    for told in found.sessions.values():
        wrong = [name for name, line in told.identities.items() if listed.get(name) != line]
        if not wrong and found.begin and told.end_identity not in (None, listed.get(found.begin.party)):
            wrong = [found.begin.party]
        if wrong:
            sentences.append(
                f"The identity of {wrong[0]} in line {told.line} of {found.path} is not the one that {job_file} lists, so that "
                "whose signatures these are is not proven."
            )
    return sentences


# --- for people -------------------------------------------------------------------------------------------------------


def _sum_table(rows: list[Sum]) -> Table:
    from parties.report.words import bytes_text

    table = Table("", "party", "kind", "messages", "size", "first and last (UTC)")
    for row in rows:
        again = f" ({row.resent:,} resent)" if row.resent else ""
        last = "%H:%M:%S" if row.first.date() == row.last.date() else "%Y-%m-%d %H:%M:%S"
        table.add_row(
            row.direction,
            row.peer,
            row.kind,
            f"{row.messages:,}{again}",
            bytes_text(row.bytes),
            f"{row.first:%Y-%m-%d %H:%M:%S} to {row.last:{last}}",
        )
    return table


def _meeting_table(met: list[Meeting]) -> Table:
    table = Table("session", "began (UTC)", "with", "messages", "signed by it", "ended")
    for one in met:
        table.add_row(
            one.session[:8],
            f"{one.began:%Y-%m-%d %H:%M:%S}",
            one.peer,
            f"{one.messages:,}",
            f"the first {one.signed:,}" if one.signed else "none",
            one.end or "cut off, or goes on",
        )
    return table


def _print_judged(
    console: Console,
    ledgers: list[Examined],
    compared: Compared | None,
    strangers: list[str],
    *,
    identities_known: bool,
) -> None:
    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    for found in ledgers:
        say(f"{found.path}: {_verdict(found)}", "red" if found.faults else "green")
        for fault in found.faults[:MOST_FAULTS]:
            say(f"  {fault.sentence}")
        if found.fault_count > MOST_FAULTS:
            say(f"  And {found.fault_count - MOST_FAULTS:,} more, which may follow from these.")
        for one in meetings(found):
            say(f"  Session {one.session[:8]}: {one.peer} has signed for {one.signed:,} of {one.messages:,} messages.")
    for sentence in strangers:
        say(sentence, "red")
    if not identities_known:
        say("Whose signatures these are, the ledgers say themselves; with --job JOB.yaml the identities are compared.")
    elif not strangers:
        say("The identities are those of the job file.", "green")
    if compared is not None:
        if compared.faults:
            say("The two ledgers tell different stories:", "red")
        else:
            say(f"The two ledgers tell the same story of {compared.messages:,} messages.", "green")
        for sentence in (*compared.faults, *compared.notes):
            say(f"  {sentence}")


def _faults(found: Examined) -> str:
    return f"{found.fault_count:,} {'fault' if found.fault_count == 1 else 'faults'}"


def _verdict(found: Examined) -> str:
    if found.faults:
        return f"broken, {_faults(found)}."
    whose = f"the ledger of {found.begin.party}, " if found.begin else ""
    torn = "; a crash has left a last line without its end" if found.torn else ""
    return f"{whose}unbroken, {found.lines:,} lines, the last with the hash {found.last}{torn}."


# --- for programs -----------------------------------------------------------------------------------------------------


def _shown(found: Examined, rows: list[Sum], met: list[Meeting], reveals: dict[str, str]) -> dict[str, Any]:
    return {
        "party": found.begin.party if found.begin else None,
        "job": found.begin.job if found.begin else None,
        "lines": found.lines,
        "head": found.last,
        "faults": found.fault_count,
        "kinds": [
            {
                "direction": row.direction,
                "peer": row.peer,
                "kind": row.kind,
                "messages": row.messages,
                "bytes": row.bytes,
                "resent": row.resent,
                "first": row.first.isoformat(),
                "last": row.last.isoformat(),
                "reveals": reveals.get(row.kind),
            }
            for row in rows
        ],
        "sessions": [_met(one) for one in met],
    }


def _judged(ledgers: list[Examined], compared: Compared | None, strangers: list[str], well: bool) -> dict[str, Any]:
    return {
        "well": well,
        "ledgers": [
            {
                "file": str(found.path),
                "party": found.begin.party if found.begin else None,
                "unbroken": not found.faults,
                "lines": found.lines,
                "head": found.last,
                "torn_bytes": found.torn,
                "fault_count": found.fault_count,
                "faults": [{"line": fault.line, "sentence": fault.sentence} for fault in found.faults],
                "sessions": [_met(one) for one in meetings(found)],
            }
            for found in ledgers
        ],
        "identity_faults": strangers,
        "same_story": None if compared is None else not compared.faults,
        "messages_in_common": None if compared is None else compared.messages,
        "differences": [] if compared is None else compared.faults,
        "notes": [] if compared is None else compared.notes,
    }


def _met(one: Meeting) -> dict[str, Any]:
    return {
        "session": one.session,
        "began": one.began.isoformat(),
        "peer": one.peer,
        "messages": one.messages,
        "signed": one.signed,
        "end": one.end or None,
    }


def _print_json(content: dict[str, Any]) -> None:
    print(json.dumps(content))
