"""Each message about a wrong config is one plain sentence: it names file and key, and ends once.

The configs are made: each key of each kind of file gets values of each kind, and is misspelt, left out or put elsewhere.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from parties.config.party import load_party
from vsplit.protocol import ConfigError

CONFIGS = Path(__file__).resolve().parents[3] / "configs/credit3"
OF_ANY_KIND: tuple[Any, ...] = (
    None, "", 0, -1, 1.5, True, [], {}, "nonsense", "größe?", " name.", [None], [["a"]], {"a": 1}, {3: 4}, float("nan"),
    "http://u:p@h/x", {"pad_zeros": 10}, [{"strip_zeros": 3}], ["lowr"], [{"phone": "XX"}], ["a", "a"],
)  # fmt: skip
EVERY_KEY: dict[str, dict[str, Any]] = {
    "job.yaml": {
        "align": {"normalise": {"customer_id": ["lower", {"pad_zeros": 10}]}, "repeated": "error", "hints": True},
        "train": {"weight_decay": 0.0, "momentum": 0.0, "class_weights": "none", "checkpoint": {"steps": 9, "seconds": 3.0}},
        "model": {"aggregate": "paillier_sum", "secure_sum": {"range": 8.0, "bits": 16, "rounding": "nearest"}},
    },
    "bank.yaml": {
        "listen": ":9440", "device": "cpu", "threads": 1, "seed": 3, "order": "order.secret", "first_wait": 600.0,
        "wait": 30.0, "log": {"level": "info", "format": "text", "file": "v.log"}, "metrics": "127.0.0.1:9450",
        "partners": "partners.json", "bottom": {"hidden": None, "module": "a.b:c", "folder": "."},
        "data": {"ignore": ["a"], "categories": ["b"], "image": {"column": "c", "size": [3, 4], "channels": 1}},
        "accept": {"min_list": 100, "max_records": 1_000_000, "max_runs": 100},
    },
    "payments_company.yaml": {
        "proxy": "proxy.example.org:3128",
        "data": {"source": "postgresql://reader:${DB_PASSWORD}@host/db", "query": "select 1"},
    },
}  # fmt: skip


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return values | {
        key: merged(values.get(key) or {}, new) if isinstance(new, dict) and key != "normalise" else new
        for key, new in more.items()
    }


def places(values: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each key and each entry of a list is."""
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from places(value, (*above, key))


def wrong_ones(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for place, (*above, key) in enumerate(places(values)):
        names: list[Any] = [f"{key}s", str(key).upper(), f" {key}", f"{key}.", f"{key}:", "größe?", 3, None]
        # Every other one, in turns, since each key of a kind is judged in the same way.
        for number in range(place % 2, len(OF_ANY_KIND) + len(names) + 1, 2):
            changed = copy.deepcopy(values)
            group: Any = changed
            for step in above:
                group = group[step]
            if number < len(OF_ANY_KIND):
                group[key] = OF_ANY_KIND[number]
            elif isinstance(group, dict):
                value = group.pop(key)
                if number < len(OF_ANY_KIND) + len(names):
                    group[names[number - len(OF_ANY_KIND)]] = value
            yield changed


def faults(said: str, folder: Path) -> list[str]:
    """What is wrong with the form of a message."""
    # What was found there is quoted, and may have any form; so may the name of a file that is not there.
    bare = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`|/[^ ,]*|'[^' ]*\.\.\.", "Q", said.replace(str(folder), "DIR"))
    bare = bare.replace(" .csv, .csv.gz, .parquet", " csv").replace(" :PORT", " PORT").replace(" :9440", " 9440")
    bare = re.sub(r"(?<=The config file ).*(?=, which the key job)", "Q", bare)
    found = {
        "no single line": not said.isprintable(),
        "no full stop": not re.search(r"[^.?!]\.$|did you mean [^?]+\?$", bare),
        "punctuation": re.search(r"[.?!:;,] ?[.?!:;,]|  | [.,;:?]|[.?!] [a-z]", bare),
        "no file": str(folder) not in said,
        "no key": " key " not in said and "has a name that is not text" not in said and "has a key" not in said,
        "Python": re.search(r"\b(None|True|False|NoneType|dict|str)\b|pydantic|Input should", bare),
    }
    return [name for name, is_wrong in found.items() if is_wrong]


@pytest.mark.parametrize("name", EVERY_KEY)
def test_each_wrong_config_is_reported_in_one_sentence(tmp_path: Path, name: str) -> None:
    files = {
        each: merged(yaml.safe_load((CONFIGS / each).read_text(encoding="utf-8")), {"job": "job.yaml"} | more)
        if each != "job.yaml"
        else merged(yaml.safe_load((CONFIGS / each).read_text(encoding="utf-8")), more)
        for each, more in EVERY_KEY.items()
    }
    for each, values in files.items():
        (tmp_path / each).write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    party = tmp_path / ("bank.yaml" if name == "job.yaml" else name)
    load_party(party)
    said: set[str] = set()
    for values in wrong_ones(files[name]):
        text = yaml.dump(values, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), allow_unicode=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
        try:
            load_party(party)
        except ConfigError as error:
            said.add(str(error))
    assert len(said) > 100
    assert not [(faults(one, tmp_path), one) for one in said if faults(one, tmp_path)]


def test_a_key_in_capitals_is_recognised(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text("JOB: job.yaml\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"the key JOB is not known; did you mean job\?"):
        load_party(file)


def test_a_name_that_is_not_text_is_reported_with_its_group(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text("job: job.yaml\n3: lab\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"lab\.yaml, the file has a name that is not text: 3; put it in quotes\."):
        load_party(file)
