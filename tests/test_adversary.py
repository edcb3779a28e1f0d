"""An adversary's list, against parties that run: real lives over mutual TLS on loopback, from their files to their end.

A stranger or a listed party knocks while a run is under way, and the run ends well; a listed party that does not follow the
protocol is named by the other, which writes no result. What single parts do with the same is tested beside them.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from benchmarks.faults_parts.mutate import forged, received
from parties.checkpoints.start_messages import StartDecision
from parties.monitoring.events import Step
from parties.network import codec
from parties.network.certificates import client_context
from parties.network.frame_writer import FrameWriter
from parties.network.frames import Type
from parties.network.identity import PrivateIdentity
from parties.run import party_run
from parties.run.handshake import Handshake
from tests.parties.network.proxy import Proxy
from tests.parties.world import World
from tests.ports import own_port
from vsplit.aggregation.plain import Embedding
from vsplit.learn.messages import Gradient
from vsplit.protocol import Message, ProtocolError, StoppedError
from vsplit.sealing import Sealed

SAFETY = 20.0


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parties.run.results.render_report", lambda content: f"<html>{content.job}</html>")


# --- who knocks while a run is under way ------------------------------------------------------------------------------


class Siege:
    """A clinic, a lab and a gym, a proxy between them that writes down what the clinic is sent, and who knocks meanwhile."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = World(folder, ("lab", "gym"))
        self.port = own_port()
        self.proxy = Proxy(self.port)
        self.world.files["clinic"]["listen"] = f"127.0.0.1:{self.port}"
        self.world.job["address"] = f"127.0.0.1:{self.proxy.port}"
        self.transports: dict[str, Any] = {}
        connect = party_run.connect

        def connected(party: Any, *rest: Any) -> Any:
            self.transports[party.name] = connect(party, *rest)
            return self.transports[party.name]

        monkeypatch.setattr(party_run, "connect", connected)

    def run(self, knock: Callable[[Siege], None]) -> None:
        """Live a run, knock when the lab has trained an epoch, and see that everybody ends well."""
        knocks: list[BaseException | None] = []

        def look(event: object) -> None:
            if isinstance(event, Step) and event.stage == "training" and event.done == 1 and not knocks:
                try:
                    knock(self)
                    knocks.append(None)
                except BaseException as error:  # raised in the test itself, where it is seen
                    knocks.append(error)

        outcomes = self.world.write().run_parties(show={"lab": look})
        for failure in filter(None, knocks):
            raise failure
        outcomes.well()
        assert knocks
        clinic = self.transports["clinic"]
        assert clinic.retries == {"lab": 0, "gym": 0}, "no link was taken away"
        for name in self.world.names:
            told = json.loads((self.world.run(name) / "run.json").read_text())
            assert told["training"]["epochs"], name

    def secure(self, key: PrivateIdentity, change: Callable[[ssl.SSLContext], None] = lambda _context: None) -> bytes:
        """All that the clinic answers who shows this key, and then says JOIN."""
        context = client_context(key, self.world.keys["clinic"].public)
        change(context)
        with socket.create_connection(("127.0.0.1", self.port), SAFETY) as plain, context.wrap_socket(plain) as stream:
            return exchanged(stream, FrameWriter().control(Type.JOIN, 0))

    def resume(self, name: str, session: bytes) -> bytes:
        """All that the clinic answers this party, which says that it goes on with a session."""
        context = client_context(self.world.keys[name], self.world.keys["clinic"].public)
        with socket.create_connection(("127.0.0.1", self.port), SAFETY) as plain, context.wrap_socket(plain) as stream:
            return exchanged(stream, FrameWriter(session).control(Type.RESUME, 0))


def exchanged(stream: socket.socket, words: bytes) -> bytes:
    """What comes back for these words until the other side closes."""
    answered = b""
    try:
        stream.sendall(words)
        while more := stream.recv(1 << 16):
            answered += more
    except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
        pass
    return answered


@pytest.fixture
def siege(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Siege]:
    made = Siege(tmp_path, monkeypatch)
    yield made
    made.proxy.close()


def test_a_wrong_identity(siege: Siege) -> None:
    def knock(siege: Siege) -> None:
        for _ in range(5):
            assert siege.secure(PrivateIdentity.generate()) == b""

    siege.run(knock)


def test_a_downgrade(siege: Siege) -> None:
    """The lab's own key, an older version of TLS, no TLS at all, and an older version of the protocol."""

    def older(context: ssl.SSLContext) -> None:
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2

    def knock(siege: Siege) -> None:
        lab = siege.world.keys["lab"]
        with pytest.raises(OSError, match=r"(?i)alert|reset"):
            siege.secure(lab, older)
        assert siege.secure(lab, lambda context: context.set_alpn_protocols(["vsplit/2"])).endswith(b"mismatch")
        with socket.create_connection(("127.0.0.1", siege.port), SAFETY) as plain:
            assert exchanged(plain, FrameWriter().control(Type.JOIN, 0))[2:3] != bytes([Type.WELCOME])

    siege.run(knock)


def test_a_recorded_session_that_is_played_again(siege: Siege) -> None:
    """Byte for byte, as it went by until then; the clinic's own handshake is all that comes back."""

    def knock(siege: Siege) -> None:
        recorded = bytes(siege.proxy.recorded)
        assert len(recorded) > 5000
        with socket.create_connection(("127.0.0.1", siege.port), SAFETY) as plain:
            assert len(exchanged(plain, recorded)) < 4096

    siege.run(knock)


def test_a_listed_party_that_asks_for_another_session(siege: Siege) -> None:
    def knock(siege: Siege) -> None:
        answer = siege.resume("lab", b"another session!")
        assert answer[2] == Type.STOP
        assert answer.endswith(b"again")

    siege.run(knock)


def test_a_listed_party_in_the_place_of_another(siege: Siege) -> None:
    """The gym knows the session, and whatever it says of itself: its key leads to its own link, which has gone further."""

    def knock(siege: Siege) -> None:
        assert siege.resume("gym", siege.transports["clinic"].session) == b""

    siege.run(knock)


# --- a listed party that does not follow the protocol -----------------------------------------------------------------

Change = Callable[[bytes], bytes]


def lie(monkeypatch: pytest.MonkeyPatch, liar: str, kind: type[Message], change: Callable[[Any, bytes], bytes]) -> None:
    """Let this party change the second message of this kind that it sends; `change` gets the transport and the message."""
    connect, seen = party_run.connect, []

    def connected(party: Any, *rest: Any) -> Any:
        transport = connect(party, *rest)
        send = transport.send

        def changing(to: str, parts: Any) -> None:
            data = b"".join(parts)
            if kind_of(data) == kind.__name__:
                seen.append(data)
                if len(seen) == (1 if kind in (Handshake, StartDecision) else 2):
                    data = change(transport, data)
            send(to, [memoryview(data)])

        if party.name == liar:
            transport.send = changing
        return transport

    monkeypatch.setattr(party_run, "connect", connected)


def kind_of(data: bytes) -> str:
    [length] = struct.unpack_from("<I", data)
    found: str = msgspec.msgpack.decode(data[4 : 4 + length])[0]
    return found


def with_fields(kind: type[Message], **changed: Any) -> Change:
    """The same message with these fields; where one is a float, the middle element of that array becomes it."""

    def change(data: bytes) -> bytes:
        message = codec.decode(received(data), kind)
        fields = {name: getattr(message, name) for name in message.__struct_fields__}
        for name, value in changed.items():
            if isinstance(value, float):
                fields[name] = fields[name].copy()
                fields[name].flat[fields[name].size // 2] = value
            else:
                fields[name] = value
        return forged(kind.__name__, fields)

    return change


def claiming(kind: type[Message], *sides: int) -> Change:
    """The same message, the arrays of which claim these sides; behind the head stands what stood there before."""

    def change(data: bytes) -> bytes:
        [length] = struct.unpack_from("<I", data)
        name, fields = msgspec.msgpack.decode(data[4 : 4 + length])
        for key, value in fields.items():
            if isinstance(value, list) and len(value) == 2 and isinstance(value[1], list):
                fields[key] = [value[0], list(sides)]
        head = msgspec.msgpack.encode([name, fields])
        assert name == kind.__name__
        return struct.pack("<I", len(head)) + head + data[4 + length :]

    return change


def is_named(world: Any, liar: str, victim: str, sentence: str) -> None:
    """The run ends: the victim names the liar in this sentence, the liar hears of it, and nothing is written."""
    before = {file for file in world.write().folder.parent.rglob("*") if "runs" not in file.parts}
    outcomes = world.run_parties()
    error, told = outcomes.errors[victim], outcomes.errors[liar]
    assert isinstance(error, ProtocolError), repr(error)
    assert error.peer == liar
    assert re.search(sentence, str(error)), error
    assert "KEY0" not in str(error)
    assert isinstance(told, StoppedError), repr(told)
    assert not list((world.folder / "runs").rglob("run.json"))
    # Nothing appears but what a run keeps in its own folders, and beside the keys the counts of meetings.
    after = {file for file in world.folder.parent.rglob("*") if "runs" not in file.parts}
    assert all("partners.json" in file.name for file in after - before), after - before


@pytest.fixture
def world(tmp_path: Path) -> Any:
    return World(tmp_path)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize(
    ("liar", "victim", "kind", "field"),
    [("lab", "clinic", Embedding, "values"), ("clinic", "lab", Gradient, "values")],
    ids=["embeddings", "gradients"],
)
def test_numbers_that_are_none(
    world: Any, monkeypatch: pytest.MonkeyPatch, liar: str, victim: str, kind: type[Message], field: str, value: float
) -> None:
    change = with_fields(kind, **{field: value})
    lie(monkeypatch, liar, kind, lambda _transport, data: change(data))
    is_named(world, liar, victim, f"{liar} sent .*{field}.* not a finite number")


@pytest.mark.parametrize(("liar", "victim", "kind"), [("lab", "clinic", Embedding), ("clinic", "lab", Gradient)])
@pytest.mark.parametrize("sides", [(1 << 40, 4), (1 << 20, 1 << 20)])
def test_a_huge_array_header(
    world: Any, monkeypatch: pytest.MonkeyPatch, liar: str, victim: str, kind: type[Message], sides: tuple[int, ...]
) -> None:
    change = claiming(kind, *sides)
    lie(monkeypatch, liar, kind, lambda _transport, data: change(data))
    is_named(world, liar, victim, f"^{liar} sent ")


@pytest.mark.parametrize(("liar", "victim", "kind"), [("lab", "clinic", Embedding), ("clinic", "lab", Gradient)])
def test_a_message_of_another_session(
    world: Any, monkeypatch: pytest.MonkeyPatch, liar: str, victim: str, kind: type[Message]
) -> None:
    def change(transport: Any, data: bytes) -> bytes:
        transport._links[victim]._writer.session = b"another session!"
        return data

    lie(monkeypatch, liar, kind, change)
    is_named(world, liar, victim, f"^{liar} sent .*another session")


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "/srv/x", "\x1b[2Jclinic"])
def test_a_path_in_a_name(world: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """No party sends its name. What names there are, of keys of the job and of parties that something is about, are checked."""
    change = with_fields(Handshake, keys={name: bytes(16)})
    lie(monkeypatch, "lab", Handshake, lambda _transport, data: change(data))
    is_named(world, "lab", "clinic", "^lab sent (?!.*(etc|passwd|tmp|x1b|\x1b))")
    assert name not in (world.run("clinic") / ".unfinished/ledger").read_text()


def test_a_path_in_the_name_of_a_party(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    change = with_fields(StartDecision, end="lacking", about=["../../../../etc/passwd"])
    lie(monkeypatch, "clinic", StartDecision, lambda _transport, data: change(data))
    is_named(world, "clinic", "lab", "^clinic (?!.*(etc|passwd|/))")


def test_a_message_that_was_sealed_in_another_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The label party relays what feature parties seal for each other, and here passes on what it kept of an earlier run."""
    world = World(tmp_path, ("lab", "gym"))
    world.job["model"] |= {"aggregate": "masked_sum", "secure_sum": {"range": 8.0, "bits": 16}}
    kept: list[bytes] = []
    with monkeypatch.context() as first:
        lie(first, "clinic", Sealed, lambda _transport, data: kept.append(data) or data)
        world.write().run_parties().well()
    assert kept
    with monkeypatch.context() as second:
        lie(second, "clinic", Sealed, lambda _transport, _data: kept[0])
        outcomes = world.run_parties(restart=world.names)
    named = [error for name, error in outcomes.errors.items() if isinstance(error, ProtocolError) and name != "clinic"]
    assert [error.peer for error in named] == ["clinic"], outcomes.errors
