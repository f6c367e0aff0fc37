"""Tables of numbers with a target: read from CSV, NPZ or scikit-learn, split, and scaled for a network."""

from __future__ import annotations

import contextlib
import csv
import gzip
import itertools
import zipfile
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

CLASSIFICATION, REGRESSION = "classification", "regression"
BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")
INPUT_NAMES, TARGET_NAMES = ("X", "x", "data"), ("y", "target")
TRAINING_NAMES, TEST_NAMES = ("x_train", "X_train"), ("x_test", "X_test")
MOST_GUESSED_CLASSES = 100
VALIDATION_SHARE = 0.1
_LISTED = 12
_SCALED_AT_ONCE = 1 << 20  # elements


class TableError(ValueError):
    """The data can't be used; the message is one line that says where and why."""


@dataclass(frozen=True)
class Table:
    """Rows of features, and what is to be predicted.

    X         (rows, features), any real dtype, finite
    y         (rows,), float64 numbers or texts; None where there is no target
    features  the columns' names; None where they have none
    target    the target's name
    position  the target's column in a CSV file, from 1; None for other sources
    test      X and y of a test set, where the data comes with one
    """

    X: np.ndarray
    y: np.ndarray | None
    features: list[str] | None
    target: str
    position: int | None = None
    test: tuple[np.ndarray, np.ndarray] | None = None


def stem(source: str) -> str:
    """The data's name without folder and endings: "cars" for "tables/cars.csv.gz"."""
    name = Path(source).name
    for ending in (".gz", ".csv", ".tsv", ".txt", ".npz"):
        if len(name) > len(ending):
            name = name.removesuffix(ending)
    return name


def _listed(names: Sequence[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:40] + "…")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_file(source: str) -> None:
    path = Path(source)
    if path.is_dir():
        raise TableError(f"{source} is a folder: DATA must be a file")
    if not path.exists():
        raise TableError(f"no such file: {source} (data sets that have a name: {', '.join(BUNDLED)})")


def read(source: str, target: str | None = None, task: str | None = None) -> Table:
    """A table to train on: a CSV or NPZ file, or a data set that scikit-learn ships, by its name.

    Arguments:
        source: a path, or one of BUNDLED.
        target: the target column's name or its number from 1 (CSV; default: the last one), or the array's name (NPZ).
        task: CLASSIFICATION, REGRESSION or None; text is accepted as target accordingly.

    Raises TableError, with line and column, for anything that is not a table of finite numbers; OSError if the
    file can't be read.
    """
    if source in BUNDLED:
        return _read_bundled(source, target)
    _check_file(source)
    if source.endswith(".npz"):
        return _read_npz(source, target, task)
    cells = _read_csv(source, lambda header: _choose_for_training(header, target))
    assert cells.target is not None
    y = _parse_target(cells, task)
    features = [cells.header.names[i] for i in cells.features] if cells.header.named else None
    return Table(cells.X, y, features, cells.header.names[cells.target], cells.target + 1)


# --- data sets of scikit-learn ------------------------------------------------------------------------


def _read_bundled(name: str, target: str | None) -> Table:
    try:
        from sklearn import datasets
    except ImportError:
        raise TableError(f"the data set {name!r} needs scikit-learn: pip install 'fastbp[sklearn]'") from None
    if target not in (None, "target"):
        raise TableError(f"the data set {name!r} has one target, named 'target': --target can't be {target!r}")
    bunch = getattr(datasets, f"load_{name}")()
    y = np.asarray(bunch.target)
    if "target_names" in bunch:
        y = np.asarray(bunch.target_names).astype(str)[y]
    return Table(bunch.data, y, [str(feature) for feature in bunch.feature_names], "target")


# --- CSV ----------------------------------------------------------------------------------------------


class _Header(NamedTuple):
    """The columns of a CSV file; without a header line their names are their numbers, from 1."""

    path: str
    names: list[str]
    named: bool


class _Cells(NamedTuple):
    """What was read of a CSV file: features as numbers, the target as it is written, and the rows' lines."""

    header: _Header
    features: list[int]
    target: int | None
    X: np.ndarray
    texts: list[str]
    lines: Sequence[int]


Choice = tuple[list[int], int | None]  # the columns of the features and of the target, from 0


@contextlib.contextmanager
def _opened(path: str) -> Iterator[IO[str]]:
    """The file as text; what can be wrong with its bytes becomes a TableError."""
    try:
        if path.endswith(".gz"):
            with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
                yield file
        else:
            with open(path, encoding="utf-8-sig", newline="") as file:
                yield file
    except UnicodeDecodeError:
        raise TableError(f"{path} is not text in UTF-8: DATA must be a CSV or an NPZ file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TableError(f"{path} is not a whole gzip file: {error}") from None


def _rows(path: str, file: IO[str]) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells; separated by commas, or by what the first line has more of: semicolons or tabs."""
    first = file.readline()
    lines = itertools.chain([first], file)
    # strict: a quotation mark that is never closed would else swallow the rest of the file in silence
    reader = csv.reader(lines, delimiter=max(",;\t", key=first.count), strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise TableError(f"{path}, line {reader.line_num}: {error}") from None


def _header(path: str, line: int, first: list[str]) -> _Header:
    cells = [cell.strip() for cell in first]
    if all(map(_is_number, cells)):
        return _Header(path, [str(number) for number in range(1, len(cells) + 1)], False)
    names = [cell or str(number) for number, cell in enumerate(cells, 1)]
    if len(set(names)) < len(names):
        twice = next(name for name, times in Counter(names).items() if times > 1)
        raise TableError(f"{path}, line {line}: two columns have the name {twice!r}")
    return _Header(path, names, True)


def _read_csv(path: str, choose: Callable[[_Header], Choice]) -> _Cells:
    """The columns that `choose` picks when it has seen the header."""
    with _opened(path) as file:
        rows = _rows(path, file)
        line, first = next(rows, (0, []))
        if not first:
            raise TableError(f"{path} is empty")
        header = _header(path, line, first)
        features, target = choose(header)
        body = rows if header.named else itertools.chain([(line, first)], rows)
        return _collect(header, features, target, body)


def _collect(header: _Header, features: list[int], target: int | None, body: Iterable[tuple[int, list[str]]]) -> _Cells:
    path, width = header.path, len(header.names)
    values, texts, lines = array("d"), [], array("q")  # a tenth of the memory that lists of floats take
    for line, cells in body:
        if len(cells) != width:
            raise TableError(f"{path}, line {line}: expected {width} cells, found {len(cells)}")
        try:
            values.extend([float(cells[i]) for i in features])
        except ValueError:
            bad = next(i for i in features if not _is_number(cells[i]))
            raise _bad_cell(header, bad, line, cells[bad]) from None
        if target is not None:
            texts.append(cells[target].strip())
        lines.append(line)
    if not lines:
        raise TableError(f"{path} has a header line but no rows")
    X = np.frombuffer(values).reshape(len(lines), len(features))
    finite = np.isfinite(X)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise _bad_cell(header, features[column], lines[row], str(X[row, column]))
    return _Cells(header, features, target, X, texts, lines)


def _bad_cell(header: _Header, column: int, line: int, cell: str) -> TableError:
    where = f"{header.path}, line {line}, column {header.names[column]!r}"
    if not cell.strip():
        return TableError(f"{where}: the cell is empty")
    return TableError(f"{where}: {_shown(cell)} is not a {'finite ' if _is_number(cell) else ''}number")


def _column(header: _Header, target: str) -> int:
    """The column with that name, or that number from 1."""
    if target in header.names:
        return header.names.index(target)
    if target.isdecimal() and 1 <= int(target) <= len(header.names):
        return int(target) - 1
    raise TableError(f"{header.path} has no column {target!r} for --target; it has {_listed(header.names)}")


def _choose_for_training(header: _Header, target: str | None) -> Choice:
    last = len(header.names) - 1
    column = last if target is None else _column(header, target)
    if last == 0:
        raise TableError(
            f"{header.path} has the one column {header.names[0]!r}: there must be features besides a target"
        )
    return [i for i in range(last + 1) if i != column], column


def _parse_target(cells: _Cells, task: str | None) -> np.ndarray:
    """The target as numbers, or as texts that are names of classes."""
    assert cells.target is not None
    numbers = 0
    first_text: int | None = None
    for row, text in enumerate(cells.texts):
        if text.lower() in ("", "nan"):
            raise _bad_cell(cells.header, cells.target, cells.lines[row], text)
        if _is_number(text):
            numbers += 1
        elif first_text is None:
            first_text = row
    if first_text is None:
        y = np.array([float(text) for text in cells.texts])
        if not np.isfinite(y).all():
            row = int(np.argmin(np.isfinite(y)))
            raise _bad_cell(cells.header, cells.target, cells.lines[row], cells.texts[row])
        return y
    # One typing error in a column of numbers must not turn every number into a class.
    if task == REGRESSION or (task is None and 2 * numbers > len(cells.texts)):
        error = _bad_cell(cells.header, cells.target, cells.lines[first_text], cells.texts[first_text])
        hint = "" if task else " (with --task classification it is the name of a class)"
        raise TableError(f"{error}{hint}")
    return np.array(cells.texts)


# --- NPZ ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _arrays(path: str) -> Iterator[Any]:
    """The open NPZ file; what can be wrong with it becomes a TableError."""
    with open(path, "rb") as raw:
        if not zipfile.is_zipfile(raw):
            raise TableError(f"{path} is not an NPZ file")
    try:
        with np.load(path, allow_pickle=False) as file:
            yield file
    except TableError:
        raise
    except (ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise TableError(f"{path} is not an NPZ file that can be read: {error}") from None


def _first_of(names: Iterable[str], there: Sequence[str]) -> str | None:
    return next((name for name in names if name in there), None)


def _find_inputs(path: str, file: Any, names: Sequence[str], target: str | None) -> str:
    """The array's name: one of `names`, or the only one of two or more dimensions besides the target."""
    found = _first_of((name for name in names if name != target), file.files)
    if found is not None:
        return found
    several = [name for name in file.files if name != target and file[name].ndim >= 2]
    if len(several) != 1:
        raise TableError(f"{path} has no array {' or '.join(names)} for the features; it has {_listed(file.files)}")
    return several[0]


def _read_npz(path: str, target: str | None, task: str | None) -> Table:
    with _arrays(path) as file:
        if target is not None and target not in file.files:
            raise TableError(f"{path} has no array {target!r} for --target; it has {_listed(file.files)}")
        inputs = _first_of(TRAINING_NAMES, file.files)
        if inputs is not None and "y_train" in file.files and target in (None, "y_train"):
            return _read_npz_parts(path, file, inputs, task)
        name = target or _first_of(TARGET_NAMES, file.files)
        if name is None:
            raise TableError(
                f"{path} has no array {' or '.join(TARGET_NAMES)} (or --target); it has {_listed(file.files)}"
            )
        X, y = _pair(path, file, _find_inputs(path, file, INPUT_NAMES, name), name, task)
        return Table(X, y, None, name)


def _read_npz_parts(path: str, file: Any, inputs: str, task: str | None) -> Table:
    """A file of x_train and y_train, and maybe x_test and y_test."""
    X, y = _pair(path, file, inputs, "y_train", task)
    test_inputs = _first_of(TEST_NAMES, file.files)
    if test_inputs is None or "y_test" not in file.files:
        return Table(X, y, None, "y_train")
    test = _pair(path, file, test_inputs, "y_test", task)
    if test[0].shape[1] != X.shape[1] or test[1].dtype.kind != y.dtype.kind:
        raise TableError(f"{path}: {test_inputs} and y_test must have the features and the kind of target to train on")
    return Table(X, y, None, "y_train", test=test)


def _pair(path: str, file: Any, inputs: str, target: str, task: str | None) -> tuple[np.ndarray, np.ndarray]:
    X, y = _inputs_of(path, file, inputs), _target_of(path, file, target)
    if len(X) != len(y):
        raise TableError(f"{path}: {target!r} must have as many rows as {inputs!r}, which has {len(X)}, got {len(y)}")
    if y.dtype.kind == "U" and task == REGRESSION:
        raise TableError(f"{path}: the array {target!r} must hold numbers for --task regression, got text")
    return X, y


def _inputs_of(path: str, file: Any, name: str) -> np.ndarray:
    """The array as (rows, features)."""
    X = file[name]
    if X.dtype.kind not in "biuf" or X.ndim == 0:
        raise TableError(f"{path}: the array {name!r} must hold rows of numbers, got {X.dtype} of shape {X.shape}")
    if X.size == 0:
        raise TableError(f"{path}: the array {name!r} must hold at least one number, got shape {X.shape}")
    X = X.reshape(len(X), -1)
    finite = np.isfinite(X)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        where = f"the array {name!r}, row {row + 1}, feature {column + 1}"
        raise TableError(f"{path}: {where}: {X[row, column]} is not a finite number")
    return X


def _target_of(path: str, file: Any, name: str) -> np.ndarray:
    """The array as (rows,) of float64 or text."""
    y = file[name]
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "biufUS":
        raise TableError(
            f"{path}: the array {name!r} must hold one number or text a row, got {y.dtype} of shape {y.shape}"
        )
    if y.dtype.kind in "US":
        return y.astype(str)
    y = y.astype(np.float64)
    if not np.isfinite(y).all():
        row = int(np.argmin(np.isfinite(y)))
        raise TableError(f"{path}: the array {name!r}, row {row + 1}: {y[row]} is not a finite number")
    return y


# --- what a network is given --------------------------------------------------------------------------


def guess_task(y: np.ndarray) -> str:
    """Text, or integers of few distinct values, are classes."""
    if y.dtype.kind == "U":
        return CLASSIFICATION
    distinct = len(np.unique(y))
    few = distinct <= MOST_GUESSED_CLASSES and 2 * distinct < len(y)
    return CLASSIFICATION if few and (y == np.floor(y)).all() else REGRESSION


def as_label(number: float) -> str:
    """A class that is a number, as text: "3" for 3.0."""
    return str(int(number)) if number == int(number) else repr(float(number))


@dataclass(frozen=True)
class Preparation:
    """How raw rows become a network's inputs, and its outputs predictions; a model file keeps it.

    task                    CLASSIFICATION or REGRESSION
    target, position        as in Table
    features                as in Table
    mean, deviation         of each feature, over the rows trained on
    classes                 the names of the classes, output by output; None for regression
    target_mean, target_deviation  of a regression's target
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

    def inputs(self, X: np.ndarray, dtype: Any) -> np.ndarray:
        """X, standardised. Raises TableError if a value is too large for `dtype`."""
        mean, deviation = np.array(self.mean), np.array(self.deviation)
        out = np.empty(X.shape, dtype)
        step = max(1, _SCALED_AT_ONCE // X.shape[1])
        for start in range(0, len(X), step):
            with np.errstate(over="ignore"):  # found right below
                out[start : start + step] = (X[start : start + step] - mean) / deviation
            finite = np.isfinite(out[start : start + step])
            if not finite.all():
                row, column = np.argwhere(~finite)[0]
                value = X[start + row, column]
                raise TableError(f"{self._feature(column)} holds {value:g}, too large for a network of {out.dtype}")
        return out

    def check(self) -> None:
        """Raise TableError if a column's numbers were too large for a mean and a deviation."""
        finite = np.isfinite(self.mean) & np.isfinite(self.deviation)
        if not finite.all():
            raise TableError(f"{self._feature(int(np.argmin(finite)))} holds numbers too large to be standardised")
        if not np.isfinite([self.target_mean, self.target_deviation]).all():
            raise TableError(f"the target {self.target!r} holds numbers too large to be standardised")

    def _feature(self, column: int) -> str:
        return f"feature {self.features[column]!r}" if self.features else f"feature {column + 1}"

    def targets(self, y: np.ndarray, dtype: Any) -> np.ndarray:
        """What the network learns: the number of each row's class, or the standardised target."""
        if self.classes is None:
            return ((y - self.target_mean) / self.target_deviation).astype(dtype)
        numbers = {name: number for number, name in enumerate(self.classes)}
        return np.array([numbers[label] for label in self.labels(y)])

    def unscaled(self, outputs: np.ndarray) -> np.ndarray:
        """A network's outputs (rows, 1) in the target's units (rows,)."""
        return outputs[:, 0].astype(np.float64) * self.target_deviation + self.target_mean

    def labels(self, y: np.ndarray) -> np.ndarray:
        """A target's classes as they are named in `classes`."""
        if y.dtype.kind != "U":
            return np.array([as_label(number) for number in y])
        known = set(self.classes or ())
        # A file may write a class 1 as "1.0".
        return np.array([as_label(float(t)) if t not in known and _is_finite(t) else t for t in y.tolist()])


def _is_finite(text: str) -> bool:
    return _is_number(text) and bool(np.isfinite(float(text)))


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each column (rows, columns); constant ones get the deviation 1."""
    with np.errstate(over="ignore", invalid="ignore"):  # the caller checks
        mean = values.mean(axis=0, dtype=np.float64)
        squares = np.zeros(values.shape[1])
        step = max(1, _SCALED_AT_ONCE // values.shape[1])
        for start in range(0, len(values), step):
            squares += ((values[start : start + step] - mean) ** 2).sum(axis=0)
    deviation = np.sqrt(squares / len(values))
    # Rounding of the mean leaves a constant column a tiny deviation, that would blow up other values in it.
    constant = (values.min(axis=0) == values.max(axis=0)) | (deviation == 0)
    return mean, np.where(constant, 1.0, deviation)


class Parts(NamedTuple):
    """Rows to train on, to validate with and to test with: X standardised, y as Preparation.targets."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


def prepare(table: Table, task: str, test_size: float, seed: int, dtype: Any) -> tuple[Preparation, Parts]:
    """Split a table and scale its parts.

    Arguments:
        task: CLASSIFICATION or REGRESSION.
        test_size: the share, 0 < share < 1, of rows for the test; unused where the table has a test set.
        seed: decides which rows go where.
        dtype: the network's.

    Raises TableError if there are too few rows or classes, or numbers too large to be scaled.
    """
    X, y = table.X, table.y
    assert y is not None
    classes = _classes(table) if task == CLASSIFICATION else None
    train, validation, test = _split(len(X), test_size, seed, table.test is None)
    mean, deviation = _moments(X[train])
    preparation = Preparation(
        task, table.target, table.position, table.features, mean.tolist(), deviation.tolist(), classes
    )
    if classes is None:
        target_mean, target_deviation = (float(moment[0]) for moment in _moments(y[train][:, None]))
        preparation = replace(preparation, target_mean=target_mean, target_deviation=target_deviation)
    preparation.check()
    raw = [(X[train], y[train]), (X[validation], y[validation]), table.test or (X[test], y[test])]
    return preparation, Parts(*((preparation.inputs(a, dtype), preparation.targets(b, dtype)) for a, b in raw))


def _classes(table: Table) -> list[str]:
    """The names of the classes, sorted: numbers by value, texts by letters."""
    assert table.y is not None
    y = table.y if table.test is None else np.concatenate([table.y, table.test[1]])
    distinct = np.unique(y)
    if len(distinct) < 2:
        raise TableError(f"the target {table.target!r} must have at least 2 classes, got only {distinct[0]}")
    if len(distinct) == len(y):
        raise TableError(
            f"the target {table.target!r} is another class in each of the {len(y)} rows: choose one with --target"
        )
    return distinct.tolist() if y.dtype.kind == "U" else [as_label(number) for number in distinct]


def _split(rows: int, test_size: float, seed: int, with_test: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random places of the rows to train on, to validate with and to test with."""
    test = max(1, round(rows * test_size)) if with_test else 0
    validation = max(1, round((rows - test) * VALIDATION_SHARE))
    if rows - test - validation < 2:
        raise TableError(
            f"too few rows: of {rows}, {test} are for the test and {validation} for validation,"
            f" which leaves {max(0, rows - test - validation)} to train on; at least 2 are needed"
        )
    order = np.random.default_rng(seed).permutation(rows)
    return order[test + validation :], order[test : test + validation], order[:test]


# --- to predict ---------------------------------------------------------------------------------------


def read_to_predict(source: str, preparation: Preparation | None, features: int) -> Table:
    """A table to predict: the features by the names that they were trained with, else by position.

    Arguments:
        source: as in `read`.
        preparation: the model's; None if it has none.
        features: how many the model takes.

    The target, where it is there, comes as it is written (texts), and may be empty or unknown.
    Raises TableError, OSError as `read` does.
    """
    if source in BUNDLED:
        table = _read_bundled(source, None)
    else:
        _check_file(source)
        if source.endswith(".npz"):
            table = _npz_to_predict(source, preparation)
        else:
            table = _csv_to_predict(source, preparation, features)
    if table.X.shape[1] != features:
        raise TableError(f"{source} must have the {features} features of the model, got {table.X.shape[1]}")
    return table


def _csv_to_predict(path: str, preparation: Preparation | None, features: int) -> Table:
    cells = _read_csv(path, lambda header: _choose_for_prediction(header, preparation, features))
    y = None if cells.target is None else np.array(cells.texts)
    return Table(cells.X, y, None, preparation.target if preparation else "")


def _choose_for_prediction(header: _Header, preparation: Preparation | None, features: int) -> Choice:
    names, width = header.names, len(header.names)
    if preparation is not None and preparation.features is not None and header.named:
        places = {name: place for place, name in enumerate(names)}
        missing = [repr(name) for name in preparation.features if name not in places]
        if missing:
            raise TableError(f"{header.path} lacks the model's column {_listed(missing)}; it has {_listed(names)}")
        return [places[name] for name in preparation.features], places.get(preparation.target)
    if width == features:
        return list(range(width)), None
    if preparation is None or width != features + 1:
        also = "" if preparation is None else f", or {features + 1} with the target"
        raise TableError(f"{header.path} must have the model's {features} columns{also}, got {width}")
    target = width - 1 if preparation.position is None else preparation.position - 1
    return [i for i in range(width) if i != target], target


def _npz_to_predict(path: str, preparation: Preparation | None) -> Table:
    known = [preparation.target] if preparation else []
    with _arrays(path) as file:
        tested = _first_of(TEST_NAMES, file.files)
        names = ["y_test"] if tested else [*known, *TARGET_NAMES]
        target = _first_of(names, file.files)
        inputs = tested or _find_inputs(path, file, INPUT_NAMES, target)
        X = _inputs_of(path, file, inputs)
        y = None if target is None else _target_of(path, file, target)
    if y is not None and len(y) != len(X):
        raise TableError(f"{path}: {target!r} must have as many rows as {inputs!r}, which has {len(X)}, got {len(y)}")
    return Table(X, y, None, target or "")
