"""Finished runs of the small world, and predictions by their models."""

from __future__ import annotations

import copy
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from parties.command.predict import predict_file
from parties.config.scoring_settings import ScoringOptions
from parties.monitoring.events import Event, Finished
from tests.parties.world import World
from vsplit.protocol import VsplitError


class Predictions:
    """Runs `vsplit predict` at all parties of a world, each in a thread of its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ends: dict[str, Finished] = {}
        self.errors: dict[str, BaseException] = {}
        self.events: dict[str, list[Event]] = {}

    def run(
        self, options: Mapping[str, ScoringOptions] | None = None, names: Sequence[str] | None = None
    ) -> Predictions:
        """Run these parties (None: all) until all have ended."""
        self.ends, self.errors, self.events = {}, {}, {}

        def one(name: str) -> None:
            seen = self.events[name] = []
            try:
                predict_file(
                    self.world.folder / f"{name}.yaml", seen.append, (options or {}).get(name, ScoringOptions())
                )
                self.ends[name] = next(event for event in seen if isinstance(event, Finished))
            except (VsplitError, Exception) as error:
                self.errors[name] = error

        threads = [threading.Thread(target=one, args=(name,), daemon=True) for name in names or self.world.names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), f"a party hangs: {self.events}"
        return self

    def well(self) -> Predictions:
        """This object, if no party failed."""
        for error in self.errors.values():
            raise error
        return self

    def of(self, people: pd.DataFrame, **options: Any) -> Predictions:
        """Score these people, from a file of their own."""
        file = self.world.folder / "new.csv"
        people.to_csv(file, index=False)
        return self.run({"clinic": ScoringOptions(data=file, **options)})

    def folder(self, name: str = "clinic") -> Path:
        """The folder of a party's only or last prediction."""
        return max((self.world.run(name) / "predictions").iterdir(), key=lambda path: path.stat().st_mtime_ns)

    def scores(self) -> pd.DataFrame:
        """The scores of the last prediction."""
        return pd.read_parquet(self.folder() / "scores.parquet")


def allow(world: World) -> World:
    """Every feature party takes part in predictions."""
    for name in world.names[1:]:
        world.files[name]["accept"] |= {"predict": {"per_day": 10_000, "at_least": 1}, "min_list": 1}
    world.files["clinic"]["accept"] |= {"min_list": 1}
    return world


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A clinic and a lab with a finished run, of which each test gets a copy."""
    made = allow(World(tmp_path_factory.mktemp("trained")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("parties.run.results.render_report", lambda content: f"<html>{content.job}</html>")
        made.write().run_parties().well()
    return made


@pytest.fixture
def finished(trained: World, tmp_path: Path, no_report: None) -> Predictions:
    """A clinic and a lab with a finished run."""
    shutil.copytree(trained.folder, tmp_path, dirs_exist_ok=True)
    world = copy.copy(trained)
    world.folder = tmp_path
    world.job, world.files, world.tables = copy.deepcopy((trained.job, trained.files, trained.tables))
    return Predictions(world)
