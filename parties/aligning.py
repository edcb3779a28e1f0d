"""From two or more connected parties to an alignment: what the roles of `psi` are handed, by this party's files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from parties.config.digests import key_digests
from parties.config.job import Job
from parties.config.party import Party
from parties.home import Home, longest_list
from parties.identity import PrivateIdentity
from psi import Alignment, Limits, align_feature, align_label
from psi.messages import MOST_RECORDS
from vsplit.protocol import Role
from vsplit.sealing import Credentials, Seal, introduce, meet

Run = Callable[[Role[Any]], Any]


def limits_of(party: Party, own_records: int) -> Limits:
    """What this party accepts of an alignment, by its file; see `longest_list` for the default of the longest list."""
    longest = min(longest_list(party, own_records), MOST_RECORDS)
    return Limits(max_list=longest, min_records=party.settings.accept.min_records or 1)


def job_digest(job: Job) -> bytes:
    """32 bytes that stand for the whole job: SHA-256 over the names and digests of all its keys."""
    digests = key_digests(job, job.align.contract)
    return hashlib.sha256(b"".join(key.encode() + b"\0" + digest for key, digest in digests.items())).digest()


def make_seals(party: Party, identity: PrivateIdentity, session: bytes, run: Run) -> Mapping[str, Seal]:
    """A feature party's seals to each other feature party; the label party, which only introduces them, has none.

    `session` is what the transport names the session. With one feature party there is nothing to seal.
    """
    job = party.job
    if len(job.feature_parties) == 1:
        return {}
    if party.role == "label":
        run(introduce(job.feature_parties))
        return {}
    identities = {name: job.identity_of(name).key for name in job.feature_parties}
    mine = Credentials(party.name, identity.sign, identities, job_digest(job), session)
    seals: dict[str, Seal] = run(meet(job.label_party, mine, os.urandom))
    return seals


def align(home: Home, seals: Mapping[str, Seal], order_secret: bytes, run: Run) -> Alignment:
    """Find out which rows are the same records. `order_secret` is used by the label party alone.

    The alignment may be without positions: `psi.check_match` and `psi.check_agreed` say why.
    """
    job, me, keys = home.party.job, home.party.name, home.keys.keys
    limits = limits_of(home.party, len(keys))
    role: Role[Alignment]
    if home.party.role == "label":
        role = align_label(
            me, job.feature_parties, keys, order_secret=order_secret, random_bytes=os.urandom, limits=limits
        )
    else:
        role = align_feature(
            me, job.label_party, job.feature_parties, keys, seals=seals, random_bytes=os.urandom, limits=limits
        )
    aligned: Alignment = run(role)
    return aligned
