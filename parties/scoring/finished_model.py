"""The model of a finished run at one party, as its run folder has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from parties.config.job import Job
from parties.config.local_model import LocalModel
from parties.config.party_names import PartyNames
from parties.local.plain_file import read_plain
from parties.run.model_store import ModelPart, load_part
from parties.run.preparation import plan_of
from parties.run.run_folder import FINISHED
from vsplit.learn import runtime
from vsplit.learn.plan import Plan
from vsplit.learn.scoring import LabelPart, output_target
from vsplit.learn.training import Target
from vsplit.protocol import ConfigError

_MOST = 1 << 26  # bytes of run.json


@dataclass(frozen=True, slots=True, eq=False)
class FinishedModel:
    """This party's part of a trained model, on its device. `run` is the name of the run, 16 bytes."""

    folder: Path
    run: bytes
    part: ModelPart
    plan: Plan
    device: str

    @property
    def classes(self) -> list[str]:
        """The classes in the order of their codes; empty in a regression, and at a feature party."""
        top = self.part.description["top"]
        return [] if top is None else list(top["classes"])

    @property
    def has_fallback(self) -> bool:
        """Whether the label party's own model is stored."""
        return self.part.description.get("alone") is not None

    @property
    def rate(self) -> npt.NDArray[np.float64] | None:
        """What a label party without features predicts alone for every record; None: it has a model of its own."""
        rate = (self.part.description.get("alone") or {}).get("rate")
        return None if rate is None else np.asarray(rate, np.float64)

    def joint(self) -> LabelPart:
        """The label party's part of the joint model."""
        return LabelPart(self.part.bottom, self.part.top, self._target(), self.device)

    def alone(self) -> LabelPart:
        """The label party's own model."""
        return LabelPart(self.part.alone_bottom, self.part.alone_top, self._target(), self.device)

    def _target(self) -> Target:
        top = self.part.description["top"]
        return output_target(top["task"], len(top["classes"]) or 2, top["centre"], top["scale"])


def load_finished(folder: Path, names: PartyNames, job: Job, model: LocalModel) -> FinishedModel:
    """The model of the finished run in `folder`. Raises ConfigError where there is none, or it is of another job or party."""
    run = _run_in(folder, names.me)
    runtime.configure(model.threads, model.device)
    part = load_part(folder, model.code_folder)
    found = part.description
    own = found["bottom"] is not None
    plan = plan_of(job, names.is_label and own)
    expected = {"job": job.job, "party": names.me, "role": names.role, "embedding": plan.width}
    for key, value in expected.items():
        if found.get(key) != value:
            raise _another(folder, key, found.get(key), value)
    if names.is_label:
        _check_top(folder, found["top"], plan)
    for module in (part.bottom, part.top, part.alone_bottom, part.alone_top):
        if module is not None:
            module.to(model.device)
    return FinishedModel(folder, run, part, plan, model.device)


def _run_in(folder: Path, me: str) -> bytes:
    try:
        content = msgspec.json.decode(read_plain(folder / FINISHED, _MOST), type=dict[str, Any])
        run = bytes.fromhex(str(content.get("run", "")))
    except (OSError, msgspec.MsgspecError, ValueError):
        run = b""
    if len(run) != 16:
        raise ConfigError(
            f"{folder} has no finished run ({FINISHED} is missing or damaged), so there is no model to score with. Name the "
            "folder of one with --run, or train a model first."
        )
    if content.get("party") != me:
        raise ConfigError(f"{folder} has a run of another party than {me}; name this party's run folder with --run.")
    return run


def _check_top(folder: Path, top: Any, plan: Plan) -> None:
    for key, value in (
        ("task", plan.task),
        ("aggregate", plan.aggregate),
        ("contributors", list(plan.contributors)),
        ("hidden", list(plan.top_hidden)),
    ):
        if top is None or top[key] != value:
            raise _another(folder, f"top.{key}", None if top is None else top[key], value)


def _another(folder: Path, key: str, found: object, expected: object) -> ConfigError:
    return ConfigError(
        f"The model in {folder} is of another job than that of the party file: {key} in its model.json is {found}, and the job "
        f"has {expected}. Use the job file of that run (job.yaml in its folder), or name another run with --run."
    )
