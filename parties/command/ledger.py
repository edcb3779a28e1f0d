"""`vsplit ledger`: what left this organisation and what came, and the proof that the record of it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from parties.command.ledger_screen import show_ledger, show_verdict
from parties.ledger.compare import Compared, compare
from parties.ledger.examination import Examined
from parties.ledger.kinds import current_name
from parties.ledger.peer_signatures import signature_sentences
from parties.ledger.show import SessionSummary, Sum, Sums, session_summaries
from parties.ledger.verify import examine, survey
from parties.local.text import json_line
from parties.network.driver import UNREADABLE
from vsplit.protocol import ConfigError

IN_FOLDER = ("ledger.jsonl", ".unfinished/ledger")
"""Where a ledger stands in a run folder: of a run that has finished, and of one that has not."""
BROKEN = 7
"""The exit code where a ledger is broken, or two tell different stories."""


def print_ledger(path: Path, console: Console, *, as_json: bool) -> int:
    """Sum up the ledger at `path`, or of the run folder `path`. Raises ConfigError where there is none."""
    file, _ = _ledger_file(path)
    sums = Sums()
    found = survey(file, unfinished=True, each=sums.add)
    if found.begin is None:
        raise ConfigError(f"{file} is no ledger: it does not begin as one.")
    rows, met = sums.rows(), session_summaries(found)
    reveals = _reveals()
    if as_json:
        _print_json(_shown(found, rows, met, reveals))
        return BROKEN if found.faults else 0
    show_ledger(console, found, rows, met, reveals)
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
        show_verdict(console, ledgers, compared, strangers, identities_known=job is not None)
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
    from parties.run.message_kinds import KINDS

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


# --- for programs -----------------------------------------------------------------------------------------------------


def _shown(found: Examined, rows: list[Sum], met: list[SessionSummary], reveals: dict[str, str]) -> dict[str, Any]:
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
                "reveals": reveals.get(current_name(row.kind)),
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
                "sessions": [_met(one) for one in session_summaries(found)],
                "signed_for": [
                    {"by": peer, "lines": signed_line.lines, "training_ended": signed_line.final}
                    for peer, signed_line in found.signed_lines.items()
                ],
                "vouched": [] if found.faults else signature_sentences(found),
            }
            for found in ledgers
        ],
        "identity_faults": strangers,
        "same_story": None if compared is None else not compared.faults,
        "messages_in_common": None if compared is None else compared.messages,
        "differences": [] if compared is None else compared.faults,
        "notes": [] if compared is None else compared.notes,
    }


def _met(one: SessionSummary) -> dict[str, Any]:
    return {
        "session": one.session,
        "began": one.began.isoformat(),
        "peer": one.peer,
        "messages": one.messages,
        "signed": one.signed,
        "end": one.end or None,
    }


def _print_json(content: dict[str, Any]) -> None:
    print(json_line(content))
