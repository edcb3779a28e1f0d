"""The errors of all roles, which say whose fault it was.

VsplitError
├── LocalError                this party
│   ├── ConfigError             a config file, a command line or a key file is wrong
│   │   └── StorageError            a file of this party cannot be written
│   ├── DataError               this party's data cannot be used
│   └── RefusedError            the job asks more than this party's file allows
├── RemoteError               a named party's side
│   ├── ProtocolError           it sent what the protocol does not allow
│   ├── MismatchError           it runs another job, or another version
│   └── StoppedError            it ended the session and said so
└── TransportError            the connection
    ├── PeerAbsent              it did not connect in time
    ├── PeerLost                it was connected, and the link was lost
    └── Deadlock                every role waits for another (in memory only)
"""

from __future__ import annotations

from typing import ClassVar


class VsplitError(Exception):
    """Any failure that vsplit handles. `str()` is a sentence for a person: what was found, where, on whose side, and what to
    do. It never contains a key, a value or a label of a record.

    `exit_code` is the exit code of the command; `reason_code` is all that the other parties receive about the failure.
    """

    exit_code: ClassVar[int] = 1
    reason_code: ClassVar[str] = "error"


class LocalError(VsplitError):
    """The cause is on this party's side."""


class ConfigError(LocalError):
    """A config file, a command line or a key file is wrong."""

    exit_code = 2
    reason_code = "config"


class StorageError(ConfigError):
    """A file of this party cannot be written: the disk is full, or may not be written to."""

    reason_code = "storage"


class DataError(LocalError):
    """This party's data cannot be used."""

    exit_code = 3
    reason_code = "data"


class RefusedError(LocalError):
    """The job asks more than this party's file allows."""

    exit_code = 4
    reason_code = "refused"


class RemoteError(VsplitError):
    """The cause is on the side of `peer`, a party's name."""

    exit_code = 5
    reason_code = "peer"

    def __init__(self, peer: str, sentence: str) -> None:
        super().__init__(sentence)
        self.peer = peer


class ProtocolError(RemoteError):
    """`peer` sent what the protocol does not allow."""

    reason_code = "protocol"


class MismatchError(RemoteError):
    """`peer` runs another job or another version."""

    reason_code = "mismatch"


class StoppedError(RemoteError):
    """`peer` ended the session and notified this party; `why` is its reason code, if the failure was its own and is known."""

    reason_code = "stopped"

    def __init__(self, peer: str, sentence: str, why: str = "") -> None:
        super().__init__(peer, sentence)
        self.why = why


class TransportError(VsplitError):
    """The connection between the parties failed; `peer` is the party at the other end."""

    exit_code = 6
    reason_code = "link"

    def __init__(self, peer: str, sentence: str) -> None:
        super().__init__(sentence)
        self.peer = peer


class PeerAbsent(TransportError):  # noqa: N818 - a state of the world, named as people call it
    """`peer` did not connect within the wait."""


class PeerLost(TransportError):  # noqa: N818
    """`peer` was connected, and the link was lost or silent."""


class Deadlock(TransportError):  # noqa: N818
    """Every role waits for a message that none will send. Only the in-memory transport can detect it."""
