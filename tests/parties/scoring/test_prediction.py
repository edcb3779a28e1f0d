"""`vsplit predict` from files to scores, over mutual TLS."""

from __future__ import annotations

import json
import socket
import sqlite3
import stat
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from parties.command.cli import app
from parties.command.disclosure import leaves_in_prediction
from parties.config.scoring_settings import ScoringOptions, ScoringSettings
from parties.ledger.exchange import recorded_traffic
from parties.scoring import prediction
from parties.scoring.models import send_embeddings
from parties.scoring.prediction import load_both
from tests.parties.scoring.conftest import Predictions, allow
from tests.parties.world import people

pytestmark = pytest.mark.usefixtures("signals_as_before")


def of_the_run(world) -> pd.DataFrame:
    return pd.read_parquet(world.run("clinic") / "predictions.parquet").set_index("person")


@pytest.mark.parametrize("aggregate", ["concat", "sum", "masked_sum", "paillier_sum"])
@pytest.mark.usefixtures("no_report")
def test_the_rows_of_the_run_get_its_predictions(three, aggregate: str) -> None:
    three.job["model"]["aggregate"] = aggregate
    three.job["model"] |= {"secure_sum": {"bits": 20}} if aggregate.endswith("_sum") else {}
    predictions = Predictions(allow(three).write())
    three.run_parties().well()
    found = predictions.run().well().scores().set_index("person")
    expected = of_the_run(three)
    tolerance = 1e-6 if aggregate in ("concat", "sum") else 1e-3
    assert len(found) == len(three.tables["clinic"])
    np.testing.assert_allclose(found.score[expected.index], expected.joint, atol=tolerance)
    assert set(found["with"][expected.index]) == {"clinic, lab, gym"}
    unknown = sorted(set(found.index) - three.common())
    assert set(found["with"][unknown]) == {"clinic"}
    assert found.score.between(0, 1).all()


def test_all_rows_of_the_run_get_the_same_alone(finished) -> None:
    """The fallback is the model that the run compared with."""
    world = finished.world
    expected = of_the_run(world)
    for name in ("lab",):  # none of these people is known there any more
        world.tables[name]["person"] = [f"OTHER{number}" for number in range(len(world.tables[name]))]
    world.write()
    found = finished.run().well().scores().set_index("person")
    np.testing.assert_allclose(found.score[expected.index], expected.alone, atol=1e-6)
    assert set(found["with"]) == {"clinic"}
    assert "0 records are known to clinic and lab." in finished.ends["lab"].lines
    assert "200 rows were scored by the model of clinic alone, and are marked so in the column with." in (
        finished.ends["clinic"].lines
    )


def test_new_people_need_no_label_and_none_is_left_out(finished) -> None:
    """Rows without an id are scored alone; the order of the rows and the types of the keys stay."""
    world = finished.world
    people = world.tables["clinic"].drop(columns="outcome").iloc[::-1].reset_index(drop=True)
    people.loc[3, "person"] = None
    known = people.person.isin(world.common())
    found = finished.of(people).well().scores()
    assert list(found.columns) == ["person", "score", "with", "model"]
    assert found.person.isna().sum() == 1
    assert found.person[people.person.notna()].tolist() == people.person.dropna().tolist()
    assert (found["with"] == np.where(known, "clinic, lab", "clinic")).all()
    assert set(found.model) == {json.loads((world.run("clinic") / "run.json").read_text())["run"]}
    assert found.attrs["columns"]["score"] == "The probability of the label sick, from 0 to 1."
    whole = finished.run().well().scores().set_index("person")
    again = found[known].set_index("person")
    assert (whole.score[again.index] == again.score).all(), "a score depends on the records that are scored with it"


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_every_task_has_its_columns_as_csv_too(world, task: str) -> None:
    label = {"multiclass": "grade", "regression": "risk"}[task]
    everybody = people().set_index("person")
    world.tables["clinic"][label] = everybody[label][world.tables["clinic"].person].to_numpy()
    world.tables["clinic"] = world.tables["clinic"].drop(columns="outcome")
    world.files["clinic"]["data"] = {"source": "clinic.csv", "label": label}
    world.job["task"] = task
    allow(world).write().run_parties().well()
    out = world.folder / "out.csv"
    Predictions(world).run({"clinic": ScoringOptions(out=out)}).well()
    found, expected = pd.read_csv(out).set_index("person"), of_the_run(world)
    names = (
        {"value": "joint"}
        if task == "regression"
        else {f"score_{one}": f"joint_{one}" for one in ["high", "low", "middle"]}
    )
    assert list(found.columns) == [*names, "with", "model"]
    for name, column in names.items():
        np.testing.assert_allclose(found[name][expected.index], expected[column], atol=1e-5)


@pytest.mark.usefixtures("no_report")
def test_every_visit_of_a_person_is_scored_and_the_person_crosses_once(world) -> None:
    world.job["align"]["repeated"] = "many_to_one"
    clinic = world.tables["clinic"]
    world.tables["clinic"] = pd.concat([clinic, clinic[:50].assign(age=1.0)]).reset_index(drop=True)
    allow(world).write().run_parties().well()
    predictions = Predictions(world).run().well()
    found, expected = predictions.scores(), pd.read_parquet(world.run("clinic") / "predictions.parquet")
    np.testing.assert_allclose(found.score[expected.row], expected.joint, atol=1e-6)
    assert len(found) == 250
    sent = recorded_traffic(predictions.folder("lab") / "ledger.jsonl").counts["sent", "clinic", "Embedding"]
    assert sent.bytes < 16 * len(world.common()) + 200


# --- what crosses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aggregate", ["concat", "masked_sum"])
@pytest.mark.usefixtures("no_report")
def test_the_ledgers_verify_and_have_what_check_announced(three, aggregate: str) -> None:
    three.job["model"]["aggregate"] = aggregate
    for name in three.names:  # every record matches, as the announcement assumes
        table = three.tables[name]
        three.tables[name] = table[table.person.isin(three.common())].reset_index(drop=True)
    allow(three).write().run_parties().well()
    predictions = Predictions(three).run().well()
    for name in three.names:
        checked = CliRunner().invoke(app, ["check", "--predict", str(three.folder / f"{name}.yaml")])
        assert checked.exit_code == 0, checked.output
        settings = ScoringSettings.of(three.party(name), ScoringOptions())
        model, records = load_both(settings)
        announced = leaves_in_prediction(three.party(name).job, name, len(records.keys.keys), model.plan)
        crossed = recorded_traffic(predictions.folder(name) / "ledger.jsonl").counts
        sent = {(kind, to): count for (way, to, kind), count in crossed.items() if way == "sent"}
        assert {(row.kind, row.to): row.messages for row in announced} == {
            key: one.messages for key, one in sent.items()
        }
        for row in announced:
            assert row.kind in checked.output
            assert row.bytes == pytest.approx(sent[row.kind, row.to].bytes, rel=0.25, abs=500), row
    for name in ("lab", "gym"):
        ledgers = [str(predictions.folder(one) / "ledger.jsonl") for one in ("clinic", name)]
        verified = CliRunner().invoke(app, ["ledger", "verify", *ledgers, "--job", str(three.folder / "job.yaml")])
        assert verified.exit_code == 0, verified.output


def test_transcripts_do_not_depend_on_ids_and_columns(finished) -> None:
    world, transcripts = finished.world, []
    for turn in range(2):
        if turn:
            for table in world.tables.values():
                table["person"] = [name.replace("KEY0", "NEW1") for name in table.person]
                for column in table.columns.intersection(["age", "tsh", "t3"]):
                    table[column] = table[column].to_numpy()[::-1]
            world.write()
        finished.run().well()
        transcripts.append([transcript(finished.folder(name) / "ledger.jsonl") for name in world.names])
    assert transcripts[0] == transcripts[1]
    assert any(kind == "Embedding" for _, kind, _ in transcripts[0][1])
    assert "KEY0" not in "".join(
        file.read_text(errors="replace") for file in finished.folder("lab").iterdir() if file.suffix == ".jsonl"
    )


def transcript(ledger) -> list[tuple[str, str, int]]:
    lines = map(json.loads, ledger.read_text().splitlines())
    return [(line["direction"], line["kind"], line["size"]) for line in lines if line["what"] == "message"]


def test_each_party_has_a_folder_that_says_what_was_done(finished) -> None:
    world = finished.world
    finished.run().well()
    for name in world.names:
        folder = finished.folder(name)
        summary = json.loads((folder / "predict.json").read_text())
        assert summary["records"]["matched"] == len(world.common())
        assert (summary["party"], summary["session"]) == (name, folder.name.rpartition("-")[2])
        names = {"predict.json", "ledger.jsonl"} | ({"scores.parquet"} if name == "clinic" else set())
        assert {file.name for file in folder.iterdir()} == names
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert "Step" in str(finished.events["lab"])
    assert "KEY0" not in str(finished.events)


def test_a_link_that_comes_back_costs_nothing_but_time(finished, monkeypatch) -> None:
    """The lab loses its link once it has aligned; what was sent is sent again, and both ledgers say so."""
    world, before, transports = finished.world, finished.run().well().scores(), {}
    connect = prediction.connect

    def keep(contact, *rest):
        transports[contact.name] = connect(contact, *rest)
        return transports[contact.name]

    def cut(names, model, store, seals, session):
        transports["lab"]._links["clinic"].stream.shutdown(socket.SHUT_RDWR)
        return send_embeddings(names, model, store, seals, session)

    monkeypatch.setattr(prediction, "connect", keep)
    monkeypatch.setattr(prediction, "send_embeddings", cut)
    after = finished.run().well().scores()
    pd.testing.assert_series_equal(after.score, before.score)
    ledgers = [str(finished.folder(name) / "ledger.jsonl") for name in world.names]
    assert CliRunner().invoke(app, ["ledger", "verify", *ledgers]).exit_code == 0


@pytest.mark.usefixtures("no_report")
def test_images_and_a_module_of_the_users_own_score_too(world) -> None:
    (world.folder / "scans").mkdir()
    for person in world.tables["lab"].person:
        Image.fromarray(np.full((9, 7), int(person[3:]) % 251, np.uint8)).save(world.folder / f"scans/{person}.png")
    world.tables["lab"] = world.tables["lab"].assign(scan="scans/" + world.tables["lab"].person + ".png")
    world.files["lab"]["data"]["image"] = {"column": "scan", "size": [8, 8], "channels": 1}
    world.files["lab"]["bottom"] = {"module": "own_scans:build"}
    (world.folder / "own_scans.py").write_text(OWN_SCANS)
    allow(world).write().run_parties().well()
    found, expected = Predictions(world).run().well().scores().set_index("person"), of_the_run(world)
    np.testing.assert_allclose(found.score[expected.index], expected.joint, atol=1e-6)


OWN_SCANS = """
from torch import nn

class Scans(nn.Module):
    def __init__(self, shape, width):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, width))

    def forward(self, inputs):
        return self.body(inputs.image)

def build(shape, width):
    return Scans(shape, width)
"""


def test_a_launch_scores_on_one_machine(finished) -> None:
    """With `identity: auto` no bound is needed, since all parties are on this machine."""
    world = finished.world
    for name, member in world.job["parties"].items():
        member["identity"] = "auto"
        world.files[name].pop("identity")
    world.job["address"] = "127.0.0.1:0"
    del world.files["lab"]["accept"]["predict"]
    world.files["clinic"]["log"] = {"level": "debug", "file": "clinic.log"}
    world.files["clinic"]["predict"] = {"source": "new.csv"}
    world.write()
    world.tables["clinic"][:120].to_csv(world.folder / "new.csv", index=False)
    result = CliRunner().invoke(app, ["launch", "--predict", str(world.folder)])
    words = " ".join(result.output.split())
    assert result.exit_code == 0, words
    assert "rows were scored by the joint model." in words
    assert len(finished.scores()) == 120
    assert "KEY0" not in (world.folder / "clinic.log").read_text() + words
    both = CliRunner().invoke(app, ["launch", "--predict", "--restart", str(world.folder)])
    assert "A prediction keeps no state that --restart could discard" in " ".join(both.output.split())


# --- sources and files --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("kind", ["parquet", "sqlite", "csv"])
def test_keys_have_the_type_and_the_name_that_they_have_in_the_source(world, kind: str) -> None:
    """Also a key column that is named as a column of the scores."""
    for name, table in world.tables.items():
        table["person"] = table.person.str[3:].astype(int)
        world.tables[name] = table.rename(columns={"person": "score"} if name == "clinic" else {})
    world.files["clinic"]["data"]["key"] = ["score"]
    file = world.folder / f"new.{kind}"
    query = {"query": "select score, age, sex from new where score >= 40"} if kind == "sqlite" else {}
    world.files["clinic"]["predict"] = {"source": f"sqlite:///{file}" if kind == "sqlite" else file.name, **query}
    allow(world).write().run_parties().well()
    new = world.tables["clinic"][["score", "age", "sex"]].reset_index(drop=True)
    if kind == "sqlite":
        with closing(sqlite3.connect(file)) as database:
            new.to_sql("new", database, index=False)
        new = new[new.score >= 40]
    else:
        new.to_parquet(file) if kind == "parquet" else new.to_csv(file, index=False)
    found = Predictions(world).run().well().scores()
    assert found.key_score.dtype == np.int64
    assert found.key_score.tolist() == new.score.tolist()
    assert list(found.columns) == ["key_score", "score", "with", "model"]


def test_a_file_that_is_not_there_is_named_with_what_named_it(finished) -> None:
    world = finished.world.hasty()
    world.files["clinic"]["predict"] = {"source": "absent.csv"}
    world.write()
    finished.run()
    assert f"clinic.yaml, the key predict.source names {world.folder}/absent.csv, which does not exist." in str(
        finished.errors["clinic"]
    )
    finished.run({"clinic": ScoringOptions(data=world.folder / "gone.csv")})
    assert f"The option --data names {world.folder}/gone.csv, which does not exist." in str(finished.errors["clinic"])


@pytest.mark.parametrize(
    ("out", "sentence"),
    [("scores.xlsx", "it must end in .parquet or .csv"), ("no/folder/scores.csv", "name one in an existing folder")],
)
def test_scores_go_to_a_file_that_can_be_written(finished, out: str, sentence: str) -> None:
    party = finished.world.hasty().write().folder / "clinic.yaml"
    result = CliRunner().invoke(app, ["predict", str(party), "--out", out])
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())
