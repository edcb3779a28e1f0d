"""The record of every message that left or came: hash-chained, signed by both sides, and empty of content (SPEC.md, section 8).

`file.Ledger` writes it while a run lasts, `agreeing` has what the parties do together for it; `verify`, `compare` and `show`
read it afterwards.
"""
