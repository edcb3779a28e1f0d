"""Compares which finished run's model every party uses in a prediction, before anything about a record is sent.

SPEC.md, section 9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from parties.checkpoints.start_messages import RUN
from parties.config.party_names import PartyNames
from psi.messages import MOST_RECORDS
from vsplit.protocol import Message, MismatchError, Role, Send, receive

_LIMIT = 1 << 10


class ModelOffer(Message, frozen=True, kw_only=True, eq=False):
    """From each feature party to the label party, once: the finished run whose model it uses."""

    reveals: ClassVar[str] = "the name of the run whose model this party uses, which all parties of that run know"

    run: bytes

    def check(self) -> None:
        if len(self.run) != RUN:
            raise ValueError(f"the name of a run has {RUN} bytes")


class ModelRequest(Message, frozen=True, kw_only=True, eq=False):
    """From the label party to each feature party, once: the finished run whose model it uses, and its number of records."""

    reveals: ClassVar[str] = (
        "the name of the run whose model this party uses, and how many records it wants scored, which the alignment shows too"
    )

    run: bytes
    records: int

    def check(self) -> None:
        if len(self.run) != RUN:
            raise ValueError(f"the name of a run has {RUN} bytes")
        if not 1 <= self.records <= MOST_RECORDS:
            raise ValueError("a prediction is about one record or more, as many as an alignment takes")


def agree_on_model(names: PartyNames, model: bytes, records: int, run: Callable[[Role[Any]], Any]) -> int:
    """Run this party's side; returns how many records are to be scored, as the label party says.

    `model` is the name of the run, 16 bytes; `records` is used by the label party alone. Raises MismatchError where another
    party uses another run's model.
    """
    if names.is_label:
        run(choose_as_label(names.me, names.feature_parties, model, records))
        return records
    asked: int = run(choose_as_feature(names.me, names.label_party, model))
    return asked


def choose_as_label(me: str, feature_parties: Sequence[str], model: bytes, records: int) -> Role[None]:
    """The label party's side. It receives all and answers all before it compares, so that every side can name both runs."""
    offers = {}
    for party in feature_parties:
        offers[party] = yield from receive(party, ModelOffer, _LIMIT)
    for party in feature_parties:
        yield Send(party, ModelRequest(run=model, records=records))
    for party, offer in offers.items():
        _compare(me, party, model, offer.run)


def choose_as_feature(me: str, label_party: str, model: bytes) -> Role[int]:
    """A feature party's side; returns how many records the label party wants scored."""
    yield Send(label_party, ModelOffer(run=model))
    request = yield from receive(label_party, ModelRequest, _LIMIT)
    _compare(me, label_party, model, request.run)
    return request.records


def _compare(me: str, other: str, mine: bytes, theirs: bytes) -> None:
    if mine != theirs:
        raise MismatchError(
            other,
            f"{me} uses the model of the run {mine.hex()} and {other} that of the run {theirs.hex()}; nothing was compared. "
            "Use the same run at every party: --run FOLDER names its folder, and `run` in its run.json is the name.",
        )
