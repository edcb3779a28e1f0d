"""The bounds on what a job and its parties may ask of this party: all that are in force, whether set in its file or not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console

from parties.command.screen import print_text
from parties.config.bounds import REQUIRED, line_to_paste, longest_list, missing_bounds
from parties.config.digests import Purpose
from parties.config.party import Party
from parties.config.party_file import Accept
from parties.config.quota_settings import QuotaSettings
from parties.run.quotas import DAYS, recent_records, recent_runs
from psi.messages import MOST_RECORDS

NO_BOUND = "no bound"
NOTHING = "not set, so no run is allowed"

MEANINGS = {
    "tasks": "kinds of task",
    "aggregations": "ways in which embeddings are joined at the label party",
    "max_embedding": "numbers for each record and pass that may leave, at most",
    "min_list": "keys in any party's list, including this one's, at least",
    "max_records": "keys in another party's list, at most",
    "min_records": "records in common, at least, before any party learns which they are",
    "predict": "records that the label party may have scored",
    "max_runs": "runs, overlaps and predictions with each other party in any 30 days, at most",
}


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound in force; `written` says whether the party file sets it, or it is a default."""

    key: str
    value: str
    meaning: str
    written: bool


def bounds_in_force(
    party: Party, own_records: int | None, most_rows: int | None = None, purpose: Purpose = "run"
) -> list[Bound]:
    """Every key of `accept` with its value in force, where this party's list has `own_records` keys (None: not read yet).

    For an overlap without the keys that only a run requires. `most_rows` is the greatest number of rows that the label party
    may have for the records in common; None: there is no such bound.
    """
    accept = party.settings.accept
    longest = min(longest_list(accept, own_records or 0), MOST_RECORDS)
    computed: dict[str, object] = {"max_records": longest, "min_records": accept.min_records or 1}
    if own_records is None and accept.max_records is None:
        computed["max_records"] = f"ten times the own list, and at least {longest:,}"
    computed["predict"] = _predictions_in_words(party)
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
        if purpose != "overlap" or key not in (*REQUIRED, "predict")
    ]
    if most_rows is not None:
        found.append(
            Bound("rows", f"{most_rows:,}", "rows of the label party for all records in common, at most", written=False)
        )
    return found


def _predictions_in_words(party: Party) -> str:
    bounds = party.settings.accept.predict
    if party.role == "label":
        return "for feature parties alone"
    if bounds is None:
        return "not set, so no prediction is allowed" if party.has_lasting_key else NO_BOUND
    return f"at most {bounds.per_day:,} in any 24 hours, at least {bounds.at_least:,} at once"


def needed_with_a_key(party: Party) -> str | None:
    """What `accept` still lacks once a key replaces `identity: auto`; None: nothing, or this party has a key."""
    missing = missing_bounds(party.settings.accept)
    if not missing or party.has_lasting_key:
        return None
    return (
        f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set. Only a launch with `identity: auto` allows "
        f"this; a run with a key is refused. What this job asks for: {line_to_paste(party.settings.accept, party.job)}"
    )


def print_bounds(party: Party, own_records: int | None, console: Console, purpose: Purpose = "run") -> None:
    """Print every bound in force, and whether the party file sets it; for an overlap without those on learning."""
    print_text(console, f"Bounds in force on what a job may ask of {party.name} (accept):")
    for bound in bounds_in_force(party, own_records, purpose=purpose):
        print_text(
            console, f"  {bound.key}: {bound.value} ({'party file' if bound.written else 'default'}): {bound.meaning}."
        )
    if purpose == "run" and (needed := needed_with_a_key(party)):
        print_text(console, f"Warning: {needed}", style="yellow")


def print_quotas(party: Party, console: Console) -> None:
    """Print how many runs, overlaps and predictions there were with each other party recently."""
    most = party.settings.accept.max_runs
    for name, runs in recent_runs(QuotaSettings.of(party), datetime.now(UTC)).items():
        if runs is None:
            print_text(console, f"Runs with {name} are not counted: with `identity: auto` each launch makes new keys.")
        else:
            print_text(
                console,
                f"Runs, overlaps and predictions with {name} in the last {DAYS} days: {runs:,} of {most:,} (accept.max_runs).",
            )


def print_records_scored(party: Party, console: Console) -> None:
    """Print how many records a feature party has let be scored recently."""
    bounds, found = party.settings.accept.predict, recent_records(QuotaSettings.of(party), datetime.now(UTC))
    if party.role == "feature" and bounds is not None and found is not None:
        print_text(
            console,
            f"Records scored for {party.job.label_party} in the last 24 hours: {found:,} of {bounds.per_day:,} "
            "(accept.predict.per_day).",
        )


def _in_words(value: object) -> str:
    if value is None:
        return NO_BOUND
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
