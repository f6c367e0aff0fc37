"""Activations a = f(z) and their backward passes, written with f' as a function of a where that is possible.

All work in place as well: y may be x, dx may be dy.
"""

from __future__ import annotations

import math

from .._jit import inner, kernel
from ..simd import offset, pointers


@inner
def sigmoid(x, dtype):
    """1 / (1 + exp(-x)), without overflow."""
    return dtype(1) / (dtype(1) + math.exp(-x))


@kernel("y x features")
def sigmoid_forward(op, dtype, rows, lo, hi):
    """y = 1 / (1 + exp(-x)).

    Writes y (rows, features). Reads x (rows, features).
    """
    y, x = pointers(op, 0, 2, dtype)
    features = op[2]
    for i in range(lo * features, hi * features):
        y[i] = sigmoid(x[i], dtype)


@kernel("dx dy y features")
def sigmoid_backward(op, dtype, rows, lo, hi):
    """dx = dy y (1 - y).

    Writes dx (rows, features). Reads dy, y (rows, features).
    """
    dx, dy, y = pointers(op, 0, 3, dtype)
    features = op[3]
    for i in range(lo * features, hi * features):
        dx[i] = dy[i] * (y[i] * (dtype(1) - y[i]))


@kernel("y x features")
def tanh_forward(op, dtype, rows, lo, hi):
    """y = tanh(x).

    Writes y (rows, features). Reads x (rows, features).
    """
    y, x = pointers(op, 0, 2, dtype)
    features = op[2]
    for i in range(lo * features, hi * features):
        y[i] = math.tanh(x[i])


@kernel("dx dy y features")
def tanh_backward(op, dtype, rows, lo, hi):
    """dx = dy (1 - y²).

    Writes dx (rows, features). Reads dy, y (rows, features).
    """
    dx, dy, y = pointers(op, 0, 3, dtype)
    features = op[3]
    for i in range(lo * features, hi * features):
        dx[i] = dy[i] * (dtype(1) - y[i] * y[i])


@kernel("y x features")
def relu_forward(op, dtype, rows, lo, hi):
    """y = max(x, 0); NaN stays NaN.

    Writes y (rows, features). Reads x (rows, features).
    """
    y, x = pointers(op, 0, 2, dtype)
    features = op[2]
    for i in range(lo * features, hi * features):
        a = x[i]
        y[i] = dtype(0) if a < dtype(0) else a


@kernel("dx dy y features")
def relu_backward(op, dtype, rows, lo, hi):
    """dx = dy where y > 0, else 0.

    Writes dx (rows, features). Reads dy, y (rows, features).
    """
    dx, dy, y = pointers(op, 0, 3, dtype)
    features = op[3]
    for i in range(lo * features, hi * features):
        d = dy[i]
        dx[i] = d if y[i] > dtype(0) else dtype(0)


@kernel("y x features")
def softmax_forward(op, dtype, rows, lo, hi):
    """y = exp(x - max x) / Σ exp(x - max x), over each row.

    Writes y (rows, features). Reads x (rows, features).
    """
    y, x = pointers(op, 0, 2, dtype)
    features = op[2]
    for r in range(lo, hi):
        a, out = offset(x, r * features), offset(y, r * features)
        top = a[0]
        for j in range(1, features):
            top = max(top, a[j])
        total = dtype(0)
        for j in range(features):
            e = math.exp(a[j] - top)
            out[j] = e
            total += e
        for j in range(features):
            out[j] /= total


@kernel("dx dy y features")
def softmax_backward(op, dtype, rows, lo, hi):
    """dx = y (dy - Σ dy y), over each row.

    Writes dx (rows, features). Reads dy, y (rows, features).
    """
    dx, dy, y = pointers(op, 0, 3, dtype)
    features = op[3]
    for r in range(lo, hi):
        at = r * features
        total = dtype(0)
        for j in range(features):
            total += dy[at + j] * y[at + j]
        for j in range(features):
            dx[at + j] = y[at + j] * (dy[at + j] - total)
