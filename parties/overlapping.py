"""The life of a party in `vsplit overlap`: how many records do the parties share? Nobody learns which.

It comes before any contract: it reads the key columns alone, looks at nothing that the job says about learning, and leaves
nothing behind but the count of meetings (`parties.partners`). Neither torch nor scikit-learn is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from parties.aligning import count_common, limits_of
from parties.config.party import Party
from parties.data.table import read_key_columns
from parties.driver import Traffic, drive
from parties.events import READING, Finished, Show, Step, step_of
from parties.hints import find_causes
from parties.identity import PrivateIdentity
from parties.meeting import connect, join
from parties.network.transport import stop_word
from parties.pool import Pool, cores
from parties.telling import FirstContact, contact_of, give_way, others_told
from parties.watch.watching import Watch, watching
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
    give_way(contact)
    with others_told(lambda: contact, show) as first, watching(party, show) as watch:
        counted = _find(party, identity, watch, first)
        watch.logbook.show(Finished([]))
        return counted


def _find(party: Party, identity: PrivateIdentity, watch: Watch, first: FirstContact) -> Counted:
    engine.check_demand()
    watch.show(Step(READING))
    where, _, keys = read_own_keys(party)
    limits_of(party, len(keys.keys)).check_own(len(keys.keys))
    with Pool(cores()) as pool:
        transport = connect(party, identity, watch, first)

        def run(role: Role[R]) -> R:
            return drive(
                role,
                transport,
                pool,
                traffic=watch.traffic,
                note=lambda note: watch.show(step_of(note)),
                waited=watch.waited,
            )

        try:
            seals = join(party, identity, "overlap", transport.session, run)
            found = count_common(party, keys.keys, seals, run)
            causes = find_causes(party, keys.keys, keys.report, found, run)
        except BaseException as error:
            transport.stop(stop_word(error))
            raise
        return Counted(party, where, keys.report, found, causes, watch.traffic, transport.finish())


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
