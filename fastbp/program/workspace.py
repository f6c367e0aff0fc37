"""Memory for batches, and the programs of a plan with the addresses in it and in the user's arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..kernels.data import FLOAT32, FLOAT64, INT32, INT64, UINT8
from ..runtime.functions import DTYPES
from ..runtime.threads import num_threads, thread_limit
from ..simd.cpu import lanes_of
from . import engine
from .plan import Plan
from .records import ALIGNMENT, BATCH_LOSS, CAPACITY, FEW_ROWS, INPUTS, INPUTS_SIZE, Buffer, Field, Group, Tensor

_NATIVE = {
    np.dtype(kind): code
    for kind, code in zip(("f4", "f8", "u1", "i4", "i8"), (FLOAT32, FLOAT64, UINT8, INT32, INT64), strict=True)
}


def is_native(array: np.ndarray) -> bool:
    """True if kernels read `array` (rows, …) as it is: its rows are vectors with one stride, of a known type."""
    if array.dtype not in _NATIVE or not array.flags.aligned:
        return False
    if array.flags.c_contiguous:
        return True
    return all(stride % array.itemsize == 0 for stride in array.strides) and _vectors(array) is not None


def _vectors(array: np.ndarray) -> np.ndarray | None:
    """`array` as (rows, features) without a copy, or None."""
    if array.ndim == 2:
        return array
    if array.ndim == 1:
        return array[:, np.newaxis]
    return array.reshape(len(array), -1) if array.flags.c_contiguous else None


class _Linked(NamedTuple):
    """A program with the addresses of a workspace in it.

    row      as the engine reads it
    address  of the row
    tables   that the row holds the addresses of
    flops, row_flops  operations of all groups: so many, and so many more for each row of the batch
    """

    row: np.ndarray
    address: int
    tables: tuple[np.ndarray, ...]
    flops: int
    row_flops: int

    def is_small(self, rows: int) -> bool:
        """Whether a batch of so many rows is too little work to share among threads."""
        return self.flops + self.row_flops * rows <= engine.FORK


class Workspace:
    """Memory for batches of up to `capacity` rows, and the programs bound to it.

    arenas  the network's own: params, grads, state (of its dtype), scalars (float64)
    """

    def __init__(self, plan: Plan, arenas: dict[str, np.ndarray], dtype: np.dtype, capacity: int):
        self.plan, self.dtype = plan, dtype
        self.capacity = -(-capacity // ALIGNMENT) * ALIGNMENT
        self._one = np.ones(1, dtype)
        self._ones = (self._one.ctypes.data, _NATIVE[self._one.dtype], 0, 0)  # one number for all rows
        self.inputs = np.zeros(INPUTS_SIZE, np.int64)
        self.totals = np.zeros(plan.arena_size("totals", self.capacity))
        work = _aligned(plan.arena_size("work", self.capacity), dtype)
        self.arenas = {**arenas, "work": work, "totals": self.totals, "inputs": self.inputs}
        self._programs: dict[tuple[str, str, bool], _Linked] = {}
        self._tables: list[np.ndarray] = []  # that programs have the addresses of
        self._bound: tuple = ()

    def bound(self, *arrays: np.ndarray | None, sums: np.ndarray | None = None) -> Workspace:
        """A context: bind(*arrays) inside; then they are let go."""
        self.bind(*arrays, sums=sums)  # type: ignore
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        self._bound = ()
        self.inputs[INPUTS["sums"]] = 0

    def bind(
        self,
        x: np.ndarray,
        y: np.ndarray | None = None,
        weight: np.ndarray | None = None,
        order: np.ndarray | None = None,
        out: np.ndarray | None = None,
        sums: np.ndarray | None = None,
    ) -> None:
        """Say which arrays the next runs read and write.

        x (rows, *input_shape), for which is_native holds; y (rows, width), weight (rows,) of the
        workspace's dtype; order (n,) int64: which rows, in which order; out (rows, outputs) of its dtype. For
        several epochs: order (epochs, rows); sums (epochs, 2), where the loss and the right answers of each will be.
        """
        self._describe("x", x)
        if y is not None:
            self._describe("y", y)
        if weight is None:
            at = INPUTS["weight"]
            self.inputs[at : at + 4] = self._ones
        else:
            self._describe("weight", weight)
        for name, array in (("order", order), ("out", out), ("sums", sums)):
            self.inputs[INPUTS[name]] = 0 if array is None else array.ctypes.data
        self._bound = (x, y, weight, order, out, sums)  # keeps them alive

    def _describe(self, name: str, array: np.ndarray) -> None:
        vectors, at, size = _vectors(array), INPUTS[name], array.itemsize
        assert vectors is not None
        row_stride, stride = vectors.strides
        self.inputs[at : at + 4] = vectors.ctypes.data, _NATIVE[array.dtype], row_stride // size, stride // size

    def run(self, name: str, target: str, rows: int, batch_size: int, first: int = 0, last: int | None = None) -> int:
        """Run a program on the batches first .. last of the `rows` rows that are bound, counted on through epochs.

        Returns the number of the first batch that was not run: `last`, or less if its loss was not finite.
        """
        most = min(rows, batch_size)
        program = self._linked(name, target, most)
        if last is None:
            last = -(-rows // batch_size)
        self.inputs[INPUTS["training"]] = name == "train"
        threads = 1 if program.is_small(most) else num_threads()
        args = program.address, rows, batch_size, first, last, threads
        if threads == 1:
            return engine.run_batches(*args)
        with thread_limit(threads):
            return engine.run_batches(*args)

    def apply(self) -> None:
        """Do the optimizer's step with the gradient that is in the arena `grads`."""
        self.totals[BATCH_LOSS] = 0.0  # whatever it was, the engine shall go on
        self.run("apply", "", 1, 1)

    def rows_of(self, tensor: Tensor, rows: int, *, grad: bool = False) -> np.ndarray:
        """A tensor's value (rows, *shape) as the last run of so many rows has left it, or its gradient.

        It is sure to be there if the plan keeps everything. The array may be a view, good until the next run.
        """
        buffer, size, work = tensor.grad if grad else tensor.value, tensor.size, self.arenas["work"]
        begin = buffer.fixed + buffer.per_row * self.capacity
        if buffer.blocked:
            lanes = lanes_of(DTYPES[self.dtype])
            blocks = -(-rows // lanes)
            vectors = work[begin:][: blocks * size * lanes].reshape(blocks, size, lanes).swapaxes(1, 2)
            return vectors.reshape(-1, *tensor.shape)[:rows]
        return work[begin:][: rows * size].reshape(-1, *tensor.shape)

    def program(self, name: str, target: str, rows: int) -> np.ndarray:
        """A program for batches of `rows` rows in this memory, as the engine reads it."""
        return self._linked(name, target, rows).row

    def _linked(self, name: str, target: str, rows: int) -> _Linked:
        key = (name, target, rows <= FEW_ROWS)
        if key not in self._programs:
            self._programs[key] = self._link(*self.plan.program(*key))
        return self._programs[key]

    def _link(self, program: list[Group], update: int) -> _Linked:
        ops = [o for group in program for o in group.ops]
        groups = np.zeros((len(program), engine.GROUP_WIDTH), np.int64)
        table = np.zeros((len(ops), engine.OP_WIDTH), np.int64)
        first = 0
        for row, group in zip(groups, program, strict=True):
            last = first + len(group.ops)
            row[:] = group.extent, group.grain, group.multiple, first, last, group.flops, group.row_flops
            first = last
        for row, o in zip(table, ops, strict=True):
            row[0] = o.kernel.address(self.dtype)
            row[1 : 1 + len(o.record)] = [self._resolve(field) for field in o.record]
        arrays = groups, table, self.inputs, self.totals
        groups_at, ops_at, inputs_at, totals_at = (array.ctypes.data for array in arrays)
        row = np.array([groups_at, len(groups), update, ops_at, inputs_at, totals_at], np.int64)
        work = sum(group.flops for group in program), sum(group.row_flops for group in program)
        return _Linked(row, row.ctypes.data, arrays, *work)

    def _resolve(self, field: Field) -> int:
        if field == CAPACITY:
            return self.capacity
        if isinstance(field, float):
            return int(np.float64(field).view(np.int64))
        if not isinstance(field, Buffer) and isinstance(field, tuple):
            self._tables.append(np.array(field, np.float64))
            return self._tables[-1].ctypes.data
        if not isinstance(field, Buffer):
            return int(field)
        arena = self.arenas[field.arena]
        return arena.ctypes.data + arena.itemsize * (field.fixed + field.per_row * self.capacity)


def _aligned(size: int, dtype: np.dtype) -> np.ndarray:
    """An array of zeros that begins at a multiple of 64 bytes."""
    bytes_ = np.zeros(size * dtype.itemsize + 64, np.uint8)
    start = -bytes_.ctypes.data % 64
    return bytes_[start : start + size * dtype.itemsize].view(dtype)
