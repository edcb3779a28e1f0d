"""Predictions that are refused: by a bound, for another run, and for bad input; none leaves scores behind."""

from __future__ import annotations

import json
import shutil
import threading

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from parties.command.cli import app
from parties.config.scoring_settings import ScoringOptions
from parties.scoring import prediction
from tests.parties.scoring.conftest import Predictions, allow
from vsplit.protocol import ConfigError, DataError, MismatchError, ProtocolError, RefusedError, StoppedError

pytestmark = pytest.mark.usefixtures("signals_as_before")


@pytest.fixture
def hasty(finished: Predictions) -> Predictions:
    """A party that fails alone notifies the other parties for a second only."""
    finished.world.hasty().write()
    return finished


def no_scores(predictions: Predictions) -> bool:
    return not list(predictions.world.folder.rglob("scores.parquet"))


def change(predictions: Predictions, **bounds: int) -> None:
    predictions.world.files["lab"]["accept"]["predict"] |= bounds
    predictions.world.write()


# --- the feature party's bounds -----------------------------------------------------------------------------------------


def test_without_a_bound_a_feature_party_takes_no_part_and_says_what_to_paste(hasty) -> None:
    del hasty.world.files["lab"]["accept"]["predict"]
    hasty.world.write()
    hasty.run()
    assert isinstance(hasty.errors["lab"], RefusedError)
    sentence = str(hasty.errors["lab"])
    assert "lab.yaml does not set accept.predict, and without it lab takes part in no prediction." in sentence
    assert "change its key accept to: accept: {tasks: [binary" in sentence
    assert sentence.endswith("predict: {per_day: 10000, at_least: 100}}")
    assert isinstance(hasty.errors["clinic"], StoppedError)
    assert no_scores(hasty)
    hasty.world.files["lab"] |= yaml.safe_load(sentence.partition("accept to: ")[2])
    hasty.world.write()
    assert hasty.run().well().scores().score.notna().all()


def test_too_few_and_too_many_records_are_refused_before_a_list_leaves(hasty) -> None:
    change(hasty, at_least=201)
    hasty.run()
    assert "clinic asks for scores of 200 records, and " in str(hasty.errors["lab"])
    assert "allows no fewer than 201 at once (accept.predict.at_least)" in str(hasty.errors["lab"])
    change(hasty, at_least=1, per_day=199)
    hasty.run()
    assert "allows 199 (accept.predict.per_day)" in str(hasty.errors["lab"])
    assert isinstance(hasty.errors["lab"], RefusedError)
    assert isinstance(hasty.errors["clinic"], StoppedError)
    for folder in (hasty.world.run("lab") / "predictions").iterdir():
        lines = map(json.loads, (folder / "ledger.jsonl").read_text().splitlines())
        assert not [line for line in lines if line.get("kind") == "MaskedKeys"]
    assert no_scores(hasty)


def test_the_records_of_a_day_are_counted_with_the_runs(finished) -> None:
    change(finished, per_day=300)
    finished.run().well()
    counted = json.loads((finished.world.folder / "keys/lab.partners.json").read_text())["partners"]
    (runs,) = counted.values()
    assert [(run["command"], run.get("records")) for run in runs] == [("run", None), ("predict", 200)]
    checked = CliRunner().invoke(app, ["check", "--predict", str(finished.world.folder / "lab.yaml")])
    words = " ".join(checked.output.split())
    assert "Records scored for clinic in the last 24 hours: 200 of 300 (accept.predict.per_day)." in words
    assert "accept.predict: at most 300 in any 24 hours, at least 1 at once (party file)" in words
    finished.run()
    assert "asks for scores of 200 records after 200 in the last 24 hours" in str(finished.errors["lab"])


def test_a_longer_list_than_announced_gets_no_embedding(finished, monkeypatch) -> None:
    agree = prediction.agree_on_model

    def understate(names, model, records, run):
        return agree(names, model, records - 50, run)

    monkeypatch.setattr(prediction, "agree_on_model", understate)
    finished.run()
    assert isinstance(finished.errors["lab"], ProtocolError)
    assert "clinic asked for scores of 150 records and brought a list of 200" in str(finished.errors["lab"])
    lines = (finished.folder("lab") / "ledger.jsonl").read_text()
    assert '"Embedding"' not in lines
    assert no_scores(finished)


# --- the model ----------------------------------------------------------------------------------------------------------


def test_the_models_of_two_runs_are_named_and_nothing_is_compared(finished) -> None:
    world = finished.world
    shutil.copytree(world.run("lab"), world.folder / "first")
    first = json.loads((world.folder / "first/run.json").read_text())["run"]
    world.run_parties().well()
    second = json.loads((world.run("clinic") / "run.json").read_text())["run"]
    finished.run({"lab": ScoringOptions(run=world.folder / "first")})
    for name, mine, theirs in (("clinic", second, first), ("lab", first, second)):
        assert isinstance(finished.errors[name], MismatchError)
        assert f"{name} uses the model of the run {mine}" in str(finished.errors[name])
        assert f"that of the run {theirs}; nothing was compared." in str(finished.errors[name])
        assert "--run FOLDER" in str(finished.errors[name])
    assert no_scores(finished)
    finished.run(
        {"lab": ScoringOptions(run=world.run("lab")), "clinic": ScoringOptions(run=world.run("clinic"))}
    ).well()


def test_a_folder_without_this_partys_run_is_refused(hasty) -> None:
    world = hasty.world
    for folder, sentence in (("keys", "has no finished run"), ("runs/lab", "has a run of another party than clinic")):
        hasty.run({"clinic": ScoringOptions(run=world.folder / folder)})
        assert isinstance(hasty.errors["clinic"], ConfigError)
        assert sentence in str(hasty.errors["clinic"])
        assert isinstance(hasty.errors["lab"], StoppedError)
    world.job["model"]["embedding"] = 5
    world.write()
    hasty.run()
    assert "embedding in its model.json is 4, and the job has 5" in str(hasty.errors["clinic"])


def test_the_model_alone_is_needed_for_the_fallback(hasty) -> None:
    file = hasty.world.run("clinic") / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"alone": None}))
    hasty.run()
    assert "has no model of clinic alone" in str(hasty.errors["clinic"])
    clinic = hasty.world.tables["clinic"]
    hasty.of(clinic[clinic.person.isin(hasty.world.common())], missing="refuse").well()


# --- the records --------------------------------------------------------------------------------------------------------


def test_people_who_are_not_known_are_refused_on_request(finished) -> None:
    clinic = finished.world.tables["clinic"]
    finished.of(clinic, missing="refuse")
    assert "lab knows 180 of 200 records, and --missing refuse scores all" in str(finished.errors["clinic"])
    assert isinstance(finished.errors["lab"], StoppedError)
    assert no_scores(finished)
    finished.of(clinic[clinic.person.isin(finished.world.common())], missing="refuse").well()
    assert (finished.scores()["with"] == "clinic, lab").all()


@pytest.mark.parametrize(
    ("spoilt", "sentence"),
    [
        (lambda people: people[:0], "there is no row of data"),
        (lambda people: people.assign(person=None), "key column"),
        (lambda people: people.drop(columns="age"), "The column age is missing; the model was trained with it."),
        (lambda people: people.assign(age="old"), "The column age holds something else than numbers"),
        (lambda people: people.assign(sex=1), "The column sex holds numbers; the model was trained with words."),
        (lambda people: people.drop(columns="person"), "there is no column person"),
        (lambda people: pd.concat([people, people[:1]]), "repeated"),
    ],
    ids=["empty", "no ids", "a column gone", "a column of text", "a column of numbers", "no key", "an id twice"],
)
def test_records_that_the_model_cannot_take_are_refused_before_anything_leaves(hasty, spoilt, sentence: str) -> None:
    hasty.of(spoilt(hasty.world.tables["clinic"]))
    assert isinstance(hasty.errors["clinic"], DataError), hasty.errors
    assert sentence in str(hasty.errors["clinic"])
    assert isinstance(hasty.errors["lab"], StoppedError)
    assert not list(hasty.world.folder.rglob("predictions"))


def test_a_column_of_a_feature_party_that_is_gone_is_named_there_alone(hasty) -> None:
    hasty.world.tables["lab"] = hasty.world.tables["lab"].rename(columns={"tsh": "thyrotropin"})
    hasty.world.write()
    hasty.run()
    assert "The column tsh is missing" in str(hasty.errors["lab"])
    assert "tsh" not in str(hasty.errors["clinic"])


@pytest.mark.parametrize("options", [{"data": "new.csv"}, {"out": "scores.csv"}, {"missing": "refuse"}])
def test_a_feature_party_has_no_records_to_bring(hasty, options: dict) -> None:
    party = str(hasty.world.folder / "lab.yaml")
    ((name, value),) = options.items()
    result = CliRunner().invoke(app, ["predict", party, f"--{name}", value])
    assert result.exit_code == 2
    assert f"The option --{name} is for the label party, clinic" in " ".join(result.output.split())


def test_a_run_and_a_prediction_do_not_mix(finished) -> None:
    world, errors = finished.world, {}
    thread = threading.Thread(target=lambda: errors.update(world.run_parties("lab").errors))
    thread.start()
    finished.run(names=["clinic"])
    thread.join(60)
    assert "`vsplit run` and clinic with `vsplit predict`" in str(errors["lab"])
    assert "`vsplit predict` and lab with `vsplit run`" in str(finished.errors["clinic"])


def test_a_run_folder_with_predictions_is_not_pruned(finished) -> None:
    finished.run().well()
    finished.world.run_parties().well()
    result = CliRunner().invoke(
        app, ["runs", str(finished.world.folder / "clinic.yaml"), "--prune", "--keep", "1", "--yes"]
    )
    assert "it has predictions, with the record of what crossed for them." in " ".join(result.output.split())
    assert (finished.world.folder / "runs/clinic-1/predictions").is_dir()


@pytest.mark.usefixtures("no_report")
def test_a_label_party_without_features_falls_back_to_the_frequency(world) -> None:
    world.tables["clinic"] = world.tables["clinic"][["person", "outcome"]]
    allow(world).write().run_parties().well()
    found = Predictions(world).run().well().scores()
    assert found[found["with"] == "clinic"].score.nunique() == 1
    assert found[found["with"] == "clinic, lab"].score.nunique() > 100
