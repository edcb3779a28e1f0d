"""The id contract: one canonical key a row, injective, and nothing said about any key."""

import unicodedata
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psi import CONTRACT, KeyReport, read_keys
from vsplit.protocol import DataError


def text(*values, name="id"):
    return pd.Series(list(values), name=name, dtype=object)


def one(value):
    """The key of a single value, beside another that is surely usable."""
    keys = read_keys([text(value, "another, usable")])
    assert list(keys.rows) == [0, 1]
    return keys.keys[0]


def part(plain):
    return len(plain.encode()).to_bytes(4, "big") + plain.encode()


def test_the_version_is_part_of_the_interface():
    assert CONTRACT == 1


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ("A-17", "A-17"),
        ("  A-17\t", "A-17"),
        ("\u00a0A-17\u3000", "A-17"),
        ("ａ１２３", "a123"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("007", "007"),
        ("a b", "a b"),
        (17, "17"),
        (-3, "-3"),
        (17.0, "17"),
        (-0.0, "0"),
        (2.0**53 - 1, "9007199254740991"),
        (10**30, "1" + "0" * 30),
        (np.int32(17), "17"),
        (np.float64(17), "17"),
        (np.float32(17), "17"),
        (Decimal("17.00"), "17"),
        (Fraction(34, 2), "17"),
    ],
)
def test_values_become_text(value, canonical):
    assert one(value) == part(canonical)


@pytest.mark.parametrize(
    "value",
    [
        0.5,
        float("inf"),
        2.0**53,
        1e300,
        10**100,
        True,
        np.bool_(False),
        b"A-17",
        Decimal("0.1"),
        Decimal("Infinity"),
        Decimal("1e9999"),
        1j,
        ["A-17"],
        pd.Timestamp("2020-01-01"),
        "lone \ud800",
    ],
)
def test_values_that_can_be_no_id_are_malformed(value):
    keys = read_keys([text(value, "usable")])
    assert keys.report == KeyReport(rows=2, missing=0, malformed=1, repeated_rows=0, usable=1)
    assert list(keys.rows) == [1]


@pytest.mark.parametrize("value", [None, float("nan"), pd.NA, pd.NaT, "", "   ", "\u3000"])
def test_missing_values(value):
    keys = read_keys([text(value, "usable")])
    assert keys.report == KeyReport(rows=2, missing=1, malformed=0, repeated_rows=0, usable=1)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 2, None]),
        pd.Series([1, 2, None], dtype="Int64"),
        pd.Series(["1", "2", None], dtype="string"),
        pd.Series(["1", "2", None], dtype="category"),
        pd.Series([1, 2, None], dtype="float32"),
        pd.Series([1, 2, None], dtype="int64[pyarrow]"),
        pd.Series(["1", "2", None], dtype="string[pyarrow]"),
        pd.Series([Decimal(1), Decimal(2), None]),
    ],
)
def test_every_way_pandas_keeps_a_column_gives_the_same_keys(column):
    keys = read_keys([column])
    assert keys.keys == [part("1"), part("2")]
    assert keys.report.missing == 1


def test_single_precision_is_exact_for_fewer_digits():
    keys = read_keys([pd.Series([2**24 - 1, 2**24, 2**24 + 2], dtype="float32")])
    assert keys.report.malformed == 2


def test_rows_are_positions_and_not_labels_of_the_index():
    keys = read_keys([pd.Series(["a", None, "b"], index=[7, 7, 9])])
    assert list(keys.rows) == [0, 2]
    assert keys.rows.dtype == np.int64


def test_all_rows_of_a_repeated_key_are_left_out():
    keys = read_keys([text("a", "b", " a", "c", 1, "1", 1.0, None, 0.5)])
    assert keys.keys == [part("b"), part("c")]
    assert list(keys.rows) == [1, 3]
    assert keys.report == KeyReport(rows=9, missing=1, malformed=1, repeated_rows=5, usable=2)


def test_a_key_of_several_columns_needs_all_of_them():
    keys = read_keys([text("a", "a", None, "b", "c"), text(1, 2, 3, "", 0.5)])
    assert keys.keys == [part("a") + part("1"), part("a") + part("2")]
    assert keys.report == KeyReport(rows=5, missing=2, malformed=1, repeated_rows=0, usable=2)


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@settings(deadline=None, max_examples=200)
@given(st.tuples(words, words), st.tuples(words, words))
def test_joining_is_injective(first, second):
    """Two rows get one key exactly if each of their columns has the same canonical text."""
    frame = [text(a, b, "x") for a, b in zip(first, second, strict=True)]
    report = read_keys([*frame]).report
    canonical = [tuple(key_of(value) for value in row) for row in (first, second)]
    complete = [row for row in canonical if all(row)]
    assert report.missing == 2 - len(complete)
    assert report.repeated_rows == (2 if len(complete) == 2 and complete[0] == complete[1] else 0)


def key_of(value):
    return unicodedata.normalize("NFKC", value).strip()


def test_the_names_of_the_columns_do_not_enter_the_key():
    assert read_keys([text("a", name="id")]).keys == read_keys([text("a", name="patient")]).keys


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ([text(None, "", name="pid")], "key column 'pid' .* is empty: none of its 2 rows"),
        ([text("a", "b"), text(None, " ", name="visit")], "key column 'visit' .* is empty"),
        ([text(name="pid")], "'pid' .* none of its 0 rows"),
        ([text("canary", "canary", name="pid")], r"key in the key column 'pid' .* is repeated \(2 rows\)"),
        ([text("canary", None), text(None, "canary", name="x")], "key columns 'id' and 'x' together .* no usable key"),
        ([text("canary", "canary", None, name="pid")], "1 miss a value, 0 hold one that can be no id and 2 repeat"),
        ([text(0.5, 1.5, name=None)], r"\(without a name\) .* 2 hold one that can be no id"),
    ],
)
def test_keys_that_cannot_be_used(columns, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        read_keys(columns)
    assert "canary" not in str(caught.value)


def test_columns_of_one_table_are_asked_for():
    for columns in ([], [text("a"), text("a", "b")]):
        with pytest.raises(ValueError, match="all of the same length"):
            read_keys(columns)


def test_no_repr_shows_a_key():
    keys = read_keys([text("canary", "other")])
    assert "canary" not in repr(keys)
    assert part("canary").hex() not in repr(keys)
    assert "canary" not in repr(keys.report)
