"""Random changes to the inputs of a training step, in place: functions of key, step and a row's place alone."""

from __future__ import annotations

from numba import types

from ..runtime.functions import inner, kernel
from ..simd.entry import Array, Doubles, Key, Real, Size
from ..simd.memory import offset
from .random import add_normal, random_bits, random_stream

_u64 = types.uint64


@inner
def _up_to(bits, most):
    """A whole number from -most to most, of 32 random bits."""
    return types.int64((bits * _u64(2 * most + 1)) >> _u64(32)) - most


@inner
def _shift(x, height, width, down, right, fill):
    """x (height, width) moved: the order is such that nothing is overwritten before it has been moved."""
    ahead = down * width + right > 0
    for i in range(height):
        h = height - 1 - i if ahead else i
        to, of = offset(x, h * width), offset(x, (h - down) * width - right)
        there = 0 <= h - down < height
        for j in range(width):
            w = width - 1 - j if ahead else j
            to[w] = of[w] if there and 0 <= w - right < width else fill


@kernel
def shift_maps(
    x: Array,
    maps: Size,
    height: Size,
    width: Size,
    most_down: Size,
    most_right: Size,
    fill: Real,
    key: Key,
    step: Doubles,
    dtype,
    rows,
    lo,
    hi,
):
    """All maps of a row are moved together, by up to `most_down` and `most_right` pixels in both directions.

    Changes x (rows, maps, height, width); pixels that nothing moves to become `fill`.
    Reads step (1,).
    """
    fill = dtype(fill)
    stream = random_stream(key, step)
    for r in range(lo, hi):
        bits = random_bits(stream + _u64(r))
        down, right = _up_to(bits >> _u64(32), most_down), _up_to(bits & _u64(0xFFFFFFFF), most_right)
        for m in range(r * maps, (r + 1) * maps):
            _shift(offset(x, m * height * width), height, width, down, right, fill)


@kernel
def flip_maps(x: Array, lines: Size, width: Size, p: Real, key: Key, step: Doubles, dtype, rows, lo, hi):
    """All lines of a row are turned round together, with probability p.

    Changes x (rows, lines, width). Reads step (1,).
    """
    stream = random_stream(key, step)
    for r in range(lo, hi):
        if types.float64(random_bits(stream + _u64(r)) >> _u64(11)) * 2.0**-53 < p:
            for line in range(r * lines, (r + 1) * lines):
                of = offset(x, line * width)
                for w in range(width // 2):
                    of[w], of[width - 1 - w] = of[width - 1 - w], of[w]


@kernel
def add_noise(x: Array, features: Size, deviation: Real, key: Key, step: Doubles, dtype, rows, lo, hi):
    """x + deviation · a normal number, another for each element.

    Changes x (rows, features). Reads step (1,).
    """
    add_normal(x, lo * features, hi * features, dtype(deviation), random_stream(key, step), dtype)
