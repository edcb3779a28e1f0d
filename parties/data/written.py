"""Key columns and labels in the types that they have in the source, for files that its owners read."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

# Only such text can be converted to a number and back: 007 and 1e3 stay text.
_WHOLE = r"^(0|-?[1-9][0-9]{0,17})$"
# Python and pandas have no year 0.
_DAY = r"^([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-[0-9]{2}-[0-9]{2}$"


def as_written(column: pa.ChunkedArray, *, untyped: bool, number: bool = False) -> pa.ChunkedArray:
    """A column in the type of its source.

    Where the source has text alone (`untyped`: a CSV file, SQLite), a column of whole numbers becomes one of numbers and
    one of days one of days, if each value can be converted back exactly; with `number`, as for the label of a regression,
    one of any numbers as well. An empty cell is a missing value.
    """
    if not untyped or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    column = pc.if_else(pc.equal(column, ""), None, column)
    if column.null_count == len(column):
        return column
    for form, kind in ((_WHOLE, pa.int64()), (_DAY, pa.date32())):
        if pc.all(pc.match_substring_regex(column, form)).as_py():
            try:
                return pc.cast(column, kind)
            except pa.ArrowInvalid:  # the 31st of February
                return column
    return pc.cast(column, pa.float64()) if number else column
