"""Why a party ended the session: the fixed list of reason codes that cross, and the sentence for each.

Only a code of this list crosses; where the label party passes on another party's failure, that party's name follows it. The
sentence is made at the receiver, so no text or value of the party that stopped appears on another party's screen.
"""

from __future__ import annotations

from typing import ClassVar

from parties.network.frames import Opening, Type
from parties.network.identity import PARTY_NAME
from vsplit.protocol import PeerAbsent, ProtocolError, RemoteError, StoppedError, VsplitError


class StartedAgain(StoppedError):  # noqa: N818 - a state of the world, as the other errors about peers
    """`peer` is another process than the one with which the session began, and does not know the session."""

    reason_code: ClassVar[str] = "again"

    def __init__(self, peer: str) -> None:
        super().__init__(
            peer, f"{peer} was started again: start this party again too; a run resumes from its last checkpoint."
        )


STOP_REASONS = {
    "config": "its configuration is wrong",
    "storage": "it cannot write a file of its own, for example because a disk is full",
    "data": "it cannot use its data as they are",
    "refused": "it refuses what the job asks of it, the length of a list, or one more run",
    "peer": "another party failed",
    "protocol": "it reports that another party violated the protocol",
    "mismatch": "it reports that the parties do not run the same job",
    "stopped": "another party stopped the session",
    "link": "it lost its link to another party",
    "twice": "it has a link to a party with this identity already (is this party started twice?)",
    "again": "it reports that a party was started again",
    "interrupted": "it was interrupted by its operator or the system",
    "error": "it failed with an unexpected error",
}


def stop_sentence(peer: str, code: str) -> str:
    """The sentence for a `peer` that stopped during the session with `code`; an unknown code is not repeated."""
    why = STOP_REASONS.get(code, "it gave no known reason")
    if code == "twice":
        return f"{peer} stopped the session: {why}. End one of the two."
    if code == "again":
        return f"{peer} stopped the session: {why}. Start this party again too; a run resumes from its last checkpoint."
    return f"{peer} stopped the session: {why}. The screen of {peer} has the details: ask there, then start all parties again."


# The same where a party stopped before all parties were connected.
_BEFORE = {
    "config": "its configuration is wrong, or a file, a package or a device that it needs is missing",
    "storage": "it cannot write a file of its own, for example because a disk is full",
    "data": "its data cannot be used",
    "refused": "its party file does not allow what the job asks, the length of a list, or one more run",
    "peer": "another party failed",
    "protocol": "another party violated the protocol",
    "mismatch": "the parties do not run the same job",
    "stopped": "another party stopped",
    "link": "another party did not connect, or its link was lost",
    "interrupted": "it was interrupted by its operator or the system",
    "error": "it failed with an unexpected error",
}
# The code that the label party passes on about a party that did not connect.
_ABSENT = "link"


def stopped(peer: str, reason: str, *, begun: bool) -> StoppedError:
    """The error where `peer` stopped and sent this reason: a code, or a code and the name of the party that it is about.

    `begun`: all parties had connected.
    """
    code, _, about = reason.partition(" ")
    if PARTY_NAME.fullmatch(about) and code in _BEFORE and about != peer:
        return StoppedError(peer, _passed_on(peer, code, about))
    known = code if code in STOP_REASONS and not about else ""
    if begun or known in ("twice", "again"):
        return StoppedError(peer, stop_sentence(peer, known), known)
    why = _BEFORE.get(known, "it gave no known reason")
    return StoppedError(
        peer,
        f"{peer} stopped before the run began: {why}. The screen of {peer} has the details: ask there, then start all parties "
        "again.",
        known,
    )


def refusal(peer: str, opening: Opening, *, begun: bool = False) -> RemoteError:
    """The error for a first frame that is not the one that was due; `begun`: the parties had been connected before."""
    if opening.type is not Type.STOP:
        return ProtocolError(peer, f"{peer} answered with a frame that the protocol does not allow here.")
    reason = opening.reason.decode("ascii", "replace")
    return StartedAgain(peer) if reason == StartedAgain.reason_code else stopped(peer, reason, begun=begun)


def reason_of(error: BaseException) -> str:
    """The reason that a party sends which ends before all are connected: a code, with a name where it is another party's."""
    if isinstance(error, StoppedError) and error.why:
        return f"{error.why} {error.peer}"
    if isinstance(error, PeerAbsent):
        return f"{error.reason_code} {error.peer}"
    return reason_code(error)


def reason_code(error: BaseException) -> str:
    """The code that the other parties receive for the error that ended this party's run."""
    if isinstance(error, VsplitError):
        return error.reason_code
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "error"


def _passed_on(peer: str, code: str, about: str) -> str:
    if code == _ABSENT:
        return (
            f"{about} did not connect in time, or its link was lost, as {peer} reports: no run began. Ask at {about}, then "
            "start all parties again."
        )
    return (
        f"{about} stopped before the run began: {_BEFORE[code]}, as {peer} reports. The screen of {about} has the details: ask "
        "there, then start all parties again."
    )
