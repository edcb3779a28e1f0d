"""`vsplit predict` from files to scores, over mutual TLS."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.parties.scoring.conftest import Predictions, allow


def of_the_run(world) -> pd.DataFrame:
    return pd.read_parquet(world.run("clinic") / "predictions.parquet").set_index("person")


@pytest.mark.parametrize("aggregate", ["concat", "sum", "masked_sum", "paillier_sum"])
@pytest.mark.usefixtures("no_report")
def test_the_rows_of_the_run_get_its_predictions(three, aggregate: str) -> None:
    three.job["model"]["aggregate"] = aggregate
    three.job["model"] |= {"secure_sum": {"bits": 20}} if aggregate.endswith("_sum") else {}
    predictions = Predictions(allow(three).write())
    three.run_parties().well()
    found = predictions.run().well().scores().set_index("person")
    expected = of_the_run(three)
    tolerance = 1e-6 if aggregate in ("concat", "sum") else 1e-3
    assert len(found) == len(three.tables["clinic"])
    np.testing.assert_allclose(found.score[expected.index], expected.joint, atol=tolerance)
    assert set(found["with"][expected.index]) == {"clinic, lab, gym"}
    unknown = sorted(set(found.index) - three.common())
    assert set(found["with"][unknown]) == {"clinic"}
    assert found.score.between(0, 1).all()
