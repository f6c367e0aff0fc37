"""Addresses as values inside @njit code: pointers, calls by address, locks."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import emit
from .emit import INT64


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


@intrinsic
def is_null(typingctx, p):
    """Whether p is the address 0."""

    def codegen(context, builder, signature, args):
        return builder.icmp_unsigned("==", builder.ptrtoint(args[0], INT64), ir.Constant(INT64, 0))

    return types.boolean(p), codegen
