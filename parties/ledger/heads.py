"""The roles in which parties agree on keys for their ledgers' digests, and sign for each other what is recorded.

SPEC.md, section 8. Roles without I/O: entropy is passed in, and so is the state of this party's ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from parties.ledger.ledger_state import LedgerState, SignedLine
from parties.ledger.messages import SALT, LedgerHead, LedgerLastLine, LedgerSalt, to_array
from parties.ledger.signing import Signer
from vsplit.protocol import ProtocolError, Role, Send, receive

_LIMIT = 1024
RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class HeadPair:
    """The two heads of one exchange: the one that this party signed, and the other party's."""

    own: LedgerHead
    theirs: LedgerHead


def agree_on_key_label(
    feature_parties: Sequence[str], random_bytes: RandomBytes
) -> Role[dict[str, tuple[bytes, bytes]]]:
    """The label party's side: for each feature party this party's half of the key and the other half, 32 bytes each.

    Learns and reveals: random bytes. Assumes: `random_bytes(n)` returns n bytes that no other party can know.
    """
    theirs = {}
    for party in feature_parties:
        theirs[party] = (yield from receive(party, LedgerSalt, _LIMIT)).half.tobytes()
    halves = {}
    for party in feature_parties:
        own = random_bytes(SALT)
        yield Send(party, LedgerSalt(half=to_array(own)))
        halves[party] = own, theirs[party]
    return halves


def agree_on_key_feature(label_party: str, random_bytes: RandomBytes) -> Role[tuple[bytes, bytes]]:
    """A feature party's side: the label party's half of the key, and this party's. As `agree_on_key_label`."""
    own = random_bytes(SALT)
    yield Send(label_party, LedgerSalt(half=to_array(own)))
    theirs = yield from receive(label_party, LedgerSalt, _LIMIT)
    return theirs.half.tobytes(), own


def exchange_heads_label(
    signer: Signer, states: Mapping[str, LedgerState], feature_parties: Sequence[str], *, final: bool = False
) -> Role[dict[str, HeadPair]]:
    """The label party's side, when no message is in flight; `states` are those of its ledger with each feature party.

    `final`: the training has ended. Learns: how many lines each ledger has. Reveals: the same of its own. Assumes: no party
    has another one's private key. Raises ProtocolError where a feature party has signed another record, or has not signed.
    """
    last, own, theirs = {}, {}, {}
    for party in feature_parties:
        last[party] = yield from receive(party, LedgerLastLine, _LIMIT)
    for party in feature_parties:
        signed_line = SignedLine(last[party].lines, last[party].head.tobytes(), final)
        own[party] = signer.head(party, states[party], signed_line)
        yield Send(party, own[party])
    for party in feature_parties:
        theirs[party] = yield from receive(party, LedgerHead, _LIMIT)
        signer.check(party, theirs[party], states[party], final=final)
        if (theirs[party].lines, theirs[party].head.tobytes()) != (
            own[party].peer_lines,
            own[party].peer_head.tobytes(),
        ):
            raise ProtocolError(
                party,
                f"{party} signed for another last line of its ledger than it had reported just before; its program does not "
                "follow the protocol, so ask there.",
            )
    return {party: HeadPair(own[party], theirs[party]) for party in feature_parties}


def exchange_heads_feature(
    signer: Signer, state: LedgerState, label_party: str, *, final: bool = False
) -> Role[HeadPair]:
    """A feature party's side. As `exchange_heads_label`."""
    yield Send(label_party, LedgerLastLine(lines=state.lines, head=to_array(state.head)))
    theirs = yield from receive(label_party, LedgerHead, _LIMIT)
    signer.check(label_party, theirs, state, final=final)
    own = signer.head(label_party, state, SignedLine(theirs.lines, theirs.head.tobytes(), final))
    yield Send(label_party, own)
    return HeadPair(own, theirs)
