"""The normalisers: what each does to a text, what it refuses, and how a job names it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psi import CONTRACT, contract_version, read_step, read_steps
from psi.normalise import ALWAYS, MOST_CHARACTERS, MOST_ZEROS, canonical
from psi.normalisers import clean

GERMAN = {"date": ["%d.%m.%Y", "%Y-%m-%d"]}


def run(written, text):
    return canonical(text, read_steps(written if isinstance(written, list) else [written]))


@pytest.mark.parametrize(
    ("written", "text", "canonical_text"),
    [
        ([], " Ａ-1\u00a0", "A-1"),
        (["nfkc", "trim"], " Ａ-1\u00a0", "A-1"),
        ("spaces", "Anna \t Maria", "Anna Maria"),
        ("no_spaces", "12 34\u20095", "12345"),
        ("lower", "ÄRZTIN Straße", "ärztin strasse"),
        ("upper", "Ärztin straße", "ÄRZTIN STRASSE"),
        ("no_punctuation", "A-17/b (neu)", "A17b neu"),
        ("no_punctuation", "ab\u200bc\u00ad\ufeff", "abc"),
        ("no_punctuation", "_$5+", "5"),
        ("no_accents", "Zoë Łukasz Ångström", "Zoe Łukasz Angstrom"),
        ("leading_zeros", "0017", "17"),
        ("leading_zeros", "000", "0"),
        ("leading_zeros", "17", "17"),
        ("leading_zeros", "0 17", "17"),
        ({"pad_zeros": 6}, "17", "000017"),
        ({"pad_zeros": 6}, "12345678", "12345678"),
        ({"pad_zeros": 4}, "-1", "00-1"),
        ("digits", "DE 12.345", "12345"),
        ("digits", "\u0663\u0664", "34"),
        (GERMAN, "3.9.1980", "1980-09-03"),
        (GERMAN, "1980-09-03", "1980-09-03"),
        (GERMAN, "１.2.2000", "2000-02-01"),
        ({"date": ["%d/%m/%Y", "%m/%d/%Y"]}, "03/04/1980", "1980-04-03"),
        ({"date": ["%d/%m/%Y", "%m/%d/%Y"]}, "03/14/1980", "1980-03-14"),
        ({"date": ["%m/%d/%Y", "%d/%m/%Y"]}, "03/04/1980", "1980-03-04"),
        ({"date": ["%Y%m%d"]}, "19800903", "1980-09-03"),
        ({"date": ["%d%m%Y"]}, "03091980", "1980-09-03"),
        ({"date": ["%Y-%m-%d 00:00:00"]}, "1980-09-03 00:00:00", "1980-09-03"),
        ("email", "Ann.Lee@Example.ORG", "ann.lee@example.org"),
        ("email", "ann@müller.DE.", "ann@xn--mller-kva.de"),
        ("email", "ann@straße.de", "ann@xn--strae-oqa.de"),
        ({"phone": "DE"}, "(030) 90 18 20", "+4930901820"),
        ({"phone": "DE"}, "0049 30 901820", "+4930901820"),
        ({"phone": "DE"}, "+44 20 7946 0018", "+442079460018"),
        ({"phone": "DE"}, "030 901820 ext. 12", "+4930901820"),
        ({"phone": "DE"}, "030 901820;ext=12", "+4930901820"),
        ({"phone": "DE"}, "030901820x12", "+4930901820"),
        ({"phone": "DE"}, "030 901820 #12", "+4930901820"),
        ({"phone": "DE"}, "030 901820 \u0434\u043e\u0431. 5", "+4930901820"),
        (["no_punctuation", "no_spaces", "leading_zeros", {"pad_zeros": 5}], "00-0 17", "00017"),
        (["lower", "no_accents", "no_punctuation", "no_spaces"], "O’Neill-García", "oneillgarcia"),
    ],
)
def test_what_a_normaliser_makes_of_a_text(written, text, canonical_text):
    assert run(written, text) == canonical_text


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (GERMAN, "3.9.80"),
        (GERMAN, "30.2.1980"),
        (GERMAN, "1.1.0000"),
        (GERMAN, "3.9.1980 12:00"),
        (GERMAN, "\u0663.9.1980"),
        ({"date": ["%d%m%Y"]}, "3091980"),
        ({"date": ["%Y-%m-%d"]}, "1980-009-03"),
        ("email", "ann"),
        ("email", "@example.org"),
        ("email", "ann@"),
        ("email", "a@b@example.org"),
        ("email", "ann lee@example.org"),
        ("email", "ann@exa mple.org"),
        ("email", "ann@-.org"),
        ("email", "ann@a..b"),
        ({"phone": "DE"}, "none"),
        ({"phone": "DE"}, "7"),
        ({"phone": "US"}, "555-0142"),
        ({"phone": "DE"}, "+4930901820123456789"),
        ({"phone": "DE"}, "901820"),
        ({"phone": "DE"}, "12345"),
        ({"phone": "DE"}, "030 901820 Mutter"),
        ({"phone": "DE"}, "Mutter 030 901820"),
        ({"phone": "DE"}, "030901820ext"),
        ({"phone": "DE"}, "030 901820 Mutter ext. 12"),
        ({"phone": "DE"}, "030 901820 Mutter#12"),
        ({"phone": "DE"}, "0800 FLOWERS"),
        ({"phone": "DE"}, "tel:+4930901820"),
        ([], "a" * (MOST_CHARACTERS + 1)),
        ([], " " * MOST_CHARACTERS + "a"),
        # Bringing these to NFKC would take minutes.
        ("lower", "a" + "\u0316\u0301" * 500_000),
        ([], "lone \ud800"),
        ("no_punctuation", "lone \ud800"),
    ],
)
def test_what_is_malformed(written, text):
    assert run(written, text) is None


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("digits", "unknown"),
        ("no_punctuation", "--"),
        (["digits", {"pad_zeros": 8}], "unknown"),
        (GERMAN, " "),
        ([], ""),
    ],
)
def test_what_is_empty_after_a_step_is_missing_and_is_not_filled_again(written, text):
    assert run(written, text) == ""


def test_text_of_the_most_characters_is_a_key():
    assert run("lower", "\u00c4" * MOST_CHARACTERS) == "\u00e4" * MOST_CHARACTERS


PLAIN = [
    "nfkc",
    "trim",
    "spaces",
    "no_spaces",
    "lower",
    "upper",
    "no_punctuation",
    "no_accents",
    "leading_zeros",
    "digits",
]


@given(st.text(), st.lists(st.sampled_from([*PLAIN, {"pad_zeros": 4}, "email", GERMAN]), max_size=3))
def test_every_outcome_is_clean_and_can_be_written(text, written):
    found = run(written, text)
    assert found is None or (found == clean(found) and found.encode() is not None)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_without_normalisers_the_contract_is_that_of_version_1(text):
    assert run([], text) == unicodedata.normalize("NFKC", text).strip()


@given(st.dates(), st.sampled_from(["%d.%m.%Y", "%Y-%m-%d", "%m/%d/%Y", "%Y%m%d", "%d%m%Y", "le %d %m %Y"]))
def test_every_day_is_read_as_it_is_written(day, written):
    text = written.replace("%Y", f"{day.year:04}").replace("%m", f"{day.month:02}").replace("%d", f"{day.day:02}")
    assert run({"date": [written]}, text) == day.isoformat()


NOT_A_FORMAT = [
    "",
    "%d.%m.%y",
    "%d.%m",
    "%Y-%m-%d %H",
    "%Y-%m-%d %",
    "%Y %Y %m %d",
    "%Y%%%m%d",
    "%B %d %Y",
    " %Y%m%d",
    "％Y%m%d",
    7,
]


@pytest.mark.parametrize(
    ("written", "allowed"),
    [
        ("lowr", "it must be one of nfkc, trim"),
        ("pad_zeros", "it must be one of"),
        (None, "it must be one of"),
        (["lower"], "it must be one of"),
        ({"lower": True}, "it must be one of"),
        ({"pad_zeros": 3, "date": ["%Y%m%d"]}, "it must be one of"),
        ({"pad_zeros": 0}, "from 1 to 100"),
        ({"pad_zeros": MOST_ZEROS + 1}, "from 1 to 100"),
        ({"pad_zeros": True}, "from 1 to 100"),
        ({"pad_zeros": "3"}, "from 1 to 100"),
        ({"date": []}, "a list of 1 to 16 formats"),
        ({"date": "%Y%m%d"}, "a list of 1 to 16 formats"),
        *(({"date": [one]}, "%Y, %m and %d once each") for one in NOT_A_FORMAT),
        ({"phone": "de"}, "two capital letters"),
        ({"phone": "XX"}, "two capital letters"),
        ({"phone": 49}, "two capital letters"),
    ],
)
def test_what_a_job_may_not_name(written, allowed):
    with pytest.raises(ValueError, match=allowed):
        read_step(written)


def test_steps_show_their_arguments():
    steps = read_steps(["trim", "lower", {"pad_zeros": 3}, GERMAN, {"phone": "DE"}])
    assert [str(step) for step in steps] == ["lower", "pad_zeros 3", "date %d.%m.%Y or %Y-%m-%d", "phone DE"]
    assert read_steps(ALWAYS) == ()


def test_the_version_names_the_tables_in_use():
    assert contract_version([]) == contract_version([read_steps(["lower", GERMAN])]) == str(CONTRACT) == "2"
    assert contract_version([(), read_steps([{"phone": "DE"}])]).startswith("2+phonenumbers-")
    assert contract_version([read_steps(["email"]), read_steps([{"phone": "DE"}])]).startswith("2+idna-")
