"""Networks inside other people's @njit code: no allocation, no Python, no GIL.

    h = net.handle(rows=64)

    @njit
    def simulate(h, X, y, out):
        fb.jit.train_step(h, X, y)
        fb.jit.predict(h, X, out)

The functions work in plain Python too: `predict` is then the fastest way to predict a few rows. They run on the
calling thread. A handle is for one thread at a time; another that uses it meanwhile gets an error.

A handle's `record` holds all that compiled code needs, by place (int64): what is in the code of its callers is only
this table and the C function at RUN, so that callers that are kept in a cache go on working.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.core.errors import TypingError
from numba.extending import overload

from ._jit import OPTIONS, entry_point, inner
from .engine import INPUTS as INPUTS_AT
from .engine import LOSS, TOTALS, run_batches_serial
from .kernels.data import ADDRESS, COLUMN_STRIDE, FLOAT32, FLOAT64, INT32, INT64, ROW_STRIDE, TYPE, UINT8
from .plan import FEW_ROWS, INPUTS, LOSS_SUM, RIGHT_SUM, Workspace
from .simd import call_c, pointer, release, take

_X, _Y, _ORDER, _OUT, _TRAINING = (INPUTS[name] for name in ("x", "y", "order", "out", "training"))

BUSY, CAPACITY, FEATURES, OUTPUTS, RUN, LOSS_AT, LABELS, PROGRAMS = range(8)
# What a handle can do: the number of its program, for targets of the loss's first kind; the next is for the second.
PREDICT, FORWARD, INPUT_GRADIENT, GRADIENT, TRAIN = 0, 1, 2, 4, 6
_NAMES = {PREDICT: "predict", FORWARD: "forward", INPUT_GRADIENT: "input_gradient", GRADIENT: "gradient", TRAIN: "train"}
_RECORD_SIZE = PROGRAMS + 2 * (TRAIN + 2)
DONE, NOT_FINITE, IN_USE, BAD_LABEL, UNABLE = range(5)  # what run_handle returns


@inner
def _bad_label(y, kind, rows, outputs):
    """Whether a label is none of 0 .. outputs - 1; NaN is none."""
    for r in range(rows):
        if kind == FLOAT32:
            label = float(pointer(y, types.float32)[r])
        elif kind == FLOAT64:
            label = pointer(y, types.float64)[r]
        elif kind == UINT8:
            label = float(pointer(y, types.uint8)[r])
        elif kind == INT32:
            label = float(pointer(y, types.int32)[r])
        else:
            label = float(pointer(y, types.int64)[r])
        if not 0.0 <= label < outputs:
            return True
    return False


@inner
def _describe(inputs, at, address, kind, width):
    inputs[at + ADDRESS], inputs[at + TYPE] = address, kind
    inputs[at + ROW_STRIDE], inputs[at + COLUMN_STRIDE] = width, 1


@entry_point(types.int64(*[types.int64] * 10))
def run_handle(record, what, x, x_type, y, y_type, order, out, rows, batch_size):
    """Run what a handle can do on `rows` rows, in batches of batch_size (at most its capacity).

    record         address of the handle's record
    x, y           addresses of contiguous arrays of the types x_type, y_type (see kernels/data.py); y may be 0
    order          address of the numbers of the rows, in their order; 0: as they stand
    out            address of the outputs
    Returns DONE, or what kept it from being done: NOT_FINITE (a loss: no update was made), IN_USE (by another
    thread), BAD_LABEL, UNABLE (the handle has no such program).
    """
    h = pointer(record, types.int64)
    if not take(h):
        return IN_USE
    status = _run_handle(h, what, x, x_type, y, y_type, order, out, rows, batch_size)
    release(h)
    return status


@inner
def _run_handle(h, what, x, x_type, y, y_type, order, out, rows, batch_size):
    address = h[PROGRAMS + 2 * what + (1 if min(rows, batch_size) <= FEW_ROWS else 0)]
    if address == 0:
        return UNABLE
    labels = h[LABELS] != 0 and what % 2 == 0 and what >= INPUT_GRADIENT
    if labels and _bad_label(y, y_type, rows, h[OUTPUTS]):
        return BAD_LABEL
    program = pointer(address, types.int64)
    inputs, totals = pointer(program[INPUTS_AT], types.int64), pointer(program[TOTALS], types.float64)
    _describe(inputs, _X, x, x_type, h[FEATURES])
    _describe(inputs, _Y, y, y_type, 1 if labels else h[OUTPUTS])
    inputs[_ORDER], inputs[_OUT], inputs[_TRAINING] = order, out, 1 if what >= TRAIN else 0
    totals[LOSS], totals[LOSS_SUM], totals[RIGHT_SUM] = 0.0, 0.0, 0.0
    batches = (rows + batch_size - 1) // batch_size
    return DONE if run_batches_serial(address, rows, batch_size, 0, batches) == batches else NOT_FINITE


class Handle(NamedTuple):
    """A network bound to memory of its own, for @njit code; made by Network.handle.

    record    what compiled code needs; it keeps the memory alive
    params    the network's (num_params,), shared with it
    grads     the gradient of the last step or value_and_grad (num_params,), the handle's own
    rows      worked on at once
    features, outputs  numbers in a row of x, and in a row of outputs
    """

    record: np.ndarray
    params: np.ndarray
    grads: np.ndarray
    rows: int
    features: int
    outputs: int

    def __reduce__(self):
        raise TypeError("a handle can't be copied or pickled, as it holds addresses: make another with net.handle()")

    def __copy__(self):
        return self.__reduce__()

    def __deepcopy__(self, memo):
        return self.__reduce__()


class _Memory(ctypes.c_int64 * _RECORD_SIZE):  # type: ignore[misc]
    """A record's memory, which can hold on to the memory that it points into."""


def make_handle(workspace: Workspace, rows: int, outputs: int, kinds: tuple[str, ...], *, training: bool) -> Handle:
    """The handle of a workspace; kinds: of the loss's targets, at most two."""
    memory = _Memory()
    memory.kept = workspace
    record = np.frombuffer(memory, np.int64)
    workspace.bind(np.zeros((1, workspace.plan.x.size), workspace.dtype))
    record[CAPACITY], record[FEATURES], record[OUTPUTS] = rows, workspace.plan.x.size, outputs
    record[RUN], record[LOSS_AT] = run_handle.c_address(), workspace.totals.ctypes.data
    record[LABELS] = kinds[0] == "labels"
    for what, name in _NAMES.items():
        for place, kind in enumerate(kinds if what >= INPUT_GRADIENT else ("",)):
            for few in (0, 1) if training or what < INPUT_GRADIENT else ():
                at = PROGRAMS + 2 * (what + place) + few
                record[at] = workspace.program(name, kind, min(rows, FEW_ROWS) if few else FEW_ROWS + 1).ctypes.data
    return Handle(record, workspace.arenas["params"], workspace.arenas["grads"], rows, workspace.plan.x.size, outputs)


_CODES = {types.float32: FLOAT32, types.float64: FLOAT64, types.uint8: UINT8, types.int32: INT32, types.int64: INT64}
_NAMED = "float32, float64, uint8, int32 or int64"


def _code(x):
    """How kernels call the type of x; it is checked when it is compiled."""


@overload(_code)
def _code_of(x):
    if not isinstance(x, types.Array) or x.layout != "C" or x.dtype not in _CODES:
        raise TypingError(f"x and y must be C-contiguous arrays of {_NAMED}, got {x}")
    code = _CODES[x.dtype]
    return lambda x: code


def _address(params, out):
    """The address of an array to write to; its type is checked when it is compiled."""


@overload(_address)
def _address_of(params, out):
    if not isinstance(out, types.Array) or out.layout != "C" or out.dtype != params.dtype or not out.mutable:
        raise TypingError(f"out must be a C-contiguous, writable array of {params.dtype}, got {out}")
    return lambda params, out: out.ctypes.data


@njit(**OPTIONS)
def _call(h, arguments):
    status = call_c(h.record[RUN], (h.record.ctypes.data, *arguments))
    if status > NOT_FINITE:
        if status == IN_USE:
            raise RuntimeError("the handle is in use by another thread: make one for each")
        if status == BAD_LABEL:
            raise ValueError("y must hold labels from 0 to the number of outputs - 1")
        raise ValueError("the handle can only predict: make one with net.handle(rows)")


@njit(**OPTIONS)
def _rows(h, x):
    rows = 1 if x.ndim == 1 else x.shape[0]
    if rows * h.features != x.size:
        raise ValueError("x must have shape (rows, inputs) of the network")
    return rows


@njit(**OPTIONS)
def _infer(h, what, x, out):
    rows = _rows(h, x)
    if out.size != rows * h.outputs:
        raise ValueError("out must have shape (rows, outputs) of the network")
    _call(h, (what, x.ctypes.data, _code(x), 0, 0, 0, _address(h.params, out), rows, h.rows))


@njit(**OPTIONS)
def predict(h, x, out):
    """The network's predictions, as Network.predict gives them.

    h: a handle; x: (rows, inputs) or (inputs,), C-contiguous float32, float64, uint8, int32 or int64; out:
    (rows, outputs) or (outputs,), C-contiguous, of the network's dtype: it is written.
    Raises ValueError if the sizes don't fit, RuntimeError if another thread uses the handle, numba.TypingError for
    other types.
    """
    _infer(h, PREDICT, x, out)


@njit(**OPTIONS)
def forward(h, x, out):
    """The raw outputs of the last layer, as Network.forward gives them. Arguments and errors as for predict."""
    _infer(h, FORWARD, x, out)


@njit(**OPTIONS)
def _target_kind(h, y, rows):
    """0 or 1: of the first kind (labels, or values), or the second (probabilities)."""
    labels = h.record[LABELS] != 0
    if labels and y.size == rows and y.ndim < 2:
        return 0
    if y.size != rows * h.outputs:
        raise ValueError("y must have shape (rows, outputs) of the network, or (rows,) for labels")
    return 1 if labels else 0


@njit(**OPTIONS)
def _learn(h, what, x, y, out, order, rows, batch_size):
    """Run a program with targets; returns whether every loss was finite."""
    kind = _target_kind(h, y, rows)
    _call(h, (what + kind, x.ctypes.data, _code(x), y.ctypes.data, _code(y), order, out, rows, batch_size))


@njit(**OPTIONS)
def _batch_rows(h, x):
    rows = _rows(h, x)
    if rows > h.rows or rows == 0:
        raise ValueError("x must have from 1 to as many rows as the handle: net.handle(rows)")
    return rows


@njit(**OPTIONS)
def _total(h, place):
    return pointer(h.record[LOSS_AT], types.float64)[place]


@njit(**OPTIONS)
def train_step(h, x, y):
    """One step: forward, backward, update; returns the loss before it. If that is not finite, no update is made.

    h: a handle for as many rows; x: as for predict; y: (rows,) labels or (rows, outputs), as for Network.fit, of the
    same types as x. Labels are checked; other targets must be in the loss's range, and all must be finite.
    Raises as predict does.
    """
    rows = _batch_rows(h, x)
    _learn(h, TRAIN, x, y, 0, 0, rows, rows)
    return _total(h, LOSS)


@njit(**OPTIONS)
def train_epoch(h, x, y, order):
    """A step for each batch of h.rows rows, the last smaller; returns the mean loss of the rows, each before its step.

    order: an int64 array: the numbers of the rows, in the order in which they are taken (some or all, 0 ≤ number <
    rows). It ends at a loss that is not finite, and returns NaN. Otherwise as train_step.
    """
    rows = _rows(h, x)
    for i in range(order.size):
        if not 0 <= order[i] < rows:
            raise ValueError("order must hold numbers of rows of x")
    if order.size == 0:
        raise ValueError("order must hold at least one number")
    _target_kind(h, y, rows)
    _learn(h, TRAIN, x, y, 0, _order_address(order), order.size, h.rows)
    loss = _total(h, LOSS)
    return _total(h, LOSS_SUM) / order.size if loss - loss == 0.0 else loss - loss


@njit(**OPTIONS)
def value_and_grad(h, x, y, grad):
    """The loss, and its gradient by the parameters to grad (num_params,), of the network's dtype; nothing is updated.

    Arguments and errors otherwise as for train_step.
    """
    rows = _batch_rows(h, x)
    if grad.size != h.grads.size:
        raise ValueError("grad must have shape (num_params,)")
    _learn(h, GRADIENT, x, y, 0, 0, rows, rows)
    grad[:] = h.grads
    return _total(h, LOSS)


@njit(**OPTIONS)
def input_gradient(h, x, y, out):
    """The loss, and its gradient by the inputs to out, shaped as x, of the network's dtype.

    Arguments and errors otherwise as for train_step.
    """
    rows = _batch_rows(h, x)
    if out.size != x.size:
        raise ValueError("out must have the shape of x")
    _learn(h, INPUT_GRADIENT, x, y, _address(h.params, out), 0, rows, rows)
    return _total(h, LOSS)


def _order_address(order):
    """The address of an order; its type is checked when it is compiled."""


@overload(_order_address)
def _order_address_of(order):
    if not isinstance(order, types.Array) or order.layout != "C" or order.dtype != types.int64:
        raise TypingError(f"order must be a C-contiguous array of int64, got {order}")
    return lambda order: order.ctypes.data
