"""When few records match: why that may be, from how the keys of both sides look."""

from __future__ import annotations

from collections.abc import Mapping

from parties.config.party import Party
from parties.run.connection import Run
from psi import (
    Alignment,
    KeyReport,
    Overlap,
    exchange_shapes_feature,
    exchange_shapes_label,
    is_low,
    key_shapes,
    likely_causes,
    many_malformed,
)
from psi.keys import KeyList
from psi.shapes import Shapes


def find_causes(party: Party, keys: KeyList, report: KeyReport, found: Alignment | Overlap, run: Run) -> list[str]:
    """What may keep records from matching, as plain sentences; none where nothing is amiss.

    `keys` are this party's own, those that `found` is about, and `report` is about them. Columns with many malformed
    values come first, however many records match and whatever the job says of hints. All parties judge alike whether the
    match is low, by the sizes of all lists and of the match; the label party and each feature party then tell each other
    the shapes of their keys. Raises what the roles of `psi.shapes` do.
    """
    job = party.job
    sizes = found.peer_records
    own = many_malformed(report.columns, report.rows)
    if not job.align.hints or not is_low(found.matched, (found.own_records, *sizes.values())):
        return own
    mine = key_shapes(keys, len(job.align.key))
    if party.role == "label":
        theirs = run(exchange_shapes_label({peer: sizes[peer] for peer in job.feature_parties}, mine))
        return own + _causes_at_label_party(party, mine, theirs, found)
    shapes = run(exchange_shapes_feature(job.label_party, sizes[job.label_party], mine))
    causes = own + likely_causes(mine, shapes, job.align.key, job.label_party, job.align.steps)
    if len(job.feature_parties) > 1:
        causes.append(
            f"This compares {party.name} with {job.label_party} alone, and the cause may lie at another party: "
            f"{job.label_party} is told how many records it shares with each, so ask there."
        )
    return causes


def _causes_at_label_party(
    party: Party, mine: Shapes, theirs: Mapping[str, Shapes], found: Alignment | Overlap
) -> list[str]:
    """The label party knows how many records it shares with each other party, so where the loss is."""
    job = party.job
    fair = [peer for peer in theirs if not is_low(found.overlaps[peer], (found.own_records, found.peer_records[peer]))]
    causes = [
        cause
        for peer, shapes in theirs.items()
        if peer not in fair
        for cause in likely_causes(mine, shapes, job.align.key, peer, job.align.steps)
    ]
    if not fair:
        return causes
    known = " and ".join(f"{found.overlaps[peer]:,} with {peer}" for peer in fair)
    if causes:
        low = " and ".join(peer for peer in theirs if peer not in fair)
        return [f"{party.name} shares {known}, so the loss is with {low}.", *causes]
    return [
        f"{party.name} shares {known}, so no party alone is the cause: the lists of the others have few of these records in "
        "common. Compare which people they are about."
    ]
