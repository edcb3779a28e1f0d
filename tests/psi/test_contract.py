"""The id contract: one canonical key a row, injective, and nothing said about any key."""

import datetime
import unicodedata
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psi import CONTRACT, ColumnReport, StepReport, UnusableKeysError, many_malformed, read_keys, read_steps
from psi.contract import _RANGE
from psi.normalise import MOST_CHARACTERS, canonical
from vsplit.protocol import DataError


def text(*values, name="id"):
    return pd.Series(list(values), name=name, dtype=object)


COUNTS = ("rows", "missing", "malformed", "repeated_keys", "repeated_rows", "left_out", "usable")


def one(value):
    """The key of a single value, beside another that is surely usable."""
    keys = read_keys([text(value, "another, usable")])
    assert list(keys.rows) == [0, 1]
    return keys.keys[0]


def counts(report):
    """The counts of a report that are not zero."""
    return {name: value for name in COUNTS if (value := getattr(report, name))}


def part(plain):
    return len(plain.encode()).to_bytes(4, "big") + plain.encode()


def test_the_version_is_part_of_the_interface():
    assert CONTRACT == 2


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
    assert counts(keys.report) == {"rows": 2, "malformed": 1, "usable": 1}
    assert list(keys.rows) == [1]


@pytest.mark.parametrize("value", [None, float("nan"), pd.NA, pd.NaT, "", "   ", "\u3000"])
def test_missing_values(value):
    keys = read_keys([text(value, "usable")])
    assert counts(keys.report) == {"rows": 2, "missing": 1, "usable": 1}


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
    assert list(keys.keys) == [part("1"), part("2")]
    assert keys.report.missing == 1


def test_single_precision_is_exact_for_fewer_digits():
    keys = read_keys([pd.Series([2**24 - 1, 2**24, 2**24 + 2], dtype="float32")])
    assert keys.report.malformed == 2


def test_rows_are_positions_and_not_labels_of_the_index():
    keys = read_keys([pd.Series(["a", None, "b"], index=[7, 7, 9])])
    assert list(keys.rows) == [0, 2]
    assert keys.rows.dtype == np.int64


REPEATS = ("a", "b", " a", "c", 1, "1", 1.0, None, 0.5)
"""a on rows 0 and 2, 1 on rows 4 to 6."""


@pytest.mark.parametrize(
    ("policy", "rows", "starts", "left_out"),
    [
        ("first", [0, 1, 3, 4], [0, 1, 2, 3, 4], 3),
        ("last", [2, 1, 3, 6], [0, 1, 2, 3, 4], 3),
        ("many_to_one", [0, 2, 1, 3, 4, 5, 6], [0, 2, 3, 4, 7], 0),
    ],
)
def test_what_becomes_of_repeated_keys(policy, rows, starts, left_out):
    keys = read_keys([text(*REPEATS)], repeated=policy)
    assert list(keys.keys) == [part(plain) for plain in ("a", "b", "c", "1")]
    assert (list(keys.rows), list(keys.starts)) == (rows, starts)
    assert (keys.rows.dtype, keys.starts.dtype) == (np.int64, np.int64)
    assert counts(keys.report) == {
        "rows": 9, "missing": 1, "malformed": 1, "repeated_keys": 2, "repeated_rows": 5, "usable": 7 - left_out,
        **({"left_out": left_out} if left_out else {}),
    }  # fmt: skip


def test_repeated_keys_are_an_error_unless_the_job_says_otherwise():
    with pytest.raises(DataError, match=r"'id' .* 2 key\(s\) occur more than once, on 5 rows") as caught:
        read_keys([text(*REPEATS)])
    assert "many_to_one for the label party's alone" in str(caught.value)


def test_repeats_are_judged_after_normalisation():
    columns = [text("A-1", "a 1", "a1")]
    assert len(read_keys(columns).keys) == 3
    steps = [read_steps(["lower", "no_punctuation", "no_spaces"])]
    keys = read_keys(columns, normalise=steps, repeated="last")
    assert (list(keys.keys), list(keys.rows)) == ([part("a1")], [2])


def test_a_key_of_several_columns_needs_all_of_them():
    keys = read_keys([text("a", "a", None, "b", "c"), text(1, 2, 3, "", 0.5)])
    assert list(keys.keys) == [part("a") + part("1"), part("a") + part("2")]
    assert counts(keys.report) == {"rows": 5, "missing": 2, "malformed": 1, "usable": 2}


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@settings(deadline=None, max_examples=200)
@given(st.tuples(words, words), st.tuples(words, words))
def test_joining_is_injective(first, second):
    """Two rows get one key exactly if each of their columns has the same canonical text."""
    frame = [text(a, b, "longer than these") for a, b in zip(first, second, strict=True)]
    report = read_keys([*frame], repeated="many_to_one").report
    canonical = [tuple(key_of(value) for value in row) for row in (first, second)]
    complete = [row for row in canonical if all(row)]
    assert report.missing == 2 - len(complete)
    assert report.repeated_rows == (2 if len(complete) == 2 and complete[0] == complete[1] else 0)


def key_of(value):
    return unicodedata.normalize("NFKC", value).strip()


def test_the_names_of_the_columns_do_not_enter_the_key():
    assert list(read_keys([text("a", name="id")]).keys) == list(read_keys([text("a", name="patient")]).keys)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ([text(None, "", name="pid")], "key column 'pid' .* is empty: none of its 2 rows"),
        ([text("a", "b"), text(None, " ", name="visit")], "key column 'visit' .* is empty"),
        ([text(name="pid")], "'pid' .* none of its 0 rows"),
        (
            [text("canary", "canary", name="pid")],
            r"In the key column 'pid' .* 1 key\(s\) occur more than once, on 2 rows",
        ),
        ([text("canary", None), text(None, "canary", name="x")], "key columns 'id' and 'x' together .* no usable key"),
        ([text(0.5, None, 1.5, name=None)], r"2 of 3 values cannot be ids .* 1 of 3 values are missing"),
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


# --- normalisers on columns -------------------------------------------------------------------------------------------

STEPS = [
    "nfkc", "trim", "spaces", "no_spaces", "lower", "upper", "no_punctuation", "no_accents", "leading_zeros", "digits",
    "email", {"pad_zeros": 5}, {"date": ["%d.%m.%Y", "%Y-%m-%d", "%Y%m%d"]}, {"phone": "DE"},
]  # fmt: skip
dirty = st.text(
    st.sampled_from("aZ09 .-/@_\t\n\x1c\u00a0\u200b\u00df\u0130\u017fe\u0301\u0660\uff11\U0001d7d8\u01c5"), max_size=8
)
dates = st.dates().map(lambda day: day.strftime("%d.%m.%Y"))
values = st.one_of(st.none(), dirty, dates, st.integers(0, 10**12).map(str), st.text(max_size=5), st.integers())


def is_text(value):
    return value is None or isinstance(value, str)


@settings(deadline=None, max_examples=300)
@given(st.lists(values, min_size=1, max_size=12), st.lists(st.sampled_from(STEPS), max_size=3))
def test_columns_are_read_as_single_values_are(found, written):
    """The fast way over whole columns gives what the plain definition gives for each value, whatever holds the column."""
    steps = read_steps(written)
    plain = ["" if value is None else canonical(str(value), steps) for value in found]
    wanted = [(row, part(key)) for row, key in enumerate(plain) if key]
    columns = [pd.Series([*found, None], name="id", dtype=object)]
    if all(is_text(value) and (value is None or value.isprintable()) for value in found):
        columns.append(pd.Series([*found, None], name="id", dtype="str"))
    for column in columns:
        if not wanted:
            with pytest.raises(DataError):
                read_keys([column], normalise=[steps])
            continue
        keys = read_keys([column], normalise=[steps], repeated="many_to_one")
        read = [
            (int(row), key) for at, key in enumerate(keys.keys) for row in keys.rows[slice(*keys.starts[at : at + 2])]
        ]
        assert sorted(read) == wanted
        assert keys.report.malformed == keys.report.columns[0].malformed == plain.count(None)
        assert keys.report.missing == keys.report.columns[0].missing == 1 + plain.count("")


def test_the_report_counts_what_each_normaliser_changed():
    column = pd.Series(["  A-1", "a-2", "\uff21-3", "\u00c4-4", "x", None, "--"], name="pid", dtype="str")
    keys = read_keys([column], normalise=[read_steps(["trim", "lower", "no_punctuation", {"pad_zeros": 3}, "nfkc"])])
    assert [key[4:].decode() for key in keys.keys] == ["0a1", "0a2", "0a3", "0\u00e44", "00x"]
    assert keys.report.columns == (
        ColumnReport(
            "pid",
            missing=2,
            malformed=0,
            steps=(
                StepReport("nfkc", 1, 0),
                StepReport("trim", 1, 0),
                StepReport("lower", 3, 0),
                StepReport("no_punctuation", 5, 0),
                StepReport("pad_zeros 3", 5, 0),
            ),
        ),
    )


def test_the_report_says_which_normaliser_refused():
    columns = [text("1.2.1980", "1980-02-30", "soon"), text("ann@example.org", "ann", 0.5, name="mail")]
    found = read_keys(columns, normalise=[read_steps([{"date": ["%d.%m.%Y", "%Y-%m-%d"]}]), read_steps(["email"])])
    assert counts(found.report) == {"rows": 3, "malformed": 2, "usable": 1}
    assert [(one.malformed, one.steps[-1]) for one in found.report.columns] == [
        (2, StepReport("date %d.%m.%Y or %Y-%m-%d", 1, 2)),
        (2, StepReport("email", 0, 1)),
    ]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.to_datetime(["1980-09-03", "1980-09-04", None])),
        pd.Series(pd.to_datetime(["1980-09-03", "1980-09-04", None]).tz_localize("Europe/Berlin")),
        pd.Series([datetime.date(1980, 9, 3), datetime.date(1980, 9, 4), None], dtype=object),
        pd.Series(["3.9.1980", datetime.date(1980, 9, 4), ""], dtype=object),
        pd.Series([datetime.date(1980, 9, 3), datetime.date(1980, 9, 4), None], dtype="date32[pyarrow]"),
    ],
    ids=["datetime64", "with a zone", "dates", "mixed", "arrow"],
)
def test_real_dates_are_dates_where_the_job_says_so(column):
    keys = read_keys([column], normalise=[read_steps(["no_spaces", {"date": ["%d.%m.%Y"]}, "no_punctuation"])])
    assert list(keys.keys) == [part("19800903"), part("19800904")]
    assert counts(keys.report) == {"rows": 3, "missing": 1, "usable": 2}
    with pytest.raises(DataError, match="2 of 2 values"):
        read_keys([column.iloc[:2]], normalise=[read_steps(["email"])])


def test_a_time_of_day_is_no_date():
    column = pd.Series(pd.to_datetime(["1980-09-03 23:00", "1980-09-04 00:00"]))
    assert counts(read_keys([column], normalise=[read_steps([{"date": ["%Y-%m-%d"]}])]).report)["malformed"] == 1


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "datetime64[us]", object, "timestamp[ns][pyarrow]"])
def test_a_moment_after_midnight_is_no_date(dtype):
    after = pd.Timestamp("1980-09-03") + pd.Timedelta(1 if dtype != "datetime64[us]" else 1000, "ns")
    column = pd.Series([after, pd.Timestamp("1980-09-04")], dtype=dtype)
    found = read_keys([column], normalise=[read_steps([{"date": ["%Y-%m-%d"]}])])
    assert list(found.keys) == [part("1980-09-04")]
    assert counts(found.report) == {"rows": 2, "malformed": 1, "usable": 1}


@pytest.mark.parametrize("dtype", [object, "str", pd.ArrowDtype(pa.string())])
def test_text_that_is_too_long_is_malformed(dtype):
    most = "\u00e4" * MOST_CHARACTERS
    column = pd.Series([most, most + "b", "b" * len(most), "b" * (len(most) + 1), "x", None], dtype=dtype)
    found = read_keys([column], normalise=[read_steps(["no_spaces"])])
    assert list(found.keys) == [part(most), part("b" * len(most)), part("x")]
    assert counts(found.report) == {"rows": 6, "missing": 1, "malformed": 2, "usable": 3}
    assert found.report.columns[0].malformed == 2


def test_bytes_that_are_no_utf_8_are_malformed():
    broken = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 3], np.int32)), pa.py_buffer(b"a\xff\xfe")]
    )
    column = pd.Series(broken, dtype=pd.ArrowDtype(pa.string()))
    assert counts(read_keys([column]).report) == {"rows": 2, "malformed": 1, "usable": 1}


def test_many_rows_are_read_in_stretches():
    rows = _RANGE + 1000
    column = pd.Series([f"K{row % (rows - 1):06d}" for row in range(rows)], name="id")
    keys = read_keys([column], repeated="many_to_one")
    assert (len(keys.keys), len(keys.rows), keys.report.repeated_keys) == (rows - 1, rows, 1)
    assert keys.rows[:2].tolist() == [0, rows - 1]
    assert keys.keys[rows - 2] == part(f"K{rows - 2:06d}")
    assert (np.diff(keys.rows[2:]) == 1).all()


# --- keys that the normalisers made one of several --------------------------------------------------------------------


def merged(*columns, steps, policy="many_to_one"):
    return read_keys(columns, normalise=[read_steps(one) for one in steps], repeated=policy).report.merged_keys


def test_keys_that_steps_made_one_are_counted():
    column = text("a", "A ", "b", " b", "c", "C", "c", "d", None, "")
    # The white space around b is not the work of a step; a and c are.
    for policy in ("first", "last", "many_to_one"):
        assert merged(column, steps=[["lower"]], policy=policy) == 2
    assert merged(column, steps=[[]]) == merged(column, steps=[["nfkc", "trim"]]) == 0
    assert merged(text("a", "a", "b"), steps=[["lower"]]) == 0
    with pytest.raises(DataError, match=r"3 key\(s\) occur more than once, on 7 rows in all \(2 of these keys only"):
        merged(column, steps=[["lower"]], policy="error")
    with pytest.raises(DataError, match=r"on 2 rows in all, and only one"):
        merged(text("a", "a", "b"), steps=[["lower"]], policy="error")


def test_any_column_can_be_what_differed():
    first, second = text("1", "1", "2", "2"), text("x", "X", "y", "y", name="second")
    assert merged(first, second, steps=[[], ["lower"]]) == 1
    assert merged(first, second, steps=[["leading_zeros"], ["lower"]]) == 1


def test_a_real_date_is_the_text_of_its_day():
    day = datetime.date(1980, 9, 3)
    date = [["no_spaces", {"date": ["%d.%m.%Y", "%Y-%m-%d"]}]]
    assert merged(text(day, "3.9.1980"), steps=date) == 1
    assert merged(text(day, "1980-09-03", pd.Timestamp(day)), steps=date) == 0


def test_numbers_that_steps_made_one_are_counted():
    assert merged(pd.Series([1.0, 10.0, None, 1.0]), steps=[[{"pad_zeros": 3}]]) == 0
    assert merged(text(1, "001", "2"), steps=[[{"pad_zeros": 3}]]) == 1


def test_neighbours_in_two_stretches_are_compared():
    # Each key stands on as many rows as a stretch has, and only the first row of the second key differs from the rest.
    plain = ["a"] * _RANGE + ["B"] + ["b"] * (_RANGE - 1) + ["c"]
    assert merged(pd.Series(plain, name="id"), steps=[["lower"]]) == 1
    # The last row of a stretch is one, and the first row of the next is the other.
    plain = ["x"] + ["a"] * (_RANGE - 1) + ["A"]
    assert merged(pd.Series(["a"] * _RANGE + ["A"], name="id"), steps=[["lower"]]) == 1
    assert merged(pd.Series(plain, name="id"), steps=[["lower"]]) == 1


spellings = st.sampled_from(["a", "A", "\uff21", " a", "b", "B", "c", "", None])


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(spellings, spellings), min_size=2, max_size=30))
def test_merged_keys_agree_with_the_plain_definition(rows):
    groups = {}
    for row in rows:
        before = tuple(canonical(value or "", ()) for value in row)
        if all(before):
            groups.setdefault((before[0].lower(), before[1]), set()).add(before)
    if groups:
        first, second = (text(*column) for column in zip(*rows, strict=True))
        assert merged(first, second, steps=[["lower"], []]) == sum(len(one) > 1 for one in groups.values())


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(["a", "b", "c", " a", "", None]), min_size=1, max_size=30))
def test_policies_agree_with_the_plain_definition(found):
    groups = {}
    for row, value in enumerate(found):
        if (value or "").strip():
            groups.setdefault(part(value.strip()), []).append(row)
    if not groups:
        return
    for policy, pick in (("first", lambda rows: rows[:1]), ("last", lambda rows: rows[-1:]), ("many_to_one", list)):
        keys = read_keys([text(*found)], repeated=policy)
        assert list(keys.keys) == list(groups)
        assert [keys.rows[a:b].tolist() for a, b in pairwise(keys.starts)] == [pick(rows) for rows in groups.values()]


# --- values that can be no id, in words -------------------------------------------------------------------------------


def test_no_usable_key_names_the_column_and_the_step_at_fault():
    born = pd.Series(["03/04/1980"] * 40, name="born")
    pid = pd.Series([f"P{number}" for number in range(40)], name="pid")
    steps = [(), read_steps([{"date": ["%d.%m.%Y"]}])]
    with pytest.raises(UnusableKeysError) as caught:
        read_keys([pid, born], normalise=steps)
    sentence = str(caught.value)
    assert "born: 40 of 40 values fit none of the formats of date %d.%m.%Y." in sentence
    assert "pid:" not in sentence
    assert caught.value.report.columns[1].malformed == 40


def test_repeated_keys_bring_the_report():
    with pytest.raises(UnusableKeysError) as caught:
        read_keys([pd.Series(["a", "a", "b"], name="pid")])
    assert caught.value.report.repeated_keys == 1


@pytest.mark.parametrize(("wrong", "told"), [(4, False), (5, True), (60, True)])
def test_a_notable_share_of_malformed_values_is_told(wrong, told):
    born = pd.Series(["13/31/1980"] * wrong + ["1980-09-03"] * (100 - wrong), name="born")
    report = read_keys([born], normalise=[read_steps([{"date": ["%Y-%m-%d"]}])], repeated="first").report
    said = many_malformed(report.columns, report.rows)
    assert len(said) == told
    if told:
        assert said[0].startswith(
            f"born: {wrong} of 100 values fit none of the formats of date %Y-%m-%d; rows with such"
        )


def test_malformed_values_that_no_step_found_are_told_as_such():
    report = read_keys([pd.Series([0.5, 1.0], name="pid")]).report
    assert many_malformed(report.columns, report.rows)[0].startswith("pid: 1 of 2 values cannot be ids (a fraction")
