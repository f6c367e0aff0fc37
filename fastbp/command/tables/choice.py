"""Which columns of a table are the features, which is the target, and which hold text."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .counting import row_number_kind
from .delimited import is_empty
from .dialect import CSVFormat
from .kept import kept_columns
from .notation import Parsed
from .numbers import number
from .preparation import FEW_TEXTS, Preparation, guess_task
from .reading import read
from .suspects import note_on_spellings, note_on_units
from .table import (
    CLASSIFICATION,
    REGRESSION,
    Table,
    TableError,
    listed,
    notes_before_errors,
    one_spelling,
    quoted,
    shown,
)


def read_to_train(
    source: str,
    target: str | None = None,
    task: str | None = None,
    *,
    drop: Sequence[str] = (),
    text: Sequence[str] = (),
    header: bool = True,
    form: CSVFormat | None = None,
) -> Table:
    """A table to train on: a CSV, NPZ or Parquet file, or a data set that scikit-learn ships, by its name.

    Arguments:
        source, header: as in `read`.
        form: how a CSV file is written, where that can't be told from it.
        target: the target column's name or its number from 1 (default: the last one), or the array's name (NPZ).
        task: CLASSIFICATION, REGRESSION or None; text is accepted as target accordingly.
        drop: columns that are left out, by name or number.
        text: columns whose numbers are names of categories, likewise.

    Raises TableError, OSError as `read` does.
    """
    table = read(source, target, header=header, form=form or CSVFormat())
    with notes_before_errors(table.notes, table.numbers_as_names(), source):
        return _chosen(replace(table, header=header), target, task, drop, text)


def _chosen(table: Table, target: str | None, task: str | None, drop: Sequence[str], text: Sequence[str]) -> Table:
    """The table of the columns that are asked for, as numbers or names. See read_to_train."""
    if not table.named:  # what ends in empty columns has separators at the ends of lines
        table = replace(table, columns={name: c for name, c in table.columns.items() if name not in table.left_out})
    names = list(table.columns)
    dropped = {table.find(column, "--drop") for column in drop}
    texts = {table.find(column, "--text") for column in text}
    for name in names:
        if name in texts & dropped:
            raise TableError(f"the column {name!r} can't be both dropped and text: give --drop or --text for it")
    wanted = texts | {table.find(target, "--target")} if target is not None else texts
    index = [name for name in table.left_out if name in names and name not in wanted | dropped]
    dropped |= set(index)
    there = [name for name in names if name not in dropped]
    chosen = table.find(target, "--target") if target is not None else there[-1] if there else ""
    if chosen in dropped:
        raise TableError(f"the column {quoted(chosen)} can't be both dropped and the target")
    if len(there) < 2 and drop:
        left = f"only {quoted(there[0])} is left" if there else "no column is left"
        rule = "a feature besides the target must stay"
        raise TableError(f"{table.source}: {left} of the columns {listed(names)}: {rule}")
    if len(there) < 2:
        raise TableError(
            f"{table.source} has the one column {quoted(''.join(there))}: there must be features besides a target"
        )
    table.notes.extend(_left_out(table, index))
    table = table.select([name for name in there if name != chosen], chosen)
    table.spell([name for name in table.features if name in texts])
    for name in table.features:
        table.columns[name] = table.names(name, words=True) if name in texts else _typed(table, name)
        if table.columns[name].dtype == object:
            _suspect(table, name, name in texts)
    _set_target(table, task, chosen in texts)
    if table.test is not None:
        _set_target(table.test, CLASSIFICATION if table.columns[chosen].dtype == object else REGRESSION, False)
    if not (table.named or table.guessed):
        return table
    return replace(table, position=names.index(chosen) + 1, dropped=[names.index(name) + 1 for name in dropped])


def _suspect(table: Table, name: str, asked_for: bool) -> None:
    """Note what names of categories or classes look like, unless they were asked for."""
    texts = table.columns[name].tolist()
    found = [note_on_spellings(texts, "class" if name == table.target else "category")]
    found += [] if asked_for else [note_on_units(texts)]
    table.notes.extend(f"{table.source}, column {quoted(name)}: {note}" for note in found if note)


def _left_out(table: Table, names: Sequence[str]) -> list[str]:
    """Lines on the columns that nobody asked for and that are left out."""
    places = [list(table.columns).index(name) + 1 for name in names if not is_empty(table.columns[name])]
    cure = "has no name of its own and is left out: give it one to train on it"
    return [f"{table.source}: column {place} {cure}" for place in places]


def row_numbers(table: Table) -> dict[str, str]:
    """The features that number the rows, and how: a leak where a file is sorted. Rows must not be left out before."""
    names = table.features if table.named or table.guessed else []
    kinds = {name: row_number_kind(table.columns[name]) for name in names}
    return {name: kind for name, kind in kinds.items() if kind}


def _typed(table: Table, name: str) -> np.ndarray:
    """A column as numbers or as names: one typing error in numbers must not make a name of each of them."""
    column = table.columns[name]
    if column.dtype != object:
        return column
    parsed = table.parse(name) if table.guessed else None
    if parsed is None or not parsed.of_numbers:
        return table.names(name)
    return _accepted(table, name, parsed)


def _accepted(table: Table, name: str, parsed: Parsed) -> np.ndarray:
    """The numbers of a column of texts; where one is none, the error says what may help."""
    if len(parsed.wrong) == 0:
        return table.accept(name, parsed)
    row = int(parsed.wrong[0])
    problem = parsed.problem(table.columns[name][row])
    if not parsed.of_numbers:
        problem += " (--task classification takes texts for names of classes, --target chooses another target)"
    elif problem.endswith(("is not a number", "lack", "have")):
        problem += f" ({_cure(table, name)}{_second_header(table, row)})"
    raise table.error(name, row, problem)


def _second_header(table: Table, row: int) -> str:
    """Advice where the first row holds no number: it may be of units, or of names below a remark."""
    cells = [column[0] for column in table.columns.values()]
    if row > 0 or not (table.guessed and table.named) or any(not math.isnan(number(str(cell))) for cell in cells):
        return ""
    line = int(table.numbering[0])
    return f"; if the columns' names are in line {line}, --skip-lines {line - 1} leaves out what is above it"


def _cure(table: Table, name: str) -> str:
    """What may help against a text in a column of numbers; names are for columns with few different cells."""
    distinct, correct = len(set(table.columns[name].tolist())), "correct the cell or delete its line"
    if distinct <= FEW_TEXTS and name == table.target:
        return f"{correct}, or --task classification makes it a class's name"
    if distinct <= FEW_TEXTS and 2 * distinct <= len(table):
        return f"{correct}, or --text {shlex.quote(name)} makes it a category"
    return correct if name == table.target else f"{correct}, or --drop {shlex.quote(name)} leaves the column out"


def _set_target(table: Table, task: str | None, apart: bool) -> None:
    """Make the target numbers, or the classes' names as the file writes them.

    apart: whether texts that are the same number are two classes.
    """
    assert table.target is not None
    columns, name = table.columns, table.target
    y = columns[name]
    if task == REGRESSION and y.dtype == object:
        y = _accepted(table, name, table.parse(name))
    elif task is None and not apart:
        y = _typed(table, name)
    numbers = y.dtype != object and not (apart and task is None)
    if numbers and (task or guess_task(y[~np.isnan(y)])) == REGRESSION:
        columns[name] = y.astype(np.float64, copy=False)
    else:
        names = table.names(name, words=apart)
        columns[name] = names if apart else one_spelling(names)
        other = np.flatnonzero(columns[name] != names)
        if len(other):
            both = f"{shown(columns[name][other[0]])} and {shown(names[other[0]])}"
            cure = f"--text {shlex.quote(name)} keeps them apart"
            table.notes.append(f"{table.source}, column {quoted(name)}: {both} are taken for one class ({cure})")
        _suspect(table, name, apart)


def read_to_predict(
    source: str,
    preparation: Preparation,
    input_shape: tuple[int, ...],
    *,
    keep: Sequence[str] = (),
    header: bool = True,
    form: CSVFormat | None = None,
) -> Table:
    """A table to predict: the features in the model's order, by the names that they were trained with or by position.

    Arguments:
        source, header: as in `read`.
        form: how a CSV file is written, where that can't be told from it.
        preparation: the model's.
        input_shape: the network's.
        keep: columns that go along, as `kept_columns` takes them.

    The target, where it is there, may be missing or unknown in any row.
    Raises TableError, OSError as `read` does.
    """
    form, known, asked_for = form or CSVFormat(), preparation.features or (), header
    header = header and preparation.header
    table = read(source, preparation.target, header=header, form=form, known=known, predicting=True)
    if asked_for and not header and table.guessed and form.skip_lines is None:
        without = "is taken for data, as in training with --no-header"
        table.notes.append(f"the first line of {source} {without} (--skip-lines 1 leaves a header out)")
    with notes_before_errors(table.notes, [] if preparation.features else table.numbers_as_names(), source):
        return _as_the_model_has_it(table, preparation, input_shape, keep)


def _as_the_model_has_it(
    table: Table, preparation: Preparation, input_shape: tuple[int, ...], keep: Sequence[str]
) -> Table:
    """The table of the model's features. See read_to_predict."""
    kept = kept_columns(table, keep)
    categories = preparation.categories
    count = len(categories) if categories else math.prod(input_shape)
    if table.named or table.guessed:
        table = table.select(*_choose(table, preparation, count))
        kinds = categories or [None] * count
        texts = {name: names for name, names in zip(table.features, kinds, strict=True) if names is not None}
        if table.target is not None and preparation.classes is not None:
            texts[table.target] = preparation.classes
        table.spell(list(texts))
        for name in table.columns:
            if name in texts:
                table.columns[name] = table.names(name, texts[name])
            elif name != table.target:
                table.columns[name] = table.numbers(name, " (correct the cell or delete its line)")
    else:
        width = table.columns[table.features[0]][0].size
        if categories or (width != count and len(input_shape) == 1):
            raise TableError(
                f"{table.source} must have the {count} features of the model, got {width} of numbers alone"
            )
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
        raise TableError(f"{table.source}: {quoted(name)} must have {shape}, got {row}")


def _choose(table: Table, preparation: Preparation, count: int) -> tuple[list[str], str | None]:
    """The features, in the model's order, and the target."""
    names, width = list(table.columns), len(table.columns)
    whole = count + 1 + len(preparation.dropped)
    if preparation.features is not None and table.named:
        missing = [repr(name) for name in preparation.features if name not in table.columns]
        if missing:
            columns = f"column{'s' * (len(missing) > 1)} {listed(missing)}"
            raise TableError(f"{table.source} lacks the model's {columns}; it has {listed(names)}")
        return preparation.features, preparation.target if preparation.target in names else None
    inside = [name for name in names if name not in table.left_out]
    if len(inside) in (count, whole):  # the others are an index
        names, width = inside, len(inside)
    if width == count:
        return names, None
    if not preparation.target or width != whole:
        left_out = " and what was left out" if preparation.dropped else ""
        also = f", or {whole} with the target{left_out}" if preparation.target else ""
        raise TableError(f"{table.source} must have the model's {count} columns{also}, got {width}")
    target = names[-1 if preparation.position is None else preparation.position - 1]
    return [name for place, name in enumerate(names, 1) if name != target and place not in preparation.dropped], target
