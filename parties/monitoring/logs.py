"""The log of a party, as records of the standard `logging`.

Only this module turns events into log records. Loggers are `vsplit.run`, `vsplit.links` and `vsplit.checkpoints`. A
record holds names of parties, stages, sizes, times and sentences that were written for a screen; never a key, a value or
a label, and no traceback, since the message of a foreign exception may quote a value.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from parties.config.log_target import LogTarget
from parties.config.party_names import PartyNames
from parties.monitoring.events import AWAY, BACK, NOTE, WAITING, Event, Failed, Finished, Step
from parties.monitoring.log_output import ErrorOutput, JsonLines, PrivateFile, TextLines
from vsplit import __version__
from vsplit.protocol import ConfigError, VsplitError

Fields = Mapping[str, str | int | float]

_ROOT = logging.getLogger("vsplit")
# Without this, Python would print warnings on the screen where no log was asked for.
_ROOT.addHandler(logging.NullHandler())

MOST_A_MINUTE = 30
"""The most records about the link to one party in a minute; the next one after that reports how many were left out."""

_MINUTE = 60.0
_INTERRUPTED = 130
_UNFORESEEN = 1


class Logbook:
    """Writes the log of one party. Links may call it from a thread of their own."""

    def __init__(
        self, names: PartyNames, job: str, run_folder: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._names = names
        self._job = job
        self._run_folder = run_folder
        self._stage = ""
        self._seen: set[str] = set()
        self._done = 0
        # A link that is lost and restored in a loop, by chance or on purpose, must not fill the disk.
        self._links: defaultdict[str, _Rate] = defaultdict(lambda: _Rate(clock))

    def begin(self) -> None:
        """A run or an overlap begins."""
        names, job = self._names, self._job
        fields: Fields = {"job": job, "role": names.role, "version": __version__, "parties": len(names.all)}
        sentence = f"{names.me} begins, {names.role} party of the job {job}; vsplit {__version__}"
        self._log("run", logging.INFO, "begin", sentence, fields)

    def show(self, event: Event) -> None:
        """An event of the screen: a new stage and the end of each epoch at level info, steps in between at debug."""
        if isinstance(event, Step):
            self._step(event)
        elif isinstance(event, Finished):
            # Its lines are results, which belong to the run folder.
            where = {"run_folder": str(self._run_folder)} if event.report else {}
            self._log("run", logging.INFO, "finished", "all went well", where)
        else:
            self.failed(event)

    def failed(self, end: Failed) -> None:
        """The party ended with an error."""
        level = logging.WARNING if end.exit_code == _INTERRUPTED else logging.ERROR
        self._log("run", level, "failed", end.sentence.replace("\n", " "), {"exit_code": end.exit_code})

    def training(self, step: int, rows: int) -> None:
        """A training of `rows` training rows begins or resumes after `step` steps."""
        how = f"resumes after step {step:,}" if step else "begins"
        sentence = f"training {how}, with {rows:,} rows to train on"
        self._log("run", logging.INFO, "training", sentence, {"step": step, "rows": rows})

    def stored(self, step: int, seconds: float) -> None:
        """A checkpoint was written."""
        sentence = f"the state after step {step:,} is stored, written in {seconds:.3f} s"
        self._log("checkpoints", logging.INFO, "checkpoint", sentence, {"step": step, "seconds": round(seconds, 6)})

    def lost(self, peer: str, why: str) -> None:
        """A link broke, and is being restored."""
        sentence = f"the link to {peer} is lost ({why}) and is being restored"
        self._link(peer, logging.WARNING, "link_lost", sentence, {"why": why})

    def back(self, peer: str) -> None:
        """A lost link is restored."""
        self._link(peer, logging.INFO, "link_back", f"the link to {peer} is restored", {})

    def resent(self, peer: str, messages: int, size: int) -> None:
        """Messages of `size` bytes in total were sent again over a restored link."""
        sentence = f"{messages:,} messages ({size:,} bytes) were sent to {peer} again"
        self._link(peer, logging.INFO, "resent", sentence, {"messages": messages, "bytes": size})

    def _link(self, peer: str, level: int, event: str, sentence: str, fields: Fields) -> None:
        left_out = self._links[peer].admit()
        if left_out is None:
            return
        fields = {"peer": peer} | dict(fields)
        if left_out:
            fields |= {"left_out": left_out}
            sentence += f"; {left_out:,} records of this link were left out before this one"
        self._log("links", level, event, sentence, fields)

    def _step(self, step: Step) -> None:
        if step.stage == NOTE:
            self._log("run", logging.INFO, "note", step.text, {})
            return
        # The stages of the lists alternate, and each is logged once; waiting is logged each time.
        begins = step.stage not in self._seen or (step.stage != self._stage and step.stage in (WAITING, AWAY, BACK))
        if begins and step.stage in (AWAY, BACK):
            begins = self._links[""].admit() is not None  # the links' own records report how many are left out
        epoch_ended = step.stage == "training" and step.done > self._done
        self._seen.add(step.stage)
        self._stage, self._done = step.stage, step.done
        figures = f" {step.done:,} of {step.total:,}" if step.total else ""
        sentence = step.stage + figures + (f": {step.text}" if step.text else "")
        fields: dict[str, str | int | float] = {"stage": step.stage}
        if step.total:
            fields |= {"done": step.done, "total": step.total}
        if step.text and step.stage != WAITING:
            fields["text"] = step.text
        self._log("run", logging.INFO if begins or epoch_ended else logging.DEBUG, "stage", sentence, fields)

    def _log(self, logger: str, level: int, event: str, sentence: str, fields: Fields) -> None:
        extra = {"vsplit_event": event, "vsplit_party": self._names.me, "vsplit_fields": fields}
        # The sentence is an argument, so that a percent sign in it is none to `logging`.
        logging.getLogger(f"vsplit.{logger}").log(level, "%s", sentence, extra=extra)


class _Rate:
    """Limits the records of a minute, and counts the others."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = -math.inf
        self._admitted = self._left_out = 0

    def admit(self) -> int | None:
        """How many records were left out before this one, which is written; None: it is left out too."""
        now = self._clock()
        if now - self._began >= _MINUTE:
            self._began, self._admitted = now, 0
        if self._admitted == MOST_A_MINUTE:
            self._left_out += 1
            return None
        self._admitted += 1
        left_out, self._left_out = self._left_out, 0
        return left_out


def failure_of(error: BaseException) -> Failed:
    """The event for an `error` that ended the party, as the log has it."""
    if isinstance(error, VsplitError):
        return Failed(str(error), error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return Failed("interrupted here", _INTERRUPTED)
    return Failed(f"an unexpected error ({type(error).__name__})", _UNFORESEEN)


@contextlib.contextmanager
def logging_to(target: LogTarget | None) -> Iterator[None]:
    """Write the log to `target`, if there is one. Raises ConfigError where its file cannot be written."""
    if target is None:
        yield
        return
    handler = _handler(target)
    _ROOT.addHandler(handler)
    _set_level()
    try:
        yield
    finally:
        _ROOT.removeHandler(handler)
        _set_level()
        handler.close()


def check_log(target: LogTarget | None) -> None:
    """Raise ConfigError where the log's file cannot be written. A file that did not exist is removed again."""
    if target is not None and target.file is not None:
        existed = target.file.exists()
        _handler(target).close()
        if not existed:
            target.file.unlink(missing_ok=True)


def _set_level() -> None:
    """Make no record that no handler takes."""
    _ROOT.setLevel(min((handler.level for handler in _ROOT.handlers if handler.level), default=logging.NOTSET))


def _handler(target: LogTarget) -> logging.Handler:
    handler: logging.Handler = ErrorOutput() if target.file is None else _file_handler(target, target.file)
    handler.setLevel(target.settings.level.upper())
    handler.setFormatter(JsonLines() if target.settings.format == "json" else TextLines())
    # Parties that share a process share the loggers, and each has a log of its own.
    handler.addFilter(lambda record: getattr(record, "vsplit_party", target.party) == target.party)
    return handler


def _file_handler(target: LogTarget, file: Path) -> logging.Handler:
    if file.is_relative_to(target.run_folder):
        raise ConfigError(
            f"In {target.party_file}, the key log.file names {file}, which is in the run folder (output); a run moves that "
            "folder aside, so name a file elsewhere."
        )
    try:
        return PrivateFile(file)
    except OSError as error:
        raise ConfigError(
            f"In {target.party_file}, the key log.file names {file}, which cannot be written ({error.strerror})."
        ) from None
