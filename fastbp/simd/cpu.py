"""The CPU that is compiled for: how wide its vectors are, how many there are, and what its floating-point unit does."""

from __future__ import annotations

import functools

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils, registry
from numba.extending import intrinsic

INT32 = ir.IntType(32)


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
def has_fma() -> bool:
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
    return 12 if vector_bytes() == 64 or "aarch64" in probe or "arm64" in probe else 6 if has_fma() else 4


def is_x86() -> bool:
    return registry.cpu_target.target_context.codegen().magic_tuple()[0].startswith(("x86_64", "i686", "i386"))


def lanes_of(dtype: types.Float) -> int:
    """Elements of a vector."""
    return vector_bytes() * 8 // dtype.bitwidth


@intrinsic
def flush_subnormals(typingctx):
    """Make this thread treat subnormal numbers as 0; returns the state to restore. Other CPUs than x86: nothing."""

    def codegen(context, builder, signature, args):
        if not is_x86():
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
        if is_x86():
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
