"""`vsplit check --overlap`: whether an overlap could start, and what it would let leave this party."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from parties.command.bounds import print_bounds, print_quotas
from parties.command.check import print_kernels
from parties.command.check_connection import print_connection, print_identity, print_monitoring
from parties.command.key_quality import counts_in_words, print_key_quality, print_missing_words
from parties.command.screen import print_text
from parties.config.data_source import DataSource
from parties.config.party import Party, load_party
from parties.config.quota_settings import QuotaSettings
from parties.run.quotas import check_quotas
from psi import UnusableKeysError

if TYPE_CHECKING:
    from parties.command.disclosure_document import Document


def print_overlap_check(file: Path, console: Console, disclose: Callable[[Document], None] | None = None) -> int:
    """Check what an overlap reads: a party file, its job's parts for an overlap, its key and the key columns.

    `disclose` is as in `print_check`. Raises VsplitError.
    """
    party = load_party(file, "overlap")
    print_text(
        console, f"{party.name}, {party.role} party of the job {party.job.job}; what it says about learning is ignored."
    )
    print_identity(party, console)
    print_connection(party, console)
    print_quotas(party, console)
    print_monitoring(party, console)
    own = _print_keys(party, console)
    from parties.command.disclosure import OF_THE_CONNECTION, leaves_in_overlap
    from parties.command.disclosure_table import disclosure_table
    from parties.run.limits import limits_of

    print_bounds(party, own, console, "overlap")
    limits_of(party.settings.accept, own).check_own(own)
    print_kernels(console)
    leaving = leaves_in_overlap(party.job, party.name, own)
    console.print(disclosure_table(leaving, f"What leaves {party.name} in an overlap"))
    print_text(
        console,
        f"The figures assume that the other parties' lists are as long as this one. {OF_THE_CONNECTION} No list is unmasked, "
        "and no party learns which records are shared.",
    )
    check_quotas(QuotaSettings.of(party), datetime.now(UTC))
    if disclose is not None:
        from parties.command.disclosure_document import document_of_overlap

        disclose(document_of_overlap(party, own, datetime.now().astimezone()))
    print_text(console, "All checks passed: this party is ready for an overlap.")
    return 0


def _print_keys(party: Party, console: Console) -> int:
    """Read the key columns and print their quality; returns the number of usable keys."""
    # This import takes seconds; errors in the config are shown before it.
    from parties.run.overlap import read_own_keys

    try:
        where, columns, keys = read_own_keys(DataSource.of(party), party.job.align, party.role)
    except UnusableKeysError as error:
        print_key_quality(party, error.report, console)
        raise
    print_text(console, f"{keys.report.rows:,} rows in {where}: {counts_in_words(keys.report)}.")
    print_key_quality(party, keys.report, console)
    print_missing_words(columns, console)
    return len(keys.keys)
