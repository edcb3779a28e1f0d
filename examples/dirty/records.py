"""Make up people, and how two organisations wrote them down: the same person seldom looks the same twice.

    python examples/dirty/records.py --into FOLDER [--people 4000]

writes clinic.csv and lab.csv, with the columns number, name, birth and phone, and truth.csv, which says in the order of the
rows who is who: nobody has such a file in life. Nobody in it exists: names are drawn from two short lists, and telephone
numbers are of the ranges that the German regulator keeps free for films. The same seed makes the same files.

What happens to a record:

- each side has its own habits (how a date, a number and a telephone number are written, small letters or capitals, accents
  or none), and each row may break them: a space too many, another format, zeros lost in a spreadsheet; two in five of the
  lab's rows were copied from the clinic's letters, and so follow the clinic's habits;
- some people really have other data at the two sides, since they moved or married;
- some rows have a typing error. No contract mends these two.
"""

from __future__ import annotations

import argparse
import csv
import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

COLUMNS = ("number", "name", "birth", "phone")

FIRST = (
    "Zoë René Jürgen Małgorzata Chloé Søren Anaïs Björn Inês Łukasz Anna Paul Mia Emil Ida Jonas Clara Felix Ada Hugo"
)
FAMILY = (
    "Müller Weiß Gonzáles García-López O’Neill Šimić Nguyễn Ångström Lefèvre Brandão Schmidt Fischer Weber Wagner Becker "
    "Hoffmann Koch Richter Klein Wolf Neumann Schwarz Zimmermann Krüger Hartmann"
)
# Area code, and the numbers there that no subscriber has.
FREE_NUMBERS = (("30", "23125"), ("40", "66969"), ("69", "90009"), ("89", "99998"), ("221", "4710"))

DIRT = 0.15  # the share of rows that break a habit, for each kind of dirt
TYPING_ERRORS = 0.02
REALLY_DIFFERENT = 0.03
REFERRED = 0.4  # the share of the lab's rows that came with a letter of the clinic's, and were copied from it


@dataclass(frozen=True)
class Person:
    """Somebody, as he is."""

    number: int
    first: str
    family: str
    birth: date
    area: str
    line: str


@dataclass(frozen=True)
class Habits:
    """How one organisation writes things down."""

    number: Callable[[int], str]
    name: Callable[[str], str]
    birth: str
    phone: Callable[[Person], str]
    other_births: tuple[str, ...]
    other_phones: tuple[Callable[[Person], str], ...]


@dataclass(frozen=True)
class Row:
    """A record as it stands in a file, whose it is, and what was done to it that no contract can mend."""

    person: int
    values: tuple[str, str, str, str]
    spoilt: str = field(default="")


def _plain(text: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFD", text) if unicodedata.category(sign) != "Mn")


CLINIC = Habits(
    number=lambda number: f"{number:08}",
    name=str,
    birth="%d.%m.%Y",
    phone=lambda one: f"0{one.area} {one.line}",
    other_births=("%Y-%m-%d",),
    other_phones=(lambda one: f"+49 {one.area} {one.line}", lambda one: f"(0{one.area}) {one.line[:4]}-{one.line[4:]}"),
)
LAB = Habits(
    number=lambda number: f"{number // 10_000:04}-{number % 10_000:04}",
    name=lambda name: _plain(name).upper(),
    birth="%Y-%m-%d",
    phone=lambda one: f"+49{one.area}{one.line}",
    other_births=("%d.%m.%Y", "%Y%m%d"),
    other_phones=(lambda one: f"0049 {one.area} {one.line}", lambda one: f"0{one.area}/{one.line}"),
)


def make(people: int, seed: int = 0) -> tuple[list[Row], list[Row]]:
    """The rows of the clinic and of the lab: each knows about four in five of `people` people."""
    draw = random.Random(seed)
    everybody = _people(people, draw)
    sides = []
    for habits in (CLINIC, LAB):
        ways = CLINIC, habits
        known = [one for one in range(people) if draw.random() < 0.8]
        draw.shuffle(known)
        rows = [_row(one, everybody[one], draw.choices(ways, [REFERRED, 1 - REFERRED])[0], draw) for one in known]
        # A few people were entered twice.
        rows += [_row(one, everybody[one], habits, draw) for one in draw.sample(known, len(known) // 100)]
        sides.append(rows)
    return sides[0], sides[1]


def _people(people: int, draw: random.Random) -> list[Person]:
    first, family = FIRST.split(), FAMILY.split()
    numbers = draw.sample(range(1, 5_000_000), people)
    return [
        Person(
            number,
            draw.choice(first) + (" " + draw.choice(first) if draw.random() < 0.2 else ""),
            draw.choice(family),
            date(1930, 1, 1) + timedelta(draw.randrange(28_000)),
            *_free_number(draw),
        )
        for number in numbers
    ]


def _free_number(draw: random.Random) -> tuple[str, str]:
    area, stem = draw.choice(FREE_NUMBERS)
    return area, stem + f"{draw.randrange(1000):03}"


def _row(at: int, person: Person, habits: Habits, draw: random.Random) -> Row:
    spoilt = ""
    if draw.random() < REALLY_DIFFERENT:
        person, spoilt = _changed(person, draw)
    values = [
        habits.number(person.number),
        habits.name(f"{person.first} {person.family}"),
        person.birth.strftime(draw.choice(habits.other_births) if draw.random() < DIRT else habits.birth),
        (draw.choice(habits.other_phones) if draw.random() < DIRT else habits.phone)(person),
    ]
    if draw.random() < DIRT:
        values[0] = values[0].lstrip("0")
    if draw.random() < DIRT:
        values[1] = draw.choice([str.lower, str.upper, str.title, _plain])(values[1])
    if draw.random() < DIRT:
        values[1] = values[1].replace(" ", draw.choice(["  ", "\u00a0", " . "]), 1).replace("’", "'")
    for column in range(len(values)):
        if draw.random() < DIRT / 3:
            values[column] = draw.choice([" {}", "{} ", "\u00a0{}", "{}\t"]).format(values[column])
    if draw.random() < TYPING_ERRORS:
        column = draw.randrange(len(values))
        values[column], spoilt = _mistyped(values[column], draw), "a typing error"
    if draw.random() < 0.01:
        values[3], spoilt = "", "no telephone number"
    return Row(at, (values[0], values[1], values[2], values[3]), spoilt)


def _changed(person: Person, draw: random.Random) -> tuple[Person, str]:
    """The same person in another year."""
    if draw.random() < 0.4:
        return replace(person, family=f"{person.family}-Neu"), "another name"
    area, line = _free_number(draw)
    return replace(person, area=area, line=line), "another telephone number"


def _mistyped(text: str, draw: random.Random) -> str:
    """One letter or digit of `text` changed."""
    at = draw.choice([place for place, sign in enumerate(text) if sign.isalnum()])
    wrong = draw.choice(
        [sign for sign in ("0123456789" if text[at].isdigit() else "abcxyz") if sign != text[at].lower()]
    )
    return text[:at] + wrong + text[at + 1 :]


def write(folder: Path, clinic: Sequence[Row], lab: Sequence[Row]) -> None:
    """Write the three files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("clinic", clinic), ("lab", lab)):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *(row.values for row in rows)])
    with (folder / "truth.csv").open("w", encoding="utf-8", newline="") as file:
        lines = [(name, row.person, row.spoilt) for name, rows in (("clinic", clinic), ("lab", lab)) for row in rows]
        csv.writer(file).writerows([("party", "person", "spoilt"), *lines])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make two organisations' records of made-up people.")
    parser.add_argument("--into", type=Path, required=True, help="the folder for clinic.csv, lab.csv and truth.csv")
    parser.add_argument("--people", type=int, default=4000)
    options = parser.parse_args()
    write(options.into, *make(options.people))
