"""Op records: what a field of one may be, and how the engine calls a kernel with one.

A kernel's entry is a C function that calls the kernel with the fields of a record:

    void entry(const int64_t *record, int64_t rows, int64_t lo, int64_t hi, int64_t task)

It stands in the kernel's own library, in the place of the C function that Numba makes for callbacks, and is kept in the
cache with it.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import compiler, compiler_machinery, lowering, typed_passes
from numba.extending import intrinsic

from . import emit
from .emit import INT64

OP_WIDTH = 24  # int64s of an instruction: the address of the kernel's entry, and then its op record
_RECORD, _NUMBER = types.CPointer(types.int64), types.intp
_ENTRY = ir.FunctionType(ir.VoidType(), [INT64.as_pointer(), *[INT64] * 4])


class Array:
    """A pointer to the network's type of float: a place in a flat buffer."""

    of = types.CPointer


class Doubles:
    """A pointer to float64."""

    @staticmethod
    def of(dtype):
        return types.CPointer(types.float64)


class Integers:
    """A pointer to int64."""

    @staticmethod
    def of(dtype):
        return types.CPointer(types.int64)


class Size:
    """An integer."""

    @staticmethod
    def of(dtype):
        return types.int64


class Key(Size):
    """64 random bits, which a stream of random numbers is made of."""


class Real:
    """A float64, whatever the network's type of float; the record has its bits."""

    @staticmethod
    def of(dtype):
        return types.float64


FIELD_KINDS = (Array, Doubles, Integers, Size, Key, Real)


def kernel_signature(kinds, dtype, told):
    """Numba signature of a kernel with fields of these kinds, whose floats are `dtype`; told: it wants the task."""
    fields = [kind.of(dtype) for kind in kinds]
    return types.void(*fields, types.NumberClass(dtype), *[_NUMBER] * (4 if told else 3))


@intrinsic
def call(typingctx, address, record, rows, lo, hi, task):
    """Call the kernel whose entry is at `address`."""

    def codegen(context, builder, signature, args):
        builder.call(builder.inttoptr(args[0], _ENTRY.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(types.int64, _RECORD, *[_NUMBER] * 4), codegen


class _Lower(lowering.Lower):
    def create_cfunc_wrapper(self):
        """Add the entry of a kernel, whose arguments are the record's fields, dtype, rows, lo, hi and maybe task."""
        module, description = self.context.create_module("entry"), self.fndesc
        convention, kinds = self.context.call_conv, description.argtypes
        kernel = ir.Function(
            module, convention.get_function_type(description.restype, kinds), description.llvm_func_name
        )
        entry = ir.Function(module, _ENTRY, description.llvm_cfunc_wrapper_name)
        builder = ir.IRBuilder(entry.append_basic_block("entry"))
        record, *numbers = entry.args
        dtype = next(i for i, kind in enumerate(kinds) if isinstance(kind, types.NumberClass))
        fields = [self._field(builder, record, i, kind) for i, kind in enumerate(kinds[:dtype])]
        given = [*fields, self.context.get_dummy_value(), *numbers][: len(kinds)]
        convention.call_function(builder, kernel, description.restype, kinds, given)  # kernels raise nothing
        builder.ret_void()
        self.library.add_ir_module(module)

    def _field(self, builder, record, i, kind):
        value = builder.load(emit.element(builder, record, ir.Constant(INT64, i), INT64))
        if isinstance(kind, types.CPointer):
            return builder.inttoptr(value, self.context.get_value_type(kind))
        return builder.bitcast(value, ir.DoubleType()) if kind == types.float64 else value


@compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(typed_passes.BaseNativeLowering):
    _name = "kernel_lowering"

    @property
    def lowering_class(self):
        return _Lower


class KernelCompiler(compiler.CompilerBase):
    """Numba's compiler, for @njit(pipeline_class=KernelCompiler): it adds the entry to what it compiles."""

    def define_pipelines(self):
        passes = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [
            (_Lowering, "kernel lowering") if kind is typed_passes.NativeLowering else (kind, text)
            for kind, text in passes.passes
        ]
        passes.finalize()
        return [passes]
