"""Which party has signed which lines of an unbroken ledger, in plain sentences. SPEC.md, section 8."""

from __future__ import annotations

from collections.abc import Iterator

from parties.ledger.examination import Examined


def signature_sentences(found: Examined) -> list[str]:
    """A sentence for each party that has signed lines of this ledger, and which lines its owner alone has signed."""
    if found.begin is None:
        return []
    me, covered = found.begin.party, max((line.lines for line in found.signed_lines.values()), default=0)
    sentences = [*_signed_lines(found), *_older_formats(found, me, covered)]
    rest = found.lines - covered
    if not sentences:
        return [
            f"No other party has signed any line here: only {me} has signed this ledger, and could have made it up."
        ]
    sentences += _other_identities(found)
    if covered and rest:
        lines = "line" if rest == 1 else f"{rest:,} lines"
        sentences.append(
            f"The {lines} after line {covered:,} {'is' if rest == 1 else 'are'} signed by {me} alone, at the end of each "
            "session."
        )
    return sentences


def _signed_lines(found: Examined) -> Iterator[str]:
    for peer, signed in found.signed_lines.items():
        lines = "line 1" if signed.lines == 1 else f"lines 1 to {signed.lines:,}"
        when = (
            "when the training had ended."
            if signed.final
            else "at a checkpoint. It has signed no end of the training after that: the run was interrupted, or has not ended "
            "yet, or the lines after it were removed."
        )
        yield f"{peer} has signed {lines} as they are here, {when}"


def _older_formats(found: Examined, me: str, covered: int) -> Iterator[str]:
    for session in found.sessions.values():
        signers = [name for name in session.last_heads if name != me]
        if session.format == 1 and session.line > covered and signers:
            yield (
                f"Session {session.session[:8]} was recorded by an older version. What {' and '.join(signers)} signed in it "
                f"covers the messages with {me} alone, and neither their times nor the other lines and sessions of this file: "
                "only the other party's ledger shows whether these were changed."
            )


def _other_identities(found: Examined) -> Iterator[str]:
    """A made-up session is signed with new keys; so is the session of an honest party that has got another key."""
    for peer in found.signed_lines:
        sessions = {
            session.identities[peer]: session for session in found.sessions.values() if peer in session.identities
        }
        if len(sessions) > 1:
            *_, before, last = (session.line for session in sessions.values())
            yield (
                f"{peer} has {len(sessions)} identities in this file: in the session of line {last} another one than in "
                f"that of line {before}. Each launch with `identity: auto` makes new ones, and a made-up session has new ones "
                "as well: --job, or the other party's ledger, shows whose they are."
            )
