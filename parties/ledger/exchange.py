"""What a run does with its ledger together with the other parties: agrees on keys, and exchanges signatures.

SPEC.md, section 8. A run calls `agree_keys` right after the handshake, and `exchange_heads` at each checkpoint and at the
end.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from parties.config.digests import key_digests
from parties.config.job import Job
from parties.config.party_names import PartyNames
from parties.ledger.heads import (
    agree_on_key_feature,
    agree_on_key_label,
    exchange_heads_feature,
    exchange_heads_label,
)
from parties.ledger.ledger import Ledger
from parties.ledger.opening import About
from parties.ledger.show import Sums
from parties.ledger.verify import survey
from parties.network.driver import Count, Traffic
from parties.network.identity import PrivateIdentity
from vsplit.protocol import Role

Run = Callable[[Role[Any]], Any]
LEDGER = "ledger"
"""Its name among the files of an unfinished run."""
IN_RUN_FOLDER = "ledger.jsonl"
"""Its name in the run folder of a finished run."""


def about_of(job: Job, party: str, identity: PrivateIdentity) -> About:
    """What the ledger of `party` says in its first line, and what it signs with."""
    identities = {name: job.identity_of(name).line for name in job.parties}
    return About(party, job.parties[party].role, job.job, job_digest(job), identities, identity.sign)


def agree_keys(ledger: Ledger, names: PartyNames, run: Run) -> None:
    """Agree with each party that this one exchanges messages with on a key for their digests in this session."""
    binding, label_party = ledger.signer.binding, names.label_party
    if names.is_label:
        for peer, (own, theirs) in run(agree_on_key_label(names.feature_parties, os.urandom)).items():
            ledger.set_key(peer, binding.pair_key(names.me, peer, own, theirs))
    else:
        theirs, own = run(agree_on_key_feature(label_party, os.urandom))
        ledger.set_key(label_party, binding.pair_key(label_party, names.me, theirs, own))


def exchange_heads(ledger: Ledger, names: PartyNames, run: Run, *, final: bool) -> None:
    """Exchange signatures over all that is recorded, append them to the ledger and force it to the disk.

    All parties call it at the same point, when no message is in flight; `final` once the training has ended. Raises
    ProtocolError where another party signs another record than this ledger has.
    """
    signer = ledger.signer
    states = {peer: ledger.state_with(peer) for peer in names.peers}
    # What is signed must survive a power failure, or an honest ledger would contradict its own head.
    ledger.sync()
    if names.is_label:
        ledger.append_heads(run(exchange_heads_label(signer, states, names.feature_parties, final=final)))
    else:
        [(label_party, state)] = states.items()
        ledger.append_heads({label_party: run(exchange_heads_feature(signer, state, label_party, final=final))})


def recorded_traffic(path: Path) -> Traffic:
    """All that crossed by the ledger at `path`, in every session. Raises ConfigError where it cannot be read."""
    traffic, sums = Traffic(), Sums()
    survey(path, each=sums.add)
    for row in sums.rows():
        traffic.counts[row.direction, row.peer, row.kind] = Count(row.messages, row.bytes)
    return traffic


def job_digest(job: Job) -> bytes:
    """A digest, 32 bytes, of all that the parties agree on except the label party's address and the identity lines.

    A ledger has the identities beside it; each launch on one machine makes new ones, and a new port.
    """
    left_out = {"address", *(f"parties.{name}.identity" for name in job.parties)}
    digests = key_digests(job, job.align.contract)
    return hashlib.sha256(_joined({key: value for key, value in digests.items() if key not in left_out})).digest()


def _joined(digests: Mapping[str, bytes]) -> bytes:
    return b"".join(key.encode() + b"\0" + digest for key, digest in digests.items())
