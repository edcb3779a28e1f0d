"""Out through an HTTP proxy: what crosses it, what it answers, and what people are told of each answer."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parties.network import route as route_module
from parties.network.certificates import server_context
from parties.network.peer_connections import dial, free_port
from parties.network.route import Address, Proxy, Route
from vsplit.protocol import ConfigError, MismatchError, PeerAbsent, VsplitError

_file = importlib.util.spec_from_file_location("vsplit_http_proxy", Path(__file__).with_name("http_proxy.py"))
assert _file is not None and _file.loader is not None
_module = importlib.util.module_from_spec(_file)
_file.loader.exec_module(_module)
HttpProxy = _module.HttpProxy

SAFETY = 20.0
CANARY = "CANARY7311"
ONE, TWO = [memoryview(b"one")], [memoryview(b"two")]


@pytest.fixture
def proxy() -> Iterator[Callable[..., Any]]:
    """Makes proxies, and closes them at the end."""
    with contextlib.ExitStack() as stack:

        def make(answers: Any = None) -> Any:
            one = HttpProxy(answers)
            stack.callback(one.close)
            return one

        yield make


def out(star: Any, port: int, through: int, wait: float = 10.0, host: str = "127.0.0.1", **named: Any) -> Any:
    """The lab's transport, through the proxy at this port."""
    route = Route(Proxy("127.0.0.1", through, **named))
    transport = dial(
        star.keys["lab"],
        "clinic",
        star.keys["clinic"].public,
        Address(host, port),
        wait=wait,
        waiting=star.waiting,
        observer=star.seen["lab"],
        route=route,
    )
    star._stack.callback(transport.stop, "interrupted")
    return transport


def says(words: bytes) -> Callable[[socket.socket], None]:
    return lambda client: client.sendall(words)


def refused(star: Any, answers: Any, kind: type[VsplitError], wait: float = 0.5, **named: Any) -> str:
    """The sentence with which dialling through such a proxy ends."""
    one = HttpProxy(answers)
    try:
        with pytest.raises(kind) as caught:
            out(star, 9440, one.port, wait=wait, host="clinic.example", **named)
    finally:
        one.close()
    sentence = str(caught.value)
    assert f"http://127.0.0.1:{one.port}" in sentence
    assert CANARY not in sentence
    assert "\n" not in sentence
    return sentence


def test_a_session_goes_through_a_proxy_and_goes_on_through_it_after_a_cut(star: Any, proxy: Any) -> None:
    listener, between = star.listen("lab"), proxy()
    gathering = star.gather(listener)
    lab = out(star, listener.port, between.port, name="lab", password=CANARY)
    clinic = gathering.result(SAFETY)
    lab.send("clinic", ONE)
    assert clinic.receive("lab", 100).tobytes() == b"one"
    between.cut()
    lab.send("clinic", TWO)
    clinic.send("lab", ONE)
    assert clinic.receive("lab", 100).tobytes() == b"two"
    assert lab.receive("clinic", 100).tobytes() == b"one"
    assert star.seen["clinic"].returns == ["lab"]
    pair = base64.b64encode(f"lab:{CANARY}".encode()).decode()
    expected = [f"CONNECT 127.0.0.1:{listener.port} HTTP/1.1", f"Host: 127.0.0.1:{listener.port}"]
    assert [head.split("\r\n") for head in between.asked] == [
        [*expected, f"Proxy-Authorization: Basic {pair}", "", ""]
    ] * 2
    # The proxy saw TLS and no message.
    assert between.passed.startswith(b"\x16\x03")
    assert b"one" not in between.passed


def test_without_a_name_none_is_sent_and_the_proxy_finds_the_address(star: Any, proxy: Any) -> None:
    listener, between = star.listen("lab"), proxy()
    gathering = star.gather(listener)
    with pytest.raises(PeerAbsent, match=r"could not reach it: 502 Bad Gateway"):
        out(star, listener.port, between.port, wait=0.3, host="nowhere.invalid")
    out(star, listener.port, between.port, host="localhost")
    gathering.result(SAFETY)
    assert "Authorization" not in "".join(between.asked)
    assert between.asked[0].startswith(f"CONNECT nowhere.invalid:{listener.port} HTTP/1.1\r\n")


def test_an_ipv6_address_has_its_brackets(star: Any, proxy: Any) -> None:
    between = proxy(says(b"HTTP/1.1 403 No\r\n\r\n"))
    with pytest.raises(ConfigError, match=r"connect to \[2001:db8::1\]:9440 \(403\)"):
        out(star, 9440, between.port, host="2001:db8::1")
    assert between.asked == ["CONNECT [2001:db8::1]:9440 HTTP/1.1\r\nHost: [2001:db8::1]:9440\r\n\r\n"]


def test_a_proxy_that_cannot_be_reached_is_named(star: Any) -> None:
    port = free_port("127.0.0.1")
    with pytest.raises(
        PeerAbsent, match=rf"the proxy http://127\.0\.0\.1:{port} cannot be reached: Connection refused"
    ):
        out(star, 9440, port, wait=0.3)


@pytest.mark.parametrize(
    "status", [b"500 Oops", b"502 Bad Gateway", b"503 Service Unavailable", b"504 Gateway Timeout"]
)
def test_a_label_party_that_the_proxy_does_not_reach_is_tried_again(star: Any, proxy: Any, status: bytes) -> None:
    listener = star.listen("lab")
    gathering = star.gather(listener)
    assert f"could not reach it: {status[:3].decode()}" in refused(
        star, says(b"HTTP/1.1 " + status + b"\r\n\r\n"), PeerAbsent
    )
    first = proxy(says(b"HTTP/1.1 " + status + b"\r\n\r\n"))
    dialling = star.later(out, star, listener.port, first.port)
    while len(first.asked) < 2:
        time.sleep(0.01)
    first._answers = None
    dialling.result(SAFETY)
    gathering.result(SAFETY)


@pytest.mark.parametrize(
    ("answer", "named", "sentence"),
    [
        (b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\n\r\n", {}, r"asks for a name and a password (407)"),
        (b"HTTP/1.1 407 Who\r\n\r\n", {}, "asks for a name and a password (407)"),
        (
            b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\n\r\n",
            {"name": "lab", "password": CANARY},
            "does not accept the name and password",
        ),
        (
            b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\x1b[31m x\r\n\r\n",
            {"name": "lab", "password": CANARY},
            "by Negotiate or NTLM (407)",
        ),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", {}, "does not allow this party to connect to clinic.example:9440 (403)"),
        (b"HTTP/1.1 405 Method Not Allowed\r\n\r\n", {}, "does not allow CONNECT (405 Method Not Allowed)"),
        (b"HTTP/1.1 501 Not Implemented\r\n\r\n", {}, "does not allow CONNECT (501 Not Implemented)"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://login.example\r\n\r\n",
            {},
            "does not allow CONNECT (302 Found)",
        ),
        (b"HTTP/1.0 499 \x1b[31mwhat\r\n\r\n", {}, "does not allow CONNECT (499): check"),
        (b"220 mail.example ESMTP\r\n\r\n", {}, "is not an HTTP proxy, or does not answer as one"),
        (b"\x15\x03\x03\x00\x02\x02\x46", {}, "is not an HTTP proxy, or does not answer as one"),
        (b"HTTP/2 200\r\n\r\n", {}, "is not an HTTP proxy, or does not answer as one"),
        (b"HTTP/1.1 two hundred\r\n\r\n", {}, "is not an HTTP proxy, or does not answer as one"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", {}, "is not an HTTP proxy, or does not answer as one"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * (1 << 20), {}, "answered with a head of more than 16 KiB"),
    ],
)
def test_what_only_people_can_change_ends_at_once(star: Any, answer: bytes, named: Any, sentence: str) -> None:
    found = refused(star, says(answer), ConfigError, wait=SAFETY, **named)
    assert sentence in found
    assert "\x1b" not in found


@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nVia: x"])
def test_a_proxy_that_closes_in_the_middle_is_tried_again(star: Any, words: bytes) -> None:
    assert "closed the connection before it answered" in refused(star, says(words), PeerAbsent)


@pytest.mark.parametrize("drips", [True, False])
def test_a_proxy_that_is_silent_or_drips_has_a_deadline(
    star: Any, monkeypatch: pytest.MonkeyPatch, drips: bool
) -> None:
    monkeypatch.setattr(route_module, "PROXY_SECONDS", 0.4)

    def answers(client: socket.socket) -> None:
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100:
            if drips:
                client.sendall(bytes([byte]))
            time.sleep(0.05)

    assert "did not answer in full within 0.4 s" in refused(star, answers, PeerAbsent)


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n"])
def test_what_comes_with_the_answer_is_not_lost(proxy: Any, end: bytes) -> None:
    between = proxy(says(b"HTTP/1.1 200 OK" + end + b"the first words of the other side"))
    with Route(Proxy("127.0.0.1", between.port)).connect("clinic.example", 9440, 5.0) as plain:
        assert plain.makefile("rb").read() == b"the first words of the other side"


def test_a_proxy_that_opens_tls_is_found_by_its_key_and_named(star: Any, proxy: Any) -> None:
    port, take = star.serve(server_context(star.keys["stranger"], [star.keys["lab"].public]))
    taking, between = star.later(take), proxy()
    between.to = port
    with pytest.raises(MismatchError, match="does not hold the key that the job lists for clinic") as caught:
        out(star, 9440, between.port)
    assert f"the proxy http://127.0.0.1:{between.port} inspects TLS" in str(caught.value)
    assert taking.exception(SAFETY) is not None


def test_a_proxy_that_opens_tls_and_speaks_an_older_one_is_named(star: Any, proxy: Any) -> None:
    context = server_context(star.keys["clinic"], [star.keys["lab"].public])
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    port, take = star.serve(context)
    taking, between = star.later(take), proxy()
    between.to = port
    with pytest.raises(
        MismatchError, match=r"it does not speak TLS 1\.3\. Perhaps the proxy http://127\.0\.0\.1:.* inspects TLS"
    ):
        out(star, 9440, between.port)
    assert taking.exception(SAFETY) is not None


def test_a_proxy_shows_neither_name_nor_password() -> None:
    one = Route(Proxy("proxy.example", 3128, "NAME7311", CANARY))
    assert CANARY not in f"{one!r} {one} {one.proxy}"
    assert "NAME7311" not in f"{one!r} {one} {one.proxy}"


def test_a_hint_is_part_of_the_sentence_when_nobody_was_reached(star: Any) -> None:
    with pytest.raises(PeerAbsent, match=r"https_proxy is set to http://p:1, which vsplit does not use\.$"):
        dial(
            star.keys["lab"],
            "clinic",
            star.keys["clinic"].public,
            Address("127.0.0.1", free_port("127.0.0.1")),
            wait=0.2,
            waiting=star.waiting,
            route=Route(hint="https_proxy is set to http://p:1, which vsplit does not use."),
        )
