"""Vectors: a register full of float32 or float64 as a value inside @njit code, and the arithmetic of it."""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

from . import emit
from .cpu import has_fma, lanes_of
from .emit import INT32, INT64


class Vector(types.Type):
    """A register full of dtype."""

    def __init__(self, dtype):
        self.dtype, self.lanes = dtype, lanes_of(dtype)
        super().__init__(name=f"vector<{self.lanes} {dtype}>")


class Mask(types.Type):
    """A truth value for each lane of a vector."""

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__(name=f"mask<{lanes}>")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, t):
        super().__init__(manager, t, emit.vector(t))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, t):
        super().__init__(manager, t, ir.VectorType(ir.IntType(1), t.lanes))


@intrinsic
def lanes(typingctx, dtype):
    """Lanes of a vector of dtype, a constant."""

    def codegen(context, builder, signature, args):
        return ir.Constant(INT64, lanes_of(dtype.dtype))

    return types.int64(dtype), codegen


@intrinsic
def load(typingctx, p, i):
    """The vector p[i], p[i + 1], …"""
    vector = Vector(p.dtype)

    def codegen(context, builder, signature, args):
        return emit.load(builder, emit.vector(vector), emit.element(builder, *args, emit.scalar(p.dtype)))

    return vector(p, types.int64), codegen


@intrinsic
def load_first(typingctx, p, i, n):
    """The vector p[i] … p[i + n - 1], 0 in the other lanes, whose memory is not touched."""
    vector = Vector(p.dtype)

    def codegen(context, builder, signature, args):
        address = emit.element(builder, args[0], args[1], emit.scalar(p.dtype))
        return emit.load(builder, emit.vector(vector), address, emit.first(builder, args[2], vector.lanes))

    return vector(p, types.int64, types.int64), codegen


@intrinsic
def store(typingctx, p, i, v):
    """p[i], p[i + 1], … = v."""

    def codegen(context, builder, signature, args):
        emit.store(builder, args[2], emit.element(builder, args[0], args[1], emit.scalar(p.dtype)))
        return context.get_dummy_value()

    return types.void(p, types.int64, v), codegen


@intrinsic
def store_first(typingctx, p, i, v, n):
    """p[i] … p[i + n - 1] = the first n lanes of v."""

    def codegen(context, builder, signature, args):
        address = emit.element(builder, args[0], args[1], emit.scalar(p.dtype))
        emit.store(builder, args[2], address, emit.first(builder, args[3], v.lanes))
        return context.get_dummy_value()

    return types.void(p, types.int64, v, types.int64), codegen


@intrinsic
def splat(typingctx, x):
    """The float x in all lanes."""
    vector = Vector(x)

    def codegen(context, builder, signature, args):
        return emit.splat(builder, args[0], vector.lanes)

    return vector(x), codegen


def _elementwise(name, make):
    """An intrinsic on vectors of one type, from a function of the builder and their values."""

    def unary(typingctx, a):
        return a(a), lambda context, builder, signature, args: make(builder, *args)

    def binary(typingctx, a, b):
        return a(a, a), lambda context, builder, signature, args: make(builder, *args)

    def ternary(typingctx, a, b, c):
        return a(a, a, a), lambda context, builder, signature, args: make(builder, *args)

    function = {1: unary, 2: binary, 3: ternary}[make.__code__.co_argcount - 1]
    function.__name__ = function.__qualname__ = name
    return intrinsic(function)


def _sign_bits(a):
    kind = ir.VectorType(ir.IntType(32 if str(a.type.element) == "float" else 64), a.type.count)
    width = kind.element.width
    return (
        kind,
        ir.Constant(kind, [1 << (width - 1)] * kind.count),
        ir.Constant(kind, [(1 << (width - 1)) - 1] * kind.count),
    )


def _copy_sign(builder, a, b):
    kind, sign, rest = _sign_bits(a)
    size = builder.and_(builder.bitcast(a, kind), rest)
    return builder.bitcast(builder.or_(size, builder.and_(builder.bitcast(b, kind), sign)), a.type)


def _absolute(builder, a):
    kind, _, rest = _sign_bits(a)
    return builder.bitcast(builder.and_(builder.bitcast(a, kind), rest), a.type)


# Added to a number below 2²² (2⁵¹), these leave its nearest integer in the low bits.
_ROUNDERS = {32: 1.5 * 2**23, 64: 1.5 * 2**52}


def _rounder(a):
    return ir.Constant(a.type, [_ROUNDERS[32 if str(a.type.element) == "float" else 64]] * a.type.count)


def _nearest(builder, a):
    """The integer nearest to a, for |a| < 2²² (2⁵¹); NaN for NaN."""
    rounder = _rounder(a)
    return builder.fsub(builder.fadd(a, rounder), rounder)


def _times_power_of_two(builder, a, n):
    """a · 2ⁿ for an integral n, |n| up to twice the largest exponent: in two steps, each by a normal power."""
    kind, *_ = _sign_bits(a)
    bias, shift = (127, 23) if kind.element.width == 32 else (1023, 52)
    rounder = _rounder(a)  # a conversion to integers would be undefined for NaN
    whole = builder.sub(builder.bitcast(builder.fadd(n, rounder), kind), builder.bitcast(rounder, kind))
    half = builder.ashr(whole, ir.Constant(kind, [1] * kind.count))
    for part in (half, builder.sub(whole, half)):
        biased = builder.add(part, ir.Constant(kind, [bias] * kind.count))
        power = builder.bitcast(builder.shl(biased, ir.Constant(kind, [shift] * kind.count)), a.type)
        a = builder.fmul(a, power)
    return a


def _power_of_two(builder, n):
    """2ⁿ for an integral n from -126 to 127 (-1022 to 1023)."""
    kind, *_ = _sign_bits(n)
    bias, shift = (127, 23) if kind.element.width == 32 else (1023, 52)
    # the sum leaves n + bias in the low bits, and the shift makes it the exponent
    biased = builder.fadd(n, ir.Constant(n.type, [_ROUNDERS[kind.element.width] + bias] * kind.count))
    return builder.bitcast(builder.shl(builder.bitcast(biased, kind), ir.Constant(kind, [shift] * kind.count)), n.type)


def _halves(builder, a):
    """a as the sum of two numbers of half its digits."""
    kind, *_ = _sign_bits(a)
    high_bits = ir.Constant(kind, [-(1 << 12) if kind.element.width == 32 else -(1 << 27)] * kind.count)
    high = builder.bitcast(builder.and_(builder.bitcast(a, kind), high_bits), a.type)
    return high, builder.fsub(a, high)


def _minus_product(builder, p, a, b):
    """p - a b for p near a b: what is lost in rounding the product, on a CPU without fma too."""
    if has_fma():
        return emit.fma(builder, builder.fneg(a), b, p)
    (a1, a2), (b1, b2) = _halves(builder, a), _halves(builder, b)
    for x, y in ((a1, b1), (a1, b2), (a2, b1), (a2, b2)):
        p = builder.fsub(p, builder.fmul(x, y))
    return p


def _exponent(builder, a):
    """floor(log₂ a / √½) of a normal a > 0, as a float: the n for which √½ ≤ a · 2⁻ⁿ < √2."""
    kind, *_ = _sign_bits(a)
    shift, half = (23, 0x3F3504F3) if kind.element.width == 32 else (52, 0x3FE6A09E667F3BCD)
    shifted = builder.sub(builder.bitcast(a, kind), ir.Constant(kind, [half] * kind.count))
    return builder.sitofp(builder.ashr(shifted, ir.Constant(kind, [shift] * kind.count)), a.type)


fma = _elementwise("fma", emit.fma)
minimum = _elementwise("minimum", lambda builder, a, b: builder.select(builder.fcmp_ordered("<", b, a), b, a))
maximum = _elementwise("maximum", lambda builder, a, b: builder.select(builder.fcmp_ordered(">", b, a), b, a))
square_root = _elementwise("square_root", lambda builder, a: emit.call(builder, "sqrt", a.type, a))
absolute = _elementwise("absolute", lambda builder, a: _absolute(builder, a))
copy_sign = _elementwise("copy_sign", lambda builder, a, b: _copy_sign(builder, a, b))
times_power_of_two = _elementwise("times_power_of_two", lambda builder, a, n: _times_power_of_two(builder, a, n))
power_of_two = _elementwise("power_of_two", lambda builder, n: _power_of_two(builder, n))
minus_product = _elementwise("minus_product", lambda builder, p, a, b: _minus_product(builder, p, a, b))
exponent = _elementwise("exponent", lambda builder, a: _exponent(builder, a))
nearest = _elementwise("nearest", lambda builder, a: _nearest(builder, a))
nearest.__doc__ = _nearest.__doc__
fma.__doc__ = "a b + c, rounded once where the CPU can."
minimum.__doc__ = "The smaller of a and b; a where either is NaN."
maximum.__doc__ = "The larger of a and b; a where either is NaN."
copy_sign.__doc__ = "|a| with the sign of b."
times_power_of_two.__doc__ = _times_power_of_two.__doc__
power_of_two.__doc__ = _power_of_two.__doc__
minus_product.__doc__ = _minus_product.__doc__
exponent.__doc__ = _exponent.__doc__


def constant(single, double):
    """An intrinsic (x): the constant in all lanes of a vector like x: `single` for float32, `double` for float64."""

    @intrinsic
    def value(typingctx, x):
        def codegen(context, builder, signature, args):
            return ir.Constant(emit.vector(x), [single if x.dtype == types.float32 else double] * x.lanes)

        return x(x), codegen

    return value


def polynomial(single, double):
    """An intrinsic (x): the polynomial with these coefficients, highest power first, by Horner's rule."""

    @intrinsic
    def value(typingctx, x):
        def codegen(context, builder, signature, args):
            coefficients = single if x.dtype == types.float32 else double
            kind = emit.vector(x)
            total = ir.Constant(kind, [coefficients[0]] * x.lanes)
            for c in coefficients[1:]:
                total = emit.fma(builder, total, args[0], ir.Constant(kind, [c] * x.lanes))
            return total

        return x(x), codegen

    return value


@intrinsic
def first_lanes(typingctx, v, n):
    """The mask of the first n lanes of a vector like v."""

    def codegen(context, builder, signature, args):
        return emit.first(builder, args[1], v.lanes)

    return Mask(v.lanes)(v, types.int64), codegen


@intrinsic
def select(typingctx, mask, a, b):
    """a where mask is true, b elsewhere."""

    def codegen(context, builder, signature, args):
        return builder.select(*args)

    return a(mask, a, a), codegen


def _operator(key, make, result=lambda a: a):
    """key(a, b) for two vectors of one type."""

    @infer_global(key)
    class Template(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and isinstance(args[0], Vector) and args[0] == args[1]:
                return result(args[0])(args[0], args[0])
            return None

    @lower_builtin(key, Vector, Vector)
    def lower(context, builder, signature, args):
        return make(builder, *args)


_operator(operator.add, lambda builder, a, b: builder.fadd(a, b))
_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b))
_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b))
_operator(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))
_operator(operator.lt, lambda builder, a, b: builder.fcmp_ordered("<", a, b), lambda a: Mask(a.lanes))
_operator(operator.gt, lambda builder, a, b: builder.fcmp_ordered(">", a, b), lambda a: Mask(a.lanes))
_operator(operator.eq, lambda builder, a, b: builder.fcmp_ordered("==", a, b), lambda a: Mask(a.lanes))


def _reduce(builder, a, combine):
    """Combine all lanes, halves first: one order, whatever the compiler does."""
    n = a.type.count
    while n > 1:
        n //= 2
        places = ir.VectorType(INT32, n)
        low = builder.shuffle_vector(a, a, ir.Constant(places, list(range(n))))
        high = builder.shuffle_vector(a, a, ir.Constant(places, list(range(n, 2 * n))))
        a = combine(low, high)
    return builder.extract_element(a, ir.Constant(INT32, 0))


@intrinsic
def sum_lanes(typingctx, a):
    """The sum of all lanes, by halves."""

    def codegen(context, builder, signature, args):
        return _reduce(builder, args[0], builder.fadd)

    return a.dtype(a), codegen


@intrinsic
def max_lanes(typingctx, a):
    """The largest lane."""

    def codegen(context, builder, signature, args):
        def larger(x, y):
            return builder.select(builder.fcmp_ordered(">", y, x), y, x)

        return _reduce(builder, args[0], larger)

    return a.dtype(a), codegen


@intrinsic
def sum_lanes_double(typingctx, a):
    """The sum of all lanes in float64, by halves."""

    def codegen(context, builder, signature, args):
        wide = args[0]
        if a.dtype == types.float32:
            wide = builder.fpext(wide, ir.VectorType(ir.DoubleType(), a.lanes))
        return _reduce(builder, wide, builder.fadd)

    return types.float64(a), codegen
