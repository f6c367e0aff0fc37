"""Activations a = f(z) and their backward passes, written with f' as a function of a where that is possible.

All work in place as well: y may be x, dx may be dy.
"""

from __future__ import annotations

from .._jit import inner, kernel
from ..simd import (
    first_lanes,
    lanes,
    load_first,
    max_lanes,
    maximum,
    offset,
    pointers,
    select,
    splat,
    store_first,
    sum_lanes,
)
from . import maths
from .elementwise import binary, unary
from .maths import one, zero


@kernel("y x features")
def sigmoid_forward(op, dtype, rows, lo, hi):
    """y = 1 / (1 + exp(-x)).

    Writes y (rows, features). Reads x (rows, features).
    """
    y, x = pointers(op, 0, 2, dtype)
    unary(maths.sigmoid, y, x, lo * op[2], hi * op[2], dtype)


@inner
def _sigmoid_backward(dy, y):
    return dy * (y * (one(y) - y))


@kernel("dx dy y features")
def sigmoid_backward(op, dtype, rows, lo, hi):
    """dx = dy y (1 - y).

    Writes dx (rows, features). Reads dy, y (rows, features).
    """
    dx, dy, y = pointers(op, 0, 3, dtype)
    binary(_sigmoid_backward, dx, dy, y, lo * op[3], hi * op[3], dtype)


@kernel("y x features")
def tanh_forward(op, dtype, rows, lo, hi):
    """y = tanh(x).

    Writes y (rows, features). Reads x (rows, features).
    """
    y, x = pointers(op, 0, 2, dtype)
    unary(maths.tanh, y, x, lo * op[2], hi * op[2], dtype)


@inner
def _tanh_backward(dy, y):
    return dy * (one(y) - y * y)


@kernel("dx dy y features")
def tanh_backward(op, dtype, rows, lo, hi):
    """dx = dy (1 - y²).

    Writes dx (rows, features). Reads dy, y (rows, features).
    """
    dx, dy, y = pointers(op, 0, 3, dtype)
    binary(_tanh_backward, dx, dy, y, lo * op[3], hi * op[3], dtype)


@inner
def _relu(x):
    return select(x < zero(x), zero(x), x)


@kernel("y x features")
def relu_forward(op, dtype, rows, lo, hi):
    """y = max(x, 0); NaN stays NaN.

    Writes y (rows, features). Reads x (rows, features).
    """
    y, x = pointers(op, 0, 2, dtype)
    unary(_relu, y, x, lo * op[2], hi * op[2], dtype)


@inner
def _relu_backward(dy, y):
    return select(y > zero(y), dy, zero(y))


@kernel("dx dy y features")
def relu_backward(op, dtype, rows, lo, hi):
    """dx = dy where y > 0, else 0.

    Writes dx (rows, features). Reads dy, y (rows, features).
    """
    dx, dy, y = pointers(op, 0, 3, dtype)
    binary(_relu_backward, dx, dy, y, lo * op[3], hi * op[3], dtype)


@inner
def row_max(x, n, dtype):
    """The largest of x[0] … x[n - 1]; a NaN that is not x[0] does not count."""
    first = splat(x[0])
    top, i = first, 0
    while i < n:
        v = load_first(x, i, n - i)
        top = maximum(top, select(first_lanes(v, n - i), v, first))
        i += lanes(dtype)
    return max_lanes(top)


@inner
def row_exp(y, x, n, top, dtype):
    """y[j] = exp(x[j] - top), for j < n; returns their sum."""
    total, shift, i = splat(dtype(0)), splat(top), 0
    while i < n:
        e = maths.exp(load_first(x, i, n - i) - shift)
        store_first(y, i, e, n - i)
        total = total + select(first_lanes(e, n - i), e, zero(e))
        i += lanes(dtype)
    return sum_lanes(total)


@kernel("y x features")
def softmax_forward(op, dtype, rows, lo, hi):
    """y = exp(x - max x) / Σ exp(x - max x), over each row.

    Writes y (rows, features). Reads x (rows, features).
    """
    y, x = pointers(op, 0, 2, dtype)
    features = op[2]
    for r in range(lo, hi):
        a, out = offset(x, r * features), offset(y, r * features)
        total = splat(row_exp(out, a, features, row_max(a, features, dtype), dtype))
        i = 0
        while i < features:
            store_first(out, i, load_first(out, i, features - i) / total, features - i)
            i += lanes(dtype)


@kernel("dx dy y features")
def softmax_backward(op, dtype, rows, lo, hi):
    """dx = y (dy - Σ dy y), over each row.

    Writes dx (rows, features). Reads dy, y (rows, features).
    """
    dx, dy, y = pointers(op, 0, 3, dtype)
    features = op[3]
    for r in range(lo, hi):
        at = r * features
        total, i = splat(dtype(0)), 0
        while i < features:
            total = total + load_first(dy, at + i, features - i) * load_first(y, at + i, features - i)
            i += lanes(dtype)
        total = splat(sum_lanes(total))
        i = 0
        while i < features:
            d, a = load_first(dy, at + i, features - i), load_first(y, at + i, features - i)
            store_first(dx, at + i, a * (d - total), features - i)
            i += lanes(dtype)
