"""`job.yaml`: what is accepted, and one sentence for each thing that is not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from parties.config.fields import split_address
from parties.config.job import Job, load_job
from parties.network.identity import PrivateIdentity, PublicIdentity
from vsplit.protocol import ConfigError

LINES = [PublicIdentity(bytes([number]) * 32).line for number in range(3)]
JOB: dict[str, Any] = {
    "job": "thyroid",
    "task": "binary",
    "address": "127.0.0.1:9440",
    "parties": {
        "clinic": {"role": "label", "identity": LINES[0]},
        "lab": {"role": "feature", "identity": LINES[1]},
    },
    "align": {"key": ["patient_id"]},
    "split": {"train": 0.7, "validation": 0.1, "test": 0.2},
    "model": {"embedding": 16, "aggregate": "concat", "top": {"hidden": [64]}},
    "train": {"epochs": 30, "batch_size": 256, "optimizer": "adam", "lr": 0.001},
}
AWAY = object()


def changed(key: str, value: object) -> dict[str, Any]:
    values = copy.deepcopy(JOB)
    *above, last = key.split(".")
    place = values
    for part in above:
        place = place.setdefault(part, {})
    if value is AWAY:
        del place[last]
    else:
        place[last] = value
    return values


def load(folder: Path, values: object) -> Job:
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return load_job(path)


def test_a_whole_job_loads_with_its_defaults(tmp_path: Path) -> None:
    job = load(tmp_path, JOB)
    assert (job.label_party, job.feature_parties) == ("clinic", ("lab",))
    assert job.host_and_port == ("127.0.0.1", 9440)
    assert (job.split.by, job.split.seed, job.train.class_weights, job.train.early_stopping) == (
        "seed",
        0,
        "none",
        None,
    )
    assert job.identity_of("lab") == PublicIdentity.parse(LINES[1])
    assert not job.needs_launch
    with pytest.raises(ValidationError):
        job.task = "regression"  # type: ignore[misc]


def test_the_ready_examples_load() -> None:
    folder = Path(__file__).resolve().parents[3] / "configs"
    for path in folder.glob("*/job.yaml"):
        assert load_job(path).job == path.parent.name


WRONG: list[tuple[str, object, str, str]] = [
    ("train.lr", "fast", "train.lr is 'fast'", "a number above 0 and at most 100"),
    ("train.lr", "yes", "train.lr is 'yes'", "a number"),
    ("train.lr", True, "train.lr is true", "a number"),
    ("train.lr", float("nan"), "train.lr is nan", "a number"),
    ("train.lr", None, "train.lr is empty", "a number"),
    ("train.lr", AWAY, "train.lr is missing", "a number"),
    ("train.lr", "x" * 90, "train.lr is '" + "x" * 36 + "...;", "a number"),
    ("train", AWAY, "key train is missing", "a group with the keys epochs, batch_size"),
    ("train", [1], "key train is a list of 1", "a group"),
    ("train.batchsize", 64, "train.batchsize is not known", "did you mean batch_size?"),
    ("train.colour", 64, "train.colour is not known", "Allowed here: epochs, batch_size"),
    ("tasks", "binary", "key tasks is not known", "did you mean task?"),
    ("train.epochs", 0, "train.epochs is 0", "a whole number from 1 to 100000"),
    ("train.epochs", 1.5, "train.epochs is 1.5", "a whole number"),
    ("train.batch_size", 1_000_001, "train.batch_size is 1000001", "1 to 1000000"),
    ("train.optimizer", "lbfgs", "train.optimizer is 'lbfgs'", "one of adam, adamw, sgd"),
    ("train.momentum", 0.9, "train.momentum is 0.9 with the optimizer adam", "only sgd"),
    ("train.early_stopping", {"patience": 0}, "train.early_stopping.patience is 0", "from 1 to 100000"),
    ("train.seed", -1, "train.seed is -1", "a whole number from 0"),
    ("task", "ranking", "task is 'ranking'", "one of binary, multiclass, regression"),
    ("job", "two words", "job is 'two words'", "letters, digits"),
    ("job", 7, "job is 7", "letters, digits"),
    ("model.embedding", 4097, "model.embedding is 4097", "from 1 to 4096"),
    ("model.aggregate", "mean", "model.aggregate is 'mean'", "one of concat, sum"),
    ("model.top.hidden", [64, 0], "model.top.hidden[1] is 0", "from 1 to 65536"),
    ("model.top.hidden", [1] * 17, "model.top.hidden is a list of 17", "at most 16"),
    ("model.top.hidden", "64", "model.top.hidden is '64'", "a list"),
    ("align.key", [], "align.key is a list of 0", "at least one"),
    (
        "align.normalise",
        ["lower"],
        "align.normalise is a list of 1",
        "a group of names, each with a list of at most 16",
    ),
    (
        "align.normalise",
        {"pid": ["lower"]},
        "align.normalise names 'pid', which is not a key column",
        "columns of align.key: patient_id",
    ),
    (
        "align.normalise",
        {"patient": []},
        "names 'patient', which is not a key column; did you mean patient_id?",
        "must name",
    ),
    ("align.normalise", {3: ["lower"]}, "align.normalise has a name that is not text: 3", "in quotes"),
    ("align.normalise.patient_id", "lower", "align.normalise.patient_id is 'lower'", "a list of at most 16 entries"),
    (
        "align.normalise.patient_id",
        ["lower"] * 17,
        "patient_id is a list of 17",
        "entries, each a normaliser, as in [lower].",
    ),
    ("align.normalise.patient_id", ["lowercase"], "is 'lowercase'", "; did you mean lower?"),
    ("align.normalise.patient_id", ["strip_zeros"], "is 'strip_zeros'", "; did you mean leading_zeros?"),
    ("align.normalise.patient_id", ["zfill"], "is 'zfill'", "; did you mean {pad_zeros: 10}?"),
    ("align.normalise.patient_id", ["remove_spaces"], "is 'remove_spaces'", "; did you mean no_spaces?"),
    ("align.normalise.patient_id", ["to_upper"], "is 'to_upper'", "; did you mean upper?"),
    ("align.normalise.patient_id", ["quux"], "is 'quux'", "{phone: DE}."),
    ("align.normalise.patient_id", ["Date"], "is 'Date'", '; did you mean {date: ["%d.%m.%Y"]}?'),
    (
        "align.normalise.patient_id",
        [{"phone": "XX"}],
        "is a group of keys; phone must have",
        "no such country is known",
    ),
    ("align.normalise.patient_id", ["trim", "lowr"], "patient_id[1] is 'lowr'", "it must be one of nfkc, trim, spaces"),
    ("align.normalise.patient_id", [{"date": ["%d.%m.%y"]}], "patient_id[0] is a group of keys", "%Y, %m and %d once"),
    ("align.normalise.patient_id", [{"phone": "XX"}], "patient_id[0] is a group of keys", "two capital letters"),
    ("align.repeated", "all", "align.repeated is 'all'", "one of error, first, last, many_to_one"),
    ("align.hints", "no", "align.hints is 'no'", "true or false"),
    ("align.key", ["a", "a"], "align.key lists a name twice", "only once"),
    ("split.train", 0.8, "key split has shares", "add up to 1.1; they must add up to 1"),
    ("split.test", 0, "split.test is 0", "a number above 0 and below 1"),
    ("split.by", "name", "split.by is 'name'", "one of seed, date"),
    ("address", "127.0.0.1", "address is '127.0.0.1'", "HOST:PORT"),
    ("parties.clinic.role", "feature", "parties has 0 parties with `role: label`", "exactly one"),
    ("parties.lab.role", "label", "parties has 2 parties with `role: label`", "exactly one"),
    ("parties.lab", AWAY, "parties has 1 parties", "2 to 64"),
    ("parties.../lab", {"role": "feature", "identity": "auto"}, "parties.", "it becomes a file name"),
    ("parties.Lab", {"role": "feature", "identity": "auto"}, "parties.Lab differs from lab", "file names"),
    ("parties.nul", {"role": "feature", "identity": "auto"}, "parties.nul is 'nul'", "it must be"),
    ("parties.a" + "b" * 32, {"role": "feature", "identity": "auto"}, "parties.a", "at most 32"),
    ("parties.lab.identity", LINES[0], "parties.lab.identity is also the line of clinic", "a key of its own"),
    ("parties.lab.identity", LINES[1][:-1], "parties.lab.identity is neither `auto` nor an identity", "64 characters"),
]


@pytest.mark.parametrize(
    ("key", "value", "found", "allowed"), WRONG, ids=[f"{one[0]}-{n}" for n, one in enumerate(WRONG)]
)
def test_an_error_names_file_key_found_and_allowed(
    tmp_path: Path, key: str, value: object, found: str, allowed: str
) -> None:
    if key == "parties.../lab":
        values = changed("job", "x")
        values["parties"]["../lab"] = value
    else:
        values = changed(key, value)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, values)
    sentence = str(caught.value)
    assert sentence.startswith(f"In {tmp_path / 'job.yaml'}, ")
    assert found in sentence
    assert allowed in sentence
    assert "\n" not in sentence


def test_the_job_says_how_keys_are_read(tmp_path: Path) -> None:
    align = load(tmp_path, JOB).align
    assert (align.steps, align.contract, align.repeated, align.hints) == (((),), "2", "error", True)
    values = changed("align.key", ["patient_id", "birth"])
    values["align"] |= {
        "normalise": {"birth": [{"date": ["%d.%m.%Y"]}], "patient_id": ["lower", {"pad_zeros": 8}, {"phone": "DE"}]},
        "repeated": "many_to_one",
    }
    job = load(tmp_path, values)
    assert [[str(step) for step in steps] for steps in job.align.steps] == [
        ["lower", "pad_zeros 8", "phone DE"],
        ["date %d.%m.%Y"],
    ]
    assert job.align.contract.startswith("2+phonenumbers-")
    assert [job.align.repeated_at(role) for role in ("label", "feature")] == ["many_to_one", "error"]
    assert Job.model_validate_json(job.model_dump_json()) == job
    values["align"]["repeated"] = "last"
    assert [load(tmp_path, values).align.repeated_at(role) for role in ("label", "feature")] == ["last", "last"]


def three_parties(**model: object) -> dict[str, Any]:
    values = changed("parties.third", {"role": "feature", "identity": "auto"})
    values["model"] |= model
    return values


@pytest.mark.parametrize("aggregate", ["masked_sum", "paillier_sum"])
def test_a_secure_sum_of_one_feature_party_is_refused_with_the_reason(tmp_path: Path, aggregate: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, changed("model.aggregate", aggregate))
    sentence = str(caught.value)
    assert f"the key model.aggregate is {aggregate} with one feature party, where a sum hides nothing" in sentence
    assert "subtracts its own part" in sentence
    assert "sum or concat" in sentence and "a third party" in sentence


def test_the_defaults_of_a_secure_sum(tmp_path: Path) -> None:
    paillier = load(tmp_path, three_parties(aggregate="paillier_sum")).model.secure_sum
    assert paillier is not None
    assert (paillier.range, paillier.bits, paillier.rounding) == (8.0, 16, "nearest")
    assert (paillier.key_bits, paillier.noise) == (3072, "short")
    masked = load(tmp_path, three_parties(aggregate="masked_sum", secure_sum={"bits": 20})).model.secure_sum
    assert masked is not None
    assert (masked.range, masked.bits, masked.key_bits, masked.noise) == (8.0, 20, None, None)
    assert load(tmp_path, three_parties(aggregate="sum")).model.secure_sum is None


@pytest.mark.parametrize(
    ("aggregate", "settings", "found", "allowed"),
    [
        ("sum", {"bits": 16}, "secure_sum is given with the aggregate sum", "masked_sum and paillier_sum only"),
        ("masked_sum", {"key_bits": 3072}, "secure_sum.key_bits is given with masked_sum", "paillier_sum only"),
        ("masked_sum", {"noise": "full"}, "secure_sum.noise is given with masked_sum", "paillier_sum only"),
        ("paillier_sum", {"key_bits": 1024}, "secure_sum.key_bits is 1024", "a multiple of 64 from 2048 to 8192"),
        ("paillier_sum", {"key_bits": 2050}, "secure_sum.key_bits is 2050", "a multiple of 64"),
        ("paillier_sum", {"key_bits": "long"}, "secure_sum.key_bits is 'long'", "a whole number"),
        ("paillier_sum", {"noise": "none"}, "secure_sum.noise is 'none'", "one of short, full"),
        ("masked_sum", {"bits": 3}, "secure_sum.bits is 3", "from 4 to 24"),
        ("masked_sum", {"bits": 25}, "secure_sum.bits is 25", "from 4 to 24"),
        ("masked_sum", {"range": 0.0}, "secure_sum.range is 0.0", "a number from"),
        ("masked_sum", {"rounding": "up"}, "secure_sum.rounding is 'up'", "one of nearest, stochastic"),
        ("masked_sum", {"scale": 3}, "secure_sum.scale is not known", "Allowed here: range, bits"),
        ("masked_sum", [1], "secure_sum is a list of 1", "a group with the keys"),
    ],
)
def test_wrong_settings_of_a_secure_sum_are_named(
    tmp_path: Path, aggregate: str, settings: object, found: str, allowed: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, three_parties(aggregate=aggregate, secure_sum=settings))
    assert f"model.{found}" in str(caught.value)
    assert allowed in str(caught.value)


def test_a_job_with_a_secure_sum_keeps_it_where_a_launch_fills_in(tmp_path: Path) -> None:
    job = load(tmp_path, three_parties(aggregate="masked_sum", secure_sum={"bits": 20}))
    filled = job.with_address("127.0.0.1:9999")
    assert filled.model == job.model
    assert Job.model_validate_json(filled.model_dump_json()) == filled


def test_class_weights_need_classes(tmp_path: Path) -> None:
    values = changed("train.class_weights", "balanced")
    assert load(tmp_path, values).train.class_weights == "balanced"
    with pytest.raises(ConfigError, match=r"train\.class_weights is balanced in a regression"):
        load(tmp_path, {**values, "task": "regression"})


def test_of_several_errors_the_misspelt_key_comes_first(tmp_path: Path) -> None:
    values = changed("train.lr", AWAY)
    values["train"]["learn_rate"] = 0.1
    values["task"] = "x"
    with pytest.raises(
        ConfigError, match=r"train\.learn_rate is not known.*Further keys of this file are wrong as well: 2"
    ):
        load(tmp_path, values)


def test_a_name_that_is_no_text_is_named(tmp_path: Path) -> None:
    values = changed("job", "x")
    values["parties"][7] = {"role": "feature", "identity": "auto"}
    with pytest.raises(ConfigError, match="key parties has a name that is not text: 7"):
        load(tmp_path, values)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("clinic.example.org:9440", ("clinic.example.org", 9440)),
        ("my_host:0", ("my_host", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("[2001:DB8::1]:80", ("2001:db8::1", 80)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
    ],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


WRONG_ADDRESSES = """
    |:1|h|h:|h:65536|h:-1|h:+1|h:1 |::1:80|[::1]|[::g]:1|1.2.3:1|256.1.1.1:1|a b:1|http://h:1|-a:1|a..b:1|h:١|a/b:1
""".strip().split("|")


@pytest.mark.parametrize("address", [*WRONG_ADDRESSES, "[1.2.3.4]:1", "h:123456", "h:1\n", "a" * 64 + ":1"])
def test_wrong_addresses(address: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        split_address(address)
    with pytest.raises(ConfigError, match="the key address is"):
        Job.model_validate(JOB).with_address(address)


@given(st.text(max_size=30))
def test_no_address_ends_in_anything_but_an_answer_or_a_value_error(address: str) -> None:
    try:
        host, port = split_address(address)
    except ValueError:
        return
    assert host
    assert 0 <= port <= 65535


def test_the_launcher_fills_in_what_is_open(tmp_path: Path) -> None:
    values = changed("address", "127.0.0.1:0")
    for member in values["parties"].values():
        member["identity"] = "auto"
    job = load(tmp_path, values)
    with pytest.raises(ConfigError, match=r"`identity: auto` for lab.*vsplit identity new"):
        job.identity_of("lab")
    fresh = {name: PrivateIdentity.generate().public for name in job.parties}
    named = job.with_identities(fresh)
    assert job.needs_launch
    assert named.needs_launch
    filled = named.with_address("127.0.0.1:9999")
    assert not filled.needs_launch
    assert filled.identity_of("clinic") == fresh["clinic"]
    assert Job.model_validate_json(filled.model_dump_json()) == filled
    assert list(filled.parties) == ["clinic", "lab"]


def test_what_the_launcher_fills_in_is_checked() -> None:
    job = Job.model_validate(JOB)
    with pytest.raises(ConfigError, match=r"no party 'labb'; it has clinic, lab"):
        job.with_identities({"labb": LINES[2]})
    with pytest.raises(ConfigError, match=r"In the job thyroid, the key parties\.lab\.identity"):
        job.with_identities({"lab": "vsplit1"})
    with pytest.raises(ConfigError, match=r"is also the line of clinic"):
        job.with_identities({"lab": LINES[0]})
