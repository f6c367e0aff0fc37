"""IR that the others are made of: vectors in registers and in memory."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .cpu import has_fma

INT32, INT64 = ir.IntType(32), ir.IntType(64)


def scalar(dtype):
    return ir.FloatType() if dtype == types.float32 else ir.DoubleType()


def vector(t):
    return ir.VectorType(scalar(t.dtype), t.lanes)


def splat(builder, scalar, lanes):
    kind = ir.VectorType(scalar.type, lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(INT32, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes))


def call(builder, name, result, *args):
    kind = ir.FunctionType(result, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.{suffix(result)}"), args)


def suffix(kind):
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{suffix(kind.element)}"
    return {"float": "f32", "double": "f64"}.get(str(kind), str(kind))


def fma(builder, a, b, c):
    if has_fma():
        return call(builder, "fma", a.type, a, b, c)
    return builder.fadd(builder.fmul(a, b), c)


def element(builder, pointer, i, element):
    """The address of element i of a CPointer's value."""
    return builder.gep(builder.bitcast(pointer, element.as_pointer()), [i], source_etype=element)


def first(builder, n, lanes, skip=0):
    """The mask of the lanes whose number + skip is below n."""
    kind = ir.VectorType(INT64, lanes)
    numbers = ir.Constant(kind, list(range(skip, skip + lanes)))
    return builder.icmp_signed("<", numbers, splat(builder, n, lanes))


def load(builder, kind, address, mask=None):
    size = 4 if str(kind.element) == "float" else 8
    address = builder.bitcast(address, kind.as_pointer())
    if mask is None:
        return builder.load(address, align=size)
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(kind, [address.type, INT32, mask.type, kind]),
        f"llvm.masked.load.{suffix(kind)}.p0",
    )
    return builder.call(function, [address, ir.Constant(INT32, size), mask, ir.Constant(kind, None)])


def store(builder, value, address, mask=None):
    kind = value.type
    size = 4 if str(kind.element) == "float" else 8
    address = builder.bitcast(address, kind.as_pointer())
    if mask is None:
        builder.store(value, address, align=size)
        return
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(ir.VoidType(), [kind, address.type, INT32, mask.type]),
        f"llvm.masked.store.{suffix(kind)}.p0",
    )
    builder.call(function, [value, address, ir.Constant(INT32, size), mask])
