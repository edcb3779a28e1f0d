"""Cut the examples' source tables into the files that each party would have at home.

    python examples/cut.py                  rewrites exactly the committed files
    python examples/cut.py --into FOLDER    writes them under FOLDER instead

Each party keeps about nine in ten of the people, whom it draws on its own, so that two parties share about 81 in 100
of them and three about 73; it has its own row order, its own columns and its own name for the key column. Only the
label party has the label. A missing value is an empty cell.

One seed per example feeds `numpy.random.default_rng`, of which only `Generator.random` and `Generator.permutation`
are used. NumPy documents that the same calls give the same numbers on one build, and that a later release may change
a method's stream (https://numpy.org/doc/stable/reference/random/compatibility.html). The committed CSV files are
therefore what counts; a test compares them with a fresh cut, and would show such a change.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
KEPT = 0.9  # the share of the people whom each party knows


@dataclass(frozen=True)
class Label:
    """How the label party names the source's `label` (0 or 1), and what it writes for either value."""

    column: str
    words: tuple[str, str]


@dataclass(frozen=True)
class Party:
    """One party's file: the name of its key column and the source columns that it holds."""

    name: str
    key: str
    columns: tuple[str, ...]
    label: Label | None = None


@dataclass(frozen=True)
class Example:
    """One source table (a path below this folder), the seed of its cut, and the parties among which it is cut."""

    name: str
    source: str
    key: str
    seed: int
    parties: tuple[Party, ...]


CLINIC_COLUMNS = (
    "age sex on_thyroxine query_on_thyroxine on_antithyroid_meds sick pregnant thyroid_surgery I131_treatment "
    "query_hypothyroid query_hyperthyroid lithium goitre tumor hypopituitary psych referral_source"
)
LAB_COLUMNS = "TSH_measured TSH T3_measured T3 TT4_measured TT4 T4U_measured T4U FTI_measured FTI TBG_measured TBG"
CUSTOMER_COLUMNS = "LIMIT_BAL SEX EDUCATION MARRIAGE AGE"
BILL_COLUMNS = "BILL_AMT1 BILL_AMT2 BILL_AMT3 BILL_AMT4 BILL_AMT5 BILL_AMT6"
BANK_COLUMNS = f"{CUSTOMER_COLUMNS} {BILL_COLUMNS}"
VENDOR_COLUMNS = "PAY_0 PAY_2 PAY_3 PAY_4 PAY_5 PAY_6 PAY_AMT1 PAY_AMT2 PAY_AMT3 PAY_AMT4 PAY_AMT5 PAY_AMT6"

EXAMPLES = (
    Example(
        name="thyroid",
        source="thyroid/source/thyroid.parquet",
        key="patient_id",
        seed=9440,
        parties=(
            Party(
                "clinic",
                "patient_id",
                tuple(CLINIC_COLUMNS.split()),
                Label("diagnosis", ("no_condition", "condition")),
            ),
            Party("lab", "pid", tuple(LAB_COLUMNS.split())),
        ),
    ),
    Example(
        name="credit",
        source="credit/source/taiwan_default.parquet",
        key="ID",
        seed=9441,
        parties=(
            Party("bank", "customer_id", tuple(BANK_COLUMNS.split()), Label("default_next_month", ("0", "1"))),
            Party("payments_vendor", "holder_id", tuple(VENDOR_COLUMNS.split())),
        ),
    ),
    Example(
        name="credit3",
        source="credit/source/taiwan_default.parquet",
        key="ID",
        seed=9442,
        parties=(
            Party("bank", "customer_id", tuple(CUSTOMER_COLUMNS.split()), Label("default_next_month", ("0", "1"))),
            Party("billing_company", "account_id", tuple(BILL_COLUMNS.split())),
            Party("payments_company", "holder_id", tuple(VENDOR_COLUMNS.split())),
        ),
    ),
)


def whole_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with each float column that holds whole numbers only as integers, so that 29.0 is written as 29."""
    found = {
        name: "Int64"
        for name, column in table.items()
        if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all()
    }
    return table.astype(found)


def cut_party(table: pd.DataFrame, example: Example, party: Party, rng: np.random.Generator) -> pd.DataFrame:
    """The rows and columns of `table` that `party` holds, in an order of its own. Takes two draws from `rng`."""
    kept = rng.random(len(table)) < KEPT
    order = rng.permutation(len(table))
    mine = table.iloc[order[kept[order]]]
    cut = mine[[example.key, *party.columns]].rename(columns={example.key: party.key})
    if party.label is not None:
        cut[party.label.column] = mine["label"].map(dict(enumerate(party.label.words)))
    return cut


def cut(example: Example) -> Iterator[tuple[Party, pd.DataFrame]]:
    """Each party of `example` with its table, in the order of the example's parties."""
    table = whole_numbers(pd.read_parquet(HERE / example.source))
    rng = np.random.default_rng(example.seed)
    for party in example.parties:
        yield party, cut_party(table, example, party, rng)


def write(folder: Path) -> None:
    """Write every party's CSV file as FOLDER/<example>/data/<party>.csv, and print how many people each has."""
    for example in EXAMPLES:
        data = folder / example.name / "data"
        data.mkdir(parents=True, exist_ok=True)
        keys = []
        for party, table in cut(example):
            (data / f"{party.name}.csv").write_bytes(table.to_csv(index=False, lineterminator="\n").encode("utf-8"))
            keys.append(set(table[party.key]))
            print(f"{example.name:8} {party.name:16} {len(table):7,}")
        print(f"{example.name:8} {'in common':16} {len(set.intersection(*keys)):7,}")


def main() -> None:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(description="Cut the examples' source tables into one CSV file per party.")
    parser.add_argument("--into", type=Path, default=HERE, help="where to write (default: beside this script)")
    write(parser.parse_args().into)


if __name__ == "__main__":
    main()
