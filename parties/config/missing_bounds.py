"""The bounds that a party file has to set before its party learns with others, and the line that would set them."""

from __future__ import annotations

from parties.config.job import Job
from parties.config.party_file import Accept

REQUIRED = ("tasks", "aggregations", "max_embedding")
"""Keys of `accept` without which nothing is allowed: what a job may make this party learn, and how much may leave for it."""


def missing_bounds(accept: Accept) -> list[str]:
    """The keys of `accept` that are required and not set, dotted."""
    return [f"accept.{key}" for key in REQUIRED if getattr(accept, key) is None]


def line_to_paste(accept: Accept, job: Job) -> str:
    """The key `accept` for a party file, as one line: what is set already, and for what is missing just what the job asks."""
    asked: dict[str, object] = {
        "tasks": (job.task,),
        "aggregations": (job.model.aggregate,),
        "max_embedding": job.model.embedding,
    }
    there = {key: getattr(accept, key) for key in type(accept).model_fields if key in accept.model_fields_set}
    values = asked | {key: value for key, value in there.items() if value is not None}
    return f"accept: {{{', '.join(f'{key}: {_written(value)}' for key, value in values.items())}}}"


def _written(value: object) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, tuple) else str(value)
