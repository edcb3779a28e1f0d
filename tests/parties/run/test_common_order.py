"""Where the secret of the common order comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from parties.config.party import Party, load_party
from parties.run.common_order import order_secret
from vsplit.protocol import ConfigError


@pytest.fixture
def party(tmp_path: Path) -> Any:
    """Makes the label party of a small job, with `order` in its file where one is given."""

    def make(order: str | None = None) -> Party:
        job = {
            "job": "test",
            "task": "binary",
            "address": "127.0.0.1:9440",
            "parties": {
                "clinic": {"role": "label", "identity": "auto"},
                "lab": {"role": "feature", "identity": "auto"},
            },
            "align": {"key": ["person"]},
            "split": {"train": 0.6, "validation": 0.2, "test": 0.2},
            "model": {"embedding": 4, "aggregate": "concat", "top": {"hidden": [8]}},
            "train": {"epochs": 3, "batch_size": 32, "optimizer": "adam", "lr": 0.02},
        }
        own = {"job": "job.yaml", "party": "clinic", "data": {"source": "a.csv", "label": "b"}, "output": "runs/clinic"}
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(job, sort_keys=False))
        (tmp_path / "clinic.yaml").write_text(yaml.safe_dump(own if order is None else own | {"order": order}))
        return load_party(tmp_path / "clinic.yaml")

    return make


def secret_of(party: Party) -> bytes:
    return order_secret(party.order, party.file)


def test_without_a_file_every_run_has_an_order_of_its_own(party: Any) -> None:
    found = {secret_of(party()) for _ in range(3)}
    assert len(found) == 3
    assert {len(secret) for secret in found} == {32}


def test_the_secret_is_that_of_the_file_relative_to_the_party_file(party: Any, tmp_path: Path) -> None:
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier/order.secret").write_bytes(bytes(range(32)))
    assert secret_of(party("earlier/order.secret")) == bytes(range(32))


@pytest.mark.parametrize("size", [0, 31, 33, 100_000])
def test_a_file_of_another_size_is_no_secret(party: Any, tmp_path: Path, size: int) -> None:
    (tmp_path / "order.secret").write_bytes(bytes(size))
    with pytest.raises(ConfigError, match=r"the key order names the file .*order\.secret, which is no order\.secret"):
        secret_of(party("order.secret"))


def test_an_absent_file_and_a_folder_are_told_by_name(party: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"clinic\.yaml, the key order names the file .*/none, which does not exist"):
        secret_of(party("none"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match=r"folder, which cannot be read \(Is a directory\)"):
        secret_of(party("folder"))
