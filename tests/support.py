"""Shared by the tests: every kernel of the package, kernels called with arrays, other processes, C."""

import ctypes
import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from numba import njit, types

import fastbp.kernels
from fastbp.runtime.functions import Kernel
from fastbp.simd.entry import call
from fastbp.simd.memory import pointer

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
GUARD = 32  # elements before and behind each buffer that nothing may write to


def all_kernels() -> dict[str, Kernel]:
    kernels = {}
    for module in pkgutil.iter_modules(fastbp.kernels.__path__):
        contents = vars(importlib.import_module(f"fastbp.kernels.{module.name}"))
        kernels |= {name: value for name, value in contents.items() if isinstance(value, Kernel)}
    return kernels


@njit
def _invoke(address, record, rows, lo, hi, task):
    call(address, pointer(record, types.int64), rows, lo, hi, task)


class Guarded:
    """An array between two guard zones of NaN; poisoned with NaN itself if no values are given."""

    def __init__(self, values, dtype=None, shape=None):
        values = np.full(shape, np.nan, dtype) if values is None else np.array(values, dtype)
        self._all = np.full(values.size + 2 * GUARD, np.nan, values.dtype)
        self.array = self._all[GUARD : GUARD + values.size].reshape(values.shape)
        self.array[...] = values

    def intact(self) -> bool:
        return bool(np.isnan(self._all[:GUARD]).all() and np.isnan(self._all[-GUARD:]).all())


def run_kernel(kernel: Kernel, dtype, rows, pieces, **record):
    """Run a kernel on the pieces (lo, hi) of its items; record: arrays, Guarded arrays or integers by field."""
    assert tuple(record) == kernel.fields
    arrays = {name: value.array if isinstance(value, Guarded) else value for name, value in record.items()}
    fields = [value.ctypes.data if isinstance(value, np.ndarray) else int(value) for value in arrays.values()]
    table = np.array(fields, np.int64)
    for task, (lo, hi) in enumerate(pieces):
        _invoke(kernel.address(np.dtype(dtype)), table.ctypes.data, rows, lo, hi, task)
    for name, value in record.items():
        assert not isinstance(value, Guarded) or value.intact(), f"{kernel.name} wrote beside {name}"


def seed_of(*parts) -> int:
    """A seed that depends on the test's parameters; it stands in the test's name, so it is logged."""
    return zlib.crc32(repr(parts).encode())


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess:
    """Run code in a new process."""
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=300)


def compile_c(source: str, folder, *flags: str):
    """Compile C99 to a shared library, where any warning is an error; skips the test if there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    place = Path(tempfile.mkdtemp(dir=folder))  # of its own: a library is loaded once from a path
    code, library = place / "code.c", place / "code.so"
    code.write_text(source)
    strict = ["-std=c99", "-O2", "-Wall", "-Wextra", "-pedantic", "-Werror", "-shared", "-fPIC"]
    command = [compiler, *strict, *flags, str(code), "-o", str(library), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))
