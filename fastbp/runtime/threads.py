"""How many threads a call uses, on which of Numba's threading layers."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import os
import sys
import threading
import warnings
from collections.abc import Iterator

import numba
import numpy as np

from ..errors import brief

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


def start_threads() -> None:
    """Start Numba's threading layer, if it has not been started.

    A function with a parallel loop that is loaded from a cache finds the layer's functions when it is loaded. Numba up
    to 0.64 leaves their addresses 0 where the layer has not been started before.
    """
    threading_layer()  # takes TBB's library into the process first
    numba.get_num_threads()


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
