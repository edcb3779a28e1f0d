"""Two parties with different job files are told the first key that differs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.config.digests import (
    COMMAND,
    DIGEST_BYTES,
    PURPOSES,
    first_difference,
    handshake_digests,
    key_digests,
    purpose_in,
)
from parties.config.job import Job

VALUES: dict[str, Any] = {
    "job": "thyroid",
    "task": "binary",
    "address": "127.0.0.1:9440",
    "parties": {
        "clinic": {"role": "label", "identity": "auto"},
        "lab": {"role": "feature", "identity": "auto"},
        "vendor": {"role": "feature", "identity": "auto"},
    },
    "align": {"key": ["patient_id"]},
    "split": {"train": 0.7, "validation": 0.1, "test": 0.2},
    "model": {"embedding": 16, "aggregate": "concat", "top": {"hidden": [64]}},
    "train": {"epochs": 30, "batch_size": 256, "optimizer": "sgd", "lr": 0.001},
}


def digests(contract: int = 1, **groups: Any) -> dict[str, bytes]:
    return key_digests(Job.model_validate({**VALUES, **groups}), contract)


def test_every_key_is_covered_once() -> None:
    found = digests()
    assert {len(digest) for digest in found.values()} == {DIGEST_BYTES}
    assert list(found)[:5] == ["job", "task", "address", "parties", "parties.clinic.role"]
    assert {"align.key", "align.contract", "split.by", "model.top.hidden", "train.early_stopping"} <= set(found)
    assert len(found) == 4 + 3 * 2 + 5 + 5 + 4 + 11
    assert first_difference(found, digests()) is None


def test_a_default_that_is_written_out_is_no_difference() -> None:
    split = {**VALUES["split"], "by": "seed", "seed": 0}
    assert first_difference(digests(), digests(split=split)) is None
    assert first_difference(digests(), digests(train={**VALUES["train"], "lr": 1e-3, "momentum": 0})) is None


@pytest.mark.parametrize(
    ("key", "groups"),
    [
        ("job", {"job": "other"}),
        ("address", {"address": "127.0.0.1:9441"}),
        ("parties", {"parties": {name: VALUES["parties"][name] for name in ("clinic", "vendor", "lab")}}),
        ("parties", {"parties": {name: VALUES["parties"][name] for name in ("clinic", "lab")}}),
        ("align.key", {"align": {"key": ["patient_id", "birth"]}}),
        ("align.contract", {"contract": 2}),
        ("align.normalise", {"align": {"key": ["patient_id"], "normalise": {"patient_id": ["lower"]}}}),
        ("align.repeated", {"align": {"key": ["patient_id"], "repeated": "last"}}),
        ("align.hints", {"align": {"key": ["patient_id"], "hints": False}}),
        ("split.test", {"split": {"train": 0.7, "validation": 0.05, "test": 0.25, "seed": 1}}),
        ("model.top.hidden", {"model": {**VALUES["model"], "top": {"hidden": [64, 64]}}}),
        ("train.lr", {"train": {**VALUES["train"], "lr": 0.0011}}),
        ("train.early_stopping", {"train": {**VALUES["train"], "early_stopping": {"patience": 5}}}),
    ],
)
def test_the_first_key_that_differs_is_named(key: str, groups: dict[str, Any]) -> None:
    mine, theirs = digests(), digests(**groups)
    expected = "split.validation" if key == "split.test" else key
    assert first_difference(mine, theirs) == expected
    assert (first_difference(theirs, mine) or "").startswith(expected)


def test_the_normalisers_are_one_key_whatever_the_columns_are_called() -> None:
    """A column's name is free text, and the names of digests go over the wire."""

    def align(*columns: str) -> dict[str, Any]:
        return {"key": ["name, first", "birth"], "normalise": {column: ["lower"] for column in columns}}

    found = digests(align=align("name, first", "birth"))
    assert not [key for key in found if key.startswith("align.normalise.")]
    assert found == digests(align=align("birth", "name, first"))
    assert first_difference(found, digests(align=align("birth"))) == "align.normalise"


def test_an_identity_is_covered() -> None:
    job = Job.model_validate(VALUES)
    other = job.with_identities({"lab": "vsplit1aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp2qywlga"})
    assert first_difference(key_digests(job, 1), key_digests(other, 1)) == "parties.lab.identity"


@given(
    st.dictionaries(st.text(max_size=5), st.binary(max_size=3)),
    st.dictionaries(st.text(max_size=5), st.binary(max_size=3)),
)
def test_no_difference_is_only_said_of_equal_digests(mine: dict[str, bytes], theirs: dict[str, bytes]) -> None:
    found = first_difference(mine, theirs)
    assert (found is None) == (mine == theirs)
    assert found is None or mine.get(found) != theirs.get(found)


def test_what_parties_compare_hangs_on_what_they_meet_for() -> None:
    job = Job.model_validate(VALUES)
    run, overlap, predict = (handshake_digests(job, purpose) for purpose in PURPOSES)
    assert list(run)[1:] == list(key_digests(job, job.align.contract))
    assert {key.split(".")[0] for key in overlap} == {COMMAND, "job", "address", "parties", "align"}
    assert all(run[key] == overlap[key] for key in overlap if key != COMMAND)
    assert first_difference(run, overlap) == COMMAND
    assert {**run, COMMAND: b""} == {**predict, COMMAND: b""}
    assert first_difference(run, predict) == COMMAND
    assert [purpose_in(one) for one in (run, overlap, predict)] == list(PURPOSES)
    assert [purpose_in(run), purpose_in(overlap), purpose_in({}), purpose_in({COMMAND: b""})] == [
        "run",
        "overlap",
        None,
        None,
    ]


def test_defaults_of_a_secure_sum_count_as_if_they_were_written() -> None:
    written = {"range": 8.0, "bits": 16, "rounding": "nearest", "key_bits": 3072, "noise": "short"}
    model = {**VALUES["model"], "aggregate": "paillier_sum"}
    found = [digests(model=model)]
    found += [digests(model={**model, "secure_sum": one}) for one in ({}, {"range": 8.0}, written, {"bits": 17})]
    assert found[0] == found[1] == found[2] == found[3]
    assert first_difference(found[0], found[4]) == "model.secure_sum.bits"
