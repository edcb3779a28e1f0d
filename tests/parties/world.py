"""A small world for runs: made-up people, of whom each party knows a known part, with all the files that runs need."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from parties.config.party import Party, load_party
from parties.monitoring.events import Event, Finished, Step
from parties.network.identity import PrivateIdentity
from parties.run.party_run import run_party
from tests.ports import own_port
from vsplit.protocol import VsplitError

PEOPLE = 240
# Which people each party knows, by number: all three share 40 to 199.
KNOWN = {"clinic": range(200), "lab": range(20, 240), "gym": range(40, 240)}


def people() -> pd.DataFrame:
    """Everybody and everything that anybody knows of them. The outcome hangs on what the parties know together."""
    draw = np.random.default_rng(5)
    found = pd.DataFrame({name: draw.normal(size=PEOPLE) for name in ("age", "tsh", "t3", "weight")})
    found["sex"] = draw.choice(["f", "m"], PEOPLE)
    risk = 2 * found.tsh + found.age + found.weight + 0.3 * draw.normal(size=PEOPLE)
    found["risk"] = risk.round(3)
    found["outcome"] = np.where(risk > 0, "sick", "healthy")
    found["grade"] = pd.cut(risk, [-np.inf, -1, 1, np.inf], labels=["high", "low", "middle"]).astype(str)
    found["visit"] = pd.date_range("2024-01-01", periods=PEOPLE).astype(str)
    found.insert(0, "person", [f"KEY{number:04d}" for number in range(PEOPLE)])
    return found


def visits() -> pd.Series:
    """The day of each person's visit, by key."""
    return people().set_index("person").visit


WIDE = {"tasks": ["binary", "multiclass", "regression"], "max_embedding": 64} | {
    "aggregations": ["concat", "sum", "masked_sum", "paillier_sum"]
}
"""In `accept`, the bounds that each party file must have; they allow what the tests do."""

COLUMNS = {
    "clinic": ["person", "age", "sex", "outcome"],
    "lab": ["person", "tsh", "t3"],
    "gym": ["person", "weight"],
}


class Outcomes:
    """What each party ended with: its last event or its error; and all events before."""

    def __init__(self) -> None:
        self.ends: dict[str, Finished] = {}
        self.errors: dict[str, BaseException] = {}
        self.events: dict[str, list[Event]] = {}

    def well(self) -> Outcomes:
        """This object, if no party failed."""
        for error in self.errors.values():
            raise error
        return self

    def stages(self, name: str) -> list[str]:
        """The stages of a party, in order."""
        return list(dict.fromkeys(event.stage for event in self.events[name] if isinstance(event, Step)))


class World:
    """`job` and `files` are the contents of the config files and `tables` the data: change them, then `write`."""

    def __init__(self, folder: Path, features: Sequence[str] = ("lab",)) -> None:
        self.folder = folder
        self.names = ("clinic", *features)
        self.keys = {name: PrivateIdentity.generate() for name in self.names}
        everybody = people()
        self.tables = {
            name: everybody.iloc[KNOWN[name]][COLUMNS[name]].sample(frac=1, random_state=number).reset_index(drop=True)
            for number, name in enumerate(self.names)
        }
        self.job: dict[str, Any] = {
            "job": "test",
            "task": "binary",
            "address": f"127.0.0.1:{own_port()}",
            "parties": {
                name: {"role": "feature" if number else "label", "identity": key.public.line}
                for number, (name, key) in enumerate(self.keys.items())
            },
            "align": {"key": ["person"]},
            "split": {"train": 0.6, "validation": 0.2, "test": 0.2},
            "model": {"embedding": 4, "aggregate": "concat", "top": {"hidden": [8]}},
            "train": {"epochs": 3, "batch_size": 32, "optimizer": "adam", "lr": 0.02},
        }
        self.files: dict[str, dict[str, Any]] = {
            name: {
                "job": "job.yaml",
                "party": name,
                "identity": f"keys/{name}.key",
                "data": {"source": f"{name}.csv"},
                "bottom": {"hidden": [8]},
                "accept": dict(WIDE),
                "first_wait": 10,
                "wait": 10,
                "output": f"runs/{name}",
            }
            for name in self.names
        }
        self.visits = visits()
        self.files["clinic"]["data"] |= {"label": "outcome", "positive": "sick"}

    def hasty(self) -> World:
        """Who fails alone tells nobody for long."""
        for file in self.files.values():
            file["first_wait"] = 1
        return self

    def write(self, without: Sequence[str] = ()) -> World:
        """Put all files in place; the data of the parties in `without` stands somewhere else already."""
        (self.folder / "keys").mkdir(exist_ok=True)
        for name, key in self.keys.items():
            if not (self.folder / f"keys/{name}.key").exists():
                key.save(self.folder / f"keys/{name}.key")
            if name not in without:
                self.tables[name].to_csv(self.folder / f"{name}.csv", index=False)
        for name, content in {"job": self.job, **self.files}.items():
            (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return self

    def party(self, name: str) -> Party:
        """A party as its file says."""
        return load_party(self.folder / f"{name}.yaml")

    def run(self, name: str) -> Path:
        """A party's run folder."""
        return self.folder / "runs" / name

    def common(self, *names: str) -> set[str]:
        """The keys that all these parties (none: all parties) have in their tables."""
        return set.intersection(*(set(self.tables[name].person) for name in names or self.names))

    def run_parties(
        self, *names: str, show: Mapping[str, Callable[[Event], None]] | None = None, restart: Sequence[str] = ()
    ) -> Outcomes:
        """Run these parties (none: all), each in a thread of its own, until all have ended."""
        outcomes = Outcomes()

        def one(name: str) -> None:
            seen = outcomes.events[name] = []

            def note(event: Event) -> None:
                seen.append(event)
                (show or {}).get(name, lambda _event: None)(event)

            try:
                outcomes.ends[name] = run_party(self.party(name), self.keys[name], note, restart=name in restart)
            except (VsplitError, KeyboardInterrupt, Exception) as error:
                outcomes.errors[name] = error

        threads = [threading.Thread(target=one, args=(name,), daemon=True) for name in names or self.names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
            assert not thread.is_alive(), f"a party hangs: {outcomes.events}"
        return outcomes


MakeWorld = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A clinic with labels and a lab; its files are not written yet."""
    return World(tmp_path)


@pytest.fixture
def three(tmp_path: Path) -> World:
    """A clinic with labels, a lab and a gym; its files are not written yet."""
    return World(tmp_path, ("lab", "gym"))


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing the plots is most of a small life; who does not look at the report can leave it out."""
    monkeypatch.setattr("parties.run.results.render_report", lambda content: f"<html>{content.job}</html>")


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    """A command in this process sets handlers of signals, which the tests after it must not keep."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
