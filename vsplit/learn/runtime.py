"""torch's settings for one party's process."""

from __future__ import annotations

import torch

from vsplit.protocol import ConfigError


def configure(threads: int, device: str) -> None:
    """Use `threads` threads for arithmetic; raises ConfigError where `device` is not there."""
    torch.set_num_threads(threads)
    if device == "cpu":
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(device.partition(":")[2] or 0) >= count:
        raise ConfigError(
            f"The party file says `device: {device}`, and torch sees {count} such device(s) on this machine: use `cpu`, "
            "or install a torch with CUDA and its driver."
        )


def seed(number: int) -> None:
    """Seed everything random in torch: initial weights, dropout."""
    torch.manual_seed(number)


def version() -> str:
    """The version of torch."""
    return str(torch.__version__)
