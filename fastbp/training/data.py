"""What users pass as X, y and weights: checked and converted."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from ..errors import brief, check_number
from ..model import Spec
from ..program.records import Shape
from ..runtime.functions import DTYPES

_CHECKED_AT_ONCE = 1 << 20  # elements
_COLUMNS_NAMED = 5  # in an error
_LARGEST = {dtype: np.finfo(dtype).max for dtype in DTYPES}


def _as_numbers(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array of numbers with rows of one length: {error}") from None
    if type(value) is not np.ndarray and np.ma.is_masked(value):
        raise ValueError(f"{name} must have no masked elements, got {np.ma.count_masked(value)} of {array.size}")
    if array.dtype.kind in "biuf":
        if array.dtype.kind == "f":
            _check_missing_columns(name, value, array)
        return array
    columns = list(_columns(value))
    if columns:
        return _from_columns(name, type(value).__name__, columns)
    if missing := _missing(array):
        kind = type(value).__name__
        raise ValueError(f"{name} must have no missing values, got a {kind} with {_counted(missing)}: {_FILL}")
    text = array.dtype.kind in "US" or (array.dtype.kind == "O" and array.size and isinstance(array.flat[0], str))
    what = "sparse matrix" if hasattr(value, "toarray") else f"{type(value).__name__} of dtype {array.dtype}"
    hint = "; np.unique(y, return_inverse=True)[1] gives labels" if name == "y" and text else ""
    if name == "X" and text:
        hint = "; X.astype(float) converts texts that are numbers"
    raise TypeError(f"{name} must hold numbers, got a {what}{hint}")


def _columns(frame: Any) -> Iterator[tuple[str, Any]]:
    """The names and columns of a pandas or polars DataFrame; nothing for what is none."""
    if hasattr(frame, "iter_columns"):
        yield from ((column.name, column) for column in frame.iter_columns())
    elif hasattr(frame, "columns") and hasattr(frame, "items"):
        yield from frame.items()


def _from_columns(name: str, kind: str, columns: list[tuple[str, Any]]) -> np.ndarray:
    """A frame whose columns have no common dtype as one array: flags beside floats, say."""
    arrays = [np.asarray(column) for _, column in columns]
    _check_missing(name, kind, zip((label for label, _ in columns), arrays, strict=True))
    bad = [
        f"{label!r} ({column.dtype})"
        for (label, column), array in zip(columns, arrays, strict=True)
        if array.dtype.kind not in "biuf"
    ]
    if bad:
        named = ", ".join(bad[:_COLUMNS_NAMED]) + (", …" if len(bad) > _COLUMNS_NAMED else "")
        raise TypeError(f"{name} must hold numbers, got a {kind} with other columns: {named}")
    return np.stack(arrays, axis=1)


_FILL = "fill them, with the column's median, say, or leave these rows out"


def _check_missing_columns(name: str, value: Any, array: np.ndarray) -> None:
    """As _check_missing, for a DataFrame, or a column of one, whose numbers are in `array`."""
    if array.ndim not in (1, 2) or not (hasattr(value, "columns") or hasattr(value, "name")) or array.size == 0:
        return
    if not np.isnan(np.min(array)):
        return
    labels = [value.name] if array.ndim == 1 else list(value.columns)
    _check_missing(name, type(value).__name__, zip(labels, array.reshape(len(array), -1).T, strict=True))


def _check_missing(name: str, kind: str, columns: Iterable[tuple[Any, np.ndarray]]) -> None:
    """Raise ValueError if columns of numbers lack some, and name them: NaN, and what pandas and polars have for it."""
    found = [(label, _missing(array)) for label, array in columns]
    bad = [f"{label!r} has {_counted(missing)}" for label, missing in found if missing]
    if bad:
        named = ", ".join(bad[:_COLUMNS_NAMED]) + (", …" if len(bad) > _COLUMNS_NAMED else "")
        raise ValueError(f"{name} must have no missing values, got a {kind} in which {named}: {_FILL}")


def _missing(array: np.ndarray) -> list[int]:
    """The rows of a column in which a number is missing; none if it holds something else than numbers beside that."""
    if array.dtype.kind == "f":
        return np.flatnonzero(np.isnan(array)).tolist()
    if array.dtype.kind != "O" or array.ndim != 1:
        return []
    rows, others = [], False
    for row, value in enumerate(array):
        if type(value).__name__ in ("NoneType", "NAType", "NaTType") or (
            isinstance(value, float) and math.isnan(value)
        ):
            rows.append(row)
        else:
            others = others or not isinstance(value, (numbers.Real, np.bool_))
    return [] if others else rows


def _counted(missing: list[int]) -> str:
    count = len(missing)
    return f"{count} missing value{'s, the first' if count > 1 else ''} in row {missing[0]}"


def _shape_text(shape: Shape) -> str:
    return f"(rows, {', '.join(map(str, shape))})" if shape else "(rows,)"


def check_finite(name: str, array: np.ndarray, dtype: np.dtype, first: int = 0) -> None:
    """Raise ValueError at the first value that is NaN or infinite, or becomes so in `dtype`.

    first: the number of the first row, for the error.
    """
    if array.dtype.kind != "f" or array.size == 0:
        return
    limit = _LARGEST[dtype]
    step = max(1, _CHECKED_AT_ONCE * len(array) // array.size)
    for start in range(0, len(array), step):
        chunk = array[start : start + step]
        if (
            -limit <= np.minimum.reduce(chunk, axis=None) and np.maximum.reduce(chunk, axis=None) <= limit
        ):  # not for NaN
            continue
        values = chunk.reshape(len(chunk), -1)
        row, column = np.argwhere(~(np.abs(values) <= limit))[0]
        got = f"got {values[row, column]} in row {first + start + row}"
        raise ValueError(f"{name} must be finite numbers within ±{limit:.4g} ({dtype}), {got}")


def check_inputs(X: Any, input_shape: Shape, name: str = "X") -> np.ndarray:
    """X as an array of the shape (rows, *input_shape), rows at least 1; its values are not looked at.

    Raises TypeError if it holds no numbers, ValueError for another shape.
    """
    array = _as_numbers(name, X)
    if array.shape[1:] != input_shape or array.ndim == 0:
        hint = _shape_hint(array.shape, input_shape, name.rpartition(" ")[2])
        raise ValueError(f"{name} must have shape {_shape_text(input_shape)}, got {array.shape}{hint}")
    if len(array) == 0:
        raise ValueError(f"{name} must have at least 1 row, got 0")
    return array


def _shape_hint(shape: Shape, input_shape: Shape, name: str) -> str:
    """What makes the inputs `name`, of another shape, what they must be, as far as one can tell."""
    if shape == input_shape:
        return f"; one row is {name}[np.newaxis]"
    if len(input_shape) > 1 and shape[1:] == (*input_shape[1:], input_shape[0]):
        return f"; np.moveaxis({name}, -1, 1) puts the channels first"
    if len(shape) < 1 or math.prod(shape[1:]) != math.prod(input_shape):
        return ""
    new = f"; {name}.reshape({', '.join(map(str, (-1, *input_shape)))}) has it"
    flattened = len(shape) > 2 and len(input_shape) == 1
    return f"{new}, or let the network begin with Flatten() and input_shape={shape[1:]}" if flattened else new


def check_targets(y: Any, rows: int, spec: Spec, name: str = "y") -> tuple[np.ndarray, str]:
    """y as an array, and its kind, a key of the loss's `kernels`; its values are not looked at.

    The array is (rows, 1) for "labels", else (rows, targets): as many as outputs, for most losses.
    Raises TypeError if it holds no numbers, ValueError for another shape.
    """
    array, outputs = _as_numbers(name, y), spec.targets
    if array.ndim == 0 or len(array) != rows:
        got = "a single number" if array.ndim == 0 else str(len(array))
        raise ValueError(f"{name} must have as many rows as X, which has {rows}, got {got}")
    if "labels" in spec.loss.kernels and array.shape in ((rows,), (rows, 1)):
        return array.reshape(rows, 1), "labels"
    kind = "probabilities" if "labels" in spec.loss.kernels else "values"
    if spec.loss.shares_target and array.shape in ((rows,), (rows, 1)):
        return np.broadcast_to(array.reshape(rows, 1), (rows, outputs)), kind
    if (array.shape == (rows,) and outputs == 1) or (
        array.shape == (rows, *spec.output_shape) and outputs == spec.outputs
    ):
        array = array.reshape(rows, outputs)
    if array.shape != (rows, outputs):
        also = " or labels of shape (rows,)" if kind == "probabilities" else " or (rows,)" if outputs == 1 else ""
        hint = _labels_hint(array, outputs, spec, name)
        if spec.outputs != outputs:
            hint = f"; for {spec.loss.name} two outputs, a mean and the logarithm of a variance, stand for one target"
        raise ValueError(f"{name} must have shape (rows, {outputs}){also}, got {array.shape}{hint}")
    return array, kind


def _labels_hint(array: np.ndarray, outputs: int, spec: Spec, name: str) -> str:
    """What turns class labels into what a loss without labels takes, if it may be such labels that were given."""
    flat = array.ravel()
    are_labels = array.shape in ((len(array),), (len(array), 1)) and array.dtype.kind in "biuf" and outputs > 1
    if not are_labels or not ((flat >= 0) & (flat < outputs) & (flat == np.floor(flat))).all():
        return ""
    variable = name.rpartition(" ")[2]  # behind what says where it was given
    index = variable if array.ndim == 1 else f"{variable}[:, 0]"
    index += "" if array.dtype.kind in "iu" else ".astype(int)"
    return f"; if these are class labels, give np.eye({outputs})[{index}], or use loss='cross_entropy'"


def convert_targets(y: np.ndarray, kind: str, spec: Spec, name: str = "y", first: int = 0) -> np.ndarray:
    """What check_targets gave as a copy of the network's dtype, as kernels trust what was checked.

    first: the number of the first row, for errors.
    Raises ValueError for labels or probabilities out of range, or a value that is not finite.
    """
    check_finite(name, y, spec.dtype, first)
    if kind == "labels":
        bad = (y < 0) | (y >= spec.outputs) | (y != np.floor(y))
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(
                f"{name} must hold labels 0 to {spec.outputs - 1} (the network has {spec.outputs} outputs),"
                f" got {y[row, 0]} in row {first + row}"
            )
        return np.array(y, spec.dtype, order="C")
    low, high = spec.loss.range
    if y.size and (y.min() < low or y.max() > high):
        wanted = f"within {low:g} to {high:g}" if high < np.inf else f"{low:g} or more"
        raise ValueError(f"{name} must be {wanted} for {spec.loss.name}, got values from {y.min():g} to {y.max():g}")
    spec.loss.check_values(y, name)
    return np.array(y, spec.dtype, order="C")


def check_weights(sample_weight: Any, rows: int, name: str = "sample_weight") -> np.ndarray | None:
    """The weights as an array (rows,), whose values are not looked at; None stays None.

    Raises TypeError if they are no numbers, ValueError for another shape.
    """
    if sample_weight is None:
        return None
    array = _as_numbers(name, sample_weight)
    if array.shape == (rows, 1):
        array = array[:, 0]
    if array.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},), one weight a row of X, got {array.shape}")
    return array


def convert_weights(weight: np.ndarray, dtype: np.dtype, name: str = "sample_weight", first: int = 0) -> np.ndarray:
    """What check_weights gave as a copy of `dtype`; first: the number of the first row, for errors.

    Raises ValueError for a weight that is negative or not finite.
    """
    check_finite(name, weight, dtype, first)
    if weight.min() < 0:
        row = int(np.argmax(weight < 0))
        raise ValueError(f"{name} must be 0 or more, got {weight[row]} in row {first + row}")
    return np.array(weight, dtype)


class Countable(Protocol):
    """Rows of data, of which one can say how many there are of each class."""

    def count(self, classes: int) -> np.ndarray: ...


def check_class_weight(class_weight: Any, rows: Countable, spec: Spec) -> np.ndarray | None:
    """The weight of each class (classes,) in the network's dtype; one that is not named weighs 1. None stays None.

    class_weight: a mapping from label to weight, or "balanced": rows / (classes × rows of the class), over the
    classes that there are rows of.
    Raises TypeError or ValueError for anything else, or if rows have no classes.
    """
    if class_weight is None:
        return None
    if not isinstance(class_weight, Mapping) and not (isinstance(class_weight, str) and class_weight == "balanced"):
        raise TypeError(
            f"class_weight must be a mapping from label to weight, 'balanced' or None, got {brief(class_weight)}"
        )
    if not spec.classes:
        losses = "cross_entropy, or one output with binary_cross_entropy or hinge"
        raise ValueError(f"class_weight must be None unless each row is of one class: {losses}")
    table = np.ones(spec.classes)
    if isinstance(class_weight, Mapping):
        for label, weight in class_weight.items():
            if isinstance(label, bool) or not isinstance(label, (int, np.integer)) or not 0 <= label < spec.classes:
                labels = f"labels 0 to {spec.classes - 1}"
                raise ValueError(f"class_weight must map {labels} to weights, got the label {label!r}")
            table[label] = check_number(f"class_weight[{label}]", weight, low=0)
            if table[label] > np.finfo(spec.dtype).max:
                raise ValueError(f"class_weight[{label}] must be a number that {spec.dtype} has, got {weight!r}")
    else:
        counts = rows.count(spec.classes)
        there = counts > 0
        table[there] = counts.sum() / (np.count_nonzero(there) * counts[there])
    return table.astype(spec.dtype)
