"""What turns a table into a network's inputs and targets, and its outputs into predictions."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .split import split
from .suspects import stray_cells
from .table import CLASSIFICATION, REGRESSION, Table, TableError, in_order, label, listed, places_in, quoted, shown

MOST_GUESSED_CLASSES = 100
MOST_CATEGORIES = 1000
FEW_TEXTS = 50  # so many may be different in most rows
_SCALED_AT_ONCE = 1 << 20  # elements


def guess_task(y: np.ndarray) -> str:
    """Text, or integers of few distinct values, are classes."""
    if y.dtype == object:
        return CLASSIFICATION
    distinct = len(np.unique(y))
    few = distinct <= MOST_GUESSED_CLASSES and 2 * distinct < len(y)
    return CLASSIFICATION if few and (y == np.floor(y)).all() else REGRESSION


@dataclass(frozen=True)
class Preparation:
    """How raw rows become a network's inputs, and its outputs predictions; a model file keeps it.

    The inputs are the numbers, standardised, and behind them, for each column of text, a 1 in its category's place.

    task        CLASSIFICATION or REGRESSION
    target      the target's name
    position    its column, from 1, for data without names; None if it was no table
    features    the columns' names; None where they have none
    mean, deviation  of each column of numbers, or of each channel of images, over the rows trained on
    classes     the names of the classes, output by output; None for regression
    target_mean, target_deviation  of a regression's target
    categories  for each feature its categories, "" being a missing one; None for numbers. None if all are numbers
    fill        what a missing number is taken for, as long as mean; None if nothing may be missing
    dropped     columns that were left out, from 1
    majority    the place of the class with the most rows trained on; None in files of earlier versions
    target_median  of a regression's target over the rows trained on; None in files of earlier versions
    header      whether data may have a header line
    units       what the numbers of each feature, and behind them the target, carried, such as "%" in a CSV file; "" for
                nothing; None if it isn't known
    """

    task: str
    target: str
    position: int | None
    features: list[str] | None
    mean: list[float]
    deviation: list[float]
    classes: list[str] | None = None
    target_mean: float = 0.0
    target_deviation: float = 1.0
    categories: list[list[str] | None] | None = None
    fill: list[float] | None = None
    dropped: list[int] = field(default_factory=list)
    header: bool = True
    units: list[str] | None = None
    majority: int | None = None
    target_median: float | None = None

    @property
    def guesses(self) -> tuple[float, float] | None:
        """The mean and the median of a regression's target over the rows trained on; None if they are not known."""
        return None if self.target_median is None else (self.target_mean, self.target_median)

    def valid_for(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> bool:
        """Whether it belongs to a network of those shapes; also raises TypeError, ValueError if it is damaged."""
        moments = np.array([self.mean, self.deviation, self.mean if self.fill is None else self.fill], float)
        kinds: list[list[str] | None] = [None] * len(self.mean) if self.categories is None else self.categories
        texts = [names for names in kinds if names is not None]
        names = [self.target, *(self.features or []), *(self.classes or []), *itertools.chain(*texts)]
        places = [*self.dropped, *([] if self.position is None else [self.position])]
        return (
            kinds.count(None) == len(self.mean)
            and len(self.mean) + sum(map(len, texts)) == input_shape[0]
            and (len(input_shape) == 1 or (not texts and self.features is None))
            and len(kinds if self.features is None else self.features) == len(kinds)
            and output_shape == (1 if self.classes is None else len(self.classes),)
            and all(isinstance(name, str) for name in [*names, *(self.units or [])])
            and isinstance(self.header, bool)
            and (self.units is None or len(self.units) == len(kinds) + 1)
            and all(isinstance(p, int) and 1 <= p <= len(kinds) + 1 + len(self.dropped) for p in places)
            and (self.majority is None or self.majority in range(len(self.classes or ())))
            and bool(np.isfinite([*moments.ravel(), self.target_mean, self.target_deviation]).all())
            and bool(np.isfinite(self.target_median or 0.0))
        )

    def inputs(self, table: Table, dtype: Any) -> np.ndarray:
        """The features as (rows, inputs). Raises TableError if one is missing or too large for `dtype`."""
        for name in table.features:
            cure = " (the model was trained without --impute: delete the line, or train with --impute)"
            table.check(name, cure if self.fill is None else None)
        texts = self._texts(table)
        numbers = _Numbers(table, [name for name in table.features if name not in texts])
        place = numbers.matrix.shape[1]
        out = np.zeros((len(table), place + sum(map(len, texts.values()))), dtype)
        self._scale(numbers, out[:, :place])
        for name, categories in texts.items():
            found = places_in(categories, table.columns[name])
            known = np.flatnonzero(found >= 0)
            out[known, place + found[known]] = 1
            place += len(categories)
        return out

    def _texts(self, table: Table) -> dict[str, list[str]]:
        """The columns of text and their categories."""
        pairs = zip(table.features, self.categories or [None] * len(table.features), strict=True)
        return {name: categories for name, categories in pairs if categories is not None}

    def _scale(self, numbers: _Numbers, out: np.ndarray) -> None:
        mean, deviation = np.array(self.mean)[:, None], np.array(self.deviation)[:, None]
        fill = None if self.fill is None else np.array(self.fill)
        for start, chunk in _chunks(numbers.matrix, len(mean), fill):
            with np.errstate(over="ignore"):  # found right below
                part = out[start : start + len(chunk)]
                part[...] = ((chunk - mean) / deviation).reshape(part.shape)
            if not np.isfinite(part).all():
                row, column = np.argwhere(~np.isfinite(part))[0]
                raise numbers.error(start + row, column, f"too large for a network of {out.dtype}")

    def unknown(self, table: Table) -> str | None:
        """A line on the texts that are no category of their column: they are taken for none. None if there are none."""
        texts = {name: (table.columns[name], categories) for name, categories in self._texts(table).items()}
        rows = {name: np.flatnonzero((places_in(known, c) < 0) & (c != "")) for name, (c, known) in texts.items()}
        count = sum(map(len, rows.values()))
        if count == 0:
            return None
        name = next(name for name in rows if len(rows[name]))
        first = table.error(name, rows[name][0], shown(table.columns[name][rows[name][0]]))
        return f"{count:,} cell{'s' * (count > 1)} with unknown categories, which count as none; the first: {first}"

    def other_units(self, table: Table) -> Iterator[str]:
        """Lines on the columns of numbers that carry something else, such as %, than those that were trained on."""
        names = [*table.features, *([] if table.target is None or self.classes is not None else [table.target])]
        texts = self._texts(table)
        for name, unit in zip(names, self.units or [], strict=False):
            given = table.units.get(name, "")
            if given != unit and name not in texts:
                trained = f"with {unit}" if unit else "without a unit"
                here = f"come with {given}" if given else "come without it" if unit else ""
                problem = f"the model was trained on values {trained}, and these {here}: they must mean the same"
                yield f"{table.source}, {table.where(name)}: {problem}"

    def targets(self, table: Table, dtype: Any) -> np.ndarray:
        """What the network learns: the number of each row's class, or the standardised target."""
        assert table.target is not None
        if self.classes is None:
            return ((table.numbers(table.target) - self.target_mean) / self.target_deviation).astype(dtype)
        return places_in(self.classes, table.texts(table.target))

    def unscaled(self, outputs: np.ndarray) -> np.ndarray:
        """A network's outputs (rows, 1) in the target's units (rows,)."""
        return outputs[:, 0].astype(np.float64) * self.target_deviation + self.target_mean


class _Numbers:
    """A table's columns of numbers, as one matrix (rows, numbers)."""

    def __init__(self, table: Table, names: list[str]) -> None:
        self.table, self.names = table, names
        blocks = [table.columns[name].reshape(len(table), -1) for name in names]
        self.matrix = blocks[0] if len(blocks) == 1 else np.concatenate([np.empty((len(table), 0)), *blocks], axis=1)
        self.arrays = any(table.columns[name].ndim > 1 for name in names)

    def label(self, column: int) -> str:
        return f"feature {column + 1}" if self.arrays else f"the column {quoted(self.names[column])}"

    def error(self, row: int, column: int, problem: str) -> TableError:
        name, element = (self.names[0], column) if self.arrays else (self.names[column], None)
        return self.table.error(name, row, f"{self.matrix[row, column]:g} is {problem}", element)


def _chunks(matrix: np.ndarray, units: int, fill: np.ndarray | None) -> Iterator[tuple[int, np.ndarray]]:
    """Rows (rows, units, numbers of each) in float64, missing ones filled in, and the number of the first row."""
    step = max(1, _SCALED_AT_ONCE // max(1, matrix.shape[1]))
    for start in range(0, len(matrix), step):
        chunk = matrix[start : start + step].astype(np.float64)
        chunk = chunk.reshape(len(chunk), units, -1 if units else 1)
        yield start, chunk if fill is None else np.where(np.isnan(chunk), fill[:, None], chunk)


# --- learning it from a table -------------------------------------------------------------------------


class Parts(NamedTuple):
    """Rows to train on, to validate with and to test with: inputs and targets as Preparation makes them."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


def prepare(
    table: Table,
    task: str,
    test_size: float,
    seed: int,
    dtype: Any,
    *,
    impute: bool = False,
    channels: int | None = None,
) -> tuple[Preparation, Parts]:
    """Split a table, learn from the rows to train on how to prepare it, and prepare the parts.

    Arguments:
        task: CLASSIFICATION or REGRESSION.
        test_size, seed: as for `split`, which splits a classification class by class.
        dtype: the network's.
        impute: whether features may be missing: a number is taken for its column's median, a text for a category.
        channels: of images, which are scaled each as a whole; None if each number is scaled for itself.

    Raises TableError if there are too few rows or classes, too many categories, missing values (without impute), or
    numbers too large to be scaled.
    """
    assert table.target is not None
    for part in (table, table.test or table):
        _check_empty(part)
        for name in part.columns:
            advice = "" if name == part.target else None if impute else " (--impute fills in what is missing)"
            keep = f" (--text {shlex.quote(name)} makes it a category)"
            part.check(name, advice, keep if part.columns[name].dtype == object else "")
    classes = _classes(table) if task == CLASSIFICATION else None
    for name in table.features:
        _check_categories(table, name)
    labels = None if classes is None else places_in(classes, table.texts(table.target))
    train, validation, test = split(table, test_size, seed, labels)
    learnt = table.take(train)
    preparation = _learn(learnt, task, classes, impute, channels)
    parts = [learnt, table.take(validation), table.test or table.take(test)]
    return preparation, Parts(*((preparation.inputs(p, dtype), preparation.targets(p, dtype)) for p in parts))


def _classes(table: Table) -> list[str]:
    """The names of the classes, sorted: numbers by value, texts by letters."""
    y = np.concatenate([part.y for part in (table, table.test) if part is not None and part.y is not None])
    names = in_order([name if isinstance(name, str) else label(name) for name in np.unique(y).tolist()])
    assert table.target is not None
    if len(names) < 2:
        raise TableError(f"the target {quoted(table.target)} must have at least 2 classes, got only {names[0]}")
    if _are_names(len(names), len(y)):
        many = f"{len(names):,} classes in {len(y):,} rows ({shown(names[-1])}, …)"
        raise TableError(
            f"the target {quoted(table.target)} has {many}: choose one with --target, or --task regression for numbers"
        )
    return names


def _are_names(distinct: int, rows: int) -> bool:
    """Whether so many different texts name the rows rather than kinds of them."""
    return distinct == rows or (distinct > FEW_TEXTS and 2 * distinct > rows)


def _check_empty(table: Table) -> None:
    """Raise TableError if columns hold no value at all."""
    columns = {name: table.columns[name] for name in table.features if table.named or table.guessed}
    empty = [name for name, c in columns.items() if (c == "" if c.dtype == object else np.isnan(c)).all()]
    if empty:
        which = f"column{'s' * (len(empty) > 1)} {listed([quoted(name) for name in empty])}"
        drop = " ".join(f"--drop {shlex.quote(name)}" for name in empty)
        raise TableError(f"{table.source}: the {which} {'are' if len(empty) > 1 else 'is'} empty: {drop}")


def _check_categories(table: Table, name: str) -> None:
    column = table.columns[name]
    if column.dtype != object:
        return
    distinct = np.unique(column)
    if len(distinct) > MOST_CATEGORIES or _are_names(len(distinct), len(column)):
        rows = list(itertools.islice(stray_cells(column.tolist()), 2))
        first = ", ".join(f"{shown(column[row])} in {table.unit} {table.numbering[row]}" for row in rows)
        texts = f"{len(distinct):,} different texts in {len(column):,} rows ({first}, …)"
        advice = f"as identifiers, dates, sentences and numbers with units do: --drop {shlex.quote(name)} leaves it out"
        raise TableError(f"{table.source}: the column {quoted(name)} holds {texts}, {advice}")


def _learn(table: Table, task: str, classes: list[str] | None, impute: bool, channels: int | None) -> Preparation:
    """The preparation that fits the rows to train on."""
    columns = [table.columns[name] for name in table.features]
    categories = [np.unique(column).tolist() if column.dtype == object else None for column in columns]
    names = [name for name, texts in zip(table.features, categories, strict=True) if texts is None]
    numbers = _Numbers(table, names)
    units = channels or numbers.matrix.shape[1]
    fill = _medians(numbers, units) if impute else None
    mean, deviation = _moments(numbers.matrix, units, fill)
    finite = np.isfinite(mean) & np.isfinite(deviation)
    if not finite.all():
        raise TableError(f"{numbers.label(int(np.argmin(finite)))} holds numbers too large to be standardised")
    assert table.target is not None and table.y is not None
    carried = [table.units.get(name, "") for name in [*table.features, table.target]]
    target_mean, target_deviation, target_median, majority = np.zeros(1), np.ones(1), None, None
    if classes is not None:
        majority = int(np.bincount(places_in(classes, table.texts(table.target))).argmax())
    else:
        target_mean, target_deviation = _moments(table.y[:, None], 1, None)
        if not np.isfinite([target_mean, target_deviation]).all():
            raise TableError(f"the target {quoted(table.target)} holds numbers too large to be standardised")
        target_median = float(np.median(table.y))
    return Preparation(
        task,
        target=table.target,
        position=table.position,
        features=table.features if table.named else None,
        mean=mean.tolist(),
        deviation=deviation.tolist(),
        classes=classes,
        target_mean=float(target_mean[0]),
        target_deviation=float(target_deviation[0]),
        categories=categories if len(names) < len(columns) else None,
        fill=None if fill is None else fill.tolist(),
        dropped=table.dropped,
        majority=majority,
        target_median=target_median,
        header=table.header,
        units=carried if table.named or table.guessed else None,
    )


def _medians(numbers: _Numbers, units: int) -> np.ndarray:
    """The median of each unit's numbers that are there."""
    values = numbers.matrix.astype(np.float64).reshape(len(numbers.matrix), units, -1 if units else 1)
    missing = np.isnan(values).all(axis=(0, 2))
    if missing.any():
        column = int(np.argmax(missing))
        advice = "" if numbers.arrays else f": --drop {shlex.quote(numbers.names[column])} leaves it out"
        raise TableError(f"{numbers.label(column)} holds no number in the rows to train on{advice}")
    return np.nanmedian(values, axis=(0, 2))


def _moments(matrix: np.ndarray, units: int, fill: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each unit's numbers (rows, columns); constant ones get the deviation 1."""
    total, squares, low, high = np.zeros(units), np.zeros(units), np.full(units, np.inf), np.full(units, -np.inf)
    with np.errstate(over="ignore", invalid="ignore"):  # the caller checks
        for _, chunk in _chunks(matrix, units, fill):
            total += chunk.sum(axis=(0, 2))
            low, high = np.minimum(low, chunk.min(axis=(0, 2))), np.maximum(high, chunk.max(axis=(0, 2)))
        count = matrix.size / max(1, units)
        mean = total / count
        for _, chunk in _chunks(matrix, units, fill):
            squares += ((chunk - mean[:, None]) ** 2).sum(axis=(0, 2))
        deviation = np.sqrt(squares / count)
    # Rounding of the mean leaves a constant column a tiny deviation, that would blow up other values in it.
    return mean, np.where((low == high) | (deviation == 0), 1.0, deviation)
