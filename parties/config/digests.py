"""Digests of a job, key by key, so that parties with different job files can name the first key that differs.

The first digest is that of the command, which must be the same at all parties.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from parties.config.job import Job

DIGEST_BYTES = 16

Purpose = Literal["run", "overlap", "predict"]
"""What the parties connect for: the name of the command that all of them run."""
PURPOSES: tuple[Purpose, ...] = ("run", "overlap", "predict")
COMMAND = "command"
"""The name of the purpose among the digests; no key of a job file has this name."""

# An overlap comes before any contract: what the job says about learning does not have to be agreed yet.
_OF_OVERLAP = ("job", "address", "parties", "align")


def handshake_digests(job: Job, purpose: Purpose) -> dict[str, bytes]:
    """What the parties compare for `purpose`: the purpose itself, and the keys of the job that it depends on."""
    digests = key_digests(job, job.align.contract)
    if purpose == "overlap":
        digests = {key: digest for key, digest in digests.items() if key.partition(".")[0] in _OF_OVERLAP}
    return {COMMAND: _digest(purpose)} | digests


def purpose_in(digests: Mapping[str, bytes]) -> Purpose | None:
    """The purpose of digests made by `handshake_digests`; None: unknown."""
    return next((purpose for purpose in PURPOSES if digests.get(COMMAND) == _digest(purpose)), None)


def key_digests(job: Job, contract: int | str) -> dict[str, bytes]:
    """16 bytes of SHA-256 for each key of the job, defaults included, by dotted name and in the order of the schema.

    `contract` is the version of the id contract; its name is `align.contract`, although the file has no such key.
    `parties` covers the names in their order, since that is the order of the embeddings.
    """
    values = job.model_dump(mode="json")
    values["align"]["contract"] = contract
    # As one value under one name, because the name of a column is free text and must not be a name in a message.
    values["align"]["normalise"] = [values["align"]["normalise"]]
    flat: dict[str, Any] = {}
    for key, value in _flatten(values):
        if key.startswith("parties."):
            flat.setdefault("parties", list(job.parties))
        flat[key] = value
    return {key: _digest(value) for key, value in flat.items()}


def first_difference(mine: Mapping[str, bytes], theirs: Mapping[str, bytes]) -> str | None:
    """The name of the first key whose digests differ, or None: in the order of `mine`, then keys that only `theirs` has."""
    for key, digest in mine.items():
        if theirs.get(key) != digest:
            return key
    return next((key for key in theirs if key not in mine), None)


def _flatten(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{above}{key}.")
        else:
            yield above + key, value


def _digest(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).digest()[:DIGEST_BYTES]
