"""A key pair on disk, and the line that people paste."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from parties.network.identity import PrivateIdentity, PublicIdentity
from vsplit.protocol import ConfigError

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_ "


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "clinic.key"
    PrivateIdentity.generate().save(path)
    return path


@given(st.binary(min_size=32, max_size=32))
def test_a_line_gives_back_its_key(key: bytes) -> None:
    identity = PublicIdentity(key)
    assert PublicIdentity.parse(f"  {identity.line}\n") == identity
    assert len(identity.line) == 65
    assert identity.line.isalnum()
    assert str(identity) == identity.line


def test_the_line_of_a_known_key_stays_the_same() -> None:
    # Lines stand in job files of other people: this text must never change.
    line = PublicIdentity(bytes(range(32))).line
    assert line == "vsplit1aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp2qywlga"


def test_every_single_mistyped_character_is_refused() -> None:
    draw = random.Random(1)
    for _ in range(10_000):
        line = PublicIdentity(draw.randbytes(32)).line
        place = draw.randrange(len(line))
        # A space at either end is no mistyped character: it is cut off before the line is read.
        letters = LETTERS.replace(line[place], "").replace(" ", "") if place in (0, 64) else LETTERS
        other = draw.choice(letters.replace(line[place], ""))
        with pytest.raises(ConfigError):
            PublicIdentity.parse(line[:place] + other + line[place + 1 :])


def test_swapped_neighbours_are_refused() -> None:
    draw = random.Random(2)
    for _ in range(2_000):
        line = PublicIdentity(draw.randbytes(32)).line
        place = draw.randrange(7, len(line) - 1)
        swapped = line[:place] + line[place + 1] + line[place] + line[place + 2 :]
        if swapped != line:
            with pytest.raises(ConfigError, match="checksum"):
                PublicIdentity.parse(swapped)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda line: "age1" + line[7:], "starts with 'vsplit1'"),
        (lambda line: line[:-1], "64 characters, not 65"),
        (lambda line: line + "a", "66 characters, not 65"),
        (lambda line: line[:20] + "0" + line[21:], "character 21"),
        (lambda line: line.upper().replace("VSPLIT1", "vsplit1"), "lower case"),
        (lambda _: "vsplit1" + "a" * 58, "checksum"),
        (lambda _: "", "starts with"),
        (lambda _: "vsplit1", "7 characters"),
    ],
)
def test_a_wrong_line_says_what_is_wrong(change, word: str) -> None:
    line = PublicIdentity(bytes(range(32))).line
    with pytest.raises(ConfigError, match=word):
        PublicIdentity.parse(change(line))


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), "a" * 32])
def test_a_public_identity_is_32_bytes(key: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PublicIdentity(key)


def test_a_saved_key_is_private_and_loads_again(tmp_path: Path) -> None:
    path = tmp_path / "clinic.key"
    identity = PrivateIdentity.generate()
    before = os.umask(0)
    try:
        identity.save(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert PrivateIdentity.load(path).public == identity.public
    assert PrivateIdentity.generate().public != identity.public


def test_a_key_file_is_never_overwritten(saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(ConfigError, match=r"exists already.*never overwritten"):
        PrivateIdentity.generate().save(saved)
    assert saved.read_bytes() == before


def test_a_key_cannot_be_saved_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"away/a\.key cannot be made"):
        PrivateIdentity.generate().save(tmp_path / "away" / "a.key")


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o610, 0o666])
def test_a_key_file_that_others_can_use_is_refused(saved: Path, mode: int) -> None:
    saved.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}.*chmod 600 {saved}"):
        PrivateIdentity.load(saved)


def test_a_link_to_a_key_file_is_judged_by_the_file(saved: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.key"
    link.symlink_to(saved)
    assert PrivateIdentity.load(link).public == PrivateIdentity.load(saved).public
    saved.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        PrivateIdentity.load(link)


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.key"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(ConfigError, match="not a plain file"):
        PrivateIdentity.load(pipe)
    with pytest.raises(ConfigError, match="cannot be read"):
        PrivateIdentity.load(tmp_path)
    with pytest.raises(ConfigError, match=r"no key file .*none\.key"):
        PrivateIdentity.load(tmp_path / "none.key")


def test_a_file_with_anything_but_an_open_ed25519_key_is_refused(saved: Path) -> None:
    key = PrivateIdentity.load(saved).private_key
    rsa = generate_private_key(65537, 1024)
    for content, word in [
        (b"", "unencrypted private key"),
        (b"CANARY-not-a-key", "unencrypted private key"),
        (key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw")), "unencrypted"),
        (rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "another kind of key"),
    ]:
        saved.write_bytes(content)
        with pytest.raises(ConfigError, match=word) as caught:
            PrivateIdentity.load(saved)
        assert "CANARY" not in str(caught.value)


def test_a_private_key_shows_in_no_text_and_no_pickle(saved: Path) -> None:
    identity = PrivateIdentity.load(saved)
    seed = identity.private_key.private_bytes_raw()
    assert repr(identity) == f"<PrivateIdentity of {identity.public.line}>"
    assert seed.hex() not in repr(identity)
    with pytest.raises(TypeError):
        pickle.dumps(identity)
