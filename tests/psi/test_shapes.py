"""The shapes of keys: what they tell, what they leave out, and what follows from two of them."""

from __future__ import annotations

import random
import re
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psi import (
    ColumnShape,
    KeyShapes,
    check_match,
    exchange_shapes_feature,
    exchange_shapes_label,
    is_low,
    key_shapes,
    likely_causes,
    read_steps,
)
from psi.keys import KeyList
from psi.shapes import CATEGORIES, FEWEST
from vsplit.protocol import DataError, ProtocolError, RefusedError

draw = random.Random(0)


def keys(*columns):
    """A list of keys with these columns of texts."""
    return KeyList.of(
        b"".join(len(text.encode()).to_bytes(4, "big") + text.encode() for text in row)
        for row in zip(*columns, strict=True)
    )


def shape(texts):
    (found,) = key_shapes(keys(texts), 1)
    return found


def many(make, records=800):
    return [make() for _ in range(records)]


def number(digits):
    return lambda: str(draw.randrange(10 ** (digits - 1), 10**digits))


def day(form):
    def make():
        parts = {
            "Y": f"{draw.randrange(1930, 2010)}",
            "m": f"{draw.randrange(1, 13):02}",
            "d": f"{draw.randrange(1, 29):02}",
        }
        return "".join(parts.get(sign, sign) for sign in form)

    return make


def name(case=str, accents=0.0):
    def make():
        word = "".join(draw.choices("abcdefghij", k=draw.randrange(4, 9)))
        return case(word.replace("a", "\u00e4") if draw.random() < accents else word)

    return make


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["0012345678"] * 1000, {
            "length 10": 100, "digits": 100, "leading zero": 100, "two leading zeros": 100,
        }),
        (["123.0"] * 600 + ["a  b"] * 400, {
            "length 5": 60, "length 4": 40, "with other signs": 100, "with dot": 60, "digits and .0": 60, "small letters": 40,
            "with space": 40, "with a double space": 40,
        }),
        (["3.9.1980"] * 600 + ["03.14.1980"] * 400, {
            "length 8": 60, "length 10": 40, "with other signs": 100, "with dot": 100, "leading zero": 40, "date d.m.Y": 60,
            "date m.d.Y": 40, "date with a day or month of one digit": 60,
        }),
        (["AB12-34"] * 750 + ["ab cd+e"] * 250, {
            "length 7": 100, "with other signs": 100, "capitals": 75, "small letters": 25, "with hyphen": 75,
            "with space": 25, "with other punctuation": 25,
        }),
        (["M\u00fcller"] * 1000, {"length 6": 100, "letters": 100, "both cases": 100, "with accents": 100}),
        (["1980-09-03"] * 1000, {"length 10": 100, "with other signs": 100, "with hyphen": 100, "date Y-m-d": 100}),
        (["19800903"] * 600 + ["03091980"] * 400, {
            "length 8": 100, "digits": 100, "leading zero": 40, "date Ymd": 60, "date dmY": 40,
        }),
        (["13/02/1980"] * 500 + ["02/13/1980"] * 300 + ["02/03/1980"] * 200, {
            "length 10": 100, "with other signs": 100, "with slash": 100, "leading zero": 50, "date d/m/Y": 50,
            "date m/d/Y": 30,
        }),
        (["+4930901820"] * 1000, {"length 11": 100, "with other signs": 100, "with + in front": 100}),
        (["d41d8cd98f00b204e9800998ecf8427e"] * 1000, {"length 32": 100, "hexadecimal": 100, "small letters": 100}),
        (["x" * 50] * 500 + ["X" * 65] * 500, {
            "length 41 to 64": 50, "length over 64": 50, "letters": 100, "capitals": 50, "small letters": 50,
        }),
        (["ann@example.org"] * 800, {
            "length 15": 100, "with other signs": 100, "small letters": 100, "with dot": 100, "with at": 100,
        }),
    ],
)  # fmt: skip
def test_what_a_shape_tells(texts, told):
    assert shape(texts).shares == told


def test_what_few_records_have_is_not_told():
    assert shape(["a" * 3] * 79).shares == {}
    assert shape(["a" * 3] * 80).shares == {"length 3": 100, "letters": 100, "small letters": 100}
    # A single record, and 19 of 1,000, change nothing in what is told.
    same = shape(["123456"] * 1000).shares
    for few in (1, FEWEST - 1):
        assert shape(["123456"] * (1000 - few) + ["Zoe O'Neill-X"] * few).shares == same


@settings(max_examples=60)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=70), min_size=1, max_size=60))
def test_whatever_the_keys_are_their_shape_can_be_sent(texts):
    texts = texts * 5
    found = key_shapes(keys(texts, texts[::-1]), 2)
    sent = msgspec.msgpack.encode(KeyShapes(columns=tuple(dict(one.shares) for one in found)))
    assert msgspec.msgpack.decode(sent, type=KeyShapes).columns == tuple(one.shares for one in found)
    assert all(share % one.step == 0 and name in CATEGORIES for one in found for name, share in one.shares.items())
    counts = Counter(map(len, texts))
    assert all(counts[int(category.split()[1])] >= FEWEST for category in found[0].shares if "length" in category)


def test_a_long_list_is_looked_at_in_places():
    texts = ["1" * 8] * 30_000 + ["2" * 10] * 10_000
    assert shape(texts).shares == {"length 8": 75, "length 10": 25, "digits": 100}


@pytest.mark.parametrize(
    "columns",
    [
        (),
        ({"length 8": 100},) * 17,
        ({"length 8": 7},),
        ({"length 8": 0},),
        ({"length 8": 105},),
        ({"length 8": 5 * 10**9},),
        ({"length 8": -5},),
        ({"Anna": 100},),
    ],
)
def test_a_message_that_no_shape_can_be_is_refused(columns):
    with pytest.raises(ValueError, match=r"columns|share|category"):
        KeyShapes(columns=columns)
    if columns and all(isinstance(share, int) for one in columns for share in one.values()):
        raw = msgspec.msgpack.encode({"columns": columns})
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(raw, type=KeyShapes)


# --- causes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "there", "sentence"),
    [
        (
            lambda: f"{draw.randrange(10**8):010}", number(8),
            "pid is mostly 10 digits long here and mostly 8 digits long at lab, .* zero more often here: leading zeros .*10}",
        ),
        (number(8), number(9), "mostly has 8 characters here and 9 at lab"),
        (lambda: f"{draw.randrange(10**6):08}", number(8), "begins with a zero more often here: leading zeros"),
        (number(6), lambda: number(6)() + ".0", "written with .0 at its end more often at lab than here, .* whole numbers"),
        (lambda: f"{int(number(6)()):08}", lambda: number(6)() + ".0", "written with .0 at its end more often at lab"),
        (
            day("d/m/Y"), day("m/d/Y"),
            'as "%d/%m/%Y" here and as "%m/%d/%Y" at lab. No list of formats corrects this, .* has to rewrite its column',
        ),
        (day("m.d.Y"), day("d.m.Y"), "No list of formats corrects this"),
        (day("d-m-Y"), day("m-d-Y"), "No list of formats corrects this"),
        (
            day("d.m.Y"), lambda: re.sub(r"\b0", "", day("d.m.Y")()),
            r'one digit more often at lab than here: put \{date: \["%d.%m.%Y"\]\}',
        ),
        (day("Y-m-d"), lambda: day("Y-m-d")() + "T10:00", "No format reads .* names of months or times of day"),
        (lambda: "030 " + number(6)(), lambda: "0049 30 " + number(6)(), r"begins with a 00 .* put \{phone: DE\}"),
        (lambda: "a b" + number(4)(), lambda: "a  b" + number(4)(), "several spaces in a row .* at lab .*: put spaces into"),
        (lambda: name()() + "\u00eb", lambda: name()() + "\u00c3\u00ab", "more often at lab than here: .* wrong encoding"),
        (day("d.m.Y"), day("Y-m-d"), r'as "%d.%m.%Y" here and as "%Y-%m-%d" at lab: put \{date: \["%d.%m.%Y", "%Y-%m-%d"\]'),
        (day("m/d/Y"), day("Ymd"), r'as "%m/%d/%Y" here and as "%Y%m%d" at lab'),
        (day("d.m.Y"), number(6), r'mostly holds dates as "%d.%m.%Y" here, and has no single such form at lab'),
        (name(str.upper), name(), "mostly in capitals here and in small letters at lab: put lower"),
        (name(str.title), name(str.upper), "mostly in both cases here and in capitals at lab: put lower"),
        (name(accents=0.5), name(), "accents .* more often here than at lab: put no_accents"),
        (lambda: "AB-" + number(4)(), lambda: "AB" + number(4)(), "hyphens more often here than at lab: put no_punctuation"),
        (lambda: "AB" + number(4)(), lambda: "AB " + number(4)(), "spaces more often at lab than here: put no_spaces"),
        (lambda: "+49" + number(8)(), lambda: "030" + number(6)(), r"telephone numbers do: put \{phone"),
        (number(6), lambda: "P" + number(6)(), "digits alone here and letters and digits at lab: .* prefix"),
        (name(), number(6), "letters alone here and digits alone at lab: the two may be different kinds"),
        (lambda: name()()[:4], lambda: name()()[:3], "mostly has 4 characters here and 3 at lab"),
        (number(8), number(8), "have the same shape in every column"),
    ],
)  # fmt: skip
def test_likely_causes(here, there, sentence):
    mine, theirs = [shape(many(make)) for make in (here, there)]
    causes = likely_causes([mine], [theirs], ["pid"], "lab")
    assert any(re.search(sentence, cause) for cause in causes), causes


@pytest.mark.parametrize(
    ("here", "there", "written"),
    [
        (lambda: f"{draw.randrange(10**6):08}", number(8), "leading_zeros"),
        (name(str.upper), name(), "lower"),
        (name(accents=0.5), name(), "no_accents"),
        (lambda: "AB-" + number(4)(), lambda: "AB" + number(4)(), "no_punctuation"),
        (lambda: "AB " + number(4)(), lambda: "AB" + number(4)(), "no_spaces"),
        (lambda: "a b" + number(4)(), lambda: "a  b" + number(4)(), "spaces"),
        (day("d.m.Y"), day("Y-m-d"), {"date": ["%d.%m.%Y"]}),
        (lambda: "+49" + number(8)(), lambda: "030" + number(6)(), {"phone": "DE"}),
    ],
)
def test_no_step_is_advised_that_the_job_has(here, there, written):
    mine, theirs = [shape(many(make)) for make in (here, there)]
    (step,) = read_steps([written])
    advice = f"{step.name}( into|, or|:)"
    assert any(re.search(advice, cause) for cause in likely_causes([mine], [theirs], ["pid"], "lab"))
    causes = likely_causes([mine], [theirs], ["pid"], "lab", [[step]])
    assert not any(re.search(advice, cause) for cause in causes), causes


def test_after_a_date_step_swapped_formats_are_not_ruled_out():
    same = shape(many(day("Y-m-d")))
    (cause,) = likely_causes([same] * 2, [same] * 2, ["pid", "born"], "lab", [[], read_steps([{"date": ["%d/%m/%Y"]}])])
    assert "For born the shapes do not show whether a format in align.normalise swaps day and month" in cause
    assert "reported as malformed" in cause


def test_causes_name_the_column_and_no_key():
    mine = key_shapes(keys(["4711-0815"] * 800, many(name())), 2)
    theirs = key_shapes(keys(["47110815"] * 800, many(name())), 2)
    (cause,) = likely_causes(mine, theirs, ["pid", "family"], "lab")
    assert cause.startswith("pid has hyphens more often here")
    assert "4711" not in cause


def test_short_lists_say_so():
    (cause,) = likely_causes([ColumnShape()], [ColumnShape()], ["pid"], "lab")
    assert "too short to compare" in cause


# --- the exchange -----------------------------------------------------------------------------------------------------


def test_both_sides_learn_the_shapes_and_nothing_else(play):
    lists = {"clinic": keys(many(number(8))), "lab0": keys(many(number(10))), "lab1": keys(many(name(), 400))}
    shapes = {party: key_shapes(held, 1) for party, held in lists.items()}
    session = play(
        {
            "clinic": exchange_shapes_label({"lab0": 800, "lab1": 400}, shapes["clinic"]),
            "lab0": exchange_shapes_feature("clinic", 800, shapes["lab0"]),
            "lab1": exchange_shapes_feature("clinic", 800, shapes["lab1"]),
        }
    )
    assert session.results == {
        "clinic": {"lab0": shapes["lab0"], "lab1": shapes["lab1"]},
        "lab0": shapes["clinic"],
        "lab1": shapes["clinic"],
    }
    assert {type(message) for _, _, message in session.transcript} == {KeyShapes}
    assert len(session.transcript) == 4


def test_other_keys_of_the_same_shape_give_the_same_messages(play):
    said = []
    for planted in ("17171717", "28282828"):
        held = key_shapes(keys([*many(lambda: "12345678", 300), planted]), 1)
        roles = {
            "clinic": exchange_shapes_label({"lab": 301}, held),
            "lab": exchange_shapes_feature("clinic", 301, held),
        }
        said.append([msgspec.msgpack.encode(message) for _, _, message in play(roles).transcript])
    assert said[0] == said[1]


def test_shapes_of_other_columns_are_refused(play):
    one, two = (ColumnShape(),), (ColumnShape(),) * 2
    with pytest.raises(ProtocolError, match="lab sent the shapes of 2 key columns where the job has 1"):
        play({"clinic": exchange_shapes_label({"lab": 800}, one), "lab": exchange_shapes_feature("clinic", 800, two)})


@pytest.mark.parametrize(("matched", "low"), [(0, True), (49, True), (50, False), (100, False)])
def test_a_match_is_low_below_half_of_the_smallest_list(matched, low):
    assert is_low(matched, (100, 1000)) is is_low(matched, (1000, 100)) is is_low(matched, (900, 100, 1000)) is low


def test_what_a_match_is_refused_for():
    check_match(5, 5, "lab")
    with pytest.raises(DataError, match=r"No record is common to this party and lab\. Compare how each side"):
        check_match(0, 1, "lab")
    with pytest.raises(DataError, match=r"and lab\.\npid is in capitals\.\nname is short\.$"):
        check_match(0, 1, "lab", ["pid is in capitals.", "name is short."])
    with pytest.raises(RefusedError, match=r"Only 4 records .* fewer than the 5 .* not used\.\npid is in capitals\.$"):
        check_match(4, 5, "lab", ["pid is in capitals."])
