"""The rows that have no target: they are an error, or left out."""

from __future__ import annotations

import shlex
from dataclasses import replace

import numpy as np

from .table import Table, TableError, listed


def with_targets(table: Table, skip: bool) -> tuple[Table, int]:
    """The table, and its test set, without the rows that have no target, and how many these are.

    Raises TableError if there are any, but for skip; then if nothing is left.
    """
    test, of_test = (None, 0) if table.test is None else with_targets(table.test, skip)
    assert table.target is not None and table.y is not None
    missing = table.y == "" if table.y.dtype == object else np.isnan(table.y)
    where = table.where(table.target)
    count = int(np.count_nonzero(missing))
    if count == len(table):
        problem = f"all values of the {where} are missing: choose another target with --target"
        raise TableError(f"{table.source}: {problem}")
    if count and not skip:
        numbers = [str(number) for number in table.numbering[missing].tolist()]
        rows = f"{table.unit}{'s' * (count > 1)} {listed(numbers)}"
        problem = "the value is missing (--skip-missing-target leaves such rows out)"
        advice = f" (--text {shlex.quote(table.target)} makes it a class's name)"
        problem += table.word_at(table.target, int(np.argmax(missing)), advice if table.y.dtype == object else "")
        raise TableError(f"{table.source}, {rows}, {where}: {problem}")
    left = table.take(np.flatnonzero(~missing)) if count else table
    return replace(left, test=test), count + of_test
