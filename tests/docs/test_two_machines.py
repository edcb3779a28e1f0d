"""The tutorials with two machines, followed by two parties with a folder each, and the guides that use their run folders."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from docs.generator.messages import GROUPS
from docs.generator.monitoring import log_events
from parties.network.peer_connections import free_port
from tests.docs.blocks import Block, Reader, blocks

pytestmark = pytest.mark.timeout(900)
SIDES = ("clinic", "lab")
LOG = "log: {level: debug, format: json, file: party.log}\n"


class Parties:
    """A clinic and a lab, each with a home folder of its own on this machine."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.port = free_port("127.0.0.1")
        self.lines: dict[str, str] = {}
        self.readers: dict[str, Reader] = {}
        self.running: list[Future[None]] = []
        self.pool = ThreadPoolExecutor(len(SIDES))
        for side in SIDES:
            (folder / side).mkdir()
            (folder / side / "vsplit-source").symlink_to(project)
            self.readers[side] = Reader(folder / side, variables={"HOME": str(folder / side)})

    def follow(self, page: Path) -> None:
        """Do everything that the page says, at the side that the title of each block names. What is `bash` is not typed."""
        for block in blocks(page):
            where = f"{page.name}, line {block.line}"
            if block.text.startswith(("vsplit run ", "vsplit overlap ")):
                self.running.append(self.pool.submit(self.readers[block.title].type, block.text, where))
                continue
            if len(self.running) == len(SIDES):
                self.wait()
            if block.language == "sh":
                self._type(block, where)
            elif block.language == "yaml":
                self._save(block)
            elif block.language == "text":
                self.readers["clinic"].compare(block.text, where)
            else:
                assert block.language == "bash", where
        self.wait()

    def wait(self) -> None:
        """Both commands have ended, and well."""
        for one in self.running:
            one.result()
        self.running.clear()

    def _type(self, block: Block, where: str) -> None:
        for side in SIDES if block.title == "both" else (block.title,):
            reader = self.readers[side]
            if "lab-ledger.jsonl" in block.text:  # which the lab has e-mailed
                shutil.copy(self.readers["lab"].folder / "runs/lab/ledger.jsonl", reader.folder / "lab-ledger.jsonl")
            reader.type(block.text, where)
            if block.text.startswith("vsplit identity new"):
                self.lines[side] = next(word for word in reader.printed.split() if word.startswith("vsplit1"))

    def _save(self, block: Block) -> None:
        side, _, name = block.title.partition(": ")
        text = block.text.replace("vsplit.clinic.example:9440", f"127.0.0.1:{self.port}")
        text = text.replace("listen: :9440", f"listen: 127.0.0.1:{self.port}").replace("epochs: 30", "epochs: 3")
        for party, line in self.lines.items():
            text = text.replace(f"paste the {party}'s public line here", line)
        assert name in ("job.yaml", f"{side}.yaml")
        # The clinic e-mails the job.
        for party in SIDES if name == "job.yaml" else (side,):
            (self.readers[party].folder / name).write_text(text + ("" if name == "job.yaml" else LOG), encoding="utf-8")


def type_guide(parties: Parties, page: Path) -> None:
    """What a guide tells an operator to type, at the clinic."""
    for block in blocks(page):
        if block.language == "sh":
            parties.readers["clinic"].type(block.text, f"{page.name}, line {block.line}")


def check_log(reader: Reader) -> None:
    """Every event that a run logged is on the page of log events, with all of its fields."""
    listed = {kind.event: {*kind.fields, "left_out"} for kind in log_events()}
    common = {"time", "level", "logger", "party", "event", "message"}
    lines = (reader.folder / "party.log").read_text(encoding="utf-8").splitlines()
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert {"begin", "stage", "training", "finished"} <= {record["event"] for record in records}
    for record in records:
        assert record.keys() - common <= listed[record["event"]], record


def check_messages(reader: Reader, side: str) -> None:
    """Every kind of message of a run is on the page of messages, in the direction in which it crossed."""
    ways = {kind: way for kinds in GROUPS.values() for kind, (way, _) in kinds.items()}
    traffic = json.loads((reader.folder / f"runs/{side}/run.json").read_text(encoding="utf-8"))["traffic"]
    assert {row["kind"] for row in traffic} >= {"Handshake", "MatchBits", "Embedding", "Gradient"}
    for row in traffic:
        sender, _, _ = ways[row["kind"]].partition(" to ")
        by_label = (side == "clinic") == (row["direction"] == "sent")
        assert sender == "both ways" or ("label" in sender) == by_label, row


def test_two_parties_follow_the_tutorials_and_the_guides(project: Path, tmp_path: Path) -> None:
    """One test, since a run takes a while."""
    parties = Parties(project, tmp_path)
    parties.follow(project / "docs/tutorials/two-machines.md")
    for side, reader in parties.readers.items():
        assert (reader.folder / f"runs/{side}/report.html").is_file()
        check_log(reader)
        check_messages(reader, side)
    type_guide(parties, project / "docs/how-to/ledger.md")
    type_guide(parties, project / "docs/how-to/operate.md")
    type_guide(parties, project / "docs/how-to/limit-partners.md")
    parties.follow(project / "docs/tutorials/overlap.md")
