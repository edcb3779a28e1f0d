"""`predictions.parquet`: a row for each validation and test row, in the types of the party's data.

Each column's metadata says what it holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pa_parquet

from parties.data.party_data import PartyData
from parties.data.table import Table
from parties.run.model_store import trained_classes
from parties.run.preparation import PreparedTraining
from vsplit.learn.label import Predictions

MEANING = b"meaning"
"""The key of a column's metadata under which a sentence says what the column is."""
PANDAS_ATTRS = b"PANDAS_ATTRS"
"""Where pandas looks for what it shows as `DataFrame.attrs`."""


def predictions_table(
    me: str, job: str, party_data: PartyData, trained: PreparedTraining, alone: Predictions | None
) -> pa.Table:
    """The key columns and the label as they are in the data of `me`, the row's number there, and each model's predictions.

    What each column holds is in its metadata, and for all of them in `attrs` of the pandas frame.
    """
    source, labels = party_data.table, party_data.labels
    if trained.joint is None or source.written is None:
        raise ValueError("only the label party predicts")
    classes = trained_classes(labels, trained)
    scores = dict(_scores(me, trained.plan.task, classes, alone is not None))
    names = _key_names(source, scores)
    meanings = {name: f"The key column {key} of {me}, as it is in the data." for key, name in names.items()} | {
        "row": f"The number of the row in the data of {me}, from 0.",
        "split": "validation: these rows decided when training stopped; test: they were used for the result alone.",
        "label": f"The outcome, as it is in the column {_label(source)} of the data.",
        **scores,
    }
    parts = [
        pa.table(dict(_columns(source, names, trained, alone, classes, split))) for split in ("validation", "test")
    ]
    table = pa.concat_tables(parts)
    fields = [field.with_metadata({MEANING: meanings[field.name].encode()}) for field in table.schema]
    attrs = {"job": job, "party": me, "columns": meanings}
    return table.cast(pa.schema(fields)).replace_schema_metadata({PANDAS_ATTRS: json.dumps(attrs).encode()})


def meanings_of(table: pa.Table) -> dict[str, str]:
    """What each column of such a table is, in a sentence."""
    return {field.name: (field.metadata or {})[MEANING].decode() for field in table.schema}


def parquet_file(table: pa.Table) -> bytes:
    """The table as a Parquet file: the same bytes for the same table."""
    stream = pa.BufferOutputStream()
    pa_parquet.write_table(table, stream)
    data: bytes = stream.getvalue().to_pybytes()
    return data


def _columns(
    source: Table,
    names: Mapping[str, str],
    trained: PreparedTraining,
    alone: Predictions | None,
    classes: Sequence[str],
    split: str,
) -> Iterator[tuple[str, pa.Array]]:
    rows, written = trained.shared.rows[getattr(trained.split, split)], cast(pa.Table, source.written)
    for key, name in names.items():
        yield name, written[key].take(pa.array(rows)).combine_chunks()
    yield "row", pa.array(rows, pa.int64())
    yield "split", pa.array([split] * len(rows), pa.string())
    yield "label", written[_label(source)].take(pa.array(rows)).combine_chunks()
    for model, predictions in (("joint", trained.joint), ("alone", alone)):
        if predictions is not None:
            scores = getattr(predictions, split)
            if scores.ndim == 1:
                yield model, pa.array(scores)
            else:
                for code, name in enumerate(classes):
                    yield f"{model}_{name}", pa.array(scores[:, code])


def _label(source: Table) -> str:
    return "" if source.label is None else str(source.label.name)


def _key_names(source: Table, scores: Mapping[str, str]) -> dict[str, str]:
    """Each key column with its name in the file: its own, unless a column of the predictions has that name."""
    taken = {"row", "split", "label", *scores}
    return {key: f"key_{key}" if key in taken else key for key in source.keys.columns}


def _scores(me: str, task: str, classes: Sequence[str], has_alone: bool) -> Iterator[tuple[str, str]]:
    """The columns of predictions, and what each holds."""
    models = [("joint", "the model that all parties trained")]
    models += [("alone", f"the model that {me} trained alone")] if has_alone else []
    for column, model in models:
        if task == "regression":
            yield column, f"The outcome as {model} predicts it, in the unit of the label."
        elif task == "binary":
            yield column, f"The probability of the label {classes[1]} by {model}, from 0 to 1."
        else:
            for name in classes:
                yield f"{column}_{name}", f"The probability of the label {name} by {model}, from 0 to 1."
