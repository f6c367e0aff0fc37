"""Dense layers: y = x @ weight + bias, and its gradients."""

from __future__ import annotations

from .._jit import kernel
from ..simd import offset, pointers, sizes


@kernel("y x weight bias fan_in fan_out")
def dense_forward(op, dtype, rows, lo, hi):
    """y = x @ weight + bias, for the rows lo .. hi.

    Writes y (rows, fan_out).
    Reads  x (rows, fan_in), weight (fan_in, fan_out), bias (fan_out,) or null.
    """
    y, x, weight, bias = pointers(op, 0, 4, dtype)
    fan_in, fan_out = sizes(op, 4, 2)
    for r in range(lo, hi):
        row = offset(y, r * fan_out)
        if op[3] != 0:
            for j in range(fan_out):
                row[j] = bias[j]
        else:
            for j in range(fan_out):
                row[j] = dtype(0)
        for i in range(fan_in):
            a, w = x[r * fan_in + i], offset(weight, i * fan_out)
            for j in range(fan_out):
                row[j] += a * w[j]


@kernel("dx dy weight fan_in fan_out")
def dense_backward_input(op, dtype, rows, lo, hi):
    """dx = dy @ weight.T, for the rows lo .. hi.

    Writes dx (rows, fan_in).
    Reads  dy (rows, fan_out), weight (fan_in, fan_out).
    """
    dx, dy, weight = pointers(op, 0, 3, dtype)
    fan_in, fan_out = sizes(op, 3, 2)
    for r in range(lo, hi):
        delta = offset(dy, r * fan_out)
        for i in range(fan_in):
            w = offset(weight, i * fan_out)
            total = dtype(0)
            for j in range(fan_out):
                total += delta[j] * w[j]
            dx[r * fan_in + i] = total


@kernel("dweight x dy fan_in fan_out")
def dense_backward_weight(op, dtype, rows, lo, hi):
    """dweight = x.T @ dy, for the rows lo .. hi of dweight; row fan_in is dbias = the sum of dy over the batch.

    Writes dweight (fan_in, fan_out), with dbias (fan_out,) right behind it.
    Reads  x (rows, fan_in), dy (rows, fan_out).
    """
    dweight, x, dy = pointers(op, 0, 3, dtype)
    fan_in, fan_out = sizes(op, 3, 2)
    for i in range(lo, hi):
        d = offset(dweight, i * fan_out)
        for j in range(fan_out):
            d[j] = dtype(0)
        for r in range(rows):
            a = x[r * fan_in + i] if i < fan_in else dtype(1)
            delta = offset(dy, r * fan_out)
            for j in range(fan_out):
                d[j] += a * delta[j]
