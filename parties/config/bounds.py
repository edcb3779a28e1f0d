"""What a party file allows a job to ask of its party (`accept`): the check, and what the file has to set."""

from __future__ import annotations

from parties.config.job import Job
from parties.config.party import Party
from parties.config.party_file import Accept, PredictBounds
from parties.local.text import listed
from vsplit.protocol import RefusedError

REQUIRED = ("tasks", "aggregations", "max_embedding")
"""Keys of `accept` without which no run is allowed: what this party's data may be used for, and how much may leave for it."""


def check_bounds(party: Party) -> None:
    """Raise RefusedError where the job asks for more than `accept` in the party file allows, or a required key is not set.

    A party without a lasting key needs to set none, since all parties are then on one machine. `accept.min_records` is not
    checked here, because the number of shared records is known only later.
    """
    accept, job = party.settings.accept, party.job
    allowed = (
        ("task", job.task, "tasks", accept.tasks),
        ("model.aggregate", job.model.aggregate, "aggregations", accept.aggregations),
    )
    for key, asked, bound, values in allowed:
        if values is not None and asked not in values:
            raise _refused(party, f"{key}: {asked}", f"accept.{bound}", f"only {', '.join(values)}")
    width = job.model.embedding
    if accept.max_embedding is not None and width > accept.max_embedding:
        raise _refused(party, f"model.embedding: {width}", "accept.max_embedding", f"at most {accept.max_embedding}")
    missing = missing_bounds(accept)
    if missing and party.has_lasting_key:
        raise RefusedError(
            f"{party.file} does not set {listed(missing)}, and without {'it' if len(missing) == 1 else 'them'} no run is "
            f"allowed. If {party.name} agrees to what {party.job_file} asks for, "
            f"{'change its key accept to' if accept.model_fields_set else 'add the line'}: {line_to_paste(accept, job)}"
        )


def check_predict(party: Party) -> None:
    """Raise RefusedError where a feature party with a lasting key does not set `accept.predict`."""
    accept = party.settings.accept
    if party.role == "label" or accept.predict is not None or not party.has_lasting_key:
        return
    raise RefusedError(
        f"{party.file} does not set accept.predict, and without it {party.name} takes part in no prediction. If "
        f"{party.job.label_party} may have records scored with the columns of {party.name}, "
        f"{'change its key accept to' if accept.model_fields_set else 'add the line'}: "
        f"{line_to_paste(accept, party.job, predict='{per_day: 10000, at_least: 100}')}"
    )


def longest_list(accept: Accept, own_records: int) -> int:
    """The longest list of keys that this party takes from another: `accept.max_records`, or a default by its own list.

    A party whose list names everybody learns of each person whether this party holds them. So a list that is far longer than
    the own one has to be allowed by a person.
    """
    return accept.max_records or max(1_000_000, 10 * own_records, accept.min_list)


def missing_bounds(accept: Accept) -> list[str]:
    """The required keys that are not set, dotted."""
    return [f"accept.{key}" for key in REQUIRED if getattr(accept, key) is None]


def line_to_paste(accept: Accept, job: Job, predict: str | None = None) -> str:
    """The key `accept` as one line for a party file: what is set already, and for each missing key what the job asks for.

    `predict` is the value of that key; None: as it is set.
    """
    asked: dict[str, object] = {
        "tasks": (job.task,),
        "aggregations": (job.model.aggregate,),
        "max_embedding": job.model.embedding,
    }
    written = {key: getattr(accept, key) for key in type(accept).model_fields if key in accept.model_fields_set}
    values = asked | {key: value for key, value in written.items() if value is not None}
    values |= {} if predict is None else {"predict": predict}
    return f"accept: {{{', '.join(f'{key}: {_yaml(value)}' for key, value in values.items())}}}"


def _refused(party: Party, asked: str, key: str, allowed: str) -> RefusedError:
    return RefusedError(
        f"The job {party.job_file} asks for {asked}, but {key} in {party.file} allows {allowed}; change one of the two, or "
        "do not take part."
    )


def _yaml(value: object) -> str:
    if isinstance(value, PredictBounds):
        return f"{{{', '.join(f'{key}: {bound}' for key, bound in value.model_dump().items())}}}"
    return f"[{', '.join(value)}]" if isinstance(value, tuple) else str(value)
