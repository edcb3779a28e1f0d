"""`vsplit init`: files that need only the paths and columns filled in, and that say what each key means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from docs.generator.config import NOT_IN_INIT, comments_in, config_keys
from parties.command.cli import app
from parties.command.init import FILL_IN, config_texts
from parties.config.bounds import check_bounds
from parties.config.job import Job, load_job
from parties.config.party import load_party
from parties.config.party_file import PartyFile
from parties.network.identity import PrivateIdentity

pytestmark = pytest.mark.usefixtures("signals_as_before")


def vsplit(*words: object):
    """The exit code and the words of a command."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, " ".join(result.output.split())


def data(folder: Path, *, outcome: str = "class") -> None:
    """Made-up people, of whom the three parties know different things."""
    draw = np.random.default_rng(3)
    people = pd.DataFrame({"id": [f"KEY{number:04d}" for number in range(400)]})
    for name in ("clinic", "lab", "gym"):
        table = people.assign(**{f"{name}_{letter}": draw.normal(size=400) for letter in "xy"})
        if name == "clinic":
            score = table.clinic_x + 0.3 * draw.normal(size=400)
            table["outcome"] = score if outcome == "number" else np.where(score > 0, "sick", "healthy")
        table.to_csv(folder / f"{name}.csv", index=False)


@pytest.mark.parametrize("names", [["clinic", "lab"], ["lab", "clinic", "gym"]])
def test_once_the_paths_are_filled_in_check_and_launch_go_well(tmp_path: Path, names: list[str]) -> None:
    """The data lies where the files say by themselves, and the columns have the names that stand there."""
    folder = tmp_path / "joint"
    code, words = vsplit("init", *names, "--label", "clinic", "--folder", folder)
    assert code == 0, words
    assert f"Written to {folder}: job.yaml, {', '.join(f'{name}.yaml' for name in names)}." in words
    data(folder)
    job = folder / "job.yaml"
    text = job.read_text(encoding="utf-8").replace("127.0.0.1:9440", "127.0.0.1:0").replace("epochs: 30", "epochs: 2")
    job.write_text(text, encoding="utf-8")
    for name in names:
        code, words = vsplit("check", folder / f"{name}.yaml")
        assert code == 0, words
        assert "All checks passed: this party is ready for a run." in words
    code, words = vsplit("launch", folder)
    assert code == 0, words
    assert "clinic: test AUC together: " in words
    assert (folder / "runs/clinic/report.html").is_file()
    assert load_job(job).job == "joint"
    assert load_job(job).label_party == "clinic"


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_each_party_accepts_what_the_job_asks_and_no_more(tmp_path: Path, task: str) -> None:
    assert vsplit("init", "clinic", "lab", "--task", task, "--folder", tmp_path)[0] == 0
    data(tmp_path, outcome="number" if task == "regression" else "class")
    for name in ("clinic", "lab"):
        party = load_party(tmp_path / f"{name}.yaml")
        check_bounds(party)
        accept, job = party.settings.accept, party.job
        assert accept.tasks == (job.task,) == (task,)
        assert accept.aggregations == (job.model.aggregate,)
        assert accept.max_embedding == job.model.embedding
        assert party.settings.seed is None
        code, words = vsplit("check", tmp_path / f"{name}.yaml")
        assert code == 0, words


def test_the_files_have_a_comment_on_every_key_there_is() -> None:
    job, clinic, lab = config_texts(["clinic", "lab"], label="clinic", task="binary", job="joint").values()
    found = [*config_keys(Job, [job]), *config_keys(PartyFile, [clinic, lab])]  # KeyError where one is absent
    assert {key.name for key in found if not key.example and "group" not in key.words} == set(NOT_IN_INIT)
    assert all(key.meaning for key in found)
    assert not re.search(r"^#? *seed:", clinic + lab, re.MULTILINE)
    assert comments_in(job).keys() - {key.name for key in found} == {"parties.NAME"}
    assert (comments_in(clinic) | comments_in(lab)).keys() <= {key.name for key in found}


def test_a_commented_out_key_shows_its_default_and_can_be_used_by_removing_its_mark() -> None:
    texts = config_texts(["clinic", "lab"], label="clinic", task="binary", job="joint")
    models: dict[str, Any] = {"job.yaml": Job, "clinic.yaml": PartyFile, "lab.yaml": PartyFile}
    for file, text in texts.items():
        whole = yaml.safe_load(re.sub(r"^( *)# (?= *\w+:(?! *module))", r"\1", text, flags=re.MULTILINE))
        for key in config_keys(models[file], [text] if file == "job.yaml" else list(texts.values())[1:]):
            value = whole
            for part in key.name.replace("NAME", "lab").split("."):
                value = value.get(part) if isinstance(value, dict) else None
            default = key.default.strip("`")
            # Neither what must be given nor what is absent by itself has a default to show.
            if (
                default not in ("required", "absent", "those of its keys")
                and value is not None
                and "group" not in key.words
            ):
                assert value == yaml.safe_load(default), key


def test_between_machines_each_party_has_a_key_and_known_lines_are_filled_in(tmp_path: Path) -> None:
    own, others = PrivateIdentity.generate(), PrivateIdentity.generate()
    own.save(tmp_path / "clinic.key")
    code, words = vsplit("init", "clinic", "lab", "--keys", "--folder", tmp_path)
    assert code == 0, words
    assert "vsplit identity new clinic" in words
    job = (tmp_path / "job.yaml").read_text(encoding="utf-8")
    assert f"identity: {own.public.line} " in job
    assert "auto" not in job
    data(tmp_path)
    code, words = vsplit("check", tmp_path / "clinic.yaml")
    assert (code, "parties.lab.identity" in words, "paste the whole line" in words) == (2, True, True)
    job = job.replace('"the line that `vsplit identity new lab` prints"', others.public.line)
    (tmp_path / "job.yaml").write_text(job, encoding="utf-8")
    code, words = vsplit("check", tmp_path / "clinic.yaml")
    assert code == 0, words
    assert "Listens on port 9440 of every address of this machine" in words
    assert "the feature parties dial label-party.example.org:9440." in words
    others.save(tmp_path / "lab.key")
    assert vsplit("check", tmp_path / "lab.yaml")[0] == 0


def test_what_must_be_filled_in_is_marked() -> None:
    alone = config_texts(["a", "b"], label="b", task="binary", job="j")
    apart = config_texts(["a", "b"], label="b", task="binary", job="j", lines={})
    marked = {name: re.findall(rf"^ *(\w+):.*{FILL_IN}:", text, re.MULTILINE) for name, text in apart.items()}
    assert marked == {
        "job.yaml": ["address", "identity", "identity", "key"],
        "a.yaml": ["source"],
        "b.yaml": ["source", "label"],
    }
    assert re.findall(rf"^ *(\w+):.*{FILL_IN}:", alone["job.yaml"], re.MULTILINE) == ["key"]


@pytest.mark.parametrize("there", ["job.yaml", "clinic.yaml", "lab.yaml"])
def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine", encoding="utf-8")
    code, words = vsplit("init", "clinic", "lab", "--folder", tmp_path)
    assert code == 2
    assert f"{tmp_path} already contains {there}, and" in words
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["clinic"], "1 name given; a job has 2 to 64 parties"),
        (["clinic", "Clinic"], "are equal, or differ only in upper and lower case"),
        (["clinic", "../lab"], "'../lab' cannot be a party's name; it must be a letter, then"),
        (["clinic", "job"], "A party cannot be named job"),
        (["clinic", "con"], "'con' cannot be a party's name"),
        (["clinic", "lab", "--label", "klinic"], "not one of the names clinic, lab; did you mean clinic?"),
        (
            ["clinic", "lab", "--task", "binry"],
            "'binry'; it must be one of binary, multiclass, regression; did you mean binary?",
        ),
        ([f"p{number}" for number in range(65)], "65 names given"),
    ],
)
def test_errors_are_one_sentence(tmp_path: Path, words: list[str], said: str) -> None:
    code, output = vsplit("init", *words, "--folder", tmp_path / "new")
    assert code == 2
    assert said in output
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, words = vsplit("init", "clinic", "lab", "--folder", tmp_path / "file" / "below")
    assert code == 2
    assert f"The files cannot be written to {tmp_path}/file/below" in words


@pytest.mark.parametrize(("folder", "job"), [("Größe 7", "Gr-e-7"), ("...", "job"), ("a" * 80, "a" * 64)])
def test_the_job_is_called_as_the_folder_as_far_as_that_is_a_name(tmp_path: Path, folder: str, job: str) -> None:
    assert vsplit("init", "clinic", "lab", "--folder", tmp_path / folder)[0] == 0
    assert load_job(tmp_path / folder / "job.yaml").job == job
