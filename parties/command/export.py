"""`vsplit export`: writes a party's part of the model as ONNX."""

from __future__ import annotations

from pathlib import Path

from parties.command.console import Console
from parties.command.screen import print_text
from parties.export.part import export_part


def print_export(run: Path, console: Console, out: Path, code: Path, *, separate: bool, overwrite: bool) -> int:
    """Export the part in a run folder and print which files were written. Raises ConfigError, StorageError."""
    for file in export_part(run, out, code, separate=separate, overwrite=overwrite):
        print_text(console, f"Wrote {file}.")
    return 0
