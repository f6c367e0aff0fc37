"""Columns that number the rows: an index, an identifier, a counter."""

from __future__ import annotations

import numpy as np

FEW_ROWS = 10  # so many different numbers are in order by chance once in 10! times


def is_counting(column: np.ndarray, gaps: bool = False) -> bool:
    """Whether a column holds consecutive integers, each once and in any order; gaps: whether some may be missing."""
    if not _is_of_integers(column, column):
        return False
    return len(np.unique(column)) == len(column) and (gaps or np.ptp(column) == len(column) - 1)


def row_number_kind(column: np.ndarray) -> str:
    """How a column numbers the rows: "numbers", "rises with" or "falls with" them; "" if it doesn't.

    Cells may be missing. A column that rises or falls holds integers that are all different, at least FEW_ROWS.
    """
    if column.dtype.kind not in "fiu" or column.ndim > 1:
        return ""
    present = column[np.isfinite(column)] if column.dtype.kind == "f" else column
    if len(present) > 1 and is_counting(present):
        return "numbers"
    if len(present) < FEW_ROWS or not _is_of_integers(column, present):
        return ""
    if (present[1:] > present[:-1]).all():
        return "rises with"
    return "falls with" if (present[1:] < present[:-1]).all() else ""


def _is_of_integers(column: np.ndarray, present: np.ndarray) -> bool:
    return column.dtype != object and bool(np.isfinite(present).all()) and not (present % 1).any()
