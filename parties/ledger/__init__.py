"""The record of every message that left or came: hash-chained, signed by both sides, and empty of content (SPEC.md, section 8).

`ledger` writes it while a run lasts, `agreeing` has what the parties do together for it, and `settling` where it stands once
the run is over; `verify`, `compare` and `show` read it afterwards.
"""
