"""Loads all that a run begins with, and checks it before any other party is contacted."""

from __future__ import annotations

from parties.config.local_model import LocalModel
from parties.config.party import Party
from parties.data.party_data import PartyData, read_party_data
from parties.local.allocator import keep_freed_memory
from parties.monitoring.events import READING, Show, Step
from parties.run.common_order import order_secret
from parties.run.limits import limits_of
from parties.run.preparation import check_model
from parties.run.run_folder import RunFolder, check_output
from vsplit.kernels import engine


def load(party: Party, model: LocalModel, show: Show) -> tuple[PartyData, RunFolder, bytes]:
    """The party's data, its run folder, and the secret of the common order. Raises LocalError.

    A wrong device, package or bottom model is found here, before anything leaves.
    """
    keep_freed_memory()
    secret = order_secret(party.order, party.file)
    show(Step(READING))
    check_output(party)
    engine.check_demand()
    folder = RunFolder(party.output)
    folder.collect_configs(party.job_file, party.file)
    party_data = read_party_data(party)
    own = len(party_data.keys.keys)
    limits_of(party.settings.accept, own).check_own(own)
    check_model(party_data, model, party.job.model)
    return party_data, folder, secret
