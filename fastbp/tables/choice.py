"""Which columns of a table are the features, which is the target, and which hold text."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .kept import kept_columns
from .preparation import Preparation
from .reading import read
from .table import CLASSIFICATION, REGRESSION, Table, TableError, listed, shown

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")


def read_to_train(
    source: str,
    target: str | None = None,
    task: str | None = None,
    *,
    drop: Sequence[str] = (),
    text: Sequence[str] = (),
    header: bool = True,
) -> Table:
    """A table to train on: a CSV, NPZ or Parquet file, or a data set that scikit-learn ships, by its name.

    Arguments:
        source, header: as in `read`.
        target: the target column's name or its number from 1 (default: the last one), or the array's name (NPZ).
        task: CLASSIFICATION, REGRESSION or None; text is accepted as target accordingly.
        drop: columns that are left out, by name or number.
        text: columns whose numbers are names of categories, likewise.

    Raises TableError, OSError as `read` does.
    """
    table = read(source, target, header=header)
    names = list(table.columns)
    dropped = {table.find(column, "--drop") for column in drop}
    texts = {table.find(column, "--text") for column in text} - dropped
    there = [name for name in names if name not in dropped]
    chosen = table.find(target, "--target") if target is not None else there[-1] if there else ""
    if chosen in dropped:
        raise TableError(f"the column {chosen!r} can't be both dropped and the target")
    if len(there) < 2:
        raise TableError(f"{source} has the one column {''.join(there)!r}: there must be features besides a target")
    table = table.select([name for name in there if name != chosen], chosen)
    for name in table.columns:
        if name in texts:
            table.columns[name] = table.texts(name)
        elif not (name == chosen and task == CLASSIFICATION):
            _check_type(table, name)
    if task == REGRESSION:
        table.columns[chosen] = table.numbers(chosen)
    if not (table.named or table.guessed):
        return table
    return replace(table, position=names.index(chosen) + 1, dropped=[names.index(name) + 1 for name in dropped])


def _check_type(table: Table, name: str) -> None:
    """One typing error in a column of numbers must not make a name of every number."""
    column = table.columns[name]
    if column.dtype != object or not table.guessed:
        return
    wrong = table.wrong_numbers(name)
    if len(wrong) and all(_DECIMAL_COMMA.fullmatch(text) for text in column[wrong].tolist()):
        hint = f"numbers have a decimal point; --text {shlex.quote(name)} makes it a category"
        raise table.error(name, wrong[0], f"{shown(column[wrong[0]])} is not a number ({hint})")
    if len(wrong) and 2 * len(wrong) <= np.count_nonzero(column != ""):
        hint = f"--text {shlex.quote(name)} makes it a category"
        if name == table.target:
            hint = "--task classification makes it a class's name"
        raise table.error(name, wrong[0], f"{shown(column[wrong[0]])} is not a number ({hint})")


def read_to_predict(
    source: str,
    preparation: Preparation,
    input_shape: tuple[int, ...],
    *,
    keep: Sequence[str] = (),
    header: bool = True,
) -> Table:
    """A table to predict: the features in the model's order, by the names that they were trained with or by position.

    Arguments:
        source, header: as in `read`.
        preparation: the model's.
        input_shape: the network's.
        keep: columns that go along, as `kept_columns` takes them.

    The target, where it is there, may be missing or unknown in any row.
    Raises TableError, OSError as `read` does.
    """
    table = read(source, preparation.target, header=header, known=preparation.features or (), predicting=True)
    kept = kept_columns(table, keep)
    categories = preparation.categories
    count = len(categories) if categories else math.prod(input_shape)
    if table.named or table.guessed:
        table = table.select(*_choose(table, preparation, count))
        kinds = categories or [None] * count
        for name, names in zip(table.features, kinds, strict=True):
            table.columns[name] = table.numbers(name) if names is None else table.texts(name)
    else:
        width = table.columns[table.features[0]][0].size
        if categories or (width != count and len(input_shape) == 1):
            raise TableError(f"{source} must have the {count} features of the model, got {width} of numbers alone")
        _check_shape(table, input_shape)
    return replace(table, kept=kept)


def _check_shape(table: Table, input_shape: tuple[int, ...]) -> None:
    """An array's rows must be the network's; they may be flat, and axes of length 1 make no difference."""
    name = table.features[0]
    row = table.columns[name].shape[1:]
    wanted, given = (tuple(length for length in shape if length > 1) for shape in (input_shape, row))
    flat = len(row) == 1 or len(input_shape) == 1
    if math.prod(row) != math.prod(input_shape) or (wanted != given and not flat):
        shape = f"rows of shape {wanted}, as the model was trained on"
        raise TableError(f"{table.source}: {name!r} must have {shape}, got {row}")


def _choose(table: Table, preparation: Preparation, count: int) -> tuple[list[str], str | None]:
    """The features, in the model's order, and the target."""
    names, width = list(table.columns), len(table.columns)
    if preparation.features is not None and table.named:
        missing = [repr(name) for name in preparation.features if name not in names]
        if missing:
            columns = f"column{'s' * (len(missing) > 1)} {listed(missing)}"
            raise TableError(f"{table.source} lacks the model's {columns}; it has {listed(names)}")
        return preparation.features, preparation.target if preparation.target in names else None
    if width == count:
        return names, None
    whole = count + 1 + len(preparation.dropped)
    if not preparation.target or width != whole:
        left_out = " and what was left out" if preparation.dropped else ""
        also = f", or {whole} with the target{left_out}" if preparation.target else ""
        raise TableError(f"{table.source} must have the model's {count} columns{also}, got {width}")
    target = names[-1 if preparation.position is None else preparation.position - 1]
    return [name for place, name in enumerate(names, 1) if name != target and place not in preparation.dropped], target
