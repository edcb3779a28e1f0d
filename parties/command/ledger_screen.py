"""What `vsplit ledger` prints for people. The length of its tables is bounded, whatever a ledger contains."""

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
from parties.report.words import bytes_text

MOST_ROWS = 1000
"""The most rows of a table that are printed; `--json` prints all. A run of two parties has about forty."""
MOST_FAULTS = 20
"""The most faults of one ledger that are printed; one change may break all lines that follow."""


def show_ledger(
    console: Console, found: Examined, rows: list[Sum], sessions: list[SessionSummary], reveals: dict[str, str]
) -> None:
    """Print the summary of a ledger."""
    begin = found.begin
    if begin is None:
        raise ValueError("a ledger begins with a line that names its party")
    if found.faults:
        verify = quoted_command("ledger", "verify", found.path)
        console.print(
            f"[bold red]This ledger is broken[/] ({_faults(found)}): {escape(verify)} shows where.",
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
            f"These are the first {MOST_ROWS:,} of {len(rows):,} rows; the others are the sum of {rest:,} messages. "
            "--json prints all.",
            highlight=False,
        )
    console.print("What each kind reveals to its receiver:", highlight=False)
    for kind in dict.fromkeys(row.kind for row in shown):
        revealed = reveals.get(current_name(kind), "(a kind that this version does not know)")
        console.print(f"  [bold]{escape(kind)}[/]: {escape(revealed)}", highlight=False)
    console.print(_session_table(sessions[-MOST_ROWS:]))
    if len(sessions) > MOST_ROWS:
        console.print(
            f"These are the last {MOST_ROWS:,} of {len(sessions):,} sessions, counted by party. --json prints all.",
            highlight=False,
        )
    if found.torn or found.cut:
        console.print("A crash has left an incomplete line.", highlight=False)


def _sum_table(rows: list[Sum]) -> Table:
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


def _session_table(sessions: list[SessionSummary]) -> Table:
    table = Table("session", "began (UTC)", "with", "messages", "signed by it", "ended")
    for one in sessions:
        table.add_row(
            one.session[:8],
            f"{one.began:%Y-%m-%d %H:%M:%S}",
            one.peer,
            f"{one.messages:,}",
            f"the first {one.signed:,}" if one.signed else "none",
            one.end or "cut off, or still open",
        )
    return table


def show_verdict(
    console: Console,
    ledgers: list[Examined],
    compared: Compared | None,
    identity_faults: list[str],
    *,
    identities_known: bool,
) -> None:
    """Print the result of `vsplit ledger verify`."""

    def print_line(text: str, style: str = "") -> None:
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    for found in ledgers:
        print_line(f"{found.path}: {_verdict(found)}", "red" if found.faults else "green")
        for sentence in _about(found):
            print_line(f"  {sentence}")
    for sentence in _first(identity_faults):
        print_line(sentence, "red")
    if not identities_known:
        print_line(
            "The identities of the signers are taken from the ledgers; --job JOB.yaml compares them with a job file that "
            "lists identities."
        )
    elif not identity_faults:
        print_line("The identities are those of the job file.", "green")
    if compared is not None:
        if compared.faults:
            print_line("The two ledgers disagree:", "red")
        else:
            print_line(f"The two ledgers agree on {compared.messages:,} messages.", "green")
        for sentence in (*_first(compared.faults), *_first(compared.notes)):
            print_line(f"  {sentence}")


def _about(found: Examined) -> Iterator[str]:
    """The faults of a ledger, and what other parties have signed of it."""
    yield from (fault.sentence for fault in found.faults[:MOST_FAULTS])
    if found.fault_count > MOST_FAULTS:
        yield f"And {found.fault_count - MOST_FAULTS:,} more, which may follow from these."
    sessions = session_summaries(found)
    if len(sessions) > MOST_ROWS:
        yield f"Of {len(sessions):,} sessions, counted by party, these are the last {MOST_ROWS:,}; --json prints all."
    for one in sessions[-MOST_ROWS:]:
        yield f"Session {one.session[:8]}: {one.peer} has signed for {one.signed:,} of {one.messages:,} messages."
    if not found.faults:
        yield from _first(signature_sentences(found))


def _first(sentences: list[str]) -> list[str]:
    more = len(sentences) - MOST_FAULTS
    return [
        *sentences[:MOST_FAULTS],
        *([f"And {more:,} more of these; --json prints all."] if more > 0 else []),
    ]


def _faults(found: Examined) -> str:
    return f"{found.fault_count:,} {'fault' if found.fault_count == 1 else 'faults'}"


def _verdict(found: Examined) -> str:
    if found.faults:
        return f"broken, {_faults(found)}."
    whose = f"the ledger of {found.begin.party}, " if found.begin else ""
    torn = "; a crash has left the last line incomplete" if found.torn else ""
    return f"{whose}unbroken, {found.lines:,} lines, the last with the hash {found.last}{torn}."
