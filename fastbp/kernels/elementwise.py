"""Loops over contiguous numbers, a vector at a time; the last, partial vector is masked."""

from __future__ import annotations

from .._jit import inner
from ..simd import lanes, load, load_first, store, store_first


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
