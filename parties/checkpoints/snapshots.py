"""Writes the state of a run to its files, and restores it from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from parties.checkpoints.checksummed_file import ChecksummedFile
from parties.checkpoints.folder import CheckpointFolder
from parties.data.aligned_rows import AlignedRows
from parties.local.command_line import restart_hint
from parties.local.text import ended
from psi import Alignment
from vsplit.learn.checkpoint import State, from_bytes, to_bytes
from vsplit.learn.groups import Groups
from vsplit.learn.label import Predictions
from vsplit.protocol import ConfigError

T = TypeVar("T")
Arrays = Mapping[str, npt.NDArray[Any]]


class Resumed(msgspec.Struct, frozen=True):
    """A run was resumed: when, from which step, and what had changed, on which the last digits of results may depend."""

    at: str
    step: int
    changes: list[str]


class RunTimeline(msgspec.Struct):
    """The times of a run: when it began, how long each epoch took and the current one has taken, in seconds; and where it was
    resumed."""

    started: str
    epoch_seconds: list[float] = []
    in_epoch: float = 0.0
    resumed: list[Resumed] = []


@dataclass(frozen=True, slots=True, eq=False)
class AlignedRun:
    """One party's side of a run whose records are aligned: all that its training begins with.

    `seed` is that of the own initial weights, and `order_secret` the label party's (elsewhere empty). Both are private.
    """

    aligned: Alignment
    shared: AlignedRows
    hints: list[str]
    seed: int | bytes = field(repr=False)
    order_secret: bytes = field(repr=False)
    started: str


class _AlignmentRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The part of an alignment that is not an array."""

    own_records: int
    peer_records: dict[str, int]
    overlaps: dict[str, int]
    matched: int
    hints: list[str]
    seed: int | str
    order_secret: str
    started: str


def offer_alignment(folder: CheckpointFolder, run: bytes, agreed: AlignedRun) -> None:
    """Store this party's side. Raises ConfigError."""
    aligned, shared, seed = agreed.aligned, agreed.shared, agreed.seed
    record = _AlignmentRecord(
        aligned.own_records,
        dict(aligned.peer_records),
        dict(aligned.overlaps),
        aligned.matched,
        agreed.hints,
        seed.hex() if isinstance(seed, bytes) else seed,
        agreed.order_secret.hex(),
        agreed.started,
    )
    arrays: dict[str, npt.NDArray[Any]] = {"positions": aligned.positions, "rows": shared.rows}
    if shared.groups is not None:
        arrays["counts"] = shared.groups.counts
    if shared.parts is not None:
        arrays["parts"] = shared.parts
    folder.offer_alignment(run, record, _saved(arrays))


def stored_alignment(folder: CheckpointFolder) -> AlignedRun:
    """This party's side, as it was stored. Raises ConfigError."""
    file = folder.alignment()
    record, arrays = _record(folder, file, _AlignmentRecord), _arrays(folder, file)
    aligned = Alignment(arrays["positions"], record.own_records, record.peer_records, record.overlaps, record.matched)
    groups = Groups(arrays["counts"]) if "counts" in arrays else None
    shared = AlignedRows(arrays["rows"], groups, arrays.get("parts"))
    seed = bytes.fromhex(record.seed) if isinstance(record.seed, str) else record.seed
    return AlignedRun(aligned, shared, record.hints, seed, bytes.fromhex(record.order_secret), record.started)


def store_step(folder: CheckpointFolder, run: bytes, state: State, timeline: RunTimeline) -> None:
    """Store the state of this party's training. Raises ConfigError."""
    folder.store_step(run, state.step, timeline, to_bytes(state))


def restore_step(folder: CheckpointFolder, step: int, state: State) -> tuple[RunTimeline, list[str]]:
    """Set `state` to what it was after `step` steps; return the timeline until there, and what has changed since.

    The state of every random generator is restored as well. Raises ConfigError.
    """
    file = folder.step(step)
    _restore(folder, state, file.body, with_random=True)
    return _record(folder, file, RunTimeline), folder.origin.changes_since(file.head.origin)


def offer_final(
    folder: CheckpointFolder, run: bytes, state: State, joint: Predictions | None, timeline: RunTimeline
) -> None:
    """Store this party's outcome: its state, and at the label party the joint model's predictions. Raises ConfigError."""
    arrays: dict[str, npt.NDArray[Any]] = {"state": np.frombuffer(to_bytes(state), np.uint8)}
    if joint is not None:
        arrays |= {"validation": joint.validation, "test": joint.test}
    folder.offer_final(run, state.step, timeline, _saved(arrays))


def restore_final(folder: CheckpointFolder, state: State) -> tuple[Predictions | None, RunTimeline, list[str]]:
    """Set `state` to that of the stored outcome; return its predictions, its timeline, and what has changed since.

    Raises ConfigError.
    """
    file = folder.final()
    arrays = _arrays(folder, file)
    _restore(folder, state, arrays["state"].data, with_random=False)
    joint = Predictions(arrays["validation"], arrays["test"]) if "test" in arrays else None
    return joint, _record(folder, file, RunTimeline), folder.origin.changes_since(file.head.origin)


def _restore(folder: CheckpointFolder, state: State, data: memoryview, *, with_random: bool) -> None:
    try:
        from_bytes(state, bytes(data), with_random=with_random)
    except ValueError as error:
        raise ConfigError(
            f"The training in {folder.folder} cannot be resumed: {ended(str(error))} Put the bottom model back as it was, or "
            f"{restart_hint()}."
        ) from None


def _saved(arrays: Arrays) -> bytes:
    saved: bytes = save_arrays({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    return saved


def _arrays(folder: CheckpointFolder, file: ChecksummedFile) -> Arrays:
    try:
        # Copies, since the arrays share the file's memory, which has any alignment and is read-only.
        return {name: array.copy() for name, array in load_arrays(bytes(file.body)).items()}
    except SafetensorError:
        raise _unreadable(folder) from None


def _record(folder: CheckpointFolder, file: ChecksummedFile, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(file.head.record, type=kind)
    except msgspec.MsgspecError:
        raise _unreadable(folder) from None


def _unreadable(folder: CheckpointFolder) -> ConfigError:
    return ConfigError(
        f"A file in {folder.folder} is complete and has another content than this version of vsplit writes; {restart_hint()}."
    )
