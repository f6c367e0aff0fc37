"""Random numbers that are functions of a counter, so that it doesn't matter which thread asks for which of them."""

from __future__ import annotations

from numba import types

from .._jit import inner

_u64 = types.uint64
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@inner
def random_bits(counter):
    """64 random bits: SplitMix64's function of a counter that steps by 1. Source: Steele, Lea & Flood 2014, fig. 15."""
    z = _u64(counter) * _u64(_GOLDEN)
    z = (z ^ (z >> _u64(30))) * _u64(_FIRST)
    z = (z ^ (z >> _u64(27))) * _u64(_SECOND)
    return z ^ (z >> _u64(31))
