"""In small, what benchmarks/leaks.py does in full: each side's attack works on a run without a measure against it.

So no document and no `reveals` may say that such a side learns nothing. Where a later setting protects something, its own
test turns the attack of this file on a run with that setting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.leaks import figures_of
from benchmarks.leaks_parts.attacks import inversion_error, linear, read_labels, trees
from benchmarks.leaks_parts.watched_run import WatchedRun, play
from parties.run.message_kinds import KINDS
from vsplit import measured
from vsplit.aggregation.masked_sum import MaskedEmbedding
from vsplit.aggregation.paillier_sum import EncryptedSum
from vsplit.aggregation.plain import Embedding
from vsplit.learn.messages import Gradient

PEOPLE = 2200
JOB = """
job: leaks
task: binary
address: 127.0.0.1:0
parties:
  clinic: {role: label, identity: auto}
  lab: {role: feature, identity: auto}
  gym: {role: feature, identity: auto}
align: {key: [person]}
split: {train: 0.8, validation: 0.1, test: 0.1}
model: {embedding: 8, aggregate: concat, top: {hidden: [16]}}
train: {epochs: 6, batch_size: 64, optimizer: adam, lr: 0.003}
"""
FILE = """
job: job.yaml
party: {name}
data: {{source: {name}.csv{label}}}
bottom: {{hidden: [16]}}
output: runs/{name}
"""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three parties of made-up people; the outcome hangs on what all of them know."""
    folder, draw = tmp_path_factory.mktemp("leaks"), np.random.default_rng(3)
    (folder / "job.yaml").write_text(JOB)
    names = {"clinic": ["age"], "lab": ["tsh", "t3", "ft4"], "gym": ["weight", "pulse"]}
    people = pd.DataFrame({column: draw.normal(size=PEOPLE) for columns in names.values() for column in columns})
    risk = people.age + 2 * people.tsh - people.t3 + people.weight + 0.5 * draw.normal(size=PEOPLE)
    people.insert(0, "person", [f"person {number}" for number in range(PEOPLE)])
    people["outcome"] = np.where(risk > 1, "sick", "healthy")
    for name, columns in names.items():
        label = ", label: outcome, positive: sick" if name == "clinic" else ""
        (folder / f"{name}.yaml").write_text(FILE.format(name=name, label=label))
        outcome = ["outcome"] if name == "clinic" else []
        people[["person", *columns, *outcome]].to_csv(folder / f"{name}.csv", index=False)
    return folder


@pytest.fixture(scope="module", params=["concat", "masked_sum"])
def run(request: pytest.FixtureRequest, configs: Path) -> WatchedRun:
    """A whole run, with what crossed in it."""
    return play(configs, request.param, seed=2)


def test_an_undefended_run_gives_labels_scores_and_columns_away(run: WatchedRun) -> None:
    figures = figures_of(run, np.random.default_rng(0))
    assert min(figures["labels_first_epoch"]) >= 0.95
    assert min(figures["labels_all_epochs"]) >= 0.95
    assert min(figures["score_rank"]) >= 0.8
    assert max(figures["inversion_200_known"]) <= 0.5
    assert max(figures["inversion_1000_known"]) <= 0.4
    assert max(figures["others_with_gradients"]) <= 0.97
    with_gradients, without = figures["others_with_gradients"], figures["others_without_gradients"]
    assert all(one < other for one, other in zip(with_gradients, without, strict=True))


def test_what_says_nothing_is_read_as_nothing(run: WatchedRun) -> None:
    """The yardsticks themselves: noise in the place of what crossed gives a guess away, and no more."""
    draw, batches, rows = np.random.default_rng(1), run.batches(), len(run.rows)
    noise = [[draw.normal(size=(len(batch), 8)) for batch in epoch] for epoch in batches]
    for read in read_labels(noise, batches, run.labels, draw):
        assert 0.35 < np.mean(read == run.labels) < 0.65
    for learn in (linear, trees):
        assert 0.95 < inversion_error(draw.normal(size=(rows, 8)), run.columns("lab"), 1000, draw, learn) < 1.1


def test_the_record_is_of_what_crossed(run: WatchedRun) -> None:
    """Every batch of every epoch, and embeddings whose sum the joint model's top can use."""
    batches = [batch for epoch in run.batches() for batch in epoch]
    assert len(batches) == len(run.steps) == 6 * len(run.batches()[0])
    for step, batch in zip(run.steps, batches, strict=True):
        assert set(step.gradients) == {"lab", "gym"}
        assert {values.shape for values in (*step.embeddings.values(), *step.gradients.values())} == {(len(batch), 8)}
    assert np.mean((run.scores() > 0.5) == run.labels) > 0.9


ROOT = Path(__file__).parent.parent
UNDERSTATED = re.compile(
    r"can give (labels?|features?|the labels?|the features?|something)|hints of the features|scores stay with|"
    r"give something of (the features|them) away|nothing of the features",
    re.IGNORECASE,
)


@pytest.mark.parametrize("page", ["README.md", "SECURITY.md", "docs/benchmarks.md", "vsplit/SPEC.md"])
def test_the_documents_quote_the_figures_that_were_measured(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    figures = [measured.LABELS, measured.SCORES, measured.INVERTED, measured.INVERTED_SUM, measured.COMMAND]
    if page != "README.md":
        figures += [measured.OTHERS, measured.OTHERS_WITHOUT]
    for figure in figures:
        assert figure in text, figure


def test_no_page_and_no_program_says_less_than_was_measured() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/README.md")]
    for package in ("vsplit", "psi", "parties", "configs"):
        pages += [file for file in (ROOT / package).rglob("*") if file.suffix in (".md", ".py", ".j2", ".yaml")]
    for page in pages:
        if page.name != "CHANGELOG.md":
            found = UNDERSTATED.search(" ".join(page.read_text(encoding="utf-8").split()))
            assert found is None, f"{page}: {found}"


def test_no_message_that_an_attack_reads_says_that_it_reveals_nothing() -> None:
    for kind in (Embedding, MaskedEmbedding, EncryptedSum, Gradient):
        assert kind in KINDS
        assert not kind.reveals.startswith("nothing")
    for told in (measured.LABELS, "score", "other parties' features", measured.COMMAND):
        assert told in Gradient.reveals
    assert measured.INVERTED in Embedding.reveals
    for kind in (MaskedEmbedding, EncryptedSum):
        assert measured.INVERTED_SUM in kind.reveals
