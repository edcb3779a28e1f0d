"""What a party has at home: rows without a label or a usable key take no part."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from parties.data.party_data import read_party_data
from vsplit.protocol import DataError


def test_keys_and_labels_belong_to_the_same_rows(world) -> None:
    clinic = world.tables["clinic"]
    clinic.loc[[3, 50], "outcome"] = None
    clinic.loc[7, "person"] = None
    clinic.loc[9, "person"] = clinic.person[8]
    # A key that is repeated only by a row without a label is no trouble.
    clinic.loc[3, "person"] = clinic.person[4]
    world.job["align"]["repeated"] = "first"
    home = read_party_data(world.write().party("clinic"))
    assert home.without_label == 2
    assert home.keys.rows.tolist() == [row for row in range(200) if row not in (3, 50, 7, 9)]
    assert (home.label_values(home.keys.rows) == (clinic.outcome[home.keys.rows] == "sick")).all()
    few = np.array([60, 2, 4])
    assert home.label_values(few).tolist() == (clinic.outcome[few] == "sick").tolist()
    assert home.contributes


def test_a_feature_party_has_no_labels(world) -> None:
    home = read_party_data(world.write().party("lab"))
    assert (home.without_label, len(home.keys.rows), home.contributes) == (0, 220, True)
    with pytest.raises(ValueError, match="only the label party"):
        home.label_values(home.keys.rows)


def test_the_job_says_how_keys_are_read(world) -> None:
    """Only the label party may have many rows for one key, and both sides read keys the same way."""
    for name in world.names:
        table = world.tables[name]
        world.tables[name] = pd.concat([table, table.iloc[:5].assign(person=table.person[:5].str.lower() + " ")])
    world.job["align"] |= {"repeated": "many_to_one", "normalise": {"person": ["upper"]}}
    world.write()
    keys = read_party_data(world.party("clinic")).keys
    assert (len(keys.keys), len(keys.rows)) == (200, 205)
    assert keys.rows[keys.starts[0] : keys.starts[1]].tolist() == [0, 200]
    with pytest.raises(DataError, match=r"5 key\(s\) occur more than once, on 10 rows"):
        read_party_data(world.party("lab"))
