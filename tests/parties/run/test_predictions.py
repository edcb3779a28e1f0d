"""`predictions.parquet`: keys and labels in the types of the data, and what each column is."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from parties.data.written import as_written


def written(values: list[object], **options: bool) -> pa.ChunkedArray:
    return as_written(pa.chunked_array([pa.array(values)]), **({"untyped": True} | options))


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["1", "0", "-7", "999999999999999999"], pa.int64()),
        (["1", "", "3"], pa.int64()),
        (["007", "8"], pa.string()),
        (["1", "x"], pa.string()),
        (["1.0", "2.0"], pa.string()),
        (["1e3"], pa.string()),
        (["+1"], pa.string()),
        (["-0"], pa.string()),
        ([" 1"], pa.string()),
        (["99999999999999999999"], pa.string()),
        (["١"], pa.string()),
        (["2024-01-31", "1899-12-31"], pa.date32()),
        (["2024-02-31"], pa.string()),
        (["2024-1-31"], pa.string()),
        (["0000-01-31"], pa.string()),
        (["2024-01-31", "x"], pa.string()),
        (["", ""], pa.string()),
    ],
)
def test_text_becomes_a_number_or_a_day_where_it_can_be_had_back(words: list[str], kind: pa.DataType) -> None:
    found = written(list(words))
    assert found.type == kind
    assert [("" if value is None else str(value)) for value in found.to_pylist()] == words


def test_labels_of_a_regression_are_numbers() -> None:
    assert written(["1.50", "2"], number=True).to_pylist() == [1.5, 2.0]
    assert written(["1", "2"], number=True).type == pa.int64()


@pytest.mark.parametrize(
    "values",
    [[1, 2], ["1", "2"], [True], [1.5], [datetime.date(2024, 1, 31)], [Decimal("1.50")], [datetime.datetime(2024, 1, 1)]],
)  # fmt: skip
def test_a_source_with_types_keeps_them(values: list[object]) -> None:
    found = written(values, untyped=False)
    assert found.type == pa.array(values).type
    assert found.to_pylist() == values


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_run_writes_keys_and_labels_as_they_are_in_the_data(world, kind: str) -> None:
    for name, table in world.tables.items():
        number = table.person.str[3:].astype(int)
        table["person"] = number + 5_000_000_000
        table["label"] = pd.to_datetime("1950-01-01") + pd.to_timedelta(number, unit="D")
        if kind == "csv" or name == "lab":
            table["label"] = table["label"].dt.strftime("%Y-%m-%d")
        else:
            table["label"] = table["label"].dt.date
    world.job["align"] = {"key": ["person", "label"], "normalise": {"label": [{"date": ["%Y-%m-%d"]}]}}
    world.tables["clinic"]["outcome"] = (world.tables["clinic"].outcome == "sick").astype(np.int64)
    world.files["clinic"]["data"] |= {"source": f"clinic.{kind}", "positive": 1}
    world.write()
    world.tables["clinic"].to_parquet(world.folder / "clinic.parquet", index=False)
    world.run_parties().well()
    file = world.run("clinic") / "predictions.parquet"
    schema = pa_parquet.read_schema(file)
    assert {field.name: str(field.type) for field in schema} == {
        "person": "int64", "key_label": "date32[day]", "row": "int64", "split": "string", "label": "int64",
        "joint": "double", "alone": "double",
    }  # fmt: skip
    found = pd.read_parquet(file)
    own = world.tables["clinic"].assign(label=lambda table: pd.to_datetime(table.label).dt.date)
    joined = found.merge(own, left_on=["person", "key_label"], right_on=["person", "label"])
    assert len(joined) == len(found) > 0
    assert (joined.label_x == joined.outcome).all()
    columns = found.attrs["columns"]
    assert set(columns) == set(found.columns)
    assert columns["joint"] == "The probability of the label 1 by the model that all parties trained, from 0 to 1."
    assert columns["key_label"] == "The key column label of clinic, as it is in the data."
    assert {field.name: field.metadata[b"meaning"].decode() for field in schema} == columns
    assert json.loads((world.run("clinic") / "run.json").read_text())["predictions"] == columns
    assert json.loads((world.run("lab") / "run.json").read_text())["predictions"] is None
