"""What happens in a life reaches its screen, its log and its figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from parties.config.party import Party, load_party
from parties.config.party_file import Log
from parties.monitoring.events import Event, Step
from parties.monitoring.monitor import Monitor, monitoring
from vsplit.protocol import DataError

THYROID = Path(__file__).parents[3] / "configs/thyroid"


@pytest.fixture
def party(tmp_path: Path) -> Party:
    made = load_party(THYROID / "clinic.yaml")
    settings = made.settings.model_copy(update={"log": Log(file="log.txt"), "metrics": "127.0.0.1:0"})
    return replace(made, settings=settings, file=tmp_path / "clinic.yaml", output=tmp_path / "runs")


def figures(watch: Monitor) -> dict[str, float]:
    return {one.name: one.value for family in watch.metrics.collect() for one in family.samples}


def sentences(folder: Path) -> list[str]:
    return [line.split(": ", 1)[1] for line in (folder / "log.txt").read_text().splitlines()]


def test_everything_reaches_all_who_look_on(party: Party, tmp_path: Path) -> None:
    shown: list[Event] = []
    with monitoring(party, shown.append) as watch:
        watch.show(Step("masking", 1, 2))
        watch.waited("receive", "lab", 2.0)
        watch.traffic.record("sent", "lab", "Embedding", 10)
        watch.training(SimpleNamespace(step=3, progress=SimpleNamespace(epoch=0, batch=3)), 100, 8)  # type: ignore[arg-type]
        with watch.storing(4):
            pass
        assert figures(watch)["vsplit_link_up"] == 0
        watch.connected()
        assert figures(watch)["vsplit_link_up"] == 1
        watch.lost("lab", "was closed")
        watch.resent("lab", 2, 99)
        assert figures(watch)["vsplit_link_up"] == 0
        watch.back("lab")
        found = figures(watch)
        watch.disconnected()
        assert "vsplit_link_up" not in figures(watch)
    assert shown == [Step("masking", 1, 2)]
    assert found["vsplit_waiting_seconds_total"] == 2
    assert found["vsplit_bytes_total"] == 10
    assert found["vsplit_training_step"] == 3
    assert found["vsplit_checkpoint_step"] == 4
    assert found["vsplit_link_retries_total"] == 1
    assert found["vsplit_resent_bytes_total"] == 99
    assert found["vsplit_link_up"] == 1
    told = sentences(tmp_path)
    assert told[0].startswith("clinic begins, label party of the job thyroid; vsplit ")
    assert told[1:3] == ["masking 1 of 2", "training resumes after step 3, with 100 rows to train on"]
    assert told[3].startswith("the state after step 4 is stored, written in 0.0")
    assert told[4:] == [
        "the link to lab is lost (was closed) and is being restored",
        "2 messages (99 bytes) were sent to lab again",
        "the link to lab is restored",
    ]


def test_a_checkpoint_that_fails_is_none(party: Party, tmp_path: Path) -> None:
    with (
        pytest.raises(DataError),
        monitoring(party, lambda _event: None) as watch,
        watch.storing(4),
    ):
        raise DataError("The disk is full.")
    assert figures(watch)["vsplit_checkpoints_total"] == 0
    assert sentences(tmp_path)[1:] == ["The disk is full."]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DataError("The column is bad."), "The column is bad."),
        (KeyboardInterrupt(), "interrupted here"),
        (ValueError("CANARY-7311"), "an unexpected error (ValueError)"),
    ],
)
def test_an_end_that_is_none_is_told(party: Party, tmp_path: Path, error: BaseException, sentence: str) -> None:
    with pytest.raises(type(error)), monitoring(party, lambda _event: None):
        raise error
    assert sentences(tmp_path)[-1] == sentence
