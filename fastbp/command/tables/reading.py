"""Files into tables: CSV, NPZ, Parquet, and the data sets that scikit-learn ships."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .delimited import left_out, read_csv
from .dialect import CSVFormat
from .table import Table, TableError, check_names, labels, listed, quoted

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


def read(
    source: str,
    target: str | None,
    *,
    header: bool,
    form: CSVFormat,
    known: Sequence[str] = (),
    predicting: bool = False,
) -> Table:
    """All that a file holds, or a data set that scikit-learn ships.

    Arguments:
        source: a path, or one of BUNDLED.
        target: the name of the target's array in an NPZ file, if it is known.
        header: whether a CSV file may have a header line.
        form: how a CSV file is written.
        known: names that together make a first line the header, whatever they look like.
        predicting: whether the test set of an NPZ file comes first.

    Raises TableError for anything that is not a table with rows; OSError if the file can't be read.
    """
    path, is_csv = Path(source), source not in BUNDLED and not source.endswith((".npz", *_PARQUET))
    if form.given() and not is_csv:
        raise TableError(f"{form.given()[0]} is for CSV files, and {source} is none")
    if source in BUNDLED:
        return _bundled(source)
    if path.is_dir():
        raise TableError(f"{source} is a folder: DATA must be a file")
    if not path.exists():
        raise TableError(f"no such file: {source} (data sets that have a name: {', '.join(BUNDLED)})")
    if source.endswith(".npz"):
        return _npz_to_predict(source, target) if predicting else _npz(source, target)
    table = read_csv(source, form, header, known) if is_csv else _parquet(source)
    if len(table) == 0:
        raise TableError(f"{source} has no rows")
    return table


def _bundled(name: str) -> Table:
    try:
        from sklearn import datasets
    except ImportError:
        raise TableError(f"the data set {quoted(name)} needs scikit-learn: pip install 'fastbp[sklearn]'") from None
    bunch = getattr(datasets, f"load_{name}")()
    y = np.asarray(bunch.target, np.float64)
    if "target_names" in bunch:
        y = np.asarray(bunch.target_names).astype(str).astype(object)[bunch.target]
    columns = dict(zip(map(str, bunch.feature_names), bunch.data.T, strict=True))
    return Table(name, {**columns, "target": y}, np.arange(1, len(y) + 1))


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
            check_names(path, names)
            there = [name for name in names if _is_column(schema.field(name).type)]
            arrow = source.read(columns=there)  # "a.b" reads the part b of a nested column a, too
        except (pyarrow.ArrowException, OSError) as error:
            raise TableError(f"{path} is not a Parquet file that can be read: {error}") from None
    columns = {name: _from_arrow(arrow[name]) if name in there else str(schema.field(name).type) for name in names}

    def spelled(wanted: Sequence[str]) -> dict[str, np.ndarray]:
        return {name: _labels(arrow[name], columns[name]) for name in wanted}

    numbering = np.arange(1, source.metadata.num_rows + 1)
    others = [name for name in schema.names if name in index]
    unnamed = left_out(names, list(columns.values()))
    return Table(
        path,
        columns,
        numbering,
        others=others,
        carried=lambda names: _texts_in_parquet(path, names),
        left_out=unnamed,
        spelled=spelled,
    )


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
            raise TableError(f"{path}: the column {quoted(name)} of {column.type} can't be kept as text") from None
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


def _labels(column: Any, values: Any) -> np.ndarray:
    """The numbers of a column as names; integers of any size."""
    from pyarrow import types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if types.is_integer(kind) or (types.is_decimal(kind) and kind.scale == 0):
        return np.array(["" if value is None else str(value) for value in column.to_pylist()], object)
    return labels(values)


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
        raise TableError(f"{path}: the array {quoted(name)} holds Python objects: {cure}") from None
    if not isinstance(array, np.ndarray):  # np.load gives the bytes of what is no array
        raise TableError(f"{path}: {quoted(name)} is not an array")
    return array


def _npz(path: str, target: str | None) -> Table:
    """The arrays of the features and, behind it, of the target."""
    with _arrays(path) as file:
        there = file.files
        if target is not None and target not in there:
            raise TableError(f"{path} has no array {quoted(target)} for --target; it has {listed(there)}")
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
        raise TableError(
            f"{path}: the array {quoted(inputs)} must hold rows of numbers, got {X.dtype} of shape {X.shape}"
        )
    columns = {inputs: np.atleast_1d(X)}
    if target is not None:
        columns[target] = y = _target(path, target, _array(path, file, target))
        if len(y) != len(X):
            rows = f"as many rows as {quoted(inputs)}, which has {len(X)}"
            raise TableError(f"{path}: {quoted(target)} must have {rows}, got {len(y)}")
    others = [name for name in file.files if name not in columns]
    numbering = np.arange(1, len(columns[inputs]) + 1)

    def carried(names: Sequence[str]) -> dict[str, np.ndarray]:
        with _arrays(path) as again:
            return {name: _texts_of_array(path, name, _array(path, again, name), len(numbering)) for name in names}

    return Table(path, columns, numbering, named=False, target=target, others=others, carried=carried)


def _texts_of_array(path: str, name: str, array: np.ndarray, rows: int) -> np.ndarray:
    if array.shape not in ((rows,), (rows, 1)):
        needed = f"one number or text for each of the {rows} rows"
        raise TableError(f"{path}: the array {quoted(name)} must hold {needed} to be kept, got the shape {array.shape}")
    return array.reshape(rows).astype(str).astype(object)


def _target(path: str, name: str, y: np.ndarray) -> np.ndarray:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "biufUS":
        got = f"{y.dtype} of shape {y.shape}"
        raise TableError(f"{path}: the array {quoted(name)} must hold one number or text a row, got {got}")
    if y.dtype.kind in "US":
        return y.astype(str).astype(object)
    return y if y.dtype.kind in "iu" else y.astype(np.float64)  # integers of any size may be names


def _with_test(table: Table, test: Table) -> Table:
    (X, y), (test_X, test_y) = table.columns.values(), test.columns.values()
    if X.shape[1:] != test_X.shape[1:] or (y.dtype == object) != (test_y.dtype == object):
        names = " and ".join(test.columns)
        raise TableError(f"{table.source}: {names} must have the features and the kind of target to train on")
    return replace(table, test=test)
