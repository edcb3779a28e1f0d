"""A run of a ready example over the in-memory network, with a record of what each side was sent in training."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml

from parties.config.local_model import LocalModel
from parties.config.party import load_party
from parties.config.party_names import PartyNames
from parties.data.aligned_rows import align_rows
from parties.data.party_data import PartyData, most_rows, read_party_data
from parties.network.driver import drive
from parties.network.identity import PrivateIdentity
from parties.network.memory import MemoryNetwork
from parties.network.worker_pool import Pool
from parties.run.alignment import match_records
from parties.run.limits import limits_of
from parties.run.preparation import PreparedTraining, prepare
from parties.run.seals import agree_on_seals
from parties.run.training import train
from vsplit.aggregation.masked_sum import MaskedEmbedding
from vsplit.aggregation.plain import Embedding, join
from vsplit.learn.batches import epoch_batches
from vsplit.learn.messages import Gradient
from vsplit.learn.runtime import STATE_BYTES
from vsplit.paillier.fixed_point import FixedPoint
from vsplit.protocol import Receive, Role, Send

Floats = npt.NDArray[np.float32]
ROOT = Path(__file__).parent.parent.parent


@dataclass(slots=True)
class Step:
    """One training step: the embeddings that the label party was shown, and the gradient that each feature party was sent.

    `embeddings` are by feature party; with `masked_sum` there is one, the sum, under the name "sum", and with `paillier_sum`
    none, since the label party decrypts it at home (it is the same as with `masked_sum`, bit for bit).
    """

    embeddings: dict[str, Floats]
    gradients: dict[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class WatchedRun:
    """Every party's part of a finished training, by name, and its steps in order."""

    label_party: str
    trained: dict[str, PreparedTraining]
    steps: list[Step]

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The positions that were trained on, ascending; all arrays below have a row for each."""
        return np.sort(self.trained[self.label_party].split.train)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The true labels, 0 or 1."""
        target = self.trained[self.label_party].target
        assert target is not None
        return target.values[torch.from_numpy(self.rows)].numpy().astype(np.int64)

    def batches(self) -> list[list[npt.NDArray[np.int64]]]:
        """For each epoch that was trained its batches, as places in `rows`: every party computes them from the job."""
        mine = self.trained[self.label_party]
        order = (
            epoch_batches(mine.split.train, mine.plan.batch_size, mine.plan.seed, epoch)
            for epoch in range(mine.state.progress.epoch)
        )
        return [[np.searchsorted(self.rows, batch) for batch in epoch] for epoch in order]

    def columns(self, party: str) -> Floats:
        """A party's prepared inputs: numbers, and a column of 0 and 1 for each category."""
        inputs = self.trained[party].inputs
        if inputs is None:
            return np.zeros((len(self.rows), 0), np.float32)
        taken = inputs.store.take(self.rows)
        codes = [
            torch.nn.functional.one_hot(taken.categories[:, at], size)
            for at, size in enumerate(inputs.shape.vocabularies)
        ]
        return torch.cat([taken.numeric, *codes], 1).numpy().astype(np.float32)

    def scores(self) -> npt.NDArray[np.float64]:
        """The finished joint model's score of each record that was trained on."""
        mine = self.trained[self.label_party]
        embeddings = []
        with torch.no_grad():
            for name in mine.plan.contributors:
                part = self.trained[name]
                assert part.inputs is not None and part.state.bottom is not None
                embeddings.append(part.state.bottom.eval()(part.inputs.store.take(self.rows)))
            way = "concat" if mine.plan.aggregate == "concat" else "sum"
            output = mine.state.top.eval()(join(way, embeddings))  # type: ignore[union-attr]
        assert mine.target is not None
        return mine.target.predictions(output)


class Watch:
    """Sees what the label party sends and receives, and adds to `steps` one for each step of its training."""

    def __init__(self, trained: PreparedTraining, steps: list[Step]) -> None:
        settings = trained.plan.secure_sum
        feature_parties = len(trained.plan.contributors) - (trained.inputs is not None)
        self._fixed = settings and FixedPoint(settings.range, settings.bits, feature_parties)
        self._latest: dict[str, Any] = {}
        self.steps = steps

    def watched(self, role: Role[Any]) -> Role[Any]:
        """The same role; each message passes by here."""
        answer: Any = None
        try:
            effect = next(role)
            while True:
                if isinstance(effect, Send) and isinstance(effect.message, Gradient):
                    self._sent(effect.to, effect.message)
                answer = yield effect
                if isinstance(effect, Receive) and isinstance(answer, Embedding | MaskedEmbedding):
                    self._latest[effect.sender] = answer.values.copy()
                effect = role.send(answer)
        except StopIteration as end:
            return end.value

    def _sent(self, to: str, gradient: Gradient) -> None:
        if len(self.steps) == gradient.step:
            self.steps.append(Step(self._shown()))
        self.steps[-1].gradients[to] = gradient.values.copy()

    def _shown(self) -> dict[str, Floats]:
        if self._fixed is None or not self._latest:  # encrypted sums do not pass by here in the clear
            return dict(self._latest)
        total = np.sum(list(self._latest.values()), axis=0, dtype=np.uint32)
        units = total.reshape(-1).astype(np.int64)
        return {"sum": self._fixed.decode(units, total.shape, "the feature parties")}


def play(
    configs: Path, aggregate: str | None = None, embedding: int | None = None, *, seed: int | None = None
) -> WatchedRun:
    """Align and train by the configs of a folder, whose identities are all `auto`, with all parties in this process.

    Initial weights and the common order are drawn anew, as in earnest; with a `seed` they are the same each time.
    """
    with tempfile.TemporaryDirectory() as name:
        homes = _homes(configs, Path(name), aggregate, embedding)
    network, secret = MemoryNetwork(list(homes)), os.urandom(32) if seed is None else seed.to_bytes(32)
    one_at_a_time = threading.Lock()  # torch has one generator for all threads
    trained: dict[str, PreparedTraining] = {}
    steps: list[Step] = []
    failures: list[BaseException] = []
    keys = {name: PrivateIdentity.generate() for name in homes}
    homes = {name: _known(home, keys) for name, home in homes.items()}

    def live(name: str) -> None:
        home, transport = homes[name], network.endpoint(name)

        def run(role: Role[Any]) -> Any:
            return drive(role, transport, Pool())

        try:
            job, accept, own = home.party.job, home.party.settings.accept, len(home.keys.keys)
            names, model = PartyNames.of(job, name), LocalModel.of(home.party)
            seals = agree_on_seals(names, job, keys[name], "run", bytes(16), run)
            aligned = match_records(names, home.keys.keys, seals, secret, limits_of(accept, own), run)
            shared = align_rows(names, job, home, aligned, secret, most_rows(accept, own), run)
            with one_at_a_time:
                number = list(homes).index(name)
                private = os.urandom(STATE_BYTES) if seed is None else seed * len(homes) + number
                prepared = prepare(names, job, home, model, shared, private)
            through = run
            if names.is_label:
                watch = Watch(prepared, steps)
                through = lambda role: run(watch.watched(role))  # noqa: E731
            trained[name] = train(names, prepared, model.device, through, run_name=bytes(16), seals=seals)
            transport.finish()
        except BaseException as error:
            failures.append(error)
            transport.stop("error")

    threads = [threading.Thread(target=live, args=(name,), daemon=True) for name in homes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure
    label_party = next(iter(homes.values())).party.job.label_party
    return WatchedRun(label_party, trained, steps)


def _homes(configs: Path, folder: Path, aggregate: str | None, embedding: int | None) -> dict[str, PartyData]:
    """Every party's data, by the configs with another aggregation or width."""
    job = yaml.safe_load((configs / "job.yaml").read_text(encoding="utf-8"))
    job["model"] |= {"aggregate": aggregate or job["model"]["aggregate"]}
    job["model"] |= {"embedding": embedding or job["model"]["embedding"]}
    (folder / "job.yaml").write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")
    homes = {}
    for name in job["parties"]:
        own = yaml.safe_load((configs / f"{name}.yaml").read_text(encoding="utf-8"))
        own["data"]["source"] = str((configs / own["data"]["source"]).resolve())
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(own, sort_keys=False), encoding="utf-8")
        homes[name] = read_party_data(load_party(folder / f"{name}.yaml"))
    return homes


def _known(home: PartyData, keys: Mapping[str, PrivateIdentity]) -> PartyData:
    """With these keys in the place of `identity: auto`."""
    job = home.party.job
    members = {
        name: member.model_copy(update={"identity": keys[name].public.line}) for name, member in job.parties.items()
    }
    return replace(home, party=replace(home.party, job=job.model_copy(update={"parties": members})))
