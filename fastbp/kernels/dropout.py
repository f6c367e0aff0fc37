"""Dropout, by random numbers that are a function of key, step and place alone."""

from __future__ import annotations

from numba import types

from .._jit import kernel
from ..simd.memory import number, pointer, pointers
from ..simd.vectors import lanes
from .elementwise import binary, product, span
from .random import random_bits, random_stream

_u64 = types.uint64


@kernel("y mask x features pixels blocked rate key training step")
def dropout_forward(op, dtype, rows, lo, hi):
    """mask = 0 with probability `rate`, else 1 / (1 - rate), and 1 where `training` is 0;  y = mask x.

    The mask is the same for the `pixels` of a map, and does not depend on whether rows lie in blocks.

    Writes y, mask (rows, features).
    Reads  x (rows, features); rate: bits of a float64; key: 64 random bits; training (1,), int64; step: scalars.
    """
    y, mask, x = pointers(op, 0, 3, dtype)
    features, pixels, blocked, rate = op[3], op[4], op[5], number(op, 6)
    first, last = span(lo, hi, features, blocked, dtype)
    if pointer(op[8], types.int64)[0] == 0:
        for i in range(first, last):
            mask[i] = dtype(1)
            y[i] = x[i]
        return
    kept = dtype(1.0 / (1.0 - rate))
    least = _u64(rate * 2.0**64)
    base = random_stream(op[7], op[9])
    if blocked == 0 and pixels == 1:
        for i in range(first, last):
            factor = kept if random_bits(base + _u64(i)) >= least else dtype(0)
            mask[i] = factor
            y[i] = factor * x[i]
        return
    side = lanes(dtype) if blocked != 0 else 1  # rows that lie side by side
    maps = features // pixels
    for r in range(lo, last // features):
        for m in range(maps):
            factor = kept if random_bits(base + _u64(r * maps + m)) >= least else dtype(0)
            at = (r // side * features + m * pixels) * side + r % side
            for i in range(at, at + pixels * side, side):
                mask[i] = factor
                y[i] = factor * x[i]


@kernel("dx dy mask features blocked")
def dropout_backward(op, dtype, rows, lo, hi):
    """dx = mask dy.

    Writes dx (rows, features). Reads dy, mask (rows, features).
    """
    dx, dy, mask = pointers(op, 0, 3, dtype)
    first, last = span(lo, hi, op[3], op[4], dtype)
    binary(product, dx, dy, mask, first, last, dtype)
