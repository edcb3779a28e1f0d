"""Every party of a folder on this machine, one process each, one screen of progress."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml
from rich.console import Console

from parties.command.screen import Screen, print_end, print_failure
from parties.config.party import Party, load_party
from parties.events import Failed, Finished, read_event
from parties.identity import PrivateIdentity
from parties.network.sockets import free_port
from vsplit.protocol import ConfigError

_FOLDER_VARIABLE = "VSPLIT_LAUNCH_FOLDER"
_JOB = "launch.json"


class _Filled(msgspec.Struct):
    """What a launch decides for all its parties: the address, and the identity lines that were `auto`."""

    address: str
    identities: dict[str, str]


@dataclass(slots=True)
class _Child:
    party: Party
    process: subprocess.Popen[str]
    end: Finished | Failed | None = None
    last_words: str = ""


def launch(folder: Path, console: Console, *, debug: bool = False, port: int | None = None) -> int:
    """Run all parties of `folder` to their end; returns the exit code of the first that failed, or 0.

    Fills in identities that are `auto` and a port 0 (or takes `port`). Raises ConfigError.
    """
    parties = find_parties(folder)
    with tempfile.TemporaryDirectory(prefix="vsplit-") as secret:
        _fill(Path(secret), parties, port)
        with Screen([party.name for party in parties], console) as screen:
            children = [_start(party, Path(secret), debug) for party in parties]
            with _interrupts_passed_on(children):
                _watch(children, screen)
    for child in sorted(children, key=lambda child: child.party.role):
        if isinstance(child.end, Finished):
            print_end(console, child.party.name, child.end)
        elif child.end is not None:
            print_failure(console, child.party.name, child.end)
            if child.last_words:
                console.print(child.last_words, markup=False, highlight=False)
    failures = [child.end.exit_code for child in children if isinstance(child.end, Failed)]
    # A party that only tells of another's failure is less use than that other's own word.
    return min(failures, default=0)


def find_parties(folder: Path) -> list[Party]:
    """The party files of a folder, in the job's order; every party of the one job must be there. Raises ConfigError."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; `vsplit launch` takes a folder with a job file and its party files.")
    parties = [load_party(file) for file in sorted(folder.glob("*.y*ml")) if _is_party_file(file)]
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
    key = Path(folder) / f"{party.name}.key"
    if not key.exists() and party.identity is not None:
        key = party.identity
    return dataclasses.replace(party, job=job), PrivateIdentity.load(key)


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


def _start(party: Party, secret: Path, debug: bool) -> _Child:
    command = [sys.executable, "-m", "parties", "run", "--events", *(["--debug"] if debug else []), str(party.file)]
    process = subprocess.Popen(  # noqa: S603 - this very program, with a path of the user's own
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | {_FOLDER_VARIABLE: str(secret), "PYTHONUNBUFFERED": "1"},
    )
    return _Child(party, process)


def _watch(children: list[_Child], screen: Screen) -> None:
    """Show every child's events until all have ended."""
    readers = [threading.Thread(target=_read, args=(child, screen), daemon=True) for child in children]
    readers += [threading.Thread(target=_keep_last_words, args=(child,), daemon=True) for child in children]
    for reader in readers:
        reader.start()
    for child in children:
        child.process.wait()
    for reader in readers:
        reader.join()
    for child in children:
        if child.end is None:
            code = child.process.returncode
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            child.end = Failed(f"The process of this party {how} and left no word.", code if code > 0 else 1)


def _read(child: _Child, screen: Screen) -> None:
    if child.process.stdout is None:
        return
    for line in child.process.stdout:
        try:
            event = read_event(line)
        except msgspec.DecodeError:
            continue  # a library of the user's own module may print what it likes
        if isinstance(event, Finished | Failed):
            child.end = event
        screen.show(child.party.name, event)


def _keep_last_words(child: _Child) -> None:
    if child.process.stderr is not None:
        child.last_words = child.process.stderr.read()[-20_000:].strip()


@contextlib.contextmanager
def _interrupts_passed_on(children: list[_Child]) -> Iterator[None]:
    """Ctrl-C reaches the children; this process stays to hear what they say."""

    def pass_on(_number: int, _frame: object) -> None:
        for child in children:
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for child in children:
            if child.process.poll() is None:
                child.process.terminate()
