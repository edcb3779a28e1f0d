"""`vsplit run`: one party's run; and how `run` and `overlap` load what they start with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from parties.command.identity import load_identity
from parties.command.launch import launched
from parties.command.party_argument import check_party_argument
from parties.config.digests import Purpose
from parties.config.party import Party, load_party
from parties.monitoring.events import STARTING, Show, Step
from parties.network.identity import PrivateIdentity
from parties.run.contact import contact_in
from parties.run.failure_notice import notifying_others


def run_file(file: Path, show: Show, *, restart: bool) -> int:
    """Run the party of a party file to its end; returns the exit code. Raises VsplitError."""
    with starting(file, "run", show) as (party, identity):
        # This import takes seconds; errors in the files above are shown before it.
        from parties.run.party_run import run_party

    show(run_party(party, identity, show, restart=restart))
    return 0


@contextlib.contextmanager
def starting(file: Path, purpose: Purpose, show: Show) -> Iterator[tuple[Party, PrivateIdentity]]:
    """The party of a party file and its key. A failure in here is reported to the other parties. Raises VsplitError."""
    check_party_argument(file)
    with notifying_others(lambda: contact_in(file), show):
        party = load_party(file, purpose)
        started = launched(party) or (party, load_identity(party))
        show(Step(STARTING))
        yield started
