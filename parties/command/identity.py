"""`vsplit identity`: making keys and showing lines."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from parties.identity import PrivateIdentity
from vsplit.protocol import ConfigError

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")


def make_identity(name: str) -> int:
    """Write NAME.key into the current folder and print the line for the job file."""
    if not _NAME.fullmatch(name):
        raise ConfigError("A name has 1 to 32 letters, digits, - or _, as in the job file.")
    file = Path(f"{name}.key")
    identity = PrivateIdentity.generate()
    identity.save(file)
    typer.echo(f"The private key is in {file.absolute()}: keep it there, and give it to nobody.", err=True)
    typer.echo("The identity line, for the job file and for the other parties:", err=True)
    typer.echo(identity.public.line)
    return 0


def show_identity(key: Path) -> int:
    """Print the line of an existing key."""
    typer.echo(PrivateIdentity.load(key).public.line)
    return 0
