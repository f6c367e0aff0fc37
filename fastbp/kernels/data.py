"""Rows in and out: a batch is gathered from the user's arrays, and outputs are written to them."""

from __future__ import annotations

from numba import types

from ..runtime.functions import inner, kernel
from ..simd.entry import Array, Integers, Size
from ..simd.memory import offset, pointer
from ..simd.vectors import lanes

# How the user's array is described, in int64s (Workspace.bind writes them).
ADDRESS, TYPE, ROW_STRIDE, COLUMN_STRIDE = range(4)  # strides in elements
FLOAT32, FLOAT64, UINT8, INT32, INT64 = range(5)  # the element types that kernels read as they are


@inner
def type_code(dtype):
    """FLOAT32 or FLOAT64."""
    return FLOAT32 if lanes(dtype) > lanes(types.float64) else FLOAT64


@inner
def _copy_row(y, x, stride, features, dtype):
    if stride == 1:
        for c in range(features):
            y[c] = dtype(x[c])
    else:
        for c in range(features):
            y[c] = dtype(x[c * stride])


@kernel
def load_rows(y: Array, source: Integers, order: Integers, start: Integers, features: Size, dtype, rows, lo, hi):
    """y[r] = source[order[start + r]], converted.

    Writes y (rows, features).
    Reads  source: an array of any strides, described by four int64s; order: the address of an int64
           array, or 0 for the rows as they stand; start: the batch's first place in it.
    """
    ordered, order, first = order[0] != 0, pointer(order[0], types.int64), start[0]
    address, kind = source[ADDRESS], source[TYPE]
    row_stride, stride = source[ROW_STRIDE], source[COLUMN_STRIDE]
    as_they_stand = not ordered and kind == type_code(dtype)
    if as_they_stand and features == 1 and row_stride == 0:  # one number for all rows: weights of 1
        value = pointer(address, dtype)[0]
        for r in range(lo, hi):
            y[r] = value
        return
    if as_they_stand and stride == 1 and row_stride == features:
        source_rows = offset(pointer(address, dtype), (first + lo) * features)
        _copy_row(offset(y, lo * features), source_rows, 1, (hi - lo) * features, dtype)
        return
    for r in range(lo, hi):
        i = first + r
        if ordered:
            i = order[i]
        at, row = i * row_stride, offset(y, r * features)
        if kind == FLOAT32:
            _copy_row(row, offset(pointer(address, types.float32), at), stride, features, dtype)
        elif kind == FLOAT64:
            _copy_row(row, offset(pointer(address, types.float64), at), stride, features, dtype)
        elif kind == UINT8:
            _copy_row(row, offset(pointer(address, types.uint8), at), stride, features, dtype)
        elif kind == INT32:
            _copy_row(row, offset(pointer(address, types.int32), at), stride, features, dtype)
        else:
            _copy_row(row, offset(pointer(address, types.int64), at), stride, features, dtype)


@kernel
def store_rows(x: Array, target: Integers, start: Integers, features: Size, dtype, rows, lo, hi):
    """target[start + r] = x[r].

    Reads  x (rows, features); target: the address of the array that is written; start as in load_rows.
    """
    y = offset(pointer(target[0], dtype), start[0] * features)
    for i in range(lo * features, hi * features):
        y[i] = x[i]


@kernel
def one_hot_rows(dy: Array, start: Integers, features: Size, dtype, rows, lo, hi):
    """dy[r] = the derivative of output number (start + r) mod features by all outputs: 1 there, 0 elsewhere.

    Writes dy (rows, features). Reads start as in load_rows.
    """
    first = start[0]
    for r in range(lo, hi):
        row, output = offset(dy, r * features), (first + r) % features
        for c in range(features):
            row[c] = dtype(1) if c == output else dtype(0)
