"""The roles in which parties agree on keys for their ledgers' digests, and sign for each other what is recorded.

SPEC.md, section 8. Roles without I/O: entropy is passed in, and so is the state of this party's ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from parties.ledger.ledger_state import Pin, Standing
from parties.ledger.messages import SALT, LedgerHead, LedgerLastLine, LedgerSalt, to_array
from parties.ledger.signing import Signer
from vsplit.protocol import ProtocolError, Role, Send, receive

_LIMIT = 1024
RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The two heads of one exchange: this party's own, and the one that the other signed."""

    own: LedgerHead
    theirs: LedgerHead


def agree_as_label(feature_parties: Sequence[str], random_bytes: RandomBytes) -> Role[dict[str, tuple[bytes, bytes]]]:
    """The label party's side: for each feature party the own half of the key and that party's half, 32 bytes each.

    Learns and reveals: random bytes. Assumes: `random_bytes(n)` returns n bytes that nobody else can know.
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


def agree_as_feature(label_party: str, random_bytes: RandomBytes) -> Role[tuple[bytes, bytes]]:
    """A feature party's side: the label party's half of the key, and the own half. As `agree_as_label`."""
    own = random_bytes(SALT)
    yield Send(label_party, LedgerSalt(half=to_array(own)))
    theirs = yield from receive(label_party, LedgerSalt, _LIMIT)
    return theirs.half.tobytes(), own


def exchange_heads_label(
    signer: Signer, standings: Mapping[str, Standing], feature_parties: Sequence[str], *, final: bool = False
) -> Role[dict[str, Exchanged]]:
    """The label party's side, when nothing is under way; `standings` are where its ledger is with each feature party.

    `final`: the training has ended. Learns: how many lines each ledger has. Reveals: the same of its own. Assumes: private
    keys are their owners' alone. Raises ProtocolError where a feature party has signed another story, or has not signed.
    """
    last, own, theirs = {}, {}, {}
    for party in feature_parties:
        last[party] = yield from receive(party, LedgerLastLine, _LIMIT)
    for party in feature_parties:
        pin = Pin(last[party].lines, last[party].head.tobytes(), final)
        own[party] = signer.head(party, standings[party], pin)
        yield Send(party, own[party])
    for party in feature_parties:
        theirs[party] = yield from receive(party, LedgerHead, _LIMIT)
        signer.check(party, theirs[party], standings[party], final=final)
        if (theirs[party].lines, theirs[party].head.tobytes()) != (
            own[party].peer_lines,
            own[party].peer_head.tobytes(),
        ):
            raise ProtocolError(
                party,
                f"{party} signed for another last line of its ledger than it had told just before; its program does not follow "
                "the protocol, so ask there.",
            )
    return {party: Exchanged(own[party], theirs[party]) for party in feature_parties}


def exchange_heads_feature(
    signer: Signer, standing: Standing, label_party: str, *, final: bool = False
) -> Role[Exchanged]:
    """A feature party's side. As `exchange_heads_label`."""
    yield Send(label_party, LedgerLastLine(lines=standing.lines, head=to_array(standing.head)))
    theirs = yield from receive(label_party, LedgerHead, _LIMIT)
    signer.check(label_party, theirs, standing, final=final)
    own = signer.head(label_party, standing, Pin(theirs.lines, theirs.head.tobytes(), final))
    yield Send(label_party, own)
    return Exchanged(own, theirs)
