"""The guide for PostgreSQL, followed with a server of its own on this machine, where PostgreSQL is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from parties.command.init import config_texts
from parties.config.party import load_party
from parties.network.peer_connections import free_port
from tests.docs.blocks import blocks, changed

PROGRAMS = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
OWNER = "postgres" if hasattr(os, "geteuid") and os.geteuid() == 0 else None
"""The server refuses to run as root, so there Debian's user for it is taken."""


def block(project: Path, language: str) -> str:
    return next(one.text for one in blocks(project / "docs/how-to/postgresql.md") if one.language == language)


def write_files(project: Path, folder: Path) -> Path:
    """The files of `vsplit init`, the lab's changed as the guide says; returns the lab's."""
    texts = config_texts(["clinic", "lab"], label="clinic", task="binary", job="thyroid")
    texts["lab.yaml"] = changed(texts["lab.yaml"], block(project, "yaml"))
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "lab.yaml"


def check(file: Path, **environment: str) -> tuple[int, str]:
    """The exit code of `vsplit check`, and what it printed."""
    command = [str(Path(sys.executable).with_name("vsplit")), "check", str(file)]
    done = subprocess.run(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode, " ".join(done.stdout.split())


@pytest.fixture
def server() -> Iterator[int]:
    """The port of a server with the data of a lab."""
    if PROGRAMS is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip("needs PostgreSQL (Debian: postgresql) and the package psycopg")
    port = free_port("127.0.0.1")
    # Not below pytest's own folders, which only their owner may enter.
    with tempfile.TemporaryDirectory(prefix="vsplit-postgresql-") as folder:
        if OWNER:
            shutil.chown(folder, OWNER)
        with _serving(Path(folder) / "data", port):
            yield port


@contextlib.contextmanager
def _serving(data: Path, port: int) -> Iterator[None]:
    def program(name: str, *words: str) -> None:
        done = subprocess.run(
            [str(PROGRAMS / name), *words], user=OWNER, cwd="/", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    program("initdb", "--pgdata", str(data), "--auth", "trust", "--username", "admin", "--no-sync")
    rule = "host all admin 127.0.0.1/32 trust\nhost results vsplit 127.0.0.1/32 scram-sha-256\n"
    (data / "pg_hba.conf").write_text(rule, encoding="utf-8")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    program("pg_ctl", "start", "--wait", "--pgdata", str(data), "--options", options, "--log", str(data / "log"))
    try:
        yield
    finally:
        program("pg_ctl", "stop", "--pgdata", str(data), "--mode", "immediate")


def test_the_guide_ends_with_a_party_that_reads_its_view(project: Path, server: int, tmp_path: Path) -> None:
    import psycopg

    to = {"host": "127.0.0.1", "port": server, "user": "admin", "autocommit": True}
    with contextlib.closing(psycopg.connect(dbname="postgres", **to)) as admin:
        admin.execute("create database results")
    with contextlib.closing(psycopg.connect(dbname="results", **to)) as admin:
        admin.execute(
            "create table results as select 'KEY' || n as pid, sin(n) as tsh, cos(n) as t3, n % 7 as tt4, 'secret' as note, "
            "date '2019-06-01' + n as taken from generate_series(1, 1000) as n"
        )
        admin.execute(block(project, "sql"))
    lab = write_files(project, tmp_path)
    lab.write_text(lab.read_text().replace("db.lab.example:5432", f"127.0.0.1:{server}"), encoding="utf-8")
    code, words = check(lab)
    assert (code, "LAB_DB_PASSWORD" in words) == (2, True)
    code, words = check(lab, LAB_DB_PASSWORD="choose-one")
    assert code == 0, words
    assert "3 feature columns: tsh, t3, tt4." in words
    assert "choose-one" not in words


def test_the_source_of_the_guide_is_a_source(project: Path, tmp_path: Path) -> None:
    """Where there is no server, too."""
    party = load_party(write_files(project, tmp_path))
    assert party.source is None
    assert party.key_columns == ("pid",)
    assert party.settings.data.query == "select * from for_vsplit"
