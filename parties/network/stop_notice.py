"""Notifying the other parties of a failure before any session: only the reason crosses, and no session is joined for it."""

from __future__ import annotations

import contextlib
import os
import select
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from parties.network.authentication import answer
from parties.network.dialling import Target, pauses
from parties.network.frame_writer import FrameWriter
from parties.network.frames import Type
from parties.network.listener import Arrival, Listener
from parties.network.stop_reasons import StartedAgain

_STEP = 0.25  # seconds between two looks at the clock
_CLOSE_SECONDS = (
    5.0  # within which a party that was answered has to close its end, which confirms that it has the reason
)

Continue = Callable[[Sequence[str]], bool]
"""Called a few times a second with the names of the parties that are not notified yet; False ends the notification."""


def notify_label_party(target: Target, reason: str, go: Continue) -> None:
    """Dial the label party until it has received `reason`, or until `go` returns False.

    Raises MismatchError and ProtocolError as `Target.open` does where the other side has another identity or version.
    """
    first = FrameWriter(os.urandom(16)).control(Type.STOP, 0, reason.encode("ascii"))
    for pause in pauses():
        if not go([target.name]):
            return
        try:
            stream, _ = target.open(first)
        except OSError:
            end = time.monotonic() + pause
            while (left := end - time.monotonic()) > 0 and go([target.name]):
                time.sleep(min(left, _STEP))
        else:
            stream.close()
            return


@dataclass(slots=True)
class StopNotice:
    """Answers the parties that connect to a label party which has failed: each receives `reason`.

    `parties` are those to notify; one is notified once it has closed its end. `failed_party` is the party whose failure was the
    reason, if any: where it was started again, it is answered that the label party has to be started again as well, and it
    continues to dial.
    """

    listener: Listener
    parties: Sequence[str]
    reason: str
    failed_party: str = ""
    _notified: set[str] = field(default_factory=set)
    _answered: dict[ssl.SSLSocket, tuple[str, float]] = field(default_factory=dict)

    def serve(self, go: Continue) -> None:
        """Answer until all are notified, or until `go` returns False; then the port is closed."""
        self.listener.open()
        try:
            while (missing := [name for name in self.parties if name not in self._notified]) and go(missing):
                self._step()
        finally:
            for stream in self._answered:
                stream.close()
            self.listener.close()

    def _step(self) -> None:
        watched = select.poll()
        watched.register(self.listener.wakeup, select.POLLIN)
        for stream in self._answered:
            watched.register(stream, select.POLLIN)
        watched.poll(1000 * _STEP)
        now = time.monotonic()
        for arrival in self.listener.fetch():
            self._answer(arrival, now)
        for stream, (name, until) in list(self._answered.items()):
            try:
                closed = not stream.recv(64) or now > until
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                closed = now > until
            except OSError:  # it may not have received the reason, and connects again
                self._remove(stream)
                continue
            if closed:
                self._notified.add(name)
                self._remove(stream)

    def _answer(self, arrival: Arrival, now: float) -> None:
        joins_again = arrival.name == self.failed_party and arrival.opening.type is Type.JOIN
        reason = StartedAgain.reason_code if joins_again else self.reason
        try:
            answer(arrival.stream, Type.STOP, payload=reason.encode("ascii"))
        except OSError:
            arrival.stream.close()
            return
        self._answered[arrival.stream] = (arrival.name, now + _CLOSE_SECONDS)

    def _remove(self, stream: ssl.SSLSocket) -> None:
        del self._answered[stream]
        with contextlib.suppress(OSError):
            stream.close()
