"""A party's part of the model on disk: weights as safetensors, and beside them all that is needed to use them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from parties.config.party_file import Bottom
from parties.config.party_names import PartyNames
from parties.data.labels import Labels
from parties.data.prepare import Preparation
from parties.local.plain_file import read_plain
from parties.run.own_module import builder_at
from parties.run.preparation import Inputs, PreparedTraining
from parties.run.run_folder import RunFolder
from parties.run.training import AloneModel
from vsplit.learn.label import LabelState
from vsplit.learn.models import InputShape, build_bottom, build_top, load_weights, tabular, weights
from vsplit.learn.plan import Plan
from vsplit.protocol import ConfigError

FORMAT = 1
"""The format of model.json. A new optional key does not change it; any other change does, and format 1 is then still read."""
DESCRIPTION, BOTTOM, TOP = "model.json", "bottom.safetensors", "top.safetensors"
ALONE_BOTTOM, ALONE_TOP = "alone_bottom.safetensors", "alone_top.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class ModelPart:
    """A party's part, ready to use: `description` is model.json, `bottom` a torch module (None without features).

    `alone_bottom` and `alone_top` are the label party's own model; None without features of its own, in a run of an earlier
    version, and where there was nothing to compare with.
    """

    description: dict[str, Any]
    preparation: Preparation | None
    bottom: Any
    top: Any
    alone_bottom: Any = None
    alone_top: Any = None


def save_part(
    folder: RunFolder,
    names: PartyNames,
    job: str,
    settings: Bottom,
    labels: Labels | None,
    trained: PreparedTraining,
    alone: AloneModel | None = None,
) -> None:
    """Write model.json, bottom.safetensors and, at the label party, top.safetensors and its own model, `alone`.

    `job` is the job's name.
    """
    description: dict[str, Any] = {
        "format": FORMAT,
        "job": job,
        "party": names.me,
        "role": names.role,
        "embedding": trained.plan.width,
        "bottom": _describe_bottom(settings, trained.inputs),
        "top": _describe_top(labels, trained),
        "alone": None if alone is None else {"rate": None if alone.rate is None else alone.rate.tolist()},
    }
    if trained.state.bottom is not None:
        folder.write(BOTTOM, weights(trained.state.bottom))
    if isinstance(trained.state, LabelState):
        folder.write(TOP, weights(trained.state.top))
    if alone is not None and alone.state is not None and alone.state.bottom is not None:
        folder.write(ALONE_BOTTOM, weights(alone.state.bottom))
        folder.write(ALONE_TOP, weights(alone.state.top))
    folder.write_json(DESCRIPTION, description)


def _describe_bottom(settings: Bottom, inputs: Inputs | None) -> dict[str, Any] | None:
    return (
        None
        if inputs is None
        else {
            "module": settings.module,
            "hidden": list(settings.hidden or ()),
            "numeric": inputs.shape.numeric,
            "vocabularies": list(inputs.shape.vocabularies),
            "image": list(inputs.shape.image) if inputs.shape.image else None,
            "preparation": inputs.preparation.to_json(),
        }
    )


def _describe_top(labels: Labels | None, trained: PreparedTraining) -> dict[str, Any] | None:
    plan, target = trained.plan, trained.target
    return (
        None
        if target is None
        else {
            "task": plan.task,
            "contributors": list(plan.contributors),
            "aggregate": plan.aggregate,
            "hidden": list(plan.top_hidden),
            "outputs": target.outputs,
            "classes": list(trained_classes(labels, trained)),
            "centre": target.centre,
            "scale": target.scale,
        }
    )


def trained_classes(labels: Labels | None, trained: PreparedTraining) -> tuple[str, ...]:
    """The classes that the model has an output for, in the order of their codes; none in a regression.

    In a multiclass task the last ones of the whole table may be absent among the shared records, and so have none.
    """
    if labels is None or trained.target is None:
        return ()
    return labels.classes[: trained.target.classes]


def load_part(path: Path, code: Path | None = None) -> ModelPart:
    """Read a party's part from its run folder `path`. Raises ConfigError where it is of another format or incomplete.

    A bottom model of the user's own is looked for in the folder `code`, then among the installed packages.
    """
    try:
        description = json.loads(read_plain(path / DESCRIPTION))
        _check_format(path / DESCRIPTION, description["format"])
        preparation, bottom = _load_bottom(path, description, code, BOTTOM)
        top = _load_top(path, description)
        alone_bottom, alone_top = _load_alone(path, description, code)
    except FileNotFoundError as error:
        raise ConfigError(f"{error.filename} is missing: {path} has no complete model part.") from None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ConfigError(
            f"The model part in {path} cannot be read: one of its files is damaged or of another run; copy the whole run "
            "folder again, or train again."
        ) from error
    return ModelPart(description, preparation, bottom, top, alone_bottom, alone_top)


def _check_format(file: Path, found: object) -> None:
    """Raise ConfigError where the file was written in another format; see docs/reference/run-folder.md on what keeps it."""
    if found != FORMAT:
        raise ConfigError(
            f"{file} has the format {found}, and this version of vsplit reads format {FORMAT}: use the version of vsplit that "
            "`versions` in run.json names, or a newer one."
        )


def _load_bottom(
    path: Path, description: dict[str, Any], code: Path | None, weights_file: str
) -> tuple[Preparation | None, Any]:
    spec = description["bottom"]
    if spec is None:
        return None, None
    builder = builder_at(spec["module"], code) if spec["module"] else tabular(spec["hidden"])
    image = tuple(spec["image"]) if spec["image"] else None
    bottom = build_bottom(
        builder, InputShape(spec["numeric"], tuple(spec["vocabularies"]), image), description["embedding"]
    )
    load_weights(bottom, read_plain(path / weights_file))
    return Preparation.from_json(spec["preparation"]), bottom.eval()


def _load_alone(path: Path, description: dict[str, Any], code: Path | None) -> tuple[Any, Any]:
    """The label party's own model; a run of an earlier version has stored none."""
    alone = description.get("alone")
    if alone is None or alone["rate"] is not None:
        return None, None
    top = {**description["top"], "contributors": [description["party"]]}
    bottom = _load_bottom(path, description, code, ALONE_BOTTOM)[1]
    return bottom, _load_top(path, {**description, "top": top}, ALONE_TOP)


def _load_top(path: Path, description: dict[str, Any], weights_file: str = TOP) -> Any:
    spec = description["top"]
    if spec is None:
        return None
    plan = Plan(
        task=spec["task"],
        contributors=tuple(spec["contributors"]),
        aggregate=spec["aggregate"],
        width=description["embedding"],
        top_hidden=tuple(spec["hidden"]),
    )
    top = build_top(plan, spec["outputs"])
    load_weights(top, read_plain(path / weights_file))
    return top.eval()
