"""`vsplit check --overlap`: what would keep an overlap from going well, and what it would let leave this party."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from parties.command.check import (
    print_bounds,
    print_identity,
    print_kernels,
    print_quotas,
    print_watching,
    table_of_leaving,
)
from parties.command.key_quality import counts_in_words, print_key_quality, print_no_values
from parties.command.screen import say
from parties.config.data_source import DataSource
from parties.config.party import load_party
from parties.run.quotas import check_quotas
from psi import UnusableKeysError

if TYPE_CHECKING:
    from parties.command.disclosure_document import Document


def print_overlap_check(file: Path, console: Console, disclose: Callable[[Document], None] | None = None) -> int:
    """Check what an overlap reads: a party file, its job's parts for an overlap, its key and the key columns.

    `disclose` is as in `print_check`. Raises VsplitError.
    """
    party = load_party(file, "overlap")
    print_identity(party, f"job {party.job.job}, in which an overlap reads nothing about learning", console)
    print_quotas(party, console)
    print_watching(party, console)
    # What follows takes seconds to import; what is wrong with the files above shows at once.
    from parties.command.disclosure import OF_THE_CONNECTION, leaves_in_overlap
    from parties.run.limits import limits_of
    from parties.run.overlap import read_own_keys

    try:
        where, columns, keys = read_own_keys(DataSource.of(party), party.job.align, party.role)
    except UnusableKeysError as error:
        print_key_quality(party, error.report, console)
        raise
    own = len(keys.keys)
    say(console, f"{keys.report.rows:,} rows in {where}: {counts_in_words(keys.report)}.")
    print_key_quality(party, keys.report, console)
    print_no_values(columns, console)
    print_bounds(party, own, console, "overlap")
    limits_of(party.settings.accept, own).check_own(own)
    print_kernels(console)
    console.print(table_of_leaving(leaves_in_overlap(party, own), f"What an overlap lets leave {party.name}"))
    say(
        console,
        f"The figures hold if the other side's list is as long as this one. {OF_THE_CONNECTION} No list is unmasked, and "
        "nobody is told which records are shared.",
    )
    check_quotas(party, datetime.now(UTC))
    if disclose is not None:
        from parties.command.disclosure_document import document_of_overlap

        disclose(document_of_overlap(party, own, datetime.now().astimezone()))
    say(console, "Nothing at home stands in the way of an overlap.")
    return 0
