"""The choice of the model: all parties name the same run, or each names both."""

from __future__ import annotations

import pytest

from parties.run.model_choice import ModelOffer, ModelRequest, choose_as_feature, choose_as_label
from psi.messages import MOST_RECORDS
from vsplit.protocol import MismatchError

ONE, OTHER = bytes(range(16)), bytes(16)


def choose(networks, lab: bytes, gym: bytes):
    return networks.run(
        {
            "clinic": choose_as_label("clinic", ["lab", "gym"], ONE, 7),
            "lab": choose_as_feature("lab", "clinic", lab),
            "gym": choose_as_feature("gym", "clinic", gym),
        }
    )


def test_the_same_run_is_used_and_its_records_are_announced(networks) -> None:
    assert choose(networks, ONE, ONE).all() == {"clinic": None, "lab": 7, "gym": 7}


def test_a_party_with_another_run_and_the_label_party_name_both(networks) -> None:
    outcome = choose(networks, ONE, OTHER)
    for name in ("clinic", "gym"):
        assert isinstance(outcome.errors[name], MismatchError)
        assert ONE.hex() in str(outcome.errors[name])
        assert OTHER.hex() in str(outcome.errors[name])
    assert "lab" not in outcome.errors


@pytest.mark.parametrize("run", [b"", bytes(15), bytes(17)])
def test_a_name_has_16_bytes(run: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        ModelOffer(run=run)
    with pytest.raises(ValueError, match="16 bytes"):
        ModelRequest(run=run, records=1)


@pytest.mark.parametrize("records", [0, -1, MOST_RECORDS + 1])
def test_a_number_of_records_is_one_that_can_be_aligned(records: int) -> None:
    with pytest.raises(ValueError, match="one record or more"):
        ModelRequest(run=ONE, records=records)
