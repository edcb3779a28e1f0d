"""`vsplit init`: a commented job file and one commented party file for each name, to be filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from parties.config.errors import did_you_mean
from parties.config.fields import PARTY_NAME_RULE, RESERVED_NAMES, Task
from parties.config.job import MOST_PARTIES
from parties.network.identity import PARTY_NAME, PrivateIdentity
from vsplit.protocol import ConfigError, StorageError

JOB_FILE = "job.yaml"
FILL_IN = "FILL IN"
"""Marks the comment of each line that a person must change or confirm."""

_COMMENT_COLUMN = 36
_COMMENTED = re.compile(r"^(?P<key>.*?\S)  # (?P<comment>.*)$")


def write_configs(
    names: Sequence[str], *, label: str | None = None, task: str = "binary", folder: Path = Path(), keys: bool = False
) -> int:
    """Write the files into `folder` and print what to do next. Nothing is overwritten, and all files are written or none.

    `label` None: the first of `names`. With `keys` the files are for parties on different machines: each has a key file of
    its own, and the job a place for each line; where NAME.key is in the folder already, its line is filled in.
    Raises ConfigError.
    """
    label = names[0] if label is None else label
    _check_names(names, label)
    if task not in get_args(Task):
        hint = did_you_mean(task, get_args(Task)) or "."
        raise ConfigError(f"--task is {task!r}; it must be one of {', '.join(get_args(Task))}{hint}")
    texts = config_texts(
        names, label=label, task=task, job=_job_name(folder), lines=_lines(names, folder) if keys else None
    )
    _write(folder, texts)
    _print_next_steps(folder, texts, names, keys)
    return 0


def config_texts(
    names: Sequence[str], *, label: str, task: str, job: str, lines: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The texts by file name. `lines` has the known identity lines; None: `identity: auto`, for one machine."""
    templates = Environment(  # noqa: S701 - what comes out is YAML, and every name in it was checked
        loader=FileSystemLoader(Path(__file__).parent / "init_files"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    common = {"names": names, "label": label, "task": task, "job": job, "keys": lines is not None, "lines": lines or {}}
    texts = {JOB_FILE: templates.get_template("job.yaml.j2").render(common)}
    for name in names:
        role = "label" if name == label else "feature"
        texts[f"{name}.yaml"] = templates.get_template("party.yaml.j2").render(common, name=name, role=role)
    return {file: _aligned(text) for file, text in texts.items()}


def _check_names(names: Sequence[str], label: str) -> None:
    for name in names:
        if not PARTY_NAME.fullmatch(name) or name.lower() in RESERVED_NAMES:
            raise ConfigError(f"{name!r} cannot be a party's name; it must be {PARTY_NAME_RULE}.")
        if name.lower() == "job":
            raise ConfigError(f"A party cannot be named {name}: its file would have the name of the job file.")
    if len({name.lower() for name in names}) != len(names):
        raise ConfigError(
            "Two of the names are equal, or differ only in upper and lower case; give each party its own name."
        )
    if not 2 <= len(names) <= MOST_PARTIES:
        given = f"{len(names)} name{'' if len(names) == 1 else 's'} given"
        raise ConfigError(f"{given}; a job has 2 to {MOST_PARTIES} parties: vsplit init clinic lab")
    if label not in names:
        hint = did_you_mean(label, names) or "."
        raise ConfigError(f"--label is {label!r}, which is not one of the names {', '.join(names)}{hint}")


def _job_name(folder: Path) -> str:
    """The folder's name, reduced to what a job may be named."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", folder.absolute().name).strip("-")[:64] or "job"


def _lines(names: Sequence[str], folder: Path) -> dict[str, str]:
    """The identity lines of the key files that are in the folder already."""
    files = {name: folder / f"{name}.key" for name in names}
    return {name: PrivateIdentity.load(file).public.line for name, file in files.items() if file.exists()}


def _aligned(text: str) -> str:
    def padded(line: str) -> str:
        found = _COMMENTED.match(line)
        return line if found is None else f"{found['key']:<{_COMMENT_COLUMN}} # {found['comment']}"

    return "".join(f"{padded(line)}\n" for line in text.splitlines())


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    written: list[Path] = []
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in texts.items():
            with (folder / name).open("x", encoding="utf-8") as file:
                written.append(folder / name)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            there = [name for name in texts if (folder / name).exists()] or [folder.name]
            raise ConfigError(
                f"{folder.absolute()} already contains {', '.join(there)}, and `vsplit init` overwrites no file: move them "
                "away, or name another folder with --folder."
            ) from None
        raise StorageError(f"The files cannot be written to {folder.absolute()} ({error.strerror}).") from None


def _print_next_steps(folder: Path, texts: Mapping[str, str], names: Sequence[str], keys: bool) -> None:
    typer.echo(f"Written to {folder.absolute()}: {', '.join(texts)}.")
    typer.echo(f"1. Fill in the lines marked {FILL_IN} (grep -n '{FILL_IN}' *.yaml).")
    if keys:
        own = f"vsplit identity new {names[0]}"
        typer.echo(f"2. Each party creates its key on its own machine, as in `{own}`; its line goes into {JOB_FILE}.")
        typer.echo(f"3. Send {JOB_FILE} to the other parties; every party keeps its party file and its key private.")
        typer.echo("4. Each party runs: vsplit check NAME.yaml, then vsplit run NAME.yaml")
    else:
        typer.echo(f"2. Check each party, as in: vsplit check {names[0]}.yaml")
        typer.echo("3. Run all parties on this machine: vsplit launch .")
