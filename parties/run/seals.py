"""Agrees on keys between feature parties, so that the label party can relay their messages but not read them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from parties.config.digests import Purpose, handshake_digests
from parties.config.job import Job
from parties.config.party_names import PartyNames
from parties.network.identity import PrivateIdentity
from vsplit.protocol import Role
from vsplit.sealing import Credentials, Seal, exchange_keys, relay_key_exchange

Run = Callable[[Role[Any]], Any]


def agree_on_seals(
    names: PartyNames, job: Job, identity: PrivateIdentity, purpose: Purpose, session: bytes, run: Run
) -> Mapping[str, Seal]:
    """This party's seals to other feature parties, in the session that the transport calls `session`.

    The label party, which only relays the keys, has none. With one feature party there is nothing to seal.
    """
    if len(names.feature_parties) == 1:
        return {}
    if names.is_label:
        run(relay_key_exchange(names.feature_parties))
        return {}
    identities = {name: job.identity_of(name).key for name in names.feature_parties}
    digest = _combined(handshake_digests(job, purpose))
    credentials = Credentials(names.me, identity.sign, identities, digest, session)
    seals: dict[str, Seal] = run(exchange_keys(names.label_party, credentials, os.urandom))
    return seals


def _combined(digests: Mapping[str, bytes]) -> bytes:
    """SHA-256 over the names and digests of all keys: 32 bytes for the command and the job."""
    return hashlib.sha256(b"".join(key.encode() + b"\0" + digest for key, digest in digests.items())).digest()
