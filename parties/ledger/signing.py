"""What a party signs for its ledger, and how that is checked. SPEC.md, section 8."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from parties.ledger.ledger_state import LedgerState, SignedLine
from parties.ledger.messages import LedgerHead, to_array
from parties.ledger.record import FORMAT, Position
from parties.local.command_line import quoted_command
from parties.network.identity import PublicIdentity
from vsplit.protocol import ProtocolError

_KEY = b"vsplit-ledger-v1 key"
_HEAD = b"vsplit-ledger-head-v2"
_HEAD_OF_FORMAT_1 = b"vsplit-ledger-head-v1"
_END = b"vsplit-ledger-end-v2"
_END_OF_FORMAT_1 = b"vsplit-ledger-end-v1"
Sign = Callable[[bytes], bytes]
"""An Ed25519 signature, 64 bytes, with this party's private key."""


@dataclass(frozen=True, slots=True)
class SessionBinding:
    """What every signature is bound to: the job's digest (32 bytes), the session (16 bytes), and the parties' identities.

    `identities` has the public key, 32 raw bytes, of every party by name; `format` is that of the session's record.
    """

    job: bytes
    session: bytes
    identities: Mapping[str, bytes]
    format: int = FORMAT

    def pair_key(self, label_party: str, feature_party: str, label_half: bytes, feature_half: bytes) -> bytes:
        """32 bytes that only the two parties have, in this session only."""
        ids = self.identities[label_party], self.identities[feature_party]
        info = _joined(_KEY, self.job, self.session, *ids)
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(label_half + feature_half)

    def statement(self, signer: str, receiver: str, state: LedgerState, line: SignedLine | None) -> bytes:
        """What `signer` signs for `receiver`; `line` is the last one of the receiver's ledger, absent in format 1."""
        signed_line = () if line is None else (line.lines.to_bytes(8, "big"), line.head, bytes([line.final]))
        return _joined(
            _HEAD_OF_FORMAT_1 if line is None else _HEAD,
            self.job,
            self.session,
            signer.encode(),
            receiver.encode(),
            self.identities[signer],
            self.identities[receiver],
            state.lines.to_bytes(8, "big"),
            state.head,
            state.sent.to_bytes(8, "big"),
            state.sent_stream,
            state.received.to_bytes(8, "big"),
            state.received_stream,
            *signed_line,
        )

    def end_statement(self, party: str, word: str, position: Position) -> bytes:
        """What `party` signs where its session ends, with the position of that line. In format 1 the time was left out."""
        line, before = position["line"].to_bytes(8, "big"), bytes.fromhex(position["before"])
        label, when = (_END, (position["time"].isoformat().encode(),)) if self.format > 1 else (_END_OF_FORMAT_1, ())
        return _joined(label, self.job, self.session, party.encode(), word.encode(), line, before, *when)

    def is_signed(self, by: str, statement: bytes, signature: bytes) -> bool:
        """Whether `signature` is that of the party `by` over `statement`; all of it may come from a file that was changed."""
        return is_signed(self.identities.get(by, b""), statement, signature)


def public_keys(identities: Mapping[str, str]) -> dict[str, bytes]:
    """The public keys of identity lines, by party. Raises ConfigError where one of them is not valid."""
    return {name: PublicIdentity.parse(line).key for name, line in identities.items()}


def is_signed(key: bytes, statement: bytes, signature: bytes) -> bool:
    """Whether `signature` is one over `statement` by the public key `key`; all of it may be anything."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, statement)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Signer:
    """The party `me` with its private key's `sign`, in one session."""

    me: str
    binding: SessionBinding
    sign: Sign = field(repr=False)

    def head(self, receiver: str, state: LedgerState, line: SignedLine) -> LedgerHead:
        """The state of this party's ledger, signed for `receiver` together with the last line that it reported."""
        return LedgerHead(
            lines=state.lines,
            head=to_array(state.head),
            sent=state.sent,
            sent_stream=to_array(state.sent_stream),
            received=state.received,
            received_stream=to_array(state.received_stream),
            peer_lines=line.lines,
            peer_head=to_array(line.head),
            final=line.final,
            signature=to_array(self.sign(self.binding.statement(self.me, receiver, state, line))),
        )

    def check(self, sender: str, head: LedgerHead, mine: LedgerState, *, final: bool) -> None:
        """Raise ProtocolError unless `sender` has signed the record that this party has, and its last line."""
        theirs, statement = head.state, self.binding.statement(sender, self.me, head.state, head.signed_line)
        if not self.binding.is_signed(sender, statement, head.signature.tobytes()):
            raise ProtocolError(
                sender,
                f"{sender} sent the head of its ledger without its own signature for this job and session; its program is "
                "another version or does not follow the protocol.",
            )
        if not mine.agrees_with(theirs):
            raise ProtocolError(
                sender,
                f"{sender} has another record of what it and {self.me} exchanged in this session: there {theirs.sent:,} "
                f"messages left and {theirs.received:,} came, here {mine.received:,} came and {mine.sent:,} left, and if the "
                "numbers are equal, contents are not. Keep both ledgers, and compare them: "
                f"{quoted_command('ledger', 'verify', f'LEDGER_OF_{self.me}', f'LEDGER_OF_{sender}')}.",
            )
        if head.signed_line != SignedLine(mine.lines, mine.head, final):
            raise ProtocolError(
                sender,
                f"{sender} signed for another line of the ledger of {self.me} than the last one, line {mine.lines:,}, or for "
                "another moment of the run; its program does not follow the protocol, so ask there.",
            )


def _joined(*parts: bytes) -> bytes:
    """The parts one after another, each with its length before it, so that no two lists of parts look alike."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
