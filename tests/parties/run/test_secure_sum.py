"""Lives in which the label party is shown the sum of the others' embeddings: what leaves, what is left at home."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from parties.command.cli import app
from parties.command.disclosure import what_leaves
from parties.data.party_data import read_party_data
from vsplit.protocol import RefusedError

SETTINGS: dict[str, dict[str, Any]] = {
    "masked_sum": {"secure_sum": {"bits": 24, "range": 4.0}},
    "paillier_sum": {"secure_sum": {"bits": 24, "range": 4.0, "key_bits": 2048}},
}
NEVER = {"masked_sum": {"Embedding", "EncryptedSum"}, "paillier_sum": {"Embedding", "MaskedEmbedding"}}


def run_of(world, name: str) -> dict[str, Any]:
    return json.loads((world.run(name) / "run.json").read_text())


def lived(world, aggregate: str) -> None:
    world.job["model"] = {"embedding": 8, "aggregate": aggregate, "top": {"hidden": [8]}} | SETTINGS[aggregate]
    world.job["train"]["epochs"] = 2
    for number, name in enumerate(world.names):
        world.files[name]["seed"] = number
    world.write().run_parties().well()


@pytest.mark.parametrize("aggregate", ["masked_sum", "paillier_sum"])
@pytest.mark.usefixtures("no_report", "one_builds_at_a_time")
def test_what_leaves_is_what_was_promised(three, aggregate: str) -> None:
    for name, table in three.tables.items():
        three.tables[name] = table[table.person.isin(three.common())].reset_index(drop=True)
    lived(three, aggregate)
    for name in three.names:
        sent = {
            (one["kind"], one["party"]): one for one in run_of(three, name)["traffic"] if one["direction"] == "sent"
        }
        leaving = what_leaves(read_party_data(three.party(name)))
        promised = {(one.kind, one.to): one for one in leaving if not one.only_if}
        assert sent.keys() == promised.keys()
        assert not {kind for kind, _ in sent} & NEVER[aggregate]
        for key, one in promised.items():
            assert sent[key]["messages"] == one.messages, key
            assert sent[key]["reveals"] == one.reveals
            if sent[key]["size"] > 10_000:
                assert one.bytes == pytest.approx(sent[key]["size"], rel=0.1), key


@pytest.mark.parametrize("aggregate", ["masked_sum", "paillier_sum"])
@pytest.mark.usefixtures("one_builds_at_a_time")
def test_what_is_left_locally(three, aggregate: str) -> None:
    """Only a feature party knows how much of its own was clipped; and no mask, noise or key is in any folder."""
    settings = {"range": 0.25, "bits": 12} | ({"key_bits": 2048} if aggregate == "paillier_sum" else {})
    three.job["model"] |= {"aggregate": aggregate, "secure_sum": settings}
    three.job["train"]["epochs"] = 1
    outcomes = three.write().run_parties().well()
    found = {name: run_of(three, name)["training"]["secure_sum"] for name in three.names}
    for name in ("lab", "gym"):
        assert 0 < found[name]["clipped"] < found[name]["given"]
        page = (three.run(name) / "report.html").read_text()
        assert f"{found[name]['clipped']:,} were beyond the range of ±0.25" in page
        assert any("clipped" in event.text for event in outcomes.events[name] if hasattr(event, "text"))
        assert "A sum of embeddings reveals features" in page
    assert found["clinic"]["clipped"] is None and found["clinic"]["given"] is None
    page = (three.run("clinic") / "report.html").read_text()
    assert "lab and gym were added " in page
    assert "were beyond the range" not in page
    assert "clipped" not in str(outcomes.events["clinic"])
    kinds = {file.name for name in three.names for file in three.run(name).iterdir()}
    assert kinds == {
        "job.yaml", "party.yaml", "model.json", "bottom.safetensors", "report.html", "run.json", "order.secret",
        "metrics.json", "predictions.parquet", "top.safetensors", "ledger.jsonl", "alone_bottom.safetensors",
        "alone_top.safetensors",
    }  # fmt: skip


@pytest.mark.parametrize(("aggregate", "packed"), [("masked_sum", False), ("paillier_sum", True)])
@pytest.mark.usefixtures("signals_as_before")
def test_check_says_what_the_label_party_is_shown_and_how_exactly(three, aggregate: str, packed: bool) -> None:
    three.job["model"]["aggregate"] = aggregate
    three.write()
    for name in ("clinic", "gym"):
        result = CliRunner().invoke(app, ["check", str(three.folder / f"{name}.yaml")])
        assert result.exit_code == 0, result.output
        words = " ".join(result.output.split())
        assert f"joined by {aggregate}: clinic learns the sum of those of lab and gym, and no single one." in words
        assert "outside -8 to 8 are clipped" in words and "by at most 0.00025." in words
        assert ("3,072-bit key holds 170 values" in words) == packed


def test_a_party_that_accepts_open_sums_only_refuses_a_masked_one(three) -> None:
    three.job["model"]["aggregate"] = "masked_sum"
    three.files["gym"]["accept"] |= {"aggregations": ["concat", "sum"]}
    three.write()
    with pytest.raises(RefusedError, match="masked_sum"):
        read_party_data(three.party("gym"))
    three.files["gym"]["accept"] |= {"aggregations": ["masked_sum", "paillier_sum"]}
    three.write()
    read_party_data(three.party("gym"))
