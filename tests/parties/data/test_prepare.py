"""Preparation: equal to scikit-learn's own, learned from training rows alone, and the columns that are refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from parties.data.prepare import CLIP, MOST_CATEGORIES, Preparation, inspect_features
from vsplit.protocol import DataError

CANARY = "CANARY7311"
ROWS = np.arange(0, 300, dtype=np.int64)


def table(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    features = pd.DataFrame(draw.normal(5, 3, (rows, 3)), columns=["age", "weight", "height"])
    features.loc[draw.random(rows) < 0.2, "weight"] = np.nan
    features["sex"] = draw.choice(np.array(["F", "M", None], dtype=object), rows)
    features["smoker"] = draw.random(rows) < 0.5
    features["ward"] = draw.integers(1, 5, rows)
    return features


def all_rows(features: pd.DataFrame) -> npt.NDArray[np.int64]:
    return np.arange(len(features), dtype=np.int64)


def test_numbers_equal_those_of_a_scikit_learn_pipeline() -> None:
    features = table()
    prepared = Preparation.fit(features, ["ward"], ROWS).transform(features)
    numbers = features[["age", "weight", "height"]].to_numpy()
    pipeline = make_union(
        make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), MissingIndicator(features="missing-only")
    )
    expected = pipeline.fit(numbers[ROWS]).transform(numbers).astype(np.float64)
    expected[:, :3] = expected[:, :3].clip(-CLIP, CLIP)
    np.testing.assert_array_equal(prepared.numeric, expected.astype(np.float32))
    assert prepared.numeric.dtype == np.float32
    assert prepared.numeric.flags.c_contiguous


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-1e30, 1e30)),
            st.one_of(st.none(), st.integers(-(2**53), 2**53)),
            st.one_of(st.none(), st.text(max_size=3)),
        ),
        min_size=2,
        max_size=30,
    ),
    st.data(),
)
def test_whatever_the_table_the_result_is_finite_and_only_training_rows_count(
    rows: list[tuple[float | None, int | None, str | None]], data: st.DataObject
) -> None:
    features = pd.DataFrame(rows, columns=["a", "b", "c"]).astype({"a": float, "b": float})
    training = np.array(sorted(data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1))), dtype=np.int64)
    preparation = Preparation.fit(features, [], training)
    prepared = preparation.transform(features)
    assert np.isfinite(prepared.numeric).all()
    assert np.abs(prepared.numeric).max() <= CLIP
    assert (prepared.categories >= 0).all()
    assert (prepared.categories < prepared.vocabularies).all()
    others = features.copy()
    others.loc[~others.index.isin(training), :] = [1e9, np.nan, "other"]
    again = Preparation.fit(others, [], training)
    assert again == preparation
    loaded = Preparation.from_json(json.loads(json.dumps(preparation.to_json())))
    assert loaded == preparation
    np.testing.assert_array_equal(loaded.transform(features).numeric, prepared.numeric)
    np.testing.assert_array_equal(loaded.transform(features).categories, prepared.categories)


def test_categories_are_codes_with_zero_for_what_is_missing_or_new() -> None:
    features = pd.DataFrame(
        {
            "sex": ["F", " F ", "M", None, "", "X"],
            "smoker": [True, False, True, True, True, False],
            "ward": [2.0, 1.0, 2.0, np.nan, 1.0, 9.0],
            "age": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        }
    )
    preparation = Preparation.fit(features, ["ward"], np.arange(5, dtype=np.int64))
    prepared = preparation.transform(features)
    assert prepared.categories.dtype == np.int64
    assert prepared.categories[:, 0].tolist() == [1, 1, 2, 0, 0, 0]
    assert prepared.categories[:, 1].tolist() == [1, 2, 1, 1, 1, 2]
    assert prepared.categories[:, 2].tolist() == [2, 1, 2, 0, 1, 0]  # 1 and 2 are equally frequent: in text order
    assert prepared.vocabularies == (3, 3, 3)
    assert [one.words for one in preparation.categories] == [("F", "M"), ("true", "false"), ("1", "2")]
    # The same categories, written as text in another source, have the same codes.
    other = features.assign(
        ward=["2", "1", "2", None, "1", "9"], smoker=["true", "false", "true", "true", "true", "false"]
    )
    np.testing.assert_array_equal(
        preparation.transform(other[["age", "ward", "smoker", "sex"]]).categories, prepared.categories
    )


def test_only_the_most_frequent_categories_are_kept() -> None:
    words = [f"w{number:04}" for number in range(MOST_CATEGORIES + 5)]
    features = pd.DataFrame({"code": [*words, *words[10:]]})
    preparation = Preparation.fit(features, [], all_rows(features))
    prepared = preparation.transform(features)
    assert prepared.vocabularies == (MOST_CATEGORIES + 1,)
    assert prepared.categories[10, 0] == 1
    assert prepared.categories[:5, 0].tolist() == list(range(MOST_CATEGORIES - 4, MOST_CATEGORIES + 1))
    assert prepared.categories[5:10, 0].tolist() == [0] * 5


def test_a_column_that_is_constant_or_empty_in_the_training_rows_only() -> None:
    features = pd.DataFrame({"a": [3.0, 3.0, 4.0, 50.0], "b": [np.nan, np.nan, 1.0, 2.0]})
    prepared = Preparation.fit(features, [], np.array([0, 1])).transform(features)
    assert prepared.numeric.tolist() == [[0, 0, 1], [0, 0, 1], [1, 1, 0], [CLIP, 2, 0]]


def test_no_feature_at_all_has_a_shape() -> None:
    features = pd.DataFrame(index=pd.RangeIndex(4))
    inspect_features(features, [], "clinic.csv")
    prepared = Preparation.fit(features, [], np.array([0, 1])).transform(features)
    assert prepared.numeric.shape == (4, 0)
    assert prepared.categories.shape == (4, 0)
    assert prepared.vocabularies == ()
    assert (prepared.numeric.dtype, prepared.categories.dtype) == (np.float32, np.int64)


def test_no_training_row_is_an_error() -> None:
    with pytest.raises(DataError, match="no training row"):
        Preparation.fit(table(), [], np.array([], dtype=np.int64))


def test_a_later_table_must_have_the_same_columns() -> None:
    features = table()
    preparation = Preparation.fit(features, [], ROWS)
    with pytest.raises(DataError, match="column sex is missing"):
        preparation.transform(features.drop(columns="sex"))
    with pytest.raises(DataError, match="column age holds something else than numbers") as caught:
        preparation.transform(features.assign(age=CANARY))
    assert CANARY not in str(caught.value)


def test_nothing_shows_what_was_learned() -> None:
    features = pd.DataFrame({"a": [CANARY, "b"], "n": [7311.0, 2.0]})
    preparation = Preparation.fit(features, [], np.array([0, 1]))
    assert repr(preparation) == "<Preparation of 1 numbers, 1 categories>"
    assert repr(preparation.transform(features)) == "<Prepared numeric (2, 1), categories (2, 1)>"


@pytest.mark.parametrize(
    "change",
    [
        {"numbers": None},
        {"numbers": [{"name": "a"}]},
        {"numbers": [{"name": "a", "median": 0.0, "mean": 0.0, "scale": 0.0, "indicator": False}]},
        {"numbers": [{"name": "a", "median": 0.0, "mean": 0.0, "scale": "1", "indicator": False}]},
        {"categories": [{"name": "a", "words": [1]}]},
    ],
)
def test_a_damaged_file_is_refused(change: dict[str, Any]) -> None:
    values = {**Preparation.fit(table(), [], ROWS).to_json(), **change}
    with pytest.raises(DataError, match="damaged"):
        Preparation.from_json(values)


# --- inspection -------------------------------------------------------------------------------------------------------

MANY = range(40)
WRONG: dict[str, tuple[list[Any], str]] = {
    "same": ([CANARY] * 40, "same has the same value in every row"),
    "same_number": ([7311.0] * 40, "same_number has the same value in every row"),
    "empty": ([None] * 40, "empty has no value in any row"),
    "spaces": ([" "] * 39 + [""], "spaces has no value in any row"),
    "gaps": ([np.nan] * 40, "gaps has no value in any row"),
    "day": (list(pd.date_range("2024-01-01", periods=40)), "day holds dates"),
    "day_text": ([f"2024-01-{number % 28 + 1:02}" for number in MANY], "day_text holds dates"),
    "time_text": ([f"2024-01-{number % 28 + 1:02} 12:{number:02}:00" for number in MANY], "time_text holds dates"),
    "german_day": ([f"{number % 28 + 1}.1.2024" for number in MANY], "german_day holds dates"),
    "wild": ([np.inf, -np.inf, *range(38)], "wild holds 2 infinite or far too large number(s)"),
    "huge": ([1e300, *range(39)], "huge holds 1 infinite"),
    "nested": ([[CANARY]] * 40, "nested holds values that are neither numbers nor text"),
    "mapped": ([{"a": CANARY}] * 40, "mapped holds values that are neither numbers nor text"),
    "name": ([f"{CANARY}{number}" for number in MANY], "name differs in nearly every row"),
    "comma": ([f"{number},5" for number in MANY], "decimal comma"),
    "marked": ([str(number) for number in range(38)] + ["?", CANARY], "marked holds numbers, but 2 cell(s)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_column_that_cannot_be_a_feature_is_named(name: str) -> None:
    values, words = WRONG[name]
    features = pd.DataFrame({"fine": range(40), name: pd.Series(values)})
    with pytest.raises(DataError) as caught:
        inspect_features(features, [], "data/clinic.csv")
    sentence = str(caught.value)
    assert sentence.startswith("In data/clinic.csv, 1 column cannot be used")
    assert words in sentence
    assert f"data.ignore: [{name}]" in sentence
    assert CANARY not in sentence
    assert "7311" not in sentence


def test_all_wrong_columns_are_named_at_once() -> None:
    features = pd.DataFrame({name: pd.Series(values) for name, (values, _) in WRONG.items()})
    with pytest.raises(DataError, match=f"{len(WRONG)} column") as caught:
        inspect_features(features, [], "clinic.csv")
    assert all(words in str(caught.value) for _, words in WRONG.values())
    assert f"data.ignore: [{', '.join(WRONG)}]" in str(caught.value)


def test_usable_columns_pass() -> None:
    features = table().assign(
        rare=[None, *["x"] * 399],
        mostly_gaps=[1.0, *[np.nan] * 399],
        codes=[f"{number % 30}" if number % 40 else "V7" for number in range(400)],
        few_days=["2024-01-01", *["never"] * 399],
    )
    inspect_features(features, ["codes"], "clinic.csv")
    with pytest.raises(DataError, match=r"codes holds numbers, but 10 cell.*data\.categories"):
        inspect_features(features, [], "clinic.csv")


def test_a_listed_column_of_numbers_is_judged_as_categories() -> None:
    features = pd.DataFrame({"number": np.arange(40.0)})
    inspect_features(features, [], "clinic.csv")
    with pytest.raises(DataError, match="number differs in nearly every row"):
        inspect_features(features, ["number"], "clinic.csv")
