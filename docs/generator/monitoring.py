"""The page of log events and metrics: every method of the log book is called, and all series are collected."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from parties.command.init import config_texts
from parties.config.party import Party, load_party
from parties.config.party_names import PartyNames
from parties.monitoring.events import NOTE, WAITING, Failed, Finished, Step, back_step
from parties.monitoring.logs import Logbook
from parties.monitoring.metrics import Metrics
from parties.network.driver import Traffic
from vsplit import __version__

# What each method of the log book is called with: at least once for each kind of record that it can write.
CALLS: Mapping[str, list[tuple[Any, ...]]] = {
    "begin": [()],
    "show": [
        (Step(WAITING, text="for lab, 600 s left"),),
        (back_step("lab"),),
        (Step("training", 0, 30),),
        (Step("training", 1, 30, "loss 0.4"),),
        (Step("comparing", 10, 100),),
        (Step("comparing", 20, 100),),
        (Step(NOTE, text="The run resumes from step 1,000."),),
        (Finished(["0.9"], "report.html"),),
    ],
    "failed": [(Failed("The link to lab is lost.", 6),), (Failed("Interrupted here.", 130),)],
    "training": [(0, 5_000), (1_000, 5_000)],
    "stored": [(1_000, 0.02)],
    "lost": [("lab", "was closed")],
    "back": [("lab",)],
    "resent": [("lab", 12, 30_000)],
}


EVENTS = """# Log events and metrics

Both are off unless the party file asks for them, with the keys `log` and `metrics` of [the party file](configuration.md).
[Operate a party](../how-to/operate.md) shows how to use them.

## Log events

Records of Python's standard `logging`. As JSON, each record has its own fields and `time` (UTC), `level`, `logger`, `party`,
`event` and `message`. A record about a link has the field `left_out` if records before it were left out. Of the event
`stage`, a new stage and the end of an epoch have the level info, and steps within a stage debug. Of the event `failed`, an
interruption has the level warning.

| logger | event | level | fields | example of a message |
| --- | --- | --- | --- | --- |
"""
SERIES = """
## Metrics

Series of the Prometheus endpoint. It also has the series `process_…`: processor time, memory and open files of the process.

| series | type | labels | meaning |
| --- | --- | --- | --- |
"""
NOTES = """
- `vsplit_stage`: the series of the current stage is 1.
- `vsplit_loss`: at the label party only; `part` is `training` or `validation`.
- `vsplit_messages_total`, `vsplit_bytes_total`: `direction` is `sent` or `received`.
- `vsplit_link_up`: 1, or 0 while the party waits for the peer, at the start or while a lost link is being restored. It is
  absent once all parties have closed the session.
- `vsplit_training_samples_per_second`: the samples divided by the time since this training began here.
"""


@dataclass(slots=True)
class Kind:
    """All records of one event: the levels, the fields and an example."""

    logger: str
    event: str
    levels: list[str]
    fields: list[str]
    sentence: str


class _Kept(logging.Handler):
    """Collects the records."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def monitoring_page() -> str:
    """Every log event and every series of metrics."""
    text = EVENTS
    for kind in log_events():
        fields = ", ".join(f"`{name}`" for name in kind.fields)
        levels = ", ".join(kind.levels)
        text += f"| `{kind.logger}` | `{kind.event}` | {levels} | {fields} | {kind.sentence} |\n"
    text += SERIES
    for name, type_, labels, what in metric_series():
        text += f"| `{name}` | {type_} | {', '.join(f'`{one}`' for one in labels)} | {what} |\n"
    return text + NOTES


def log_events() -> list[Kind]:
    """What the log book writes, in the order of `CALLS`. Raises ValueError if one of its methods is not among them."""
    methods = {name for name in vars(Logbook) if not name.startswith("_")}
    if methods != CALLS.keys():
        raise ValueError(f"calls and methods of the log book differ: {methods ^ CALLS.keys()}")
    handler = _Kept()
    root = logging.getLogger("vsplit")
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        party = _party()
        book = Logbook(PartyNames.of(party.job, party.name), party.job.job, party.output)
        for name, calls in CALLS.items():
            for arguments in calls:
                getattr(book, name)(*arguments)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    return list(_kinds(handler.records))


def _kinds(records: list[logging.LogRecord]) -> Iterator[Kind]:
    kinds: dict[str, Kind] = {}
    for record in records:
        event = str(vars(record)["vsplit_event"])
        first = Kind(record.name, event, [], [], record.getMessage().replace(__version__, "…"))
        kind = kinds.setdefault(event, first)
        for seen, new in ((kind.levels, [record.levelname.lower()]), (kind.fields, vars(record)["vsplit_fields"])):
            seen += [one for one in new if one not in seen]
    return iter(kinds.values())


def metric_series() -> Iterator[tuple[str, str, list[str], str]]:
    """Name, type, labels and meaning of every series, as a label party in training has them."""
    traffic = Traffic()
    traffic.record("sent", "lab", "Gradient", 1)
    party = _party()
    metrics = Metrics(PartyNames.of(party.job, party.name), party.job.job, traffic)
    progress, losses = SimpleNamespace(epoch=1, batch=0), SimpleNamespace(train_loss=0.5, validation_loss=0.5)
    metrics.training(SimpleNamespace(step=1, progress=progress, history=[losses]), 100, 10)  # type: ignore[arg-type]
    metrics.waited("receive", "lab", 1.0)
    metrics.lost("lab")
    metrics.resent("lab", 1, 1)
    for family in metrics.collect():
        suffix = "_total" if family.type == "counter" else ""
        labels = list(family.samples[0].labels)
        yield family.name + suffix, family.type, labels, family.documentation


def _party() -> Party:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in config_texts(["clinic", "lab"], label="clinic", task="binary", job="thyroid").items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        return load_party(Path(folder) / "clinic.yaml")
