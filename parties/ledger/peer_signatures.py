"""Who vouches for which lines of an unbroken ledger, in plain sentences. SPEC.md, section 8."""

from __future__ import annotations

from collections.abc import Iterator

from parties.ledger.examination import Examined


def signature_sentences(found: Examined) -> list[str]:
    """A sentence for each party that has signed for lines of this ledger, and what its owner alone vouches for."""
    if found.begin is None:
        return []
    me, held = found.begin.party, max((signed_line.lines for signed_line in found.signed_lines.values()), default=0)
    sentences = [*_pinned(found), *_older(found, me, held)]
    rest = found.lines - held
    if not sentences:
        return [
            f"No other party has signed for anything here: {me} alone vouches for this ledger, and could have made it up."
        ]
    sentences += _other_identities(found)
    if held and rest:
        sentences.append(
            f"For the {'line' if rest == 1 else f'{rest:,} lines'} behind line {held:,} {me} alone vouches, with its signature "
            "at the end of each session."
        )
    return sentences


def _pinned(found: Examined) -> Iterator[str]:
    for peer, signed_line in found.signed_lines.items():
        lines = "line 1" if signed_line.lines == 1 else f"lines 1 to {signed_line.lines:,}"
        when = (
            "when the training had ended."
            if signed_line.final
            else "at a checkpoint. It has signed for no end of the training after that: the run was interrupted, or still goes "
            "on, or the lines behind were removed."
        )
        yield f"{peer} has signed for {lines} as they stand here, {when}"


def _older(found: Examined, me: str, held: int) -> Iterator[str]:
    for told in found.sessions.values():
        signers = [name for name in told.last_heads if name != me]
        if told.format == 1 and told.line > held and signers:
            yield (
                f"Session {told.session[:8]} was recorded by an older version. What {' and '.join(signers)} signed in it "
                f"holds the messages with {me} alone, and neither their times nor the other lines and sessions of this file: "
                "only the other party's ledger shows whether these were changed."
            )


def _other_identities(found: Examined) -> Iterator[str]:
    """Whoever makes up a session signs in it with keys of its own; so does an honest party that has got another key."""
    for peer in found.signed_lines:
        lines = {told.identities[peer]: told for told in found.sessions.values() if peer in told.identities}
        if len(lines) > 1:
            *_, before, last = (told.line for told in lines.values())
            yield (
                f"{peer} has {len(lines)} identities in this file: in the session of line {last} another one than in that of "
                f"line {before}. Each launch with `identity: auto` makes new ones, and so could whoever made up a session: "
                "--job, or the other party's ledger, shows whose they are."
            )
