"""A party's ledger in its life: opened for its job, agreed on with the others once they have met, signed by both sides.

SPEC.md, section 8. The life calls `open_ledger` before it speaks to anybody, `begin_session` when the parties are
connected, `agree_keys` right after the greeting, and `exchange_heads` at each checkpoint and at the end.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from parties.config.digests import key_digests
from parties.config.job import Job
from parties.config.party import Party
from parties.ledger.heads import (
    agree_as_feature,
    agree_as_label,
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
"""Its name among what an unfinished run keeps."""
IN_RUN_FOLDER = "ledger.jsonl"
"""Its name in the folder of a run that has finished."""


def open_ledger(path: Path, party: Party, identity: PrivateIdentity) -> Ledger:
    """Begin this party's ledger of its job at `path`, or go on with it. Raises what `Ledger.open` does."""
    return Ledger.open(path, about_of(party, identity))


def about_of(party: Party, identity: PrivateIdentity) -> About:
    """Whose ledger this party's is, as its first line says it."""
    job = party.job
    identities = {name: job.identity_of(name).line for name in job.parties}
    return About(party.name, party.role, job.job, job_digest(job), identities, identity.sign)


def agree_keys(ledger: Ledger, party: Party, run: Run) -> None:
    """Agree with each party that this one exchanges messages with on a key for their digests in this session."""
    job, bond = party.job, ledger.signer.bond
    if party.role == "label":
        for peer, (own, theirs) in run(agree_as_label(job.feature_parties, os.urandom)).items():
            ledger.set_key(peer, bond.pair_key(party.name, peer, own, theirs))
    else:
        theirs, own = run(agree_as_feature(job.label_party, os.urandom))
        ledger.set_key(job.label_party, bond.pair_key(job.label_party, party.name, theirs, own))


def exchange_heads(ledger: Ledger, party: Party, run: Run, *, final: bool) -> None:
    """Sign with the others what is on record by now, write it down and force it to the disk.

    All parties call it at the same point, when no message is under way; `final` once the training has ended. Raises
    ProtocolError where another party signs another story than this ledger tells.
    """
    job, signer = party.job, ledger.signer
    peers = job.feature_parties if party.role == "label" else (job.label_party,)
    standings = {peer: ledger.standing(peer) for peer in peers}
    # What is signed must be there after a power cut as well, or an honest ledger would contradict its own head.
    ledger.sync()
    if party.role == "label":
        ledger.keep_heads(run(exchange_heads_label(signer, standings, job.feature_parties, final=final)))
    else:
        [(label_party, standing)] = standings.items()
        ledger.keep_heads({label_party: run(exchange_heads_feature(signer, standing, label_party, final=final))})


def recorded_traffic(path: Path) -> Traffic:
    """All that crossed by the ledger at `path`, in every session. Raises ConfigError where it cannot be read."""
    traffic, sums = Traffic(), Sums()
    survey(path, each=sums.take)
    for row in sums.rows():
        traffic.counts[row.direction, row.peer, row.kind] = Count(row.messages, row.bytes)
    return traffic


def job_digest(job: Job) -> bytes:
    """32 bytes that stand for all that the parties agree on but where the label party is found, and the identity lines.

    A ledger names the identities beside it; a launch on one machine makes them, and the port, afresh.
    """
    left_out = {"address", *(f"parties.{name}.identity" for name in job.parties)}
    digests = key_digests(job, job.align.contract)
    return hashlib.sha256(_joined({key: value for key, value in digests.items() if key not in left_out})).digest()


def _joined(digests: Mapping[str, bytes]) -> bytes:
    return b"".join(key.encode() + b"\0" + digest for key, digest in digests.items())
