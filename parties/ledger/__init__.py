"""The record of every message sent or received: hash-chained, signed by both sides, without contents (SPEC.md, section 8).

`ledger` writes it during a run, `exchange` has what the parties do together for it, and `merging` adds it to the run folder
afterwards; `verify`, `compare` and `show` read it.
"""

__all__: list[str] = []
