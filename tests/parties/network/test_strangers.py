"""Who may come in: strangers, forged certificates and other tongues are refused on real sockets."""

from __future__ import annotations

import datetime
import errno
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from parties.network import dialling, peer_connections
from parties.network import listener as listener_module
from parties.network.certificates import client_context, server_context, shown_identity
from parties.network.frames import Type
from parties.network.identity import PrivateIdentity
from parties.network.listener import MOST_PENDING
from vsplit.protocol import ConfigError, MismatchError, PeerAbsent, ProtocolError, StoppedError

SAFETY = 20.0
ONE = [memoryview(b"one")]


def goes_on(star: Any, listener: Any, gathering: Any) -> None:
    """A gathering that was disturbed succeeds all the same."""
    lab = star.dial("lab", listener.port)
    clinic = gathering.result(SAFETY)
    lab.send("clinic", ONE)
    assert clinic.receive("lab", 100).tobytes() == b"one"


def forge(folder: Path, issuer: PrivateIdentity, holder: PrivateIdentity, context: ssl.SSLContext) -> ssl.SSLContext:
    """Make `context` show a certificate for the key of `holder` that the key of `issuer` has signed."""
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("vsplit", issuer.public.line[-64:])
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(holder.private_key.public_key())
        .serial_number(7)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(issuer.private_key, None)
    )
    key = holder.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "forged.pem"
    file.write_bytes(key + certificate.public_bytes(serialization.Encoding.PEM))
    context.load_cert_chain(file)
    return context


def test_a_stranger_is_refused_by_the_label_party_and_told_so(star: Any) -> None:
    listener = star.listen("lab")
    gathering = star.gather(listener)
    with pytest.raises(MismatchError, match="clinic does not accept this party's identity") as caught:
        star.dial("stranger", listener.port)
    assert caught.value.peer == "clinic"
    goes_on(star, listener, gathering)
    assert listener.refused >= 1  # it may have to come twice to hear it


def test_a_label_party_with_another_key_is_refused_by_the_feature_party(star: Any) -> None:
    port, take = star.serve(server_context(star.keys["stranger"], [star.keys["lab"].public]))
    taking = star.later(take)
    with pytest.raises(MismatchError, match="does not hold the key that the job lists for clinic"):
        star.dial("lab", port)
    with pytest.raises(ssl.SSLError):
        taking.result(SAFETY)


def test_what_a_listed_key_has_signed_for_another_key_passes_the_handshake_and_is_refused(
    star: Any, tmp_path: Path
) -> None:
    lab, stranger, clinic = star.keys["lab"], star.keys["stranger"], star.keys["clinic"]
    context = forge(tmp_path, lab, stranger, client_context(stranger, clinic.public))
    # OpenSSL itself lets it pass, so that the comparison of the keys is what refuses it:
    port, take = star.serve()
    taking = star.later(take)
    star.secure(port, context)
    assert shown_identity(taking.result(SAFETY).stream.getpeercert(binary_form=True)) == stranger.public

    listener = star.listen("lab")
    gathering = star.gather(listener)
    stream = star.secure(listener.port, context)
    assert stream.recv(1) == b""
    goes_on(star, listener, gathering)
    assert listener.refused == 1


def test_a_server_that_shows_such_a_certificate_is_refused_by_the_feature_party(star: Any, tmp_path: Path) -> None:
    clinic, stranger = star.keys["clinic"], star.keys["stranger"]
    port, take = star.serve(forge(tmp_path, clinic, stranger, server_context(stranger, [star.keys["lab"].public])))
    taking = star.later(take)
    with pytest.raises(MismatchError, match="does not hold the key that the job lists for clinic"):
        star.dial("lab", port)
    assert taking.result(SAFETY).stream.recv(1) == b""  # the handshake was complete, and nothing was said after it


def test_a_certificate_that_cannot_be_read_shows_nobody() -> None:
    assert shown_identity(None) is None
    assert shown_identity(b"\x30\x03\x02\x01\x07") is None


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\n\r\n", bytes(2000), b"\x16\x03\x01\xff\xff" + bytes(300)])
def test_a_plaintext_client_gets_nothing_and_disturbs_nobody(star: Any, words: bytes) -> None:
    listener = star.listen("lab")
    gathering = star.gather(listener)
    plain = star.connect(listener.port)
    plain.sendall(words)
    try:
        answer = plain.recv(1000)
    except ConnectionResetError:
        answer = b""
    assert answer == b"" or (answer[0] == 0x15 and len(answer) == 7)  # at most the alert of TLS
    goes_on(star, listener, gathering)
    assert listener.refused == 1


def test_tls_1_2_is_refused(star: Any) -> None:
    listener = star.listen("lab")
    gathering = star.gather(listener)
    context = client_context(star.keys["lab"], star.keys["clinic"].public)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol version"):
        star.secure(listener.port, context)
    goes_on(star, listener, gathering)


def test_a_client_without_certificate_is_refused(star: Any) -> None:
    listener = star.listen("lab")
    gathering = star.gather(listener)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate required"):
        star.secure(listener.port, context).recv(1)
    goes_on(star, listener, gathering)
    assert listener.refused == 1


def test_half_open_handshakes_block_nobody_and_too_many_end_the_oldest(star: Any) -> None:
    listener = star.listen("lab")
    gathering = star.gather(listener)
    idle = [star.connect(listener.port) for _ in range(MOST_PENDING + 3)]
    goes_on(star, listener, gathering)
    assert [plain.recv(1) for plain in idle[:4]] == [b""] * 4  # the lab's own connection ended the fourth
    assert listener.refused == 4
    idle[4].setblocking(False)
    with pytest.raises(BlockingIOError):
        idle[4].recv(1)


def test_a_handshake_that_takes_too_long_is_ended(star: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "HANDSHAKE_SECONDS", 0.0)
    listener = star.listen("lab")
    star.gather(listener)
    assert star.connect(listener.port).recv(1) == b""


@pytest.mark.parametrize("early", [True, False])
def test_a_party_that_dials_in_twice_is_told_so_and_the_first_goes_on(star: Any, early: bool) -> None:
    listener = star.listen("lab", "bank")
    gathering = star.gather(listener)
    lab = star.dial("lab", listener.port)
    if not early:
        star.dial("bank", listener.port)
        gathering.result(SAFETY)
    with pytest.raises(StoppedError, match="has a link to a party with this identity already"):
        star.dial("lab", listener.port)
    if early:
        star.dial("bank", listener.port)
    lab.send("clinic", ONE)
    assert gathering.result(SAFETY).receive("lab", 100).tobytes() == b"one"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_party_that_leaves_before_all_have_come_may_come_again(star: Any, how: str) -> None:
    listener = star.listen("lab", "bank")
    gathering = star.gather(listener)
    first = star.puppet("lab", listener.port).take_welcome()
    first.stream.close() if how == "close" else first.reset()
    star.dial("bank", listener.port)
    goes_on(star, listener, gathering)


def test_a_party_that_stops_before_all_have_come_ends_the_gathering_for_all(star: Any) -> None:
    listener = star.listen("lab", "bank")
    gathering = star.gather(listener)
    bank = star.dial("bank", listener.port)
    star.puppet("lab", listener.port).take_welcome().say(Type.STOP, b"refused")
    # Whether the clinic is still gathering or at work already, it hears why.
    refuses = r"lab stopped (the session: it refuses|before the run began: its party file does not allow)"
    with pytest.raises(StoppedError, match=refuses):
        gathering.result(SAFETY).receive("lab", 100)
    for transport in [gathering.result(0)] if not gathering.exception() else []:
        transport.stop("stopped")
    with pytest.raises(
        StoppedError, match=r"clinic stopped the session|lab stopped before the run .* as clinic reports"
    ):
        bank.receive("clinic", 100)


def test_a_party_that_sends_garbage_before_all_have_come_is_named(star: Any) -> None:
    listener = star.listen("lab", "bank")
    gathering = star.gather(listener)
    star.puppet("lab", listener.port).take_welcome().stream.sendall(bytes(100))
    with pytest.raises(ProtocolError, match="lab sent bytes that are no vsplit frame") as caught:
        gathering.result(SAFETY)
    assert caught.value.peer == "lab"


def test_a_person_who_interrupts_the_gathering_lets_those_who_came_know(star: Any) -> None:
    listener = star.listen("lab", "bank")

    def interrupt(names: Any, _left: float) -> None:
        if names == ["bank"]:
            raise KeyboardInterrupt

    gathering = star.later(listener.gather, interrupt)
    puppet = star.puppet("lab", listener.port).take_welcome()
    assert puppet.hear() == (Type.STOP, b"interrupted")
    assert isinstance(gathering.exception(SAFETY), KeyboardInterrupt)


def test_those_who_never_came_are_named_and_strangers_are_counted(star: Any) -> None:
    listener = star.listen("lab", "bank", wait=1.0)
    gathering = star.gather(listener)
    lab = star.dial("lab", listener.port)
    with pytest.raises(MismatchError):
        star.dial("stranger", listener.port)
    with pytest.raises(
        PeerAbsent, match=r"bank did not connect within 1 s\. Connections that did not prove .* were refused \(1\)"
    ) as caught:
        gathering.result(SAFETY)
    assert caught.value.peer == "bank"
    with pytest.raises(
        StoppedError, match="bank did not connect in time, or its link was lost, as clinic reports: no run"
    ):
        lab.receive("clinic", 100)
    names, left = zip(*star.told, strict=True)
    assert names[0] == ("lab", "bank")
    assert names[-1] == ("bank",)
    assert len(left) >= 3
    assert list(left) == sorted(left, reverse=True)


def test_a_port_in_use_is_a_config_error(star: Any) -> None:
    first = star.listen("lab")
    with pytest.raises(ConfigError, match=f"Port {first.port} of this machine is in use by another program"):
        star.listen("lab", port=first.port)


def test_a_port_that_the_user_may_not_open_and_a_host_of_another_machine(star: Any, monkeypatch: Any) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen at 192\.0\.2\.1:9440"):
        star.listen("lab", host="192.0.2.1", port=9440)

    def denied(*_arguments: Any, **_options: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", denied)
    with pytest.raises(ConfigError, match="agree on a port above 1023"):
        star.listen("lab", port=443)


def test_nobody_listens_at_the_address(star: Any) -> None:
    port = peer_connections.free_port("127.0.0.1")
    with pytest.raises(PeerAbsent, match=f"clinic did not answer at 127.0.0.1:{port} within 1 s") as caught:
        star.dial("lab", port, wait=1.0)
    assert caught.value.peer == "clinic"
    names, left = zip(*star.told, strict=True)
    assert set(names) == {("clinic",)}
    assert len(left) >= 3
    assert list(left) == sorted(left, reverse=True)


def test_a_host_that_no_name_server_knows_is_absent(star: Any) -> None:
    with pytest.raises(PeerAbsent, match=r"clinic did not answer at nowhere\.invalid:9440"):
        star.dial("lab", 9440, wait=0.1, host="nowhere.invalid")


def test_a_forwarder_whose_program_has_yet_to_start_is_tried_again(star: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as forwarder:
        port = forwarder.getsockname()[1]
        dialling = star.later(star.dial, "lab", port)
        forwarder.accept()[0].close()
    gathering = star.gather(star.listen("lab", port=port))
    lab = dialling.result(SAFETY)
    lab.send("clinic", ONE)
    assert gathering.result(SAFETY).receive("lab", 100).tobytes() == b"one"


def test_a_server_that_says_nothing(star: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "HANDSHAKE_SECONDS", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(
            PeerAbsent, match=r"within 1 s \(the connection was accepted there and no answer came: a forwarder"
        ),
    ):
        star.dial("lab", silent.getsockname()[1], wait=1.0)


def test_a_server_that_says_nothing_at_first_is_tried_until_the_wait_is_over(star: Any, monkeypatch: Any) -> None:
    """So does a forwarder or firewall in front of a label party that has yet to start, or that has too much to do."""
    monkeypatch.setattr(dialling, "HANDSHAKE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        dialling_in = star.later(star.dial, "lab", port)
        for _ in range(2):
            with silent.accept()[0] as taken:
                taken.recv(1)
    gathering = star.gather(star.listen("lab", port=port))
    dialling_in.result(SAFETY).send("clinic", ONE)
    assert gathering.result(SAFETY).receive("lab", 100).tobytes() == b"one"


def test_a_server_that_speaks_another_protocol(star: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        dialling = star.later(star.dial, "lab", other.getsockname()[1])
        plain, _ = other.accept()
        with plain:
            plain.sendall(b"220 mail.example ESMTP\r\n")
            assert isinstance(dialling.exception(SAFETY), MismatchError)
            assert "does not speak TLS 1.3" in str(dialling.exception())


@pytest.mark.parametrize("how", ["silence", "message", "no session"])
def test_a_label_party_that_does_not_welcome(star: Any, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "silence":
        monkeypatch.setattr(dialling, "HANDSHAKE_SECONDS", 0.5)
    port, take = star.serve()
    dialling_in = star.later(star.dial, "lab", port, 1.0)
    puppet = take()
    assert puppet.hear()[0] is Type.JOIN
    if how == "message":
        puppet.message(b"one")
    elif how == "no session":
        puppet.writer.session = bytes(16)
        puppet.say(Type.WELCOME)
    else:
        star.later(take)  # it comes again
    error = dialling_in.exception(SAFETY)
    expected = {
        "silence": (PeerAbsent, "did not answer"),
        "message": (ProtocolError, "bytes that open no vsplit link"),
        "no session": (ProtocolError, "answered with a frame that the protocol does not allow"),
    }
    kind, sentence = expected[how]
    assert isinstance(error, kind)
    assert sentence in str(error)


def test_a_label_party_that_hangs_up_before_its_welcome_is_dialled_again(star: Any) -> None:
    port, take = star.serve()
    dialling_in = star.later(star.dial, "lab", port)
    take().stream.close()
    puppet = take()
    assert puppet.hear()[0] is Type.JOIN
    puppet.writer.session = b"a session of 16."
    puppet.say(Type.WELCOME)
    assert dialling_in.result(SAFETY).session == b"a session of 16."


def test_the_port_may_have_an_address_of_ipv6(star: Any) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    listener = star.listen("lab", host="::1")
    gathering = star.gather(listener)
    lab = star.dial("lab", listener.port, host="::1")
    lab.send("clinic", ONE)
    assert gathering.result(SAFETY).receive("lab", 100).tobytes() == b"one"
    assert str(peer_connections.Address("::1", 9440)) == "[::1]:9440"


def test_a_peer_that_acknowledges_and_takes_nothing_is_not_given_up_by_the_system(star: Any) -> None:
    clinic, puppet = star.clinic_and_puppet()
    stream = clinic._links["lab"].stream
    assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
    puppet.say(Type.DONE)
