"""Aligns the records of all parties: which rows belong to the same record, in one common order."""

from __future__ import annotations

import os
from collections.abc import Mapping

from parties.checkpoints.snapshots import AlignedRun
from parties.config.job import Job
from parties.config.party_file import Accept
from parties.config.party_names import PartyNames
from parties.data.aligned_rows import align_rows
from parties.data.party_data import PartyData, most_rows
from parties.monitoring.events import Step
from parties.run.context import RunContext
from parties.run.limits import limits_of
from parties.run.mismatch_hints import find_causes
from parties.run.seals import Run
from parties.run.session import Session
from psi import Alignment, Limits, align_feature, align_label, check_agreed, check_match
from psi.keys import KeyList
from vsplit.protocol import Role, VsplitError
from vsplit.sealing import Seal


def match_records(
    names: PartyNames, keys: KeyList, seals: Mapping[str, Seal], order_secret: bytes, limits: Limits, run: Run
) -> Alignment:
    """Find the records that all parties have. `order_secret` is used by the label party alone.

    The alignment may be without positions: see `psi.check_match` and `psi.check_agreed`.
    """
    role: Role[Alignment]
    if names.is_label:
        role = align_label(
            names.me, names.feature_parties, keys, order_secret=order_secret, random_bytes=os.urandom, limits=limits
        )
    else:
        role = align_feature(
            names.me,
            names.label_party,
            names.feature_parties,
            keys,
            seals=seals,
            random_bytes=os.urandom,
            limits=limits,
        )
    aligned: Alignment = run(role)
    return aligned


def align_records(
    names: PartyNames,
    job: Job,
    accept: Accept,
    party_data: PartyData,
    order_secret: bytes,
    seals: Mapping[str, Seal],
    session: Session,
    context: RunContext,
    seed: int | bytes,
) -> AlignedRun:
    """Match the records with new keys, then agree on the rows to train on; `seed` is that of the initial weights.

    Raises what `psi.check_match`, `psi.check_agreed` and `align_rows` do.
    """
    keys, own = party_data.keys, len(party_data.keys.keys)
    limits = limits_of(accept, own)
    aligned = match_records(names, keys.keys, seals, order_secret, limits, session.run)
    hints = find_causes(names, job.align, keys.keys, keys.report, aligned, session.run)
    try:
        check_match(aligned.matched, limits.min_records, _others(names), hints)
        check_agreed(aligned)
    except VsplitError:
        # All parties find the same here, so that each closes the session instead of reporting an error to the others.
        session.transport.finish()
        raise
    show_preparing(context, aligned)
    rows = align_rows(names, job, party_data, aligned, order_secret, most_rows(accept, own), session.run)
    secret = order_secret if names.is_label else b""
    return AlignedRun(aligned, rows, hints, seed, secret, context.timeline.started)


def show_preparing(context: RunContext, aligned: Alignment) -> None:
    """Show that the aligned records are being prepared."""
    context.show(Step("preparing the shared records", text=f"{aligned.matched:,} in common"))


def _others(names: PartyNames) -> str:
    *first, last = names.others
    return f"all others ({', '.join(first)} and {last})" if first else last
