"""The argument PARTY.yaml of a command."""

from __future__ import annotations

from pathlib import Path

from vsplit.protocol import ConfigError

_OTHER_FILES = {".key": "a key file", **dict.fromkeys((".csv", ".gz", ".parquet"), "a data file")}


def check_party_argument(path: Path) -> None:
    """Raise ConfigError where the path cannot be that of a party file."""
    wanted = "give your party file, the one that names the job and your data"
    if not path.exists():
        raise ConfigError(f"The party file {path.absolute()} does not exist; {wanted}, relative to the current folder.")
    if path.is_dir():
        raise ConfigError(f"{path.absolute()} is a folder; {wanted}.")
    if path.suffix.lower() in _OTHER_FILES:
        raise ConfigError(f"{path.absolute()} is {_OTHER_FILES[path.suffix.lower()]}, not a party file; {wanted}.")


def name_in(path: Path) -> str:
    """The party's name in a party file, for a screen; the name of the file where it cannot be read.

    Errors in the file are left to `load_party`.
    """
    from parties.config.reading import parse_yaml, read_text
    from parties.network.identity import PARTY_NAME  # loads cryptography, which `vsplit --help` does not need

    try:
        name = parse_yaml(read_text(path), path).get("party")
    except ConfigError:
        name = None
    return name if isinstance(name, str) and PARTY_NAME.fullmatch(name) else path.stem
