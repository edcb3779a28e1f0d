"""What a run leaves at home: metrics, predictions, the model part and the report."""

from __future__ import annotations

import io
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from parties.driver import Traffic
from parties.events import Finished
from parties.folder import FINISHED, RunFolder
from parties.greeting import Greeting
from parties.home import Home
from parties.learning import Trained
from parties.parts import save_part, trained_classes
from parties.report import content as shown
from parties.report.page import render_report
from parties.report.words import METRIC_NAMES
from psi import Alignment
from psi.messages import ListSize, MaskedKeys, MatchCount, MatchPositions, TwiceMasked
from vsplit import __version__
from vsplit.learn import runtime
from vsplit.learn.curves import curves
from vsplit.learn.label import LabelState, Predictions
from vsplit.learn.messages import Embedding, Gradient, Parts, Verdict
from vsplit.learn.metrics import MAIN_METRIC, Comparison, compare
from vsplit.protocol import Message, VsplitError

# Every kind of message that can cross, so that each has its line on what it reveals.
KINDS: tuple[type[Message], ...] = (
    Greeting,
    ListSize,
    MaskedKeys,
    TwiceMasked,
    MatchCount,
    MatchPositions,
    Parts,
    Embedding,
    Gradient,
    Verdict,
)
# The bootstrap's draws, so that equal predictions give equal intervals.
_BOOTSTRAP_SEED = 0


@dataclass(frozen=True, slots=True)
class Run:
    """What the life of a party knows of its run: when, which session, what crossed, and how long each epoch took."""

    started: datetime
    session: str
    traffic: Traffic
    epoch_seconds: list[float]
    farewell: list[VsplitError]


def feature(home: Home, folder: RunFolder, aligned: Alignment, trained: Trained, run: Run) -> Finished:
    """Write a feature party's run folder. Raises ConfigError where it cannot be written."""
    with folder.filling():
        save_part(folder, home, trained)
        return _finish(home, folder, aligned, trained, run, {}, [])


def label(
    home: Home,
    folder: RunFolder,
    aligned: Alignment,
    trained: Trained,
    run: Run,
    *,
    alone: Predictions | None,
    lacking: str = "",
) -> Finished:
    """Judge the joint model beside the label party alone, and write the label party's run folder.

    Where `alone` is None the joint model is judged by itself, and `lacking` says why.

    Raises ConfigError where it cannot be written, DataError where a model's predictions are no finite numbers.
    """
    truth = home.label_values(trained.rows)
    if trained.joint is None:
        raise ValueError("the label party has predictions")
    judged = {}
    for name in ("validation", "test"):
        rows: npt.NDArray[np.int64] = getattr(trained.split, name)
        scores = (trained.plan.task, truth[rows], getattr(trained.joint, name), getattr(alone, name, None))
        classes = list(trained_classes(home, trained)) if trained.plan.task == "multiclass" else None
        judged[name] = shown.Judgement(
            comparison=compare(*scores, seed=_BOOTSTRAP_SEED), curves=curves(*scores, classes=classes)
        )
    lines = _headlines(home, judged["test"].comparison)
    if alone is None:
        lines.append(lacking)
    with folder.filling():
        save_part(folder, home, trained)
        folder.write_json("metrics.json", {name: one.comparison for name, one in judged.items()})
        folder.write("predictions.parquet", _predictions(home, trained, alone))
        return _finish(home, folder, aligned, trained, run, judged, lines)


def _finish(
    home: Home,
    folder: RunFolder,
    aligned: Alignment,
    trained: Trained,
    run: Run,
    judged: dict[str, shown.Judgement],
    lines: list[str],
) -> Finished:
    ended = datetime.now(UTC)
    content = _content(home, aligned, trained, run, judged, ended)
    page = folder.write("report.html", render_report(content))
    lines = [f"{aligned.matched:,} records in common.", *lines]
    if folder.moved is not None:
        lines.append(f"The earlier run was moved to {folder.moved}.")
    lines += [f"At the farewell: {error}" for error in run.farewell]
    # The last file of all: a folder with it is complete.
    folder.write_json(
        FINISHED,
        {
            "job": home.party.job.job,
            "party": home.party.name,
            "role": home.party.role,
            "session": run.session,
            "started": content.started,
            "ended": content.ended,
            "versions": content.versions,
            "records": asdict(content.records),
            "training": asdict(content.training),
            "traffic": [asdict(crossing) for crossing in content.traffic],
        },
    )
    return Finished(lines, str(page))


def _headlines(home: Home, test: Comparison) -> list[str]:
    metric = MAIN_METRIC[home.party.job.task]
    name = METRIC_NAMES[metric]
    lines = []
    for what, key in (("together", "joint"), (f"{home.party.name} alone", "alone"), ("gain", "difference")):
        if key not in test:
            continue
        found = test[key][metric]  # type: ignore[literal-required]
        value = f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})" if found else "not defined here"
        lines.append(f"test {name} {what}: {value}")
    return lines


def _predictions(home: Home, trained: Trained, alone: Predictions | None) -> bytes:
    """One row for each validation and test record: its key and row number, the label, and both predictions."""
    if trained.joint is None or home.labels is None or home.table.label is None:
        raise ValueError("only the label party predicts")
    tables = []
    for name in ("validation", "test"):
        rows = trained.rows[getattr(trained.split, name)]
        found: dict[str, Any] = {"row": rows, "split": name, "label": home.table.label.iloc[rows].to_numpy()}
        for who, scores in (("joint", getattr(trained.joint, name)), ("alone", getattr(alone, name, None))):
            if scores is None:
                continue
            if scores.ndim == 1:
                found[who] = scores
            else:
                classes = trained_classes(home, trained)
                found |= {f"{who}_{each}": scores[:, code] for code, each in enumerate(classes)}
        # A key column keeps its name, unless a column of the predictions has that name.
        keys = {
            f"key_{key}" if key in found else str(key): column.iloc[rows].to_numpy()
            for key, column in home.table.keys.items()
        }
        tables.append(pd.DataFrame(keys | found))
    stream = io.BytesIO()
    pd.concat(tables, ignore_index=True).to_parquet(stream, index=False)
    return stream.getvalue()


def _content(
    home: Home,
    aligned: Alignment,
    trained: Trained,
    run: Run,
    judged: dict[str, shown.Judgement],
    ended: datetime,
) -> shown.ReportContent:
    job, party = home.party.job, home.party
    return shown.ReportContent(
        job=job.job,
        task=job.task,
        party=party.name,
        role=party.role,
        started=run.started.isoformat(timespec="seconds"),
        ended=ended.isoformat(timespec="seconds"),
        parties=[
            shown.Party(
                name=name,
                role=member.role,
                list_size=aligned.own_records if name == party.name else aligned.peer_records.get(name),
                overlap=aligned.matched if len(job.parties) == 2 else aligned.overlaps.get(name),
            )
            for name, member in job.parties.items()
        ],
        records=_records(home, aligned, trained),
        columns=_columns(home, trained),
        training=_training(trained, run),
        traffic=_crossings(run.traffic),
        versions={
            "vsplit": __version__,
            "torch": runtime.version(),
            "numpy": np.__version__,
            "Python": platform.python_version(),
        },
        test=judged.get("test"),
        validation=judged.get("validation"),
    )


def _records(home: Home, aligned: Alignment, trained: Trained) -> shown.Records:
    quality, split = home.keys.report, trained.split
    return shown.Records(
        own=home.table.rows,
        without_key=quality.missing,
        malformed=quality.malformed,
        repeated=quality.repeated_rows,
        without_label=home.without_label if home.party.role == "label" else None,
        listed=aligned.own_records,
        matched=aligned.matched,
        train=len(split.train),
        validation=len(split.validation),
        test=len(split.test),
    )


def _columns(home: Home, trained: Trained) -> shown.Columns:
    shape = trained.inputs.shape if trained.inputs else None
    image = home.party.settings.data.image
    return shown.Columns(
        names=list(home.table.features.columns),
        numeric=shape.numeric if shape else 0,
        categorical=len(shape.vocabularies) if shape else 0,
        image=image.column if image else None,
        label=home.party.settings.data.label,
        ignored=list(home.party.settings.data.ignore),
    )


def _training(trained: Trained, run: Run) -> shown.Training:
    progress = trained.state.progress
    history = trained.state.history if isinstance(trained.state, LabelState) else []
    epochs = [
        shown.Epoch(
            number=number + 1,
            seconds=seconds,
            train_loss=history[number].train_loss if history else None,
            validation_loss=history[number].validation_loss if history else None,
        )
        for number, seconds in enumerate(run.epoch_seconds)
    ]
    stopped = (
        f"the validation loss had not fallen for {trained.plan.patience} epochs"
        if progress.stopped
        else "all epochs of the job were done"
    )
    kept = len(epochs) if progress.kept_epoch is None else progress.kept_epoch + 1
    return shown.Training(epochs=epochs, kept=kept, stopped=stopped)


def _crossings(traffic: Traffic) -> list[shown.Crossing]:
    reveals = {kind.__name__: kind.reveals for kind in KINDS}
    return [
        shown.Crossing(
            direction=direction, party=peer, kind=kind, messages=count.messages, size=count.bytes, reveals=reveals[kind]
        )
        for (direction, peer, kind), count in traffic.counts.items()
    ]
