"""Records from files and databases, and labels as numbers; every error names its place and shows no record."""

from __future__ import annotations

import gzip
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from parties.config.data_source import DataSource
from parties.config.party import load_party
from parties.data.labels import encode_labels
from parties.data.table import Table, read_table
from vsplit.protocol import ConfigError, DataError

CANARY = "CANARY7311"
CSV = "pid,visit,age,sex,smoker,ward,note,diagnosis\n007,2024-01-31,41,F,true,3,a,sick\n" + (
    "NA,2024-02-01,NA,M,false,3,b,well\n,2024-02-02,39.5, F ,,4,c,\n 12 ,2024-03-01T10:00:00+02:00,40,NULL,true,4,d,sick\n"
)
DATA: dict[str, Any] = {"source": "clinic.csv", "key": ["pid"], "label": "diagnosis", "ignore": ["note", "visit"]}

Make = Callable[..., DataSource]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make_party(data: dict[str, Any], role: str = "label", task: str = "binary", by: str = "seed") -> DataSource:
        roles = {"clinic": role, "lab": "feature" if role == "label" else "label"}
        job = {
            "job": "thyroid",
            "task": task,
            "address": "127.0.0.1:9440",
            "parties": {name: {"role": role, "identity": "auto"} for name, role in roles.items()},
            "align": {"key": [f"patient_id{number}" for number in range(len(data.get("key", ["x"])))]},
            "split": {"train": 0.7, "validation": 0.1, "test": 0.2, "by": by},
            "model": {"embedding": 16, "aggregate": "concat", "top": {"hidden": [64]}},
            "train": {"epochs": 30, "batch_size": 256, "optimizer": "adam", "lr": 0.001},
        }
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")
        party = {"job": "job.yaml", "party": "clinic", "data": data, "output": "runs"}
        (tmp_path / "clinic.yaml").write_text(yaml.safe_dump(party, sort_keys=False), encoding="utf-8")
        return DataSource.of(load_party(tmp_path / "clinic.yaml"))

    return make_party


def texts(column: pd.Series[Any] | None) -> list[Any]:
    assert column is not None
    return [None if pd.isna(value) else value for value in column]


def refused(source: DataSource, kind: type[Exception] = DataError) -> str:
    with pytest.raises(kind) as caught:
        read_table(source)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


# --- CSV --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["clinic.csv", "clinic.csv.gz", "CLINIC.CSV"])
def test_a_csv_file_becomes_a_table(tmp_path: Path, make: Make, name: str) -> None:
    raw = b"\xef\xbb\xbf" + CSV.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    table = read_table(make({**DATA, "source": name, "categories": ["ward"]}))
    assert table.rows == 4
    assert texts(table.keys["pid"]) == ["007", "NA", None, " 12 "]
    assert texts(table.label) == ["sick", "well", None, "sick"]
    assert table.has_label.tolist() == [True, True, False, True]
    assert list(table.features.columns) == ["age", "sex", "smoker", "ward"]
    np.testing.assert_array_equal(table.features["age"], [41, np.nan, 39.5, 40])
    assert texts(table.features["sex"]) == ["F", "M", "F", None]
    assert texts(table.features["smoker"]) == ["true", "false", None, "true"]
    assert texts(table.features["ward"]) == ["3", "3", "4", "4"]
    assert (table.date, table.images, table.image_folder) == (None, None, tmp_path)
    assert table.where == str(tmp_path / name)
    assert repr(table) == "<Table of 4 rows, 4 features>"


def test_key_columns_stand_in_the_order_of_the_job(tmp_path: Path, make: Make) -> None:
    (tmp_path / "clinic.csv").write_text("b,a,x\n1,2,3\n", encoding="utf-8")
    table = read_table(make({"source": "clinic.csv", "key": ["a", "b"]}, role="feature"))
    assert list(table.keys.columns) == ["a", "b"]
    assert table.has_label.tolist() == [False]
    assert texts(table.keys["a"]) == ["2"]


def test_a_party_may_have_no_feature(tmp_path: Path, make: Make) -> None:
    (tmp_path / "clinic.csv").write_text("pid,diagnosis\n1,a\n2,b\n", encoding="utf-8")
    table = read_table(make({"source": "clinic.csv", "key": ["pid"], "label": "diagnosis"}))
    assert table.features.shape == (2, 0)


def test_quoted_cells_may_hold_commas_and_line_ends(tmp_path: Path, make: Make) -> None:
    (tmp_path / "clinic.csv").write_bytes(b'pid,note\r\n1,"a, b\r\nc ""d"""\r\n2,e\r\n')
    table = read_table(make({"source": "clinic.csv", "key": ["pid"]}, role="feature"))
    assert texts(table.features["note"]) == ['a, b\r\nc "d"', "e"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty; its first line must name the columns"),
        (b"pid,age,diagnosis\n", "there is no row of data"),
        (b"pid;age;diagnosis\nCANARY7311;2,5;a\n", "has semicolons and no comma; save"),
        (b"pid\tage\tdiagnosis\nCANARY7311\t2\ta\n", "has tabs and no comma"),
        (b"pid,age,diagnosis\n1,2,a\nCANARY7311,2\n", "In row 3 of .*there are 2 columns, but the header has 3"),
        (b"pid,age,diagnosis\n1,2,3,CANARY7311\n", "In row 2 of .*there are 4 columns"),
        (b"pid,age,diagnosis\n1,2,a\nCANARY7311,\xff,b\n", "In row 3 of .*not UTF-8"),
        ("pid,age,diagnosis\nCANARY7311,2,ä\n".encode("utf-16"), "not UTF-8"),
        (b"pid,age,age,diagnosis\n1,2,3,4\n", "the column age occurs more than once"),
        (b",age,pid,diagnosis\n1,2,3,4\n", "column 1 has no name"),
        (b"pid;age;diagnosis\nCANARY7311;2;3\n", "not separated by commas"),
        (b"pid|age|diagnosis\nCANARY7311|2|3\n", "not separated by commas"),
    ],
)
def test_a_csv_file_that_cannot_be_understood(tmp_path: Path, make: Make, content: bytes, words: str) -> None:
    (tmp_path / "clinic.csv").write_bytes(content)
    sentence = refused(make({"source": "clinic.csv", "key": ["pid"], "label": "diagnosis"}))
    assert str(tmp_path / "clinic.csv") in sentence
    assert re.search(words, sentence)


@pytest.mark.parametrize("name", ["clinic.csv.gz", "clinic.parquet"])
def test_a_file_of_another_kind_than_its_name_says(tmp_path: Path, make: Make, name: str) -> None:
    (tmp_path / name).write_bytes(CANARY.encode() * 20)
    assert str(tmp_path / name) in refused(make({**DATA, "source": name}))
    (tmp_path / name).write_bytes(gzip.compress(CSV.encode() * 2000)[:-900])
    assert str(tmp_path / name) in refused(make({**DATA, "source": name}))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({**DATA, "key": ["pidd"]}, "no column pidd, which the key data.key of {} names; did you mean pid?"),
        (
            {**DATA, "label": "diagnose"},
            "no column diagnose, which the key data.label of {} names; did you mean diagnosis?",
        ),
        ({**DATA, "ignore": ["notes"]}, "no column notes, which the key data.ignore of {} names; did you mean note?"),
        ({**DATA, "categories": ["zzz"]}, "no column zzz, which the key data.categories of {} names."),
        (
            {**DATA, "image": {"column": "scan", "size": [8, 8]}},
            "no column scan, which the key data.image.column of {}",
        ),
        (
            {"source": "clinic.csv", "label": "diagnosis"},
            "no column patient_id0, which the job's align.key names; if {} is to use another name",
        ),
    ],
)
def test_a_column_that_is_not_there(tmp_path: Path, make: Make, data: dict[str, Any], words: str) -> None:
    (tmp_path / "clinic.csv").write_text(CSV, encoding="utf-8")
    sentence = refused(make(data))
    assert words.format(tmp_path / "clinic.yaml") in sentence
    assert str(tmp_path / "clinic.csv") in sentence


def test_a_file_that_is_not_there(tmp_path: Path, make: Make) -> None:
    sentence = refused(make(DATA), ConfigError)
    assert f"In {tmp_path / 'clinic.yaml'}, the key data.source names {tmp_path / 'clinic.csv'}" in sentence
    refused(make({**DATA, "source": f"postgresql:me:{CANARY}@host/x.csv"}), ConfigError)


# --- dates, labels of a regression, images -----------------------------------------------------------------------------


def test_dates_are_read_where_a_label_needs_them(tmp_path: Path, make: Make) -> None:
    data = {**DATA, "date": "visit", "ignore": ["note"]}
    (tmp_path / "clinic.csv").write_text(CSV.replace("2024-02-02", ""), encoding="utf-8")
    table = read_table(make(data, by="date"))
    assert table.date is not None
    assert table.date.name == "visit"
    assert [None if pd.isna(day) else day.isoformat() for day in table.date] == [
        "2024-01-31T00:00:00+00:00",
        "2024-02-01T00:00:00+00:00",
        None,
        "2024-03-01T08:00:00+00:00",
    ]
    (tmp_path / "clinic.csv").write_text(CSV.replace("2024-02-01", CANARY), encoding="utf-8")
    sentence = refused(make(data, by="date"))
    assert "the column visit (data.date) has no date in 1 row(s) with a label" in sentence


def test_a_regression_knows_the_usual_marks_of_a_missing_number(tmp_path: Path, make: Make) -> None:
    (tmp_path / "clinic.csv").write_text("pid,stay\n1,3.5\n2,NA\n3,\n4,nan\n5,7\n", encoding="utf-8")
    data = {"source": "clinic.csv", "key": ["pid"], "label": "stay"}
    assert texts(read_table(make(data, task="regression")).label) == ["3.5", None, None, None, "7"]
    # A class may be called NA; only an empty cell has no label.
    assert texts(read_table(make(data, task="multiclass")).label) == ["3.5", "NA", None, "nan", "7"]


def test_paths_of_images_are_text(tmp_path: Path, make: Make) -> None:
    (tmp_path / "clinic.csv").write_text("pid,scan,diagnosis\n1,a/1.png,x\n2,,y\n", encoding="utf-8")
    image = {"column": "scan", "size": [8, 8]}
    table = read_table(make({"source": "clinic.csv", "key": ["pid"], "label": "diagnosis", "image": image}))
    assert texts(table.images) == ["a/1.png", None]
    assert table.features.shape == (2, 0)


# --- Parquet and databases ---------------------------------------------------------------------------------------------


def test_a_parquet_file_keeps_its_types(tmp_path: Path, make: Make) -> None:
    columns = {
        "pid": pa.array([7, None, 9_007_199_254_740_993]),
        "diagnosis": pa.array([True, False, None]),
        "age": pa.array([41, None, 39], pa.int8()),
        "cost": pa.array([Decimal("1.50"), None, Decimal("2.25")]),
        "smoker": pa.array([True, None, False]),
        "ward": pa.array(["3", "4", None]).dictionary_encode(),
        "born": pa.array([date(1990, 1, 1), None, date(1980, 1, 1)]),
        "tests": pa.array([[1], [2], None]),
        "__index_level_0__": pa.array([1, 2, 3]),
    }
    pq.write_table(pa.table(columns), tmp_path / "clinic.parquet")
    table = read_table(make({"source": "clinic.parquet", "key": ["pid"], "label": "diagnosis"}))
    assert texts(table.keys["pid"]) == ["7", None, "9007199254740993"]
    assert texts(table.label) == ["true", "false", None]
    assert list(table.features.columns) == ["age", "cost", "smoker", "ward", "born", "tests"]
    np.testing.assert_array_equal(table.features["age"], [41, np.nan, 39])
    np.testing.assert_array_equal(table.features["cost"], [1.5, np.nan, 2.25])
    assert texts(table.features["smoker"]) == ["true", None, "false"]
    assert texts(table.features["ward"]) == ["3", "4", None]
    assert pd.api.types.is_datetime64_any_dtype(table.features["born"])


@pytest.mark.parametrize("use", ["key", "label", "date", "categories"])
def test_a_column_of_lists_has_no_use_but_to_be_ignored(tmp_path: Path, make: Make, use: str) -> None:
    nested = pa.array([[CANARY], ["b"]])
    plain = pa.array(["1", "2"])
    pq.write_table(pa.table({"pid": plain, "diagnosis": plain, "day": plain, "tests": nested}), tmp_path / "a.parquet")
    data = {"source": "a.parquet", "key": ["pid"], "label": "diagnosis", "date": "day"}
    data[use] = ["tests"] if use in ("key", "categories") else "tests"
    sentence = refused(make(data, by="date"))
    assert f"the column tests holds lists or groups of values, so it cannot be what the key data.{use} of" in sentence


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "clinic.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table visits (pid text, age, ward text, taken text, diagnosis integer)")
        rows = [("007", 41, "3", "12:30", 1), ("8", "39.5", "4", "08:15", 0), (None, None, None, "12:30", None)]
        connection.executemany("insert into visits values (?, ?, ?, ?, ?)", rows)
    return path


@pytest.mark.usefixtures("database")
def test_a_query_becomes_a_table(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLINIC_DB", "sqlite:///clinic.db")
    query = "select *, '10%' as share from visits where taken <> '09:00' order by pid desc"
    for source in ("sqlite:///clinic.db", "${CLINIC_DB}"):
        data = {"source": source, "query": query, "key": ["pid"], "label": "diagnosis", "categories": ["ward"]}
        table = read_table(make(data))
        assert texts(table.keys["pid"]) == ["8", "007", None]
        assert texts(table.label) == ["0", "1", None]
        np.testing.assert_array_equal(table.features["age"], [39.5, 41, np.nan])
        assert texts(table.features["ward"]) == ["4", "3", None]
        assert table.where == f"the database of {tmp_path / 'clinic.yaml'}"


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("source", "query", "kind", "words"),
    [
        ("sqlite:///clinic.db", f"select {CANARY} from visits", DataError, "failed (OperationalError)"),
        ("sqlite:///clinic.db", f"selectt '{CANARY}'", DataError, "data.query"),
        ("sqlite:///clinic.db", "create table a (b)", DataError, "data.query"),
        ("sqlite:///clinic.db", "select * from visits where 0", DataError, "no row of data"),
        ("sqlite:///clinic.db", "select pid, pid, diagnosis from visits", DataError, "pid occurs more than once"),
        ("sqlite:///none.db", "select 1", ConfigError, "none.db, which does not exist"),
        ("sqlite:///${DB_NAME}", "select 1", ConfigError, "environment variable DB_NAME, which is not set"),
        (f"nosuch://me@{CANARY}/db", "select 1", ConfigError, "SQLAlchemy knows no way"),
        ("oracle+nosuchdriver://me@h/db", "select 1", ConfigError, "data.source"),
        ("sqlite:///${BROKEN}", "select 1", ConfigError, "does not exist"),
    ],
)
def test_a_database_that_cannot_be_read(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    source: str,
    query: str,
    kind: type[Exception],
    words: str,
) -> None:
    monkeypatch.setenv("BROKEN", "no/such.db")
    sentence = refused(make({"source": source, "query": query, "key": ["pid"], "label": "diagnosis"}), kind)
    assert words in sentence
    assert str(tmp_path / "clinic.yaml") in sentence
    assert not (tmp_path / "none.db").exists()


def test_a_password_from_the_environment_is_in_no_error(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DB_PASSWORD", CANARY)
    data = {"source": "postgresql+psycopg://me:${DB_PASSWORD}@127.0.0.1:1/db", "query": "select 1", "key": ["pid"]}
    with pytest.raises((ConfigError, DataError)) as caught:
        read_table(make(data, role="feature"))
    assert CANARY not in str(caught.value)
    assert str(tmp_path / "clinic.yaml") in str(caught.value)


# --- labels -----------------------------------------------------------------------------------------------------------


def labels(*values: object) -> pd.Series[Any]:
    return pd.Series([str(value) for value in values], name="diagnosis")


@pytest.mark.parametrize(
    ("values", "positive", "classes", "codes"),
    [
        (("well", "sick", "well"), None, ("sick", "well"), [1, 0, 1]),
        (("well", "sick", "well"), "sick", ("well", "sick"), [0, 1, 0]),
        (("10", "9", "10"), None, ("9", "10"), [1, 0, 1]),
        (("1.0", "0.0"), 1, ("0.0", "1.0"), [1, 0]),
        (("TRUE", "FALSE"), False, ("TRUE", "FALSE"), [0, 1]),
    ],
)
def test_binary_labels(values: tuple[str, ...], positive: Any, classes: tuple[str, ...], codes: list[int]) -> None:
    found = encode_labels(labels(*values), "binary", "clinic.csv", positive)
    assert found.classes == classes
    assert found.values.dtype == np.float32
    assert found.values.tolist() == codes
    assert "sick" not in repr(found)


def test_classes_are_sorted_as_numbers_or_as_text() -> None:
    found = encode_labels(labels("10", "9", "10", "9", "2", "2"), "multiclass", "clinic.csv")
    assert found.classes == ("2", "9", "10")
    assert found.values.dtype == np.int64
    assert found.values.tolist() == [2, 1, 2, 1, 0, 0]
    assert encode_labels(labels("b", "a", "10", "b", "a", "10"), "multiclass", "x").classes == ("10", "a", "b")


def test_numbers_of_a_regression() -> None:
    found = encode_labels(labels(1, "2.5", "-3e2"), "regression", "clinic.csv")
    assert found.values.dtype == np.float64
    assert found.values.tolist() == [1.0, 2.5, -300.0]
    assert found.classes == ()


@pytest.mark.parametrize(
    ("task", "values", "positive", "words"),
    [
        ("binary", (CANARY,) * 3, None, "all rows have the same value"),
        ("multiclass", (CANARY,) * 3, None, "all rows have the same value"),
        ("regression", (5,) * 3, None, "all rows have the same value"),
        ("binary", (CANARY, "b", "c"), None, "holds 3 different values, but the task is binary"),
        ("binary", (CANARY, "b"), "c", "neither of the two values is what data.positive says"),
        ("multiclass", (CANARY, "b", "b", "c", "c"), None, "holds 3 different values in 5 rows, too many"),
        ("multiclass", [f"{CANARY}{number // 2}" for number in range(2002)], None, "holds 1001 different values"),
        ("regression", (1, CANARY, "1,5"), None, "2 row(s) hold no number, but the task is regression"),
        ("regression", (1, "inf", "1e39"), None, "2 row(s) hold an infinite or far too large number"),
        ("binary", (), None, "no row has a value"),
    ],
)
def test_labels_that_do_not_fit_the_task(task: Any, values: Any, positive: Any, words: str) -> None:
    with pytest.raises(DataError) as caught:
        encode_labels(labels(*values), task, "data/clinic.csv", positive)
    sentence = str(caught.value)
    assert "label column diagnosis of data/clinic.csv" in sentence
    assert words in sentence
    assert CANARY not in sentence


def test_rows_without_a_label_are_for_the_caller_to_leave_out() -> None:
    with pytest.raises(ValueError, match="left out"):
        encode_labels(pd.Series(["a", None], name="diagnosis"), "binary", "clinic.csv")


@given(st.lists(st.sampled_from(["a", "b", "7", "-1", "1e3", "é"]), min_size=12, max_size=40))
def test_codes_give_back_the_labels(values: list[str]) -> None:
    if len(set(values)) < 2:
        values = [*values, "a", "b"]
    found = encode_labels(labels(*values), "multiclass", "clinic.csv")
    assert [found.classes[int(code)] for code in found.values] == values


def test_a_table_is_not_compared_by_its_records() -> None:
    empty = pd.DataFrame()
    one = Table("a", empty, None, None, empty, None, Path())
    assert one != Table("a", empty, None, None, empty, None, Path())
