"""What a party gives away that sets its initial weights by a `seed` and works under a key of its own."""

from __future__ import annotations

from parties.config.party import Party


def seed_warning(party: Party) -> str:
    """What `seed` in the party file gives away, for screen, run.json and report; empty where it gives nothing away.

    Where a launch makes the key all parties are on one machine, so that there is nobody to give anything away to.
    """
    if party.settings.seed is None or not party.has_lasting_key:
        return ""
    if party.role == "feature":
        given = (
            f"{party.job.label_party}, which is sent the embeddings, can try seeds until one gives that of a record which it "
            "knows, and with the weights work back the columns of the others: measured, nearly all records of a batch (93 %) "
            "from one known record, in half a second"
        )
    else:
        given = (
            "a feature party that tries seeds and finds it knows the weights with which training began, and with them and its "
            "gradients can tell labels and scores more exactly than from the gradients alone"
        )
    return (
        f"The key seed in {party.file} gives away what training protects: it sets the initial weights of {party.name}, and "
        f"{given}. Take the key out, unless the data is made up."
    )
