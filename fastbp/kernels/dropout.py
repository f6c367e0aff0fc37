"""Dropout, by random numbers that are a function of key, step and place alone."""

from __future__ import annotations

from numba import types

from .._jit import inner, kernel
from ..simd import number, pointer, pointers
from .elementwise import binary
from .updates import STEP

_u64 = types.uint64
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@inner
def random_bits(counter):
    """64 random bits: SplitMix64's function of a counter that steps by 1. Source: Steele, Lea & Flood 2014, fig. 15."""
    z = _u64(counter) * _u64(_GOLDEN)
    z = (z ^ (z >> _u64(30))) * _u64(_FIRST)
    z = (z ^ (z >> _u64(27))) * _u64(_SECOND)
    return z ^ (z >> _u64(31))


@kernel("y mask x features rate key training step")
def dropout_forward(op, dtype, rows, lo, hi):
    """mask = 0 with probability `rate`, else 1 / (1 - rate), and 1 where `training` is 0;  y = mask x.

    Writes y, mask (rows, features).
    Reads  x (rows, features); rate: bits of a float64; key: 64 random bits; training (1,), int64; step: scalars.
    """
    y, mask, x = pointers(op, 0, 3, dtype)
    features, rate = op[3], number(op, 4)
    if pointer(op[6], types.int64)[0] == 0:
        for i in range(lo * features, hi * features):
            mask[i] = dtype(1)
            y[i] = x[i]
        return
    kept = dtype(1.0 / (1.0 - rate))
    least = _u64(rate * 2.0**64)
    steps = _u64(pointer(op[7], types.float64)[STEP])
    base = random_bits(_u64(op[5]) ^ random_bits(steps))
    for i in range(lo * features, hi * features):
        factor = kept if random_bits(base + _u64(i)) >= least else dtype(0)
        mask[i] = factor
        y[i] = factor * x[i]


@inner
def _product(a, b):
    return a * b


@kernel("dx dy mask features")
def dropout_backward(op, dtype, rows, lo, hi):
    """dx = mask dy.

    Writes dx (rows, features). Reads dy, mask (rows, features).
    """
    dx, dy, mask = pointers(op, 0, 3, dtype)
    binary(_product, dx, dy, mask, lo * op[3], hi * op[3], dtype)
