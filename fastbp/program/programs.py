"""What programs there are, and the groups of ops that each consists of."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..kernels import data, losses
from . import engine
from .records import (
    ELEMENTWISE,
    INPUTS,
    LOAD,
    LOSS,
    TOTALS_SIZE,
    Buffer,
    Group,
    Op,
    Record,
    Recording,
    Rooms,
    op,
    serial_group,
)
from .updates import Updates

# The least rows of a task: so many that reading the weights is hidden behind computing with them, by the number of
# weights of the largest layer; those that don't fit into the L2 cache need more.
LEAST_ROWS = {0: 16, 1 << 17: 32, 1 << 20: 64}


class Programs:
    """Makes programs of what layers have recorded.

    recording   it is complete, and fused
    rooms       for targets and sums
    loss        it says which kernel it runs
    optimizer   it says which kernels it runs
    num_params  of the network
    frozen      numbers of the layers that training leaves as they are
    grain       where an op finds the rows in a task
    noise_keys  see Updates

    flops       of the forward and the backward pass, for a row
    """

    def __init__(
        self,
        recording: Recording,
        rooms: Rooms,
        loss: Any,
        optimizer: Any,
        num_params: int,
        frozen: set[int],
        grain: Buffer,
        noise_keys: Sequence[int],
    ):
        self._recording, self._loss, self._num_params, self._grain = recording, loss, num_params, grain
        size = recording.output.size
        self._target, self._weight, self._prediction = (rooms.room("work", 0, n) for n in (size, 1, size))
        self._sums = Buffer("totals", TOTALS_SIZE)
        most = max((block.size for block in recording.blocks if block.large), default=0)
        self._least_rows = max(rows for weights, rows in LEAST_ROWS.items() if most >= weights)
        self._updates = Updates(recording, rooms, optimizer, num_params, self._least_rows, grain, noise_keys)
        self._all_blocks = range(len(recording.blocks))
        self._learning = [b for b in self._all_blocks if recording.blocks[b].layer not in frozen]
        backward = self._backward_ops(self._first_layer(self._all_blocks))
        self.flops = max(1, sum(o.flops for o in [*recording.forward, *backward]))

    def program(self, name: str, target: str, few: bool) -> tuple[list[Group], int]:
        """The groups of a program, and the number of the first that belongs to the update. See Plan.program."""
        if name == "apply":
            return self._updates.step_groups(self._learning, given=True), 0
        x = self._recording.x
        rows = [self._load("x", x.value, x.size), *(self._recording.augment if name == "train" else ())]
        rows += [o.few or o for o in self._recording.forward] if few else self._recording.forward
        if name in ("forward", "predict"):
            return self._forward(rows, linked=name == "predict" and self._loss.link is not None)
        if name in ("jacobian", "input_jacobian"):
            return self._jacobian(rows, by_input=name == "input_jacobian")

        rows += self._loss_ops(target)
        sums = self._sum_groups()
        if name == "evaluate":
            return self._with_prepared(rows, *sums)
        if name == "input_gradient":
            return self._with_prepared([*rows, *self._input_gradient_ops()], *sums)

        blocks = self._all_blocks if name == "gradient" else self._learning
        # Frozen layers don't change how rows are cut: so the sums have the same bits in "gradient" and in "train".
        flops = sum(o.flops for o in [*rows, *self._gradient_ops(self._all_blocks)])
        groups, update = self._with_prepared([*rows, *self._gradient_ops(blocks)], *sums, flops=flops)
        if name == "gradient":
            groups += self._updates.gradient_groups(blocks, penalties=True)
            return groups, len(groups)
        return groups + self._updates.step_groups(blocks), update

    # --- kinds of programs ---

    def _forward(self, rows: list[Op], *, linked: bool) -> tuple[list[Group], int]:
        """The groups of the forward pass, whose output goes to `out`, if `linked` through the inverse link."""
        output, value = self._recording.output, self._recording.output.value
        if linked:
            value, link = self._prediction, self._loss.link
            record: Record = dict(y=value, x=output.value, features=output.size, **link.layout(False))
            rows = [*rows, op(link.forward, ELEMENTWISE * output.size, **record)]
        return self._with_prepared([*rows, self._store(value, output.size)])

    def _jacobian(self, rows: list[Op], *, by_input: bool) -> tuple[list[Group], int]:
        """The groups that come behind the forward pass for one output of each row, through the inverse link."""
        y, link, start = self._recording.output, self._loss.link, Buffer("inputs", INPUTS["start"])
        size, dy = y.size, y.grad
        rows = [*rows, op(data.one_hot_rows, size, dy=dy, start=start, features=size)]
        if link is not None:
            p, plain = self._prediction, link.layout(False)
            rows.append(op(link.forward, ELEMENTWISE * size, y=p, x=y.value, features=size, **plain))
            rows.append(op(link.backward, ELEMENTWISE * size, dx=dy, dy=dy, y=p, features=size, **plain))
        if by_input:
            return self._with_prepared([*rows, *self._input_gradient_ops()])
        rows += self._gradient_ops(self._all_blocks)
        groups = self._updates.gradient_groups(self._all_blocks, penalties=False)
        store = self._row_groups([self._store(Buffer("grads", 0), self._num_params)])
        return self._with_prepared(rows, *groups, *store)

    def _with_prepared(self, rows: list[Op], *then: Group, flops: int | None = None) -> tuple[list[Group], int]:
        """The rows' groups behind what they need prepared, and others. flops: see _row_groups."""
        read = {field for o in rows for field in o.record}
        prepare = [group for group in self._recording.prepare if group.ops[0].written in read]
        groups = [*prepare, *self._row_groups(rows, flops), *then]
        return groups, len(groups)

    def _row_groups(self, ops: Sequence[Op], flops: int | None = None) -> Iterator[Group]:
        """The groups of ops on rows, and of those between. All that are on rows are cut alike, whatever is in them.

        flops: by which they are cut; None: those of the ops.
        """
        flops = sum(o.flops for o in ops) if flops is None else flops
        for once, part in itertools.groupby(ops, lambda o: o.once):
            if once:
                yield serial_group(*part)
            else:
                multiple = self._recording.task_rows
                yield Group(tuple(part), engine.ROWS_OF_BATCH, self._least_rows, 0, flops, multiple)

    # --- ops on rows ---

    def _first_layer(self, blocks: Iterable[int]) -> int:
        """The number of the first layer that one of these blocks belongs to."""
        numbers = (self._recording.blocks[b].layer for b in blocks)
        return min(numbers, default=len(self._recording.outputs))

    def _backward_ops(self, first: int) -> list[Op]:
        """The backward pass as far as the parameters of the layer `first` need it."""
        needed = [b for b in self._recording.backward if b.layer > first or (b.layer == first and not b.to_input)]
        return [b.op for b in reversed(needed)]

    def _input_gradient_ops(self) -> list[Op]:
        """The backward pass as far as the input, whose gradient goes to `out`."""
        ops = [b.op for b in reversed(self._recording.backward) if not b.to_weights]
        return [*ops, self._store(self._recording.x.grad, self._recording.x.size)]

    def _gradient_ops(self, blocks: Sequence[int]) -> list[Op]:
        """The ops on rows that the gradients of these blocks need: the backward pass, and the partial gradients."""
        return [*self._backward_ops(self._first_layer(blocks)), *self._updates.row_ops(blocks)]

    def _loss_ops(self, target: str) -> Iterator[Op]:
        """The ops that read a batch's targets and weights, and write the loss and its derivative by the outputs."""
        y, size = self._recording.output, self._recording.output.size
        yield self._load("y", self._target, 1 if target == "labels" else self._loss.targets(size))
        yield self._load("weight", self._weight, 1)
        kernel = self._loss.kernels[target]
        record: Record = dict(dy=y.grad, y=y.value, target=self._target, weight=self._weight, sums=self._sums)
        own_fields = {name: value for name, value in self._loss.record.items() if name in kernel.fields}
        yield op(kernel, LOSS * size, **record, outputs=size, **own_fields)

    def _sum_groups(self) -> list[Group]:
        """The groups that add up the loss."""
        totals = Buffer("totals", 0)
        add = op(losses.add_sums, 1, totals=totals, sums=self._sums, grain=self._grain)
        return [serial_group(add), *self._updates.penalty_groups(totals)]

    def _load(self, source: str, y: Buffer, features: int) -> Op:
        """The op that writes y (rows, features) from an array of the user's."""
        names = {"source": source, "order": "order", "start": "start"}
        read: Record = {name: Buffer("inputs", INPUTS[place]) for name, place in names.items()}
        return op(data.load_rows, LOAD * features, y=y, **read, features=features)

    def _store(self, x: Buffer, features: int) -> Op:
        """The op that writes x (rows, features) to the user's array `out`."""
        out, start = Buffer("inputs", INPUTS["out"]), Buffer("inputs", INPUTS["start"])
        return op(data.store_rows, LOAD * features, x=x, target=out, start=start, features=features)
