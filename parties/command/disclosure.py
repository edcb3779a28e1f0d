"""What a job will let leave a party, told before anything does: for the data-protection officer, by `vsplit check`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from parties.config.digests import key_digests
from parties.greeting import Greeting
from psi import CONTRACT, expected_traffic

if TYPE_CHECKING:
    from parties.home import Home


# About what a message takes on the wire besides its content.
FRAMING = 40


@dataclass(frozen=True, slots=True)
class Leaving:
    """Messages of one kind that will leave: to whom, how many, about how many bytes in all, what they reveal there."""

    kind: str
    to: str
    messages: int
    bytes: int
    reveals: str


def what_leaves(home: Home, peer_records: int | None = None) -> list[Leaving]:
    """What this party will send to each other party, if all of its records match and every epoch is trained.

    `peer_records` is how long the others' lists are; None: as long as this party's. The figures grow with it.
    """
    from parties.learning import plan_of
    from vsplit.learn.batches import part_sizes
    from vsplit.learn.messages import expected_traffic as expected_training

    job, me = home.party.job, home.party.name
    own = len(home.keys.keys)
    others = own if peer_records is None else peer_records
    receivers = job.feature_parties if home.party.role == "label" else (job.label_party,)
    greeting = sum(len(key) + len(digest) for key, digest in key_digests(job, CONTRACT).items())
    leaving = [Leaving(Greeting.__name__, to, 1, greeting + FRAMING, Greeting.reveals) for to in receivers]
    for row in expected_traffic(home.party.role, own, others):
        leaving += [
            Leaving(row.kind, to, row.messages, row.size + FRAMING * row.messages, row.reveals) for to in receivers
        ]
    fractions = job.split.train, job.split.validation, job.split.test
    sizes = part_sizes(min(own, others), fractions)
    by_date = job.split.by == "date"
    for flow in expected_training(plan_of(job, home.contributes), job.label_party, sizes, by_date=by_date):
        if flow.sender == me:
            leaving.append(Leaving(flow.kind.__name__, flow.receiver, flow.messages, flow.bytes, flow.kind.reveals))
    return leaving
