"""Files into tables: CSV, NPZ, Parquet, and the data sets that scikit-learn ships."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import math
import zipfile
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .preparation import Preparation
from .table import CLASSIFICATION, MISSING, REGRESSION, Table, TableError, listed, number, shown

BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")
INPUT_NAMES, TARGET_NAMES = ("X", "x", "data"), ("y", "target")
TRAINING_NAMES, TEST_NAMES = ("x_train", "X_train"), ("x_test", "X_test")
_PARQUET = (".parquet", ".pq")


def stem(source: str) -> str:
    """The data's name without folder and endings: "cars" for "tables/cars.csv.gz"."""
    name = Path(source).name
    for ending in (".gz", ".csv", ".tsv", ".txt", ".npz", *_PARQUET):
        if len(name) > len(ending):
            name = name.removesuffix(ending)
    return name


@dataclass(frozen=True)
class _Source:
    """Data whose columns can be read.

    load: gives the columns of those names, numbers or texts as in Table, and the rows' numbers; the columns of
    `text` come as texts, if it is possible.
    named, guessed, unit: as in Table.
    """

    source: str
    names: list[str]
    load: Callable[[Sequence[str], Collection[str]], tuple[list[np.ndarray], Sequence[int]]]
    named: bool = True
    guessed: bool = False
    unit: str = "row"

    def __post_init__(self) -> None:
        twice = [name for name, times in Counter(self.names).items() if times > 1]
        if twice:
            raise TableError(f"{self.source}: two columns have the name {twice[0]!r}")

    def find(self, column: str, option: str) -> str:
        """The name of the column with that name, or that number from 1."""
        if column in self.names:
            return column
        if column.isdecimal() and 1 <= int(column) <= len(self.names):
            return self.names[int(column) - 1]
        raise TableError(f"{self.source} has no column {column!r} for {option}; it has {listed(self.names)}")

    def table(self, features: Sequence[str], target: str | None, text: Collection[str]) -> Table:
        wanted = [*features, *([] if target is None else [target])]
        columns, numbering = self.load(wanted, text)
        if not len(numbering):
            raise TableError(f"{self.source} has no rows")
        named = dict(zip(wanted, columns, strict=True))
        numbers = np.asarray(numbering)
        return Table(self.source, self.names, named, target, numbers, self.unit, self.named, self.guessed)


def _open(source: str, target: str | None, header: bool, predicting: bool = False) -> _Source:
    if source in BUNDLED:
        return _bundled(source)
    path = Path(source)
    if path.is_dir():
        raise TableError(f"{source} is a folder: DATA must be a file")
    if not path.exists():
        raise TableError(f"no such file: {source} (data sets that have a name: {', '.join(BUNDLED)})")
    if source.endswith(".npz"):
        return _npz(source, target, predicting)
    if source.endswith(_PARQUET):
        return _parquet(source)
    return _csv(source, header)


# --- what is read -------------------------------------------------------------------------------------


def read(
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
        source: a path, or one of BUNDLED.
        target: the target column's name or its number from 1 (default: the last one), or the array's name (NPZ).
        task: CLASSIFICATION, REGRESSION or None; text is accepted as target accordingly.
        drop: columns that are not read, by name or number.
        text: columns whose numbers are names of categories, likewise.
        header: whether a CSV file may have a header line.

    Raises TableError for anything that is not a table; OSError if the file can't be read.
    """
    opened = _open(source, target, header)
    dropped = {opened.find(column, "--drop") for column in drop}
    texts = {opened.find(column, "--text") for column in text}
    there = [name for name in opened.names if name not in dropped]
    chosen = opened.find(target, "--target") if target is not None else there[-1] if there else ""
    if chosen in dropped:
        raise TableError(f"the column {chosen!r} can't be both dropped and the target")
    if len(there) < 2:
        raise TableError(f"{source} has the one column {''.join(there)!r}: there must be features besides a target")
    table = opened.table([name for name in there if name != chosen], chosen, texts)
    for name in texts & set(table.columns):
        table.columns[name] = table.texts(name)
    for name in table.columns:
        _check_type(table, name, texts, task)
    if task == REGRESSION:
        table.columns[chosen] = table.numbers(chosen)
    return _with_test(table) if source.endswith(".npz") else table


def _check_type(table: Table, name: str, texts: Collection[str], task: str | None) -> None:
    """One typing error in a column of numbers must not make a name of every number."""
    column = table.columns[name]
    is_target = name == table.target
    if not table.guessed or column.dtype != object or name in texts or (is_target and task == CLASSIFICATION):
        return
    wrong = table.wrong_numbers(name)
    if len(wrong) and 2 * len(wrong) <= np.count_nonzero(column != ""):
        hint = "--task classification makes it a class's name" if is_target else f"--text {name} makes it a category"
        raise table.error(name, wrong[0], f"{shown(column[wrong[0]])} is not a number ({hint})")


def read_to_predict(source: str, preparation: Preparation | None, inputs: int, *, header: bool = True) -> Table:
    """A table to predict: the features in the model's order, by the names that they were trained with or by position.

    Arguments:
        source, header: as in `read`.
        preparation: the model's; None if it has none.
        inputs: how many numbers the model takes.

    The target, where it is there, may be missing or unknown in any row.
    Raises TableError, OSError as `read` does.
    """
    opened = _open(source, preparation.target if preparation else None, header, predicting=True)
    categories = preparation.categories if preparation else None
    count = len(categories) if categories else inputs
    features, target = _choose(opened, preparation, count)
    text = (
        {name for name, names in zip(features, categories, strict=True) if names is not None} if categories else set()
    )
    table = opened.table(features, target, text)
    for name in features:
        table.columns[name] = table.texts(name) if name in text else table.numbers(name)
    got = sum(table.columns[name][0].size for name in features) if not categories else count
    if got != count:
        raise TableError(f"{source} must have the {count} features of the model, got {got}")
    return table


def _choose(opened: _Source, preparation: Preparation | None, count: int) -> tuple[list[str], str | None]:
    """The features, in the model's order, and the target."""
    names, width = opened.names, len(opened.names)
    if opened.source.endswith(".npz"):
        if preparation is not None and preparation.categories:
            raise TableError(
                f"{opened.source} can't have the model's columns of text: DATA must be a CSV or Parquet file"
            )
        return names[:1], names[1] if names[1:] else None
    if preparation is not None and preparation.features is not None and opened.named:
        missing = [repr(name) for name in preparation.features if name not in names]
        if missing:
            raise TableError(f"{opened.source} lacks the model's column {listed(missing)}; it has {listed(names)}")
        return preparation.features, preparation.target if preparation.target in names else None
    if width == count:
        return names, None
    dropped = preparation.dropped if preparation else []
    if preparation is None or width != count + 1 + len(dropped):
        left_out = " and what was left out" if dropped else ""
        also = f", or {count + 1 + len(dropped)} with the target{left_out}" if preparation else ""
        raise TableError(f"{opened.source} must have the model's {count} columns{also}, got {width}")
    target = names[-1 if preparation.position is None else preparation.position - 1]
    return [name for place, name in enumerate(names, 1) if name != target and place not in dropped], target


# --- data sets of scikit-learn ------------------------------------------------------------------------


def _bundled(name: str) -> _Source:
    try:
        from sklearn import datasets
    except ImportError:
        raise TableError(f"the data set {name!r} needs scikit-learn: pip install 'fastbp[sklearn]'") from None
    bunch = getattr(datasets, f"load_{name}")()
    y = np.asarray(bunch.target, np.float64)
    if "target_names" in bunch:
        y = np.asarray(bunch.target_names).astype(str).astype(object)[bunch.target]
    columns = {**dict(zip(map(str, bunch.feature_names), bunch.data.T, strict=True)), "target": y}
    return _Source(name, list(columns), lambda names, _: ([columns[n] for n in names], range(1, len(y) + 1)))


# --- CSV ----------------------------------------------------------------------------------------------


def _bytes(path: str) -> bytes:
    try:
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
            return file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TableError(f"{path} is not a whole gzip file: {error}") from None


def _rows(path: str, data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells; separated by commas, or by what the first line has more of: semicolons or tabs."""
    lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    try:
        first = lines.readline()
        # strict: a quotation mark that is never closed would else swallow the rest of the file in silence
        reader = csv.reader(itertools.chain([first], lines), delimiter=max(",;\t", key=first.count), strict=True)
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise TableError(f"{path}, line {reader.line_num}: {error}") from None
    except UnicodeDecodeError:
        raise TableError(f"{path} is not text in UTF-8: DATA must be a CSV, NPZ or Parquet file") from None


def _csv(path: str, header: bool) -> _Source:
    """A CSV file; without a header line the columns' names are their numbers, from 1."""
    data = _bytes(path)
    _, first = next(_rows(path, data), (0, []))
    if not first:
        raise TableError(f"{path} is empty")
    cells = [cell.strip() for cell in first]
    named = header and not all(cell.lower() in MISSING or not math.isnan(number(cell)) for cell in cells)
    names = [(named and cell) or str(place) for place, cell in enumerate(cells, 1)]

    def load(wanted: Sequence[str], text: Collection[str]) -> tuple[list[np.ndarray], Sequence[int]]:
        places = [names.index(name) for name in wanted]
        forced = {names.index(name) for name in text}
        return _columns(path, data, named, len(names), places, forced)

    return _Source(path, names, load, named, guessed=True, unit="line")


def _columns(
    path: str, data: bytes, named: bool, width: int, places: list[int], text: set[int]
) -> tuple[list[np.ndarray], Sequence[int]]:
    """The columns at those places; the file is read once more if some hold text, or are to be read as such."""
    values, lines = array("d"), array("q")  # a tenth of the memory that lists of floats take
    texts: dict[int, list[str]] = {place: [] for place in places if place in text}
    for line, cells in itertools.islice(_rows(path, data), named, None):
        if len(cells) != width:
            raise TableError(f"{path}, line {line}: expected {width} cells, found {len(cells)}")
        try:
            values.extend([float(cells[place]) for place in places])
        except ValueError:
            for place in places:
                cell = cells[place].strip()
                values.append(number(cell))
                if math.isnan(values[-1]) and cell.lower() not in MISSING:
                    texts[place] = []
        lines.append(line)
    numbers = np.frombuffer(values).reshape(len(lines), len(places))
    one_of: dict[str, str] = {}  # equal cells are one object
    if texts:
        for _, cells in itertools.islice(_rows(path, data), named, None):
            for place, column in texts.items():
                cell = cells[place].strip()
                column.append(one_of.setdefault(cell, cell))
    arrays = {place: np.array(column, object) for place, column in texts.items()}
    return [arrays.get(place, numbers[:, i]) for i, place in enumerate(places)], lines


# --- Parquet ------------------------------------------------------------------------------------------


def _parquet(path: str) -> _Source:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise TableError(f"{path}: a Parquet file needs pyarrow: pip install 'fastbp[parquet]'") from None

    @contextlib.contextmanager
    def opened() -> Iterator[Any]:
        with open(path, "rb") as file:
            try:
                yield parquet.ParquetFile(file)
            except (pyarrow.ArrowException, OSError) as error:
                raise TableError(f"{path} is not a Parquet file that can be read: {error}") from None

    def load(wanted: Sequence[str], text: Collection[str]) -> tuple[list[np.ndarray], Sequence[int]]:
        with opened() as file:
            read = file.read(columns=list(wanted))
            return [_from_arrow(path, name, read[name]) for name in wanted], range(1, read.num_rows + 1)

    with opened() as file:
        schema = file.schema_arrow
    index = (schema.pandas_metadata or {}).get("index_columns", ())  # pandas writes it behind the columns
    return _Source(path, [name for name in schema.names if name not in index], load)


def _from_arrow(path: str, name: str, column: Any) -> np.ndarray:
    """Flags and numbers as numbers, texts and what is declared as categories as texts."""
    from pyarrow import float64, types

    kind = column.type
    categories = types.is_dictionary(kind)
    if categories:
        column = column.cast(kind.value_type)
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return np.array([(text or "").strip() for text in column.to_pylist()], object)
    if any(is_one(kind) for is_one in (types.is_boolean, types.is_integer, types.is_floating, types.is_decimal)):
        pass
    elif not types.is_null(kind):
        raise TableError(
            f"{path}, column {name!r}: a column of {kind} is neither numbers nor text:"
            f" make it such, or leave it out with --drop {name}"
        )
    return column.cast(float64(), safe=False).to_numpy()


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


def _first_of(names: Iterable[str | None], there: Sequence[str]) -> str | None:
    return next((name for name in names if name in there), None)


def _npz(path: str, target: str | None, predicting: bool) -> _Source:
    """The arrays of the features and, behind it, of the target; those of a test set first, to predict."""
    with _arrays(path) as file:
        inputs, y = _names_to_predict(file.files, target) if predicting else _names_to_train(path, file.files, target)
        inputs = inputs or _find_inputs(path, file, y)
    return _npz_source(path, inputs, y)


def _names_to_predict(there: Sequence[str], target: str | None) -> tuple[str | None, str | None]:
    tested = _first_of(TEST_NAMES, there)
    return tested, _first_of(["y_test"] if tested else [target, *TARGET_NAMES], there)


def _names_to_train(path: str, there: Sequence[str], target: str | None) -> tuple[str | None, str]:
    if target is not None and target not in there:
        raise TableError(f"{path} has no array {target!r} for --target; it has {listed(there)}")
    inputs = _first_of(TRAINING_NAMES, there)
    if inputs and "y_train" in there and target in (None, "y_train"):
        return inputs, "y_train"
    y = target or _first_of(TARGET_NAMES, there)
    if y is None:
        raise TableError(f"{path} has no array {' or '.join(TARGET_NAMES)} (or --target); it has {listed(there)}")
    return None, y


def _find_inputs(path: str, file: Any, y: str | None) -> str:
    """The array's name: one of INPUT_NAMES, or the only one of two or more dimensions besides the target."""
    found = _first_of((name for name in INPUT_NAMES if name != y), file.files)
    several = [name for name in file.files if name != y and file[name].ndim >= 2] if found is None else [found]
    if len(several) != 1:
        raise TableError(
            f"{path} has no array {' or '.join(INPUT_NAMES)} for the features; it has {listed(file.files)}"
        )
    return several[0]


def _npz_source(path: str, inputs: str, y: str | None) -> _Source:
    def load(wanted: Sequence[str], text: Collection[str]) -> tuple[list[np.ndarray], Sequence[int]]:
        with _arrays(path) as file:
            arrays = [(_inputs_of if name == inputs else _target_of)(path, file, name) for name in wanted]
        rows = [len(array) for array in arrays]
        if min(rows) != max(rows):
            raise TableError(f"{path}: {y!r} must have as many rows as {inputs!r}, which has {rows[0]}, got {rows[1]}")
        return arrays, range(1, rows[0] + 1)

    return _Source(path, [inputs, *([y] if y else [])], load, named=False)


def _with_test(table: Table) -> Table:
    """With the file's x_test and y_test, where it has them beside x_train and y_train."""
    with _arrays(table.source) as file:
        inputs = _first_of(TEST_NAMES, file.files)
        if table.target != "y_train" or inputs is None or "y_test" not in file.files:
            return table
    test = _npz_source(table.source, inputs, "y_test").table([inputs], "y_test", ())
    assert table.y is not None and test.y is not None
    if table.y.dtype != test.y.dtype or table.columns[table.features[0]][0].shape != test.columns[inputs][0].shape:
        kind = "the features and the kind of target to train on"
        raise TableError(f"{table.source}: {inputs} and y_test must have {kind}")
    return replace(table, test=test)


def _inputs_of(path: str, file: Any, name: str) -> np.ndarray:
    X = file[name]
    if X.dtype.kind not in "biuf" or X.ndim == 0:
        raise TableError(f"{path}: the array {name!r} must hold rows of numbers, got {X.dtype} of shape {X.shape}")
    if X.size == 0:
        raise TableError(f"{path}: the array {name!r} must hold at least one number, got shape {X.shape}")
    return X


def _target_of(path: str, file: Any, name: str) -> np.ndarray:
    y = file[name]
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "biufUS":
        raise TableError(
            f"{path}: the array {name!r} must hold one number or text a row, got {y.dtype} of shape {y.shape}"
        )
    return y.astype(str).astype(object) if y.dtype.kind in "US" else y.astype(np.float64)
