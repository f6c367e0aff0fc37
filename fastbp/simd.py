"""Pointers, and calls by address, as values inside @njit code: the one file that writes LLVM IR."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

# What every kernel is: void kernel(op, dtype, rows, lo, hi); see fastbp._jit.Kernel.
OP = types.CPointer(types.int64)
ROWS = types.intp


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
def pointer(typingctx, address, dtype):
    """The pointer to `dtype` at `address`, an int64."""
    target = types.CPointer(dtype.dtype)

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(target))

    return target(types.int64, dtype), codegen


@intrinsic
def offset(typingctx, p, elements):
    """The pointer `elements` elements after p."""

    def codegen(context, builder, signature, args):
        element = context.get_value_type(p.dtype)
        start = builder.bitcast(args[0], element.as_pointer())
        return builder.gep(start, [args[1]], source_etype=element)

    return p(p, types.intp), codegen


@intrinsic(prefer_literal=True)
def pointers(typingctx, op, first, count, dtype):
    """Fields first .. first + count of an op record as a tuple of pointers to `dtype`."""
    target = types.CPointer(dtype.dtype)
    result = types.UniTuple(target, count.literal_value)

    def codegen(context, builder, signature, args):
        fields = _fields(builder, args[0], first.literal_value, count.literal_value)
        kind = context.get_value_type(target)
        values = [builder.inttoptr(field, kind) for field in fields]
        return context.make_tuple(builder, result, values)

    return result(op, first, count, dtype), codegen


@intrinsic(prefer_literal=True)
def sizes(typingctx, op, first, count):
    """Fields first .. first + count of an op record as a tuple of int64."""
    result = types.UniTuple(types.int64, count.literal_value)

    def codegen(context, builder, signature, args):
        fields = _fields(builder, args[0], first.literal_value, count.literal_value)
        return context.make_tuple(builder, result, fields)

    return result(op, first, count), codegen


def _fields(builder, op, first, count):
    int64 = ir.IntType(64)
    op = builder.bitcast(op, int64.as_pointer())
    places = [ir.Constant(int64, first + i) for i in range(count)]
    return [builder.load(builder.gep(op, [place], source_etype=int64)) for place in places]
