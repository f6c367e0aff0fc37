"""Networks inside other people's @njit code: no allocation, no Python, no GIL.

    h = net.handle()

    @njit
    def simulate(h, x, out):
        fb.jit.predict(h, x, out)

The functions work in plain Python too: `predict` is then the fastest way to predict a few rows. A handle is
for one thread at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.core.errors import TypingError
from numba.extending import overload

from ._jit import OPTIONS
from .engine import START, run_serial
from .kernels.data import ADDRESS, COLUMN_STRIDE, FLOAT32, FLOAT64, ROW_STRIDE, TYPE, UINT8
from .plan import INPUTS, Workspace
from .simd import flush_subnormals, restore_subnormals

_X, _OUT = INPUTS["x"], INPUTS["out"]


class Handle(NamedTuple):
    """A network bound to memory of its own, for @njit code; made by Network.handle."""

    groups: np.ndarray  # the program `predict`
    ops: np.ndarray
    inputs: np.ndarray
    params: np.ndarray  # shared with the network
    work: np.ndarray
    totals: np.ndarray
    rows: int  # worked on at once
    features: int
    outputs: int

    def __reduce__(self):
        raise TypeError("a handle can't be copied or pickled, as it holds addresses: make another with net.handle()")

    def __copy__(self):
        return self.__reduce__()

    def __deepcopy__(self, memo):
        return self.__reduce__()


def make_handle(workspace: Workspace, outputs: int) -> Handle:
    """The handle of a workspace, whose arrays it keeps alive."""
    groups, ops, _ = workspace.program("predict", "", workspace.capacity)
    workspace.bind(np.zeros((1, workspace.plan.x.size), workspace.dtype))
    arenas = workspace.arenas
    return Handle(
        groups,
        ops,
        workspace.inputs,
        arenas["params"],
        arenas["work"],
        workspace.totals,
        workspace.capacity,
        workspace.plan.x.size,
        outputs,
    )


def _check_types(params, x, out):
    """How kernels call the type of x; the types are checked when it is compiled."""


@overload(_check_types)
def _checked_types(params, x, out):
    codes = {types.float32: FLOAT32, types.float64: FLOAT64, types.uint8: UINT8}
    if not isinstance(x, types.Array) or x.layout != "C" or x.dtype not in codes:
        raise TypingError(f"x must be a C-contiguous array of float32, float64 or uint8, got {x}")
    if not isinstance(out, types.Array) or out.layout != "C" or out.dtype != params.dtype or not out.mutable:
        raise TypingError(f"out must be a C-contiguous, writable array of {params.dtype}, got {out}")
    code = codes[x.dtype]
    return lambda params, x, out: code


@njit(**OPTIONS)
def predict(h, x, out):
    """The network's predictions, as Network.predict gives them.

    h: a handle; x: (rows, inputs) or (inputs,), C-contiguous float32, float64 or uint8; out: (rows, outputs) or
    (outputs,), C-contiguous, of the network's dtype: it is written.
    Raises ValueError if the sizes don't fit, numba.TypingError for other types.
    """
    rows = 1 if x.ndim == 1 else x.shape[0]
    if rows * h.features != x.size or out.size != rows * h.outputs:
        raise ValueError("x must have shape (rows, inputs) and out (rows, outputs) of the network")
    inputs = h.inputs
    inputs[_X + TYPE], inputs[_X + ROW_STRIDE], inputs[_X + COLUMN_STRIDE] = (
        _check_types(h.params, x, out),
        h.features,
        1,
    )
    inputs[_X + ADDRESS], inputs[_OUT] = x.ctypes.data, out.ctypes.data
    state = flush_subnormals()
    for start in range(0, rows, h.rows):
        inputs[START] = start
        run_serial(h.groups, h.ops.ctypes.data, 0, h.groups.shape[0], min(h.rows, rows - start), inputs)
    restore_subnormals(state)
