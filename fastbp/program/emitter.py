"""What layers, activations and callbacks call to say which ops they need. Nothing is optimised here; see fusion.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernels import blocks
from ..kernels.dense import WIDE
from ..kernels.updates import STEP
from ..runtime.functions import Kernel
from . import engine
from .records import (
    BLOCKS,
    CAPACITY,
    INPUTS,
    MOVE,
    Backward,
    Block,
    Buffer,
    Field,
    Group,
    Op,
    Penalty,
    Record,
    Recording,
    Rooms,
    Shape,
    Tensor,
    aligned,
    op,
)

# Gradients of up to so many parameters are summed by row tasks, while their inputs are in the cache; those of
# more are cut by rows of the weights, and so need no private sums.
SMALL_GRADIENT = 8192
# How many rows of weights a task of a weight gradient may have: a multiple of the largest tile's rows, and within the
# panels of packed inputs.
WEIGHT_GRAINS = (24, 48, WIDE)
# Prepared weights are cut into at most this many tasks.
PREPARE_TASKS = 32
IN_PLACE = True  # an argument of Emitter.forward and Emitter.backward
_KEYS = 2  # stream of random numbers; see Network


class Emitter:
    """Records what is to be done: ops of the forward and the backward pass, gradients of parameters, and the rest.

    Every value and every gradient gets a place of its own; fusions find out later which may share one.

    recording  what has been recorded
    rooms      of the places
    grain      where an op finds the rows in a task
    """

    def __init__(self, input_shape: Shape, seed: int = 0):
        self.rooms, self.grain = Rooms(), Buffer("inputs", engine.ROWS_IN_TASK)
        self._seed, self._keys = seed, 0
        self._layer, self._input_grads = 0, set[Buffer]()
        x = Tensor(self.buffer(math.prod(input_shape)), self.buffer(math.prod(input_shape)), input_shape)
        self.recording = Recording(x, x)

    @property
    def x(self) -> Tensor:
        """What goes into the first layer."""
        return self.recording.x

    def emit_layers(self, layers: Sequence[Any]) -> None:
        """Let each layer `emit(emitter, x)`, where x is what comes out of the one before."""
        tensor = self.x
        for self._layer, layer in enumerate(layers):
            self._input_grads = {tensor.grad}
            tensor = layer.emit(self, tensor)
            self.recording.outputs.append(tensor)
        self.recording.output = self.plain(tensor)

    # --- places ---

    def buffer(self, per_row: int, blocked: bool = False) -> Buffer:
        """Room for `per_row` numbers for each row of the batch."""
        return self.rooms.room("work", 0, per_row, blocked)

    def fixed(self, size: int) -> Buffer:
        """Room for `size` numbers, whatever the rows."""
        return self.rooms.room("work", aligned(size), 0)

    def task_sums(self, count: int) -> Buffer:
        """Room for `count` float64 for each task of rows: `grain` of them, and one of fewer."""
        return self.rooms.room("totals", count, -(-count // BLOCKS))

    def tensor(self, shape: Shape, blocked: bool = False) -> Tensor:
        """Room for a value of `shape` for each row, and for its gradient."""
        size = math.prod(shape)
        if blocked:
            self.recording.task_rows = BLOCKS
        return Tensor(self.buffer(size, blocked), self.buffer(size, blocked), shape)

    def blocked(self, x: Tensor) -> Tensor:
        """x with its rows in blocks."""
        return x if x.blocked else self.moved(x, x.shape, True, blocks.block_rows, blocks.unblock_rows, x.size)

    def plain(self, x: Tensor) -> Tensor:
        """x with its rows one behind the other."""
        return self.moved(x, x.shape, False, blocks.unblock_rows, blocks.block_gradients, x.size) if x.blocked else x

    def moved(self, x: Tensor, shape: Shape, blocked: bool, move: Kernel, move_back: Kernel, *sizes: int) -> Tensor:
        """x in other places: the kernel `move` writes it from x, `move_back` writes x's gradient from its own."""
        y = self.tensor(shape, blocked)
        self.recording.forward.append(Op(move, (y.value, x.value, *sizes), MOVE * y.size))
        self._add_backward(Op(move_back, (x.grad, y.grad, *sizes), MOVE * y.size))
        self._follow(x, y)
        return y

    def branch(self, x: Tensor) -> Tensor:
        """x with a gradient of its own, which the layer adds to others to make x's."""
        added = Tensor(x.value, self.buffer(x.size, x.blocked), x.shape)
        self._follow(x, added)
        return added

    def _follow(self, x: Tensor, y: Tensor) -> None:
        """Where x is the layer's input, let y count as that, too."""
        if x.grad in self._input_grads:
            self._input_grads.add(y.grad)

    # --- ops ---

    def forward(
        self, kernel: Kernel, flops: float, in_place: bool = False, few: Op | None = None, /, **record: Field
    ) -> None:
        """Add an op on rows to the forward pass.

        in_place: IN_PLACE, if its first field may lie where x lies; few: what takes its place where there are few rows.
        """
        self.recording.forward.append(op(kernel, flops, **record)._replace(in_place=in_place, few=few))

    def backward(self, kernel: Kernel, flops: float, in_place: bool = False, /, **record: Field) -> None:
        """Add an op on rows, which writes its first field, to the backward pass: ops added first run last.

        in_place: IN_PLACE, if its first field may lie where dy lies.
        """
        self._add_backward(op(kernel, flops, **record)._replace(in_place=in_place))

    def between(self, kernel: Kernel, **record: Field) -> None:
        """Add an op to the forward pass that works on the batch as a whole, behind all rows' tasks before it."""
        self.recording.forward.append(op(kernel, 1, **record)._replace(once=True))

    def between_backward(self, kernel: Kernel, **record: Field) -> None:
        """Add such an op to the backward pass."""
        self._add_backward(op(kernel, 1, **record)._replace(once=True))

    def _add_backward(self, added: Op, *, to_weights: bool = False) -> None:
        to_input = added.written in self._input_grads
        self.recording.backward.append(Backward(added, self._layer, to_input, to_weights))

    def after_step(self, kernel: Kernel, **record: Field) -> None:
        """Add an op that runs once in a training step if its loss is finite."""
        self.recording.after_step.append(op(kernel, 1, **record))

    def prepare(self, kernel: Kernel, flops: float, items: int, **record: Field) -> None:
        """Add an op that a step runs before its backward pass, on `items` of its own: weights in another layout."""
        added = op(kernel, flops, **record)
        self.recording.prepare.append(Group((added,), items, -(-items // PREPARE_TASKS), added.flops, 0))

    def packed_rows(self, kernel: Kernel, x: Buffer, size: int, width: int) -> Buffer:
        """Where an op `kernel` of the backward pass packs x (rows, size) to, in panels of `width` columns (or 32)."""
        most = width or 32
        packed = self.buffer(-(-size // most) * most)
        added = op(kernel, 2 * size, packed=packed, x=x, features=size, width=width, capacity=CAPACITY)
        self._add_backward(added, to_weights=True)
        return packed

    # --- parameters ---

    def gradient(
        self,
        kernel: Kernel,
        flops: int,
        first: Tensor,
        items: int,
        width: int,
        fields: Record,
        *,
        small: int = SMALL_GRADIENT,
        large: bool = False,
        grains: tuple[int, ...] = WEIGHT_GRAINS,
    ) -> None:
        """Add the op that writes the gradient of `items` rows of `width` parameters, from `first` on.

        Its record is the place, `fields`, and then mode and step; see dense_backward_weight.
        small: up to so many parameters are summed by row tasks; large, grains: see Block.
        """
        at, is_small = first.value.fixed, items * width <= small
        added = Block(kernel, flops, fields, at, items, width, is_small, large, grains, self._layer)
        self.recording.blocks.append(added)

    def penalty(self, weight: Tensor, l1: float, l2: float) -> None:
        """Add l1 Σ|w| + l2 Σ w² to the loss, for a parameter that the last `gradient` began with."""
        if l1 or l2:
            number = len(self.recording.blocks) - 1
            items = weight.size // self.recording.blocks[number].width
            self.recording.penalties[number] = Penalty(items, l1, l2)

    def average(self, share: float) -> None:
        """Let each step move the arena `average`, laid out as params, by that share towards the new parameters."""
        self.recording.average_share = share

    # --- what ops have to know ---

    def trace(self, x: Tensor, y: Tensor) -> None:
        """Say that an activation makes y of x."""
        self.recording.traces[y.value] = x

    def key(self) -> int:
        """64 bits that depend on the seed and the number of keys asked for before: of a stream of random numbers."""
        self._keys += 1
        sequence = np.random.SeedSequence([self._seed, _KEYS, self._keys])
        return int(sequence.generate_state(1, np.uint64).view(np.int64)[0])

    def clock(self) -> Record:
        """Fields of an op that has to know of time: where it finds whether this is training, and the steps done."""
        return {"training": Buffer("inputs", INPUTS["training"]), "step": Buffer("scalars", STEP)}

    def augment(self, kernel: Kernel, flops: float, **record: Field) -> None:
        """Add an op that changes the inputs in place before a training step, by random numbers of its own."""
        clock = {"key": self.key(), "step": self.clock()["step"]}
        self.recording.augment.append(op(kernel, flops, x=self.x.value, **record, **clock))
