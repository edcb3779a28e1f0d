"""Hints on why few records match, from the shapes of the keys of both sides."""

from __future__ import annotations

from collections.abc import Mapping

from parties.config.job import Align
from parties.config.party_names import PartyNames
from parties.run.seals import Run
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


def find_causes(
    names: PartyNames, align: Align, keys: KeyList, report: KeyReport, result: Alignment | Overlap, run: Run
) -> list[str]:
    """What may keep records from matching, as plain sentences; none where enough match.

    `keys` are this party's own, which `result` and `report` are about. Columns with many malformed values come first,
    however many records match and whatever the job says of hints. Whether the match is low depends on the sizes of all lists
    and of the match, so all parties decide alike; the label party and each feature party then exchange the shapes of their
    keys. Raises what the roles of `psi.shapes` do.
    """
    sizes, label_party = result.peer_records, names.label_party
    own = many_malformed(report.columns, report.rows)
    if not align.hints or not is_low(result.matched, (result.own_records, *sizes.values())):
        return own
    mine = key_shapes(keys, len(align.key))
    if names.is_label:
        theirs = run(exchange_shapes_label({peer: sizes[peer] for peer in names.feature_parties}, mine))
        return own + _causes_at_label_party(names.me, align, mine, theirs, result)
    shapes = run(exchange_shapes_feature(label_party, sizes[label_party], mine))
    causes = own + likely_causes(mine, shapes, align.key, label_party, align.steps)
    if len(names.feature_parties) > 1:
        causes.append(
            f"This compares {names.me} with {label_party} alone, and the cause may lie at another party: "
            f"{label_party} is told how many records it shares with each, so ask there."
        )
    return causes


def _causes_at_label_party(
    me: str, align: Align, mine: Shapes, theirs: Mapping[str, Shapes], result: Alignment | Overlap
) -> list[str]:
    """The label party knows how many records it shares with each other party, so with which of them the loss is."""
    fair = [
        peer for peer in theirs if not is_low(result.overlaps[peer], (result.own_records, result.peer_records[peer]))
    ]
    causes = [
        cause
        for peer, shapes in theirs.items()
        if peer not in fair
        for cause in likely_causes(mine, shapes, align.key, peer, align.steps)
    ]
    if not fair:
        return causes
    known = " and ".join(f"{result.overlaps[peer]:,} with {peer}" for peer in fair)
    if causes:
        low = " and ".join(peer for peer in theirs if peer not in fair)
        return [f"{me} shares {known}, so the loss is with {low}.", *causes]
    return [
        f"{me} shares {known}, so no party alone is the cause: the lists of the others have few of these records in "
        "common. Compare which people they are about."
    ]
