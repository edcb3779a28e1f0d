"""Whatever file a person or a partner names: a pipe or a device in its place is refused in a sentence, and never waited for."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from parties.checkpoints.checksummed_file import read_checksummed
from parties.command.cli import app
from parties.config.data_source import DataSource
from parties.config.log_target import LogTarget
from parties.config.party import load_party
from parties.config.quota_settings import QuotaSettings
from parties.config.reading import read_text
from parties.data.images import read_images
from parties.data.sources import read_source
from parties.ledger.verify import survey
from parties.local.plain_file import NotPlainError, check_plain, open_plain, read_plain
from parties.monitoring.logs import _file_handler
from parties.network.identity import PrivateIdentity
from parties.run.common_order import order_secret
from parties.run.model_store import load_part
from parties.run.quotas import count_run
from parties.run.run_folder import RunFolder
from vsplit.protocol import ConfigError, DataError

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes"),
    pytest.mark.timeout(60),
    pytest.mark.usefixtures("signals_untouched"),
]
NOW = pd.Timestamp("2026-07-01T12:00Z").to_pydatetime()


@pytest.fixture
def signals_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parties.command.execution.signal.signal", lambda _number, _handler: None)


@pytest.fixture(params=["pipe", "link to a pipe", "device", "socket"])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A path that is not that of a plain file."""
    if request.param == "device":
        return Path("/dev/zero")
    if request.param == "socket":
        place = socket.socket(socket.AF_UNIX)
        place.bind(str(tmp_path / "odd"))
        place.close()
        return tmp_path / "odd"
    os.mkfifo(tmp_path / "odd", 0o600)
    if request.param == "pipe":
        return tmp_path / "odd"
    (tmp_path / "link").symlink_to(tmp_path / "odd")
    return tmp_path / "link"


def test_a_plain_file_is_read_and_anything_else_is_named(odd: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"content")
    (tmp_path / "to-plain").symlink_to(plain)
    assert read_plain(plain) == read_plain(tmp_path / "to-plain") == b"content"
    for reading in (open_plain, read_plain, check_plain):
        with pytest.raises(NotPlainError, match=r"it is a (named pipe|device|socket), not a plain file") as caught:
            reading(odd)  # type: ignore[operator]
        assert caught.value.errno == errno.EINVAL
        with pytest.raises(IsADirectoryError):
            reading(tmp_path)  # type: ignore[operator]
        with pytest.raises(FileNotFoundError):
            reading(tmp_path / "absent")  # type: ignore[operator]


def test_what_takes_the_place_of_a_file_meanwhile_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at a file and its opening."""
    os.mkfifo(tmp_path / "pipe")
    plain = os.stat_result((stat.S_IFREG | 0o600, *[0] * 9))
    monkeypatch.setattr(Path, "stat", lambda _self, **_options: plain)
    with pytest.raises(NotPlainError, match="a named pipe"):
        open_plain(tmp_path / "pipe")


@pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="this system has no such files")
@pytest.mark.parametrize("place", ["/proc/self/pagemap", "/proc/kmsg", "/proc/self/environ", "/sys/kernel/profiling"])
@pytest.mark.parametrize("link", [True, False])
def test_a_file_of_the_system_is_none_that_a_person_means(place: str, link: bool, tmp_path: Path) -> None:
    """Such a one has no end, or makes whoever reads it wait."""
    if not Path(place).exists():
        pytest.skip(f"this system has no {place}")
    path = tmp_path / "link" if link else Path(place)
    if link:
        path.symlink_to(place)
    with pytest.raises(NotPlainError, match="it is a system file, not a plain file"):
        open_plain(path)


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "long").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="it is longer than"):
        read_plain(tmp_path / "long")


@pytest.mark.parametrize("key", ["job", "identity", "partners", "data", "order", "output", "log"])
def test_links_that_lead_in_a_circle_are_said(key: str, tmp_path: Path) -> None:
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    change: dict[str, Any] = {key: "loop.csv/runs" if key == "output" else "loop.csv"}
    if key in ("data", "log"):
        change = {"data": {"source": "loop.csv"}} if key == "data" else {"log": {"file": "loop.csv"}}
    bounds = {"tasks": ["binary"], "aggregations": ["concat"], "max_embedding": 4}
    file = party_file(tmp_path, accept=bounds, **change)
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code in (2, 3), result.output
    assert "a link that leads back to itself" in " ".join(result.output.split())


def party_file(folder: Path, **file: Any) -> Path:
    keys = {name: PrivateIdentity.generate() for name in ("clinic", "lab")}
    if not (folder / "clinic.key").exists():
        keys["clinic"].save(folder / "clinic.key")
    members = {
        name: {"role": "label" if name == "clinic" else "feature", "identity": key.public.line}
        for name, key in keys.items()
    }
    job = {
        "job": "test",
        "task": "binary",
        "address": "127.0.0.1:9440",
        "parties": members,
        "align": {"key": ["person"]},
        "split": {"train": 0.6, "validation": 0.2, "test": 0.2},
        "model": {"embedding": 4, "aggregate": "concat", "top": {"hidden": [8]}},
        "train": {"epochs": 1, "batch_size": 8, "optimizer": "adam", "lr": 0.1},
    }
    content: dict[str, Any] = {
        "job": "job.yaml",
        "party": "clinic",
        "identity": "clinic.key",
        "data": {"source": "clinic.csv", "label": "outcome", "positive": "sick"},
        "output": "run",
    }
    content |= {key: value for key, value in file.items() if key != "data"}
    content["data"] = content["data"] | file.get("data", {})
    (folder / "clinic.csv").write_text("person,outcome,x\na,sick,1\nb,well,2\n")
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    (folder / "clinic.yaml").write_text(yaml.safe_dump(content))
    return folder / "clinic.yaml"


def _source(folder: Path, odd: Path, name: str, **data: Any) -> Any:
    """The source `name` is a link to the odd file, so that it has the ending that says how it is read."""
    (folder / name).symlink_to(odd)
    return read_source(DataSource.of(load_party(party_file(folder, data={"source": name} | data))))


def _database(folder: Path, odd: Path) -> Any:
    (folder / "some.db").symlink_to(odd)
    data = {"source": "sqlite:///some.db", "query": "select 1"}
    return read_source(DataSource.of(load_party(party_file(folder, data=data))))


def _partners(folder: Path, odd: Path) -> None:
    count_run(QuotaSettings.of(load_party(party_file(folder, partners=str(odd)))), "run", NOW)


def _log(folder: Path, odd: Path) -> None:
    target = LogTarget.of(load_party(party_file(folder, log={"file": str(odd)})))
    assert target is not None and target.file is not None
    _file_handler(target, target.file).close()


def _order(folder: Path, odd: Path) -> None:
    party = load_party(party_file(folder, order=str(odd)))
    order_secret(party.order, party.file)


READING: dict[str, Callable[[Path, Path], Any]] = {
    "a config file": lambda _folder, odd: read_text(odd),
    "a party file": lambda _folder, odd: load_party(odd),
    "a job file": lambda folder, odd: load_party(party_file(folder, job=str(odd))),
    "a key file": lambda _folder, odd: PrivateIdentity.load(odd),
    "order": _order,
    "partners": _partners,
    "data.source, CSV": lambda folder, odd: _source(folder, odd, "some.csv"),
    "data.source, packed": lambda folder, odd: _source(folder, odd, "some.csv.gz"),
    "data.source, Parquet": lambda folder, odd: _source(folder, odd, "some.parquet"),
    "data.source, a database": _database,
    "a ledger": lambda _folder, odd: survey(odd),
}


@pytest.mark.parametrize("what", READING)
def test_each_file_that_a_config_names_is_refused_in_one_sentence(odd: Path, tmp_path: Path, what: str) -> None:
    folder = tmp_path / "configs"
    folder.mkdir()
    with pytest.raises(ConfigError) as caught:
        READING[what](folder, odd)
    sentence = str(caught.value)
    assert "plain file" in sentence and "\n" not in sentence
    assert any(name in sentence for name in (str(odd), str(odd.resolve()), "some."))


def test_a_log_is_written_to_no_pipe_but_a_device_may_stand_there(odd: Path, tmp_path: Path) -> None:
    folder = tmp_path / "configs"
    folder.mkdir()
    if odd == Path("/dev/zero"):
        _log(folder, Path("/dev/null"))
        return
    with pytest.raises(ConfigError, match=r"the key log\.file names .*, which cannot be written"):
        _log(folder, odd)


def test_an_image_that_is_no_plain_file_counts_as_one_that_cannot_be_read(odd: Path, tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="Pillow is an extra")
    with pytest.raises(DataError, match="1 of 1 rows have no image file that can be read"):
        read_images(pd.Series([str(odd)], name="scan"), (4, 4), 1, tmp_path)


def test_what_a_run_keeps_is_not_waited_for(odd: Path, tmp_path: Path) -> None:
    """Files that vsplit itself has written, and that somebody put something else in the place of."""
    with pytest.raises(OSError, match="not a plain file"):
        read_checksummed(odd)
    output = tmp_path / "run"
    output.mkdir()
    (output / "run.json").symlink_to(odd)
    assert RunFolder(output).finished_run() == ""
    part = tmp_path / "part"
    part.mkdir()
    (part / "model.json").symlink_to(odd)
    with pytest.raises(ConfigError):
        load_part(part)


@pytest.mark.parametrize(
    "words",
    [
        ("check", "{odd}"),
        ("run", "{odd}"),
        ("overlap", "{odd}"),
        ("identity", "show", "{odd}"),
        ("ledger", "show", "{odd}"),
        ("ledger", "verify", "{odd}"),
        ("ledger", "verify", "{odd}", "{odd}"),
    ],
)
def test_each_command_that_is_given_no_plain_file_ends_with_a_sentence(odd: Path, words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [word.format(odd=odd) for word in words])
    assert result.exit_code == 2, result.output
    assert "plain file" in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_a_launch_does_not_wait_for_a_pipe_in_its_folder(tmp_path: Path) -> None:
    party_file(tmp_path)
    os.mkfifo(tmp_path / "odd.yaml")
    result = CliRunner().invoke(app, ["launch", str(tmp_path)])
    assert result.exit_code == 2, result.output
    assert "odd.yaml cannot be read: it is a named pipe, not a plain file" in " ".join(result.output.split())


def test_images_are_still_read(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is an extra")
    image.fromarray(np.full((4, 4), 7, np.uint8)).save(tmp_path / "one.png")
    assert (
        read_images(pd.Series(["one.png"], name="scan"), (4, 4), 1, tmp_path).tolist()
        == np.full((1, 1, 4, 4), 7).tolist()
    )
