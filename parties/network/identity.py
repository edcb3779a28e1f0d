"""A party's Ed25519 key pair: the private key file, which stays on this machine, and the identity line for the job.

The line is `vsplit1` followed by 58 characters of RFC 4648 base32 in lower case (a to z and 2 to 7, so that neither
0 nor 1 can be confused with a letter). They spell the 32 bytes of the public key and 4 bytes of a SHA-256 checksum,
so that a mistyped line is refused when it is read and not when a connection fails.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from parties.local.atomic import write_new
from parties.local.command_line import quoted_command
from parties.local.plain_file import NotPlainError, open_plain
from vsplit.protocol import ConfigError

PARTY_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
PREFIX = "vsplit1"
KEY_BYTES = 32
CHECK_BYTES = 4
BODY_LENGTH = -(-8 * (KEY_BYTES + CHECK_BYTES) // 5)
ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyz234567")
KEY_FILE_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class PublicIdentity:
    """A party's public key: 32 raw bytes. It is not secret, so it is compared with a plain `==`."""

    key: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.key, bytes) or len(self.key) != KEY_BYTES:
            raise ValueError(f"a public identity is {KEY_BYTES} bytes")

    @property
    def line(self) -> str:
        """The line that people paste into the job file."""
        return PREFIX + _base32(self.key + _checksum(self.key))

    @classmethod
    def parse(cls, line: str) -> PublicIdentity:
        """The identity that `line` encodes; spaces around it do not matter.

        Raises ConfigError, which says whether the prefix, the length, a character or the checksum is wrong.
        """
        text = line.strip()
        if not text.startswith(PREFIX):
            raise ConfigError(f"an identity line starts with {PREFIX!r}, and this one does not: paste the whole line")
        body = text.removeprefix(PREFIX)
        for place, letter in enumerate(body, start=len(PREFIX) + 1):
            if letter not in ALPHABET:
                raise ConfigError(
                    f"character {place} of the identity line is {letter!r}; only a to z in lower case and 2 to 7 occur"
                )
        if len(body) != BODY_LENGTH:
            raise ConfigError(
                f"the identity line has {len(text)} characters, not {len(PREFIX) + BODY_LENGTH}: paste the whole line"
            )
        raw = base64.b32decode(body.upper() + "=" * (-len(body) % 8))
        key, check = raw[:KEY_BYTES], raw[KEY_BYTES:]
        # The last character carries two bits that belong to no byte; the comparison of texts covers them as well.
        if _checksum(key) != check or _base32(raw) != body:
            raise ConfigError("the checksum of the identity line does not fit: a character was mistyped or lost")
        return cls(key)

    def __str__(self) -> str:
        return self.line

    def __repr__(self) -> str:
        return f"PublicIdentity({self.line})"


class PrivateIdentity:
    """A party's private key. Neither `repr` nor an error ever shows it, and it cannot be pickled."""

    __slots__ = ("private_key", "public")

    private_key: Ed25519PrivateKey
    public: PublicIdentity

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self.private_key = private_key
        self.public = PublicIdentity(private_key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> PrivateIdentity:
        """A fresh key, drawn from the operating system."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_raw(cls, raw: bytes) -> PrivateIdentity:
        """The key of the 32 bytes that `raw` returned."""
        return cls(Ed25519PrivateKey.from_private_bytes(raw))

    def raw(self) -> bytes:
        """The key's 32 bytes, for another process of this party. They are the secret itself."""
        return self.private_key.private_bytes_raw()

    @classmethod
    def load(cls, path: Path) -> PrivateIdentity:
        """Read the key file at `path` (PKCS #8 in PEM, as `save` writes it).

        A link is followed, because secret stores mount their files in this way; the file that was opened is the one checked.
        Raises ConfigError where the file is absent, is not a regular file, can be read or written by others, or does not hold
        an unencrypted Ed25519 key.
        """
        data = _read_private(path)
        try:
            key = load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ConfigError(
                f"The key file {path} does not hold an unencrypted private key in PEM form; {_make_one(path)}"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"The key file {path} holds another kind of key than Ed25519; {_make_one(path)}")
        return cls(key)

    def sign(self, statement: bytes) -> bytes:
        """An Ed25519 signature, 64 bytes. Every caller begins `statement` with its purpose."""
        return self.private_key.sign(statement)

    def save(self, path: Path) -> None:
        """Write the key to the new file `path`, which only its owner can read and write (mode 0600).

        Raises ConfigError where the file exists already, since an overwritten key is lost, or where it cannot be written.
        No incomplete file is left behind.
        """
        pem = self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            write_new(path, [pem])
        except FileExistsError:
            raise ConfigError(
                f"The key file {path} exists already and is never overwritten; choose another name, or move it away first"
            ) from None
        except OSError as error:
            raise ConfigError(f"The key file {path} cannot be made: {error.strerror}") from None

    def __repr__(self) -> str:
        return f"<PrivateIdentity of {self.public.line}>"


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()


def _checksum(key: bytes) -> bytes:
    return hashlib.sha256(b"vsplit public identity 1\0" + key).digest()[:CHECK_BYTES]


def _read_private(path: Path) -> bytes:
    try:
        with open_plain(path) as file:
            status = os.fstat(file.fileno())
            if os.name == "posix" and status.st_mode & 0o077:
                raise ConfigError(
                    f"The key file {path} can be read or written by others (mode {stat.S_IMODE(status.st_mode):04o}); "
                    f"close it with: chmod 600 {path}"
                )
            return file.read(KEY_FILE_LIMIT)
    except NotPlainError:
        raise ConfigError(f"The key file {path} is not a plain file") from None
    except FileNotFoundError:
        raise ConfigError(f"There is no key file {path}; {_make_one(path)}") from None
    except OSError as error:
        raise ConfigError(f"The key file {path} cannot be read: {error.strerror}") from None


def _make_one(path: Path) -> str:
    return (
        f"make one with {quoted_command('identity', 'new', path.stem)}, given in the folder {path.absolute().parent}."
    )
