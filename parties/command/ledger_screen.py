"""What `vsplit ledger` shows people. However large a ledger is, and whoever wrote it, the tables have an end."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from parties.ledger.compare import Compared
from parties.ledger.examination import Examined
from parties.ledger.kinds import current_name
from parties.ledger.peer_signatures import signature_sentences
from parties.ledger.show import SessionSummary, Sum, session_summaries
from parties.local.command_line import quoted_command

MOST_ROWS = 1000
"""So many rows of a table are printed, and `--json` prints all. A run of two parties has some forty."""
MOST_FAULTS = 20
"""So many faults of one ledger are printed; one change may break all that follows."""


def show_ledger(
    console: Console, found: Examined, rows: list[Sum], met: list[SessionSummary], reveals: dict[str, str]
) -> None:
    """Print what left and what came."""
    begin = found.begin
    if begin is None:
        raise ValueError("a ledger begins with a line that says whose it is")
    if found.faults:
        verify = quoted_command("ledger", "verify", found.path)
        console.print(
            f"[bold red]This ledger is broken[/] ({_faults(found)}): {escape(verify)} says where.",
            highlight=False,
        )
    console.print(
        f"[bold]{escape(begin.party)}[/] ({begin.role} party), job {escape(begin.job)}: {found.lines:,} lines",
        highlight=False,
    )
    shown = rows[:MOST_ROWS]
    console.print(_sum_table(shown))
    if len(rows) > len(shown):
        rest = sum(row.messages for row in rows[MOST_ROWS:])
        console.print(
            f"These are the first {MOST_ROWS:,} of {len(rows):,} rows; the others sum up {rest:,} messages. With --json all "
            "are printed.",
            highlight=False,
        )
    console.print("What each kind tells its receiver:", highlight=False)
    for kind in dict.fromkeys(row.kind for row in shown):
        told = reveals.get(current_name(kind), "(a kind that this version does not know)")
        console.print(f"  [bold]{escape(kind)}[/]: {escape(told)}", highlight=False)
    console.print(_session_table(met[-MOST_ROWS:]))
    if len(met) > MOST_ROWS:
        console.print(
            f"These are the last {MOST_ROWS:,} of {len(met):,} sessions, counted by party. With --json all are printed.",
            highlight=False,
        )
    if found.torn or found.cut:
        console.print("A crash had left a line without an end.", highlight=False)


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


def _session_table(met: list[SessionSummary]) -> Table:
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


def show_verdict(
    console: Console,
    ledgers: list[Examined],
    compared: Compared | None,
    strangers: list[str],
    *,
    identities_known: bool,
) -> None:
    """Print what `vsplit ledger verify` found."""

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    for found in ledgers:
        say(f"{found.path}: {_verdict(found)}", "red" if found.faults else "green")
        for sentence in _about(found):
            say(f"  {sentence}")
    for sentence in _first(strangers):
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
        for sentence in (*_first(compared.faults), *_first(compared.notes)):
            say(f"  {sentence}")


def _about(found: Examined) -> Iterator[str]:
    """What is wrong with a ledger, and who has signed for what of it."""
    yield from (fault.sentence for fault in found.faults[:MOST_FAULTS])
    if found.fault_count > MOST_FAULTS:
        yield f"And {found.fault_count - MOST_FAULTS:,} more, which may follow from these."
    met = session_summaries(found)
    if len(met) > MOST_ROWS:
        yield f"Of {len(met):,} sessions, counted by party, these are the last {MOST_ROWS:,}; with --json all are printed."
    for one in met[-MOST_ROWS:]:
        yield f"Session {one.session[:8]}: {one.peer} has signed for {one.signed:,} of {one.messages:,} messages."
    if not found.faults:
        yield from _first(signature_sentences(found))


def _first(sentences: list[str]) -> list[str]:
    more = len(sentences) - MOST_FAULTS
    return [
        *sentences[:MOST_FAULTS],
        *([f"And {more:,} more of these; with --json all are printed."] if more > 0 else []),
    ]


def _faults(found: Examined) -> str:
    return f"{found.fault_count:,} {'fault' if found.fault_count == 1 else 'faults'}"


def _verdict(found: Examined) -> str:
    if found.faults:
        return f"broken, {_faults(found)}."
    whose = f"the ledger of {found.begin.party}, " if found.begin else ""
    torn = "; a crash has left a last line without its end" if found.torn else ""
    return f"{whose}unbroken, {found.lines:,} lines, the last with the hash {found.last}{torn}."
