"""From `data.source` of a party file to an Arrow table: CSV, Parquet, or the rows of a query on a database.

Everything is read into Arrow and not into pandas at once, since pandas turns whole numbers with a gap into floats, and
so would change keys. Errors name the file or the key of the party file; never a value, and never a part of a URL.
"""

from __future__ import annotations

import csv
import gzip
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from parties.config.data_source import DataSource
from parties.config.urls import fill_url
from parties.local.plain_file import NotPlainError, check_plain
from parties.local.text import beside
from vsplit.protocol import ConfigError, DataError

PANDAS_INDEX = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True, slots=True)
class Source:
    """The rows that were read. `where` names the source in an error; `untyped`: numbers may be text (CSV, SQLite)."""

    where: str
    table: pa.Table = field(repr=False)
    untyped: bool


def read_source(settings: DataSource, only: Sequence[str] = ()) -> Source:
    """Read all rows of a party's source: at least one row, and columns with distinct names.

    Of a file that has all columns of `only` (empty: no choice) these alone are read; a query gives what it asks for.

    Raises ConfigError where the source cannot be found or reached, DataError where it cannot be understood or is empty.
    """
    if settings.path is None:
        where = f"the database of {settings.file}"
        table, untyped = _read_database(settings)
    else:
        where, untyped = str(settings.path), not settings.path.name.lower().endswith(".parquet")
        table = _read_file(settings, settings.path, only)
    _check_names(table.column_names, where)
    if table.num_rows == 0:
        raise DataError(f"In {where}, there is no row of data.")
    return Source(where, table, untyped)


def _check_names(names: Sequence[str], where: str) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"In {where}, the column {repeated[0]} occurs more than once; give each column its own name.")
    if "" in names:
        raise DataError(f"In {where}, column {names.index('') + 1} has no name; name it, or remove it.")


def _read_file(settings: DataSource, path: Path, only: Sequence[str]) -> pa.Table:
    if not path.is_file():
        # A mistyped URL may have a password, so only a plain path is shown.
        shown = "that file" if "@" in settings.data.source else str(path)
        raise ConfigError(f"{settings.named_by} names {shown}, {_why_not(path)}.")
    try:
        check_plain(path)
        return _read_parquet(path, only) if path.name.lower().endswith(".parquet") else _read_csv(path, only)
    except NotPlainError as error:
        raise ConfigError(f"{settings.named_by} names {path}, which cannot be read: {error.strerror}.") from None
    except (OSError, EOFError):
        raise DataError(f"The file {path} cannot be read to its end; is it complete, and may you read it?") from None
    except UnicodeError:
        raise DataError(f"The file {path} is not UTF-8 text; save it as UTF-8 (in a spreadsheet: CSV UTF-8).") from None
    except (csv.Error, pa.ArrowException) as error:
        raise DataError(_about(str(error), path)) from None


def _read_parquet(path: Path, only: Sequence[str]) -> pa.Table:
    with pa.OSFile(os.fsencode(path)) as stored, pa_parquet.ParquetFile(stored) as file:
        found = file.read(_chosen(only, file.schema_arrow.names))
    # pandas writes an index without a name as a column that is no column of the data.
    return found.drop_columns([name for name in found.column_names if PANDAS_INDEX.fullmatch(name)])


def _chosen(only: Sequence[str], names: Sequence[str]) -> list[str] | None:
    """The columns to read; None: all, so that an error can say which there are."""
    return list(only) if only and set(only) <= set(names) else None


def _read_csv(path: Path, only: Sequence[str]) -> pa.Table:
    packed = path.name.lower().endswith(".gz")
    opener = gzip.open if packed else open
    # Arrow checks the encoding of the rows, and reports the row; here only that of the header matters.
    with opener(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = next(csv.reader(file), [])
    "".join(header).encode("utf-8")
    if not header:
        raise DataError(f"The file {path} is empty; its first line must name the columns.")
    _check_names(header, str(path))
    _check_separator(header, path)
    # Arrow takes a path to be UTF-8, which it need not be.
    with pa.OSFile(os.fsencode(path)) as stored:
        return pa_csv.read_csv(
            pa.CompressedInputStream(stored, "gzip") if packed else stored,
            # In one thread errors carry a row number.
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=1 << 24),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                strings_can_be_null=False,
                include_columns=_chosen(only, header),
            ),
        )


def _check_separator(header: Sequence[str], path: Path) -> None:
    """Raise DataError where the header shows that the columns are separated by another sign than the comma."""
    signs = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
    found = [word for sign, word in signs.items() if len(header) == 1 and sign in header[0]]
    if found:
        raise DataError(
            f"The columns of {path} are not separated by commas: its first line has {found[0]} and no comma; save the file "
            "with commas between columns and a point in decimal numbers."
        )


def _about(message: str, path: Path) -> str:
    """A sentence about an error of Arrow, whose own message may show a row."""
    row = re.search(r"Row #(\d+)", message)
    place = f"In row {row[1]} of {path} (the header is row 1)" if row else f"In {path}"
    widths = re.search(r"Expected (\d+) columns, got (\d+)", message)
    if widths:
        return (
            f"{place}, there are {widths[2]} columns, but the header has {widths[1]}; check commas and quotation marks."
        )
    if "UTF8" in message:
        return f"{place}, the text is not UTF-8; save the file as UTF-8 (in a spreadsheet: CSV UTF-8)."
    return f"{place}, the data cannot be understood; is the file complete, and of the kind that its name says?"


def _read_database(settings: DataSource) -> tuple[pa.Table, bool]:
    """The rows of the query, and whether the database leaves it open which columns are numbers."""
    url = _beside(fill_url(settings.data.source, str(settings.file)), settings.file, settings.named_by)
    source = f"the database that the key data.source of {settings.file} names"
    engine = _engine(url, source)
    # SQLAlchemy takes `:name` as a parameter, and the query has none.
    query = text((settings.data.query or "").replace(":", "\\:"))
    try:
        with engine.connect() as connection:
            result = connection.execute(query)
            names, rows = list(result.keys()), result.fetchall()
    except Exception as error:
        # A driver's message may show the URL, the statement or values, and drivers raise any exception.
        cause = type(getattr(error, "orig", None) or error).__name__
        raise DataError(
            f"The query on {source} failed ({cause}); check address, rights, and the key data.query."
        ) from None
    finally:
        engine.dispose()
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    found = pa.Table.from_arrays([_array(values) for values in columns], names=[str(name) for name in names])
    return found, url.get_backend_name() == "sqlite"


def _engine(url: URL, source: str) -> Engine:
    try:
        return create_engine(url, poolclass=NullPool, hide_parameters=True)
    except ModuleNotFoundError as error:
        raise ConfigError(f"For {source}, the Python package {error.name} is missing; install it with pip.") from None
    except (SQLAlchemyError, TypeError, ValueError):
        raise ConfigError(f"SQLAlchemy knows no way to reach {source}; check the part of the URL before ://.") from None


def _beside(url: URL, file: Path, named_by: str) -> URL:
    """A SQLite file is found beside the party file; and it must exist, since SQLite would make an empty one."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return url
    path = beside(file, url.database)
    if not path.is_file():
        raise ConfigError(f"{named_by} names the database {path}, {_why_not(path)}.")
    return url.set(database=str(path))


def _why_not(path: Path) -> str:
    """Why this is no file from which data is read."""
    try:
        check_plain(path)
    except NotPlainError as error:
        return f"which cannot be read: {error.strerror}"
    except OSError:
        pass
    return "which is a folder" if path.is_dir() else "which does not exist"


def _array(values: Sequence[Any]) -> pa.Array:
    try:
        found = pa.array(values)
    except (pa.ArrowException, OverflowError):
        found = None
    # SQLite may have numbers and text in one column, and Arrow lacks some types.
    if found is None or isinstance(found.type, pa.BaseExtensionType):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return found
