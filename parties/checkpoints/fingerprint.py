"""Digests of what a run depends on locally, so that it never resumes with other data: each by the name of what it covers.

They are stored in files of this party alone, and are of no use to any other.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from parties.checkpoints.origin import Origin
from parties.config.digests import key_digests
from parties.config.job import load_job
from parties.config.local_model import LocalModel
from parties.data.party_data import PartyData
from parties.local.plain_file import open_plain
from vsplit import __version__
from vsplit.learn import runtime

_BYTES = 16
_CHUNK = 1 << 20
# They change how parties connect and how often a state is stored, and nothing that is computed.
_FREE = ("address", "train.checkpoint.steps", "train.checkpoint.seconds")


def origin_of(party: str, job_file: Path, model: LocalModel, party_data: PartyData) -> Origin:
    """The origin of files that the party of this name writes now."""
    return Origin(
        __version__, party, job_fingerprints(job_file), local_fingerprints(model, party_data), environment(model)
    )


def job_fingerprints(job_file: Path) -> dict[str, str]:
    """The job as it is written, key by key. An identity that is `auto` is drawn again by each launch and stays `auto`."""
    job = load_job(job_file)
    digests = key_digests(job, job.align.contract)
    return {key: digest.hex() for key, digest in digests.items() if key not in _FREE}


def local_fingerprints(model: LocalModel, party_data: PartyData) -> dict[str, str]:
    """This party's usable records, column by column, and the keys of its file that say how they are learned from."""
    table, keys = party_data.table, party_data.keys
    found = {
        "the key columns, or which rows have a usable key": _digest(
            [keys.keys.data, keys.keys.ends, keys.starts, keys.rows]
        ),
        "the key bottom of the party file": _of_setting(model.bottom.model_dump(mode="json")),
        "the key data.categories of the party file": _of_setting(model.categories),
        "the order of the feature columns": _of_setting(list(table.features)),
    }
    for name in table.features:
        found[f"the column {name}"] = _of_column(table.features[name])
    if party_data.labels is not None:
        found["the labels"] = _digest([party_data.labels.values, "\0".join(party_data.labels.classes).encode()])
    if table.date is not None:
        found["the dates"] = _of_column(table.date)
    if table.images is not None and model.image is not None:
        found["the key data.image of the party file"] = _of_setting(model.image.model_dump(mode="json"))
        found["the images"] = _of_files(table.image_folder, table.images.iloc[keys.rows])
    return found


def environment(model: LocalModel) -> dict[str, str]:
    """What the last bits of a result may depend on: the kind of processor, versions, threads, the device."""
    return {
        "processor": f"{_processor()}, {runtime.instructions()}",
        "Python": platform.python_version(),
        "torch": runtime.version(),
        "numpy": np.__version__,
        "threads": str(model.threads),
        "device": runtime.device_name(model.device),
    }


def _processor() -> str:
    """The model of the processor, where the system reports it; libraries choose their order of additions by it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _of_column(column: pd.Series[Any]) -> str:
    return _digest([pd.util.hash_pandas_object(column, index=False).to_numpy(), str(column.dtype).encode()])


def _of_setting(value: object) -> str:
    return _digest([json.dumps(value, sort_keys=True).encode()])


def _of_files(folder: Path, names: Iterable[str]) -> str:
    state = hashlib.blake2b(digest_size=_BYTES)
    for name in names:
        with open_plain(folder / str(name)) as file:
            while chunk := file.read(_CHUNK):
                state.update(chunk)
        state.update(b"\0")
    return state.hexdigest()


def _digest(parts: Iterable[bytes | np.ndarray[Any, Any]]) -> str:
    state = hashlib.blake2b(digest_size=_BYTES)
    for part in parts:
        data = np.ascontiguousarray(part).view(np.uint8).data if isinstance(part, np.ndarray) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()
