"""One party's part in `vsplit overlap`: how many records the parties share. No party learns which.

It comes before any contract: it reads the key columns alone, uses nothing that the job says about learning, and writes
nothing but the count of runs (`parties.run.quotas`). Neither torch nor scikit-learn is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from parties.config.data_source import DataSource
from parties.config.fields import PartyRole
from parties.config.job import Align
from parties.config.party import Party
from parties.config.party_names import PartyNames
from parties.config.quota_settings import QuotaSettings
from parties.data.table import read_key_columns
from parties.monitoring.events import READING, Finished, Show, Step, step_of
from parties.monitoring.monitor import Monitor, monitoring
from parties.network.driver import Traffic, drive
from parties.network.identity import PrivateIdentity
from parties.network.stop_reasons import reason_code
from parties.network.worker_pool import Pool, cores
from parties.run.connection import connect
from parties.run.contact import Contact, contact_of
from parties.run.failure_notice import FirstContact, end_earlier_start, notifying_others
from parties.run.handshake import exchange_handshakes
from parties.run.limits import limits_of
from parties.run.mismatch_hints import find_causes
from parties.run.quotas import count_run
from parties.run.seals import Run, agree_on_seals
from psi import KeyReport, Keys, Limits, Overlap, overlap_feature, overlap_label, read_keys
from psi.keys import KeyList
from vsplit.kernels import engine
from vsplit.protocol import Role, VsplitError
from vsplit.sealing import Seal

if TYPE_CHECKING:
    import pandas as pd

R = TypeVar("R")


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What a party knows at the end of an overlap.

    `where` is its source in words and `report` how good its keys are; `causes` say why so few records may match, where
    few do; `traffic` is what crossed; `closing_errors` are the links that failed while the session was closed.
    """

    party: Party
    where: str
    report: KeyReport
    result: Overlap
    causes: list[str]
    traffic: Traffic
    closing_errors: list[VsplitError]


def find_overlap(party: Party, identity: PrivateIdentity, show: Show) -> Counted:
    """Run one party's part of an overlap. Raises VsplitError."""
    contact = contact_of(party, identity)
    end_earlier_start(contact)
    with notifying_others(lambda: contact, show) as first, monitoring(party, show) as monitor:
        counted = _find(party, contact, monitor, first)
        monitor.logbook.show(Finished([]))
        return counted


def _find(party: Party, contact: Contact, monitor: Monitor, first: FirstContact) -> Counted:
    job, names = party.job, PartyNames.of(party.job, party.name)
    engine.check_demand()
    monitor.show(Step(READING))
    where, _, keys = read_own_keys(DataSource.of(party), job.align, names.role)
    limits = limits_of(party.settings.accept, len(keys.keys))
    limits.check_own(len(keys.keys))
    with Pool(cores()) as pool:
        transport = connect(contact, party.settings.wait, monitor, first)

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
            exchange_handshakes(names, job, "overlap", run)
            count_run(QuotaSettings.of(party), "overlap", datetime.now(UTC))
            seals = agree_on_seals(names, job, contact.identity, "overlap", transport.session, run)
            result = _count_common(names, keys.keys, seals, limits, run)
            causes = find_causes(names, job.align, keys.keys, keys.report, result, run)
        except BaseException as error:
            transport.stop(reason_code(error))
            raise
        return Counted(party, where, keys.report, result, causes, monitor.traffic, transport.finish())


def _count_common(names: PartyNames, keys: KeyList, seals: Mapping[str, Seal], limits: Limits, run: Run) -> Overlap:
    """Count how many of `keys` all parties have, without learning which."""
    role: Role[Overlap]
    if names.is_label:
        role = overlap_label(names.me, names.feature_parties, keys, random_bytes=os.urandom, limits=limits)
    else:
        role = overlap_feature(
            names.me,
            names.label_party,
            names.feature_parties,
            keys,
            seals=seals,
            random_bytes=os.urandom,
            limits=limits,
        )
    result: Overlap = run(role)
    return result


def read_own_keys(source: DataSource, align: Align, role: PartyRole) -> tuple[str, pd.DataFrame, Keys]:
    """The source in words, its key columns, and the usable keys, whether or not their rows have a label.

    Raises what `read_key_columns` and `psi.read_keys` do.
    """
    where, columns = read_key_columns(source)
    keys = read_keys([columns[column] for column in columns], normalise=align.steps, repeated=align.repeated_at(role))
    return where, columns, keys
