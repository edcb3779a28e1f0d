"""A party that has failed before it met the others tells them so in one word; it joins no session for that."""

from __future__ import annotations

import contextlib
import os
import select
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from parties.network.dialling import Target, pauses
from parties.network.frames import FrameWriter, Type
from parties.network.listener import Arrival, Listener, answer
from parties.network.transport import StartedAgain

_STEP = 0.25  # seconds between two looks at the clock
_LAST_LOOK = 5.0  # seconds that a party that was answered has for closing its end, by which it shows that it has heard

Go = Callable[[Sequence[str]], bool]
"""Called a few times a second with the names of those who have not been told; False ends the telling."""


def notify_label_party(target: Target, word: str, go: Go) -> None:
    """Dial the label party until it has heard `word`, or until `go` says no.

    Raises MismatchError and ProtocolError as `Target.open` does where the other side is somebody else.
    """
    first = FrameWriter(os.urandom(16)).control(Type.STOP, 0, word.encode("ascii"))
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
    """Those who come to the port of a label party that has failed: each hears `reason`, and is told once it closes its end.

    `parties` are those who have to be told. `cause` is a party whose failure was the reason: where it was started again, it
    hears that the label party has to be as well, and goes on dialling.
    """

    listener: Listener
    parties: Sequence[str]
    reason: str
    cause: str = ""
    _told: set[str] = field(default_factory=set)
    _hearing: dict[ssl.SSLSocket, tuple[str, float]] = field(default_factory=dict)

    def serve(self, go: Go) -> None:
        """Go on until all have been told, or until `go` says no; the door is closed then."""
        self.listener.open()
        try:
            while (missing := [name for name in self.parties if name not in self._told]) and go(missing):
                self._look()
        finally:
            for stream in self._hearing:
                stream.close()
            self.listener.close()

    def _look(self) -> None:
        watched = select.poll()
        watched.register(self.listener.wakeup, select.POLLIN)
        for stream in self._hearing:
            watched.register(stream, select.POLLIN)
        watched.poll(1000 * _STEP)
        now = time.monotonic()
        for arrival in self.listener.fetch():
            self._answer(arrival, now)
        for stream, (name, until) in list(self._hearing.items()):
            try:
                heard = not stream.recv(64) or now > until
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                heard = now > until
            except OSError:  # it may not have heard, and comes again
                self._forget(stream)
                continue
            if heard:
                self._told.add(name)
                self._forget(stream)

    def _answer(self, arrival: Arrival, now: float) -> None:
        joins_again = arrival.name == self.cause and arrival.opening.type is Type.JOIN
        word = StartedAgain.word if joins_again else self.reason
        try:
            answer(arrival.stream, Type.STOP, payload=word.encode("ascii"))
        except OSError:
            arrival.stream.close()
            return
        self._hearing[arrival.stream] = (arrival.name, now + _LAST_LOOK)

    def _forget(self, stream: ssl.SSLSocket) -> None:
        del self._hearing[stream]
        with contextlib.suppress(OSError):
            stream.close()
