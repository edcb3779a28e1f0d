"""From bytes to plain values: what YAML hides, and what is no YAML."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.config.reading import FILE_LIMIT, parse_yaml, read_text
from vsplit.protocol import ConfigError

PATH = Path("clinic.yaml")
ROOT = Path(__file__).parents[3]


def test_words_numbers_and_truth_are_those_of_yaml_1_2() -> None:
    text = "a: yes\nb: no\nc: on\nd: true\ne: FALSE\nf: 1e-3\ng: 1.5e3\nh: 007\ni: .5\nj: -2E+2\nk: ~\nl: e5\n"
    assert parse_yaml(text, PATH) == {
        "a": "yes", "b": "no", "c": "on", "d": True, "e": False, "f": 0.001,
        "g": 1500.0, "h": 7, "i": 0.5, "j": -200.0, "k": None, "l": "e5",
    }  # fmt: skip
    # The rules of PyYAML itself, which others in the same process may use, are as they were.
    assert yaml.safe_load("yes") is True
    assert yaml.safe_load("1e-3") == "1e-3"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3"),
        ("x:\n  - {k: 1, k: 2}\n", "line 2"),
        ("a: &anchor 1\nb: 2\n", "line 1"),
        ("a: 1\nb: *CANARY\n", "line 2"),
        ("a: [1\nb: CANARY\n", "line 2"),
        ("a: !!python/object:CANARY.x {}\n", "line 1"),
        ("? [a, b]\n: CANARY\n", "line 1"),
        ("a:\n\t- CANARY\n", "line 2"),
        ("---\na: 1\n---\nb: CANARY\n", "line"),
    ],
)
def test_an_error_in_the_text_names_the_line_and_shows_none_of_it(text: str, line: str) -> None:
    with pytest.raises(ConfigError, match=r"clinic\.yaml") as caught:
        parse_yaml(text, PATH)
    assert line in str(caught.value)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing\n", "just words", "- a\n- b\n", "7"])
def test_a_file_without_keys_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"clinic\.yaml has no keys"):
        parse_yaml(text, PATH)


def test_a_deep_file_is_refused() -> None:
    for text in ("a: " + "[" * 20_000, "{a: " * 20_000, "- " * 20_000, "".join(" " * n + "a:\n" for n in range(500))):
        with pytest.raises(
            ConfigError, match=r"In line \d+, column \d+ of clinic\.yaml.* nested at most 32 levels deep"
        ):
            parse_yaml(text, PATH)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("[" + "[]," * 300_000 + "]", "50,000 keys and values"),
        ("".join(f"k{number}: 1\n" for number in range(90_000)), "50,000 keys and values"),
        ("a: !!omap [" + "{a: 1}," * 140_000 + "]", "tags"),
        ("a: 1" + ":10" * 300_000, "100 characters"),
        ("a: 1" + ":10" * 300_000 + ".5", "100 characters"),
        ("a: 0x" + "1" * 1_000_000, "100 characters"),
        ("a: !!int " + "1" * 1_000_000, "tags"),
        ("a: 2001-01-01 00:00:00." + "1" * 1_000_000, "100 characters"),
    ],
)  # fmt: skip
def test_what_a_file_may_cost_is_bounded(text: str, bound: str) -> None:
    """Each took from 5 to 23 seconds, or would take longer on another version of Python."""
    text = text[:FILE_LIMIT]
    with pytest.raises(ConfigError, match=bound):
        parse_yaml(text, PATH)


def test_a_list_of_all_columns_of_a_wide_table_is_taken() -> None:
    names = [f"column {number}" for number in range(10_000)]
    assert parse_yaml(yaml.safe_dump({"data": {"ignore": names}}), PATH) == {"data": {"ignore": names}}


def test_a_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "job.yaml")
    with pytest.raises(ConfigError, match=r"job\.yaml cannot be read: it is a named pipe, not a plain file"):
        read_text(tmp_path / "job.yaml")


def test_nothing_else_in_the_packages_reads_yaml() -> None:
    """The linter forbids it (flake8-tidy-imports); this holds where nobody ran the linter."""
    found = set()
    for package in ("vsplit", "psi", "parties"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if any(name.partition(".")[0] in ("yaml", "ruamel") for name in names):
                    found.add(file.relative_to(ROOT).as_posix())
    # The second names PyYAML's errors and their places.
    assert found == {"parties/config/reading.py", "parties/config/yaml_errors.py"}


@given(st.text(alphabet=" -:[]{}&*!?|>'\"#%@`,\n\tab01.$~", max_size=60))
def test_any_text_gives_keys_or_a_config_error(text: str) -> None:
    try:
        assert isinstance(parse_yaml(text, PATH), dict)
    except ConfigError:
        return


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml, which the key job of x names, does not exist"):
        read_text(tmp_path / "none.yaml", "the key job of x")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_text(tmp_path)
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_text(path)
    path.write_bytes(b"#" * (FILE_LIMIT + 1))
    with pytest.raises(ConfigError, match="longer than 1,048,576 bytes"):
        read_text(path)
    path.write_bytes(b"\xef\xbb\xbfa: 1")
    assert parse_yaml(read_text(path), path) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("a:\n\tb: 1\n", "line 2, column 1", "there is a tab"),
        ("a:\n  b: 1\n \tc: 2\n", "line 3, column 2", "there is a tab"),
        ("a:\t1\n", "line 1, column 3", "there is a tab"),
        ("a: [1\nb: 2\n", "line 2, column 2", "a list is not closed with ]"),
        ("a: {b: 1\nc: 2\n", "line 2, column 2", "a group is not closed with }"),
        ("x: 1\na: 'b\nc: 1\n", "line 2, column 4", "a quotation mark, or a bracket, is not closed"),
        ("a: b: c\n", "line 1, column 5", "there is a colon where none is allowed"),
        ("a: 1\nb\nc: 2\n", "line 2, column 1", "a key has no colon after it"),
        ("a:\n  - x\n - y\n", "line 3, column 2", "this line does not match those above"),
        ("a: @b\n", "line 1, column 4", "put it in quotation marks"),
        ("a: - b\n", "line 1, column 4", "must begin on a line of its own"),
        ("a: 1\n---\nb: 1\n", "line 2, column 1", "a second document begins"),
        ("a: !x 1\n", "line 1, column 4", "tags (!) are not allowed"),
        *(
            (f"a: {value}\n", "line 1, column 4", "tags (!) are not allowed")
            for value in (
                "!!bool maybe",
                "!!timestamp soon",
                "!!int ''",
                "!!float ''",
                "!!omap [a]",
                "!!pairs [a]",
                "!!map b",
                "!!set {b}",
                "!!binary YQ==",
                "!!str b",
                "! b",
                "!!merge b",
                "!!value b",
                "!!seq b",
                "!<tag:yaml.org,2002:bool> b",
            )
        ),
        ("? !!bool x\n: 1\n", "line 1, column 3", "tags (!) are not allowed"),
        ("a: !!bool x\n", "line 1, column 4", "tags (!) are not allowed"),
        ("b: 1\na: !!timestamp x\n", "line 2, column 4", "tags (!) are not allowed"),
        (
            "b: 1\na: 2024-13-45\n",
            "line 2, column 4",
            "a value looks like a number or date but is not a valid one",
        ),
        ("a: x\nb:y\n", "line 2, column 1", "or no space after the colon"),
        ("a: 1\na: 2\n", "line 2, column 1", "a key occurs twice in one group"),
        ("a: 1\nb: \x07\n", "line 2, column 4", "not allowed in a text file"),
    ],
)
def test_an_error_says_in_words_what_is_wrong_and_where(text: str, place: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, PATH)
    assert str(caught.value).startswith(f"In {place} of clinic.yaml, the text is not valid YAML: ")
    assert problem in str(caught.value)


_PIECES = (
    "a", " ", ": ", "- ", "\n", "\n  ", "? ", "{", "}", "[", "]", ",", "!!bool ", "!!int ", "!!timestamp ", "!!omap ", "!!set ",
    "! ", "<<", "=", "1", "1:2", "2020-01-01", "0x", "0b", ".", "_", "-", "+", ".inf", "'", '"', "|", "> ", " #", "%", "\t",
    "~", "&a ", "*a",
)  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES), max_size=9).map("".join))
@settings(max_examples=500, deadline=None)
def test_whatever_the_text_it_is_values_or_a_sentence(text: str) -> None:
    try:
        parse_yaml(text, PATH)
    except ConfigError as error:
        assert "clinic.yaml" in str(error)
