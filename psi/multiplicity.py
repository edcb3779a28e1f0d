"""Many rows for one person at the label party, one at a feature party: SPEC.md, "Many rows for one person".

After an alignment each party knows the persons that all parties have, in the common order. The parties still have to agree on
the number of rows of each person and on their order. The label party sends the numbers and does not send the order; then every
party repeats each person as often, and has the same rows in the same order.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt

from psi.contract import Keys
from psi.messages import CHUNK, Outflow, chunks
from vsplit.protocol import HEAD, Array, Message, Note, ProtocolError, Role, receive, send

Rows = npt.NDArray[np.int64]

MOST_ROWS_OF_ONE = 2**32 - 1
"""Most rows of one person, since their number is sent in 32 bits."""

STAGE = "counting the rows of each record"

_WIDTH = 4  # bytes of one number
_ORDER_TAG = b"vsplit-psi-rows-of-one-record"


class RowCounts(Message, frozen=True, kw_only=True, eq=False):
    """A chunk of the numbers of rows that the label party has of each matched record, in the common order."""

    reveals: ClassVar[str] = (
        "for each of the receiver's records that all parties hold, how many rows (visits, transactions) the sender has of it"
    )

    counts: Annotated[npt.NDArray[np.uint32], Array("uint32", (None,))]

    def check(self) -> None:
        """Raise ValueError unless the chunk has a size that a chunk can have, and each record a row."""
        if not 1 <= len(self.counts) <= CHUNK:
            raise ValueError(f"a chunk has 1 to {CHUNK:,} records")
        if not self.counts.min():
            raise ValueError("a matched record has one row or more")


def matched_rows(keys: Keys, positions: Rows, order_secret: bytes) -> tuple[Rows, Rows]:
    """The label party's rows of the matched records, and how many there are of each.

    `positions`, int64 [matched], are the records in the common order, as positions in `keys.keys`. Returns the row
    numbers, int64 [rows], one record after another, and the counts, int64 [matched]. The rows of one record are in an
    order drawn from `order_secret`, which reveals nothing about the file: a file is often sorted by date, and a record's
    later rows are often the ones with the outcome.
    """
    counts = keys.starts[positions + 1] - keys.starts[positions]
    record = np.repeat(np.arange(len(positions)), counts)
    within = np.arange(len(record)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows: Rows = keys.rows[keys.starts[positions][record] + within]
    return rows[np.lexsort((_ranks(order_secret, len(rows)), record))], counts


def send_row_counts(feature_parties: Sequence[str], counts: Rows) -> Role[None]:
    """Send each feature party the number of rows that this party has of each matched record: `counts`, int64 [matched].

    Learns: nothing.
    Reveals: to each feature party, for each of its own matched records, how many rows this party has of it.
    Assumes: an alignment with all of them has ended, and `counts` are in its order.
    """
    if not len(counts) or counts.min() < 1 or counts.max() > MOST_ROWS_OF_ONE:
        raise ValueError("each matched record has between 1 and 2^32 - 1 rows, and there is one record or more")
    for first in range(0, len(counts), CHUNK):
        chunk = counts[first : first + CHUNK].astype(np.uint32)
        for party in feature_parties:
            yield from send(party, RowCounts(counts=chunk))
        yield Note(STAGE, first + len(chunk), len(counts))


def receive_row_counts(label_party: str, matched: int, most_rows: int) -> Role[Rows]:
    """How many rows the label party has of each of the `matched` records, int64 [matched], in the common order.

    Learns: only this.
    Reveals: nothing.
    Assumes: the numbers are right; a wrong number joins rows that do not belong together.

    `most_rows` is the most rows in all that this party accepts, since its memory and its work grow with them. Raises
    ProtocolError for more, and for numbers that do not fit the match.
    """
    counts = np.empty(matched, dtype=np.int64)
    total = 0
    for first in range(0, matched, CHUNK):
        chunk = (yield from receive(label_party, RowCounts, CHUNK * _WIDTH + HEAD)).counts
        due = min(CHUNK, matched - first)
        if len(chunk) != due:
            raise _refused(
                label_party, f"the numbers of rows of {len(chunk):,} records where those of {due:,} were due"
            )
        counts[first : first + due] = chunk
        total += int(chunk.sum(dtype=np.int64))
        if total > most_rows:
            raise ProtocolError(
                label_party,
                f"{label_party} has {total:,} rows or more of the {matched:,} records in common, more than the "
                f"{most_rows:,} that this party accepts; ask that side to bring fewer, or raise accept.max_records.",
            )
        yield Note(STAGE, first + due, matched)
    return counts


def expected_row_counts(feature_parties: Sequence[str], matched: int) -> list[Outflow]:
    """What the label party sends when `matched` records are in common."""
    size = matched * _WIDTH
    return [Outflow(RowCounts.__name__, to, chunks(matched), size, RowCounts.reveals) for to in feature_parties]


def _ranks(order_secret: bytes, rows: int) -> npt.NDArray[np.uint64]:
    """A pseudorandom number for each row, uint64 [rows], under a key derived from the order secret."""
    key = hmac.digest(order_secret, _ORDER_TAG, "sha512")
    return np.frombuffer(hashlib.shake_256(key).digest(8 * rows), dtype="<u8")


def _refused(label_party: str, what: str) -> ProtocolError:
    return ProtocolError(
        label_party,
        f"{label_party} sent {what}; its program is another version or does not follow the protocol, so ask that side.",
    )
