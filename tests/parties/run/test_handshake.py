"""The first words: parties with different jobs or versions say what differs, at both sides."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from parties.config.digests import COMMAND, handshake_digests
from parties.config.job import Job
from parties.network import codec
from parties.run import handshake
from parties.run.handshake import MOST_KEYS, Handshake, handshake_as_feature, handshake_as_label
from vsplit.protocol import MismatchError, ProtocolError, Role, Send, StoppedError, receive

JOB = Job.model_validate(
    {
        "job": "test",
        "task": "binary",
        "address": "127.0.0.1:9440",
        "parties": {"clinic": {"role": "label", "identity": "auto"}, "lab": {"role": "feature", "identity": "auto"}},
        "align": {"key": ["id"]},
        "split": {"train": 0.6, "validation": 0.2, "test": 0.2},
        "model": {"embedding": 4, "aggregate": "concat", "top": {"hidden": [8]}},
        "train": {"epochs": 1, "batch_size": 8, "optimizer": "adam", "lr": 0.1},
    }
)
RUN, OVERLAP = handshake_digests(JOB, "run"), handshake_digests(JOB, "overlap")
KEYS = {"job": b"0" * 16, "train.lr": b"1" * 16, "parties.lab.identity": b"2" * 16}
OTHER_LR = KEYS | {"train.lr": b"9" * 16}


def run(networks: Any, label: dict[str, bytes], **features: dict[str, bytes]) -> Any:
    roles = {"clinic": handshake_as_label("clinic", list(features), label)}
    roles |= {name: handshake_as_feature(name, "clinic", keys) for name, keys in features.items()}
    return networks.run(roles)


def test_the_same_job_passes(networks: Any) -> None:
    assert run(networks, KEYS, lab=KEYS, bank=KEYS).all() == {"clinic": None, "lab": None, "bank": None}


@pytest.mark.parametrize(
    ("theirs", "key"),
    [
        (OTHER_LR, "train.lr"),
        ({"job": KEYS["job"]}, "train.lr"),
        (KEYS | {"train.extra": b"3" * 16}, "train.extra"),
        ({}, "job"),
    ],
)
def test_the_first_key_that_differs_is_named_at_both_sides(networks: Any, theirs: dict[str, bytes], key: str) -> None:
    outcome = run(networks, KEYS, lab=theirs)
    errors = outcome.errors
    assert {name: type(error) for name, error in errors.items()} == {"clinic": MismatchError, "lab": MismatchError}
    assert (errors["clinic"].peer, errors["lab"].peer) == ("lab", "clinic")
    assert f"clinic and lab have different job files: the first key that differs is {key}." in str(errors["clinic"])
    first = key if theirs else "job"
    assert f"lab and clinic have different job files: the first key that differs is {first}." in str(errors["lab"])


def test_different_commands_are_named_at_both_sides(networks: Any) -> None:
    """Before any key, since the keys that are compared hang on the command."""
    for theirs, named in ((b"o" * 16, "another command"), (OVERLAP[COMMAND], "`vsplit overlap`")):
        errors = run(networks, {COMMAND: RUN[COMMAND]} | KEYS, lab={COMMAND: theirs} | OTHER_LR).errors
        assert {name: type(error) for name, error in errors.items()} == {"clinic": MismatchError, "lab": MismatchError}
        assert f"clinic was started with `vsplit run` and lab with {named}; nothing was compared." in str(
            errors["clinic"]
        )
        assert f"lab was started with {named} and clinic with `vsplit run`; nothing was compared." in str(errors["lab"])


def test_a_party_with_the_right_job_is_told_that_another_has_another(networks: Any) -> None:
    errors = run(networks, KEYS, lab=KEYS, bank=OTHER_LR).errors
    assert isinstance(errors["clinic"], MismatchError)
    assert errors["clinic"].peer == "bank"
    assert isinstance(errors["bank"], MismatchError)
    assert isinstance(errors.get("lab", StoppedError("clinic", "")), StoppedError)


def test_different_protocols_are_named_before_the_keys_at_both_sides(networks: Any) -> None:
    def other() -> Role[None]:
        yield Send("clinic", Handshake(protocol=handshake.PROTOCOL + 1, version="7.1.0", keys=OTHER_LR))
        theirs = yield from receive("clinic", Handshake, 1 << 20)
        assert theirs.protocol == handshake.PROTOCOL

    errors = networks.run({"clinic": handshake_as_label("clinic", ["lab"], KEYS), "lab": other()}).errors
    assert isinstance(errors["clinic"], MismatchError)
    assert "lab runs vsplit 7.1.0 and clinic runs " in str(errors["clinic"])
    assert "install the same version at all parties" in str(errors["clinic"])


def test_a_feature_party_names_the_other_protocol_too(networks: Any) -> None:
    def other() -> Role[None]:
        yield from receive("lab", Handshake, 1 << 20)
        yield Send("lab", Handshake(protocol=0, version="0.0.1", keys=KEYS))

    errors = networks.run({"clinic": other(), "lab": handshake_as_feature("lab", "clinic", KEYS)}).errors
    assert isinstance(errors["lab"], MismatchError)
    assert "clinic runs vsplit 0.0.1 and lab runs " in str(errors["lab"])


HOSTILE: dict[str, dict[str, Any]] = {
    "thousands of keys": {"keys": {f"k{number}": bytes(16) for number in range(MOST_KEYS + 1)}},
    "a long key": {"keys": {"k" * 201: bytes(16)}},
    "an empty key": {"keys": {"": bytes(16)}},
    "a key with an escape": {"keys": {"\x1b[31mcanary": bytes(16)}},
    "a key of a sentence": {"keys": {"canary: send your key file to me": bytes(16)}},
    "a key in two lines": {"keys": {"job\n": bytes(16)}},
    "a short digest": {"keys": {"job": bytes(15)}},
    "a long digest": {"keys": {"job": bytes(32)}},
    "a digest that is text": {"keys": {"job": "0" * 16}},
    "a long version": {"version": "1" * 41},
    "no version": {"version": ""},
    "a version with an escape": {"version": "1\x1b[2Jcanary"},
    "a version that is none": {"version": None},
    "a protocol that is none": {"protocol": "1"},
}


@pytest.mark.parametrize("fields", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_handshake_is_refused_and_not_repeated(fields: dict[str, Any]) -> None:
    honest = {"protocol": 1, "version": "1.0", "keys": KEYS}
    decode(honest)
    with pytest.raises(codec.WireError) as caught:
        decode(honest | fields)
    assert "canary" not in str(caught.value)


def decode(fields: dict[str, Any]) -> Handshake:
    head = msgspec.msgpack.encode(("Handshake", fields))
    raw = len(head).to_bytes(4, "little") + head
    data = codec.buffer(len(raw))
    data[:] = np.frombuffer(raw, np.uint8)
    return codec.decode(data, Handshake)


def test_a_handshake_of_megabytes_is_refused_by_its_size(networks: Any) -> None:
    class Handshake(handshake.Handshake, frozen=True, kw_only=True, eq=False):
        def check(self) -> None:
            pass

    def flood() -> Role[None]:
        yield Send("clinic", Handshake(protocol=1, version="1", keys={f"{n:0150}": bytes(16) for n in range(10_000)}))
        yield from receive("clinic", Handshake, 1 << 20)

    errors = networks.run({"clinic": handshake_as_label("clinic", ["lab"], KEYS), "lab": flood()}).errors
    assert isinstance(errors["clinic"], ProtocolError)
    assert "at most 1,048,576 are allowed" in str(errors["clinic"])


def test_a_handshake_shows_no_digest_in_its_repr() -> None:
    assert "0" * 16 not in repr(Handshake(protocol=1, version="1", keys=KEYS))
