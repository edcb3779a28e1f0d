"""The party file, beside its job: paths, cross checks, bounds, and what no error may show."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from parties.command.party_argument import name_in
from parties.config.bounds import check_bounds, longest_list
from parties.config.party import Party, load_party
from parties.network.identity import PrivateIdentity, PublicIdentity
from vsplit.protocol import ConfigError, RefusedError

CANARY = "CANARY-7311"
JOB: dict[str, Any] = {
    "job": "thyroid",
    "task": "binary",
    "address": "clinic.example.org:9440",
    "parties": {
        "clinic": {"role": "label", "identity": "auto"},
        "lab": {"role": "feature", "identity": "auto"},
    },
    "align": {"key": ["patient_id"]},
    "split": {"train": 0.7, "validation": 0.1, "test": 0.2},
    "model": {"embedding": 16, "aggregate": "concat", "top": {"hidden": [64]}},
    "train": {"epochs": 30, "batch_size": 256, "optimizer": "adam", "lr": 0.001},
}
CLINIC: dict[str, Any] = {
    "job": "job.yaml",
    "party": "clinic",
    "data": {"source": "data/clinic.csv", "label": "diagnosis"},
    "output": "../runs/clinic",
}
LAB: dict[str, Any] = {
    "job": "job.yaml",
    "party": "lab",
    "data": {"source": "lab.parquet", "key": ["pid"]},
    "output": "runs",
}
DATABASE = {"source": "sqlite:///a.db", "query": "select 1", "label": "diagnosis"}


def with_key(values: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    found = copy.deepcopy(values)
    *above, last = key.split(".")
    place = found
    for part in above:
        place = place.setdefault(part, {})
    place[last] = value
    return found


def load(folder: Path, party: dict[str, Any], job: dict[str, Any] = JOB) -> Party:
    (folder / "job.yaml").write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")
    path = folder / "party.yaml"
    path.write_text(yaml.safe_dump(party, sort_keys=False), encoding="utf-8")
    return load_party(path)


def test_paths_are_relative_to_the_file_that_they_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    load(folder, {**CLINIC, "identity": "../keys/clinic.key", "listen": "0.0.0.0:9000"})
    monkeypatch.chdir(tmp_path)
    party = load_party("config/party.yaml")
    assert party.file == folder / "party.yaml"
    assert party.job_file == folder / "job.yaml"
    assert party.identity == tmp_path / "keys" / "clinic.key"
    assert party.source == folder / "data" / "clinic.csv"
    assert party.data_folder == folder / "data"
    assert party.output == tmp_path / "runs" / "clinic"
    assert (party.name, party.role, party.bind) == ("clinic", "label", ("0.0.0.0", 9000))


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    party = load(tmp_path, LAB)
    settings = party.settings
    assert (settings.bottom.hidden, settings.device, settings.threads, settings.wait) == ((64,), "cpu", 1, 30.0)
    assert settings.first_wait == 600.0
    assert (settings.seed, party.identity, party.role) == (None, None, "feature")
    assert party.key_columns == ("pid",)
    assert load(tmp_path, CLINIC).key_columns == ("patient_id",)
    assert load(tmp_path, CLINIC).bind == ("clinic.example.org", 9440)
    check_bounds(party)


def test_the_ready_examples_load() -> None:
    folder = Path(__file__).resolve().parents[3] / "configs"
    for path in folder.glob("*/*.yaml"):
        if path.name != "job.yaml":
            party = load_party(path)
            assert party.name == path.stem
            check_bounds(party)


WRONG: list[tuple[str, object, str, str]] = [
    (
        "party",
        "clinci",
        "party is 'clinci', which is not a party of",
        "did you mean clinic? It must be one of clinic, lab.",
    ),
    ("party", "x", "party is 'x'", "job.yaml. It must be one of clinic, lab."),
    ("job", "jobs.yaml", "jobs.yaml, which the key job of", "does not exist"),
    ("data.label", None, "data.label is missing", "the column to predict"),
    ("data.labels", "a", "data.labels is not known", "did you mean label?"),
    ("data.date", "visit", "data.date is given, but the job splits by seed", "data.ignore"),
    ("data.source", "clinic.xlsx", "data.source does not name a known kind of file", ".csv, .csv.gz, .parquet"),
    ("data.query", "select 1", "data.query is given, but source is a file", "database URL"),
    ("data.key", ["a", "b"], "data.key names 2 column(s), but align.key of the job has 1", "must name 1"),
    ("data.ignore", ["diagnosis"], "data.ignore names the column 'diagnosis', which data.label names already", "once"),
    (
        "data.categories",
        ["patient_id"],
        "data.categories names the column 'patient_id', which data.key names already",
        "once",
    ),
    ("data.image", {"column": "diagnosis", "size": [8, 8]}, "data.image.column names", "once"),
    ("data.image", {"column": "scan", "size": [8] * 3}, "data.image.size is a list of 3", "exactly 2"),
    ("data.image", {"column": "scan", "size": [8, 5000]}, "data.image.size[1] is 5000", "from 1 to 4096"),
    ("data.image", {"column": "scan", "size": [8, 8], "channels": 2}, "data.image.channels is 2", "one of 1, 3"),
    ("data.positive", [1], "data.positive has a value of the wrong kind", "text or a whole number"),
    ("bottom", {}, "key bottom must have either hidden", "not both"),
    ("bottom", {"hidden": [1], "module": "a:b"}, "key bottom must have either", "not both"),
    ("bottom", {"module": "a.b.c"}, "bottom.module is 'a.b.c'", "my_package.my_file:build"),
    ("device", "gpu", "device is 'gpu'", "cpu, cuda or cuda:N"),
    ("threads", 0, "threads is 0", "from 1 to 1024"),
    ("wait", 0.5, "wait is 0.5", "from 1 to 604800"),
    ("first_wait", 0.5, "first_wait is 0.5", "from 1 to 604800"),
    ("accept", {"tasks": ["sorting"]}, "accept.tasks[0] is 'sorting'", "one of binary"),
    ("accept", {"tasks": []}, "accept.tasks is a list of 0", "at least one"),
    ("accept", {"max_embeddings": 3}, "accept.max_embeddings is not known", "did you mean max_embedding?"),
    ("accept", {"min_list": 0}, "accept.min_list is 0", "from 1 to"),
    ("accept", {"max_runs": 0}, "accept.max_runs is 0", "from 1 to 1000000"),
    (
        "accept",
        {"max_records": 99},
        "accept.max_records is 99, but min_list, the shortest list, is 100",
        "lower min_list",
    ),
    ("listen", "9440", "listen is '9440'", "HOST:PORT"),
    ("output", "a\0b", "output is", "a text of one line"),
]


@pytest.mark.parametrize(
    ("key", "value", "found", "allowed"), WRONG, ids=[f"{one[0]}-{n}" for n, one in enumerate(WRONG)]
)
def test_an_error_names_file_key_found_and_allowed(
    tmp_path: Path, key: str, value: object, found: str, allowed: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, with_key(CLINIC, key, value))
    sentence = str(caught.value)
    assert str(tmp_path / "party.yaml") in sentence
    assert found in sentence
    assert allowed in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("key", "value"),
    [("listen", "0.0.0.0:1"), ("order", "a"), ("data.label", "a"), ("data.positive", 1), ("data.date", "a")],
)
def test_a_feature_party_has_no_keys_of_the_label_party(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"key {key} is given, but lab is a feature party; only clinic may have it"):
        load(tmp_path, with_key(LAB, key, value))


def test_a_split_by_date_needs_the_column(tmp_path: Path) -> None:
    job = with_key(JOB, "split.by", "date")
    with pytest.raises(ConfigError, match=r"data\.date is missing, but the job says split\.by: date"):
        load(tmp_path, CLINIC, job)
    assert load(tmp_path, with_key(CLINIC, "data.date", "visit"), job).settings.data.date == "visit"
    assert load(tmp_path, LAB, job).role == "feature"


def test_a_positive_label_needs_a_binary_task(tmp_path: Path) -> None:
    for value in ("sick", 1, True, 2.5):
        party = load(tmp_path, with_key(CLINIC, "data.positive", value))
        assert party.settings.data.positive == value
        assert type(party.settings.data.positive) is type(value)
        with pytest.raises(ConfigError, match=r"data\.positive is given, but the task is multiclass"):
            load(tmp_path, with_key(CLINIC, "data.positive", value), with_key(JOB, "task", "multiclass"))


def test_a_real_line_in_the_job_needs_the_key_file(tmp_path: Path) -> None:
    job = with_key(JOB, "parties.clinic.identity", PublicIdentity(bytes(32)).line)
    with pytest.raises(ConfigError, match=r"key identity is missing, but .*job\.yaml has an identity line for clinic"):
        load(tmp_path, CLINIC, job)
    assert load(tmp_path, {**CLINIC, "identity": "a.key"}, job).identity == tmp_path / "a.key"
    assert load(tmp_path, LAB, job).identity is None


def test_a_database_needs_a_query_and_keeps_no_password(tmp_path: Path) -> None:
    assert load(tmp_path, {**CLINIC, "data": DATABASE}).source is None
    assert load(tmp_path, {**CLINIC, "data": DATABASE}).data_folder == tmp_path
    assert load(tmp_path, {**CLINIC, "data": {**DATABASE, "source": "${CLINIC_DB}"}}).source is None
    with pytest.raises(ConfigError, match=r"data\.query is missing"):
        load(tmp_path, {**CLINIC, "data": {"source": "sqlite:///a.db", "label": "a"}})


@pytest.mark.parametrize(
    "values",
    [
        {**CLINIC, "data": {**DATABASE, "source": f"postgresql://me:{CANARY}@host/db"}},
        {**CLINIC, "data": {**DATABASE, "source": f"postgresql://me:${{A}}{CANARY}@host/db"}},
        {**CLINIC, "data": {**DATABASE, "source": f"postgresql://me@host/db?password={CANARY}"}},
        {**CLINIC, "data": {**DATABASE, "source": f"mssql+pyodbc:///?odbc_connect=PWD%3D{CANARY}"}},
        {**CLINIC, "data": {**DATABASE, "source": f"post gresql://me:{CANARY}@host:x/db"}},
        {**CLINIC, "data": {**DATABASE, "source": [f"postgresql://me:{CANARY}@host/db"]}},
        {**CLINIC, "data": {**DATABASE, "query": {CANARY: 1}}},
        {**CLINIC, "data": {**DATABASE, "positive": [CANARY]}},
        {**CLINIC, "data": f"postgresql://me:{CANARY}@host/db"},
        {**CLINIC, f"postgresql://me:{CANARY}@host/db": None},
        {**CLINIC, "identity": 7, "data": {**DATABASE, f"source: //{CANARY}": 1}},
        {**CLINIC, "device": f"postgresql://me:{CANARY}@host/db"},
        {**CLINIC, "device": f"-----BEGIN PRIVATE KEY-----{CANARY}"},
        {**CLINIC, "data": {**DATABASE, "source": f"postgresql:me:{CANARY}@host"}},
    ],
)
def test_no_error_shows_what_may_be_a_secret(tmp_path: Path, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"party\.yaml") as caught:
        load(tmp_path, values)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("accept", "asked", "bound"),
    [
        (
            {"tasks": ["regression", "multiclass"]},
            "task: binary",
            "accept.tasks in {} allows only regression, multiclass",
        ),
        ({"aggregations": ["sum"]}, "model.aggregate: concat", "accept.aggregations in {} allows only sum"),
        ({"max_embedding": 15}, "model.embedding: 16", "accept.max_embedding in {} allows at most 15"),
    ],
)
def test_a_job_that_asks_too_much_is_refused(tmp_path: Path, accept: dict[str, Any], asked: str, bound: str) -> None:
    party = load(tmp_path, {**LAB, "accept": accept})
    with pytest.raises(RefusedError) as caught:
        check_bounds(party)
    assert asked in str(caught.value)
    assert bound.format(party.file) in str(caught.value)


def test_a_job_within_the_bounds_is_accepted(tmp_path: Path) -> None:
    accept = {"tasks": ["binary"], "aggregations": ["concat", "sum"], "max_embedding": 16, "min_records": 100}
    check_bounds(load(tmp_path, {**LAB, "accept": accept}))


KEY = PrivateIdentity.generate().public.line


@pytest.mark.parametrize("missing", [{"tasks"}, {"aggregations"}, {"max_embedding"}, {"tasks", "max_embedding"}])
def test_a_bound_on_learning_that_is_missing_allows_nothing(tmp_path: Path, missing: set[str]) -> None:
    whole = {"tasks": ["binary"], "aggregations": ["concat", "sum"], "max_embedding": 32, "max_runs": 5}
    accept = {key: value for key, value in whole.items() if key not in missing}
    job = copy.deepcopy(JOB)
    check_bounds(load(tmp_path, {**LAB, "accept": accept, "identity": "lab.key"}, job))
    job["parties"]["lab"]["identity"] = KEY
    with pytest.raises(RefusedError) as caught:
        check_bounds(load(tmp_path, {**LAB, "accept": accept, "identity": "lab.key"}, job))
    for key in ("tasks", "aggregations", "max_embedding"):
        assert (f"accept.{key}" in str(caught.value)) == (key in missing)
    # The line that it gives can be pasted, keeps what was set, and allows this job and no more.
    pasted = yaml.safe_load("accept:" + str(caught.value).rpartition(" accept:")[2])
    check_bounds(load(tmp_path, {**LAB, **pasted, "identity": "lab.key"}, job))
    asked = {"tasks": ["binary"], "aggregations": ["concat"], "max_embedding": 16}
    assert pasted["accept"] == accept | {key: asked[key] for key in missing}


def test_bounds_on_lists_have_safe_defaults(tmp_path: Path) -> None:
    accept = load(tmp_path, LAB).settings.accept
    assert (accept.min_list, accept.max_runs) == (100, 100)
    assert [longest_list(load(tmp_path, LAB).settings.accept, own) for own in (5, 200_000)] == [1_000_000, 2_000_000]
    assert longest_list(load(tmp_path, {**LAB, "accept": {"max_records": 500}}).settings.accept, 10**6) == 500
    assert longest_list(load(tmp_path, {**LAB, "accept": {"min_list": 2_000_000}}).settings.accept, 5) == 2_000_000


def test_runs_are_counted_beside_the_key_or_where_the_file_says(tmp_path: Path) -> None:
    assert load(tmp_path, LAB).partners is None
    assert load(tmp_path, {**LAB, "identity": "keys/a.b.key"}).partners == tmp_path / "keys" / "a.b.partners.json"
    party = load(tmp_path, {**LAB, "identity": "keys/lab.key", "partners": "../counts"})
    assert party.partners == tmp_path.parent / "counts"
    assert load(tmp_path, {**LAB, "partners": "counts"}).partners is None  # there is no lasting key


def test_a_job_file_is_not_a_party_file(tmp_path: Path) -> None:
    load(tmp_path, LAB)
    with pytest.raises(
        ConfigError, match=r"job\.yaml is a job file, .*; give your party file, the one whose key job names it"
    ):
        load_party(tmp_path / "job.yaml")


def test_a_screen_finds_a_name_in_every_file(tmp_path: Path) -> None:
    load(tmp_path, LAB)
    assert name_in(tmp_path / "party.yaml") == "lab"
    for number, content in enumerate(["party: [a]", "party: 'a b'", "colour: red", "a: b: c", ""]):
        (tmp_path / f"file{number}.yaml").write_text(content)
        assert name_in(tmp_path / f"file{number}.yaml") == f"file{number}"
    assert name_in(tmp_path / "none.yaml") == "none"


def test_an_overlap_ignores_what_is_said_about_learning(tmp_path: Path) -> None:
    load(tmp_path, CLINIC)
    clinic = with_key(CLINIC, "data", {"source": "a.csv", "positive": 1, "date": "visit"})
    (tmp_path / "party.yaml").write_text(yaml.safe_dump(clinic))
    job = {key: value for key, value in JOB.items() if key not in ("task", "split", "model")} | {"train": "later"}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    party = load_party(tmp_path / "party.yaml", "overlap")
    assert (party.role, party.key_columns, party.job.feature_parties) == ("label", ("patient_id",), ("lab",))
    with pytest.raises(ConfigError, match="key task is missing"):
        load_party(tmp_path / "party.yaml")
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job | {"colour": "red"}))
    with pytest.raises(ConfigError, match="colour is not known"):
        load_party(tmp_path / "party.yaml", "overlap")
    (tmp_path / "job.yaml").write_text(yaml.safe_dump({"address": job["address"]}))
    with pytest.raises(ConfigError, match=r"job\.yaml, the key job is missing"):
        load_party(tmp_path / "party.yaml", "overlap")
