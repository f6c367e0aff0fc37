"""Random changes to the inputs of a training step, in place: functions of key, step and a row's place alone."""

from __future__ import annotations

from numba import types

from .._jit import inner, kernel
from ..simd.memory import number, offset, pointer, sizes
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


@kernel("x maps height width most_down most_right fill key step")
def shift_maps(op, dtype, rows, lo, hi):
    """All maps of a row are moved together, by up to `most_down` and `most_right` pixels in both directions.

    Changes x (rows, maps, height, width); pixels that nothing moves to become `fill`, bits of a float64.
    Reads   key: 64 random bits; step: scalars.
    """
    x, fill = pointer(op[0], dtype), dtype(number(op, 6))
    maps, height, width, most_down, most_right = sizes(op, 1, 5)
    stream = random_stream(op[7], op[8])
    for r in range(lo, hi):
        bits = random_bits(stream + _u64(r))
        down, right = _up_to(bits >> _u64(32), most_down), _up_to(bits & _u64(0xFFFFFFFF), most_right)
        for m in range(r * maps, (r + 1) * maps):
            _shift(offset(x, m * height * width), height, width, down, right, fill)


@kernel("x lines width p key step")
def flip_maps(op, dtype, rows, lo, hi):
    """All lines of a row are turned round together, with probability p.

    Changes x (rows, lines, width). Reads p: bits of a float64; key: 64 random bits; step: scalars.
    """
    x, (lines, width), p = pointer(op[0], dtype), sizes(op, 1, 2), number(op, 3)
    stream = random_stream(op[4], op[5])
    for r in range(lo, hi):
        if types.float64(random_bits(stream + _u64(r)) >> _u64(11)) * 2.0**-53 < p:
            for line in range(r * lines, (r + 1) * lines):
                of = offset(x, line * width)
                for w in range(width // 2):
                    of[w], of[width - 1 - w] = of[width - 1 - w], of[w]


@kernel("x features deviation key step")
def add_noise(op, dtype, rows, lo, hi):
    """x + deviation · a normal number, another for each element.

    Changes x (rows, features). Reads deviation: bits of a float64; key: 64 random bits; step: scalars.
    """
    features, deviation, stream = op[1], dtype(number(op, 2)), random_stream(op[3], op[4])
    add_normal(pointer(op[0], dtype), lo * features, hi * features, deviation, stream, dtype)
