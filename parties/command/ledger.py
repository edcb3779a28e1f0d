"""`vsplit ledger`: a summary of the messages sent and received, and the proof that the record of them is unbroken."""

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
"""The path of a ledger in a run folder: of a finished run, and of an unfinished one."""
BROKEN = 7
"""The exit code where a ledger is broken, or two ledgers disagree."""


def print_ledger(path: Path, console: Console, *, as_json: bool) -> int:
    """Summarise the ledger at `path`, or in the run folder `path`. Raises ConfigError where there is none."""
    file, _ = _ledger_file(path)
    sums = Sums()
    found = survey(file, unfinished=True, each=sums.add)
    if found.begin is None:
        raise ConfigError(f"{file} is not a ledger: it does not begin like one.")
    rows, sessions = sums.rows(), session_summaries(found)
    reveals = _reveals()
    if as_json:
        _print_json(_summary(found, rows, sessions, reveals))
        return BROKEN if found.faults else 0
    show_ledger(console, found, rows, sessions, reveals)
    return BROKEN if found.faults else 0


def print_verdict(
    one: Path, two: Path | None, console: Console, *, job: Path | None, unfinished: bool, as_json: bool
) -> int:
    """Verify that a ledger is unbroken, or that two are unbroken and agree; returns the exit code.

    `job` is a job file whose identities the ledgers must have. Raises ConfigError where there is nothing to verify.
    """
    ledgers = [_read(path, unfinished, alone=two is None) for path in (one, *([two] if two else []))]
    compared = compare(*ledgers) if len(ledgers) == 2 else None
    identity_faults = [fault for found in ledgers for fault in _identity_faults(found, job)] if job else []
    valid = not (any(found.faults for found in ledgers) or identity_faults or (compared and compared.faults))
    if as_json:
        _print_json(_verdict(ledgers, compared, identity_faults, valid))
    else:
        show_verdict(console, ledgers, compared, identity_faults, identities_known=job is not None)
    return 0 if valid else BROKEN


def _read(path: Path, unfinished: bool, *, alone: bool) -> Examined:
    file, in_unfinished_run = _ledger_file(path)
    return (survey if alone else examine)(file, unfinished=unfinished or in_unfinished_run)


def _ledger_file(path: Path) -> tuple[Path, bool]:
    """The ledger file, and whether it belongs to an unfinished run."""
    if not path.exists():
        raise ConfigError(
            f"There is no ledger {path.absolute()}: give a ledger file, or the run folder that contains it."
        )
    if not path.is_dir():
        return path, False
    for name in IN_FOLDER:
        if (path / name).is_file():
            return path / name, name != IN_FOLDER[0]
    raise ConfigError(f"There is no ledger in the folder {path.absolute()}: it has neither {' nor '.join(IN_FOLDER)}.")


def _reveals() -> dict[str, str]:
    from parties.run.message_kinds import KINDS

    known = {kind.__name__: kind.reveals for kind in KINDS}
    return known | {UNREADABLE: "bytes that are not a message of the expected kind; they end the session"}


def _identity_faults(found: Examined, job_file: Path) -> list[str]:
    """A sentence for each session of the ledger with an identity that is not that of the job file."""
    from parties.config.fields import AUTO
    from parties.config.job import load_job

    listed = {name: member.identity for name, member in load_job(job_file).parties.items()}
    if AUTO in listed.values():
        raise ConfigError(
            f"The job file {job_file} says `identity: auto`: each launch makes new keys, so it has no identity lines to "
            "compare with."
        )
    sentences = []
    for session in found.sessions.values():
        wrong = [name for name, line in session.identities.items() if listed.get(name) != line]
        if not wrong and found.begin and session.end_identity not in (None, listed.get(found.begin.party)):
            wrong = [found.begin.party]
        if wrong:
            sentences.append(
                f"The identity of {wrong[0]} in line {session.line} of {found.path} is not the one in {job_file}, so these "
                "signatures do not prove who signed."
            )
    return sentences


# --- for programs -----------------------------------------------------------------------------------------------------


def _summary(
    found: Examined, rows: list[Sum], sessions: list[SessionSummary], reveals: dict[str, str]
) -> dict[str, Any]:
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
        "sessions": [_session(one) for one in sessions],
    }


def _verdict(
    ledgers: list[Examined], compared: Compared | None, identity_faults: list[str], valid: bool
) -> dict[str, Any]:
    return {
        "valid": valid,
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
                "sessions": [_session(one) for one in session_summaries(found)],
                "signed_for": [
                    {"by": peer, "lines": signed_line.lines, "training_ended": signed_line.final}
                    for peer, signed_line in found.signed_lines.items()
                ],
                "vouched": [] if found.faults else signature_sentences(found),
            }
            for found in ledgers
        ],
        "identity_faults": identity_faults,
        "ledgers_agree": None if compared is None else not compared.faults,
        "messages_in_common": None if compared is None else compared.messages,
        "differences": [] if compared is None else compared.faults,
        "notes": [] if compared is None else compared.notes,
    }


def _session(one: SessionSummary) -> dict[str, Any]:
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
