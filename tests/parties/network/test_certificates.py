"""The private key on its way into TLS: it passes through no file that could stay behind."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parties.network import certificates
from parties.network.certificates import client_context, server_context
from parties.network.identity import PrivateIdentity

MAKES_CONTEXTS = """
import sys
from parties.network.identity import PrivateIdentity
from parties.network.certificates import client_context, server_context
me, peer = PrivateIdentity.generate(), PrivateIdentity.generate().public
server_context(me, [peer])
print("ready", flush=True)
while True:
    server_context(me, [peer])
    client_context(me, peer)
"""

WRITES_DOWN_WHAT_IT_OPENS = """
import os, sys
from parties.network.identity import PrivateIdentity
from parties.network.certificates import client_context, server_context
me, peer = PrivateIdentity.generate(), PrivateIdentity.generate().public
server_context(me, [peer])
seen = []
def hook(event, arguments):
    if event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        seen.append(arguments[0])
    elif event.startswith(("tempfile.", "os.mkdir", "os.rename", "os.link", "os.symlink")):
        seen.append(event)
sys.addaudithook(hook)
server_context(me, [peer])
client_context(me, peer)
print(seen)
"""


def test_no_file_is_made_for_it(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path / "there is no such folder")}
    done = subprocess.run(
        [sys.executable, "-c", WRITES_DOWN_WHAT_IT_OPENS], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_whenever_a_party_is_killed_no_file_stays_behind(tmp_path: Path) -> None:
    """A program that makes nothing but such contexts, so that most kills come while a key is handed over."""
    draw = random.Random(7)
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", MAKES_CONTEXTS], env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(draw.uniform(0, 0.03))
            process.kill()
        assert list(tmp_path.iterdir()) == []


def test_no_descriptor_stays_open() -> None:
    me, peer = PrivateIdentity.generate(), PrivateIdentity.generate().public
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(20):
        server_context(me, [peer])
        client_context(me, peer)
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_where_there_must_be_a_file_it_holds_no_key_that_could_be_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on a system whose open files have no names: the file is encrypted, under a password that stays in memory."""
    monkeypatch.setattr(certificates, "_names_of_open_files", lambda: None)
    written: list[bytes] = []
    real = Path.write_bytes

    def write_bytes(path: Path, data: bytes) -> int:
        written.append(data)
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    me = PrivateIdentity.generate()
    client_context(me, PrivateIdentity.generate().public)
    assert len(written) == 1
    assert b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in written[0]
    assert b"BEGIN PRIVATE KEY" not in written[0]
