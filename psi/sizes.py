"""The first step of the protocol: all parties learn the sizes of all lists, and check them before any list is sent."""

from __future__ import annotations

import numpy as np

from psi.exchange import refuse
from psi.limits import Limits
from psi.messages import ListSize, ListSizes
from psi.ring import Ring, Seat
from vsplit.protocol import HEAD, Role, receive, send


def exchange_sizes(ring: Ring, own: int, limits: Limits) -> Role[list[int]]:
    """The label party's part: the sizes of all lists, by number, where they are within its limits."""
    limits.check_own(own)
    sizes = [own]
    for party in ring.feature_parties:
        sizes.append((yield from receive(party, ListSize, HEAD)).records)
    limits.check_others(dict(zip(ring.feature_parties, sizes[1:], strict=True)))
    for party in ring.feature_parties:
        yield from send(party, ListSizes(records=np.array(sizes, dtype=np.int64)))
    return sizes


def receive_sizes(here: Seat, own: int, limits: Limits) -> Role[list[int]]:
    """A feature party's part: the same, checked by its own limits."""
    limits.check_own(own)
    yield from send(here.label_party, ListSize(records=own))
    message = yield from receive(here.label_party, ListSizes, HEAD + 8 * (here.ring.size + 1))
    sizes: list[int] = message.records.tolist()
    if len(sizes) != here.ring.size + 1 or sizes[here.number] != own:
        refuse(here.label_party, "sizes of lists that are not those of the parties of this job")
    limits.check_others({here.ring.name(number): size for number, size in enumerate(sizes) if number != here.number})
    return sizes
