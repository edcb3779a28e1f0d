"""How many of the people whom two organisations share are found, without and with an id contract.

    python examples/dirty/match_rate.py [--people 4000]

A clinic and a lab know many of the same people, but they wrote them down by different habits, and not without mistakes
(records.py makes them up, and says how). Both use the same four key columns: a number, a name, a date of birth and a
telephone number. The file without.yaml is a job that compares them as they stand; with.yaml names, for each column, the steps
that bring it to one form: both are jobs as `vsplit run` takes them, and only `align` matters here.

The script reads the keys of both sides as a run does, intersects them, and counts against the truth, which only the maker of
the records knows: how many of the shared people were found, whether two different people were ever taken for one, and why the
others were missed. For the first job it prints what a run would tell the clinic about why so few match. For the second it runs
one real alignment in memory, where neither side sees the other's keys, to show that it finds the same people.
"""

from __future__ import annotations

import argparse
import os
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from records import COLUMNS, Row, make

from parties.config.job import Align, load_job
from parties.network.driver import drive
from parties.network.memory import MemoryNetwork
from parties.network.worker_pool import Pool
from psi import Alignment, Keys, Limits, align_feature, align_label, key_shapes, likely_causes, read_keys
from vsplit.protocol import Role

HERE = Path(__file__).resolve().parent


def keys_of(rows: Sequence[Row], align: Align) -> Keys:
    """The keys of one side, as the job says."""
    table = pd.DataFrame([row.values for row in rows], columns=list(COLUMNS))
    return read_keys([table[column] for column in align.key], normalise=align.steps, repeated=align.repeated)


def in_common(clinic: Keys, lab: Keys) -> list[tuple[int, int]]:
    """The rows of the keys that stand in both lists, as pairs: a plain intersection, which sees everything."""
    where = dict(zip(lab.keys, lab.rows.tolist(), strict=True))
    return [(row, where[key]) for key, row in zip(clinic.keys, clinic.rows.tolist(), strict=True) if key in where]


def aligned(clinic: Keys, lab: Keys) -> list[tuple[int, int]]:
    """The same by a real alignment, each party in a thread of its own; here nobody sees the other's keys."""
    limits = Limits(max_list=max(len(clinic.keys), len(lab.keys)), min_records=1)
    network, pool, found = MemoryNetwork(["clinic", "lab"]), Pool(), {}
    roles: dict[str, Role[Alignment]] = {
        "clinic": align_label(
            "clinic", ["lab"], clinic.keys, order_secret=os.urandom(32), random_bytes=os.urandom, limits=limits
        ),
        "lab": align_feature("lab", "clinic", ["lab"], lab.keys, seals={}, random_bytes=os.urandom, limits=limits),
    }

    def live(name: str) -> None:
        found[name] = drive(roles[name], network.endpoint(name), pool)

    threads = [threading.Thread(target=live, args=(name,)) for name in roles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = clinic.rows[found["clinic"].positions], lab.rows[found["lab"].positions]
    return list(zip(*(side.tolist() for side in rows), strict=True))


def missed(clinic: Sequence[Row], lab: Sequence[Row], found: set[int]) -> Counter[str]:
    """Why shared people were not found: what was done to their records that no contract mends, or else their writing."""
    reasons: dict[int, str] = {}
    shared = {row.person for row in clinic} & {row.person for row in lab}
    for row in (*clinic, *lab):
        if row.person in shared - found:
            reasons[row.person] = reasons.get(row.person) or row.spoilt
    return Counter(reason or "written differently" for reason in reasons.values())


def tell(what: str, sides: tuple[Keys, Keys], clinic: Sequence[Row], lab: Sequence[Row]) -> list[tuple[int, int]]:
    """Count the pairs that have equal keys against the truth; returns them."""
    shared = {row.person for row in clinic} & {row.person for row in lab}
    pairs = in_common(*sides)
    found = {clinic[one].person for one, other in pairs if clinic[one].person == lab[other].person}
    wrong = sum(clinic[one].person != lab[other].person for one, other in pairs)
    print(f"\n{what}: {len(found):,} of them are found, {len(found) / len(shared):.1%}; wrong pairs: {wrong}.")
    for reason, count in missed(clinic, lab, found).most_common():
        print(f"  missed: {count:5,}  {reason}")
    return pairs


def main(people: int) -> None:
    """Print the story."""
    clinic, lab = make(people)
    shared = {row.person for row in clinic} & {row.person for row in lab}
    print(f"The clinic has {len(clinic):,} rows and the lab {len(lab):,}; {len(shared):,} people are at both.")

    align = load_job(HERE / "without.yaml").align
    sides = keys_of(clinic, align), keys_of(lab, align)
    tell("Without a contract", sides, clinic, lab)
    print("What the clinic would be told:")
    mine, theirs = (key_shapes(side.keys, len(align.key)) for side in sides)
    for cause in likely_causes(mine, theirs, align.key, "lab", align.steps):
        print(f"  - {cause}")

    align = load_job(HERE / "with.yaml").align
    sides = keys_of(clinic, align), keys_of(lab, align)
    pairs = tell("With the contract", sides, clinic, lab)
    same = sorted(aligned(*sides)) == sorted(pairs)
    print(f"\nA real alignment finds {'the same' if same else 'OTHER'} {len(pairs):,} pairs of rows.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The match rate of dirty records without and with an id contract.")
    parser.add_argument("--people", type=int, default=4000)
    main(parser.parse_args().people)
