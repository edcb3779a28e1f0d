"""Lives and their ledgers: what two parties that lived a run have on record, and what is never in it."""

from __future__ import annotations

import base64
import json
import socket
from datetime import timedelta

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from parties.checkpoints.folder_lock import UNFINISHED
from parties.command.cli import app
from parties.ledger.compare import compare
from parties.ledger.exchange import LEDGER
from parties.ledger.record import Crossed, End, Head, NewSession
from parties.ledger.verify import examine, survey
from parties.monitoring.events import Step
from parties.run import party_run
from tests.parties.breaking import at, small
from tests.parties.ledger.dishonest import Owner
from vsplit.protocol import MismatchError

pytestmark = pytest.mark.usefixtures("no_report")


def ledger_of(world, name):
    return world.run(name) / "ledger.jsonl"


def command(*words):
    return CliRunner().invoke(app, ["ledger", *map(str, words)])


def traffic_of(world, name):
    run = json.loads((world.run(name) / "run.json").read_text())
    return {(one["direction"], one["party"], one["kind"]): (one["messages"], one["size"]) for one in run["traffic"]}


def test_two_parties_that_lived_a_run_tell_the_same_story(world):
    world.job["train"]["checkpoint"] = {"steps": 2, "seconds": None}
    world.write().run_parties().well()
    found = {name: examine(ledger_of(world, name)) for name in world.names}
    for name, one in found.items():
        assert one.faults == []
        [told] = one.sessions.values()
        run = json.loads((world.run(name) / "run.json").read_text())
        assert told.session == run["session"]
        assert told.end == "finished"
        assert run["ledger"] == {"lines": one.lines, "head": one.last}
        # Everything that was counted is on record, and nothing else.
        counted = {}
        for (direction, peer), entries in told.streams.items():
            for entry in entries:
                messages, size = counted.get((direction, peer, entry.kind), (0, 0))
                counted[direction, peer, entry.kind] = messages + 1, size + entry.size
        assert counted == traffic_of(world, name)
        # Heads at the alignment, at each of several checkpoints, and at the end.
        assert len(told.heads) > 10
        assert {head.signer for _, head in told.heads} == set(world.names)
    compared = compare(found["clinic"], found["lab"])
    assert compared.faults == compared.notes == []
    assert compared.messages == sum(
        len(way) for told in found["lab"].sessions.values() for way in told.streams.values()
    )
    assert not (world.run("clinic") / UNFINISHED).exists()

    verdict = command("verify", world.run("clinic"), ledger_of(world, "lab"), "--job", world.folder / "job.yaml")
    assert verdict.exit_code == 0, verdict.output
    assert "tell the same story" in verdict.output


@pytest.mark.parametrize("aggregate", ["masked_sum", "paillier_sum"])
def test_three_parties_whose_embeddings_are_only_seen_as_a_sum(three, aggregate):
    """Checkpoints come while feature parties work together by way of the label party."""
    secure = {"range": 8.0, "bits": 16} | ({"key_bits": 2048} if aggregate == "paillier_sum" else {})
    three.job["model"] |= {"aggregate": aggregate, "secure_sum": secure}
    three.job["train"] |= {"epochs": 2, "batch_size": 64, "checkpoint": {"steps": 1, "seconds": None}}
    three.write().run_parties().well()
    found = {name: examine(ledger_of(three, name)) for name in three.names}
    assert [one.faults for one in found.values()] == [[], [], []]
    for name in ("lab", "gym"):
        compared = compare(found["clinic"], found[name])
        assert compared.faults == compared.notes == []


def test_messages_that_left_again_over_a_link_made_anew_are_marked_and_the_story_is_the_same(world, monkeypatch):
    transports = {}

    def connect(party, *rest):
        transports[party.name] = together_connect(party, *rest)
        return transports[party.name]

    def cut(event):
        """The lab loses its link whenever it has trained an epoch, and sends on."""
        if isinstance(event, Step) and event.stage == "training" and event.done in (1, 2):
            transports["lab"]._links["clinic"].stream.shutdown(socket.SHUT_RDWR)

    together_connect = party_run.connect
    monkeypatch.setattr(party_run, "connect", connect)
    world.write().run_parties(show={"lab": cut}).well()
    found = {name: examine(ledger_of(world, name)) for name in world.names}
    compared = compare(found["clinic"], found["lab"])
    assert [one.faults for one in found.values()] == [[], []]
    assert compared.faults == compared.notes == []
    [told] = found["lab"].sessions.values()
    assert told.resent
    shown = json.loads(command("show", world.run("lab"), "--json").output)
    assert sum(row["resent"] for row in shown["kinds"]) >= len(told.resent)


def test_the_ledger_of_a_run_that_was_broken_off_twice_shows_alone_what_its_owner_does_to_it(three, tmp_path):
    small(three).run_parties(show={"lab": at(2)})
    three.run_parties(show={"clinic": at(4)})
    three.run_parties().well()
    for name in three.names:
        owner = Owner(name, three.keys[name], ledger_of(three, name))
        found, lines = survey(owner.path), owner.lines()
        assert found.faults == []
        assert [told.end for told in found.sessions.values()][-1] == "finished" and len(found.sessions) == 3
        others = {"clinic"} if name != "clinic" else {"lab", "gym"}
        assert {peer: signed_line.final for peer, signed_line in found.signed_lines.items()} == dict.fromkeys(
            others, True
        )
        held = min(signed_line.lines for signed_line in found.signed_lines.values())
        # What stands behind are the messages of the last exchange and of the last words.
        assert found.lines - held <= 2 + 7 * len(others)
        assert owner.made_anew(lines) == owner.path.read_bytes()

        def judged(changed, owner=owner):
            return survey(owner.write(tmp_path / "changed", changed)).faults

        messages = [line for line in lines if isinstance(line, Crossed)]
        sessions = [line for line in lines if isinstance(line, NewSession)]
        ends = [line for line in lines if isinstance(line, End)]
        middle = {line.line for line in messages[20 : len(messages) - 20]}
        assert judged([line for line in lines if line.line not in middle])
        assert judged([msgspec.structs.replace(line, time=line.time - timedelta(days=365)) for line in lines])
        for began, end in zip(sessions, ends, strict=True):
            kept_out = [line for line in lines if not began.line <= line.line <= end.line]
            if began is sessions[-1]:  # this leaves the ledger of a run that was broken off, and the verdict says so
                assert judged(kept_out) == []
                assert not any(signed_line.final for signed_line in survey(tmp_path / "changed").signed_lines.values())
            else:
                assert judged(kept_out)
        earlier = [line for line in lines if isinstance(line, Head) and line.signer != name and not line.final][-1]
        assert judged([*lines[: earlier.line], owner.end(earlier, "finished")])


def test_no_key_value_or_label_is_in_a_ledger(world):
    world.tables["lab"].loc[0, "tsh"] = 48271.40625
    world.tables["lab"]["ward"] = np.where(world.tables["lab"].t3 > 0, "CANARY-north", "CANARY-south")
    world.write().run_parties().well()
    # Nothing short, which a hash or an identity line may spell by chance.
    planted = ["KEY00", "healthy", "CANARY", "48271.40625", "outcome", "person"]
    forms = [*planted, *(text.encode().hex() for text in planted)]
    forms += [base64.b64encode(text.encode()).decode()[:-3] for text in planted if len(text) > 6]
    forms += [np.array(48271.40625, kind).tobytes().hex() for kind in ("<f4", "<f8")]
    secret = (world.run("clinic") / "order.secret").read_bytes()
    for name in world.names:
        text = ledger_of(world, name).read_text()
        assert [form for form in [*forms, secret.hex()] if form in text] == []
        lines = [json.loads(line) for line in text.splitlines()]
        assert {key for line in lines for key in line} <= {
            "what", "line", "time", "before", "format", "party", "role", "job", "digest", "identities", "version", "session",
            "direction", "peer", "kind", "number", "size", "signer", "receiver", "lines", "head", "sent", "sent_stream",
            "received", "received_stream", "peer_lines", "peer_head", "final", "signature", "word",
        }  # fmt: skip


def test_an_attempt_that_ended_at_the_greeting_is_on_record_and_the_next_run_goes_on_after_it(world):
    world.write()
    file = world.folder / "other.yaml"
    file.write_text((world.folder / "job.yaml").read_text().replace("embedding: 4", "embedding: 5"))
    lab = world.folder / "lab.yaml"
    right = lab.read_text()
    lab.write_text(right.replace("job: job.yaml", "job: other.yaml"))
    assert {type(error) for error in world.run_parties().errors.values()} == {MismatchError}
    unfinished = examine(world.run("clinic") / UNFINISHED / LEDGER, unfinished=True)
    [told] = unfinished.sessions.values()
    assert [entry.kind for entry in told.streams["sent", "lab"]] == ["Handshake"]
    assert told.end == "mismatch"

    lab.write_text(right)
    world.run_parties().well()
    found = {name: examine(ledger_of(world, name)) for name in world.names}
    for one in found.values():
        assert one.faults == []
        assert [told.end for told in one.sessions.values()] == ["mismatch", "finished"]
    compared = compare(found["clinic"], found["lab"])
    assert compared.faults == []
    assert [note.partition(" the ")[2] for note in compared.notes] == ["two had different job files."]


def test_what_the_command_shows(world):
    world.write().run_parties().well()
    shown = command("show", world.run("lab"), "--json")
    assert shown.exit_code == 0, shown.output
    content = json.loads(shown.output)
    rows = {(row["direction"], row["peer"], row["kind"]): row for row in content["kinds"]}
    assert {key: (row["messages"], row["bytes"]) for key, row in rows.items()} == traffic_of(world, "lab")
    assert "features" in rows["sent", "clinic", "Embedding"]["reveals"]
    assert (content["party"], content["faults"]) == ("lab", 0)
    assert [one["end"] for one in content["sessions"]] == ["finished"]
