"""The label party as a relay that interferes with what feature parties seal for one another: each way ends the run."""

import numpy as np
import pytest

from vsplit.protocol import ProtocolError
from vsplit.sealing import Sealed

LABEL = "clinic"
KEYS = [b"own %d" % n for n in range(12)]


def changed(array, row, value):
    array = array.copy()
    array[row] = value
    return array


class Meddler:
    """The label party as a relay that changes what it passes on, from the sealed message `first` on."""

    def __init__(self, change, first=0):
        self.change, self.first, self.passed, self.asked = change, first, [], 0

    def __call__(self, sender, to, message):
        if sender != LABEL or type(message) is not Sealed:
            return [message]
        self.passed.append(message)
        if len(self.passed) <= self.first:
            return [message]
        return self.change(message, self.passed)


def flipped(message, _):
    return [Sealed(sequence=message.sequence, box=changed(message.box, 7, message.box[7] ^ 1))]


def renumbered(message, _):
    return [Sealed(sequence=message.sequence + 1, box=message.box)]


def another(message, passed):
    other = next((one for one in passed if one is not message), None)
    return [message if other is None else Sealed(sequence=message.sequence, box=other.box)]


def repeated(message, passed):
    return [message if len(passed) < 2 else passed[0]]


def zeroed(message, _):
    return [Sealed(sequence=message.sequence, box=np.zeros(40, np.uint8))]


@pytest.mark.parametrize("others", [2, 3])
@pytest.mark.parametrize(
    ("change", "first"),
    [(change, first) for change in (flipped, renumbered, zeroed) for first in range(5)]
    + [(change, first) for change in (another, repeated) for first in range(1, 5)],
)
def test_sealed_messages_that_the_relay_changes(align, change, first, others):
    with pytest.raises(ProtocolError, match=r"A sealed message of lab. that clinic passed on") as caught:
        align(*[KEYS] * (others + 1), tamper=Meddler(change, first))
    assert caught.value.peer == LABEL


def test_a_sealed_message_that_the_relay_leaves_out(align, monkeypatch):
    for module in ("messages", "exchange", "masking", "unshuffling"):
        monkeypatch.setattr(f"psi.{module}.CHUNK", 4)
    dropped = lambda message, passed: [] if len(passed) == 3 else [message]  # noqa: E731
    with pytest.raises(ProtocolError, match="is number 2 where number 1 was due: a message was left out"):
        align(*[KEYS] * 3, tamper=Meddler(dropped))


def test_two_sealed_messages_that_the_relay_swaps(align, monkeypatch):
    for module in ("messages", "exchange", "masking", "unshuffling"):
        monkeypatch.setattr(f"psi.{module}.CHUNK", 4)
    held = {}

    def swapped(message, passed):
        if len(passed) == 1:
            held["first"] = message
            return []
        return [message, held.pop("first")] if len(passed) == 3 else [message]

    with pytest.raises(ProtocolError, match=r"is number 1 where number 0 was due: a message was .* moved"):
        align(*[KEYS] * 3, tamper=Meddler(swapped))
