"""Functions that Numba compiles: its options, kernels and entry points, by address and from the cache."""

from __future__ import annotations

import inspect
import pickle
import sys
import time
import types as python_types
import warnings
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import njit, types
from numba.core import caching
from numba.core.serialize import dumps

from ..simd.entry import FIELD_KINDS, OP_WIDTH, KernelCompiler, kernel_signature
from . import cache, locks
from .locks import interrupts_later
from .threads import start_threads

if numba.config.DISABLE_JIT:
    raise ImportError("fastbp is compiled by Numba, which is switched off: unset NUMBA_DISABLE_JIT")


# Numba puts the fastmath flags on vector arithmetic too. Only contraction to fma is allowed: `reassoc` would undo the
# range reductions of kernels/maths.py and the fixed order of sums, and sums are vectors by hand anyway.
OPTIONS: dict[str, Any] = dict(nogil=True, error_model="numpy", fastmath={"contract"})


DTYPES: dict[np.dtype, Any] = {np.dtype(np.float32): types.float32, np.dtype(np.float64): types.float64}


# A piece of a kernel: inlined into whatever calls it, never cached by itself. Not for Python, which saves its wrappers.
inner = njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)


class _Implementation(caching.CompileResultCacheImpl):
    """Tells Numba's check of what can be cached which name to use in its warning."""

    def __init__(self, name: str):
        self._lineno = 0
        self._locator = python_types.SimpleNamespace(_py_file=name)


class _Cache(caching.NullCache):
    """Numba's interface to the cache of a function that is compiled for one signature: a file in a folder.

    Numba's own keeps an index for each function, with a hash of what the function closes over, which differs from
    process to process for @njit functions. The folder's and the file's names already say all that the code depends on.
    """

    def __init__(self, name: str):
        self._name = f"{name}.py{sys.version_info.major}{sys.version_info.minor}{getattr(sys, 'abiflags', '')}"
        self._implementation = _Implementation(self._name)
        self.lacked = False

    def load_overload(self, sig, target_context):
        target_context.refresh()
        content = cache.find(self._name)
        if content is None:
            self.lacked = True
            _tell_once()
            return None
        return self._implementation.rebuild(target_context, pickle.loads(content))

    def save_overload(self, sig, data):
        folder = cache.folder()
        if folder is not None and self._implementation.check_cachable(data):
            try:
                cache.save(folder, self._name, dumps(self._implementation.reduce(data)))
            except OSError as error:  # a full disk, say: what was compiled works all the same
                warnings.warn(f"fastbp can't keep compiled code in {folder}: {error}", stacklevel=2)


_told = False
_seconds = 0.0


def seconds_compiling() -> float:
    """How many seconds this process has spent on compiling so far; what comes from the cache counts for nothing."""
    return _seconds


def _tell_once() -> None:
    global _told
    if not _told:
        _told = True
        kept = "kept for later runs" if cache.folder() else "not kept: there is no cache"
        print(f"fastbp: compiling kernels for this machine ({kept}) ...", file=sys.stderr, flush=True)


def _compile(dispatcher, name: str | None, signature):
    """The compiled overload of `signature`, from the cache if it is there; without a name it is not cached."""
    global _seconds
    with (
        interrupts_later(),
        locks.one_at_a_time(),
    ):  # LLVM calls back into Python while it loads code, and loses an exception there
        if signature.args not in dispatcher.overloads:
            kept = None
            if name is not None and cache.enabled():
                kept = _Cache(name)
                dispatcher._cache = kept  # noqa: SLF001, Numba has no other way to set it
            else:
                _tell_once()
            begin = time.perf_counter()
            dispatcher.compile(signature)
            if kept is None or kept.lacked:
                _seconds += time.perf_counter() - begin
        return dispatcher.overloads[signature.args]


_CALL = ("dtype", "rows", "lo", "hi", "task")


class Kernel:
    """An instruction: a function that is called by address, with its op record unpacked into its arguments.

    Its arguments are the fields of the record, in order: first what it writes, then what it reads, then sizes, each
    annotated with its kind (Array, Doubles, Integers, Size, Key or Real; see simd/entry.py). Behind them come

    dtype   the type of the floats: `dtype(x)` converts
    rows    rows in the batch
    lo, hi  the part of the op's items that this call works on
    task    the number of that part; only for those that write sums for each task

    The function knows nothing of Python objects, allocates nothing and checks nothing.
    Raises TypeError for a function with other arguments, or with more fields than a record has room for.
    """

    def __init__(self, function: Callable, name: str = "", *, cached: bool = True):
        self.name = name or function.__name__
        self._cached = cached
        self.__doc__ = function.__doc__
        self._record, self._told = _record(function, self.name)
        self.fields = tuple(self._record)
        self._function = function
        self._addresses: dict[np.dtype, int] = {}

    def __repr__(self) -> str:
        return f"<kernel {self.name}({', '.join(self.fields)})>"

    def compiled(self, dtype: np.dtype):
        """The compiled overload for NumPy dtype `dtype`: compiled, or loaded from the cache."""
        dispatcher = njit(no_cpython_wrapper=True, pipeline_class=KernelCompiler, **OPTIONS)(self._function)
        name = f"{self.name}-{dtype}" if self._cached else None
        return _compile(dispatcher, name, kernel_signature(self._record.values(), DTYPES[dtype], self._told))

    def address(self, dtype: np.dtype) -> int:
        """The machine address of the entry for NumPy dtype `dtype`: see simd/entry.py."""
        if dtype not in self._addresses:
            overload = self.compiled(dtype)
            name = overload.fndesc.llvm_cfunc_wrapper_name
            self._addresses[dtype] = overload.library.get_pointer_to_function(name)
        return self._addresses[dtype]


def _record(function: Callable, name: str) -> tuple[dict[str, Any], bool]:
    """The kinds of a kernel's fields by name, and whether it wants the task's number."""
    arguments = inspect.signature(function, eval_str=True).parameters
    record = {n: a.annotation for n, a in arguments.items() if a.annotation in FIELD_KINDS}
    call = [n for n in arguments if n not in record]
    if list(arguments) != [*record, *call] or call not in (list(_CALL), list(_CALL[:-1])):
        kinds = ", ".join(kind.__name__ for kind in FIELD_KINDS)
        raise TypeError(f"{name} must take fields annotated as one of {kinds}, and then {', '.join(_CALL)}")
    if len(record) >= OP_WIDTH:
        raise TypeError(f"{name} must have at most {OP_WIDTH - 1} fields, as many as an op record, got {len(record)}")
    return record, "task" in call


def kernel(function: Callable) -> Kernel:
    """Decorator: make a kernel of a function."""
    return Kernel(function)


class EntryPoint:
    """An @njit function with one signature, called from Python; compiled or loaded at its first call."""

    def __init__(self, function: Callable, signature, **options):
        self.dispatcher = njit(**(OPTIONS | options))(function)
        self._signature = signature
        self._ready = False
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__

    def _compiled(self):
        start_threads()
        overload = _compile(self.dispatcher, self.__name__, self._signature)
        self.dispatcher.disable_compile()
        self._ready = True
        return overload

    def __call__(self, *args):
        if not self._ready:
            self._compiled()
        return self.dispatcher(*args)

    def c_address(self) -> int:
        """The machine address of a plain C function that does the same."""
        overload = self._compiled()
        return overload.library.get_pointer_to_function(overload.fndesc.llvm_cfunc_wrapper_name)


def entry_point(signature, **options) -> Callable[[Callable], EntryPoint]:
    """Decorator: compile for `signature` alone, when it is first called."""
    return lambda function: EntryPoint(function, signature, **options)
