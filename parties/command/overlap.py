"""`vsplit overlap`: how many records the parties share, as lines for people or one line of JSON for programs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parties.command.key_quality import counts_in_words
from parties.command.run import starting
from parties.local.text import listed
from parties.monitoring.events import Finished, Show

if TYPE_CHECKING:
    from parties.run.overlap import Counted


def run_overlap(file: Path, show: Show) -> Counted:
    """Run the overlap of a party file to its end; its last event has the lines for people. Raises VsplitError."""
    with starting(file, "overlap", show) as (party, identity):
        # This import takes seconds; errors in the files above are shown before it.
        from parties.run.overlap import find_overlap

    counted = find_overlap(party, identity, show)
    show(Finished(overlap_lines(counted)))
    return counted


def overlap_lines(counted: Counted) -> list[str]:
    """The result for people: the size of the overlap, of the lists, the quality of the own keys, and what it means."""
    party, found = counted.party, counted.result
    job, names = party.job, list(party.job.parties)
    lists = {party.name: found.own_records, **found.peer_records}
    shortest = min(lists.values())
    lines = [
        f"{found.matched:,} records are common to {listed(names)}, {found.matched / shortest:.1%} of the shortest list.",
        f"Usable records: {listed([f'{lists[name]:,} at {name}' for name in names])}.",
    ]
    if len(names) > 2 and found.overlaps:
        pairs = [f"{records:,} with {name}" for name, records in found.overlaps.items()]
        lines.append(f"{party.name} shares {listed(pairs)}; the feature parties do not learn these numbers.")
    lines.append(f"{counted.report.rows:,} rows in {counted.where}: {counts_in_words(counted.report)}.")
    lines += counted.causes
    fewest = party.settings.accept.min_records
    if fewest is not None and found.matched < fewest:
        lines.append(f"A run would stop here: {party.file} requires {fewest:,} records in common (accept.min_records).")
    lines.append(
        f"All records with a usable key were counted; a run leaves out those of {job.label_party} that have no label. "
        "If all parties follow the protocol, no party learned which records are shared."
    )
    return lines + [f"While closing the session: {error}" for error in counted.closing_errors]


def overlap_figures(counted: Counted) -> dict[str, Any]:
    """The same for programs; `shared_with` is null at a feature party, which does not learn these numbers."""
    party, found = counted.party, counted.result
    return {
        "job": party.job.job,
        "party": party.name,
        "role": party.role,
        "matched": found.matched,
        "records": {party.name: found.own_records, **found.peer_records},
        "shared_with": dict(found.overlaps) if party.role == "label" else None,
        "keys": asdict(counted.report),
        "causes": counted.causes,
        "bytes": {
            way: sum(count.bytes for (direction, _, _), count in counted.traffic.counts.items() if direction == way)
            for way in ("sent", "received")
        },
    }
