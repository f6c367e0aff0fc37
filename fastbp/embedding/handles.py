"""Networks inside other people's @njit code: no allocation, no Python, no GIL.

    h = net.handle(rows=64)

    @njit
    def simulate(h, X, y, out):
        fb.jit.train_step(h, X, y)
        fb.jit.predict(h, X, out)

The functions work in plain Python too: `predict` is then the fastest way to predict a few rows. They run on the
calling thread. A handle must be an argument of the function, not a global variable. @vectorize takes numbers alone:
there, Network.c_pointers().value stands in for the handle of a network with one output.

A handle is for one thread at a time; another that uses it meanwhile gets an error. For a `prange`, make a handle for
each thread, put them into a numba.typed.List, and take handles[numba.get_thread_id()] in its body. Whatever a function
refuses, it fills `out` (or `grad`) with NaN, so that nothing there looks like a result. On the threads of a `prange`
that are not Python's own, an error would be dropped and would end the thread's part of the loop: there, a function that
refuses raises nothing, and returns NaN if it returns a loss. The thread that called the `prange` raises as elsewhere.

A handle's `record` holds all that compiled code needs, by place (int64). The code of its callers holds no address, only
the place RUN and the numbers of what a handle can do, so that callers that are kept in a cache go on working.
"""

from __future__ import annotations

import ctypes
import math
from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.core.errors import TypingError
from numba.core.typing.typeof import Purpose
from numba.extending import intrinsic, typeof_impl

from .._names import shown
from ..kernels.data import ADDRESS, COLUMN_STRIDE, FLOAT32, FLOAT64, INT32, INT64, ROW_STRIDE, TYPE, UINT8
from ..program.engine import INPUTS as INPUTS_AT
from ..program.engine import LOSS, TOTALS, run_batches_serial
from ..program.records import FEW_ROWS, INPUTS, LOSS_SUM, RIGHT_SUM
from ..program.workspace import Workspace
from ..runtime.functions import OPTIONS, entry_point, inner
from ..simd.emit import INT64 as INT
from ..simd.memory import address_of, call_c, on_python_thread, pointer, release, take
from ..simd.tiles import stack
from ..simd.vectors import lanes, load_first, splat, sum_lanes

__all__ = [
    "Handle",
    "apply_gradients",
    "forward",
    "input_gradient",
    "input_jacobian",
    "jacobian",
    "predict",
    "train_epoch",
    "train_step",
    "value_and_grad",
]
__dir__ = shown(__all__)

_X, _Y, _ORDER, _OUT, _TRAINING = (INPUTS[name] for name in ("x", "y", "order", "out", "training"))

BUSY, RUN, TOTALS_AT, CAPACITY, FEATURES, OUTPUTS, PARAMS, GRADS_AT, REAL, LABELS, TARGETS, LEAST, PROGRAMS = range(13)
# What a handle can do: the number of its program, for targets of the loss's first kind; the next is for the second.
PREDICT, FORWARD, JACOBIAN, INPUT_JACOBIAN, APPLY, INPUT_GRADIENT, GRADIENT, TRAIN, EPOCH = 0, 1, 2, 3, 4, 5, 7, 9, 11
_NAMES = {
    PREDICT: "predict",
    FORWARD: "forward",
    JACOBIAN: "jacobian",
    INPUT_JACOBIAN: "input_jacobian",
    APPLY: "apply",
    INPUT_GRADIENT: "input_gradient",
    GRADIENT: "gradient",
    TRAIN: "train",
}
_RECORD_SIZE = PROGRAMS + 2 * EPOCH
# What run_handle returns: done (though a loss may not have been finite), or why not. In include/fastbp.h, too.
DONE, IN_USE, UNABLE, BAD_ROWS, BAD_Y, BAD_OUT, BAD_LABEL, BAD_ORDER, BAD_X, IS_NULL, STALE = range(11)
BAD_GRADIENT, BAD_GRAD_SIZE, ONE_ROW = 11, 12, 13
# Of what callers know: run_handle's arguments, what it can do and return, and the place RUN. Another number for each
# change of it, as callers that Numba keeps in a cache stay as they were compiled.
ABI = 3


_BYTES = (4, 8, 1, 4, 8)  # of an element, by type


@inner
def _element(address, kind, i):
    if kind == FLOAT32:
        return float(pointer(address, types.float32)[i])
    if kind == FLOAT64:
        return pointer(address, types.float64)[i]
    if kind == UINT8:
        return float(pointer(address, types.uint8)[i])
    if kind == INT32:
        return float(pointer(address, types.int32)[i])
    return float(pointer(address, types.int64)[i])


@inner
def _describe(inputs, at, address, kind, width):
    inputs[at + ADDRESS], inputs[at + TYPE] = address, kind
    inputs[at + ROW_STRIDE], inputs[at + COLUMN_STRIDE] = width, 1


@inner
def out_size(h, what, rows):
    """Elements of what is written."""
    if what <= FORWARD:
        return rows * h[OUTPUTS]
    if what == JACOBIAN:
        return rows * h[OUTPUTS] * h[PARAMS]
    if what == INPUT_JACOBIAN:
        return rows * h[OUTPUTS] * h[FEATURES]
    if what == INPUT_GRADIENT:
        return rows * h[FEATURES]
    return h[PARAMS] if what == GRADIENT else 0


@entry_point(types.int64(*[types.int64] * 17))
def run_handle(
    record, abi, what, x, x_type, x_size, x_width, y, y_type, y_size, y_width, order, taken, out, room, out_width, loss
):
    """Check what a caller gives, and do it.

    record  address of the handle's record
    abi     ABI, when the caller was compiled
    what    PREDICT … EPOCH
    x, y, order, out  addresses of contiguous arrays of x_size, y_size, taken and room elements, of the types
            x_type, y_type, int64, and the network's; 0 for what is not needed
    x_width, y_width, out_width  elements in a row of x, y and out; for y and out it may be all that there are
            For APPLY, x is the gradient (num_params,), of the network's type.
    loss    address of a float64 for the loss, or 0
    """
    if abi != ABI:
        return STALE
    h = pointer(record, types.int64)
    if not take(h):
        return IN_USE
    x_of, y_of, out_of = (x, x_type, x_size, x_width), (y, y_type, y_size, y_width), (out, room, out_width)
    status = _apply(h, x, x_size) if what == APPLY else _run_handle(h, what, x_of, y_of, order, taken, out_of)
    if status == DONE and loss != 0:
        pointer(loss, types.float64)[0] = _loss(h, what, taken)
    release(h)
    return status


@inner
def _loss(h, what, rows):
    """Of the batch; for EPOCH the mean of the rows, NaN if it ended at a loss that is not finite."""
    totals = pointer(h[TOTALS_AT], types.float64)
    if what != EPOCH:
        return totals[LOSS]
    return totals[LOSS_SUM] / rows if math.isfinite(totals[LOSS]) else math.nan


@inner
def _run_handle(h, what, x_of, y_of, order, taken, out_of):
    (x, x_type, x_size, x_width), (y, y_type, y_size, y_width), (out, room, out_width) = x_of, y_of, out_of
    rows, outputs = x_size // h[FEATURES], h[OUTPUTS]
    learns = what >= INPUT_GRADIENT
    most = h[CAPACITY] if learns and what != EPOCH else rows
    if x_width != h[FEATURES]:
        return BAD_X
    if rows > most or rows < (1 if learns else 0):
        return BAD_ROWS
    out_row = h[FEATURES] if what == INPUT_GRADIENT else outputs
    if what == GRADIENT and room != h[PARAMS]:
        return BAD_GRAD_SIZE
    if room != out_size(h, what, rows) or (rows > 1 and out_width not in (out_row, room)):
        return BAD_OUT
    labels, targets = learns and h[LABELS] != 0 and y_size == rows, h[TARGETS]
    if learns and not labels and (y_size != rows * targets or (rows > 1 and y_width not in (targets, y_size))):
        return BAD_Y
    if what == EPOCH:
        if taken == 0:
            return BAD_ORDER
        for i in range(taken):
            if not 0 <= pointer(order, types.int64)[i] < rows:
                return BAD_ORDER
        rows = taken
    if labels:
        for i in range(rows):
            label = _element(y, y_type, pointer(order, types.int64)[i] if order != 0 else i)
            if not 0.0 <= label < outputs or label != math.floor(label):  # NaN is refused too
                return BAD_LABEL

    batch_size = min(rows, h[CAPACITY])
    if what == JACOBIAN:
        batch_size = 1
    elif what == INPUT_JACOBIAN:
        batch_size = min(outputs, h[CAPACITY])
    program_of = TRAIN if what == EPOCH else what
    if learns and h[LABELS] != 0 and not labels:
        program_of += 1
    if what >= TRAIN and (rows - 1) % batch_size + 1 < h[LEAST]:
        return ONE_ROW
    address = h[PROGRAMS + 2 * program_of + (1 if batch_size <= FEW_ROWS else 0)]
    if address == 0:
        return UNABLE
    if rows == 0:
        return DONE
    program = pointer(address, types.int64)
    inputs, totals = pointer(program[INPUTS_AT], types.int64), pointer(program[TOTALS], types.float64)
    _describe(inputs, _X, x, x_type, h[FEATURES])
    _describe(inputs, _Y, y, y_type, 1 if labels else targets)
    inputs[_ORDER], inputs[_OUT], inputs[_TRAINING] = order, out, 1 if what >= TRAIN else 0
    totals[LOSS], totals[LOSS_SUM], totals[RIGHT_SUM] = 0.0, 0.0, 0.0
    if what in (JACOBIAN, INPUT_JACOBIAN):
        _each_output(h, inputs, address, rows, batch_size, h[PARAMS] if what == JACOBIAN else h[FEATURES])
        return DONE
    run_batches_serial(address, rows, batch_size, 0, (rows + batch_size - 1) // batch_size)
    if what == GRADIENT:
        _copy(out, h[GRADS_AT], h[REAL], h[PARAMS])
    return DONE


@inner
def _apply(h, gradient, size):
    address = h[PROGRAMS + 2 * APPLY]
    if address == 0:
        return UNABLE
    if size != h[PARAMS]:
        return BAD_GRAD_SIZE
    if h[REAL] == FLOAT32:
        finite = _are_finite(gradient, size, types.float32)
    else:
        finite = _are_finite(gradient, size, types.float64)
    if not finite:
        return BAD_GRADIENT
    _copy(h[GRADS_AT], gradient, h[REAL], size)
    pointer(h[TOTALS_AT], types.float64)[LOSS] = 0.0  # whatever it was, the engine shall go on
    run_batches_serial(address, 1, 1, 0, 1)
    return DONE


@inner
def _are_finite(address, size, dtype):
    """Whether all of these floats are."""
    x, total = pointer(address, dtype), splat(dtype(0))
    i = 0
    while i < size:
        v = load_first(x, i, size - i)
        total = total + (v - v)  # 0, or NaN
        i += lanes(dtype)
    return sum_lanes(total) == 0


@inner
def _each_output(h, inputs, address, rows, batch_size, width):
    """Run a program of derivatives: each row of x once for each output, which gives `width` numbers."""
    outputs = h[OUTPUTS]
    x_bytes, out_bytes = h[FEATURES] * _BYTES[inputs[_X + TYPE]], outputs * width * _BYTES[h[REAL]]
    inputs[_X + ROW_STRIDE] = 0
    for _ in range(rows):
        run_batches_serial(address, outputs, batch_size, 0, (outputs + batch_size - 1) // batch_size)
        inputs[_X + ADDRESS] += x_bytes
        inputs[_OUT] += out_bytes


@inner
def _copy(target, source, kind, size):
    """target[i] = source[i], both of the type FLOAT32 or FLOAT64."""
    if kind == FLOAT32:
        for i in range(size):
            pointer(target, types.float32)[i] = pointer(source, types.float32)[i]
    else:
        for i in range(size):
            pointer(target, types.float64)[i] = pointer(source, types.float64)[i]


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


@typeof_impl.register(Handle)
def _typeof_handle(value, c):
    """Refuse handles that are constants of a function: Numba would compile a copy of the record into it."""
    if c.purpose is Purpose.constant:
        raise ValueError("a handle must be an argument of the compiled function, got one that stands outside of it")
    return typeof_impl.dispatch(tuple)(value, c)


class _Memory(ctypes.c_int64 * _RECORD_SIZE):  # type: ignore[misc]
    """A record's memory, which can hold on to the memory that it points into."""


def make_handle(
    workspace: Workspace, rows: int, outputs: int, targets: int, kinds: tuple[str, ...], *, training: bool
) -> Handle:
    """The handle of a workspace; targets: numbers in a row of y; kinds: of the loss's targets, at most two."""
    memory = _Memory()
    memory.kept = workspace
    record = np.frombuffer(memory, np.int64)
    workspace.bind(np.zeros((1, workspace.plan.x.size), workspace.dtype))
    params, grads = workspace.arenas["params"], workspace.arenas["grads"]
    record[RUN], record[TOTALS_AT] = run_handle.c_address(), workspace.totals.ctypes.data
    record[CAPACITY], record[FEATURES], record[OUTPUTS] = rows, workspace.plan.x.size, outputs
    record[PARAMS], record[GRADS_AT] = grads.size, grads.ctypes.data
    record[REAL] = FLOAT32 if workspace.dtype == np.float32 else FLOAT64
    record[LABELS], record[TARGETS] = kinds[0] == "labels", targets
    record[LEAST] = workspace.plan.least_batch
    for what, name in _NAMES.items():
        for place, kind in enumerate(kinds if what >= INPUT_GRADIENT else ("",)):
            for few in (0, 1) if training or what <= FORWARD else ():
                at = PROGRAMS + 2 * (what + place) + few
                record[at] = workspace.program(name, kind, min(rows, FEW_ROWS) if few else FEW_ROWS + 1).ctypes.data
    return Handle(record, params, grads, rows, workspace.plan.x.size, outputs)


_CODES = {types.float32: FLOAT32, types.float64: FLOAT64, types.uint8: UINT8, types.int32: INT32, types.int64: INT64}


def _is_contiguous(array):
    return isinstance(array, types.Array) and array.layout == "C" and array.ndim > 0


@intrinsic
def _source(typingctx, array):
    """(address, type, elements, elements in a row) of an array that kernels read; its type is checked now."""
    if not _is_contiguous(array) or array.dtype not in _CODES:
        known = ", ".join(map(str, _CODES))
        raise TypingError(f"x and y must be C-contiguous arrays of {known}, got {array}")
    return _described(array, _CODES[array.dtype])


@intrinsic
def _target(typingctx, params, array):
    """(address, elements, elements in a row) of an array that kernels write, of the network's dtype."""
    if not _is_contiguous(array) or array.dtype != params.dtype or not array.mutable:
        raise TypingError(f"out must be a C-contiguous, writable array of {params.dtype}, got {array}")
    signature, codegen = _described(array)
    return signature.return_type(params, array), lambda c, b, sig, args: codegen(c, b, sig, args[1:])


@intrinsic
def _gradient(typingctx, params, array):
    """(address, type, elements, elements in a row) of an array of the network's dtype that is read."""
    if not _is_contiguous(array) or array.dtype != params.dtype:
        raise TypingError(f"grad must be a C-contiguous array of {params.dtype}, got {array}")
    signature, codegen = _described(array, _CODES[array.dtype])
    return signature.return_type(params, array), lambda c, b, sig, args: codegen(c, b, sig, args[1:])


@intrinsic
def _numbers(typingctx, array):
    """(address, elements, …) of an array of int64."""
    if not _is_contiguous(array) or array.dtype != types.int64:
        raise TypingError(f"order must be a C-contiguous array of int64, got {array}")
    return _described(array)


def _described(array, *code):
    result = types.UniTuple(types.int64, 3 + len(code))

    def codegen(context, builder, signature, args):
        struct = context.make_array(array)(context, builder, args[0])
        address = builder.ptrtoint(struct.data, INT)
        width = INT(1)
        for axis in range(min(1, array.ndim - 1), array.ndim):
            width = builder.mul(width, builder.extract_value(struct.shape, axis))
        return context.make_tuple(builder, result, [address, *map(INT, code), struct.nitems, width])

    return result(array), codegen


@inner
def _refuse(status):
    """Raise the error that a status stands for, if anybody hears it: see the top of the file."""
    if not on_python_thread():
        return
    if status == IN_USE:
        raise RuntimeError("the handle is in use by another thread: make one for each")
    if status == UNABLE:
        raise ValueError("the handle can only predict: make one without training=False")
    if status == BAD_X:
        raise ValueError("x must have shape (rows, inputs) or (inputs,), with as many inputs as the network")
    if status == BAD_ROWS:
        raise ValueError(
            "x must have at least one row to learn from, and at most as many as the handle (h.rows): make one for the"
            " largest batch, net.handle(rows=len(x))"
        )
    if status == BAD_Y:
        raise ValueError("y must have shape (rows, targets), with the rows of x, or (rows,) for labels or one target")
    if status == BAD_OUT:
        raise ValueError("out must have shape (rows, outputs), with the rows of x, or as its function says")
    if status == BAD_LABEL:
        raise ValueError("y must hold labels from 0 to the number of outputs - 1")
    if status == BAD_ORDER:
        raise ValueError("order must hold numbers of rows of x, at least one")
    if status == ONE_ROW:
        raise ValueError("a training step must have at least two rows for a BatchNorm, which has no variance of one")
    if status == BAD_GRAD_SIZE:
        raise ValueError("grad must have shape (num_params,)")
    if status == BAD_GRADIENT:
        raise ValueError("grad must hold finite numbers, and it has NaN or infinity")
    raise RuntimeError("the function was compiled for another version of fastbp: delete what Numba keeps of it")


_NO_Y, _NO_ORDER, _NO_OUT = (0, 0, 0, 0), (0, 0), (0, 0, 0)


@inner
def _run(h, what, x, y, order, out, loss):
    """Do it, or return why not; x, y, order, out: what _source, _numbers and _target say of arrays."""
    record = h.record
    return call_c(record[RUN], (_numbers(record)[0], ABI, what, *x, *y, *order, *out, loss))


@inner
def _write(h, what, x, out, target):
    """Do what writes `out`, which _target says is `target`, or fill it with NaN and raise an error."""
    status = _run(h, what, x, _NO_Y, _NO_ORDER, target, 0)
    if status != DONE:
        out.fill(math.nan)
        _refuse(status)


@inner
def _learn(h, what, x, y, order):
    """Do what writes nothing, or raise an error; returns the loss."""
    loss = stack(types.float64, 1)
    status = _run(h, what, x, y, order, _NO_OUT, address_of(loss))
    if status != DONE:
        loss[0] = math.nan
        _refuse(status)
    return loss[0]


@inner
def _learn_and_write(h, what, x, y, out, target):
    """Do what writes `out`, or fill it with NaN and raise an error; returns the loss."""
    loss = stack(types.float64, 1)
    status = _run(h, what, x, y, _NO_ORDER, target, address_of(loss))
    if status != DONE:
        loss[0] = math.nan
        out.fill(math.nan)
        _refuse(status)
    return loss[0]


@inner
def _in_any_shape(out):
    at, size, _ = out
    return at, size, size


@njit(**OPTIONS)
def predict(h, x, out):
    """The network's predictions, as Network.predict gives them.

    h: a handle; x: (rows, inputs) or (inputs,), C-contiguous float32, float64, uint8, int32 or int64; out:
    (rows, outputs) or (outputs,), C-contiguous, of the network's dtype: it is written.
    Raises ValueError if the sizes don't fit, RuntimeError if another thread uses the handle, and `out` is NaN then;
    numba.TypingError for other types.
    """
    _write(h, PREDICT, _source(x), out, _target(h.params, out))


@njit(**OPTIONS)
def forward(h, x, out):
    """The raw outputs of the last layer, as Network.forward gives them. Arguments and errors as for predict."""
    _write(h, FORWARD, _source(x), out, _target(h.params, out))


@njit(**OPTIONS)
def train_step(h, x, y):
    """One step: forward, backward, update; returns the loss before it. If that is not finite, no update is made.

    h: a handle for as many rows; x: as for predict; y: (rows,) labels or (rows, outputs), as for Network.fit, of the
    same types as x; for gaussian_nll half as many, and each output's target is given. Labels are checked; other targets
    must be in the loss's range, and all must be finite.
    Raises as predict does.
    """
    return _learn(h, TRAIN, _source(x), _source(y), _NO_ORDER)


@njit(**OPTIONS)
def train_epoch(h, x, y, order):
    """A step for each batch of h.rows rows, the last smaller; returns the mean loss of the rows, each before its step.

    order: an int64 array: the numbers of the rows, in the order in which they are taken (some or all, 0 ≤ number <
    rows). It ends at a loss that is not finite, and returns NaN. Otherwise as train_step.
    """
    taken, size, _ = _numbers(order)
    return _learn(h, EPOCH, _source(x), _source(y), (taken, size))


@njit(**OPTIONS)
def value_and_grad(h, x, y, grad):
    """The loss, and its gradient by the parameters to grad (num_params,), of the network's dtype; nothing is updated.

    Arguments and errors otherwise as for train_step; where it raises one, grad is NaN.
    """
    return _learn_and_write(h, GRADIENT, _source(x), _source(y), grad, _in_any_shape(_target(h.params, grad)))


@njit(**OPTIONS)
def apply_gradients(h, grad):
    """One optimizer step with this gradient, in place of the one that train_step finds: see Network.apply_gradients.

    h: a handle; grad: (num_params,), C-contiguous, of the network's dtype, as value_and_grad writes it.
    Raises ValueError for another size, NaN or infinity, RuntimeError if another thread uses the handle, and no step is
    made then; numba.TypingError for other types.
    """
    status = _run(h, APPLY, _gradient(h.params, grad), _NO_Y, _NO_ORDER, _NO_OUT, 0)
    if status != DONE:
        _refuse(status)


@njit(**OPTIONS)
def input_gradient(h, x, y, out):
    """The loss, and its gradient by the inputs to out, shaped as x, of the network's dtype.

    Arguments and errors otherwise as for train_step; where it raises one, out is NaN.
    """
    return _learn_and_write(h, INPUT_GRADIENT, _source(x), _source(y), out, _target(h.params, out))


@njit(**OPTIONS)
def jacobian(h, x, out):
    """∂outputs/∂params, of the outputs that predict gives, to out (rows, outputs, num_params), in any such shape.

    Arguments and errors otherwise as for predict.
    """
    _write(h, JACOBIAN, _source(x), out, _in_any_shape(_target(h.params, out)))


@njit(**OPTIONS)
def input_jacobian(h, x, out):
    """∂outputs/∂x, of the outputs that predict gives, to out (rows, outputs, inputs), in any such shape.

    Arguments and errors otherwise as for predict.
    """
    _write(h, INPUT_JACOBIAN, _source(x), out, _in_any_shape(_target(h.params, out)))
