"""The example with three parties trains with every aggregation, here on a few hundred of its customers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from parties.command.launch import find_parties
from parties.config.party import load_party
from parties.network.identity import PrivateIdentity
from parties.run.party_run import run_party
from tests.ports import own_port

PARTIES = {"bank": "customer_id", "billing_company": "account_id", "payments_company": "holder_id"}
CUSTOMERS = 400
# What the bank receives of embeddings, and from whom.
BOTH = {"billing_company", "payments_company"}
RECEIVED = {
    "concat": ("Embedding", BOTH),
    "sum": ("Embedding", BOTH),
    "masked_sum": ("MaskedEmbedding", BOTH),
    "paillier_sum": ("EncryptedSum", {"payments_company"}),
}


@pytest.fixture(scope="module")
def tables(project: Path) -> dict[str, pd.DataFrame]:
    """The rows of a few hundred customers whom all parties know."""
    source = project / "examples/credit3/data"
    whole = {name: pd.read_csv(source / f"{name}.csv") for name in PARTIES}
    shared = set.intersection(*(set(whole[name][key]) for name, key in PARTIES.items()))
    return {name: whole[name][whole[name][key].isin(sorted(shared)[:CUSTOMERS])] for name, key in PARTIES.items()}


Small = Callable[[str], dict[str, PrivateIdentity]]


@pytest.fixture
def small(project: Path, tmp_path: Path, tables: dict[str, pd.DataFrame]) -> Small:
    """Writes the example's files for an aggregation, cut down to few customers; returns the parties' keys."""

    def make(aggregate: str) -> dict[str, PrivateIdentity]:
        keys = {name: PrivateIdentity.generate() for name in PARTIES}
        for name, key in keys.items():
            tables[name].to_csv(tmp_path / f"{name}.csv", index=False)
            key.save(tmp_path / f"{name}.key")
            party = yaml.safe_load((project / f"configs/credit3/{name}.yaml").read_text())
            party["data"]["source"], party["output"] = f"{name}.csv", f"runs/{name}"
            party["identity"] = f"{name}.key"
            (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(party, sort_keys=False))
        job = yaml.safe_load((project / "configs/credit3/job.yaml").read_text())
        for name, key in keys.items():
            job["parties"][name]["identity"] = key.public.line
        job["address"] = f"127.0.0.1:{own_port()}"
        job["model"]["aggregate"] = aggregate
        job["train"]["epochs"] = 2
        if aggregate == "paillier_sum":
            job["model"]["secure_sum"] = {"key_bits": 2048}
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(job, sort_keys=False))
        return keys

    return make


@pytest.mark.parametrize("aggregate", ["concat", "sum", "masked_sum", "paillier_sum"])
def test_the_parties_train_with_every_aggregation(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aggregate: str
) -> None:
    monkeypatch.setattr("parties.run.results.render_report", lambda content: f"<html>{content.job}</html>")
    keys = small(aggregate)
    assert [party.name for party in find_parties(tmp_path)] == list(PARTIES)
    errors: list[BaseException] = []

    def one(name: str) -> None:
        try:
            run_party(load_party(tmp_path / f"{name}.yaml"), keys[name], lambda _event: None)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(name,)) for name in PARTIES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    found = pd.read_parquet(tmp_path / "runs/bank/predictions.parquet")
    assert len(found) == CUSTOMERS * 3 // 10
    assert np.isfinite(found["joint"]).all()
    traffic = json.loads((tmp_path / "runs/bank/run.json").read_text())["traffic"]
    kind, senders = RECEIVED[aggregate]
    assert {one["party"] for one in traffic if (one["direction"], one["kind"]) == ("received", kind)} == senders
    others = {kind for kind, _ in RECEIVED.values()} - {kind}
    assert not others & {one["kind"] for one in traffic}
