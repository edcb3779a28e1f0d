"""Many small whole numbers in one plaintext, side by side, so that one addition of ciphertexts adds them all.

SPEC.md, section 3, has the layout. Every plaintext has a tally besides its slots: each party adds one to it, so that a summand
which was left out or added twice is detected when the sum is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vsplit.paillier.fixed_point import FixedPoint, Units
from vsplit.paillier.keys import check_bits
from vsplit.protocol import Bytes, ConfigError, ProtocolError

GUARD = 1
"""Bits above those that a sum needs in its slot; they are zero in every sum."""


@dataclass(frozen=True, slots=True)
class Packing:
    """The layout of plaintexts for values written as `fixed`, under a key of `key_bits` bits.

    From the lowest bit on: `slots` slots of `width` bits, then `tally` bits that count the summands, then zeros. A sum
    over all parties stays below 2^(key_bits - 1), and so below the modulus. Raises ConfigError for a length of key that
    is not allowed.
    """

    fixed: FixedPoint
    key_bits: int

    def __post_init__(self) -> None:
        check_bits(self.key_bits)
        # Every slot has room for the largest sum and the guard; with the allowed lengths this always holds.
        if self.fixed.parties * self.fixed.most >= 1 << self.width - GUARD or self.width > 32 or self.slots < 1:
            raise ConfigError(
                f"model.secure_sum: values of {self.fixed.bits} bits from {self.fixed.parties} parties do not fit into a "
                f"key of {self.key_bits} bits; lower bits or raise key_bits."
            )

    @property
    def width(self) -> int:
        """Bits of a slot: those of a value, ceil(log2(parties)) for the sum, and the guard."""
        return self.fixed.bits + (self.fixed.parties - 1).bit_length() + GUARD

    @property
    def tally(self) -> int:
        """Bits of the count of summands."""
        return self.fixed.parties.bit_length()

    @property
    def slots(self) -> int:
        """Values in one plaintext."""
        return (self.key_bits - 1 - self.tally) // self.width

    @property
    def plaintext_bytes(self) -> int:
        """Bytes of one plaintext; a ciphertext has twice as many."""
        return self.key_bits // 8

    def plaintexts(self, count: int) -> int:
        """How many plaintexts `count` values take."""
        return -(-count // self.slots)

    def pack(self, units: Units) -> Bytes:
        """One party's plaintexts, uint8 [plaintexts, plaintext_bytes], least significant byte first.

        `units` is int64 [count], each from 0 to `fixed.most`; slots that are left over stay zero.
        """
        if ((units < 0) | (units > self.fixed.most)).any():
            raise ValueError("a unit does not fit its slot")
        rows = self.plaintexts(len(units))
        padded = np.zeros(rows * self.slots, dtype="<u4")
        padded[: len(units)] = units
        bits = np.zeros((rows, 8 * self.plaintext_bytes), dtype=np.uint8)
        in_slots = np.unpackbits(padded.view(np.uint8).reshape(-1, 4), axis=1, count=self.width, bitorder="little")
        bits[:, : self.slots * self.width] = in_slots.reshape(rows, -1)
        bits[:, self.slots * self.width] = 1  # this party's one, at the lowest bit of the tally
        return np.packbits(bits, axis=1, bitorder="little")

    def unpack(self, plaintexts: Bytes, count: int, sender: str) -> Units:
        """The sums of all parties' units, int64 [count], from the decrypted total.

        Raises ProtocolError, which names `sender`, unless there are as many plaintexts as `count` values take, every tally
        is the number of parties, every slot holds a sum that is possible, and slots left over and all other bits are zero.
        """
        rows = self.plaintexts(count)
        if plaintexts.shape != (rows, self.plaintext_bytes):
            raise _impossible(sender, f"has {len(plaintexts):,} ciphertexts where {rows:,} were due")
        bits = np.unpackbits(plaintexts, axis=1, bitorder="little")
        end = self.slots * self.width
        wanted = np.zeros(bits.shape[1] - end, dtype=np.uint8)
        wanted[: self.tally] = [self.fixed.parties >> place & 1 for place in range(self.tally)]
        if (bits[:, end:] != wanted).any():
            raise _impossible(sender, f"does not have exactly one summand of each of the {self.fixed.parties} parties")
        spread = np.zeros((rows * self.slots, 32), dtype=np.uint8)
        spread[:, : self.width] = bits[:, :end].reshape(-1, self.width)
        totals = np.packbits(spread, axis=1, bitorder="little").view("<u4").reshape(-1).astype(np.int64)
        if (totals > self.fixed.parties * self.fixed.most).any() or totals[count:].any():
            raise _impossible(sender, "overflows a slot, or has a value in a slot that is not used")
        return totals[:count]


def _impossible(sender: str, what: str) -> ProtocolError:
    return ProtocolError(
        sender,
        f"The encrypted sum that {sender} sent {what}: a party's program is another version, or a summand was lost, counted "
        "twice or changed in transit. Nothing was trained on it; ask all sides.",
    )
