"""Turns layers into programs: which kernels run in which order, and where in the flat buffers each finds its data.

A plan knows nothing of how many rows a batch has: the place of a buffer is `fixed + per_row * capacity`. A Workspace
(workspace.py) has memory for batches of up to `capacity` rows, and its programs have the addresses in them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..kernels import blocks, data, losses, updates
from ..kernels.activations import relu_backward
from ..kernels.dense import BY_ITEMS, BY_ROWS, PACKED, WIDE, add_partial
from ..runtime.functions import Kernel
from ..schedules import Schedule
from . import engine

Shape = tuple[int, ...]
ALIGNMENT = 16  # elements: a row buffer begins at a multiple of 64 bytes

# The least rows of a task: so many that reading the weights is hidden behind computing with them, by the number of
# weights of the largest layer; those that don't fit into the L2 cache need more.
LEAST_ROWS = {0: 16, 1 << 17: 32, 1 << 20: 64}
# Ops that are no matrix product, in operations of one, for an element.
LOAD, MOVE, ELEMENTWISE, LOSS, NOISE = 10, 10, 40, 60, 1000
# Gradients of up to so many parameters are summed by row tasks, while their inputs are in the cache; those of
# more are cut by rows of the weights, and so need no private sums.
SMALL_GRADIENT = 8192
# A weight gradient is cut into at least so many tasks, if there are the rows for it: of a multiple of the largest
# tile's rows, and within the panels of packed inputs.
WEIGHT_TASKS, WEIGHT_GRAINS = 24, (24, 48, WIDE)
# Prepared weights are cut into at most this many tasks, updates into tasks of about so many parameters.
PREPARE_TASKS, UPDATE_SIZE = 32, 8192
_KEYS = 2  # stream of random numbers; see Network
# Batches of so few rows are done before their weights are packed.
FEW_ROWS = 16
# Rows of a task are a multiple of this: of 4, to fill the tiles; of 16, to fill the blocks of any type of float.
ROUND, BLOCKS = 4, 16


class Buffer(NamedTuple):
    """A place in one of the arenas: params, grads, state, scalars, statistics, average; work, totals, inputs.

    blocked  whether rows lie in blocks there: see kernels/blocks.py
    """

    arena: str
    fixed: int
    per_row: int = 0
    blocked: bool = False


CAPACITY = Buffer("capacity", 0)  # stands for the rows that a workspace has room for


class Tensor(NamedTuple):
    """A value and the gradient of the loss with respect to it.

    What flows between layers has one of `shape` for each row of the batch; a parameter is one of `shape`.
    """

    value: Buffer
    grad: Buffer
    shape: Shape

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def blocked(self) -> bool:
        return self.value.blocked


# Kernels find a float's bits, and the address of a tuple's numbers in float64.
Field = Buffer | int | float | tuple[float, ...]
Record = dict[str, Field]  # an op's fields by name


class Op(NamedTuple):
    """An instruction: a kernel and its record. `flops` is what it costs: a row, if it works on rows.

    once  whether it comes between ops on rows and works on the batch as a whole: behind all tasks of those before it
    """

    kernel: Kernel
    record: tuple[Field, ...]
    flops: int
    once: bool = False

    def field(self, name: str) -> Field | None:
        """What the record holds by that name; None if there is no such field."""
        return dict(zip(self.kernel.fields, self.record, strict=True)).get(name)

    def with_relu(self) -> Op:
        """The same with 1 in its field `relu`."""
        fields = zip(self.kernel.fields, self.record, strict=True)
        return self._replace(record=tuple(1 if name == "relu" else value for name, value in fields))


class Group(NamedTuple):
    """Ops that a task runs one after the other on the same items; see engine.py."""

    ops: tuple[Op, ...]
    extent: int
    grain: int
    flops: int
    row_flops: int
    multiple: int = 1


class Block(NamedTuple):
    """A part of the parameters that one op writes the gradient of: `items` rows of `width` parameters.

    fields  the op's record without its place (first) and without how it is cut into tasks (mode, step)
    small   whether it is summed by row tasks
    large   whether its inputs are packed for the cache
    grains  how many items a task may have, if not small
    layer   the number of the layer
    """

    kernel: Kernel
    flops: int
    fields: Record
    at: int
    items: int
    width: int
    small: bool
    large: bool
    grains: tuple[int, ...]
    layer: int


class Penalty(NamedTuple):
    """The penalty on the first `items` rows of a block: l1 Σ|w| + l2 Σ w²."""

    items: int
    l1: float
    l2: float


class Backward(NamedTuple):
    """An op of the backward pass; `to_input`: it is the one that writes the gradient of the layer's input."""

    op: Op
    layer: int
    to_input: bool


# Offsets into the arena `inputs`, in which a workspace describes the user's arrays to the kernels.
INPUTS = {"start": engine.START, "order": engine.ORDER, "sums": engine.SUMS, "out": 4, "training": 5}
INPUTS |= {"x": 6, "y": 10, "weight": 14}
INPUTS_SIZE = 18
TOTALS_SIZE = 4  # of `totals`, before the sums of each task
BATCH_LOSS, LOSS_SUM, RIGHT_SUM = engine.LOSS, engine.LOSS_SUM, engine.RIGHT_SUM  # in `totals`


def op(kernel: Kernel, flops: float, **record: Field) -> Op:
    """An instruction from its fields by name."""
    if tuple(record) != kernel.fields:
        raise TypeError(f"{kernel.name} takes the fields {kernel.fields}, got {tuple(record)}")
    return Op(kernel, tuple(record.values()), int(flops))


SCALARS_SIZE = 2  # of `scalars`, before the optimizer's constants: the step count and the learning rate


def factors_at(optimizer: Any) -> int:
    """Where in `scalars` the layers' factors of the learning rate begin: behind the constants of all kernels."""
    schedule = optimizer.learning_rate
    parts = schedule.parts if isinstance(schedule, Schedule) else ()
    return SCALARS_SIZE + len(optimizer.constants) + sum(len(constants) for _, constants, _ in parts)


def initial_scalars(optimizer: Any, factors: Sequence[float]) -> np.ndarray:
    """The arena `scalars` before the first step: what the optimizer's and the schedule's kernels read and write."""
    schedule = optimizer.learning_rate
    parts = schedule.parts if isinstance(schedule, Schedule) else ()
    constants = [c for _, of_part, _ in parts for c in of_part]
    return np.array([0.0, optimizer.initial_rate, *optimizer.constants, *constants, *factors])


class Plan:
    """The programs of a network. Layers write them, through the methods tensor, forward, backward and gradient.

    layers      bound layers in order; each is asked to `emit(plan, x)`
    loss        a loss: it says which kernel it runs
    optimizer   an optimizer: it says which kernels it runs
    seed        of the random numbers in it
    in_step     what else there is in a training step, such as what changes its inputs: each is asked to `emit(plan)`
    keep        whether every value is kept for those who look at it: what goes into an activation beside what
                comes out, and likewise for gradients. It costs memory, and fusions.

    least_batch  the fewest rows that a training step may have
    outputs     the output of each layer
    traces      what goes into activations, by the buffer of what comes out
    """

    def __init__(
        self,
        layers: Sequence[Any],
        input_shape: Shape,
        loss: Any,
        optimizer: Any,
        num_params: int,
        seed: int = 0,
        *,
        keep: bool = False,
        in_step: Sequence[Any] = (),
    ):
        self._size = {"work": [0, 0], "totals": [TOTALS_SIZE, 2]}
        self._augment: list[Op] = []
        self._forward: list[Op] = []
        self._backward: list[Backward] = []  # in the order of the forward pass
        self._prepare: list[Group] = []
        self._after_step: list[Op] = []
        self._relus: dict[tuple[Buffer, Buffer], Backward] = {}
        self._shared: set[Buffer] = set()
        self._blocks: list[Block] = []
        self._packs: set[Op] = set()
        self._few: dict[Op, Op] = {}
        self._round = ROUND
        self._sums, self.grain = Buffer("totals", TOTALS_SIZE), Buffer("inputs", engine.ROWS_IN_TASK)
        self._loss, self._optimizer, self._num_params = loss, optimizer, num_params
        self._penalties: dict[int, Penalty] = {}  # by block
        self._seed, self._keys, self.keep = seed, 0, keep
        self.least_batch = max((layer.layer.least_batch(layer.input_shape) for layer in layers), default=1)
        self._average_share = 0.0
        self.outputs: list[Tensor] = []
        self.traces: dict[Buffer, Tensor] = {}

        self.x = self.tensor(input_shape)
        tensor = self.x
        for self._layer, layer in enumerate(layers):
            self._inputs = {tensor.grad}
            tensor = layer.emit(self, tensor)
            self.outputs.append(tensor)
        self.output = self.plain(tensor)
        for part in in_step:
            part.emit(self)
        self._frozen = {number for number, layer in enumerate(layers) if not layer.trainable}
        self._target = self.buffer(self.output.size)
        self._weight = self.buffer(1)
        self._prediction = self.buffer(self.output.size)

        most = max((block.items * block.width for block in self._blocks if block.large), default=0)
        first = self._first_layer(range(len(self._blocks)))
        self.flops = max(1, sum(o.flops for o in [*self._forward, *self._backward_ops(first)]))  # of a row
        self._least_rows = max(rows for weights, rows in LEAST_ROWS.items() if most >= weights)
        self._partials = {b: self._partial(block) for b, block in enumerate(self._blocks) if block.small}
        self._penalty_sums = {
            b: self._sums_of(penalty.items, self._update_grain(b)) for b, penalty in self._penalties.items()
        }
        self._ratio, self._square_sums = self._room("totals", 1, 0), {}
        self._noise_keys = [self.key() for _ in self._blocks] if optimizer.gradient_noise else []
        if optimizer.clip_norm is not None:
            blocks = enumerate(self._blocks)
            self._square_sums = {b: self._sums_of(block.items, self._weights_grain(b)) for b, block in blocks}

    # --- for layers ---

    def buffer(self, per_row: int, blocked: bool = False) -> Buffer:
        """Room for `per_row` numbers for each row of the batch."""
        return self._room("work", 0, per_row, blocked)

    def fixed(self, size: int) -> Buffer:
        """Room for `size` numbers, whatever the rows."""
        return self._room("work", _aligned(size), 0)

    def _room(self, arena: str, fixed: int, per_row: int, blocked: bool = False) -> Buffer:
        """Room for `fixed` numbers, and so many more for each row of the batch."""
        counts = self._size[arena]
        place = Buffer(arena, counts[0], counts[1], blocked)
        counts[0] += fixed
        counts[1] += per_row
        return place

    def tensor(self, shape: Shape, blocked: bool = False) -> Tensor:
        """Room for a value of `shape` for each row, and for its gradient."""
        size = math.prod(shape)
        if blocked:
            self._round = BLOCKS
        return Tensor(self.buffer(size, blocked), self.buffer(size, blocked), shape)

    def tensor_over(self, x: Tensor) -> Tensor:
        """Room for a value like x; its gradient lies where x's will, if that is written from it element by element."""
        if self.keep or x.grad in self._inputs:
            return self.tensor(x.shape, x.blocked)
        return x._replace(value=self.buffer(x.size, x.blocked))

    def blocked(self, x: Tensor) -> Tensor:
        """x with its rows in blocks."""
        return x if x.blocked else self.moved(x, x.shape, True, blocks.block_rows, blocks.unblock_rows, x.size)

    def plain(self, x: Tensor) -> Tensor:
        """x with its rows one behind the other."""
        return self.moved(x, x.shape, False, blocks.unblock_rows, blocks.block_gradients, x.size) if x.blocked else x

    def moved(self, x: Tensor, shape: Shape, blocked: bool, there: Kernel, back: Kernel, *sizes: int) -> Tensor:
        """x in other places: the kernel `there` writes it from x, `back` writes x's gradient from its own."""
        y = self.tensor(shape, blocked)
        self._forward.append(Op(there, (y.value, x.value, *sizes), MOVE * y.size))
        self._add_backward(Op(back, (x.grad, y.grad, *sizes), MOVE * y.size), x.grad in self._inputs)
        if x.grad in self._inputs:
            self._inputs.add(y.grad)
        return y

    def writer(self, value: Buffer) -> Op | None:
        """The op of the forward pass whose field `y` that is."""
        return next((one for one in self._forward if one.field("y") == value), None)

    def forward(self, kernel: Kernel, flops: float, few: Op | None = None, **record: Field) -> None:
        """Add an op on rows to the forward pass; `few` takes its place where there are few rows."""
        added = op(kernel, flops, **record)
        self._forward.append(added)
        if few is not None:
            self._few[added] = few

    def backward(self, kernel: Kernel, flops: float, dx: Buffer, **record: Field) -> None:
        """Add an op on rows, which writes dx (its first field), to the backward pass: ops added first run last."""
        self._add_backward(op(kernel, flops, **{kernel.fields[0]: dx}, **record), dx in self._inputs)

    def between(self, kernel: Kernel, **record: Field) -> None:
        """Add an op to the forward pass that works on the batch as a whole, behind all rows' tasks before it."""
        self._forward.append(op(kernel, 1, **record)._replace(once=True))

    def between_backward(self, kernel: Kernel, **record: Field) -> None:
        """Add such an op to the backward pass."""
        self._add_backward(op(kernel, 1, **record)._replace(once=True))

    def after_step(self, kernel: Kernel, **record: Field) -> None:
        """Add an op that runs once in a training step if its loss is finite."""
        self._after_step.append(op(kernel, 1, **record))

    def task_sums(self, count: int) -> Buffer:
        """Room for `count` float64 for each task of rows: `grain` of them, and one of fewer."""
        return self._room("totals", count, -(-count // BLOCKS))

    def _add_backward(self, added: Op, to_input: bool = False) -> Backward:
        self._backward.append(Backward(added, self._layer, to_input))
        return self._backward[-1]

    def give_relu(self, y: Tensor) -> None:
        """Add the backward pass of y = max(x, 0), in place; the layer that takes y in may take this over."""
        sizes: Record = dict(features=y.size, blocked=y.blocked)
        relu = op(relu_backward, 4 * y.size, dx=y.grad, dy=y.grad, y=y.value, **sizes)
        self._relus[y.value, y.grad] = self._add_backward(relu)

    def take_relu(self, x: Tensor) -> Buffer | int:
        """For a layer that writes x.grad: x.value if it shall apply the ReLU's derivative there, else 0."""
        relu = self._relus.pop((x.value, x.grad), None)
        if relu is None:
            return 0
        self._backward.remove(relu)
        return x.value

    def join_relu(self, x: Tensor) -> bool:
        """Make x = max(x, 0) a part of the op that writes x, if that has a field `relu` and all want it; else False.

        The backward pass goes into the ops that read x's gradient, if they have that field too.
        """
        writer = self._forward[-1] if self._forward else None
        if self.keep or writer is None or writer.record[0] != x.value or x.value in self._shared:
            return False
        if writer.field("relu") != 0:
            return False
        self._forward[-1] = writer.with_relu()
        if writer in self._few:
            self._few[self._forward[-1]] = self._few.pop(writer).with_relu()
        # x.grad may be that of a layer before, too: those that read it for this one have the writer's own input.
        of, own = ("dy", "x", "relu"), (x.grad, writer.field("x"), 0)
        readers = [i for i, b in enumerate(self._backward) if tuple(map(b.op.field, of)) == own]
        for i in readers:
            self._backward[i] = self._backward[i]._replace(op=self._backward[i].op.with_relu())
        if not readers:
            self.give_relu(x)
        return True

    def prepare(self, kernel: Kernel, flops: float, items: int, **record: Field) -> None:
        """Add an op that a step runs before its backward pass, on `items` of its own: weights in another layout."""
        added = op(kernel, flops, **record)
        self._prepare.append(Group((added,), items, -(-items // PREPARE_TASKS), added.flops, 0))

    def packed_rows(self, kernel: Kernel, x: Buffer, size: int, width: int) -> Buffer:
        """Where an op `kernel` of the backward pass packs x (rows, size) to, in panels of `width` columns (or 32)."""
        most = width or 32
        packed = self.buffer(-(-size // most) * most)
        added = op(kernel, 2 * size, packed=packed, x=x, features=size, width=width, capacity=CAPACITY)
        self._add_backward(added)
        self._packs.add(added)
        return packed

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
        size, at = items * width, first.value.fixed
        self._blocks.append(Block(kernel, flops, fields, at, items, width, size <= small, large, grains, self._layer))

    def penalty(self, weight: Tensor, l1: float, l2: float) -> None:
        """Add l1 Σ|w| + l2 Σ w² to the loss, for a parameter that the last `gradient` began with."""
        if l1 or l2:
            self._penalties[len(self._blocks) - 1] = Penalty(weight.size // self._blocks[-1].width, l1, l2)

    def branch(self, x: Tensor) -> Tensor:
        """x with a gradient of its own, which the layer adds to others to make x's."""
        self._shared.add(x.value)
        added = Tensor(x.value, self.buffer(x.size, x.blocked), x.shape)
        if x.grad in self._inputs:
            self._inputs.add(added.grad)
        return added

    def trace(self, x: Tensor, y: Tensor) -> None:
        """Say that an activation makes y of x."""
        self.traces[y.value] = x

    def key(self) -> int:
        """64 bits that depend on the seed and the number of keys asked for before: of a stream of random numbers."""
        self._keys += 1
        sequence = np.random.SeedSequence([self._seed, _KEYS, self._keys])
        return int(sequence.generate_state(1, np.uint64).view(np.int64)[0])

    def clock(self) -> Record:
        """Fields of an op that has to know of time: where it finds whether this is training, and the steps done."""
        return {"training": Buffer("inputs", INPUTS["training"]), "step": Buffer("scalars", updates.STEP)}

    def augment(self, kernel: Kernel, flops: float, **record: Field) -> None:
        """Add an op that changes the inputs in place before a training step, by random numbers of its own."""
        clock = {"key": self.key(), "step": self.clock()["step"]}
        self._augment.append(op(kernel, flops, x=self.x.value, **record, **clock))

    def average(self, share: float) -> None:
        """Let each step move the arena `average`, laid out as params, by that share towards the new parameters."""
        self._average_share = share

    # --- programs ---

    def program(self, name: str, target: str, few: bool) -> tuple[list[Group], int]:
        """The groups of a program, and the number of the first that belongs to the update.

        name    "forward": outputs to `out`; "predict": the same through the loss's inverse link;
                "evaluate": loss and right answers to `totals`; "gradient": grads too; "train": an update too;
                "apply": an update with what is in `grads` already, on no rows;
                "input_gradient": the gradient with respect to the input to `out`;
                "jacobian": the derivative of output number r mod outputs of row r by the parameters to `out`, in
                batches of one row; "input_jacobian": the same by the inputs, in batches of any size
        target  which kind of target the loss gets: a key of the loss's `kernels`
        few     whether batches have so few rows that it doesn't pay to prepare weights for them
        """
        every = range(len(self._blocks))
        learning = [b for b in every if self._blocks[b].layer not in self._frozen]
        if name == "apply":
            return self._update_groups(learning, given=True), 0
        rows = [self._load("x", self.x.value, self.x.size), *(self._augment if name == "train" else ())]
        rows += [self._few.get(o, o) for o in self._forward] if few else self._forward
        if name in ("forward", "predict"):
            value = self.output.value
            if name == "predict" and self._loss.link is not None:
                value, size = self._prediction, self.output.size
                record: Record = dict(y=value, x=self.output.value, features=size, **self._loss.link.layout(False))
                rows.append(op(self._loss.link.forward, ELEMENTWISE * size, **record))
            return self._with_prepared([*rows, self._store(value, self.output.size)])
        if name in ("jacobian", "input_jacobian"):
            return self._jacobian(rows, by_input=name == "input_jacobian")

        rows += self._loss_ops(target)
        sums = self._sum_groups()
        if name == "evaluate":
            return self._with_prepared(rows, *sums)
        if name == "input_gradient":
            rows += [o for o in self._backward_ops(-1) if o not in self._packs]
            return self._with_prepared([*rows, self._store(self.x.grad, self.x.size)], *sums)

        blocks = every if name == "gradient" else learning
        # Frozen layers don't change how rows are cut: so the sums have the same bits in "gradient" and in "train".
        flops = sum(o.flops for o in [*rows, *self._gradient_ops(every)])
        groups, update = self._with_prepared([*rows, *self._gradient_ops(blocks)], *sums, flops=flops)
        if name == "gradient":
            groups += [self._weights(b, *self._penalty_gradient(b)) for b in blocks]
            return groups, len(groups)
        return groups + self._update_groups(blocks), update

    def _jacobian(self, rows: list[Op], *, by_input: bool) -> tuple[list[Group], int]:
        """The groups that come behind the forward pass for one output of each row, through the inverse link."""
        y, size, link, start = self.output, self.output.size, self._loss.link, Buffer("inputs", INPUTS["start"])
        rows = [*rows, op(data.one_hot_rows, size, dy=y.grad, start=start, features=size)]
        if link is not None:
            p, dy, plain = self._prediction, y.grad, link.layout(False)
            rows.append(op(link.forward, ELEMENTWISE * size, y=p, x=y.value, features=size, **plain))
            rows.append(op(link.backward, ELEMENTWISE * size, dx=dy, dy=dy, y=p, features=size, **plain))
        if by_input:
            rows += [o for o in self._backward_ops(-1) if o not in self._packs]
            return self._with_prepared([*rows, self._store(self.x.grad, self.x.size)])
        blocks = range(len(self._blocks))
        rows += self._gradient_ops(blocks)
        store = self._rows([self._store(Buffer("grads", 0), self._num_params)])
        return self._with_prepared(rows, *(self._weights(b) for b in blocks), *store)

    def _first_layer(self, blocks: Iterable[int]) -> int:
        """The number of the first layer that one of these blocks belongs to."""
        return min((self._blocks[b].layer for b in blocks), default=len(self.outputs))

    def _backward_ops(self, first: int) -> list[Op]:
        """The backward pass as far as the parameters of the layer `first` need it; -1: as far as the input."""
        needed = [o for o in self._backward if o.layer > first or (o.layer == first and not o.to_input)]
        return [o.op for o in reversed(needed)]

    def _gradient_ops(self, blocks: Sequence[int]) -> list[Op]:
        """The ops on rows that the gradients of these blocks need: the backward pass, and the partial gradients."""
        backward = self._backward_ops(self._first_layer(blocks))
        return [*backward, *(self._gradient_op(b) for b in blocks if b in self._partials)]

    def _sum_groups(self) -> list[Group]:
        """The groups that add up the loss."""
        totals = Buffer("totals", 0)
        groups = [self._serial(op(losses.add_sums, 1, totals=totals, sums=self._sums, grain=self.grain))]
        for b, (items, l1, l2) in self._penalties.items():
            block, grain, (sums, _) = self._blocks[b], self._update_grain(b), self._penalty_sums[b]
            record: Record = dict(sums=sums, w=Buffer("params", block.at), width=block.width, l1=l1, l2=l2)
            added = op(updates.penalty_sums, 4 * items * block.width, **record)
            groups.append(Group((added,), items, grain, added.flops, 0))
        if self._penalties:
            first, count = _together(self._penalty_sums)
            groups.append(self._serial(op(updates.add_penalties, count, totals=totals, sums=first, count=count)))
        return groups

    def _sums_of(self, items: int, grain: int) -> tuple[Buffer, int]:
        """Room for the sums of tasks of `grain` items, and how many they are."""
        tasks = -(-items // grain)
        return self._room("totals", tasks, 0), tasks

    def _update_groups(self, blocks: Sequence[int], *, given: bool = False) -> list[Group]:
        """The groups of a training step that come behind the rows': gradients, and the optimizer's step.

        given: whether the gradients are there already, those of penalties included, and no batch is.
        """
        most_value, most_norm = self._optimizer.clip_value, self._optimizer.clip_norm
        begin = [*self._schedule_ops(), op(self._optimizer.begin, 1, scalars=Buffer("scalars", 0))]
        begin += [] if given else self._after_step
        complete = self._over_block if given else self._weights
        before: dict[int, list[Op]] = {b: [] if given else self._penalty_gradient(b) for b in blocks}
        for b in blocks if most_value is not None else ():
            block = self._blocks[b]
            place, size = Buffer("grads", block.at), block.items * block.width
            before[b].append(op(updates.clip_values, 2 * size, dw=place, width=block.width, most=most_value))
        if most_norm is None or not blocks:
            return [self._serial(*begin), *(complete(b, *before[b], *self._update(b)) for b in blocks)]

        groups: list[Group] = []
        scales: list[Group] = []
        for b in blocks:
            block, (sums, _) = self._blocks[b], self._square_sums[b]
            place, size = Buffer("grads", block.at), block.items * block.width
            squares = op(updates.square_sums, 2 * size, sums=sums, dw=place, width=block.width)
            groups.append(complete(b, *before[b], squares))
            scale = op(updates.scale_gradient, 2 * size, dw=place, ratio=self._ratio, width=block.width)
            scales.append(self._over_block(b, scale, *self._update(b)))
        first, count = _together(self._square_sums)
        clip = op(updates.clip_ratio, count, ratio=self._ratio, sums=first, count=count, most=most_norm)
        return [*groups, self._serial(clip, *begin), *scales]

    def _schedule_ops(self) -> Iterator[Op]:
        """The ops that set the learning rate before a step."""
        at = SCALARS_SIZE + len(self._optimizer.constants)
        schedule = self._optimizer.learning_rate
        for kernel, constants, more in schedule.parts if isinstance(schedule, Schedule) else ():
            yield op(kernel, 1, scalars=Buffer("scalars", 0), constants=Buffer("scalars", at), **more)
            at += len(constants)

    def _penalty_gradient(self, number: int) -> list[Op]:
        """The op that adds the gradient of a block's penalty, if it has one."""
        if number not in self._penalties:
            return []
        block, (items, l1, l2) = self._blocks[number], self._penalties[number]
        places: Record = dict(dw=Buffer("grads", block.at), w=Buffer("params", block.at), items=items)
        size = items * block.width
        return [op(updates.add_penalty_gradient, 4 * size, **places, width=block.width, l1=l1, l2=l2)]

    def _with_prepared(self, rows: list[Op], *then: Group, flops: int | None = None) -> tuple[list[Group], int]:
        """The rows' group behind what it needs prepared. flops: see _rows."""
        read = {field for o in rows for field in o.record}
        prepare = [group for group in self._prepare if group.ops[0].record[0] in read]
        groups = [*prepare, *self._rows(rows, flops), *then]
        return groups, len(groups)

    def _partial(self, block: Block) -> Buffer:
        """Room for the partial gradients of each row task: rows // grain of them, and one of fewer rows."""
        size = self._partial_size(block)
        return self._room("work", _aligned(size), -(-size // self._least_rows))

    def _partial_size(self, block: Block) -> int:
        return (block.items + 1) * block.width  # a layer without a bias gets room for one

    def _gradient_op(self, number: int) -> Op:
        block = self._blocks[number]
        place = self._partials.get(number, Buffer("grads", block.at))
        mode = BY_ROWS if number in self._partials else PACKED if block.large else BY_ITEMS
        step = self._partial_size(block) if mode == BY_ROWS else CAPACITY
        record: Record = {
            block.kernel.fields[0]: place,
            **block.fields,
            "mode": mode,
            "step": step,
        }
        return op(block.kernel, block.flops, **record)

    def _weights(self, number: int, *then: Op) -> Group:
        """The group that completes a block's gradient, and then updates it while it is in the cache."""
        block, grain, flops = self._blocks[number], self._weights_grain(number), sum(o.flops for o in then)
        if number not in self._partials:
            return Group((self._gradient_op(number), *then), block.items, grain, flops, block.flops)
        record: Record = dict(dweight=Buffer("grads", block.at), partial=self._partials[number])
        sizes: Record = dict(size=self._partial_size(block), width=block.width, grain=self.grain)
        add = op(add_partial, 8 * block.items * block.width, **record, **sizes)
        return Group((add, *then), block.items, grain, add.flops + flops, 0)

    def _over_block(self, number: int, *ops: Op) -> Group:
        """The group of ops on a block's parameters, cut as in `_weights`."""
        return Group(ops, self._blocks[number].items, self._weights_grain(number), sum(o.flops for o in ops), 0)

    def _weights_grain(self, number: int) -> int:
        """Rows of a block in a task."""
        block = self._blocks[number]
        if number in self._partials:
            return self._update_grain(number)
        return max((g for g in block.grains if g * WEIGHT_TASKS <= block.items), default=block.grains[0])

    def _update_grain(self, number: int) -> int:
        """Rows of a block in a task that only goes over its parameters."""
        return max(1, UPDATE_SIZE // self._blocks[number].width)

    def _load(self, source: str, y: Buffer, features: int) -> Op:
        at = {name: Buffer("inputs", INPUTS[name]) for name in (source, "order", "start")}
        return op(
            data.load_rows,
            LOAD * features,
            y=y,
            source=at[source],
            order=at["order"],
            start=at["start"],
            features=features,
        )

    def _store(self, x: Buffer, features: int) -> Op:
        out, start = Buffer("inputs", INPUTS["out"]), Buffer("inputs", INPUTS["start"])
        return op(data.store_rows, LOAD * features, x=x, target=out, start=start, features=features)

    def _loss_ops(self, target: str) -> Iterator[Op]:
        y, size = self.output, self.output.size
        yield self._load("y", self._target, 1 if target == "labels" else self._loss.targets(size))
        yield self._load("weight", self._weight, 1)
        kernel = self._loss.kernels[target]
        record: Record = dict(dy=y.grad, y=y.value, target=self._target, weight=self._weight, sums=self._sums)
        more = {name: value for name, value in self._loss.record.items() if name in kernel.fields}
        yield op(kernel, LOSS * size, **record, outputs=size, **more)

    def _rows(self, ops: Sequence[Op], flops: int | None = None) -> Iterator[Group]:
        """The groups of ops on rows, and of those between. All that are on rows are cut alike, whatever is in them.

        flops: by which they are cut; None: those of the ops.
        """
        flops = sum(o.flops for o in ops) if flops is None else flops
        for once, part in itertools.groupby(ops, lambda o: o.once):
            if once:
                yield self._serial(*part)
            else:
                yield Group(tuple(part), engine.ROWS_OF_BATCH, self._least_rows, 0, flops, self._round)

    def _serial(self, *ops: Op) -> Group:
        return Group(ops, 1, 1, 1, 0)

    def _update(self, number: int) -> Iterator[Op]:
        """The optimizer's ops for a block, whose gradient is clipped."""
        block = self._blocks[number]
        kernel, size = self._optimizer.update, block.items * block.width
        places: dict[str, Field] = dict(w=Buffer("params", block.at), dw=Buffer("grads", block.at), width=block.width)
        for i, name in enumerate(self._optimizer.state):
            places[name] = Buffer("state", i * self._num_params + block.at)
        places["scalars"] = Buffer("scalars", 0)
        places["factor"] = Buffer("scalars", factors_at(self._optimizer) + block.layer)
        if self._noise_keys:
            noise: Record = dict(key=self._noise_keys[number], level=self._optimizer.gradient_noise)
            yield op(
                updates.add_gradient_noise, NOISE * size, **{n: places[n] for n in ("dw", "scalars", "width")}, **noise
            )
        yield op(kernel, ELEMENTWISE * size, **{name: places.get(name, 0) for name in kernel.fields})
        if self._average_share:
            average: Record = dict(average=Buffer("average", block.at), w=places["w"], width=block.width)
            yield op(updates.move_average, 4 * size, **average, share=self._average_share)

    def arena_size(self, arena: str, capacity: int) -> int:
        """Elements of the arena `work` or `totals` for batches of `capacity` rows."""
        fixed, per_row = self._size[arena]
        return fixed + per_row * capacity


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _together(sums: dict[int, tuple[Buffer, int]]) -> tuple[Buffer, int]:
    """The first of these sums, which lie one behind the other, and how many they are."""
    return next(iter(sums.values()))[0], sum(count for _, count in sums.values())
