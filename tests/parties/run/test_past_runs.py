"""`vsplit runs`: which run folders there are, and that nothing is taken away but old finished runs."""

from __future__ import annotations

import fcntl
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from parties.command.cli import app
from parties.run.past_runs import WRITTEN, past_runs

pytestmark = pytest.mark.usefixtures("signals_as_before")


def runs(world, *options: str, name: str = "clinic", answer: str | None = None):
    result = CliRunner().invoke(app, ["runs", str(world.folder / f"{name}.yaml"), *options], input=answer)
    return result, " ".join(result.output.split())


def listed(world, *options: str) -> list[dict]:
    return json.loads(runs(world, "--json", *options)[0].stdout)["runs"]


def folder(world, name: str, days_ago: float, party: str = "clinic", **further: str) -> Path:
    """A run folder as a finished run leaves it."""
    path = world.folder / "runs" / name
    path.mkdir(parents=True)
    ended = datetime.now(UTC) - timedelta(days=days_ago)
    content = {"job": "test", "party": party, "run": "0" * 32, "ended": ended.isoformat(), "started": ended.isoformat()}
    (path / "run.json").write_text(json.dumps(content | further))
    (path / "metrics.json").write_text(json.dumps({"test": {"joint": {"auc": {"value": 0.75}, "brier": {"value": 1}}}}))
    (path / "predictions.parquet").write_bytes(bytes(1000))
    return path


@pytest.fixture
def five(world):
    """The current run and four older ones, the oldest with the number 1."""
    world.write()
    for name, days in (("clinic", 0), ("clinic-4", 1), ("clinic-3", 10), ("clinic-2", 20), ("clinic-1", 30)):
        folder(world, name, days)
    return world


def there(world) -> set[str]:
    return {path.name for path in (world.folder / "runs").iterdir()}


@pytest.mark.usefixtures("no_report")
def test_what_runs_leave_is_listed_and_can_be_taken_away(world) -> None:
    for _ in range(2):
        world.write().run_parties().well()
    assert {file.name for file in world.run("clinic").iterdir()} == WRITTEN
    found = listed(world)
    assert [(run["name"], run["state"], run["job"]) for run in found] == [
        ("clinic", "finished", "test"),
        ("clinic-1", "finished", "test"),
    ]
    size = sum(file.stat().st_size for file in world.run("clinic").iterdir())
    assert found[0]["bytes"] == size
    metrics = json.loads((world.run("clinic") / "metrics.json").read_text())
    assert found[0]["metric"] == {"name": "auc", "value": metrics["test"]["joint"]["auc"]["value"]}
    assert found[0]["run"] == json.loads((world.run("clinic") / "run.json").read_text())["run"]
    (world.folder / "job.yaml").unlink()  # which a listing does not need
    result, words = runs(world, "--prune", "--keep", "1", "--yes")
    assert result.exit_code == 0, result.output
    assert f"Deleted {world.folder}/runs/clinic-1" in words
    assert there(world) == {"clinic", "lab", "lab-1"}
    lab = json.loads(runs(world, "--json", name="lab")[0].stdout)["runs"]
    assert [run["metric"] for run in lab] == [None, None]


def test_the_table_says_name_date_state_size_and_metric(five) -> None:
    result, words = runs(five)
    assert result.exit_code == 0
    for word in ("clinic-4", "finished", "test", "1.2 kB", "auc 0.750", f"{datetime.now(UTC):%Y-%m-%d}"):
        assert word in words
    assert [run["name"] for run in listed(five)] == ["clinic", "clinic-4", "clinic-3", "clinic-2", "clinic-1"]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--keep", "3"], {"clinic", "clinic-4", "clinic-3"}),
        (["--keep", "1"], {"clinic"}),
        (["--keep", "9"], {"clinic", "clinic-4", "clinic-3", "clinic-2", "clinic-1"}),
        (["--older-than", "15"], {"clinic", "clinic-4", "clinic-3"}),
        (["--older-than", "0"], {"clinic"}),
    ],
)
def test_as_many_go_as_were_asked_for_and_never_the_latest(five, options: list[str], left: set[str]) -> None:
    result, _ = runs(five, "--prune", *options, "--yes")
    assert result.exit_code == 0, result.output
    assert there(five) == left


def test_it_asks_first(five) -> None:
    result, words = runs(five, "--prune", "--keep", "2")
    assert result.exit_code == 2
    assert "to delete 3 run folders without confirmation, add --yes" in words
    assert len(there(five)) == 5
    for wrong in (["--prune"], ["--prune", "--keep", "1", "--older-than", "3"], ["--keep", "1"], ["--yes"]):
        assert runs(five, *wrong)[0].exit_code == 2
    assert len(there(five)) == 5


@pytest.mark.parametrize(("answer", "left"), [("yes\n", 2), ("no\n", 5), ("\n", 5), ("", 5)])
def test_only_the_word_yes_will_do(five, monkeypatch, answer: str, left: int) -> None:
    from parties.command import runs as command

    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return answer

    monkeypatch.setattr(command.sys, "stdin", Terminal())
    from rich.console import Console

    try:
        command.prune_runs(five.folder / "clinic.yaml", Console(), keep=2, older_than=None, sure=False, as_json=False)
    except Exception as error:
        assert "the answer was not yes" in str(error)
    assert len(there(five)) == left


def test_what_is_no_old_run_of_this_party_stays(five) -> None:
    """Each of these would be among the oldest."""
    place = five.folder / "runs"
    unfinished = folder(five, "clinic-11", 100) / ".unfinished"
    unfinished.mkdir()
    (unfinished / "alignment").write_bytes(b"x")
    running = folder(five, "clinic-12", 100) / ".unfinished"
    running.mkdir()
    (folder(five, "clinic-13", 100) / "notes.txt").write_text("mine")
    (folder(five, "clinic-14", 100) / "sub").mkdir()
    folder(five, "clinic-15", 100, party="lab")
    folder(five, "clinic-old", 100)
    folder(five, "clinic-007", 100)
    folder(five, "clinics-1", 100)
    (place / "clinic-16").mkdir()
    (place / "clinic-16" / "run.json").write_text("{}")
    (place / "clinic-17").mkdir()
    (place / "clinic-18").write_text("a file")
    elsewhere = five.folder / "elsewhere"
    folder(five, "clinic-19", 100).rename(elsewhere)
    (place / "clinic-19").symlink_to(elsewhere)
    outside = five.folder / "outside.txt"
    outside.write_text("mine")
    (folder(five, "clinic-20", 100) / "report.html").symlink_to(outside)
    before = there(five)
    with (running / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result, words = runs(five, "--prune", "--older-than", "5", "--yes")
        states = {run["name"]: run["state"] for run in listed(five)}
    assert result.exit_code == 0, result.output
    assert before - there(five) == {"clinic-1", "clinic-2", "clinic-3"}
    assert (states["clinic-11"], states["clinic-12"], states["clinic"]) == ("unfinished", "running", "finished")
    for name, why in (
        ("clinic-11", "it has a run that may be resumed"),
        ("clinic-12", "it has a run that may be resumed"),
        ("clinic-13", "it has something that no run has written"),
        ("clinic-14", "it has something that no run has written"),
        ("clinic-20", "it has something that no run has written"),
    ):
        assert f"Kept {place}/{name}: {why}." in words
    assert outside.read_text() == "mine"
    assert (elsewhere / "run.json").exists()


def test_a_current_folder_with_an_unfinished_run_alone_is_listed(world) -> None:
    world.write()
    assert listed(world) == []
    assert "There is no run folder" in runs(world)[1]
    kept = world.run("clinic") / ".unfinished"
    kept.mkdir(parents=True)
    (kept / "alignment").write_bytes(bytes(10))
    (found,) = past_runs(world.folder / "clinic.yaml")
    assert (found.state, found.size, found.ended) == ("unfinished", 10, None)
    assert runs(world, "--prune", "--older-than", "0", "--yes")[1] == "Nothing was deleted."
    assert kept.exists()


def test_one_that_was_begun_to_be_removed_is_found_again(five, monkeypatch) -> None:
    real, removed = os.unlink, []

    def unlink(path, **options):
        if str(path).endswith("predictions.parquet"):
            raise PermissionError(1, "Operation not permitted")
        removed.append(Path(path).name)
        real(path, **options)

    monkeypatch.setattr("os.unlink", unlink)
    result, words = runs(five, "--prune", "--keep", "4", "--yes")
    assert result.exit_code != 0
    assert "clinic-1 cannot be removed completely (Operation not permitted)" in words
    assert removed == ["metrics.json"]
    monkeypatch.undo()
    assert "clinic-1" in [run["name"] for run in listed(five)]


def test_json_says_what_was_removed_and_what_was_left(five) -> None:
    (five.folder / "runs/clinic-2/notes.txt").write_text("mine")
    outcome = json.loads(runs(five, "--prune", "--keep", "2", "--yes", "--json")[0].stdout)
    assert [run["name"] for run in outcome["removed"]] == ["clinic-3", "clinic-1"]
    assert [(run["name"], run["kept_because"]) for run in outcome["left"]] == [
        ("clinic-2", "has something that no run has written")
    ]


def why_kept(world, name: str) -> str | None:
    return {run["name"]: run["kept_because"] for run in listed(world)}[name]


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("order.secret", {"order": "runs/clinic-1/order.secret"}),
        ("job.yaml", {"job": "runs/clinic-1/job.yaml"}),
        ("predictions.parquet", {"data": {"source": "runs/clinic-1/predictions.parquet"}}),
        ("metrics.json", {"identity": "link/metrics.json"}),
        ("report.html", {"partners": "runs/clinic-1/report.html"}),
        ("model.json", {"log": {"file": "runs/clinic-1/model.json"}}),
        ("metrics.json", {"bottom": {"module": "own:build", "folder": "runs/clinic-1"}}),
        ("party.yaml", {"data": {"source": "sqlite:///runs/clinic-1/party.yaml", "query": "select 1"}}),
        ("party.yaml", {"data": {"source": "sqlite:///ABSOLUTE/runs/clinic-1/party.yaml", "query": "select 1"}}),
    ],
)
def test_a_run_whose_files_the_party_file_names_stays(five, file: str, change: dict) -> None:
    """As `order`, which is the order.secret of an earlier run."""
    old = five.folder / "runs/clinic-1"
    if not (old / file).exists():
        (old / file).write_text("")
    (five.folder / "link").symlink_to(old)
    for key, value in change.items():
        own = five.files["clinic"]
        own[key] = own.get(key, {}) | value if isinstance(value, dict) and key == "data" else value
    source = five.files["clinic"]["data"]["source"]
    five.files["clinic"]["data"]["source"] = source.replace("ABSOLUTE", str(five.folder))
    five.write()
    result, words = runs(five, "--prune", "--keep", "1", "--yes")
    assert result.exit_code == 0, result.output
    assert there(five) == {"clinic", "clinic-1"}
    assert f"Left {old}: it has a file that {five.folder}/clinic.yaml names." in words


@pytest.mark.parametrize("output", ["runs/clinic-1", "'../all runs/clinic-1/'", '"runs/clinic-1"  # of another job'])
def test_a_run_of_another_party_file_of_a_party_of_this_name_stays(five, output: str) -> None:
    """As where the file of another job says `output: runs/clinic-1`: then it holds that job's latest run."""
    old = five.folder / "runs/clinic-1"
    (old / "party.yaml").write_text(f"job: job.yaml\nparty: clinic\ndata:\n  query: ***\noutput: {output}\n")
    (five.folder / "runs/clinic-2/party.yaml").write_text("data: ***\noutput: ../elsewhere/clinic/\n")
    result, _words = runs(five, "--prune", "--keep", "1", "--yes")
    assert result.exit_code == 0, result.output
    assert there(five) == {"clinic", "clinic-1"}
    assert why_kept(five, "clinic-1") == "has a run of another party file, whose output is clinic-1"


@pytest.mark.parametrize("what", ["a link", "another run", "a file of one's own", "gone", "goes on"])
def test_what_has_become_something_else_since_it_was_listed_stays(five, monkeypatch, what: str) -> None:
    """A person may think for hours before the answer, while runs go on."""
    from parties.command import runs as command

    old, elsewhere = five.folder / "runs/clinic-3", five.folder / "elsewhere"

    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            if what in ("a link", "gone"):
                old.rename(elsewhere)
            if what == "a link":
                old.symlink_to(elsewhere)
            elif what == "another run":
                old.rename(elsewhere)
                folder(five, "clinic-3", 0.1, run="1" * 32)
            elif what == "a file of one's own":
                (old / "notes.txt").write_text("mine")
            elif what == "goes on":
                (old / ".unfinished").mkdir()
                (old / ".unfinished/alignment").write_text("x")
            return "yes\n"

    monkeypatch.setattr(command.sys, "stdin", Terminal())
    from parties.command.console import Console

    console = Console(record=True, width=400)
    code = command.prune_runs(five.folder / "clinic.yaml", console, keep=2, older_than=None, sure=False, as_json=False)
    text = console.export_text()
    assert code == 0
    assert f"Kept {old}: it is no longer the one that was listed." in text
    assert there(five) == {"clinic", "clinic-4", "clinic-3"} - ({"clinic-3"} if what == "gone" else set())
    for place in (old, elsewhere):
        if place.exists():
            assert (place / "predictions.parquet").exists() and (place / "run.json").exists()
