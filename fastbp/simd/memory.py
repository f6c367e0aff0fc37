"""Addresses as values inside @njit code: pointers, op records, calls by address, locks."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import emit
from .emit import INT64

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
def on_python_thread(typingctx):
    """Whether the calling thread is one of Python's. An error that is raised on another one is dropped."""

    def codegen(context, builder, signature, args):
        function_type = ir.FunctionType(ir.IntType(8).as_pointer(), [])
        state = cgutils.get_or_insert_function(builder.module, function_type, "PyGILState_GetThisThreadState")
        return cgutils.is_not_null(builder, builder.call(state, []))

    return types.boolean(), codegen


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
        return emit.element(builder, args[0], args[1], context.get_value_type(p.dtype))

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
    return [builder.load(emit.element(builder, op, ir.Constant(INT64, first + i), INT64)) for i in range(count)]
