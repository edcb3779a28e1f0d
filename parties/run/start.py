"""Agrees with the other parties on where a run starts: at a new alignment, or at a state that all parties have."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from parties.checkpoints.folder import CheckpointFolder
from parties.checkpoints.local_state import LocalState
from parties.checkpoints.resuming import agree_on_start_feature, agree_on_start_label
from parties.checkpoints.start_decision import Start
from parties.checkpoints.start_messages import RUN
from parties.config.party_names import PartyNames
from vsplit.protocol import Role


def local_state(checkpoints: CheckpointFolder, finished: str, *, restart: bool) -> LocalState:
    """What this party has of a run; `finished` names the run whose results are in the run folder (empty: none)."""
    if restart:
        return LocalState(restart=True)
    local = replace(checkpoints.read_state(finished), finished=bytes.fromhex(finished))
    if local.run and local.run == local.finished and not local.finished_by_all:
        # This party needs nothing more. It offers its files to the other parties, which may start a new run all the same.
        return replace(local, agreed=False)
    return local


def agree_on_start(names: PartyNames, local: LocalState, run: Callable[[Role[Any]], Any]) -> Start:
    """Agree on the start. Raises MismatchError and ProtocolError as the roles of `parties.checkpoints.resuming` do."""
    start: Start
    if names.is_label:
        start = run(agree_on_start_label(names.me, names.feature_parties, local, os.urandom(RUN)))
    else:
        start = run(agree_on_start_feature(names.me, names.label_party, names.all, local))
    return start
