"""The committed CSV files are what the cut makes, and what the examples' READMEs say of them is true."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

Rows = list[dict[str, str]]
Reader = Callable[[Path], Rows]

# Example: its source file, the source's key, and per party (the label party first) its key column and label column.
EXAMPLES = {
    "thyroid": (
        "thyroid/source/thyroid.parquet",
        "patient_id",
        {"clinic": ("patient_id", "diagnosis"), "lab": ("pid", None)},
    ),
    "credit": (
        "credit/source/taiwan_default.parquet",
        "ID",
        {"bank": ("customer_id", "default_next_month"), "payments_vendor": ("holder_id", None)},
    ),
    "credit3": (
        "credit/source/taiwan_default.parquet",
        "ID",
        {
            "bank": ("customer_id", "default_next_month"),
            "billing_company": ("account_id", None),
            "payments_company": ("holder_id", None),
        },
    ),
}
POSITIVE = {"thyroid": "condition", "credit": "1", "credit3": "1"}


@pytest.fixture(scope="module", params=sorted(EXAMPLES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def tables(name: str, project: Path, read_csv: Reader) -> dict[str, Rows]:
    folder = project / "examples" / name / "data"
    return {party: read_csv(folder / f"{party}.csv") for party in EXAMPLES[name][2]}


@pytest.fixture(scope="module")
def source(name: str, project: Path) -> pd.DataFrame:
    return pd.read_parquet(project / "examples" / EXAMPLES[name][0])


def keys_of(name: str, tables: dict[str, Rows]) -> dict[str, list[str]]:
    return {party: [row[key] for row in tables[party]] for party, (key, _) in EXAMPLES[name][2].items()}


def number_in(page: str, row: str) -> int:
    """The number in the table row of `page` that starts with `row`; it is written as 8,236."""
    found = re.search(rf"^\| {re.escape(row)} \|(?: [^|]* \|)*? ([\d,]+) \|", page, re.MULTILINE)
    assert found is not None, f"no row of the README starts with {row}"
    return int(found.group(1).replace(",", ""))


def test_the_cut_makes_the_committed_files_byte_for_byte(project: Path, tmp_path: Path) -> None:
    cut = [sys.executable, str(project / "examples" / "cut.py"), "--into", str(tmp_path)]
    subprocess.run(cut, check=True, capture_output=True, cwd=tmp_path)
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    committed = {path.relative_to(project / "examples") for path in project.glob("examples/*/data/*")}
    assert made == committed
    for path in sorted(made):
        # Not `assert a == b`: the difference of two large files would fill the screen.
        same = (tmp_path / path).read_bytes() == (project / "examples" / path).read_bytes()
        assert same, f"examples/{path.as_posix()} differs from a fresh cut: run python examples/cut.py and look why"


def test_the_readme_says_how_many_people_each_party_has(name: str, tables: dict[str, Rows], project: Path) -> None:
    page = (project / "examples" / name / "README.md").read_text(encoding="utf-8")
    keys = keys_of(name, tables)
    for party, listed in keys.items():
        assert number_in(page, f"`data/{party}.csv`") == len(listed)
    assert number_in(page, "both" if len(keys) == 2 else "all three") == len(
        set.intersection(*(set(listed) for listed in keys.values()))
    )


def test_the_source_readme_says_how_many_rows_there_are(name: str, source: pd.DataFrame, project: Path) -> None:
    folder = (project / "examples" / EXAMPLES[name][0]).parent
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert f"| rows | {len(source):,}," in page
    assert f"| columns | {len(source.columns)}:" in page
    assert f"It is 1 in {source['label'].mean():.1%} of" in page


def test_each_party_keeps_about_nine_in_ten_of_the_people_on_its_own(
    name: str, tables: dict[str, Rows], source: pd.DataFrame
) -> None:
    keys = keys_of(name, tables)
    assert all(0.89 < len(listed) / len(source) < 0.91 for listed in keys.values())
    shared = set.intersection(*(set(listed) for listed in keys.values()))
    assert abs(len(shared) / len(source) - 0.9 ** len(keys)) < 0.01


def test_no_party_names_a_person_twice_or_nobody(name: str, tables: dict[str, Rows]) -> None:
    for listed in keys_of(name, tables).values():
        assert all(listed)
        assert len(set(listed)) == len(listed)


def test_the_row_orders_tell_nothing_of_each_other_or_of_the_source(
    name: str, tables: dict[str, Rows], source: pd.DataFrame
) -> None:
    places = [{key: place for place, key in enumerate(listed)} for listed in keys_of(name, tables).values()]
    places.append({str(key): place for place, key in enumerate(source[EXAMPLES[name][1]])})
    orders = pd.DataFrame([pd.Series(place) for place in places]).T.dropna()
    correlation = orders.corr().to_numpy()
    assert abs(correlation[~(correlation == 1)]).max() < 0.05


def test_only_the_label_party_has_the_label_and_columns_do_not_overlap(
    name: str, tables: dict[str, Rows], source: pd.DataFrame
) -> None:
    parties = EXAMPLES[name][2]
    features = [set(tables[party][0]) - {key, label} for party, (key, label) in parties.items()]
    assert sum(len(columns) for columns in features) == len(set.union(*features))
    assert set.union(*features) == set(source.columns) - {"label", EXAMPLES[name][1]}
    assert all((label in tables[party][0]) for party, (_, label) in parties.items() if label is not None)


def test_every_cell_is_the_value_of_the_source(name: str, tables: dict[str, Rows], source: pd.DataFrame) -> None:
    whole = source.set_index(source[EXAMPLES[name][1]].astype(str))
    for party, (key, label) in EXAMPLES[name][2].items():
        rows = pd.DataFrame(tables[party]).set_index(key)
        original = whole.loc[rows.index]
        if label is not None:
            assert (rows.pop(label) == POSITIVE[name]).equals(original["label"] == 1)
        for column in rows:
            missing = rows[column] == ""
            assert missing.equals(original[column].isna())
            wanted = original[column][~missing]
            assert (rows[column][~missing].astype(wanted.dtype) == wanted).all()
