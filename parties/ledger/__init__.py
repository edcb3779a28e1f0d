"""The record of every message sent or received: hash-chained, signed by both sides, without content (SPEC.md, section 8).

`ledger` writes it during a run, `exchange` has what the parties do together for it, and `merging` joins the ledgers of one run;
`verify`, `compare` and `show` read it afterwards.
"""

__all__: list[str] = []
