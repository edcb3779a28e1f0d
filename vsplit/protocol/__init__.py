"""What every role uses: effects, typed messages, and errors that say whose fault it was.

A *role* is a generator that does no I/O. It yields effects and receives their answers:

    Send        send a message to a party                                           -> None
    Receive     the next message of a party, which must be of the given type        -> the message
    Work        run a pure function on each of the given arguments, on the pool     -> the results, in order
    Collect     the results of a Work that was started earlier with later=True      -> the results, in order
    Note        report progress to the operator of this party; it never leaves      -> None
    Checkpoint  store a state locally, so that a role can be created from it later  -> None

So a role reads from top to bottom like its section in SPEC.md, runs in a test without a network, and does not depend on the
transport. `parties.network.driver` runs any role.
"""

from vsplit.protocol.effects import (
    Checkpoint,
    Collect,
    Effect,
    Note,
    Receive,
    Role,
    Send,
    Work,
    receive,
    send,
    work,
)
from vsplit.protocol.errors import (
    ConfigError,
    DataError,
    Deadlock,
    LocalError,
    MismatchError,
    PeerAbsent,
    PeerLost,
    ProtocolError,
    RefusedError,
    RemoteError,
    StoppedError,
    StorageError,
    TransportError,
    VsplitError,
)
from vsplit.protocol.messages import (
    HEAD,
    Array,
    Bytes,
    Floats,
    Message,
    all_finite,
    array_fields,
)

__all__ = [
    "HEAD",
    "Array",
    "Bytes",
    "Checkpoint",
    "Collect",
    "ConfigError",
    "DataError",
    "Deadlock",
    "Effect",
    "Floats",
    "LocalError",
    "Message",
    "MismatchError",
    "Note",
    "PeerAbsent",
    "PeerLost",
    "ProtocolError",
    "Receive",
    "RefusedError",
    "RemoteError",
    "Role",
    "Send",
    "StoppedError",
    "StorageError",
    "TransportError",
    "VsplitError",
    "Work",
    "all_finite",
    "array_fields",
    "receive",
    "send",
    "work",
]
