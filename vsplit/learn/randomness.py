"""The states of the random generators that a training uses: those of torch, numpy and Python.

Dropout and the random numbers of a user's bottom model come from these. Masks, noise and keys never do, and are never stored.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

_TORCH, _NUMPY, _PYTHON, _DEVICE = "torch", "numpy", "python", "cuda"
# numpy's and Python's are a Mersenne Twister: 624 words and a position, and a normal variate not used yet.
_WORDS = 624


def random_states() -> dict[str, Tensor]:
    """The states of all generators, as tensors by name."""
    found = {_TORCH: torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        found |= {f"{_DEVICE}.{number}": state for number, state in enumerate(torch.cuda.get_rng_state_all())}
    legacy = np.random.get_state(legacy=False)
    if isinstance(legacy, dict) and legacy["bit_generator"] == "MT19937":
        twister = legacy["state"]
        found[_NUMPY] = torch.tensor([*map(int, twister["key"]), int(twister["pos"]), int(legacy["has_gauss"])])
        found[f"{_NUMPY}.waiting"] = torch.tensor(float(legacy["gauss"]), dtype=torch.float64)
    _, words, waiting = random.getstate()
    found[_PYTHON] = torch.tensor(words)
    found[f"{_PYTHON}.waiting"] = torch.tensor([] if waiting is None else [waiting], dtype=torch.float64)
    return found


def set_random_states(states: Mapping[str, Tensor]) -> None:
    """Restore what `random_states` returned. Raises ValueError where something is missing or has another length."""
    check_random_states(states)
    torch.set_rng_state(states[_TORCH])
    devices = [states[name] for name in sorted(states) if name.startswith(_DEVICE)]
    if devices and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(devices[: torch.cuda.device_count()])
    if _NUMPY in states:
        *key, place, has_waiting = states[_NUMPY].tolist()
        np.random.set_state(
            {
                "bit_generator": "MT19937",
                "state": {"key": np.array(key, np.uint32), "pos": place},
                "has_gauss": has_waiting,
                "gauss": states[f"{_NUMPY}.waiting"].item(),
            }
        )
    waiting = states[f"{_PYTHON}.waiting"].tolist()
    random.setstate((3, tuple(states[_PYTHON].tolist()), waiting[0] if waiting else None))


def check_random_states(states: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless `states` has the form of `random_states`."""
    lengths = {_TORCH: torch.get_rng_state().shape[0], _PYTHON: _WORDS + 1}
    if _NUMPY in states:
        lengths |= {_NUMPY: _WORDS + 2}
    for name, length in lengths.items():
        if name not in states or states[name].shape != (length,):
            raise ValueError(f"the state of the generator of {name} is missing or has another length than {length}")
    waiting = {f"{_PYTHON}.waiting"} | ({f"{_NUMPY}.waiting"} if _NUMPY in states else set())
    if not waiting <= states.keys():
        raise ValueError("a generator's state is incomplete")
