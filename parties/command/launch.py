"""Every party of a folder on this machine, one process each, one screen of progress."""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
from pathlib import Path

import msgspec
import yaml
from rich.console import Console

from parties.command.children import Child, exit_code, run_children
from parties.command.identity import check_identity
from parties.command.screen import Screen, print_end, print_failure
from parties.config.digests import Purpose
from parties.config.party import Party, load_party
from parties.events import Finished
from parties.identity import PrivateIdentity
from parties.network.sockets import free_port
from vsplit.protocol import ConfigError

_FOLDER_VARIABLE = "VSPLIT_LAUNCH_FOLDER"
_JOB = "launch.json"


class _Filled(msgspec.Struct):
    """What a launch decides for all its parties: the address, and the identity lines that were `auto`."""

    address: str
    identities: dict[str, str]


def launch(
    folder: Path,
    console: Console,
    *,
    purpose: Purpose = "run",
    restart: bool = False,
    debug: bool = False,
    port: int | None = None,
) -> int:
    """Let all parties of `folder` give the command `purpose`; returns 0, or the exit code of the party that was at fault.

    Fills in identities that are `auto` and a port 0 (or takes `port`); `restart` is for a run alone. Raises ConfigError.
    """
    parties = find_parties(folder, purpose)
    with tempfile.TemporaryDirectory(prefix="vsplit-") as secret:
        _fill(Path(secret), parties, port)
        # With -P, a folder of the user's that happens to be called `parties` does not hide this program.
        options = ["--events", *(["--restart"] if restart else []), *(["--debug"] if debug else [])]
        command = [sys.executable, "-P", "-m", "parties", purpose, *options]
        with Screen([party.name for party in parties], console) as screen:
            children = run_children(
                {party.name: [*command, str(party.file)] for party in parties},
                os.environ | {_FOLDER_VARIABLE: secret, "PYTHONUNBUFFERED": "1"},
                screen.show,
            )
    # The label party has the result, and the end of the screen is what people see.
    for child in sorted(children, key=lambda child: (child.name == parties[0].job.label_party, child.order)):
        _print(child, screen, console, debug)
    return exit_code(children)


def _print(child: Child, screen: Screen, console: Console, debug: bool) -> None:
    if isinstance(child.end, Finished):
        print_end(console, child.name, child.end)
    elif child.end is not None:
        if not screen.has_shown(child.name, child.end):
            print_failure(console, child.name, child.end)
        if debug:
            console.print("\n".join(child.last_words), markup=False, highlight=False, soft_wrap=True)


def find_parties(folder: Path, purpose: Purpose = "run") -> list[Party]:
    """The party files of a folder, in the job's order; every party of the one job must be there. Raises ConfigError."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; `vsplit launch` takes a folder with a job file and its party files.")
    parties = [load_party(file, purpose) for file in sorted(folder.glob("*.y*ml")) if _is_party_file(file)]
    if not parties:
        raise ConfigError(
            f"{folder} holds no party file (a YAML file with a `party` key), so there is nobody to launch."
        )
    job_file, job = parties[0].job_file, parties[0].job
    names = [party.name for party in parties]
    for party in parties:
        if party.job_file != job_file:
            raise ConfigError(
                f"{party.file} names the job {party.job_file} and {parties[0].file} {job_file}; launch one job at a time."
            )
        if names.count(party.name) > 1:
            raise ConfigError(f"{folder} holds more than one party file for {party.name}; keep one.")
    _check_outputs(parties)
    missing = [name for name in job.parties if name not in names]
    if missing:
        raise ConfigError(f"{folder} holds no party file for {' and '.join(missing)}, which the job {job_file} lists.")
    return sorted(parties, key=lambda party: list(job.parties).index(party.name))


def launched(party: Party) -> tuple[Party, PrivateIdentity] | None:
    """In a process that `launch` started: the party with the job filled in, and its key. Elsewhere None."""
    folder = os.environ.get(_FOLDER_VARIABLE)
    if folder is None:
        return None
    filled = msgspec.json.decode((Path(folder) / _JOB).read_bytes(), type=_Filled)
    job = party.job.with_identities(filled.identities).with_address(filled.address)
    key, partners = Path(folder) / f"{party.name}.key", None  # under a key of one launch nothing can be counted
    if not key.exists() and party.identity is not None:
        key, partners = party.identity, party.partners
    party = dataclasses.replace(party, job=job, partners=partners)
    identity = PrivateIdentity.load(key)
    check_identity(party, identity)
    return party, identity


def _check_outputs(parties: list[Party]) -> None:
    """Two run folders of which one is or holds the other would overwrite each other's files."""
    for number, party in enumerate(parties):
        for other in parties[:number]:
            if party.output.is_relative_to(other.output) or other.output.is_relative_to(party.output):
                raise ConfigError(
                    f"{party.file} and {other.file} name the same run folder in `output` ({party.output}), or one inside the "
                    "other; give each party its own."
                )


def _is_party_file(file: Path) -> bool:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return True  # so that loading it says what is wrong
    return isinstance(content, dict) and "party" in content


def _fill(secret: Path, parties: list[Party], port: int | None) -> None:
    job = parties[0].job
    host, written = job.host_and_port
    chosen = port if port is not None else written
    if chosen == 0:
        chosen = free_port(host)
    identities = {}
    for name, member in job.parties.items():
        if member.identity == "auto":
            key = PrivateIdentity.generate()
            key.save(secret / f"{name}.key")
            identities[name] = key.public.line
    address = f"[{host}]:{chosen}" if ":" in host else f"{host}:{chosen}"
    (secret / _JOB).write_bytes(msgspec.json.encode(_Filled(address, identities)))
