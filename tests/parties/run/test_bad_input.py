"""Lives that cannot go well: one sentence says what, where and what to do; nothing half-written stays behind."""

from __future__ import annotations

import re
import socket
import textwrap
import threading
from dataclasses import replace

import pytest

from parties.monitoring.events import FAILURE, NOTIFYING, Step
from parties.network.identity import PrivateIdentity
from parties.run.party_run import run_party
from vsplit.protocol import (
    ConfigError,
    DataError,
    MismatchError,
    PeerAbsent,
    RefusedError,
    StoppedError,
    VsplitError,
)

BEFORE = {
    "config": "its configuration is wrong, or a file, a package or a device that it needs is missing",
    "data": "its data cannot be used",
    "refused": "its party file does not allow what the job asks, the length of a list, or one more run",
}
pytestmark = pytest.mark.usefixtures("no_report")


def ends_badly(world, name: str, kind: type[VsplitError], *words: str) -> None:
    """One party must fail before it has met anybody, and the other is told of it in a word, and nothing else."""
    outcomes = world.run_parties()
    error = outcomes.errors[name]
    assert isinstance(error, kind), error
    for word in words:
        assert re.search(word, str(error)), str(error)
    assert outcomes.stages(name) == ["reading data", FAILURE, NOTIFYING]
    (other,) = set(world.names) - {name}
    told = outcomes.errors[other]
    assert type(told) is StoppedError, told
    assert str(told) == (
        f"{name} stopped before the run began: {BEFORE[error.reason_code]}. The screen of {name} has the details: ask "
        "there, then start all parties again."
    )
    nothing_is_left(world)


def nothing_is_left(world) -> None:
    """Of a life that ends before an alignment is agreed on, there is nothing that one could go on with.

    What left before is on record all the same.
    """
    names = {file.name for file in (world.folder / "runs").rglob("*") if file.is_file()}
    assert names in (set(), {"ledger", "lock"})


def both_end(world, **expected: tuple[type[VsplitError], str]) -> None:
    outcomes = world.run_parties()
    for name, (kind, word) in expected.items():
        error = outcomes.errors[name]
        assert type(error) is kind, f"{name}: {error!r}"
        assert re.search(word, str(error)), f"{name}: {error}"
        assert "KEY0" not in str(error)
    nothing_is_left(world)


# --- found at home ----------------------------------------------------------------------------------------------------


def test_a_label_with_one_class(world) -> None:
    world.tables["clinic"]["outcome"] = "sick"
    ends_badly(world.write(), "clinic", DataError, "column outcome", r"clinic\.csv", "same value", r"data\.label")


def test_text_in_the_label_of_a_regression(world) -> None:
    world.job["task"] = "regression"
    world.files["clinic"]["data"].pop("positive")
    ends_badly(world.write(), "clinic", DataError, "column outcome", "hold no number", "regression")


def test_a_feature_party_without_features(world) -> None:
    world.files["lab"]["data"]["ignore"] = ["tsh", "t3"]
    ends_badly(world.write(), "lab", DataError, r"lab\.csv has no feature column", r"data\.ignore")


def test_columns_that_are_constant_empty_or_dates(world) -> None:
    lab = world.tables["lab"]
    lab["site"], lab["empty"], lab["seen"] = "north", None, "2024-02-03"
    lab.loc[::2, "seen"] = "2024-02-04"
    ends_badly(world.write(), "lab", DataError, "site", "empty", "seen", r"ignore: \[site, empty, seen\]")


def test_an_absent_file_column_or_key(world) -> None:
    world.files["lab"]["data"]["source"] = "none.csv"
    ends_badly(world.write(), "lab", ConfigError, r"lab\.yaml", r"data\.source", r"none\.csv.*does not exist")
    world.files["lab"]["data"] = {"source": "lab.csv", "key": ["pid"]}
    ends_badly(world.write(), "lab", DataError, r"lab\.csv", "no column pid", r"data\.key")
    world.files["lab"]["data"] = {"source": "lab.csv"}
    world.tables["lab"]["person"] = None
    ends_badly(world.write(), "lab", DataError, "key column 'person'", "is empty")
    world.tables["lab"]["person"] = "KEY0001"
    ends_badly(world.write(), "lab", DataError, "'person'", "repeated")


@pytest.mark.parametrize(
    ("accept", "words"),
    [
        ({"tasks": ["regression"]}, ["task: binary", r"accept\.tasks"]),
        ({"aggregations": ["sum"]}, [r"model\.aggregate: concat", r"accept\.aggregations"]),
        ({"max_embedding": 3}, [r"model\.embedding: 4", r"accept\.max_embedding"]),
    ],
)
def test_a_job_outside_the_bounds_is_refused_before_anything_is_sent(world, accept, words) -> None:
    world.files["lab"]["accept"] = accept
    ends_badly(world.write(), "lab", RefusedError, r"job\.yaml", r"lab\.yaml", *words)


def test_a_device_that_is_not_there(world) -> None:
    world.files["lab"]["device"] = "cuda:99"
    ends_badly(world.write(), "lab", ConfigError, "device: cuda:99", "use `cpu`")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("not_there:build", ["not_there:build", "cannot be imported"]),
        ("own_bottoms:nothing", ["own_bottoms:nothing", "cannot be imported"]),
        ("own_bottoms:NUMBER", ["not a function"]),
        ("own_bottoms:too_wide", [r"\(2, 5\) for two rows", r"model\.embedding asks for float32 \(2, 4\)"]),
        ("own_bottoms:no_module", ["did not return a torch.nn.Module"]),
        ("own_bottoms:no_tensor", [r"bottom model returns a \w+ where a tensor is due"]),
        ("own_bottoms:fails", [r"lab\.yaml", r"bottom\.module", "RuntimeError", "not on a Sunday"]),
        ("own_bottoms_broken:build", [r"lab\.yaml", r"bottom\.module", "SyntaxError"]),
    ],
)
def test_a_bottom_model_of_ones_own_that_does_not_work(world, module: str, words) -> None:
    (world.folder / "own_bottoms_broken.py").write_text("def build(:\n")
    (world.folder / "own_bottoms.py").write_text(
        textwrap.dedent("""
            from torch import nn

            NUMBER = 1

            class Own(nn.Module):
                def __init__(self, width, several=False):
                    super().__init__()
                    self.layer, self.several = nn.Linear(2, width), several

                def forward(self, inputs):
                    found = self.layer(inputs.numeric)
                    return [found] if self.several else found

            def too_wide(shape, width):
                return Own(width + 1)

            def no_module(shape, width):
                return 1

            def no_tensor(shape, width):
                return Own(width, several=True)

            def fails(shape, width):
                raise RuntimeError("not on a Sunday")
        """)
    )
    world.files["lab"]["bottom"] = {"module": module}
    ends_badly(world.write(), "lab", ConfigError, *words)


def test_a_run_folder_that_cannot_be_written(world) -> None:
    world.write()
    (world.folder / "runs").write_text("a file in the way")
    for name, error in world.run_parties().errors.items():  # either fails at home, and can tell the other
        assert re.search(f"runs/{name} cannot be written .*`output`", str(error))


@pytest.mark.parametrize("output", [".", "keys/.."])
def test_a_run_folder_that_holds_other_files_than_runs(world, output: str) -> None:
    world.files["lab"]["output"] = output
    ends_badly(world.write(), "lab", ConfigError, r"lab\.yaml, the key output", "which has the party file")


def test_a_port_in_use(world) -> None:
    port = world.job["address"].partition(":")[2]
    with socket.create_server(("127.0.0.1", int(port))):
        outcomes = world.write().run_parties("clinic")
    assert isinstance(error := outcomes.errors["clinic"], ConfigError)
    assert re.search(f"Port {port} .* in use.*`address`", str(error))
    assert outcomes.stages("clinic") == ["reading data"]  # whom it cannot reach, it cannot tell
    nothing_is_left(world)


# --- found together ---------------------------------------------------------------------------------------------------


def test_nobody_comes(world) -> None:
    """A countdown is seen, and then either side gives up."""
    for name in world.names:
        world.files[name]["first_wait"] = 1
    world.write()
    for name, other in (("clinic", "lab"), ("lab", "clinic")):
        outcomes = world.run_parties(name)
        error = outcomes.errors[name]
        assert type(error) is PeerAbsent
        assert re.search(rf"{other} did not (connect|answer at 127.*) within 1 s.*`first_wait`", str(error))
        countdown = [
            event.text for event in outcomes.events[name] if isinstance(event, Step) and event.stage == "waiting"
        ]
        assert len(countdown) > 1
        assert re.fullmatch(f"for {other}, 1 s left", countdown[0])
        nothing_is_left(world)


def test_no_record_in_common(world) -> None:
    world.tables["lab"]["person"] = "X" + world.tables["lab"].person
    both_end(
        world.write(),
        clinic=(
            DataError,
            r"No record is common to this party and lab\.\nperson mostly has 7 characters here and 8 at lab",
        ),
        lab=(
            DataError,
            r"No record is common to this party and clinic\.\nperson mostly has 8 characters here and 7 at cl",
        ),
    )


def test_too_few_records_to_split(world) -> None:
    world.tables["lab"] = world.tables["lab"][world.tables["lab"].person < "KEY0025"]
    for file in world.files.values():
        file["accept"] |= {"min_list": 1}
    both_end(
        world.write(),
        clinic=(DataError, "5 usable records in common, too few to split and train on"),
        lab=(DataError, "5 usable records in common, too few to split and train on"),
    )


@pytest.mark.parametrize(("strict", "other"), [("clinic", "lab"), ("lab", "clinic")])
def test_fewer_records_than_a_party_asks_for(world, strict: str, other: str) -> None:
    world.files[strict]["accept"] |= {"min_records": 181}
    both_end(
        world.write(),
        **{
            strict: (RefusedError, r"Only 180 records .* fewer than the 181 .*accept\.min_records"),
            other: (StoppedError, f"180 records .* fewer than another party's file asks for .*as {strict} reports"),
        },
    )


def test_different_job_files(world) -> None:
    """Both sides name the first key that differs, in the order of the file."""
    world.write()
    theirs = (world.folder / "job.yaml").read_text().replace("embedding: 4", "embedding: 5").replace("0.02", "0.03")
    (world.folder / "other.yaml").write_text(theirs)
    world.files["lab"]["job"] = "other.yaml"
    both_end(
        world.write(),
        clinic=(MismatchError, r"different job files: the first key that differs is model\.embedding"),
        lab=(MismatchError, r"different job files: the first key that differs is model\.embedding"),
    )


def test_an_identity_that_the_job_does_not_list(world) -> None:
    world.files["clinic"]["first_wait"] = 2
    world.write()
    world.keys["lab"] = PrivateIdentity.generate()
    both_end(
        world,
        clinic=(PeerAbsent, r"lab did not connect within 2 s\. Connections that did not prove .* were refused \(\d+\)"),
        lab=(MismatchError, "clinic does not accept this party's identity"),
    )


def test_a_label_party_that_holds_another_key(world) -> None:
    world.files["clinic"]["first_wait"] = 1
    world.write()
    world.keys["clinic"] = PrivateIdentity.generate()
    both_end(
        world,
        clinic=(PeerAbsent, "lab did not connect within 1 s"),
        lab=(MismatchError, "does not hold the key that the job lists for clinic"),
    )


def test_a_party_that_is_started_twice(three) -> None:
    """The second one is told so; the first goes on."""
    three.write()
    lab_is_there = threading.Event()

    def look(event) -> None:
        if isinstance(event, Step) and event.text.startswith("for gym,"):
            lab_is_there.set()

    everybody = {}
    first = threading.Thread(
        target=lambda: everybody.update(all=three.run_parties("clinic", "lab", show={"clinic": look}))
    )
    first.start()
    assert lab_is_there.wait(30)
    again = three.party("lab")
    with pytest.raises(ConfigError, match=r"Another run is using .*runs/lab at this moment.*`?output"):
        run_party(again, three.keys["lab"], lambda _event: None)
    elsewhere = replace(again, output=three.folder / "elsewhere")
    with pytest.raises(StoppedError, match="is this party started twice"):
        run_party(elsewhere, three.keys["lab"], lambda _event: None)
    three.run_parties("gym").well()
    first.join(60)
    everybody["all"].well()


def test_training_that_diverges(world) -> None:
    world.job["train"] |= {"optimizer": "sgd", "lr": 100.0, "epochs": 50}
    world.job["task"] = "regression"
    world.tables["clinic"]["outcome"] = range(200)
    world.files["clinic"]["data"].pop("positive")
    outcomes = world.write().run_parties()
    kinds = {type(error) for error in outcomes.errors.values()}
    assert kinds == {DataError, StoppedError}
    told = next(error for error in outcomes.errors.values() if isinstance(error, DataError))
    assert re.search("training has diverged.*lower `train.lr`", str(told))
    assert not list(world.folder.glob("runs/*/*.json"))
    world.job["train"]["lr"] = 0.001
    error = world.write().run_parties("lab").errors["lab"]
    assert re.search("the key train.lr of the job file is not the same.*--restart at every party", str(error))
