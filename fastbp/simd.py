"""Vectors, register tiles, pointers and calls by address as values inside @njit code.

This is the one file that writes LLVM IR. Arithmetic is IEEE's but for contraction: a product and
a sum may become one fma. The order of operations is fixed, and so are their bits, wherever the compiler puts them.

A Vector fills one register of the CPU that is compiled for (`lanes`). A Tile is rows × vectors of them:
the accumulators of a matrix product, which LLVM keeps in registers because nothing takes their address.
"""

from __future__ import annotations

import functools
import operator

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils, registry
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

# What every kernel is: void kernel(op, dtype, rows, lo, hi); see fastbp._jit.Kernel.
OP = types.CPointer(types.int64)
ROWS = types.intp
INT32, INT64 = ir.IntType(32), ir.IntType(64)


# --- the CPU that is compiled for ---------------------------------------------------------------------


@functools.cache
def _assembly(code: str) -> str:
    """What LLVM makes of IR on Numba's target: the only place that knows what a CPU by that name can do."""
    triple, cpu, features = registry.cpu_target.target_context.codegen().magic_tuple()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=2)
    return machine.emit_assembly(llvm.parse_assembly(f'target triple = "{triple}"\n{code}'))


@functools.cache
def vector_bytes() -> int:
    """Bytes of a vector register: 64 (AVX-512), 32 (AVX) or 16 (SSE, NEON, generic)."""
    probe = _assembly(
        "define void @f(ptr %p) { %a = load <16 x float>, ptr %p, align 4\n"
        "%b = fadd <16 x float> %a, %a\nstore <16 x float> %b, ptr %p, align 4\nret void }"
    )
    return 64 if "zmm" in probe else 32 if "ymm" in probe else 16


@functools.cache
def _has_fma() -> bool:
    probe = _assembly(
        "declare float @llvm.fma.f32(float, float, float)\n"
        "define float @f(float %a, float %b, float %c)"
        "{ %d = call float @llvm.fma.f32(float %a, float %b, float %c)\nret float %d }"
    )
    return "fmaf" not in probe


@functools.cache
def tile_rows() -> int:
    """Rows of the largest tile of two vectors that fits into the registers: 12 of 32, or 6 of 16."""
    probe = _assembly("define void @f(ptr %p) { ret void }")
    return 12 if vector_bytes() == 64 or "aarch64" in probe or "arm64" in probe else 6 if _has_fma() else 4


def _is_x86() -> bool:
    return registry.cpu_target.target_context.codegen().magic_tuple()[0].startswith(("x86_64", "i686", "i386"))


def lanes_of(dtype: types.Float) -> int:
    """Elements of a vector."""
    return vector_bytes() * 8 // dtype.bitwidth


# --- types --------------------------------------------------------------------------------------------


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


class Tile(types.Type):
    """rows × vectors registers."""

    def __init__(self, dtype, rows, vectors):
        self.dtype, self.rows, self.vectors, self.lanes = dtype, rows, vectors, lanes_of(dtype)
        super().__init__(name=f"tile<{rows} {vectors} {self.lanes} {dtype}>")


def _scalar(dtype):
    return ir.FloatType() if dtype == types.float32 else ir.DoubleType()


def _vector(t):
    return ir.VectorType(_scalar(t.dtype), t.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, t):
        super().__init__(manager, t, _vector(t))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, t):
        super().__init__(manager, t, ir.VectorType(ir.IntType(1), t.lanes))


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager, t):
        super().__init__(manager, t, ir.ArrayType(_vector(t), t.rows * t.vectors))


# --- IR for vectors -----------------------------------------------------------------------------------


def _splat(builder, scalar, lanes):
    kind = ir.VectorType(scalar.type, lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(INT32, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes))


def _call(builder, name, result, *args):
    suffix = ".".join(_suffix(a) for a in (result,))
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(result, [a.type for a in args]), f"llvm.{name}.{suffix}"
    )
    return builder.call(function, args)


def _suffix(kind):
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{_suffix(kind.element)}"
    return {"float": "f32", "double": "f64"}.get(str(kind), str(kind))


def _fma(builder, a, b, c):
    if _has_fma():
        return _call(builder, "fma", a.type, a, b, c)
    return builder.fadd(builder.fmul(a, b), c)


def _element(builder, pointer, i, element):
    """The address of element i of a CPointer's value."""
    return builder.gep(builder.bitcast(pointer, element.as_pointer()), [i], source_etype=element)


def _first(builder, n, lanes, skip=0):
    """The mask of the lanes whose number + skip is below n."""
    kind = ir.VectorType(INT64, lanes)
    numbers = ir.Constant(kind, list(range(skip, skip + lanes)))
    return builder.icmp_signed("<", numbers, _splat(builder, n, lanes))


def _load(builder, kind, address, mask=None):
    size = 4 if str(kind.element) == "float" else 8
    address = builder.bitcast(address, kind.as_pointer())
    if mask is None:
        return builder.load(address, align=size)
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(kind, [address.type, INT32, mask.type, kind]),
        f"llvm.masked.load.{_suffix(kind)}.p0",
    )
    return builder.call(function, [address, ir.Constant(INT32, size), mask, ir.Constant(kind, None)])


def _store(builder, value, address, mask=None):
    kind = value.type
    size = 4 if str(kind.element) == "float" else 8
    address = builder.bitcast(address, kind.as_pointer())
    if mask is None:
        builder.store(value, address, align=size)
        return
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(ir.VoidType(), [kind, address.type, INT32, mask.type]),
        f"llvm.masked.store.{_suffix(kind)}.p0",
    )
    builder.call(function, [value, address, ir.Constant(INT32, size), mask])


# --- vectors ------------------------------------------------------------------------------------------


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
        return _load(builder, _vector(vector), _element(builder, *args, _scalar(p.dtype)))

    return vector(p, types.int64), codegen


@intrinsic
def load_first(typingctx, p, i, n):
    """The vector p[i] … p[i + n - 1], 0 in the other lanes, whose memory is not touched."""
    vector = Vector(p.dtype)

    def codegen(context, builder, signature, args):
        address = _element(builder, args[0], args[1], _scalar(p.dtype))
        return _load(builder, _vector(vector), address, _first(builder, args[2], vector.lanes))

    return vector(p, types.int64, types.int64), codegen


@intrinsic
def store(typingctx, p, i, v):
    """p[i], p[i + 1], … = v."""

    def codegen(context, builder, signature, args):
        _store(builder, args[2], _element(builder, args[0], args[1], _scalar(p.dtype)))
        return context.get_dummy_value()

    return types.void(p, types.int64, v), codegen


@intrinsic
def store_first(typingctx, p, i, v, n):
    """p[i] … p[i + n - 1] = the first n lanes of v."""

    def codegen(context, builder, signature, args):
        address = _element(builder, args[0], args[1], _scalar(p.dtype))
        _store(builder, args[2], address, _first(builder, args[3], v.lanes))
        return context.get_dummy_value()

    return types.void(p, types.int64, v, types.int64), codegen


@intrinsic
def splat(typingctx, x):
    """The float x in all lanes."""
    vector = Vector(x)

    def codegen(context, builder, signature, args):
        return _splat(builder, args[0], vector.lanes)

    return vector(x), codegen


def _elementwise(name, emit):
    """An intrinsic on vectors of one type, from a function of the builder and their values."""

    def unary(typingctx, a):
        return a(a), lambda context, builder, signature, args: emit(builder, *args)

    def binary(typingctx, a, b):
        return a(a, a), lambda context, builder, signature, args: emit(builder, *args)

    def ternary(typingctx, a, b, c):
        return a(a, a, a), lambda context, builder, signature, args: emit(builder, *args)

    function = {1: unary, 2: binary, 3: ternary}[emit.__code__.co_argcount - 1]
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
    if _has_fma():
        return _fma(builder, builder.fneg(a), b, p)
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


fma = _elementwise("fma", lambda builder, a, b, c: _fma(builder, a, b, c))
minimum = _elementwise("minimum", lambda builder, a, b: builder.select(builder.fcmp_ordered("<", b, a), b, a))
maximum = _elementwise("maximum", lambda builder, a, b: builder.select(builder.fcmp_ordered(">", b, a), b, a))
square_root = _elementwise("square_root", lambda builder, a: _call(builder, "sqrt", a.type, a))
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
            return ir.Constant(_vector(x), [single if x.dtype == types.float32 else double] * x.lanes)

        return x(x), codegen

    return value


def polynomial(single, double):
    """An intrinsic (x): the polynomial with these coefficients, highest power first, by Horner's rule."""

    @intrinsic
    def value(typingctx, x):
        def codegen(context, builder, signature, args):
            coefficients = single if x.dtype == types.float32 else double
            kind = _vector(x)
            total = ir.Constant(kind, [coefficients[0]] * x.lanes)
            for c in coefficients[1:]:
                total = _fma(builder, total, args[0], ir.Constant(kind, [c] * x.lanes))
            return total

        return x(x), codegen

    return value


@intrinsic
def first_lanes(typingctx, v, n):
    """The mask of the first n lanes of a vector like v."""

    def codegen(context, builder, signature, args):
        return _first(builder, args[1], v.lanes)

    return Mask(v.lanes)(v, types.int64), codegen


@intrinsic
def select(typingctx, mask, a, b):
    """a where mask is true, b elsewhere."""

    def codegen(context, builder, signature, args):
        return builder.select(*args)

    return a(mask, a, a), codegen


def _operator(key, emit, result=lambda a: a):
    """key(a, b) for two vectors of one type."""

    @infer_global(key)
    class Template(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and isinstance(args[0], Vector) and args[0] == args[1]:
                return result(args[0])(args[0], args[0])
            return None

    @lower_builtin(key, Vector, Vector)
    def lower(context, builder, signature, args):
        return emit(builder, *args)


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


# --- tiles --------------------------------------------------------------------------------------------


LARGE, MEDIUM, SMALL = 0, 1, 2  # tiles of 12, 4 and 1 rows where there are 32 registers


@intrinsic(prefer_literal=True)
def tile(typingctx, dtype, size, vectors):
    """A tile of zeros, LARGE, MEDIUM or SMALL."""
    rows = (tile_rows(), max(tile_rows() // 3, 2), 1)[size.literal_value]
    result = Tile(dtype.dtype, rows, vectors.literal_value)

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(result), None)

    return result(dtype, size, vectors), codegen


@intrinsic
def rows_of(typingctx, t):
    """Rows of a tile, a constant."""
    return types.int64(t), lambda context, builder, signature, args: ir.Constant(INT64, t.rows)


@intrinsic
def tile_add_outer(typingctx, t, a, a_stride, b):
    """t[r, :] + a[r · a_stride] · b[0 …]: the update of a matrix product by one column times one row."""

    def codegen(context, builder, signature, args):
        return _add_outer(builder, t, *args, None)

    return t(t, a, types.int64, b), codegen


@intrinsic
def tile_add_outer_first(typingctx, t, a, a_stride, b, n):
    """As tile_add_outer, with the first n elements of b and 0 for the others."""

    def codegen(context, builder, signature, args):
        return _add_outer(builder, t, *args)

    return t(t, a, types.int64, b, types.int64), codegen


def _hidden(builder, value):
    """value, of which the optimiser does not know where it comes from: an empty piece of assembly."""
    return builder.asm(ir.FunctionType(value.type, [value.type]), "", "=r,0", [value], False)


def _add_outer(builder, t, value, a, a_stride, b, n):
    scalar, kind = _scalar(t.dtype), _vector(t)
    row = []
    for v in range(t.vectors):
        mask = None if n is None else _first(builder, n, t.lanes, v * t.lanes)
        address = _element(builder, b, ir.Constant(INT64, v * t.lanes), scalar)
        row.append(_load(builder, kind, address, mask))
    for r in range(t.rows):
        # LLVM's loop strength reduction would keep a pointer for each row: more than there are registers. Every
        # third row's address is hidden from it; the next two are that plus the stride, once and twice.
        if r % 3 == 0:
            third = _hidden(builder, _element(builder, a, builder.mul(a_stride, ir.Constant(INT64, r)), scalar))
        place = builder.mul(a_stride, ir.Constant(INT64, r % 3))
        x = _splat(builder, builder.load(_element(builder, third, place, scalar)), t.lanes)
        for v in range(t.vectors):
            i = r * t.vectors + v
            value = builder.insert_value(value, _fma(builder, x, row[v], builder.extract_value(value, i)), i)
    return value


def _tile_epilogue(emit):
    """An intrinsic (t, c, c_stride, n, rest …) that stores what `emit` makes of each vector of a tile.

    n: how many elements of a row are stored; a tile's full width is stored without masks.
    """

    def codegen(context, builder, signature, args):
        t = signature.args[0]
        value, c, c_stride, n, *rest = args
        scalar = _scalar(t.dtype)
        full = builder.icmp_signed(">=", n, ir.Constant(INT64, t.vectors * t.lanes))
        with builder.if_else(full, likely=True) as (then, otherwise):
            for branch, masked in ((then, False), (otherwise, True)):
                with branch:
                    for v in range(t.vectors):
                        skip = ir.Constant(INT64, v * t.lanes)
                        mask = _first(builder, n, t.lanes, v * t.lanes) if masked else None
                        column = emit(builder, t, rest, skip, mask)
                        for r in range(t.rows):
                            place = builder.add(builder.mul(c_stride, ir.Constant(INT64, r)), skip)
                            x = column(builder.extract_value(value, r * t.vectors + v), place)
                            _store(builder, x, _element(builder, c, place, scalar), mask)
        return context.get_dummy_value()

    return codegen


@intrinsic
def tile_store(typingctx, t, c, c_stride, n):
    """c[r · c_stride + j] = t[r, j] for j < n."""

    def emit(builder, t, rest, skip, mask):
        return lambda x, place: x

    return types.void(t, c, types.int64, types.int64), _tile_epilogue(emit)


@intrinsic
def tile_store_relu(typingctx, t, c, c_stride, n, relu):
    """c[r · c_stride + j] = t[r, j], or max(t[r, j], 0) where `relu` is not 0 (NaN stays), for j < n."""

    def emit(builder, t, rest, skip, mask):
        on = builder.icmp_signed("!=", rest[0], ir.Constant(INT64, 0))
        zero = ir.Constant(_vector(t), None)
        low = ir.Constant(_vector(t), [float("-inf")] * t.lanes)
        floor = builder.select(on, zero, low)

        def column(x, place):
            return builder.select(builder.fcmp_ordered("<", x, floor), floor, x)

        return column

    return types.void(t, c, types.int64, types.int64, types.int64), _tile_epilogue(emit)


@intrinsic
def tile_store_where(typingctx, t, c, c_stride, n, y):
    """c[r · c_stride + j] = t[r, j] where y[r · c_stride + j] > 0, else 0, for j < n: ReLU's derivative."""

    def emit(builder, t, rest, skip, mask):
        zero = ir.Constant(_vector(t), None)

        def column(x, place):
            y = _load(builder, _vector(t), _element(builder, rest[0], place, _scalar(t.dtype)), mask)
            return builder.select(builder.fcmp_ordered(">", y, zero), x, zero)

        return column

    return types.void(t, c, types.int64, types.int64, y), _tile_epilogue(emit)


@intrinsic(prefer_literal=True)
def block_tile(typingctx, dtype, size, vectors):
    """A tile of zeros for values in blocks: LARGE, MEDIUM or SMALL, of 6, 4 and 1 rows where there are 32 registers."""
    rows = (max(tile_rows() // 2, 2), max(tile_rows() // 3, 2), 1)[size.literal_value]
    result = Tile(dtype.dtype, rows, vectors.literal_value)

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(result), None)

    return result(dtype, size, vectors), codegen


def _rows_apart(builder, p, stride, rows, scalar):
    """The addresses of p[r · stride], r < rows; see _add_outer for what is hidden."""
    for r in range(rows):
        if r % 3 == 0:
            third = _hidden(builder, _element(builder, p, builder.mul(stride, ir.Constant(INT64, r)), scalar))
        yield _element(builder, third, builder.mul(stride, ir.Constant(INT64, r % 3)), scalar)


def _add_products(builder, t, args, spread):
    """t[r, v] + spread(a[r · a_stride]) · b[places[v] …], where `spread` makes a vector of an address."""
    value, a, a_stride, b, places = args
    scalar, kind = _scalar(t.dtype), _vector(t)
    left = [spread(address) for address in _rows_apart(builder, a, a_stride, t.rows, scalar)]
    for v in range(t.vectors):
        right = _load(builder, kind, _element(builder, b, builder.extract_value(places, v), scalar))
        for r in range(t.rows):
            i = r * t.vectors + v
            value = builder.insert_value(value, _fma(builder, left[r], right, builder.extract_value(value, i)), i)
    return value


@intrinsic
def tile_add_scaled(typingctx, t, a, a_stride, b, places):
    """t[r, v] + a[r · a_stride] · b[places[v] …]: numbers times vectors."""

    def codegen(context, builder, signature, args):
        return _add_products(builder, t, args, lambda p: _splat(builder, builder.load(p), t.lanes))

    return t(t, a, types.int64, b, places), codegen


@intrinsic
def tile_add_products(typingctx, t, a, a_stride, b, places):
    """t[r, v] + a[r · a_stride …] · b[places[v] …]: vectors times vectors, lane by lane."""

    def codegen(context, builder, signature, args):
        return _add_products(builder, t, args, lambda p: _load(builder, _vector(t), p))

    return t(t, a, types.int64, b, places), codegen


@intrinsic
def tile_of_column(typingctx, t, a, a_stride):
    """A tile like t whose rows are a[r · a_stride] in all lanes."""

    def codegen(context, builder, signature, args):
        value, a, a_stride = args
        for r, address in enumerate(_rows_apart(builder, a, a_stride, t.rows, _scalar(t.dtype))):
            x = _splat(builder, builder.load(address), t.lanes)
            for v in range(t.vectors):
                value = builder.insert_value(value, x, r * t.vectors + v)
        return value

    return t(t, a, types.int64), codegen


def _tile_places(builder, t, c, c_stride, places):
    """(number, address) of each vector of a tile at c[r · c_stride + places[v]]."""
    scalar = _scalar(t.dtype)
    for r in range(t.rows):
        row = _element(builder, c, builder.mul(c_stride, ir.Constant(INT64, r)), scalar)
        for v in range(t.vectors):
            yield r * t.vectors + v, _element(builder, row, builder.extract_value(places, v), scalar)


@intrinsic
def tile_load_at(typingctx, t, c, c_stride, places):
    """A tile like t of the vectors c[r · c_stride + places[v] …]."""

    def codegen(context, builder, signature, args):
        value, *where = args
        for i, address in _tile_places(builder, t, *where):
            value = builder.insert_value(value, _load(builder, _vector(t), address), i)
        return value

    return t(t, c, types.int64, places), codegen


@intrinsic
def tile_store_at(typingctx, t, c, c_stride, places):
    """c[r · c_stride + places[v] …] = t[r, v]."""

    def codegen(context, builder, signature, args):
        value, *where = args
        for i, address in _tile_places(builder, t, *where):
            _store(builder, builder.extract_value(value, i), address)
        return context.get_dummy_value()

    return types.void(t, c, types.int64, places), codegen


@intrinsic
def tile_relu(typingctx, t, relu):
    """max(t, 0), where NaN stays, if `relu` is not 0; else t."""

    def codegen(context, builder, signature, args):
        value, relu = args
        on = builder.icmp_signed("!=", relu, ir.Constant(INT64, 0))
        low = ir.Constant(_vector(t), [float("-inf")] * t.lanes)
        floor = builder.select(on, ir.Constant(_vector(t), None), low)
        for i in range(t.rows * t.vectors):
            x = builder.extract_value(value, i)
            value = builder.insert_value(value, builder.select(builder.fcmp_ordered("<", x, floor), floor, x), i)
        return value

    return t(t, types.int64), codegen


@intrinsic
def tile_sum_lanes(typingctx, t, p):
    """p[r · vectors + v] = the sum of the lanes of t[r, v], by halves; p has room for whole vectors of such sums."""

    def codegen(context, builder, signature, args):
        value, p = args
        n = t.lanes
        places = ir.VectorType(INT32, n)
        parts = [builder.extract_value(value, i) for i in range(t.rows * t.vectors)]
        parts += [ir.Constant(_vector(t), None)] * (-len(parts) % n)
        for first in range(0, len(parts), n):
            # Each step adds the halves of two vectors, and puts the sums side by side: what was `step` vectors apart.
            sums, step = parts[first : first + n], n // 2
            while step:
                width = 2 * step  # lanes of each sum that are still to be added
                low = [lane // width * width + lane % step + (n if lane % width >= step else 0) for lane in range(n)]
                high = [lane + step for lane in low]
                added = []
                for i in range(step):
                    a, b = sums[i], sums[i + step]
                    pair = (builder.shuffle_vector(a, b, ir.Constant(places, mask)) for mask in (low, high))
                    added.append(builder.fadd(*pair))
                sums, step = added, step // 2
            _store(builder, sums[0], _element(builder, p, ir.Constant(INT64, first), _scalar(t.dtype)))
        return context.get_dummy_value()

    return types.void(t, p), codegen


@intrinsic(prefer_literal=True)
def stack(typingctx, dtype, n):
    """Room for n numbers (a constant) on the stack, for as long as the function runs."""
    result = types.CPointer(dtype.dtype)

    def codegen(context, builder, signature, args):
        room = cgutils.alloca_once(builder, context.get_value_type(dtype.dtype), size=n.literal_value)
        room.align = 64
        return builder.bitcast(room, context.get_value_type(result))

    return result(dtype, n), codegen


@intrinsic
def tile_add_row(typingctx, t, b, n):
    """t[r, j] + b[j], for j < n."""

    def codegen(context, builder, signature, args):
        value, b, n = args
        for v in range(t.vectors):
            address = _element(builder, b, ir.Constant(INT64, v * t.lanes), _scalar(t.dtype))
            row = _load(builder, _vector(t), address, _first(builder, n, t.lanes, v * t.lanes))
            for r in range(t.rows):
                i = r * t.vectors + v
                value = builder.insert_value(value, builder.fadd(builder.extract_value(value, i), row), i)
        return value

    return t(t, b, types.int64), codegen


@intrinsic
def transpose_block(typingctx, y, y_stride, x, x_stride):
    """y[j · y_stride + i] = x[i · x_stride + j] for i, j < lanes: a square of vectors, in registers."""
    t = Vector(x.dtype)

    def codegen(context, builder, signature, args):
        y, y_stride, x, x_stride = args
        n, kind, scalar = t.lanes, _vector(t), _scalar(t.dtype)
        rows = [
            _load(builder, kind, _element(builder, x, builder.mul(x_stride, ir.Constant(INT64, i)), scalar))
            for i in range(n)
        ]
        places = ir.VectorType(INT32, n)
        step = 1
        while step < n:
            # swap the off-diagonal squares of size step
            low = [j if not j & step else n + j - step for j in range(n)]
            high = [j + step if not j & step else n + j for j in range(n)]
            for i in range(n):
                if not i & step:
                    a, b = rows[i], rows[i + step]
                    rows[i] = builder.shuffle_vector(a, b, ir.Constant(places, low))
                    rows[i + step] = builder.shuffle_vector(a, b, ir.Constant(places, high))
            step *= 2
        for j in range(n):
            _store(builder, rows[j], _element(builder, y, builder.mul(y_stride, ir.Constant(INT64, j)), scalar))
        return context.get_dummy_value()

    return types.void(y, types.int64, x, types.int64), codegen


# --- the floating-point unit --------------------------------------------------------------------------


@intrinsic
def flush_subnormals(typingctx):
    """Make this thread treat subnormal numbers as 0; returns the state to restore. Other CPUs than x86: nothing."""

    def codegen(context, builder, signature, args):
        if not _is_x86():
            return ir.Constant(INT32, 0)
        place = cgutils.alloca_once(builder, INT32)
        _mxcsr(builder, "stmxcsr", place)
        old = builder.load(place)
        _set_mxcsr(builder, builder.or_(old, ir.Constant(INT32, 0x8040)))  # FTZ and DAZ
        return old

    return types.uint32(), codegen


@intrinsic
def restore_subnormals(typingctx, state):
    """Put back what flush_subnormals returned."""

    def codegen(context, builder, signature, args):
        if _is_x86():
            _set_mxcsr(builder, args[0])
        return context.get_dummy_value()

    return types.void(types.uint32), codegen


def _set_mxcsr(builder, value):
    place = cgutils.alloca_once(builder, INT32)
    builder.store(value, place)
    _mxcsr(builder, "ldmxcsr", place)


def _mxcsr(builder, name, place):
    place = builder.bitcast(place, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [place.type])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}"), [place])


# --- pointers and calls -------------------------------------------------------------------------------


def kernel_signature(dtype):
    """Numba signature of a kernel whose floats are `dtype` (types.float32 or types.float64)."""
    return types.void(OP, types.NumberClass(dtype), ROWS, ROWS, ROWS)


@intrinsic
def call(typingctx, address, op, rows, lo, hi):
    """Call the kernel at `address`: by Numba's own calling convention, about 20 ns.

    `dtype` is a type, not a value: it takes a register and is never read, so that one compiled engine
    calls the kernels of every dtype.
    """
    callee = kernel_signature(types.float32)

    def codegen(context, builder, signature, args):
        convention = context.call_conv
        function_type = convention.get_function_type(callee.return_type, callee.args)
        function = builder.inttoptr(args[0], function_type.as_pointer())
        dtype = context.get_dummy_value()
        convention.call_function(builder, function, callee.return_type, callee.args, [args[1], dtype, *args[2:]])
        return context.get_dummy_value()

    return types.void(types.int64, OP, ROWS, ROWS, ROWS), codegen


@intrinsic
def call_c(typingctx, address, arguments):
    """Call the C function at `address` with a tuple of int64s; it returns an int64."""

    def codegen(context, builder, signature, args):
        values = [builder.extract_value(args[1], i) for i in range(len(arguments))]
        function_type = ir.FunctionType(INT64, [INT64] * len(values))
        return builder.call(builder.inttoptr(args[0], function_type.as_pointer()), values)

    return types.int64(types.int64, arguments), codegen


@intrinsic
def take(typingctx, p):
    """Whether the int64 at p was 0, and is 1 now: of threads that do this at once, one gets True."""

    def codegen(context, builder, signature, args):
        zero, one = ir.Constant(INT64, 0), ir.Constant(INT64, 1)
        return builder.extract_value(builder.cmpxchg(args[0], zero, one, "acq_rel", "acquire"), 1)

    return types.boolean(p), codegen


@intrinsic
def release(typingctx, p):
    """Put the int64 at p back to 0, for `take`."""

    def codegen(context, builder, signature, args):
        builder.store_atomic(ir.Constant(INT64, 0), args[0], "release", 8)
        return context.get_dummy_value()

    return types.void(p), codegen


@intrinsic
def pointer(typingctx, address, dtype):
    """The pointer to `dtype` at `address`, an int64."""
    target = types.CPointer(dtype.dtype)

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(target))

    return target(types.int64, dtype), codegen


@intrinsic
def address_of(typingctx, p):
    """The address, an int64, that p points to."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(args[0], INT64)

    return types.int64(p), codegen


@intrinsic
def offset(typingctx, p, elements):
    """The pointer `elements` elements after p."""

    def codegen(context, builder, signature, args):
        return _element(builder, args[0], args[1], context.get_value_type(p.dtype))

    return p(p, types.intp), codegen


@intrinsic(prefer_literal=True)
def pointers(typingctx, op, first, count, dtype):
    """Fields first .. first + count of an op record as a tuple of pointers to `dtype`."""
    target = types.CPointer(dtype.dtype)
    result = types.UniTuple(target, count.literal_value)

    def codegen(context, builder, signature, args):
        fields = _fields(builder, args[0], first.literal_value, count.literal_value)
        kind = context.get_value_type(target)
        return context.make_tuple(builder, result, [builder.inttoptr(field, kind) for field in fields])

    return result(op, first, count, dtype), codegen


@intrinsic(prefer_literal=True)
def sizes(typingctx, op, first, count):
    """Fields first .. first + count of an op record as a tuple of int64."""
    result = types.UniTuple(types.int64, count.literal_value)

    def codegen(context, builder, signature, args):
        fields = _fields(builder, args[0], first.literal_value, count.literal_value)
        return context.make_tuple(builder, result, fields)

    return result(op, first, count), codegen


@intrinsic(prefer_literal=True)
def number(typingctx, op, field):
    """The field of an op record that holds the bits of a float64."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(_fields(builder, args[0], field.literal_value, 1)[0], ir.DoubleType())

    return types.float64(op, field), codegen


def _fields(builder, op, first, count):
    return [builder.load(_element(builder, op, ir.Constant(INT64, first + i), INT64)) for i in range(count)]
