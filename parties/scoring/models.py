"""Runs the roles of scoring: the joint model with the other parties, and the label party's own model locally."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from parties.config.party_names import PartyNames
from parties.run.session import Session
from parties.scoring.finished_model import FinishedModel
from parties.scoring.records import Records, Rows
from parties.scoring.scores import Scores
from psi import Alignment
from vsplit.aggregation import receiver_for, sender_for
from vsplit.aggregation.plain import PlainReceiver
from vsplit.aggregation.secure_sum import Member
from vsplit.learn.models import Store
from vsplit.learn.scoring import embed, predict, score_feature, score_label, scoring_cut
from vsplit.sealing import Seal


def send_embeddings(
    names: PartyNames, model: FinishedModel, store: Store | None, seals: Mapping[str, Seal], session: Session
) -> int:
    """Send a feature party's embeddings of the records in `store`; returns how many values were clipped."""
    if store is None:
        raise ValueError("a feature party has features")
    # The session is new for each alignment, so feature parties with other lists get no sum.
    member = Member(names.me, names.label_party, names.feature_parties, seals, os.urandom, session.name, b"")
    sender = sender_for(scoring_cut(model.plan.cut), member)
    clipped: int = session.run(
        score_feature(names.label_party, model.part.bottom, store, np.arange(len(store)), sender, model.run)
    )
    return clipped


def score_rows(
    names: PartyNames, model: FinishedModel, records: Records, aligned: Alignment, session: Session
) -> Scores:
    """Scores of all rows of the label party: of those that all parties know by the joint model, of the rest by its own."""
    joint = np.zeros(records.table.rows, np.bool_)
    values = _empty(model, records.table.rows)
    if aligned.matched:
        rows, owner = records.rows_of(aligned.positions)
        receiver = receiver_for(scoring_cut(model.plan.cut), names.me, names.feature_parties, random_bytes=os.urandom)
        store = records.store(rows, model.device)
        values[rows] = session.run(
            score_label(names.feature_parties, model.joint(), store, receiver, aligned.matched, owner)
        )
        joint[rows] = True
    rest = np.flatnonzero(~joint)
    if len(rest):
        values[rest] = score_alone(names.me, model, records, rest)
    return Scores(values, joint)


def score_alone(me: str, model: FinishedModel, records: Records, rows: Rows) -> npt.NDArray[np.float64]:
    """Scores of these rows by the label party's own model; no message is sent."""
    if model.rate is not None:
        return np.broadcast_to(model.rate, (len(rows), *model.rate.shape)).copy()
    store, part = records.store(rows, model.device), model.alone()
    if store is None or part.bottom is None:
        raise ValueError("a model of its own needs features")
    part.top.eval()
    receiver = PlainReceiver(me, (), dataclasses.replace(scoring_cut(model.plan.cut), contributors=(me,)))
    return predict(part, receiver, [], embed(part.bottom, store), np.arange(len(rows)))


def _empty(model: FinishedModel, rows: int) -> npt.NDArray[np.float64]:
    several = model.part.description["top"]["task"] == "multiclass"
    return np.full((rows, len(model.classes)) if several else rows, np.nan)
