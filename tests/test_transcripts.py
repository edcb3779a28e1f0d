"""The whole path over a recorded network: what crosses does not depend on what must stay at home.

Two worlds differ in ids, feature values and labels, and agree in what the specifications declare as revealed: the
sizes of the lists, how many records match, the job, and the verdicts. Kinds, sizes and sequence of all messages are
then equal. And values planted at home are in no message, in any encoding.
"""

from __future__ import annotations

import base64
import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from parties.config.digests import key_digests
from parties.config.local_model import LocalModel
from parties.config.party import load_party
from parties.config.party_names import PartyNames
from parties.data.aligned_rows import align_rows
from parties.data.party_data import PartyData, most_rows, read_party_data
from parties.network.driver import drive
from parties.network.memory import MemoryNetwork
from parties.network.worker_pool import Pool
from parties.run.handshake import handshake_as_feature, handshake_as_label
from parties.run.preparation import prepare
from parties.run.training import train
from psi import CONTRACT, Limits, align_feature, align_label
from vsplit.protocol import Role

SHARED, ONLY = 150, 20

JOB = """
job: transcripts
task: binary
address: 127.0.0.1:0
parties:
  clinic: {role: label, identity: auto}
  lab: {role: feature, identity: auto}
align: {key: [id]}
split: {train: 0.6, validation: 0.2, test: 0.2}
model: {embedding: 4, aggregate: concat, top: {hidden: [8]}}
train: {epochs: 2, batch_size: 32, optimizer: adam, lr: 0.001}
"""
PARTY = """
job: job.yaml
party: {name}
data: {{source: {name}.csv{label}}}
bottom: {{hidden: [6]}}
seed: 1
output: runs/{name}
"""

# Planted values: an id, a number and a category of each side, and the two names of the label's classes.
CANARY_IDS = {"clinic": "canary-id-93417", "lab": "canary-id-93417"}
CANARY_NUMBERS = {"clinic": 48271.40625, "lab": 91733.65625}
CANARY_WORDS = {"clinic": "canary-word-clinic", "lab": "canary-word-lab"}
CLASSES = ("canary-class-none", "canary-class-some")


def write_world(folder: Path, seed: int) -> None:
    """Two parties' files: the ids, values and labels follow from `seed`; the sizes and the overlap do not."""
    rng = np.random.default_rng(seed)
    numbers = rng.choice(10**8, SHARED + 2 * ONLY, replace=False)
    ids = [f"person-{number}" for number in numbers]
    ids[0] = CANARY_IDS["clinic"]
    mine, theirs = ids[: SHARED + ONLY], ids[:SHARED] + ids[SHARED + ONLY :]
    for name, own in (("clinic", mine), ("lab", theirs)):
        frame = pd.DataFrame(
            {
                "id": own,
                "first": rng.standard_normal(len(own)),
                "second": rng.uniform(0, 1, len(own)),
                "word": rng.choice(["a", "b", CANARY_WORDS[name]], len(own)),
            }
        )
        frame.loc[0, "first"] = CANARY_NUMBERS[name]
        if name == "clinic":
            frame["outcome"] = rng.choice(CLASSES, len(own))
        frame.sample(frac=1, random_state=seed).to_csv(folder / f"{name}.csv", index=False)
        label = ", label: outcome" if name == "clinic" else ""
        (folder / f"{name}.yaml").write_text(PARTY.format(name=name, label=label))
    (folder / "job.yaml").write_text(JOB)


def transcript(folder: Path, recorder: Any) -> dict[str, list[bytes]]:
    """Greet, align and train; what each party sent, in order."""
    homes = {name: read_party_data(load_party(folder / f"{name}.yaml")) for name in ("clinic", "lab")}
    network = MemoryNetwork(list(homes))
    sent: dict[str, list[bytes]] = {name: [] for name in homes}
    failures: list[Exception] = []

    def live(name: str) -> None:
        transport = recorder(network.endpoint(name), lambda _to, data: sent[name].append(data))

        def run(role: Role[Any]) -> Any:
            return drive(role, transport, Pool())

        try:
            speak(homes[name], run)
            transport.finish()
        except Exception as error:
            failures.append(error)
            transport.stop("error")

    threads = [threading.Thread(target=live, args=(name,)) for name in homes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure
    return sent


def train_on(home: PartyData, aligned: Any, secret: bytes, run: Any) -> None:
    job, model, names = home.party.job, LocalModel.of(home.party), PartyNames.of(home.party.job, home.party.name)
    most = most_rows(home.party.settings.accept, len(home.keys.keys))
    rows = align_rows(names, job, home, aligned, secret, most, run)
    train(names, prepare(names, job, home, model, rows, 1), model.device, run, run_name=bytes(16))


def speak(home: PartyData, run: Any) -> None:
    keys, digests = home.keys.keys, key_digests(home.party.job, CONTRACT)
    secret = os.urandom(32)
    bounds: dict[str, Any] = {"random_bytes": os.urandom, "limits": Limits(max_list=10_000)}
    if home.party.role == "label":
        run(handshake_as_label("clinic", ["lab"], digests))
        aligned = run(align_label("clinic", ["lab"], keys, order_secret=secret, **bounds))
        train_on(home, aligned, secret, run)
    else:
        run(handshake_as_feature("lab", "clinic", digests))
        aligned = run(align_feature("lab", "clinic", ["lab"], keys, seals={}, **bounds))
        train_on(home, aligned, secret, run)
    assert aligned.matched == SHARED


def shape(sent: list[bytes]) -> list[tuple[str, int]]:
    """Kind and size of each message."""
    found = []
    for data in sent:
        length = int.from_bytes(data[:4], "little")
        kind = msgspec.msgpack.decode(data[4 : 4 + length])[0]
        found.append((kind, len(data)))
    return found


@pytest.fixture(scope="module")
def transcripts(tmp_path_factory: pytest.TempPathFactory, recorder: Any) -> list[dict[str, list[bytes]]]:
    """The transcripts of three worlds."""
    found = []
    for seed in (1, 2, 3):
        folder = tmp_path_factory.mktemp(f"world{seed}")
        write_world(folder, seed)
        found.append(transcript(folder, recorder))
    return found


@pytest.mark.parametrize("name", ["clinic", "lab"])
def test_kinds_sizes_and_sequence_are_equal_in_different_worlds(transcripts: Any, name: str) -> None:
    shapes = [shape(world[name]) for world in transcripts]
    assert shapes[0] == shapes[1] == shapes[2]
    kinds = {kind for kind, _ in shapes[0]}
    both = {"Handshake", "MaskedKeys", "Agreement"}
    expected = {
        "clinic": both | {"ListSizes", "MatchCount", "MatchBits", "MatchPositions", "Gradient", "Verdict"},
        "lab": both | {"ListSize", "MaskedByAll", "OwnPositions", "Embedding"},
    }
    assert kinds == expected[name]


def test_the_contents_do_differ(transcripts: Any) -> None:
    for name in ("clinic", "lab"):
        assert transcripts[0][name] != transcripts[1][name]


def encodings(value: str | float) -> list[bytes]:
    """Ways in which a planted value could stand in a message."""
    text = str(value)
    found = [text.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le")]
    found += [text.encode().hex().encode(), base64.b64encode(text.encode()).rstrip(b"=")[:-1], text[::-1].encode()]
    if isinstance(value, float):
        found += [np.array(value, kind).tobytes() for kind in ("<f4", ">f4", "<f8", ">f8")]
    return found


def test_planted_values_are_in_no_message(transcripts: Any) -> None:
    planted: list[str | float] = [*CANARY_IDS.values(), *CANARY_NUMBERS.values(), *CANARY_WORDS.values(), *CLASSES]
    for world in transcripts:
        for name, sent in world.items():
            everything = b"|".join(sent)
            for value in planted:
                for form in encodings(value):
                    assert form not in everything, f"{value!r} left {name}"


def test_the_search_for_planted_values_finds_them_where_they_are(tmp_path: Path) -> None:
    write_world(tmp_path, 1)
    files = b"".join((tmp_path / f"{name}.csv").read_bytes() for name in ("clinic", "lab"))
    for value in (*CANARY_IDS.values(), *CANARY_WORDS.values(), *CLASSES):
        assert any(form in files for form in encodings(value))
    assert np.float32(CANARY_NUMBERS["lab"]).tobytes() in encodings(CANARY_NUMBERS["lab"])
