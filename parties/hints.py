"""When few records match: why that may be, from how the keys of both sides look."""

from __future__ import annotations

from parties.config.party import Party
from parties.meeting import Run
from psi import Alignment, Overlap, exchange_shapes_feature, exchange_shapes_label, is_low, key_shapes, likely_causes
from psi.keys import KeyList


def find_causes(party: Party, keys: KeyList, found: Alignment | Overlap, run: Run) -> list[str]:
    """The likely causes of a low match, as plain sentences; none where the match is fair or the job has no hints.

    `keys` are this party's own, those that `found` is about. All parties judge alike, by the sizes of all lists and of
    the match; the label party and each feature party then tell each other the shapes of their keys. Raises what the
    roles of `psi.shapes` do.
    """
    job = party.job
    sizes = found.peer_records
    if not job.align.hints or not is_low(found.matched, (found.own_records, *sizes.values())):
        return []
    names = job.align.key
    mine = key_shapes(keys, len(names))
    if party.role == "label":
        theirs = run(exchange_shapes_label({peer: sizes[peer] for peer in job.feature_parties}, mine))
    else:
        theirs = {job.label_party: run(exchange_shapes_feature(job.label_party, sizes[job.label_party], mine))}
    return [cause for peer, shapes in theirs.items() for cause in likely_causes(mine, shapes, names, peer)]
