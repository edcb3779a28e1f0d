"""The bounds on what others may ask of this party: all that are in force, those that stand in no file among them."""

from __future__ import annotations

from dataclasses import dataclass

from parties.config.bounds import REQUIRED, line_to_paste, longest_list, missing_bounds
from parties.config.digests import Purpose
from parties.config.party import Party
from parties.config.party_file import Accept
from psi.messages import MOST_RECORDS

NO_BOUND = "no bound"
NOTHING = "not set, so nothing is allowed"

MEANINGS = {
    "tasks": "kinds of task",
    "aggregations": "ways in which embeddings reach the label party",
    "max_embedding": "numbers for each record and pass that may leave, at most",
    "min_list": "keys in any list, this party's too, at least",
    "max_records": "keys in another party's list, at most",
    "min_records": "records in common, at least, before anybody learns which they are",
    "max_runs": "runs and overlaps with each other party in any 30 days, at most",
}


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound in force; `written` says whether the party file has it or it holds without that."""

    key: str
    value: str
    meaning: str
    written: bool


def bounds_in_force(
    party: Party, own_records: int | None, most_rows: int | None = None, purpose: Purpose = "run"
) -> list[Bound]:
    """Every key of `accept` with its value in force, where this party's list has `own_records` keys (None: not read yet).

    For an overlap without the keys that only a run requires. `most_rows` is how many rows of the records in common this
    party takes the label party to have; None: there is no such bound.
    """
    accept = party.settings.accept
    longest = min(longest_list(accept, own_records or 0), MOST_RECORDS)
    computed: dict[str, object] = {"max_records": longest, "min_records": accept.min_records or 1}
    if own_records is None and accept.max_records is None:
        computed["max_records"] = f"ten times the own list, and at least {longest:,}"
    if party.has_lasting_key:
        computed |= {key: NOTHING for key in REQUIRED if getattr(accept, key) is None}
    found = [
        Bound(
            f"accept.{key}",
            _in_words(computed.get(key, getattr(accept, key))),
            MEANINGS.get(key, ""),
            getattr(accept, key) is not None and key in accept.model_fields_set,
        )
        for key in Accept.model_fields
        if purpose == "run" or key not in REQUIRED
    ]
    if most_rows is not None:
        found.append(
            Bound("rows", f"{most_rows:,}", "rows of the label party for all records in common, at most", written=False)
        )
    return found


def needed_with_a_key(party: Party) -> str | None:
    """What `accept` still lacks once a key takes the place of `identity: auto`; None: nothing, or a key is there."""
    missing = missing_bounds(party.settings.accept)
    if not missing or party.has_lasting_key:
        return None
    return (
        f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set, which only a launch with `identity: auto` "
        f"allows: with a key a run is refused. What this job asks: {line_to_paste(party.settings.accept, party.job)}"
    )


def _in_words(value: object) -> str:
    if value is None:
        return NO_BOUND
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
