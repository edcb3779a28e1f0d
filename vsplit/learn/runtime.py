"""torch's settings for one party's process."""

from __future__ import annotations

import numpy as np
import torch

from vsplit.protocol import ConfigError

STATE_BYTES = 4 * 624
"""Bytes of entropy that `seed` takes for the whole state of torch's generator."""

_WORDS_AT = 24


def configure(threads: int, device: str) -> None:
    """Use `threads` threads for arithmetic; raises ConfigError where `device` does not exist."""
    torch.set_num_threads(threads)
    if device == "cpu":
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(device.partition(":")[2] or 0) >= count:
        raise ConfigError(
            f"The party file says `device: {device}`, and torch sees {count} such device(s) on this machine: use `cpu`, "
            "or install a torch with CUDA and its driver."
        )


def seed(private: int | bytes) -> None:
    """Seed everything random in torch: initial weights, dropout.

    A number seeds torch as usual, with 32 effective bits. `STATE_BYTES` bytes of entropy become the generator's whole state
    instead, so that trying all seeds is infeasible.
    """
    if isinstance(private, int):
        torch.manual_seed(private)
        return
    if len(private) != STATE_BYTES:
        raise ValueError(f"the state of the generator has {STATE_BYTES} bytes, not {len(private)}")
    torch.manual_seed(int.from_bytes(private[:4], "little"))  # for what is drawn on a device
    state = torch.get_rng_state()
    # torch keeps the 624 words of a Mersenne Twister as 64-bit numbers, after 24 bytes that say how many are unused.
    words = np.frombuffer(private, np.uint32).astype(np.uint64)
    state[_WORDS_AT : _WORDS_AT + words.nbytes] = torch.from_numpy(words.view(np.uint8))
    torch.set_rng_state(state)


def version() -> str:
    """The version of torch."""
    return str(torch.__version__)


def instructions() -> str:
    """The instruction set that torch uses, on which the last bits of a result depend."""
    return str(torch.backends.cpu.get_cpu_capability())


def device_name(device: str) -> str:
    """`device`, with its model where it is a GPU."""
    return device if device == "cpu" else f"{device} ({torch.cuda.get_device_name(torch.device(device))})"
