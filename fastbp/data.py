"""What users pass as X, y and weights: checked, described, and handed to a workspace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .errors import check_number
from .losses import Loss
from .plan import Shape, Workspace, is_native

_CHECKED_AT_ONCE = 1 << 20  # elements
_STAGED_AT_ONCE = 1 << 22  # bytes, of converted rows
_CHUNK_FLOPS = 1e10


def _as_numbers(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array of numbers with rows of one length: {error}") from None
    if array.dtype.kind not in "biuf":
        what = "sparse matrix" if hasattr(value, "toarray") else f"{type(value).__name__} of dtype {array.dtype}"
        hint = "; np.unique(y, return_inverse=True)[1] gives labels" if name == "y" and array.dtype.kind in "US" else ""
        raise TypeError(f"{name} must hold numbers, got a {what}{hint}")
    return array


def _shape_text(shape: Shape) -> str:
    return f"(rows, {', '.join(map(str, shape))})" if shape else "(rows,)"


def _check_finite(name: str, array: np.ndarray, dtype: np.dtype) -> None:
    """Raise ValueError at the first value that is NaN or infinite, or becomes so in `dtype`."""
    if array.dtype.kind != "f" or array.size == 0:
        return
    limit = np.finfo(dtype).max
    step = max(1, _CHECKED_AT_ONCE * len(array) // array.size)
    for start in range(0, len(array), step):
        chunk = array[start : start + step]
        if -limit <= chunk.min() and chunk.max() <= limit:  # both are false for NaN
            continue
        values = chunk.reshape(len(chunk), -1)
        row, column = np.argwhere(~(np.abs(values) <= limit))[0]
        got = f"got {values[row, column]} in row {start + row}"
        raise ValueError(f"{name} must be finite numbers within ±{limit:.4g} ({dtype}), {got}")


def check_inputs(X: Any, input_shape: Shape, dtype: np.dtype, name: str = "X") -> np.ndarray:
    """X as an array of the shape (rows, *input_shape), rows at least 1, finite; not converted.

    Raises TypeError if it holds no numbers, ValueError for another shape or a value that is not finite.
    """
    array = _as_numbers(name, X)
    if array.shape[1:] != input_shape or array.ndim == 0:
        hint = "; one row is X[np.newaxis]" if array.shape == input_shape else ""
        raise ValueError(f"{name} must have shape {_shape_text(input_shape)}, got {array.shape}{hint}")
    if len(array) == 0:
        raise ValueError(f"{name} must have at least 1 row, got 0")
    _check_finite(name, array, dtype)
    return array


class Targets(NamedTuple):
    """Targets as the loss's kernel reads them: values (rows, width), and which kind they are."""

    values: np.ndarray
    kind: str


def check_targets(y: Any, rows: int, output_shape: Shape, loss: Loss, dtype: np.dtype, name: str = "y") -> Targets:
    """y for a loss and the shape of a row's outputs: a copy of `dtype`, as kernels trust what was checked.

    Raises TypeError if it holds no numbers, ValueError for another shape, labels or probabilities out of range,
    or a value that is not finite.
    """
    array, outputs = _as_numbers(name, y), int(np.prod(output_shape))
    if array.ndim == 0 or len(array) != rows:
        got = "a single number" if array.ndim == 0 else str(len(array))
        raise ValueError(f"{name} must have as many rows as X, which has {rows}, got {got}")
    _check_finite(name, array, dtype)
    if "labels" in loss.kernels and array.shape in ((rows,), (rows, 1)):
        labels = array.reshape(rows, 1)
        bad = (labels < 0) | (labels >= outputs) | (labels != np.floor(labels))
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(
                f"{name} must hold labels 0 to {outputs - 1} (the network has {outputs} outputs),"
                f" got {labels[row, 0]} in row {row}"
            )
        return Targets(np.array(labels, dtype, order="C"), "labels")
    kind = "probabilities" if "labels" in loss.kernels else "values"
    if (array.shape == (rows,) and outputs == 1) or array.shape == (rows, *output_shape):
        array = array.reshape(rows, outputs)
    if array.shape != (rows, outputs):
        also = " or labels of shape (rows,)" if kind == "probabilities" else " or (rows,)" if outputs == 1 else ""
        raise ValueError(f"{name} must have shape (rows, {outputs}){also}, got {array.shape}")
    low, high = loss.range
    if array.size and (array.min() < low or array.max() > high):
        wanted = f"within {low:g} to {high:g}" if high < np.inf else f"{low:g} or more"
        raise ValueError(f"{name} must be {wanted} for {loss.name}, got values from {array.min():g} to {array.max():g}")
    return Targets(np.ascontiguousarray(loss.targets(np.array(array, dtype, order="C"), name), dtype), kind)


def check_weights(sample_weight: Any, rows: int, dtype: np.dtype, name: str = "sample_weight") -> np.ndarray | None:
    """The weights (rows,) converted to `dtype`; None stays None.

    Raises TypeError if they are no numbers, ValueError for another shape or a weight that is negative or not finite.
    """
    if sample_weight is None:
        return None
    array = _as_numbers(name, sample_weight)
    if array.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},), one weight a row of X, got {array.shape}")
    _check_finite(name, array, dtype)
    if (array < 0).any():
        row = int(np.argmax(array < 0))
        raise ValueError(f"{name} must be 0 or more, got {array[row]} in row {row}")
    return np.array(array, dtype)


def weigh_classes(class_weight: Any, targets: Targets, outputs: int, weights: np.ndarray | None) -> np.ndarray | None:
    """The row weights, times the weight of each row's class; one that is not named weighs 1.

    class_weight: a mapping from label to weight, or "balanced": rows / (classes × rows of the class), over the
    classes that y holds. Raises TypeError or ValueError for anything else, or if y holds no labels.
    """
    if class_weight is None:
        return weights
    if targets.kind != "labels":
        raise ValueError("class_weight must be None unless y holds integer class labels and the loss is cross_entropy")
    labels = targets.values[:, 0].astype(np.int64)
    table = np.ones(outputs)
    if isinstance(class_weight, Mapping):
        for label, weight in class_weight.items():
            if isinstance(label, bool) or not isinstance(label, (int, np.integer)) or not 0 <= label < outputs:
                raise ValueError(f"class_weight must map labels 0 to {outputs - 1} to weights, got the label {label!r}")
            table[label] = check_number(f"class_weight[{label}]", weight, low=0)
    elif isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(labels, minlength=outputs)
        table = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    else:
        raise TypeError(
            f"class_weight must be a mapping from label to weight, 'balanced' or None, got {class_weight!r}"
        )
    with np.errstate(over="ignore"):
        by_class = table[labels].astype(targets.values.dtype)
    _check_finite("class_weight", by_class, by_class.dtype)
    return by_class if weights is None else weights * by_class


class Feed:
    """Runs programs over rows of x, y and weight, in any order; x is converted a piece at a time if it must be."""

    def __init__(self, x: np.ndarray, targets: Targets | None = None, weight: np.ndarray | None = None):
        self.x, self.weight = x, weight
        self.y: np.ndarray | None = None if targets is None else targets.values
        self.kind = "" if targets is None else targets.kind
        self.rows = len(x)

    def run(
        self,
        workspace: Workspace,
        program: str,
        batch_size: int,
        *,
        first: int = 0,
        last: int | None = None,
        order: np.ndarray | None = None,
        out: np.ndarray | None = None,
    ) -> int:
        """Run `program` on the batches first .. last; returns the first that was not run, as Workspace.run does.

        order: (rows,) int64, which rows make up the batches; out: (rows, …), where outputs go.
        """
        if last is None:
            last = -(-self.rows // batch_size)
        if is_native(self.x):
            with workspace.bound(self.x, self.y, self.weight, order, out):
                return self._run_chunks(workspace, program, batch_size, first, last)
        row_bytes = max(1, self.x[0].size * workspace.dtype.itemsize)
        step = max(1, _STAGED_AT_ONCE // (row_bytes * batch_size))
        for begin in range(first, last, step):
            end = min(begin + step, last)
            rows: Any = slice(begin * batch_size, min(end * batch_size, self.rows))
            piece = None if out is None else out[rows]
            if order is not None:
                rows = order[rows]
            x = np.ascontiguousarray(self.x[rows], workspace.dtype)
            y = None if self.y is None else self.y[rows]
            with workspace.bound(x, y, None if self.weight is None else self.weight[rows], None, piece):
                done = workspace.run(program, self.kind, len(x), batch_size, 0, end - begin)
            if done < end - begin:
                return begin + done
        return last

    def _run_chunks(self, workspace: Workspace, program: str, batch_size: int, first: int, last: int) -> int:
        """Run the batches in compiled calls of some 0.1 s, so that Ctrl-C is heard between them."""
        step = max(1, int(_CHUNK_FLOPS / (workspace.plan.flops * batch_size)))
        for begin in range(first, last, step):
            end = min(begin + step, last)
            done = workspace.run(program, self.kind, self.rows, batch_size, begin, end)
            if done < end:
                return done
        return last
