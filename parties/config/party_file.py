"""The keys of a party file, which stays private to one party. Here each is checked alone; `party` adds the job."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from parties.config.errors import wrong
from parties.config.fields import (
    Address,
    Aggregate,
    Columns,
    Hidden,
    KeyColumns,
    ListenAddress,
    Model,
    PartyName,
    Seed,
    Task,
    Text,
    Width,
)
from parties.config.urls import is_url

FILE_KINDS = (".csv", ".csv.gz", ".parquet")

Wait = Annotated[float, Field(ge=1, le=604_800)]
FIRST_WAIT = 600.0
"""Seconds. People start by hand, at a time that they agreed on by telephone."""

Side = Annotated[int, Field(ge=1, le=4096)]


class ImageColumn(Model):
    """A column with paths of image files; `size` is (height, width) in pixels, `channels` 1 (grey) or 3 (colour)."""

    column: Text
    size: Annotated[tuple[Side, Side], Field(strict=False)]
    channels: Literal[1, 3] = 1


class Source(Model):
    """Where records are: a file, or a database URL with a query."""

    source: Text
    query: Annotated[str, Field(min_length=1, max_length=100_000, description="a SELECT statement")] | None = None

    @model_validator(mode="after")
    def _source_fits(self) -> Self:
        if is_url(self.source):
            if self.query is None:
                raise wrong("query", "is missing; with a database URL as source it must be a SELECT statement")
        elif not self.source.lower().endswith(FILE_KINDS):
            raise wrong(
                "source", f"does not name a known kind of file; it must end in {', '.join(FILE_KINDS)}, or be a URL"
            )
        elif self.query is not None:
            raise wrong("query", "is given, but source is a file; a query needs a database URL as source")
        return self


class Data(Source):
    """Where this party's records are, and what its columns are for. `key` None: named as in the job."""

    key: KeyColumns | None = None
    label: Text | None = None
    positive: str | int | float | bool | None = None
    date: Text | None = None
    ignore: Columns = ()
    categories: Columns = ()
    image: ImageColumn | None = None


class Bottom(Model):
    """This party's bottom model: the widths of its hidden layers, or the import path of a builder of its own.

    `folder` is searched for the first name of `module` before the installed packages; None: the folder of this file.
    """

    hidden: Hidden | None = None
    module: (
        Annotated[
            str,
            Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="an import path, my_package.my_file:build"),
        ]
        | None
    ) = None
    folder: Text | None = None

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Bottom:
        if (self.hidden is None) == (self.module is None):
            raise wrong("", "must have either hidden, a list of widths, or module, an import path, and not both")
        if self.folder is not None and self.module is None:
            raise wrong("folder", "is given without module; it names the folder in which module is looked for")
        return self


class PredictBounds(Model):
    """What a feature party lets a prediction ask of it: records in any 24 hours, and the fewest records of one prediction."""

    per_day: Annotated[int, Field(ge=1, le=1_000_000_000)]
    at_least: Annotated[int, Field(ge=1, le=1_000_000_000)] = 100


class Accept(Model):
    """What this party lets a job ask of it.

    `tasks`, `aggregations` and `max_embedding` have no default: where one is absent, a run is refused, unless the job says
    `identity: auto` for this party (`parties.config.bounds`); an overlap trains nothing and needs none of them.

    `min_list` is the least length of any party's list of keys, this one included: the size of what a list of a few records
    has in common with another nearly reveals which records these are. `max_records` is the greatest length of another
    party's list; absent: ten times the own list, and at least a million. `min_records` is the least number of records in
    common. `max_runs` is the greatest number of runs, overlaps and predictions with each other party in any 30 days: two runs
    with lists that differ in one record reveal whether the other parties hold it. Where `predict` is absent, a feature party
    takes part in no prediction.
    """

    tasks: Annotated[tuple[Task, ...], Field(strict=False, min_length=1)] | None = None
    aggregations: Annotated[tuple[Aggregate, ...], Field(strict=False, min_length=1)] | None = None
    max_embedding: Width | None = None
    min_list: Annotated[int, Field(ge=1, le=1_000_000_000)] = 100
    max_records: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    min_records: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    max_runs: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    predict: PredictBounds | None = None

    @model_validator(mode="after")
    def _bounds_of_lists_fit(self) -> Accept:
        if self.max_records is not None and self.max_records < self.min_list:
            raise wrong(
                "max_records",
                f"is {self.max_records}, but min_list, the shortest list, is {self.min_list}; it must be at least that, or "
                "lower min_list",
            )
        return self


class Log(Model):
    """A log of what the party does. `file` None: on the error output. An existing file is appended to."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    file: Text | None = None


class PartyFile(Model):
    """The keys of a party file, paths as they are written.

    `first_wait` is how many seconds the other parties may be absent at the start, and `wait` how many seconds a link may be
    lost. `seed` None: initial weights are drawn at random. `partners` is the file that counts the runs with each other party;
    None: beside the key file. `order` is the order.secret of an earlier run, for the label party; None: a new order is drawn.
    `metrics` is the address that serves metrics during a run; None: none. `proxy` is the HTTP proxy through which a feature
    party connects; None: it connects directly. `predict` is where the label party finds the records of `vsplit predict`; None:
    in `data`.
    """

    job: Text
    party: PartyName
    identity: Text | None = None
    partners: Text | None = None
    listen: ListenAddress | None = None
    proxy: Text | None = None
    data: Data
    predict: Source | None = None
    bottom: Bottom = Bottom(hidden=(64,))
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:[0-9]{1,3})?)$", description="cpu, cuda or cuda:N")] = "cpu"
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    seed: Seed | None = None
    order: Text | None = None
    accept: Accept = Accept()
    first_wait: Wait = FIRST_WAIT
    wait: Wait = 30.0
    log: Log | None = None
    metrics: Address | None = None
    output: Text
