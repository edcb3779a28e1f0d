"""The table of scores at the label party: a row for each record of its source, in the order there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv

from parties.data.table import Table
from parties.local.atomic import write_whole
from parties.run.predictions import MEANING, PANDAS_ATTRS, parquet_file
from vsplit.protocol import StorageError


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """`values`, float64 [rows] or [rows, classes]; `joint`, bool [rows]: by the model of all parties."""

    values: npt.NDArray[np.float64]
    joint: npt.NDArray[np.bool_]


def scores_table(
    table: Table,
    scores: Scores,
    task: str,
    classes: Sequence[str],
    parties: Sequence[str],
    me: str,
    model: str,
    job: str,
) -> pa.Table:
    """The key columns in their own types, the scores, the parties that took part, and the name of the model.

    `parties` are all with a part in the joint model, `me` the label party. Each column's metadata says what it holds.
    """
    if table.written is None:
        raise ValueError("only the label party has scores")
    columns: list[tuple[str, str, pa.Array]] = []
    for name, meaning, values in _score_columns(scores.values, task, classes):
        columns.append((name, meaning, pa.array(values)))
    took_part = np.where(scores.joint, ", ".join(parties), me).tolist()
    columns.append(("with", "The parties whose columns the score was computed from.", pa.array(took_part, pa.string())))
    columns.append(("model", "The run whose model it is.", pa.array([model] * len(took_part), pa.string())))
    taken = {name for name, _, _ in columns}
    keys = [
        (
            f"key_{key}" if key in taken else key,
            f"The key column {key} of {me}, as it is in the data.",
            table.written[key],
        )
        for key in table.keys.columns
    ]
    every = [(name, meaning, values) for name, meaning, values in [*keys, *columns]]
    fields = [pa.field(name, values.type, metadata={MEANING: meaning.encode()}) for name, meaning, values in every]
    attrs = {"job": job, "party": me, "model": model, "columns": {name: meaning for name, meaning, _ in every}}
    schema = pa.schema(fields, metadata={PANDAS_ATTRS: json.dumps(attrs).encode()})
    return pa.Table.from_arrays([values for _, _, values in every], schema=schema)


def write_scores(table: pa.Table, file: Path) -> None:
    """Write the table completely or not at all, as Parquet or as CSV by the file's name. Raises StorageError."""
    try:
        write_whole(file, [_csv_file(table) if file.suffix.lower() == ".csv" else parquet_file(table)])
    except OSError as error:
        raise StorageError(
            f"The scores cannot be written to {file} ({error.strerror}): free some space, or name another file with --out."
        ) from None


def _csv_file(table: pa.Table) -> bytes:
    stream = pa.BufferOutputStream()
    pa_csv.write_csv(table, stream)
    data: bytes = stream.getvalue().to_pybytes()
    return data


def _score_columns(
    values: npt.NDArray[np.float64], task: str, classes: Sequence[str]
) -> list[tuple[str, str, npt.NDArray[np.float64]]]:
    if task == "regression":
        return [("value", "The predicted outcome, in the unit of the label.", values)]
    if task == "binary":
        return [("score", f"The probability of the label {classes[1]}, from 0 to 1.", values)]
    return [
        (f"score_{name}", f"The probability of the label {name}, from 0 to 1.", values[:, code])
        for code, name in enumerate(classes)
    ]
