"""What the files of an unfinished run hold, and how a run is made anew of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from parties.command_line import afresh
from parties.learning import Trained
from parties.shared import Shared
from parties.text import ended
from parties.unfinished.checkpoints import Checkpoints
from parties.unfinished.kept_file import KeptFile
from psi import Alignment
from vsplit.learn.checkpoint import State, from_bytes, to_bytes
from vsplit.learn.groups import Groups
from vsplit.learn.label import Predictions
from vsplit.protocol import ConfigError

T = TypeVar("T")
Arrays = Mapping[str, npt.NDArray[Any]]


class Resumed(msgspec.Struct, frozen=True):
    """A run went on: when, from which step, and what was not as before, on which the last bits of results may hang."""

    at: str
    step: int
    changes: list[str]


class Story(msgspec.Struct):
    """What a run knows of its time: when it began, how long each epoch took, how long the one under way has taken, in
    seconds; and where it went on after a stop."""

    started: str
    epoch_seconds: list[float] = []
    in_epoch: float = 0.0
    resumed: list[Resumed] = []


@dataclass(frozen=True, slots=True, eq=False)
class Agreed:
    """One party's side of a run whose records are aligned: all that its training begins with.

    `seed` is that of the own initial weights, and `order_secret` the label party's (elsewhere empty). Both are private.
    """

    aligned: Alignment
    shared: Shared
    hints: list[str]
    seed: int | bytes = field(repr=False)
    order_secret: bytes = field(repr=False)
    started: str


class _Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of an alignment is no array."""

    own_records: int
    peer_records: dict[str, int]
    overlaps: dict[str, int]
    matched: int
    hints: list[str]
    seed: int | str
    order_secret: str
    started: str


def offer_alignment(kept: Checkpoints, run: bytes, agreed: Agreed) -> None:
    """Keep this party's side. Raises ConfigError."""
    aligned, shared, seed = agreed.aligned, agreed.shared, agreed.seed
    told = _Told(
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
    kept.offer_alignment(run, told, _saved(arrays))


def kept_alignment(kept: Checkpoints) -> Agreed:
    """This party's side, as it was kept. Raises ConfigError."""
    file = kept.alignment()
    told, arrays = _told(kept, file, _Told), _arrays(kept, file)
    aligned = Alignment(arrays["positions"], told.own_records, told.peer_records, told.overlaps, told.matched)
    groups = Groups(arrays["counts"]) if "counts" in arrays else None
    shared = Shared(arrays["rows"], groups, arrays.get("parts"))
    seed = bytes.fromhex(told.seed) if isinstance(told.seed, str) else told.seed
    return Agreed(aligned, shared, told.hints, seed, bytes.fromhex(told.order_secret), told.started)


def keep_step(kept: Checkpoints, run: bytes, state: State, story: Story) -> None:
    """Keep the state of this party's training. Raises ConfigError."""
    kept.keep_step(run, state.step, story, to_bytes(state))


def go_on_from_step(kept: Checkpoints, step: int, begun: Trained) -> tuple[Story, list[str]]:
    """Make `begun` what it was after `step` steps; returns the story until there, and what has changed since.

    The state of every generator is put back as well. Raises ConfigError.
    """
    file = kept.step(step)
    _restore(kept, begun, file.body, with_random=True)
    return _told(kept, file, Story), kept.changes(file)


def offer_final(kept: Checkpoints, run: bytes, trained: Trained, story: Story) -> None:
    """Keep this party's outcome. Raises ConfigError."""
    arrays: dict[str, npt.NDArray[Any]] = {"state": np.frombuffer(to_bytes(trained.state), np.uint8)}
    if trained.joint is not None:
        arrays |= {"validation": trained.joint.validation, "test": trained.joint.test}
    kept.offer_final(run, trained.state.step, story, _saved(arrays))


def kept_final(kept: Checkpoints, begun: Trained) -> tuple[Trained, Story, list[str]]:
    """The outcome as it was kept, of what `begun` began with; its story; and what has changed. Raises ConfigError."""
    file = kept.final()
    arrays = _arrays(kept, file)
    _restore(kept, begun, arrays["state"].data, with_random=False)
    joint = Predictions(arrays["validation"], arrays["test"]) if "test" in arrays else None
    return replace(begun, joint=joint), _told(kept, file, Story), kept.changes(file)


def _restore(kept: Checkpoints, begun: Trained, data: memoryview, *, with_random: bool) -> None:
    try:
        from_bytes(begun.state, bytes(data), with_random=with_random)
    except ValueError as error:
        raise ConfigError(
            f"The training in {kept.folder} cannot go on: {ended(str(error))} Put the bottom model back as it was, or "
            f"{afresh()}."
        ) from None


def _saved(arrays: Arrays) -> bytes:
    saved: bytes = save_arrays({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    return saved


def _arrays(kept: Checkpoints, file: KeptFile) -> Arrays:
    try:
        # Copies, since what is read shares the file's memory, of any alignment, and cannot be written to.
        return {name: array.copy() for name, array in load_arrays(bytes(file.body)).items()}
    except SafetensorError:
        raise _unreadable(kept) from None


def _told(kept: Checkpoints, file: KeptFile, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(file.head.told, type=kind)
    except msgspec.MsgspecError:
        raise _unreadable(kept) from None


def _unreadable(kept: Checkpoints) -> ConfigError:
    return ConfigError(
        f"A file in {kept.folder} is whole and has another content than this version of vsplit writes; {afresh()}."
    )
