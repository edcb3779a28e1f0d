"""A party's part in a training as bytes, and back: SPEC.md, section 11.

The bytes are a file in the safetensors format. Every tensor and every number that is not whole is stored as a tensor, so that
none is rounded; whole numbers are stored as JSON in its metadata. Nothing in it can be code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from vsplit.learn.feature import FeatureState
from vsplit.learn.label import Epoch, LabelState
from vsplit.learn.randomness import check_random_states, random_states, set_random_states

State = FeatureState | LabelState

_METADATA = "vsplit"
_LENGTH = 8  # bytes before the head of a safetensors file
_KEPT, _OPTIMIZER, _RANDOM = "kept.", "optimizer.", "random."
_BEST, _HISTORY, _LOSS, _RECORD = "best_loss", "history", "loss_sum", "record."


class _Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole numbers of a state; those that a role does not have are 0."""

    step: int
    epoch: int
    batch: int
    stale: int
    stopped: bool
    kept_epoch: int | None
    loss_rows: int = 0
    given: int = 0
    clipped: int = 0
    record_epoch: int = 0


def to_bytes(state: State) -> bytes:
    """`state` as bytes, with the state of every random generator that training uses."""
    progress = state.progress
    tensors = dict(_weights(state))
    for name, kept in progress.kept.items():
        tensors |= {f"{_KEPT}{name}.{key}": tensor for key, tensor in kept.items()}
    tensors |= _optimizer_tensors(state.optimizer)
    tensors |= {f"{_RANDOM}{name}": tensor for name, tensor in random_states().items()}
    tensors[_BEST] = torch.tensor(progress.best_loss, dtype=torch.float64)
    counts = _Counts(state.step, progress.epoch, progress.batch, progress.stale, progress.stopped, progress.kept_epoch)
    if isinstance(state, LabelState):
        losses = [[epoch.train_loss, epoch.validation_loss] for epoch in state.history]
        tensors[_HISTORY] = torch.tensor(losses, dtype=torch.float64).reshape(-1, 2)
        tensors[_LOSS] = state.loss_sum
        counts = msgspec.structs.replace(counts, loss_rows=state.loss_rows)
        if state.record is not None:
            tensors |= {f"{_RECORD}{name}": tensor for name, tensor in state.record.tensors().items()}
            counts = msgspec.structs.replace(counts, record_epoch=state.record.epoch)
    else:
        counts = msgspec.structs.replace(counts, given=state.given, clipped=state.clipped)
    # Tied weights are stored under each of their names; the format would refuse shared memory.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return save_tensors(copies, metadata={_METADATA: msgspec.json.encode(counts).decode()})


def from_bytes(state: State, data: bytes, *, with_random: bool = True) -> None:
    """Restore `state`, newly built from the same plan and inputs, to what it was when `to_bytes` returned `data`.

    Everything is checked before anything is changed. `with_random` restores the random generators as well. Raises ValueError,
    whose text says what does not fit: a name, a shape, a dtype.
    """
    try:
        tensors, counts = load_tensors(data), _counts(data)
    except (SafetensorError, msgspec.MsgspecError, ValueError, KeyError) as error:
        raise ValueError(f"it is not a state of a training ({type(error).__name__})") from None
    generators = _below(_RANDOM, tensors)
    check_random_states(generators)
    _check(dict(_weights(state)), {name: tensors.get(name) for name, _ in _weights(state)})
    kept = _kept(state, tensors)
    moments = _moments(state.optimizer, tensors)
    history = _numbers(tensors, _HISTORY, 2) if isinstance(state, LabelState) else None
    best = _numbers(tensors, _BEST, 0)
    loss = _numbers(tensors, _LOSS, 0) if isinstance(state, LabelState) else None
    record = state.record if isinstance(state, LabelState) else None
    recorded = _below(_RECORD, tensors)
    if record is not None:
        _check(record.tensors(), {name: recorded.get(name) for name in record.tensors()})
    for name, module in _modules(state).items():
        module.load_state_dict(_below(f"{name}.", tensors))
    state.optimizer.load_state_dict({"state": moments, "param_groups": state.optimizer.state_dict()["param_groups"]})
    progress = state.progress
    progress.epoch, progress.batch, progress.kept_epoch = counts.epoch, counts.batch, counts.kept_epoch
    progress.stale, progress.stopped, progress.best_loss = counts.stale, counts.stopped, float(best)
    progress.kept = kept
    state.step = counts.step
    if isinstance(state, LabelState) and history is not None and loss is not None:
        state.history = [Epoch(*losses) for losses in history.tolist()]
        state.loss_sum, state.loss_rows = loss.to(_device(state)), counts.loss_rows
        if record is not None:
            record.restore(recorded, counts.record_epoch)
    elif isinstance(state, FeatureState):
        state.given, state.clipped = counts.given, counts.clipped
    if with_random:
        set_random_states(generators)


def _modules(state: State) -> dict[str, nn.Module]:
    named = {"bottom": state.bottom, "top": state.top if isinstance(state, LabelState) else None}
    return {name: module for name, module in named.items() if module is not None}


def _weights(state: State) -> Iterator[tuple[str, Tensor]]:
    for name, module in _modules(state).items():
        for key, tensor in module.state_dict().items():
            yield f"{name}.{key}", tensor


def _device(state: State) -> torch.device:
    return next(tensor.device for _, tensor in _weights(state))


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    found = {}
    for number, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                found[f"{_OPTIMIZER}{number}.{key}"] = value
            elif value is not None:
                raise TypeError(f"the optimiser stores {key} as {type(value).__name__}, which is not a tensor")
    return found


def _moments(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """The optimiser's state by the number of the parameter, with the memory layout of the parameter."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    found: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _below(_OPTIMIZER, tensors).items():
        number, _, key = name.partition(".")
        if not number.isascii() or not number.isdigit() or int(number) >= len(parameters):
            raise ValueError(f"the optimiser has no parameter {number}")
        parameter = parameters[int(number)]
        if tensor.shape not in (parameter.shape, torch.Size([])):
            raise ValueError(
                f"the optimiser's {name} has the shape {tuple(tensor.shape)}, not {tuple(parameter.shape)}"
            )
        like = tensor.shape == parameter.shape and tensor.dtype == parameter.dtype
        found.setdefault(int(number), {})[key] = torch.empty_like(parameter).detach().copy_(tensor) if like else tensor
    return found


def _kept(state: State, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """The stored best weights of each module, if there are any: then those of every module."""
    held = _below(_KEPT, tensors)
    if not held:
        return {}
    own = dict(_weights(state))
    _check(own, {name: held.get(name) for name in own})
    return {
        name: {key: held[f"{name}.{key}"].to(tensor.device) for key, tensor in module.state_dict().items()}
        for name, module in _modules(state).items()
    }


def _check(own: Mapping[str, Tensor], found: Mapping[str, Tensor | None]) -> None:
    for name, tensor in own.items():
        other = found[name]
        if other is None:
            raise ValueError(f"it lacks the weights {name} of this model")
        if other.shape != tensor.shape or other.dtype != tensor.dtype:
            raise ValueError(
                f"its weights {name} are {other.dtype} {tuple(other.shape)}, and this model has {tensor.dtype} "
                f"{tuple(tensor.shape)}"
            )


def _numbers(tensors: Mapping[str, Tensor], name: str, dimensions: int) -> Tensor:
    found = tensors.get(name)
    if found is None or found.ndim != dimensions or (dimensions == 2 and found.shape[1] != 2):
        raise ValueError(f"its {name} is missing or has another shape")
    return found


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _counts(data: bytes) -> _Counts:
    length = int.from_bytes(data[:_LENGTH], "little")
    head = json.loads(data[_LENGTH : _LENGTH + length])
    return msgspec.json.decode(head["__metadata__"][_METADATA], type=_Counts)
