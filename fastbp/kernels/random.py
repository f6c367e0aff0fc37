"""Random numbers that are functions of a counter, so that it doesn't matter which thread asks for which of them."""

from __future__ import annotations

from numba import types

from ..runtime.functions import entry_point, inner
from ..simd.memory import pointer
from ..simd.tiles import stack
from ..simd.vectors import (
    absolute,
    constant,
    copy_sign,
    fma,
    lanes,
    load,
    load_first,
    polynomial,
    select,
    splat,
    square_root,
    store_first,
)
from . import maths

_u64 = types.uint64
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@inner
def random_bits(counter):
    """64 random bits: SplitMix64's function of a counter that steps by 1. Source: Steele, Lea & Flood 2014, fig. 15."""
    z = _u64(counter) * _u64(_GOLDEN)
    z = (z ^ (z >> _u64(30))) * _u64(_FIRST)
    z = (z ^ (z >> _u64(27))) * _u64(_SECOND)
    return z ^ (z >> _u64(31))


@inner
def random_stream(key, step):
    """Where a key's random numbers begin in the step whose number is step[0]."""
    return random_bits(_u64(key) ^ random_bits(_u64(step[0])))


@inner
def _below(bits, n):
    """A whole number from 0 to n - 1, of 64 random bits; n up to 2³²: bits · n / 2⁶⁴."""
    low = ((bits & _u64(0xFFFFFFFF)) * _u64(n)) >> _u64(32)
    return types.int64(((bits >> _u64(32)) * _u64(n) + low) >> _u64(32))


@entry_point(types.void(*[types.int64] * 6))
def write_orders(address, rows, key, epoch, epochs, part):
    """Write the order of the rows in each of some epochs: functions of key, epoch and part alone.

    address  of (epochs, rows) int64, which are written
    epoch    the number of the first one
    part     tells orders in one epoch apart
    Source: Fisher & Yates's shuffle, as Durstenfeld 1964 does it.
    """
    for e in range(epochs):
        stream = random_bits(random_bits(_u64(key) ^ random_bits(_u64(epoch + e))) ^ random_bits(_u64(part)))
        order = pointer(address + 8 * rows * e, types.int64)
        for i in range(rows):
            order[i] = i
        for i in range(rows - 1, 0, -1):
            j = _below(random_bits(stream + _u64(i)), i + 1)
            order[i], order[j] = order[j], order[i]


_near, _near_square, _far = constant(0.425, 0.425), constant(0.180625, 0.180625), constant(1.6, 1.6)
# The coefficients of PPND7, highest power first: of the middle, and of the tails down to probabilities of exp(-25).
_A = (5.9109374720e1, 1.5929113202e2, 5.0434271938e1, 3.3871327179)
_B = (6.7187563600e1, 7.8757757664e1, 1.7895169469e1, 1.0)
_C = (1.7023821103e-1, 1.3067284816, 2.7568153900, 1.4234372777)
_D = (1.2021132975e-1, 7.3700164250e-1, 1.0)
_a, _b, _c, _d = (polynomial(numbers, numbers) for numbers in (_A, _B, _C, _D))


@inner
def normal_quantile(q):
    """The number that a normal one is below with probability ½ + q, to 7 digits, for |q| up to ½ - 2⁻²⁵.

    Source: Wichura 1988, algorithm AS 241, PPND7.
    """
    r = _near_square(q) - q * q
    middle = q * _a(r) / _b(r)
    r = square_root(maths.zero(q) - maths.log(maths.half(q) - absolute(q))) - _far(q)
    return select(absolute(q) > _near(q), copy_sign(_c(r) / _d(r), q), middle)


@inner
def add_normal(x, first, last, deviation, stream, dtype):
    """x[i] += deviation z for first ≤ i < last, where z is normal and depends on the stream and i alone."""
    uniform, n = stack(dtype, 16), lanes(dtype)
    for i in range(first, last, n):
        for lane in range(n):  # 24 bits, so that both types get the same numbers, exactly
            bits = types.int64(random_bits(stream + _u64(i + lane)) >> _u64(40)) - 2**23
            uniform[lane] = (dtype(bits) + dtype(0.5)) * dtype(2.0**-24)
        changed = fma(splat(deviation), normal_quantile(load(uniform, 0)), load_first(x, i, last - i))
        store_first(x, i, changed, last - i)
