"""`predictions.parquet`: a row for each validation and test row, in the types of the own data, with what each column is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pa_parquet

from parties.data.party_data import PartyData
from parties.run.model_store import trained_classes
from parties.run.training import PreparedTraining
from vsplit.learn.label import Predictions

MEANING = b"meaning"
"""The key of a column's metadata under which a sentence says what the column is."""
# Where pandas looks for what it shows as `DataFrame.attrs`.
_PANDAS_ATTRS = b"PANDAS_ATTRS"


def predictions_table(party_data: PartyData, trained: PreparedTraining, alone: Predictions | None) -> pa.Table:
    """The key columns and the label as they are in the party's data, the row's number there, and each model's predictions.

    What a column is stands in its metadata, and of all of them in `attrs` of the pandas frame.
    """
    written = party_data.table.written
    if trained.joint is None or written is None:
        raise ValueError("only the label party predicts")
    parts = [pa.table(dict(_columns(party_data, written, trained, alone, name))) for name in ("validation", "test")]
    table = pa.concat_tables(parts)
    meanings = dict(_meanings(party_data, trained, alone))
    fields = [field.with_metadata({MEANING: meanings[field.name].encode()}) for field in table.schema]
    attrs = {"job": party_data.party.job.job, "party": party_data.party.name, "columns": meanings}
    return table.cast(pa.schema(fields)).replace_schema_metadata({_PANDAS_ATTRS: json.dumps(attrs).encode()})


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
    party_data: PartyData, written: pa.Table, trained: PreparedTraining, alone: Predictions | None, split: str
) -> Iterator[tuple[str, pa.Array]]:
    rows = trained.shared.rows[getattr(trained.split, split)]
    for key, name in _key_names(party_data, trained, alone):
        yield name, written[key].take(pa.array(rows)).combine_chunks()
    yield "row", pa.array(rows, pa.int64())
    yield "split", pa.array([split] * len(rows), pa.string())
    yield "label", written[party_data.party.settings.data.label].take(pa.array(rows)).combine_chunks()
    for who, model in (("joint", trained.joint), ("alone", alone)):
        if model is not None:
            scores = getattr(model, split)
            if scores.ndim == 1:
                yield who, pa.array(scores)
            else:
                for code, each in enumerate(trained_classes(party_data, trained)):
                    yield f"{who}_{each}", pa.array(scores[:, code])


def _key_names(
    party_data: PartyData, trained: PreparedTraining, alone: Predictions | None
) -> Iterator[tuple[str, str]]:
    """Each key column with its name in the file: its own, unless a column of the predictions has that name."""
    taken = {"row", "split", "label", *(name for name, _ in _scores(party_data, trained, alone))}
    for key in party_data.party.key_columns:
        yield key, f"key_{key}" if key in taken else key


def _meanings(party_data: PartyData, trained: PreparedTraining, alone: Predictions | None) -> Iterator[tuple[str, str]]:
    party = party_data.party
    for key, name in _key_names(party_data, trained, alone):
        yield name, f"The key column {key} of {party.name}, as it is in the data."
    yield "row", f"The number of the row in the data of {party.name}, from 0."
    yield "split", "validation: these rows decided when training stopped; test: they were used for the result alone."
    yield "label", f"The outcome, as it is in the column {party.settings.data.label} of the data."
    yield from _scores(party_data, trained, alone)


def _scores(party_data: PartyData, trained: PreparedTraining, alone: Predictions | None) -> Iterator[tuple[str, str]]:
    task, classes = trained.plan.task, trained_classes(party_data, trained)
    models = [("joint", "the model that all parties trained")]
    models += [("alone", f"the model that {party_data.party.name} trained alone")] if alone is not None else []
    for who, model in models:
        if task == "regression":
            yield who, f"The outcome as {model} predicts it, in the unit of the label."
        elif task == "binary":
            yield who, f"The probability of the label {classes[1]} by {model}, from 0 to 1."
        else:
            for each in classes:
                yield f"{who}_{each}", f"The probability of the label {each} by {model}, from 0 to 1."
