"""TLS 1.3 between two parties that know each other's public key and nothing else.

Each side shows a certificate that it made at start from its Ed25519 key. OpenSSL cannot trust a public key, only a
certificate. So each side makes an *anchor* for every public key in the job: a certificate that holds the key and needs no valid
signature (OpenSSL reads an anchor's key and name, not its signature). The certificate of any other key then fails in the
handshake. A certificate that an anchor's key has signed *for another key* passes it: therefore `shown_identity` returns the
public key of the certificate, and the caller compares it with the identity lines of the job. The CertificateVerify of TLS
proves that the other side holds the private key (RFC 8446, section 4.4.3).

Names, dates and chains in these certificates have no meaning.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import ssl
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from parties.network.identity import PrivateIdentity, PublicIdentity

PROTOCOL = "vsplit/5"
# Trust must not depend on the clocks of the two machines, so the certificates are always valid.
_FROM = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_UNTIL = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)


def server_context(me: PrivateIdentity, peers: Iterable[PublicIdentity]) -> ssl.SSLContext:
    """The label party's side: requires a certificate of each client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # TLS sessions are never resumed, so that no ticket can replace a key
    return _pinned(context, me, peers)


def client_context(me: PrivateIdentity, peer: PublicIdentity) -> ssl.SSLContext:
    """A feature party's side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the public key is compared, never a name
    return _pinned(context, me, [peer])


def shown_identity(certificate: bytes | None) -> PublicIdentity | None:
    """The public key of a DER certificate that the other side showed; None where there is none, or one of another kind."""
    if certificate is None:
        return None
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return None  # OpenSSL is less strict than this parser, so a certificate that passed the handshake may fail here
    return PublicIdentity(key.public_bytes_raw()) if isinstance(key, Ed25519PublicKey) else None


def _pinned(context: ssl.SSLContext, me: PrivateIdentity, peers: Iterable[PublicIdentity]) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the anchors are bare keys in the form of a certificate
    context.set_alpn_protocols([PROTOCOL])
    _load_own(context, me)
    context.load_verify_locations(cadata="".join(_pem(_anchor(peer)) for peer in peers))
    return context


def _load_own(context: ssl.SSLContext, me: PrivateIdentity) -> None:
    own = _certificate(me.private_key, me.private_key.public_key(), "vsplit", me.public.line, authority=False)
    # `ssl` takes only the name of a file, and the content of a file may be left behind. So the name is that of an open pipe,
    # whose content is in memory only and gone once it is read.
    names = _names_of_open_files()
    if names is not None:
        key = me.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with _pipe_holding(_pem(own).encode()) as shown, _pipe_holding(key) as held:
            context.load_cert_chain(names / str(shown), names / str(held))
        return
    # Where open files have no names a real file is needed. It holds the key encrypted with a password that is in memory only,
    # so that the file alone is useless.
    password = os.urandom(32)
    key = me.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "own.pem"
        file.touch(mode=0o600)
        file.write_bytes(key + _pem(own).encode())
        context.load_cert_chain(file, password=password)


def _names_of_open_files() -> Path | None:
    """The folder in which the open files of this process have names; None: there is none, as on Windows."""
    return next((folder for folder in (Path("/proc/self/fd"), Path("/dev/fd")) if folder.is_dir()), None)


@contextlib.contextmanager
def _pipe_holding(data: bytes) -> Iterator[int]:
    """A descriptor from which `data` can be read once. `data` is far shorter than what a pipe takes without a reader."""
    reader, writer = os.pipe()
    try:
        try:
            os.write(writer, data)
        finally:
            os.close(writer)
        yield reader
    finally:
        os.close(reader)


def _anchor(peer: PublicIdentity) -> x509.Certificate:
    signer = Ed25519PrivateKey.generate()  # any key, since the signature of an anchor is not checked
    return _certificate(signer, Ed25519PublicKey.from_public_bytes(peer.key), peer.line, peer.line, authority=True)


def _certificate(
    signer: Ed25519PrivateKey, key: Ed25519PublicKey, subject: str, issuer: str, *, authority: bool
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(signer, None)
    )


def _name(text: str) -> x509.Name:
    # A common name holds at most 64 characters; the end of a public line is as unique as the whole.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[-64:])])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
