"""Every party of a folder on this machine, one process each, one screen of progress."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from pathlib import Path

import msgspec
from rich.console import Console

from parties.command.identity import check_identity
from parties.command.processes import Child, exit_code, run_children
from parties.command.screen import Screen, print_end, print_failure
from parties.config.digests import Purpose
from parties.config.fields import AUTO
from parties.config.party import Party, load_party
from parties.config.reading import parse_any_yaml, read_text
from parties.local.command_line import LAUNCH_VARIABLE, relative_path
from parties.local.text import visible
from parties.monitoring.events import Finished
from parties.network.identity import PrivateIdentity
from parties.network.peer_connections import free_port
from vsplit.protocol import ConfigError


class _LaunchSettings(msgspec.Struct):
    """What a launch sets for a party: the address, the identity lines that were `auto`, and if its own was, its key."""

    address: str
    identities: dict[str, str]
    key: bytes = b""

    def __repr__(self) -> str:
        return f"_LaunchSettings({self.address!r})"


def launch(
    folder: Path,
    console: Console,
    *,
    purpose: Purpose = "run",
    restart: bool = False,
    debug: bool = False,
    port: int | None = None,
) -> int:
    """Run the command `purpose` for all parties of `folder`; returns 0, or the exit code of the party at fault.

    Replaces identities that are `auto` and a port 0 (or uses `port`); `restart` is for a run only. Raises ConfigError.
    """
    parties = find_parties(folder, purpose)
    settings = _launch_settings(parties, port)
    typed = shlex.join(["launch", relative_path(folder), *([] if purpose == "run" else [f"--{purpose}"])])
    # With -P, a user's folder that happens to be named `parties` does not hide this program.
    options = ["--events", *(["--restart"] if restart else []), *(["--debug"] if debug else [])]
    command = [sys.executable, "-P", "-m", "parties", purpose, *options]
    with Screen([party.name for party in parties], console) as screen:
        children = run_children(
            {party.name: [*command, str(party.file)] for party in parties},
            os.environ | {LAUNCH_VARIABLE: typed, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
            screen.show,
            settings,
        )
    # The label party has the result; it is printed last, where people look.
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
            console.print("\n".join(map(visible, child.error_output)), markup=False, highlight=False, soft_wrap=True)


def find_parties(folder: Path, purpose: Purpose = "run") -> list[Party]:
    """The party files of a folder, in the job's order; every party of the one job must be there. Raises ConfigError."""
    if not folder.is_dir():
        raise ConfigError(
            f"{folder} is not a folder; `vsplit launch FOLDER` needs one with a job file and its party files."
        )
    parties = [load_party(file, purpose) for file in sorted(folder.glob("*.y*ml")) if _is_party_file(file)]
    if not parties:
        raise ConfigError(
            f"{folder} has no party file (a YAML file with a `party` key), so there is no party to launch."
        )
    job_file, job = parties[0].job_file, parties[0].job
    names = [party.name for party in parties]
    for party in parties:
        if party.job_file != job_file:
            raise ConfigError(
                f"{party.file} names the job {party.job_file} and {parties[0].file} {job_file}; launch one job at a time."
            )
        if names.count(party.name) > 1:
            raise ConfigError(f"{folder} has more than one party file for {party.name}; keep one.")
    _check_outputs(parties)
    missing = [name for name in job.parties if name not in names]
    if missing:
        raise ConfigError(f"{folder} has no party file for {' and '.join(missing)}, which the job {job_file} lists.")
    return sorted(parties, key=lambda party: list(job.parties).index(party.name))


def launched(party: Party) -> tuple[Party, PrivateIdentity] | None:
    """In a process that `launch` started: the party with the completed job, and its key. Elsewhere None."""
    if LAUNCH_VARIABLE not in os.environ:
        return None
    try:
        filled = msgspec.json.decode(sys.stdin.buffer.read(), type=_LaunchSettings)
    except msgspec.MsgspecError:
        raise ConfigError(
            f"The environment variable {LAUNCH_VARIABLE} is set, but no `vsplit launch` has started this command; unset it."
        ) from None
    job = party.job.with_identities(filled.identities).with_address(filled.address)
    if filled.key or party.identity is None:
        # With a key that is made for one launch, runs cannot be counted.
        identity, partners = PrivateIdentity.from_raw(filled.key), None
    else:
        identity, partners = PrivateIdentity.load(party.identity), party.partners
    party = dataclasses.replace(party, job=job, partners=partners)
    check_identity(party, identity)
    return party, identity


def _check_outputs(parties: list[Party]) -> None:
    """Raise ConfigError where two run folders are the same, or one contains the other: they would overwrite each other."""
    for number, party in enumerate(parties):
        for other in parties[:number]:
            if party.output.is_relative_to(other.output) or other.output.is_relative_to(party.output):
                raise ConfigError(
                    f"{party.file} and {other.file} name the same run folder in `output` ({party.output}), or one inside the "
                    "other; give each party its own."
                )


def _is_party_file(file: Path) -> bool:
    try:
        content = parse_any_yaml(read_text(file), file)
    except ConfigError:
        return True  # so that loading it reports the error
    return isinstance(content, dict) and "party" in content


def _launch_settings(parties: list[Party], port: int | None) -> dict[str, str]:
    """What each party's process reads, by name. Keys that are made here exist only in memory and in a pipe."""
    job = parties[0].job
    host, written = job.host_and_port
    chosen = port if port is not None else written
    if chosen == 0:
        chosen = free_port(host)
    keys = {name: PrivateIdentity.generate() for name, member in job.parties.items() if member.identity == AUTO}
    lines = {name: key.public.line for name, key in keys.items()}
    address = f"[{host}]:{chosen}" if ":" in host else f"{host}:{chosen}"
    return {
        name: msgspec.json.encode(_LaunchSettings(address, lines, keys[name].raw() if name in keys else b"")).decode()
        for name in job.parties
    }
