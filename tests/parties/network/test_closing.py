"""A peer that keeps running and never closes the session does not keep a party's results from it."""

from __future__ import annotations

import threading
from typing import Any

from parties.network.identity import PrivateIdentity
from parties.network.peer_connections import PartyListener, dial
from parties.network.route import Address
from vsplit.protocol import PeerLost


def nobody_waits(_names: Any, _left: float) -> None:
    """Shows nothing."""


def test_closing_ends_after_the_wait_although_the_peer_still_sends_heartbeats() -> None:
    clinic, lab = PrivateIdentity.generate(), PrivateIdentity.generate()
    listener = PartyListener(clinic, Address("127.0.0.1", 0), {"lab": lab.public}, 1.0)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(listener.gather(nobody_waits)))
    thread.start()
    address = Address("127.0.0.1", listener.port)
    other = dial(lab, "clinic", clinic.public, address, wait=30.0, waiting=nobody_waits)
    thread.join(30)
    errors = found[0].finish()  # the lab's keeper thread sends heartbeats, and the lab never finishes
    assert [type(error) for error in errors] == [PeerLost]
    assert "did not close the session" in str(errors[0])
    other.stop("error")
