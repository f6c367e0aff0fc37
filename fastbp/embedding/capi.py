"""Networks called from C: plain C functions around a handle, in the structs of include/fastbp.h."""

from __future__ import annotations

import ctypes
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
from numba import types

from ..kernels.data import FLOAT32, FLOAT64, INT64
from ..runtime.functions import entry_point, inner
from ..simd.memory import address_of, call_c, pointer
from ..simd.tiles import stack
from .handles import (
    ABI,
    APPLY,
    BAD_ROWS,
    DONE,
    FEATURES,
    FORWARD,
    GRADIENT,
    INPUT_GRADIENT,
    INPUT_JACOBIAN,
    IS_NULL,
    LABELS,
    OUTPUTS,
    PARAMS,
    PREDICT,
    REAL,
    RUN,
    TARGETS,
    TRAIN,
    Handle,
    out_size,
)

_INT, _STATUS = types.int64, types.int32
_MOST = 2**62


def get_include() -> str:
    """The folder of fastbp.h and fastbp.f90, for a compiler's -I."""
    return str(Path(__file__).parent / "include")


# --- the functions: all pointers are their addresses -------------------------------------------------------


@inner
def _run(handle, what, x, y, rows, out, loss):
    """What run_handle returns, for arrays of the network's dtype (labels: int64)."""
    if handle == 0 or (rows != 0 and (x == 0 or (y == 0 and what >= INPUT_GRADIENT) or (out == 0 and what != TRAIN))):
        return IS_NULL
    h = pointer(handle, types.int64)
    if rows > _MOST // (h[FEATURES] * h[OUTPUTS]):  # what comes of them is no int64
        return BAD_ROWS
    labels = y != 0 and h[LABELS] != 0
    y_size = 0 if y == 0 else rows if labels else rows * h[TARGETS]
    room = out_size(h, what, rows)
    x_of = x, h[REAL], rows * h[FEATURES], h[FEATURES]
    y_of = y, INT64 if labels else h[REAL], y_size, y_size
    return call_c(h[RUN], (handle, ABI, what, *x_of, *y_of, 0, 0, out, room, room, loss))


@inner
def _learn(handle, what, x, y, rows, loss, out):
    if loss == 0:
        return IS_NULL
    return _run(handle, what, x, y, rows, out, loss)


@entry_point(_STATUS(_INT, _INT, _INT, _INT))
def c_predict(handle, x, rows, out):
    """See fastbp.h."""
    return _run(handle, PREDICT, x, 0, rows, out, 0)


@entry_point(_STATUS(_INT, _INT, _INT, _INT))
def c_forward(handle, x, rows, out):
    """See fastbp.h."""
    return _run(handle, FORWARD, x, 0, rows, out, 0)


@entry_point(_STATUS(_INT, _INT, _INT, _INT, _INT))
def c_train_step(handle, x, y, rows, loss):
    """See fastbp.h."""
    return _learn(handle, TRAIN, x, y, rows, loss, 0)


@entry_point(_STATUS(_INT, _INT, _INT, _INT, _INT, _INT))
def c_value_and_grad(handle, x, y, rows, loss, out):
    """See fastbp.h."""
    return _learn(handle, GRADIENT, x, y, rows, loss, out)


@entry_point(_STATUS(_INT, _INT, _INT, _INT, _INT, _INT))
def c_input_gradient(handle, x, y, rows, loss, out):
    """See fastbp.h."""
    return _learn(handle, INPUT_GRADIENT, x, y, rows, loss, out)


@entry_point(_STATUS(_INT, _INT, _INT, _INT))
def c_input_jacobian(handle, x, rows, out):
    """See fastbp.h."""
    return _run(handle, INPUT_JACOBIAN, x, 0, rows, out, 0)


@entry_point(types.float64(types.int32, _INT, _INT))
def c_value(n, x, handle):
    """See fastbp.h."""
    if handle == 0 or x == 0:
        return math.nan
    h = pointer(handle, types.int64)
    cell, width = address_of(stack(types.float64, 1)), types.int64(n)
    if h[OUTPUTS] != 1 or h[FEATURES] != width:
        return math.nan
    status = call_c(h[RUN], (handle, ABI, PREDICT, x, FLOAT64, width, width, 0, 0, 0, 0, 0, 0, cell, 1, 1, 0))
    if status != DONE:
        return math.nan
    return float(pointer(cell, types.float32)[0]) if h[REAL] == FLOAT32 else pointer(cell, types.float64)[0]


@entry_point(_STATUS(_INT, _INT))
def c_apply_gradients(handle, gradient):
    """See fastbp.h."""
    if handle == 0 or gradient == 0:
        return IS_NULL
    h = pointer(handle, types.int64)
    size = h[PARAMS]
    return call_c(h[RUN], (handle, ABI, APPLY, gradient, h[REAL], size, size, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))


# --- the structs of fastbp.h -------------------------------------------------------------------------------

_FUNCTIONS = {
    "predict": c_predict,
    "forward": c_forward,
    "train_step": c_train_step,
    "value_and_grad": c_value_and_grad,
    "input_gradient": c_input_gradient,
    "input_jacobian": c_input_jacobian,
    "value": c_value,
    "apply_gradients": c_apply_gradients,
}


class CPointers(ctypes.Structure):
    """What C code needs of a network, as fastbp.h has it; made by Network.c_pointers.

    handle  an opaque pointer, which each function takes first (value: last)
    rows, inputs, outputs, num_params  sizes
    params  (num_params,), shared with the network
    predict, forward, train_step, value_and_grad, input_gradient, input_jacobian, value, apply_gradients  C functions

    From Python they take C-contiguous arrays of the right dtypes, and return 0 or a FASTBP_… number:
    `p.predict(p.handle, x, len(x), out)`. Python lets go of its lock meanwhile. `p.address` is that of the struct.
    """

    _handle: Handle

    def keep(self, handle: Handle) -> None:
        """Let the handle, whose memory C code works in, live as long as the struct."""
        self._handle = handle

    @property
    def address(self) -> int:
        """The address of the struct, for cffi and the like; ctypes.byref does it for ctypes."""
        return ctypes.addressof(self)

    def __reduce__(self):
        return self._handle.__reduce__()

    def __copy__(self):
        return self.__reduce__()

    def __deepcopy__(self, memo):
        return self.__reduce__()


@functools.cache
def _struct(dtype: np.dtype, *, labels: bool) -> type[CPointers]:
    """The struct of networks of that dtype; labels: whether y holds labels."""
    real = ctypes.c_float if dtype == np.float32 else ctypes.c_double
    read = np.ctypeslib.ndpointer(dtype, flags="C_CONTIGUOUS")
    written = np.ctypeslib.ndpointer(dtype, flags=("C_CONTIGUOUS", "WRITEABLE"))
    y = np.ctypeslib.ndpointer(np.int64, flags="C_CONTIGUOUS") if labels else read
    handle, rows, loss = ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(ctypes.c_double)
    status = functools.partial(ctypes.CFUNCTYPE, ctypes.c_int32, handle, read)
    fields: list[tuple[str, Any]] = [
        ("handle", handle),
        *((name, ctypes.c_int64) for name in ("rows", "inputs", "outputs", "num_params")),
        ("params", ctypes.POINTER(real)),
        *((name, status(rows, written)) for name in ("predict", "forward")),
        ("train_step", status(y, rows, loss)),
        *((name, status(y, rows, loss, written)) for name in ("value_and_grad", "input_gradient")),
        ("input_jacobian", status(rows, written)),
        ("value", ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int, ctypes.POINTER(ctypes.c_double), handle)),
        ("apply_gradients", status()),
    ]
    return type("CPointers", (CPointers,), {"_fields_": fields, "__doc__": CPointers.__doc__})


def make_pointers(handle: Handle, dtype: np.dtype, *, labels: bool) -> CPointers:
    """The struct of a handle; labels: whether the loss takes labels."""
    struct = _struct(dtype, labels=labels)()
    fields: dict[str, Any] = dict(struct._fields_)  # type: ignore[arg-type]
    struct.keep(handle)
    struct.handle, struct.rows = handle.record.ctypes.data, handle.rows
    struct.inputs, struct.outputs, struct.num_params = handle.features, handle.outputs, handle.params.size
    struct.params = handle.params.ctypes.data_as(fields["params"])
    for name, function in _FUNCTIONS.items():
        setattr(struct, name, fields[name](function.c_address()))
    return struct
