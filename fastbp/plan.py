"""Turns layers into programs: which kernels run in which order, and where in the flat buffers each finds its data.

A plan knows nothing of how many rows a batch has: the place of a buffer is `fixed + per_row * capacity`. A
Workspace has memory for batches of up to `capacity` rows, and its programs have the addresses in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import engine
from ._jit import Kernel, num_threads, thread_limit
from .kernels import data, losses
from .kernels.data import FLOAT32, FLOAT64, UINT8

Shape = tuple[int, ...]
ALIGNMENT = 16  # elements: a row buffer begins at a multiple of 64 bytes

# A task of a row group is to take some 20 µs: many forks' cost, and short beside a batch.
TASK_FLOPS = 1_000_000
LEAST_GRAIN, MOST_GRAIN = 8, 256
# A weight gradient is cut into at most this many tasks.
WEIGHT_TASKS = 64


class Buffer(NamedTuple):
    """A place in one of the arenas: params, grads, state, scalars; work, totals, inputs."""

    arena: str
    fixed: int
    per_row: int = 0


class Tensor(NamedTuple):
    """What flows between layers: a value for each row of the batch, and the loss's gradient with respect to it."""

    value: Buffer
    grad: Buffer
    shape: Shape

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))


class Weight(NamedTuple):
    """A parameter and its gradient."""

    value: Buffer
    grad: Buffer
    shape: Shape

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))


class Op(NamedTuple):
    """An instruction: a kernel and its record. `flops` is what it costs a row."""

    kernel: Kernel
    record: tuple[Buffer | int, ...]
    flops: int


class Group(NamedTuple):
    """Ops that a task runs one after the other on the same items; see engine.py."""

    ops: tuple[Op, ...]
    extent: int
    grain: int
    flops: int
    per_row: bool


class Block(NamedTuple):
    """A part of the parameters that one op writes the gradient of: `items` rows of `width` parameters."""

    gradient: Op
    at: int
    items: int
    width: int


# Offsets into the arena `inputs`, in which a workspace describes the user's arrays to the kernels.
INPUTS = {"start": engine.START, "order": 1, "out": 2, "x": 4, "y": 8, "weight": 12}
INPUTS_SIZE = 16
TOTALS_SIZE = 4  # of `totals`, before the sums of each task
BATCH_LOSS, LOSS_SUM, RIGHT_SUM = range(3)


def op(kernel: Kernel, flops: float, **record: Buffer | int) -> Op:
    """An instruction from its fields by name."""
    if tuple(record) != kernel.fields:
        raise TypeError(f"{kernel.name} takes the fields {kernel.fields}, got {tuple(record)}")
    return Op(kernel, tuple(record.values()), int(flops))


class Plan:
    """The programs of a network. Layers write them, through the methods tensor, forward, backward and gradient.

    layers      bound layers in order; each is asked to `emit(plan, x)`
    loss        a loss: it says which kernel it runs
    optimizer   an optimizer: it says which kernels it runs
    """

    def __init__(self, layers: Sequence[Any], input_shape: Shape, loss: Any, optimizer: Any, num_params: int):
        self._size = {"work": [0, 0], "totals": [TOTALS_SIZE, 2]}
        self._forward: list[Op] = []
        self._backward: list[Op] = []  # in the order of the forward pass
        self._input_gradient: list[Op] = []
        self._blocks: list[Block] = []
        self._sums = Buffer("totals", TOTALS_SIZE)
        self._loss, self._optimizer, self._num_params = loss, optimizer, num_params

        self.x = self.tensor(input_shape)
        tensor = self.x
        for layer in layers:
            tensor = layer.emit(self, tensor)
        self.output = tensor
        self._target = self.buffer(self.output.size)
        self._weight = self.buffer(1)
        self._prediction = self.buffer(self.output.size)

        flops = sum(o.flops for o in self._forward + self._backward)
        self.grain = int(np.clip(TASK_FLOPS // max(flops, 1), LEAST_GRAIN, MOST_GRAIN)) // 8 * 8

    # --- for layers ---

    def buffer(self, per_row: int) -> Buffer:
        """Room for `per_row` numbers for each row of the batch."""
        size = self._size["work"]
        place = Buffer("work", size[0], size[1])
        size[1] += per_row
        return place

    def tensor(self, shape: Shape) -> Tensor:
        """Room for a value of `shape` for each row, and for its gradient."""
        size = int(np.prod(shape))
        return Tensor(self.buffer(size), self.buffer(size), shape)

    def forward(self, kernel: Kernel, flops: float, **record: Buffer | int) -> None:
        """Add an op on rows to the forward pass."""
        self._forward.append(op(kernel, flops, **record))

    def backward(self, kernel: Kernel, flops: float, dx: Buffer, **record: Buffer | int) -> None:
        """Add an op on rows, which writes dx, to the backward pass: ops added first run last."""
        added = op(kernel, flops, dx=dx, **record)
        only_for_input = dx == self.x.grad
        (self._input_gradient if only_for_input else self._backward).append(added)

    def gradient(self, kernel: Kernel, flops: float, block: Weight, items: int, **record: Buffer | int) -> None:
        """Add an op that writes the gradient of `items` rows of parameters, from `block` on."""
        added = op(kernel, flops, **record)
        self._blocks.append(Block(added, block.value.fixed, items, block.shape[-1]))

    # --- programs ---

    def program(self, name: str, target: str) -> tuple[list[Group], int]:
        """The groups of a program, and the number of the first that belongs to the update.

        name    "forward": outputs to `out`; "predict": the same through the loss's inverse link;
                "evaluate": loss and right answers to `totals`; "gradient": grads too; "train": an update too;
                "input_gradient": the gradient with respect to the input to `out`
        target  which kind of target the loss gets: a key of the loss's `kernels`
        """
        rows = [self._load("x", self.x.value, self.x.size), *self._forward]
        if name in ("forward", "predict"):
            value = self.output.value
            if name == "predict" and self._loss.link is not None:
                value = self._prediction
                link = self._loss.link.forward
                rows.append(op(link, 20 * self.output.size, y=value, x=self.output.value, features=self.output.size))
            groups = [self._rows([*rows, self._store(value, self.output.size)])]
            return groups, len(groups)

        rows += self._loss_ops(target)
        sums = self._serial(op(losses.add_sums, 1, totals=Buffer("totals", 0), sums=self._sums, grain=self.grain))
        if name == "evaluate":
            groups = [self._rows(rows), sums]
            return groups, len(groups)

        rows += self._backward[::-1]
        if name == "input_gradient":
            rows += [*self._input_gradient[::-1], self._store(self.x.grad, self.x.size)]
            groups = [self._rows(rows), sums]
            return groups, len(groups)

        groups = [self._rows(rows), sums]
        if name == "gradient":
            groups += [self._weights(block) for block in self._blocks]
            return groups, len(groups)
        begin = op(self._optimizer.begin, 1, scalars=Buffer("scalars", 0))
        update = [self._serial(begin), *(self._weights(block, self._update(block)) for block in self._blocks)]
        return [*groups, *update], len(groups)

    def _load(self, source: str, y: Buffer, features: int) -> Op:
        at = {name: Buffer("inputs", INPUTS[name]) for name in (source, "order", "start")}
        return op(
            data.load_rows, features, y=y, source=at[source], order=at["order"], start=at["start"], features=features
        )

    def _store(self, x: Buffer, features: int) -> Op:
        out, start = Buffer("inputs", INPUTS["out"]), Buffer("inputs", INPUTS["start"])
        return op(data.store_rows, features, x=x, target=out, start=start, features=features)

    def _loss_ops(self, target: str) -> Iterator[Op]:
        y, size = self.output, self.output.size
        yield self._load("y", self._target, 1 if target == "labels" else size)
        yield self._load("weight", self._weight, 1)
        yield op(
            self._loss.kernels[target],
            20 * size,
            dy=y.grad,
            y=y.value,
            target=self._target,
            weight=self._weight,
            sums=self._sums,
            outputs=size,
            grain=self.grain,
        )

    def _rows(self, ops: Sequence[Op]) -> Group:
        return Group(tuple(ops), engine.ROWS_OF_BATCH, self.grain, sum(o.flops for o in ops), True)

    def _serial(self, only: Op) -> Group:
        return Group((only,), 1, 1, 1, False)

    def _weights(self, block: Block, *then: Op) -> Group:
        grain = -(-block.items // WEIGHT_TASKS)
        return Group((block.gradient, *then), block.items, grain, block.gradient.flops, True)

    def _update(self, block: Block) -> Op:
        """The optimizer's op for a block, whose tasks are those of the gradient: it finds it in the cache."""
        state = {name: Buffer("state", i * self._num_params + block.at) for i, name in enumerate(self._optimizer.state)}
        return op(
            self._optimizer.update,
            10 * block.items * block.width,
            w=Buffer("params", block.at),
            **state,
            dw=Buffer("grads", block.at),
            scalars=Buffer("scalars", 0),
            width=block.width,
        )

    def arena_size(self, arena: str, capacity: int) -> int:
        """Elements of the arena `work` or `totals` for batches of `capacity` rows."""
        fixed, per_row = self._size[arena]
        return fixed + per_row * capacity


_NATIVE = {np.dtype(np.float32): FLOAT32, np.dtype(np.float64): FLOAT64, np.dtype(np.uint8): UINT8}


def is_native(array: np.ndarray) -> bool:
    """True if kernels read `array` (rows, …) as it is: its rows are vectors with one stride, of a known type."""
    whole = all(stride % array.itemsize == 0 for stride in array.strides)
    return array.dtype in _NATIVE and array.flags.aligned and whole and _vectors(array) is not None


def _vectors(array: np.ndarray) -> np.ndarray | None:
    """`array` as (rows, features) without a copy, or None."""
    if array.ndim == 2:
        return array
    if array.ndim == 1:
        return array[:, np.newaxis]
    return array.reshape(len(array), -1) if array.flags.c_contiguous else None


class Workspace:
    """Memory for batches of up to `capacity` rows, and the programs bound to it.

    arenas  the network's own: params, grads, state (of its dtype), scalars (float64)
    """

    def __init__(self, plan: Plan, arenas: dict[str, np.ndarray], dtype: np.dtype, capacity: int):
        self.plan, self.dtype = plan, dtype
        self.capacity = -(-capacity // ALIGNMENT) * ALIGNMENT
        self._one = np.ones(1, dtype)
        self.inputs = np.zeros(INPUTS_SIZE, np.int64)
        self.totals = np.zeros(plan.arena_size("totals", self.capacity))
        work = _aligned(plan.arena_size("work", self.capacity), dtype)
        self._arenas = {**arenas, "work": work, "totals": self.totals, "inputs": self.inputs}
        self._programs: dict[tuple[str, str], tuple[np.ndarray, np.ndarray, int]] = {}
        self._bound: dict[str, Any] = {}

    def bind(
        self,
        x: np.ndarray,
        y: np.ndarray | None = None,
        weight: np.ndarray | None = None,
        order: np.ndarray | None = None,
        out: np.ndarray | None = None,
    ) -> None:
        """Say which arrays the next runs read and write.

        x (rows, *input_shape), for which is_native holds; y (rows, width), weight (rows,) of the
        workspace's dtype; order (n,) int64: which rows, in which order; out (rows, outputs) of its dtype.
        """
        self._describe("x", x)
        if y is not None:
            self._describe("y", y)
        # a single 1 with stride 0 stands for weights of 1
        self._describe("weight", self._one if weight is None else weight)
        if weight is None:
            self.inputs[INPUTS["weight"] + data.ROW_STRIDE] = 0
        self.inputs[INPUTS["order"]] = 0 if order is None else order.ctypes.data
        self.inputs[INPUTS["out"]] = 0 if out is None else out.ctypes.data
        self._bound = {"x": x, "y": y, "weight": weight, "order": order, "out": out}  # keeps them alive

    def _describe(self, name: str, array: np.ndarray) -> None:
        vectors = _vectors(array)
        assert vectors is not None and array.dtype in _NATIVE
        at = INPUTS[name]
        strides = [stride // array.itemsize for stride in vectors.strides]
        self.inputs[at : at + 4] = vectors.ctypes.data, _NATIVE[array.dtype], *strides

    def run(self, name: str, target: str, rows: int, batch_size: int, first: int = 0, last: int | None = None) -> int:
        """Run a program on the batches first .. last of the `rows` rows that are bound.

        Returns the number of the first batch that was not run: `last`, or less if its loss was not finite.
        """
        key = (name, target)
        if key not in self._programs:
            self._programs[key] = self._link(*self.plan.program(name, target))
        groups, ops, update = self._programs[key]
        if last is None:
            last = -(-rows // batch_size)
        threads = num_threads()
        args = groups, ops.ctypes.data, update, self.inputs, self.totals, rows, batch_size, first, last, threads
        if threads == 1:
            return engine.run_batches(*args)
        with thread_limit(threads):
            return engine.run_batches(*args)

    def _link(self, program: list[Group], update: int) -> tuple[np.ndarray, np.ndarray, int]:
        ops = [o for group in program for o in group.ops]
        groups = np.zeros((len(program), engine.GROUP_WIDTH), np.int64)
        table = np.zeros((len(ops), engine.OP_WIDTH), np.int64)
        first = 0
        for row, group in zip(groups, program, strict=True):
            last = first + len(group.ops)
            row[:] = group.extent, group.grain, first, last, group.flops, group.per_row
            first = last
        for row, o in zip(table, ops, strict=True):
            row[0] = o.kernel.address(self.dtype)
            row[1 : 1 + len(o.record)] = [self._resolve(field) for field in o.record]
        return groups, table, update

    def _resolve(self, field: Buffer | int) -> int:
        if not isinstance(field, Buffer):
            return int(field)
        arena = self._arenas[field.arena]
        return arena.ctypes.data + arena.itemsize * (field.fixed + field.per_row * self.capacity)


def _aligned(size: int, dtype: np.dtype) -> np.ndarray:
    """An array of zeros that begins at a multiple of 64 bytes."""
    bytes_ = np.zeros(size * dtype.itemsize + 64, np.uint8)
    start = -bytes_.ctypes.data % 64
    return bytes_[start : start + size * dtype.itemsize].view(dtype)
