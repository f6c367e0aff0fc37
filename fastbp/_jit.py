"""Everything that fastbp asks of Numba: options, the cache on disk, kernels by address, threads."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib
import importlib.metadata
import inspect
import os
import pickle
import signal
import sys
import threading
import types as python_types
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import njit, types
from numba.core import caching
from numba.core.dispatcher import Dispatcher
from numba.core.serialize import dumps

from . import cache
from .errors import brief
from .simd.entry import FIELD_KINDS, OP_WIDTH, KernelCompiler, kernel_signature

if numba.config.DISABLE_JIT:
    raise ImportError("fastbp is compiled by Numba, which is switched off: unset NUMBA_DISABLE_JIT")

# Numba puts the fastmath flags on vector arithmetic too. Only contraction to fma is allowed: `reassoc` would undo the
# range reductions of kernels/maths.py and the fixed order of sums, and sums are vectors by hand anyway.
OPTIONS: dict[str, Any] = dict(nogil=True, error_model="numpy", fastmath={"contract"})
DTYPES: dict[np.dtype, Any] = {np.dtype(np.float32): types.float32, np.dtype(np.float64): types.float64}

# A piece of a kernel: inlined into whatever calls it, never cached by itself. Not for Python, which saves its wrappers.
inner = njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)


# --- the cache ----------------------------------------------------------------------------------------

_lock = threading.RLock()


_owners: weakref.WeakSet[Any] = weakref.WeakSet()


def give_lock(owner: Any) -> None:
    """Make `owner._lock`, a reentrant lock, and another one in each child process that is forked."""
    owner._lock = threading.RLock()
    _owners.add(owner)


def _unlock() -> None:
    """In a child process: threads that held the locks when it was forked are not there."""
    global _lock
    _lock = threading.RLock()
    for owner in _owners:
        owner._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


class _Implementation(caching.CompileResultCacheImpl):
    """Tells Numba's check of what can be cached which name to use in its warning."""

    def __init__(self, folder: Path):
        self._lineno = 0
        self._locator = python_types.SimpleNamespace(_py_file=str(folder))


class _Cache(caching.NullCache):
    """Numba's interface to the cache of a function that is compiled for one signature: a file in the folder.

    Numba's own keeps an index for each function, with a hash of what the function closes over, which differs from
    process to process for @njit functions. The folder's and the file's names already say all that the code depends on.
    """

    def __init__(self, name: str, folder: Path):
        self._name = f"{name}.py{sys.version_info.major}{sys.version_info.minor}{getattr(sys, 'abiflags', '')}"
        self._folder = folder
        self._implementation = _Implementation(folder)

    def load_overload(self, sig, target_context):
        target_context.refresh()
        content = cache.load(self._folder, self._name)
        if content is None:
            _tell_once()
            return None
        return self._implementation.rebuild(target_context, pickle.loads(content))

    def save_overload(self, sig, data):
        if self._implementation.check_cachable(data):
            try:
                cache.save(self._folder, self._name, dumps(self._implementation.reduce(data)))
            except OSError as error:  # a full disk, say: what was compiled works all the same
                warnings.warn(f"fastbp can't keep compiled code in {self._folder}: {error}", stacklevel=2)


_told = False


def _tell_once() -> None:
    global _told
    if not _told:
        _told = True
        kept = "kept for later runs" if cache.folder() else "not kept: there is no cache"
        print(f"fastbp: compiling kernels for this machine ({kept}) ...", file=sys.stderr, flush=True)


@contextlib.contextmanager
def interrupts_later() -> Iterator[None]:
    """Hear Ctrl-C when this ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = []
    previous = signal.getsignal(signal.SIGINT)
    if not callable(previous):
        yield
        return
    signal.signal(signal.SIGINT, lambda *args: heard.append(args))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if heard:
            previous(*heard[0])


def _compile(dispatcher, name: str | None, signature):
    """The compiled overload of `signature`, from the cache if it is there; without a name it is not cached."""
    with interrupts_later(), _lock:  # LLVM calls back into Python while it loads code, and loses an exception there
        if signature.args not in dispatcher.overloads:
            if name is not None and (folder := cache.folder()) is not None:
                dispatcher._cache = _Cache(name, folder)
            else:
                _tell_once()
            dispatcher.compile(signature)
        return dispatcher.overloads[signature.args]


# --- kernels and entry points -------------------------------------------------------------------------


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


# --- functions of the user's own ---------------------------------------------------------------------

_KNOWN_MODULES = ("math", "cmath", "operator", "builtins", "numpy", "numba")


def digest(*functions: Callable) -> str | None:
    """A hash of all that the compiled code of these functions depends on: their code, and what it refers to.

    None if it refers to something that has no such hash.
    """
    found = hashlib.sha256()
    return found.hexdigest()[:16] if _feed(functions, found.update, {}) else None


def _feed(value: Any, update: Callable[[bytes], None], seen: dict[int, int]) -> bool:
    """Give the hash all that `value` is; False if that is not known."""
    if isinstance(value, Dispatcher):
        update(repr(sorted(value.targetoptions.items(), key=str)).encode())
        value = value.py_func
    if isinstance(value, python_types.FunctionType):
        if id(value) in seen:  # which one it is, and nothing more
            update(f"function {seen[id(value)]}".encode())
            return True
        seen[id(value)] = len(seen)
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        parts = [value.__code__, value.__defaults__, *cells, *_globals(value.__code__, value.__globals__)]
        return _feed(tuple(parts), update, seen)
    if isinstance(value, python_types.CodeType):
        update(value.co_code + repr((value.co_names, value.co_varnames, value.co_argcount)).encode())
        return _feed(value.co_consts, update, seen)
    if isinstance(value, tuple):
        update(f"{type(value)}{len(value)}".encode())
        return all(_feed(part, update, seen) for part in value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
        return True
    if isinstance(value, (bool, int, float, complex, str, bytes, type(None), np.generic)):
        update(f"{type(value)}{value!r}".encode())
        return True
    module = value.__name__ if isinstance(value, python_types.ModuleType) else getattr(value, "__module__", None) or ""
    name = getattr(value, "__qualname__", getattr(value, "__name__", ""))
    update(f"{module}.{name}".encode())
    return isinstance(value, np.ufunc) or (bool(name) and module.split(".")[0] in _KNOWN_MODULES)


def _globals(code: python_types.CodeType, space: dict[str, Any]) -> Iterator[Any]:
    """What the names in the code refer to, as far as they are global, or attributes of a module that is."""
    for inside in code.co_consts:
        if isinstance(inside, python_types.CodeType):
            yield from _globals(inside, space)
    for name in code.co_names:
        value = space.get(name)
        if name not in space:
            continue
        if isinstance(value, python_types.ModuleType) and value.__name__.split(".")[0] not in _KNOWN_MODULES:
            yield from (getattr(value, attribute) for attribute in code.co_names if hasattr(value, attribute))
        else:
            yield value


# --- threads ------------------------------------------------------------------------------------------

_threads: int | None = None
_here = threading.local()  # `threads`: what threads_here says in this Python thread
_layer: str | None = None


def _load_tbb() -> None:
    """Load the tbb wheel's library: Numba finds TBB only if it is already in the process."""
    names = {"win32": "tbb12.dll", "darwin": "libtbb.12.dylib"}
    wanted = names.get(sys.platform, "libtbb.so.12")
    try:
        files = importlib.metadata.files("tbb") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for file in files:
        if file.name == wanted:
            with contextlib.suppress(OSError):  # Numba then takes the next layer that it finds
                ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_GLOBAL)
            return


_POOLS = {
    "tbb": "numba.np.ufunc.tbbpool",
    "omp": "numba.np.ufunc.omppool",
    "workqueue": "numba.np.ufunc.workqueue",
}
_PREFERENCES = {
    "default": ("tbb", "omp", "workqueue"),
    "threadsafe": ("tbb",),
    "safe": ("tbb",),
    "forksafe": ("tbb", "workqueue") if sys.platform.startswith("linux") else ("tbb", "omp", "workqueue"),
}


def threading_layer() -> str:
    """The layer that Numba runs, or will run, parallel loops on: "tbb", "omp" or "workqueue"."""
    global _layer
    if _layer is None:
        try:
            _layer = numba.threading_layer()
        except ValueError:  # no parallel loop has run yet
            _layer = _first_importable()
    return _layer


def _first_importable() -> str:
    wanted = numba.config.THREADING_LAYER
    order = (wanted,) if wanted in _POOLS else _PREFERENCES.get(wanted, _PREFERENCES["default"])
    if wanted == "default":
        order = tuple(numba.config.THREADING_LAYER_PRIORITY)
    if "tbb" in order:
        _load_tbb()
    for name in order:
        try:
            importlib.import_module(_POOLS[name])
            return name
        except ImportError:
            continue
    return "workqueue"


_forked_from_openmp = False


def _after_fork() -> None:
    """In a forked child, GNU's OpenMP ends the process at the first parallel loop: work there on one thread."""
    global _forked_from_openmp
    _forked_from_openmp = _layer == "omp"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

_warned = False
_local = threading.local()


@contextlib.contextmanager
def on_one_thread() -> Iterator[None]:
    """In this Python thread, calls use no other threads inside."""
    before, _local.alone = getattr(_local, "alone", False), True
    try:
        yield
    finally:
        _local.alone = before


def num_threads() -> int:
    """Threads that the next call uses at most."""
    global _warned
    if getattr(_local, "alone", False):
        return 1
    if threading_layer() == "workqueue":
        # Its fork costs 200 µs, and two threads that use it at once abort the process.
        if not _warned:
            _warned = True
            warnings.warn(
                "fastbp trains on one thread: Numba found neither TBB nor OpenMP, and its own workqueue is"
                " slower than no threads. `pip install tbb` (x86-64), or install OpenMP.",
                RuntimeWarning,
                stacklevel=2,
            )
        return 1
    if _forked_from_openmp:
        return 1
    here = getattr(_here, "threads", None)
    if here is not None:
        return min(here, numba.config.NUMBA_NUM_THREADS)
    return _threads if _threads is not None else numba.get_num_threads()


def get_num_threads() -> int:
    """Threads that fastbp uses at most.

    What `set_num_threads` set, or else Numba's own number (`numba.get_num_threads()`, NUMBA_NUM_THREADS);
    1 when Numba has no threading layer but its workqueue. Results don't depend on it.
    """
    return num_threads()


@contextlib.contextmanager
def threads_here(n: int | None) -> Iterator[None]:
    """Inside, this Python thread uses at most n threads, whatever set_num_threads said; None changes nothing."""
    previous = getattr(_here, "threads", None)
    _here.threads = previous if n is None else n
    try:
        yield
    finally:
        _here.threads = previous


@contextlib.contextmanager
def thread_limit(n: int) -> Iterator[None]:
    """Numba's own limit for this Python thread is n inside."""
    # Not in the compiled engine: Numba can't cache a function that calls set_num_threads.
    previous = numba.get_num_threads()
    numba.set_num_threads(n)
    try:
        yield
    finally:
        numba.set_num_threads(previous)


def set_num_threads(n: int | None) -> None:
    """Use at most n threads in this process; None goes back to Numba's own number.

    n: 1 to NUMBA_NUM_THREADS, which is the number of cores unless that variable is set before Numba is
    imported. Numba's own setting for other code stays as it is. Results don't depend on n.

    Raises TypeError if n is not an integer, ValueError if it is out of range.
    """
    global _threads
    if n is not None:
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
            raise TypeError(f"n must be an integer or None, got {brief(n)}")
        most = numba.config.NUMBA_NUM_THREADS
        if not 1 <= n <= most:
            raise ValueError(
                f"n must be 1 to {most}, got {n} (set NUMBA_NUM_THREADS before Numba is imported for more)"
            )
        n = int(n)
    _threads = n
