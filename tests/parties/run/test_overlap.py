"""`vsplit overlap`: every party learns how many records all share; nothing else is read, sent or left behind."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from parties.command import cli
from parties.command.disclosure import sent_by_overlap
from parties.command.overlap import overlap_figures, overlap_lines, run_overlap
from parties.config.data_source import DataSource
from parties.data.party_data import read_party_data
from parties.data.table import read_key_columns, read_table
from parties.monitoring.events import Event, Finished, Step
from parties.run.overlap import Counted
from parties.run.party_run import run_party
from vsplit.protocol import ConfigError, DataError, MismatchError, RefusedError, StoppedError, VsplitError

pytestmark = pytest.mark.usefixtures("signals_as_before", "no_report")

LEARNING = ("task", "split", "model", "train")


def in_threads(commands: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """What each party's command returned, or the error that ended it."""
    ends: dict[str, Any] = {}

    def one(name: str) -> None:
        try:
            ends[name] = commands[name]()
        except (VsplitError, Exception) as error:
            ends[name] = error

    threads = [threading.Thread(target=one, args=(name,), daemon=True) for name in commands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a party hangs"
    return ends


def overlap_of(world, show: Callable[[Event], None] = lambda _event: None) -> dict[str, Any]:
    world.write()
    files = {name: world.folder / f"{name}.yaml" for name in world.names}
    return in_threads({name: lambda file=file: run_overlap(file, show) for name, file in files.items()})


def well(ends: dict[str, Any]) -> dict[str, Counted]:
    for end in ends.values():
        if isinstance(end, Exception):
            raise end
    return ends


# --- what is learned --------------------------------------------------------------------------------------------------


def test_three_parties_learn_how_many_all_share(three) -> None:
    before = {path.name for path in three.write().folder.rglob("*")}
    events: list[Event] = []
    ends = well(overlap_of(three, events.append))
    common, clinic = len(three.common()), ends["clinic"]
    pairs = {name: len(three.common("clinic", name)) for name in ("lab", "gym")}
    assert {end.result.matched for end in ends.values()} == {common}
    assert overlap_lines(clinic)[:3] == [
        f"{common:,} records are common to clinic, lab and gym, {common / 200:.1%} of the shortest list.",
        "Usable records: 200 at clinic, 220 at lab and 200 at gym.",
        f"clinic shares {pairs['lab']} with lab and {pairs['gym']} with gym; the feature parties do not learn these numbers.",
    ]
    assert overlap_figures(clinic)["shared_with"] == pairs
    for name in ("lab", "gym"):
        assert overlap_figures(ends[name])["shared_with"] is None
        assert not any("shares" in line for line in overlap_lines(ends[name]))
    assert not any("KEY0" in repr(event) for event in events)
    assert len([event for event in events if isinstance(event, Finished)]) == 3
    # Nothing is left behind but the counts.
    left = {path.name for path in three.folder.rglob("*")} - before
    assert left == {f"{name}.partners.json" for name in three.names} | {
        f".{name}.partners.json.lock" for name in three.names
    }


@pytest.mark.parametrize("kept", [60, 20])
def test_a_match_is_low_by_the_shortest_of_all_lists(three, kept) -> None:
    """The gym has 60 records that all share, so the match is as good as it can be, however long the others' lists are."""
    gym = three.tables["gym"]
    gym = gym[gym.person.isin(three.common())][:60].reset_index(drop=True)
    gym.loc[kept:, "person"] = gym.person[kept:].str.lower()
    three.tables["gym"] = gym
    for settings in three.files.values():
        settings["accept"] = {"min_list": 50, "min_records": 1}
    ends = well(overlap_of(three))
    assert {end.result.matched for end in ends.values()} == {kept}
    low = kept < 30
    for name, end in ends.items():
        peers = ["lab", "gym"] if name == "clinic" else ["clinic"]
        told = sorted(
            peer for direction, peer, kind in end.traffic.counts if (direction, kind) == ("sent", "KeyShapes")
        )
        assert told == (sorted(peers) if low else [])
        assert bool(end.causes) is low
    if low:
        assert (
            "The list of this party or that of gym is too short to compare the shapes of their keys."
            in ends["clinic"].causes
        )


def test_check_says_which_messages_an_overlap_sends(three) -> None:
    for name, counted in well(overlap_of(three)).items():
        sent = {kind for direction, _, kind in counted.traffic.counts if direction == "sent"}
        promised = set(sent_by_overlap(read_party_data(three.party(name))))
        assert promised - sent == {"KeyShapes"}  # they leave where few match
        assert sent <= promised


def test_nothing_but_the_key_columns_is_read(world) -> None:
    """No label column, nothing about learning in the job, columns that a run would refuse."""
    del world.files["clinic"]["data"]["label"], world.files["clinic"]["data"]["positive"]
    for group in LEARNING:
        del world.job[group]
    world.tables["clinic"] = world.tables["clinic"].drop(columns="outcome")
    world.tables["lab"] = world.tables["lab"][["person"]]
    ends = well(overlap_of(world))
    assert {end.result.matched for end in ends.values()} == {len(world.common())}


def test_jobs_may_differ_in_what_they_say_about_learning_and_in_nothing_else(world) -> None:
    job = world.write().folder / "job.yaml"
    own = world.folder / "lab-job.yaml"
    world.files["lab"]["job"] = own.name
    own.write_text(job.read_text().replace("epochs: 3", "epochs: many").replace("binary", "regression"))
    assert well(overlap_of(world))["lab"].result.matched == len(world.common())
    own.write_text(job.read_text().replace("job: test", "job: tests"))
    ends = overlap_of(world)
    assert all("first key that differs is job." in str(end) for end in ends.values()), ends
    own.write_text(job.read_text().replace("align:", "align:\n  hints: false"))
    ends = overlap_of(world)
    assert all("first key that differs is align.hints." in str(end) for end in ends.values()), ends


def test_rows_without_a_label_count_and_the_bad_ones_do_not(world) -> None:
    clinic = world.tables["clinic"]
    clinic.loc[:9, "outcome"] = None
    clinic.loc[10:12, "person"] = None
    clinic.loc[14, "person"] = clinic.person[13]
    world.job["align"]["repeated"] = "first"
    world.files["lab"]["accept"] = {"min_records": 200}
    ends = well(overlap_of(world))
    assert ends["lab"].result.peer_records == {"clinic": 196}
    lines = overlap_lines(ends["clinic"])
    assert lines[2].endswith(
        "clinic.csv: 196 with a usable key, 3 without a key, 1 left out because their key is repeated."
    )
    assert "a run leaves out those of clinic that have no label" in lines[-1]
    fewest = "requires 200 records in common (accept.min_records)."
    assert [fewest in " ".join(overlap_lines(ends[name])) for name in world.names] == [False, True]


def test_none_in_common_is_an_answer_with_likely_causes(world) -> None:
    world.tables["lab"].person = world.tables["lab"].person.str.lower()
    ends = well(overlap_of(world))
    for counted in ends.values():
        assert counted.result.matched == 0
        assert overlap_lines(counted)[0] == "0 records are common to clinic and lab, 0.0% of the shortest list."
        assert any("put lower into align.normalise for person." in line for line in overlap_lines(counted))


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runner", ["clinic", "lab"])
def test_an_overlap_and_a_run_part_before_any_list_leaves(world, runner: str) -> None:
    world.write()
    seen: dict[str, list[Event]] = {name: [] for name in world.names}
    other = next(name for name in world.names if name != runner)
    ends = in_threads(
        {
            runner: lambda: run_party(world.party(runner), world.keys[runner], seen[runner].append),
            other: lambda: run_overlap(world.folder / f"{other}.yaml", seen[other].append),
        }
    )
    for name, mine, theirs in ((runner, "run", "overlap"), (other, "overlap", "run")):
        assert type(ends[name]) is MismatchError
        assert f"{name} was started with `vsplit {mine}` and " in str(ends[name])
        assert f"with `vsplit {theirs}`; nothing was compared." in str(ends[name])
        assert {event.stage for event in seen[name] if isinstance(event, Step)} <= {
            "starting",
            "reading data",
            "waiting",
        }
    # A meeting that ends at the greeting is none.
    assert not list(world.folder.glob("keys/*.json"))


def test_a_list_that_is_too_short_is_refused_locally(world) -> None:
    world.tables["lab"] = world.tables["lab"][:60]
    world.hasty().write()
    with pytest.raises(RefusedError, match=r"only 60 usable keys, fewer than the 100 .*accept\.min_list"):
        run_overlap(world.folder / "lab.yaml", lambda _event: None)
    with pytest.raises(RefusedError, match=r"accept\.min_list"):
        run_party(world.party("lab"), world.keys["lab"], lambda _event: None)


def test_another_list_that_is_too_short_or_too_long_is_refused(world) -> None:
    world.files["lab"]["accept"] = {"min_list": 1}
    world.tables["lab"] = world.tables["lab"][:99]
    ends = overlap_of(world)
    assert isinstance(ends["clinic"], RefusedError)
    assert "lab brings a list of only 99 records, fewer than the 100" in str(ends["clinic"])
    assert isinstance(ends["lab"], StoppedError)
    world.files["lab"]["accept"] = {"min_list": 1, "max_records": 199}
    world.files["clinic"]["accept"] = {"min_list": 1}
    ends = overlap_of(world)
    assert isinstance(ends["lab"], RefusedError)
    assert "clinic brings a list of 200 records, more than the 199" in str(ends["lab"])


def test_runs_and_overlaps_are_counted_together_and_refused_beyond_the_bound(world) -> None:
    world.files["lab"]["accept"] |= {"max_runs": 2}
    well(overlap_of(world))
    world.run_parties().well()
    ends = overlap_of(world)
    assert isinstance(ends["lab"], RefusedError)
    assert "There were 2 runs, overlaps and predictions with clinic since" in str(ends["lab"])
    assert isinstance(ends["clinic"], StoppedError)
    assert "lab stopped the session: it refuses" in str(ends["clinic"])
    outcomes = world.run_parties()
    assert isinstance(outcomes.errors["lab"], RefusedError)
    # The clinic counted the attempts that lab refused: it could not know before its own list might leave.
    words = " ".join(CliRunner().invoke(cli.app, ["check", str(world.folder / "clinic.yaml")]).output.split())
    assert "Runs, overlaps and predictions with lab in the last 30 days: 4 of 100 (accept.max_runs)." in words


def test_a_damaged_count_ends_both_before_any_list_leaves(world) -> None:
    world.write()
    (world.folder / "keys/lab.partners.json").write_text("{")
    ends = overlap_of(world)
    assert isinstance(ends["lab"], ConfigError)
    assert "lab.partners.json" in str(ends["lab"])
    assert isinstance(ends["clinic"], StoppedError)


def test_the_count_is_not_kept_where_a_run_would_move_it_aside(world) -> None:
    world.files["lab"]["partners"] = "runs/lab/partners.json"
    with pytest.raises(ConfigError, match="which has the count of runs with each partner"):
        run_party(world.hasty().write().party("lab"), world.keys["lab"], lambda _event: None)


def test_errors_locally_are_those_of_a_run(world) -> None:
    world.files["lab"]["data"]["key"] = ["persn"]
    world.hasty().write()
    with pytest.raises(DataError, match=r"no column persn, which the key data\.key of .*did you mean person\?"):
        run_overlap(world.folder / "lab.yaml", lambda _event: None)
    world.job["parties"]["clinic"]["identity"] = "auto"
    world.write()
    with pytest.raises(ConfigError, match="works only with `vsplit launch "):
        run_overlap(world.folder / "lab.yaml", lambda _event: None)
    del world.job["align"]
    world.write()
    with pytest.raises(ConfigError, match="align"):
        run_overlap(world.folder / "lab.yaml", lambda _event: None)


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_launch_of_an_overlap_leaves_nothing(world) -> None:
    for member in world.job["parties"].values():
        member["identity"] = "auto"
    world.job["address"] = "127.0.0.1:0"
    before = set(world.write().folder.rglob("*"))
    result = CliRunner().invoke(cli.app, ["launch", "--overlap", str(world.folder)])
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    for name in world.names:
        assert f"{name}: 180 records are common to clinic and lab, 90.0% of the shortest list." in words
    assert "report" not in words
    assert set(world.folder.rglob("*")) == before


def test_json_is_one_line_on_standard_output(world) -> None:
    world.write()
    command = [sys.executable, "-m", "parties", "overlap", "--json", str(world.folder / "lab.yaml")]
    lab = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    clinic = run_overlap(world.folder / "clinic.yaml", lambda _event: None)
    out, err = lab.communicate(timeout=30)
    assert lab.returncode == 0, err
    found = json.loads(out)
    assert out.count("\n") == 1
    assert (found["party"], found["role"], found["matched"]) == ("lab", "feature", clinic.result.matched)
    assert found["records"] == {"lab": 220, "clinic": 200}
    assert found["keys"]["usable"] == 220
    assert found["bytes"]["sent"] > 220 * 32
    assert "lab: 180 records are common to clinic and lab" in " ".join(err.split())


def test_with_json_an_error_is_not_on_standard_output(world) -> None:
    world.files["lab"]["data"]["key"] = ["persn"]
    result = CliRunner().invoke(cli.app, ["overlap", "--json", str(world.hasty().write().folder / "lab.yaml")])
    assert (result.exit_code, result.stdout) == (3, "")
    assert "no column persn" in " ".join(result.stderr.split())


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "sqlite"])
def test_every_source_gives_the_keys_of_a_run(world, kind: str) -> None:
    table, data = world.tables["lab"], world.files["lab"]["data"]
    world.write()
    file = world.folder / f"other.{kind}"
    if kind == "parquet":
        table.to_parquet(file)
    elif kind == "sqlite":
        with closing(sqlite3.connect(file)) as database:
            table.to_sql("lab", database, index=False)
    else:
        table.to_csv(file, index=False)
    data |= (
        {"source": file.name}
        if kind != "sqlite"
        else {"source": f"sqlite:///{file.name}", "query": "select * from lab"}
    )
    source = DataSource.of(world.write().party("lab"))
    where, keys = read_key_columns(source)
    assert file.name in where or kind == "sqlite"
    pd.testing.assert_frame_equal(keys, read_table(source).keys)


def test_an_overlap_loads_neither_torch_nor_scikit_learn() -> None:
    script = "import sys, parties.run.overlap; print(sorted({'torch', 'sklearn'} & sys.modules.keys()))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "[]\n"
