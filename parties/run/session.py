"""A session: one connection of all parties, over which roles run and whose messages are recorded in the ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from parties.config.party_names import PartyNames
from parties.ledger.exchange import agree_keys, exchange_heads
from parties.ledger.merging import RunLedger
from parties.ledger.record import FINISHED
from parties.network.driver import drive
from parties.network.stop_reasons import reason_code
from parties.network.tls import TlsTransport
from parties.network.worker_pool import Pool
from parties.run.context import RunContext
from vsplit.protocol import Checkpoint, ProtocolError, Role, VsplitError

R = TypeVar("R")


class Session:
    """A session of this party over `transport`."""

    def __init__(
        self, transport: TlsTransport, names: PartyNames, ledger: RunLedger, pool: Pool, context: RunContext
    ) -> None:
        self.transport = transport
        self._names = names
        self._ledger = ledger
        self._pool = pool
        self._context = context
        context.session = transport.session.hex()

    @property
    def name(self) -> bytes:
        """The name of the session, which the label party drew."""
        return self.transport.session

    def run(self, role: Role[R], checkpoint: Callable[[Checkpoint], None] = lambda _checkpoint: None) -> R:
        """Run a role to its end; `checkpoint` stores the states that it hands out."""
        monitor = self._context.monitor
        return drive(
            role,
            self.transport,
            self._pool,
            traffic=monitor.traffic,
            ledger=self._ledger,
            note=self._context.note,
            checkpoint=checkpoint,
            waited=monitor.waited,
        )

    def begin_record(self) -> None:
        """Record in the ledger that the session begins. Raises ProtocolError where an earlier one had the same name."""
        label_party = self._names.label_party
        if self._ledger.has_session(self.name):
            raise ProtocolError(
                label_party,
                f"{label_party} gave this session the name of an earlier one; its program is another version or does not "
                "follow the protocol, so ask there.",
            )
        self._ledger.begin_session(self.name)
        self.transport.add_observer(self._ledger)

    def agree_on_ledger_keys(self) -> None:
        """Agree on the keys for the digests of all further messages."""
        agree_keys(self._ledger, self._names, self.run)

    def sign(self, *, final: bool = False) -> None:
        """Exchange signatures over all that is recorded; `final` after the training.

        All parties call it at the same point, when no message is in flight.
        """
        exchange_heads(self._ledger, self._names, self.run, final=final)

    @contextlib.contextmanager
    def stopping(self) -> Iterator[None]:
        """Send the other parties a reason code for any error inside, and end the ledger's session with it."""
        try:
            yield
        except BaseException as error:
            reason = reason_code(error)
            self.transport.stop(reason)
            with contextlib.suppress(VsplitError):  # where the ledger cannot be written, `error` says so
                self._ledger.end_session(reason)
            raise

    def close(self) -> None:
        """Close the session, since nothing more is to be sent."""
        self._context.closing_errors = self.transport.finish()
        self._context.monitor.disconnected()
        self._ledger.end_session(FINISHED)
