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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .table import MISSING, Table, TableError, listed, number

BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")
INPUT_NAMES, TARGET_NAMES = ("X", "x", "data"), ("y", "target")
TRAINING_NAMES, TEST_NAMES = ("x_train", "X_train"), ("x_test", "X_test")
_PARQUET = (".parquet", ".pq")
_OR_DATA = " (with --no-header the first line is data)"


def stem(source: str) -> str:
    """The data's name without folder and endings: "cars" for "tables/cars.csv.gz"."""
    name = Path(source).name
    for ending in (".gz", ".csv", ".tsv", ".txt", ".npz", *_PARQUET):
        if len(name) > len(ending):
            name = name.removesuffix(ending)
    return name


def read(
    source: str, target: str | None, *, header: bool, known: Sequence[str] = (), predicting: bool = False
) -> Table:
    """All that a file holds, or a data set that scikit-learn ships.

    Arguments:
        source: a path, or one of BUNDLED.
        target: the name of the target's array in an NPZ file, if it is known.
        header: whether a CSV file may have a header line.
        known: names that together make a first line the header, whatever they look like.
        predicting: whether the test set of an NPZ file comes first.

    Raises TableError for anything that is not a table with rows; OSError if the file can't be read.
    """
    path = Path(source)
    if source in BUNDLED:
        return _bundled(source)
    if path.is_dir():
        raise TableError(f"{source} is a folder: DATA must be a file")
    if not path.exists():
        raise TableError(f"no such file: {source} (data sets that have a name: {', '.join(BUNDLED)})")
    if source.endswith(".npz"):
        return _npz_to_predict(source, target) if predicting else _npz(source, target)
    table = _parquet(source) if source.endswith(_PARQUET) else _csv(source, header, known)
    if len(table) == 0:
        raise TableError(f"{source} has no rows")
    return table


def _check_names(source: str, names: Sequence[str], advice: str = "") -> None:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise TableError(f"{source}: two columns have the name {name!r}{advice}")


def _bundled(name: str) -> Table:
    try:
        from sklearn import datasets
    except ImportError:
        raise TableError(f"the data set {name!r} needs scikit-learn: pip install 'fastbp[sklearn]'") from None
    bunch = getattr(datasets, f"load_{name}")()
    y = np.asarray(bunch.target, np.float64)
    if "target_names" in bunch:
        y = np.asarray(bunch.target_names).astype(str).astype(object)[bunch.target]
    columns = dict(zip(map(str, bunch.feature_names), bunch.data.T, strict=True))
    return Table(name, {**columns, "target": y}, np.arange(1, len(y) + 1))


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
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise TableError(f"{path}, line {reader.line_num}: {error}") from None
    except UnicodeDecodeError:
        raise TableError(f"{path} is not text in UTF-8: DATA must be a CSV, NPZ or Parquet file") from None


def _is_text(cell: str) -> bool:
    return math.isnan(number(cell)) and cell.lower() not in MISSING


def _is_header(path: str, first: list[str], known: Sequence[str]) -> bool:
    """Whether a CSV file's first line holds a text or all known names, or is 0, 1, 2, …, pandas' names for want of any.

    Raises TableError if an empty cell is before such numbers: pandas' index.
    """
    index = first[0] == ""
    if len(first) > 1 and first[index:] == [str(place) for place in range(len(first) - index)]:
        if index:
            advice = "name it or, if it is pandas' index, write the file with index=False"
            raise TableError(f"{path}: the first column has no name: {advice}{_OR_DATA}")
        return True
    return any(map(_is_text, first)) or (len(known) > 0 and set(known) <= set(first))


def _csv(path: str, header: bool, known: Sequence[str]) -> Table:
    """Columns that hold a text are texts, which are read in a second pass; numbers take a tenth of their memory.

    Without a header line the columns' names are their numbers, from 1.
    """
    data = _bytes(path)
    _, first = next(_rows(path, data), (0, []))
    if not first:
        raise TableError(f"{path} is empty")
    named = header and _is_header(path, first, known)
    names = [(named and cell) or str(place) for place, cell in enumerate(first, 1)]
    _check_names(path, names, _OR_DATA)

    values, lines = array("d"), array("q")
    texts: dict[int, list[str]] = {}
    for line, cells in itertools.islice(_rows(path, data), named, None):
        if len(cells) != len(names):
            raise TableError(f"{path}, line {line}: expected {len(names)} cells, found {len(cells)}")
        try:
            if b"_" in data:  # float takes "1_2" for a number
                raise ValueError
            values.extend([float(cell) for cell in cells])
        except ValueError:
            numbers = [math.nan if place in texts else number(cell) for place, cell in enumerate(cells)]
            values.extend(numbers)
            texts |= {i: [] for i, n in enumerate(numbers) if math.isnan(n) and i not in texts and _is_text(cells[i])}
        lines.append(line)
    once: dict[str, str] = {}  # equal cells share one object
    for _, cells in itertools.islice(_rows(path, data), named, None) if texts else ():
        for place, column in texts.items():
            column.append(once.setdefault(cells[place], cells[place]))
    columns: list[Any] = list(np.asarray(values).reshape(-1, len(names)).T)
    for place, column in texts.items():
        columns[place] = np.array(column, object)

    def spelled(wanted: Sequence[str]) -> dict[str, np.ndarray]:
        places = [names.index(name) for name in wanted]
        rows = [[cells[place] for place in places] for _, cells in itertools.islice(_rows(path, data), named, None)]
        return dict(zip(wanted, np.array(rows, object).T, strict=True))

    return Table(path, dict(zip(names, columns, strict=True)), np.asarray(lines), named, guessed=True, spelled=spelled)


# --- Parquet ------------------------------------------------------------------------------------------


def _parquet(path: str) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise TableError(f"{path}: a Parquet file needs pyarrow: pip install 'fastbp[parquet]'") from None
    with open(path, "rb") as file:
        try:
            source = parquet.ParquetFile(file, page_checksum_verification=True)
            schema = source.schema_arrow
            index = (schema.pandas_metadata or {}).get("index_columns", ())  # pandas writes it behind the columns
            names = [name for name in schema.names if name not in index]
            _check_names(path, names)
            there = [name for name in names if _is_column(schema.field(name).type)]
            arrow = source.read(columns=there)  # "a.b" reads the part b of a nested column a, too
        except (pyarrow.ArrowException, OSError) as error:
            raise TableError(f"{path} is not a Parquet file that can be read: {error}") from None
    columns = {name: _from_arrow(arrow[name]) if name in there else str(schema.field(name).type) for name in names}
    others = [name for name in schema.names if name in index]
    numbering = np.arange(1, source.metadata.num_rows + 1)
    return Table(path, columns, numbering, others=others, carried=lambda names: _texts_in_parquet(path, names))


def _texts_in_parquet(path: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Columns as texts, "" where one is missing."""
    import pyarrow
    from pyarrow import parquet, types

    found = {}
    for name in names:
        with open(path, "rb") as file:
            column = parquet.ParquetFile(file, page_checksum_verification=True).read(columns=[name])[name]
        try:
            if types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            texts = column.cast(pyarrow.string()).to_pylist()
        except pyarrow.ArrowException:
            raise TableError(f"{path}: the column {name!r} of {column.type} can't be kept as text") from None
        found[name] = np.array([text or "" for text in texts], object)
    return found


def _is_column(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    numbers = types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return numbers or types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind)


def _from_arrow(column: Any) -> np.ndarray:
    """Flags and numbers as numbers, texts as texts, categories as what they are."""
    from pyarrow import float64, types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if types.is_string(column.type) or types.is_large_string(column.type):
        return np.array([(text or "").strip() for text in column.to_pylist()], object)
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


def _array(path: str, file: Any, name: str) -> np.ndarray:
    """Raises TableError if it is no array, or one of Python objects, which np.load would have to unpickle."""
    try:
        array = file[name]
    except ValueError as error:
        if not str(error).startswith("Object arrays"):
            raise
        cure = f"save {name}.astype(float) if they are numbers, {name}.astype(str) if they are texts"
        raise TableError(f"{path}: the array {name!r} holds Python objects: {cure}") from None
    if not isinstance(array, np.ndarray):  # np.load gives the bytes of what is no array
        raise TableError(f"{path}: {name!r} is not an array")
    return array


def _npz(path: str, target: str | None) -> Table:
    """The arrays of the features and, behind it, of the target."""
    with _arrays(path) as file:
        there = file.files
        if target is not None and target not in there:
            raise TableError(f"{path} has no array {target!r} for --target; it has {listed(there)}")
        inputs, test = _first_of(TRAINING_NAMES, there), _first_of(TEST_NAMES, there)
        if inputs and "y_train" in there and target in (None, "y_train"):
            table = _table(path, file, inputs, "y_train")
            return _with_test(table, _table(path, file, test, "y_test")) if test and "y_test" in there else table
        y = target or _first_of(TARGET_NAMES, there)
        if y is None:
            raise TableError(f"{path} has no array {' or '.join(TARGET_NAMES)} (or --target); it has {listed(there)}")
        return _table(path, file, _find_inputs(path, file, y), y)


def _npz_to_predict(path: str, target: str | None) -> Table:
    """The same where there may be no target, of the test set if there is one."""
    with _arrays(path) as file:
        inputs = _first_of(TEST_NAMES, file.files)
        y = _first_of(["y_test"] if inputs else [target, *TARGET_NAMES], file.files)
        return _table(path, file, inputs or _find_inputs(path, file, y), y)


def _first_of(names: Iterable[str | None], there: Sequence[str]) -> str | None:
    return next((name for name in names if name in there), None)


def _find_inputs(path: str, file: Any, y: str | None) -> str:
    """The array's name: one of INPUT_NAMES, or the only one of two or more dimensions besides the target."""
    found = _first_of((name for name in INPUT_NAMES if name != y), file.files)
    if found is not None:
        return found
    several = [name for name in file.files if name != y and _array(path, file, name).ndim >= 2]
    if len(several) != 1:
        names = " or ".join(INPUT_NAMES)
        raise TableError(f"{path} has no array {names} for the features; it has {listed(file.files)}")
    return several[0]


def _table(path: str, file: Any, inputs: str, target: str | None) -> Table:
    X = _array(path, file, inputs)
    if X.dtype.kind not in "biuf" or X.size == 0:
        raise TableError(f"{path}: the array {inputs!r} must hold rows of numbers, got {X.dtype} of shape {X.shape}")
    columns = {inputs: np.atleast_1d(X)}
    if target is not None:
        columns[target] = y = _target(path, target, _array(path, file, target))
        if len(y) != len(X):
            rows = f"as many rows as {inputs!r}, which has {len(X)}"
            raise TableError(f"{path}: {target!r} must have {rows}, got {len(y)}")
    others = [name for name in file.files if name not in columns]
    numbering = np.arange(1, len(columns[inputs]) + 1)

    def carried(names: Sequence[str]) -> dict[str, np.ndarray]:
        with _arrays(path) as again:
            return {name: _texts_of_array(path, name, _array(path, again, name), len(numbering)) for name in names}

    return Table(path, columns, numbering, named=False, target=target, others=others, carried=carried)


def _texts_of_array(path: str, name: str, array: np.ndarray, rows: int) -> np.ndarray:
    if array.shape not in ((rows,), (rows, 1)):
        needed = f"one number or text for each of the {rows} rows"
        raise TableError(f"{path}: the array {name!r} must hold {needed} to be kept, got the shape {array.shape}")
    return array.reshape(rows).astype(str).astype(object)


def _target(path: str, name: str, y: np.ndarray) -> np.ndarray:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "biufUS":
        got = f"{y.dtype} of shape {y.shape}"
        raise TableError(f"{path}: the array {name!r} must hold one number or text a row, got {got}")
    return y.astype(str).astype(object) if y.dtype.kind in "US" else y.astype(np.float64)


def _with_test(table: Table, test: Table) -> Table:
    (X, y), (test_X, test_y) = table.columns.values(), test.columns.values()
    if X.shape[1:] != test_X.shape[1:] or y.dtype != test_y.dtype:
        names = " and ".join(test.columns)
        raise TableError(f"{table.source}: {names} must have the features and the kind of target to train on")
    return replace(table, test=test)
