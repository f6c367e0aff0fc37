"""Loops over contiguous numbers, a vector at a time; the last, partial vector is masked."""

from __future__ import annotations

from ..runtime.functions import inner, kernel
from ..simd.entry import Array, Size
from ..simd.vectors import lanes, load, load_first, store, store_first


@inner
def span(lo, hi, features, blocked, dtype):
    """The first and behind the last of the numbers of the rows lo .. hi, or of the blocks that they lie in."""
    if blocked != 0:
        hi = (hi + lanes(dtype) - 1) // lanes(dtype) * lanes(dtype)
    return lo * features, hi * features


@inner
def product(a, b):
    return a * b


@inner
def unary(f, y, x, lo, hi, dtype):
    """y[i] = f(x[i]) for lo ≤ i < hi; y may be x."""
    n, i = lanes(dtype), lo
    while i + n <= hi:
        store(y, i, f(load(x, i)))
        i += n
    if i < hi:
        store_first(y, i, f(load_first(x, i, hi - i)), hi - i)


@inner
def binary(f, z, x, y, lo, hi, dtype):
    """z[i] = f(x[i], y[i]) for lo ≤ i < hi; z may be x or y."""
    n, i = lanes(dtype), lo
    while i + n <= hi:
        store(z, i, f(load(x, i), load(y, i)))
        i += n
    if i < hi:
        store_first(z, i, f(load_first(x, i, hi - i), load_first(y, i, hi - i)), hi - i)


@inner
def _same(a):
    return a


@inner
def _sum(a, b):
    return a + b


@kernel
def copy(y: Array, x: Array, features: Size, blocked: Size, dtype, rows, lo, hi):
    """y = x. Writes y (rows, features). Reads x (rows, features). Both plain or both in blocks."""
    first, last = span(lo, hi, features, blocked, dtype)
    unary(_same, y, x, first, last, dtype)


@kernel
def add(z: Array, x: Array, y: Array, features: Size, blocked: Size, dtype, rows, lo, hi):
    """z = x + y. Writes z (rows, features). Reads x, y (rows, features). All plain or all in blocks."""
    first, last = span(lo, hi, features, blocked, dtype)
    binary(_sum, z, x, y, first, last, dtype)
