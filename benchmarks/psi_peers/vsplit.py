"""vsplit itself: party 0 is the label party, the others are feature parties; every party learns its rows in common.

The links are up before the clock starts, over mutual TLS 1.3; where several feature parties agree on keys for what the
label party passes on, they do so inside the clock. The worker processes stand and the kernels are compiled by then, which
`warm_up_s` notes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.psi_peers.party import Order, person_of_rows
from benchmarks.psi_peers.people import ids
from parties.network.driver import drive
from parties.network.identity import PrivateIdentity
from parties.network.peer_connections import PartyListener, dial
from parties.network.route import Address
from parties.network.tls import TlsTransport
from parties.network.worker_pool import WORTH_SPAWNING, Pool, cores
from psi import Alignment, Limits, align_feature, align_label, read_keys
from psi.curve import Scalar, encode_to_curve, multiply
from psi.keys import KeyList
from vsplit.protocol import Role
from vsplit.sealing import Credentials, Seal, exchange_keys, relay_key_exchange

_WAIT = 600.0
_JOB = bytes(32)  # where a digest of the job would stand

Run = Callable[[Role[Any]], Any]


class Party:
    """One party of the alignment."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._names = ["label", *(f"feature{number}" for number in range(1, order.parties))]
        self._identities = [_identity(seed) for seed in order.seeds]
        self._transport = _connect(order, self._names, self._identities)
        held = pa.array(ids(order.party, order.size), pa.large_string(), size=order.size)
        self._column = pd.Series(held, dtype="str")
        self._rows: npt.NDArray[np.int64] = np.empty(0, np.int64)
        start = time.monotonic()
        self._pool = _warm_pool()
        self.extra = {"warm_up_s": time.monotonic() - start}

    def run(self) -> None:
        def run(role: Role[Any]) -> Any:
            return drive(role, self._transport, self._pool)

        keys = read_keys([self._column])
        alignment: Alignment = run(self._role(keys.keys, run))
        self._rows = keys.rows[alignment.positions]

    def found(self) -> list[int]:
        return person_of_rows(self._order.party, self._order.size, self._rows.tolist())

    def close(self) -> None:
        self._pool.__exit__(None, None, None)
        self._transport.finish()

    def _role(self, keys: KeyList, run: Run) -> Role[Alignment]:
        label, *features = self._names
        entropy, limits = os.urandom, Limits()
        if self._order.party == 0:
            if len(features) > 1:
                run(relay_key_exchange(features))
            return align_label(label, features, keys, order_secret=entropy(32), random_bytes=entropy, limits=limits)
        me = self._names[self._order.party]
        seals = self._seals(run) if len(features) > 1 else {}
        return align_feature(me, label, features, keys, seals=seals, random_bytes=entropy, limits=limits)

    def _seals(self, run: Run) -> dict[str, Seal]:
        known = zip(self._names[1:], self._identities[1:], strict=True)
        keys = {name: identity.public.key for name, identity in known}
        number = self._order.party
        mine = Credentials(self._names[number], self._identities[number].sign, keys, _JOB, self._transport.session)
        seals: dict[str, Seal] = run(exchange_keys(self._names[0], mine, os.urandom))
        return seals


def prepare(order: Order) -> Party:
    """The party that `order` names."""
    return Party(order)


def _identity(seed: str) -> PrivateIdentity:
    return PrivateIdentity(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed)))


def _connect(order: Order, names: Sequence[str], identities: Sequence[PrivateIdentity]) -> TlsTransport:
    me, address = identities[order.party], Address("127.0.0.1", order.ports[0])
    if order.party:
        return dial(me, names[0], identities[0].public, address, wait=_WAIT, waiting=lambda _names, _left: None)
    others = {name: one.public for name, one in zip(names[1:], identities[1:], strict=True)}
    return PartyListener(me, address, others, _WAIT).gather(lambda _names, _left: None)


def _warm_pool() -> Pool:
    """A pool whose workers stand, and have hashed and multiplied once; so has this process."""
    pool = Pool(cores())
    points = encode_to_curve(KeyList.of([b"warm"]))
    scalar = Scalar.draw(os.urandom)
    multiply(scalar, points)
    pool.run(encode_to_curve, [(KeyList.of([b"warm"]),)] * WORTH_SPAWNING * cores())
    pool.run(multiply, [(scalar, points)] * WORTH_SPAWNING * cores())
    return pool
