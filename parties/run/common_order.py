"""The secret from which the label party draws the common order of the shared records."""

from __future__ import annotations

import os
from pathlib import Path

from parties.local.plain_file import open_plain
from psi.order import ORDER_SECRET
from vsplit.protocol import ConfigError


def order_secret(file: Path | None, party_file: Path) -> bytes:
    """32 bytes: those in `file`, which the key `order` of the party file names, or else random ones.

    Never from the party's seed: a feature party sees its keys in this order, so it could try seeds until one sorts them
    so, and then know the initial weights as well. Raises ConfigError for a file that cannot be read or holds no secret.
    """
    if file is None:
        return os.urandom(ORDER_SECRET)
    where = f"In {party_file}, the key order names the file {file}"
    try:
        with open_plain(file) as opened:
            secret = opened.read(ORDER_SECRET + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"{where}, which does not exist; name the order.secret in the run folder of an earlier run, or leave the key out."
        ) from None
    except OSError as error:
        raise ConfigError(f"{where}, which cannot be read ({error.strerror}).") from None
    if len(secret) != ORDER_SECRET:
        raise ConfigError(
            f"{where}, which is no order.secret: such a file has {ORDER_SECRET} bytes. Name that of an earlier run's folder, "
            "or leave the key out."
        )
    return secret
