"""Messages between two feature parties that the label party relays and can neither open nor change.

SPEC.md, section "Sealed hops", has the protocol and its security argument. First every two feature parties agree on keys for
one session (`exchange_keys` and `relay_key_exchange` are the two sides, as roles). Then `Seal` is one party's end of the
channel to another party, and `pass_on` is the relay. `Seal.export` derives further secrets that the two parties share.
"""

from vsplit.sealing.channel import KEY, TAG, Place, Seal, Sealed, pass_on
from vsplit.sealing.key_exchange import SIGNATURE, Credentials, FreshKeys, KeyProofs, exchange_keys, relay_key_exchange

__all__ = [
    "KEY",
    "SIGNATURE",
    "TAG",
    "Credentials",
    "FreshKeys",
    "KeyProofs",
    "Place",
    "Seal",
    "Sealed",
    "exchange_keys",
    "pass_on",
    "relay_key_exchange",
]
