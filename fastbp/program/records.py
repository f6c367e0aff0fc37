"""The nouns of a program: places in memory, tensors, ops, groups of ops, and what layers have recorded of all these.

Nothing is decided here: emitter.py writes recordings, fusion.py changes them, programs.py makes groups of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..runtime.functions import Kernel
from . import engine

Shape = tuple[int, ...]
ALIGNMENT = 16  # elements: a row buffer begins at a multiple of 64 bytes

# What an op costs that is no matrix product, in operations of one, for an element.
LOAD, MOVE, ELEMENTWISE, LOSS, NOISE = 10, 10, 40, 60, 1000
# Batches of so few rows are done before their weights are packed.
FEW_ROWS = 16
# Rows of a task are a multiple of this: of 4, to fill the tiles; of 16, to fill the blocks of any type of float.
ROUND, BLOCKS = 4, 16

# Offsets into the arena `inputs`, in which a workspace describes the user's arrays to the kernels.
INPUTS = {"start": engine.START, "order": engine.ORDER, "sums": engine.SUMS, "out": 4, "training": 5}
INPUTS |= {"x": 6, "y": 10, "weight": 14}
INPUTS_SIZE = 18
TOTALS_SIZE = 4  # of `totals`, before the sums of each task
BATCH_LOSS, LOSS_SUM, RIGHT_SUM = engine.LOSS, engine.LOSS_SUM, engine.RIGHT_SUM  # in `totals`


class Buffer(NamedTuple):
    """A place in one of the arenas: params, grads, state, scalars, statistics, average; work, totals, inputs.

    It is at `fixed + per_row * capacity`, as a plan doesn't know for how many rows a workspace has room.
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

    def renamed(self, places: Mapping[Buffer, Buffer]) -> Tensor:
        """The same at the places that take the place of others."""
        return self._replace(value=places.get(self.value, self.value), grad=places.get(self.grad, self.grad))


# Kernels find a float's bits, and the address of a tuple's numbers in float64.
Field = Buffer | int | float | tuple[float, ...]
Record = dict[str, Field]  # an op's fields by name


class Op(NamedTuple):
    """An instruction: a kernel and its record. `flops` is what it costs: a row, if it works on rows.

    once      whether it comes between ops on rows and works on the batch as a whole: behind all tasks of those before
    in_place  whether it may write its first field where the one lies that it makes it of: y over x, or dx over dy
    few       what takes its place where there are few rows
    """

    kernel: Kernel
    record: tuple[Field, ...]
    flops: int
    once: bool = False
    in_place: bool = False
    few: Op | None = None

    @property
    def written(self) -> Field:
        """The first field: what the op writes."""
        return self.record[0]

    def field(self, name: str) -> Field | None:
        """What the record holds by that name; None if there is no such field."""
        return dict(zip(self.kernel.fields, self.record, strict=True)).get(name)

    def replaced(self, **values: Field) -> Op:
        """The same with other values in fields of these names."""
        fields = zip(self.kernel.fields, self.record, strict=True)
        few = None if self.few is None else self.few.replaced(**values)
        return self._replace(record=tuple(values.get(name, value) for name, value in fields), few=few)

    def renamed(self, places: Mapping[Buffer, Buffer]) -> Op:
        """The same with places that take the place of others."""
        few = None if self.few is None else self.few.renamed(places)
        return self._replace(record=tuple(_renamed(value, places) for value in self.record), few=few)


def _renamed(value: Field, places: Mapping[Buffer, Buffer]) -> Field:
    return places.get(value, value) if isinstance(value, Buffer) else value


def op(kernel: Kernel, flops: float, **record: Field) -> Op:
    """An instruction from its fields by name. Raises TypeError for fields other than the kernel's, in its order."""
    if tuple(record) != kernel.fields:
        raise TypeError(f"{kernel.name} takes the fields {kernel.fields}, got {tuple(record)}")
    return Op(kernel, tuple(record.values()), int(flops))


class Group(NamedTuple):
    """Ops that a task runs one after the other on the same items; see engine.py."""

    ops: tuple[Op, ...]
    extent: int
    grain: int
    flops: int
    row_flops: int
    multiple: int = 1


def serial_group(*ops: Op) -> Group:
    """A group of one task."""
    return Group(ops, 1, 1, 1, 0)


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

    @property
    def size(self) -> int:
        """How many parameters it has."""
        return self.items * self.width

    def renamed(self, places: Mapping[Buffer, Buffer]) -> Block:
        """The same with places that take the place of others."""
        return self._replace(fields={name: _renamed(value, places) for name, value in self.fields.items()})


class Penalty(NamedTuple):
    """The penalty on the first `items` rows of a block: l1 Σ|w| + l2 Σ w²."""

    items: int
    l1: float
    l2: float


class Backward(NamedTuple):
    """An op of the backward pass of the layer of that number.

    to_input    it is the one that writes the gradient of the layer's input
    to_weights  gradients of parameters alone need it
    """

    op: Op
    layer: int
    to_input: bool = False
    to_weights: bool = False


class Rooms:
    """Hands out the places in the arenas `work` and `totals`."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._sizes = {"work": [0, 0], "totals": [TOTALS_SIZE, 2]}  # fixed, and for each row
        self._handed_out: list[tuple[Buffer, int, int]] = []

    def room(self, arena: str, fixed: int, per_row: int, blocked: bool = False) -> Buffer:
        """Room for `fixed` numbers, and so many more for each row of the batch."""
        sizes = self._sizes[arena]
        place = Buffer(arena, sizes[0], sizes[1], blocked)
        sizes[0] += fixed
        sizes[1] += per_row
        self._handed_out.append((place, fixed, per_row))
        return place

    def close_gaps(self, used: set[Buffer]) -> dict[Buffer, Buffer]:
        """Take back the places that are not used, and move the others together: old places with their new ones."""
        kept = [handed_out for handed_out in self._handed_out if handed_out[0] in used]
        self._clear()
        return {place: self.room(place.arena, fixed, per_row, place.blocked) for place, fixed, per_row in kept}

    def size(self, arena: str, capacity: int) -> int:
        """Elements of an arena for batches of `capacity` rows."""
        fixed, per_row = self._sizes[arena]
        return fixed + per_row * capacity


def aligned(size: int) -> int:
    """So many elements, rounded up to whole 64 bytes."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass
class Recording:
    """What the layers of a network, its callbacks and its loss want to be done, in the order in which they said it.

    x, output   what goes into the network, and what comes out of it with its rows one behind the other
    augment     ops that change the inputs before a training step
    forward     ops of the forward pass, as they are run
    backward    ops of the backward pass, in the order of the forward pass: they are run in the reverse one
    prepare     groups that are run before the rows', each if an op reads what it writes
    after_step  ops that are run once in a training step if its loss is finite
    blocks      the parts of the parameters, and the penalties on them by the blocks' numbers
    outputs     the output of each layer
    traces      what goes into activations, by the buffer of what comes out
    average_share  how far a step moves the arena `average` towards the new parameters; 0 for no average
    task_rows   what the rows of a task are a multiple of
    """

    x: Tensor
    output: Tensor
    augment: list[Op] = field(default_factory=list)
    forward: list[Op] = field(default_factory=list)
    backward: list[Backward] = field(default_factory=list)
    prepare: list[Group] = field(default_factory=list)
    after_step: list[Op] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    penalties: dict[int, Penalty] = field(default_factory=dict)
    outputs: list[Tensor] = field(default_factory=list)
    traces: dict[Buffer, Tensor] = field(default_factory=dict)
    average_share: float = 0.0
    task_rows: int = ROUND

    def rename(self, places: Mapping[Buffer, Buffer]) -> None:
        """Put places in the place of others, wherever they stand."""
        if not places:
            return
        self.x, self.output = self.x.renamed(places), self.output.renamed(places)
        self.augment = [o.renamed(places) for o in self.augment]
        self.forward = [o.renamed(places) for o in self.forward]
        self.backward = [b._replace(op=b.op.renamed(places)) for b in self.backward]
        self.prepare = [g._replace(ops=tuple(o.renamed(places) for o in g.ops)) for g in self.prepare]
        self.after_step = [o.renamed(places) for o in self.after_step]
        self.blocks = [block.renamed(places) for block in self.blocks]
        self.outputs = [tensor.renamed(places) for tensor in self.outputs]
        self.traces = {places.get(y, y): x.renamed(places) for y, x in self.traces.items()}

    def ops(self) -> Iterator[Op]:
        """All ops, those of `few` rows too, but for those that write gradients of parameters."""
        recorded = [*self.augment, *self.forward, *(b.op for b in self.backward), *self.after_step]
        recorded += [o for group in self.prepare for o in group.ops]
        for o in recorded:
            yield o
            if o.few is not None:
                yield o.few

    def places(self) -> set[Buffer]:
        """All buffers that are in use."""
        tensors = [self.x, self.output, *self.outputs, *self.traces.values()]
        found = {place for tensor in tensors for place in (tensor.value, tensor.grad)}
        found |= {value for o in self.ops() for value in o.record if isinstance(value, Buffer)}
        return found | {v for block in self.blocks for v in block.fields.values() if isinstance(v, Buffer)}
