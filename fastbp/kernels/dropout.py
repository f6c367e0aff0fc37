"""Dropout, by random numbers that are a function of key, step and place alone."""

from __future__ import annotations

from numba import types

from ..runtime.functions import kernel
from ..simd.entry import Array, Doubles, Integers, Key, Real, Size
from ..simd.vectors import lanes
from .elementwise import binary, product, span
from .random import random_bits, random_stream

_u64 = types.uint64


@kernel
def dropout_forward(
    y: Array,
    mask: Array,
    x: Array,
    features: Size,
    pixels: Size,
    blocked: Size,
    rate: Real,
    key: Key,
    training: Integers,
    step: Doubles,
    dtype,
    rows,
    lo,
    hi,
):
    """mask = 0 with probability `rate`, else 1 / (1 - rate), and 1 where `training` is 0;  y = mask x.

    The mask is the same for the `pixels` of a map, and does not depend on whether rows lie in blocks.

    Writes y, mask (rows, features).
    Reads  x (rows, features); training, step (1,).
    """
    first, last = span(lo, hi, features, blocked, dtype)
    if training[0] == 0:
        for i in range(first, last):
            mask[i] = dtype(1)
            y[i] = x[i]
        return
    kept = dtype(1.0 / (1.0 - rate))
    least = _u64(rate * 2.0**64)
    base = random_stream(key, step)
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


@kernel
def dropout_backward(dx: Array, dy: Array, mask: Array, features: Size, blocked: Size, dtype, rows, lo, hi):
    """dx = mask dy.

    Writes dx (rows, features). Reads dy, mask (rows, features).
    """
    first, last = span(lo, hi, features, blocked, dtype)
    binary(product, dx, dy, mask, first, last, dtype)
