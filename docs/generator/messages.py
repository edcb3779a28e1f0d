"""The page of the messages that cross: every kind, between whom and when, and what it reveals to its receiver."""

from __future__ import annotations

from parties.run.message_kinds import KINDS

UP, DOWN, BOTH, ACROSS = (
    "feature party to label party",
    "label party to feature party",
    "both ways",
    "between feature parties",
)

INTRODUCTION = """# Messages that cross

Every kind of message that one party can send to another, and what it reveals to its receiver if all parties follow the
protocol. The first and the last feature party are those of the list `parties` in the job.

`vsplit check` prints the kinds of your own job and party, with estimates of their number and size, for full lists and all
epochs; where its table differs from this page, the table is right. [What leaks, and what was
measured](../explanation/leaks.md) explains the rows that matter most: embeddings and gradients.

Nothing else leaves a party except what the connection itself needs: public keys, the name of the session and sequence
numbers, keep-alives, the close of the session and, if a party ends early, one reason code of a fixed list.
"""

# The groups in the order of a run; for each kind between whom it crosses, and when.
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Session": {
        "Handshake": (BOTH, "once per session"),
        "LedgerSalt": (BOTH, "once per session"),
        "FreshKeys": (BOTH, "once per session, with two feature parties or more"),
        "KeyProofs": (BOTH, "once per session, with two feature parties or more"),
    },
    "Start and checkpoints": {
        "LocalStateOffer": (UP, "once per session of a run"),
        "StartDecision": (DOWN, "once per session of a run"),
        "StateKept": (UP, "once after the alignment, once after the training; once in a prediction"),
        "StateKeptByAll": (DOWN, "once after the alignment, once after the training; once in a prediction"),
        "ModelOffer": (UP, "once per prediction"),
        "ModelRequest": (DOWN, "once per prediction"),
        "LedgerLastLine": (UP, "after the alignment, at each checkpoint, after the training"),
        "LedgerHead": (BOTH, "after the alignment, at each checkpoint, after the training"),
    },
    "Alignment": {
        "ListSize": (UP, "once"),
        "ListSizes": (DOWN, "once"),
        "MaskedKeys": (BOTH, "a list in chunks"),
        "MaskedByAll": ("last feature party to label party", "a list in chunks"),
        "MatchCount": (DOWN, "once"),
        "KeyShapes": (BOTH, "once, only if few records match; never with `hints: false` in the job"),
        "Agreement": (BOTH, "once; an overlap ends before it"),
        "MatchBits": ("label party to last feature party", "in chunks, once all parties agree"),
        "OwnPositions": ("first feature party to label party", "in chunks, once all parties agree"),
        "MatchPositions": (DOWN, "in chunks, once all parties agree"),
        "RowCounts": (DOWN, "in chunks, only with `repeated: many_to_one`"),
    },
    "Training and evaluation": {
        "Parts": (DOWN, "once, only with `by: date`"),
        "AttemptNonce": (UP, "once per training, with a secure sum"),
        "AttemptNonces": (DOWN, "once per training, with a secure sum"),
        "PaillierKey": (DOWN, "once per training, with `paillier_sum`"),
        "Embedding": (UP, "each batch of each pass, with `concat` and `sum`"),
        "MaskedEmbedding": (UP, "each batch of each pass, with `masked_sum`"),
        "EncryptedSum": ("last feature party to label party", "each batch of each pass, with `paillier_sum`"),
        "Gradient": (DOWN, "each training batch"),
        "Verdict": (DOWN, "each epoch"),
    },
    "With two feature parties or more": {
        "Sealed": (f"{ACROSS}, through the label party", "in alignment, and for each batch with `paillier_sum`"),
    },
}


def messages_page() -> str:
    """Every kind of message that can cross. Raises ValueError where a kind has no place on the page."""
    reveals = {kind.__name__: kind.reveals for kind in KINDS}
    listed = [name for kinds in GROUPS.values() for name in kinds]
    if sorted(listed) != sorted(reveals):
        raise ValueError(f"kinds of message and the page differ: {set(listed) ^ reveals.keys()}")
    text = INTRODUCTION
    for group, kinds in GROUPS.items():
        text += f"\n## {group}\n\n| kind | from, to | when | what it reveals |\n| --- | --- | --- | --- |\n"
        text += "".join(f"| `{name}` | {way} | {when} | {reveals[name]} |\n" for name, (way, when) in kinds.items())
    return text
