"""The life of a party in `vsplit overlap`: how many records do the parties share? Nobody learns which.

It comes before any contract: it reads the key columns alone, looks at nothing that the job says about learning, and leaves
nothing behind but the count of meetings (`parties.run.quotas`). Neither torch nor scikit-learn is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from parties.config.party import Party
from parties.data.table import read_key_columns
from parties.monitoring.events import READING, Finished, Show, Step, step_of
from parties.monitoring.monitor import Monitor, monitoring
from parties.network.driver import Traffic, drive
from parties.network.identity import PrivateIdentity
from parties.network.stop_reasons import reason_code
from parties.network.worker_pool import Pool, cores
from parties.run.alignment import count_common, limits_of
from parties.run.connection import begin_session, connect
from parties.run.failure_notice import FirstContact, contact_of, end_earlier_start, notifying_others
from parties.run.mismatch_hints import find_causes
from psi import KeyReport, Keys, Overlap, read_keys
from vsplit.kernels import engine
from vsplit.protocol import Role, VsplitError

if TYPE_CHECKING:
    import pandas as pd

R = TypeVar("R")


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What a party knows at the end of an overlap.

    `where` is its source in words and `report` how good its keys are; `causes` say why so few records may match, where
    few do; `traffic` is what crossed; `farewell` is what went wrong when the parties took leave, after all was known.
    """

    party: Party
    where: str
    report: KeyReport
    found: Overlap
    causes: list[str]
    traffic: Traffic
    farewell: list[VsplitError]


def find_overlap(party: Party, identity: PrivateIdentity, show: Show) -> Counted:
    """Live one party's part of an overlap. Raises VsplitError."""
    contact = contact_of(party, identity)
    end_earlier_start(contact)
    with notifying_others(lambda: contact, show) as first, monitoring(party, show) as monitor:
        counted = _find(party, identity, monitor, first)
        monitor.logbook.show(Finished([]))
        return counted


def _find(party: Party, identity: PrivateIdentity, monitor: Monitor, first: FirstContact) -> Counted:
    engine.check_demand()
    monitor.show(Step(READING))
    where, _, keys = read_own_keys(party)
    limits_of(party, len(keys.keys)).check_own(len(keys.keys))
    with Pool(cores()) as pool:
        transport = connect(party, identity, monitor, first)

        def run(role: Role[R]) -> R:
            return drive(
                role,
                transport,
                pool,
                traffic=monitor.traffic,
                note=lambda note: monitor.show(step_of(note)),
                waited=monitor.waited,
            )

        try:
            seals = begin_session(party, identity, "overlap", transport.session, run)
            found = count_common(party, keys.keys, seals, run)
            causes = find_causes(party, keys.keys, keys.report, found, run)
        except BaseException as error:
            transport.stop(reason_code(error))
            raise
        return Counted(party, where, keys.report, found, causes, monitor.traffic, transport.finish())


def read_own_keys(party: Party) -> tuple[str, pd.DataFrame, Keys]:
    """The source in words, its key columns, and the usable keys, whether or not their rows have a label.

    Raises what `read_key_columns` and `psi.read_keys` do.
    """
    where, columns = read_key_columns(party)
    align = party.job.align
    keys = read_keys(
        [columns[column] for column in columns], normalise=align.steps, repeated=align.repeated_at(party.role)
    )
    return where, columns, keys
