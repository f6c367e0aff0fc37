"""The groups of a training step that come behind those of its rows: gradients of parameters, and the update by them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..kernels import updates as kernels
from ..kernels.dense import BY_ITEMS, BY_ROWS, PACKED, add_partial
from .records import (
    CAPACITY,
    ELEMENTWISE,
    NOISE,
    Block,
    Buffer,
    Field,
    Group,
    Op,
    Record,
    Recording,
    Rooms,
    aligned,
    op,
    serial_group,
)

# A weight gradient is cut into at least so many tasks, if there are the rows for it.
WEIGHT_TASKS = 24
# Updates are cut into tasks of about so many parameters.
UPDATE_SIZE = 8192
SCALARS_SIZE = 2  # of `scalars`, before the optimizer's constants: the step count and the learning rate


def factors_at(optimizer: Any) -> int:
    """Where in `scalars` the layers' factors of the learning rate begin: behind the constants of all kernels."""
    return SCALARS_SIZE + len(optimizer.constants) + sum(len(constants) for _, constants, _ in optimizer.rate_parts)


def initial_scalars(optimizer: Any, factors: Sequence[float]) -> np.ndarray:
    """The arena `scalars` before the first step: what the optimizer's and the schedule's kernels read and write."""
    rate_constants = [number for _, constants, _ in optimizer.rate_parts for number in constants]
    return np.array([0.0, optimizer.initial_rate, *optimizer.constants, *rate_constants, *factors])


class Updates:
    """What is done with blocks of parameters; they are named by their numbers.

    recording   what layers have recorded
    rooms       for sums
    optimizer   it says which kernels it runs
    num_params  of the network
    least_rows  the least rows of a task, each of which may have private sums
    noise_keys  of the random numbers that are added to each block's gradient, if the optimizer wants any
    """

    def __init__(
        self,
        recording: Recording,
        rooms: Rooms,
        optimizer: Any,
        num_params: int,
        least_rows: int,
        grain: Buffer,
        noise_keys: Sequence[int],
    ):
        self._rooms, self._optimizer, self._num_params, self._grain = rooms, optimizer, num_params, grain
        self._recording, self._noise_keys = recording, noise_keys
        self._blocks, self._penalties = recording.blocks, recording.penalties
        blocks = list(enumerate(self._blocks))
        self._partials = {b: self._partial(block, least_rows) for b, block in blocks if block.small}
        self._penalty_sums = {
            b: self._sums_of(penalty.items, self._update_grain(b)) for b, penalty in self._penalties.items()
        }
        self._ratio = rooms.room("totals", 1, 0)
        self._square_sums: dict[int, tuple[Buffer, int]] = {}
        if optimizer.clip_norm is not None:
            self._square_sums = {b: self._sums_of(block.items, self._weights_grain(b)) for b, block in blocks}

    # --- for programs ---

    def row_ops(self, blocks: Sequence[int]) -> list[Op]:
        """The ops of row tasks that write private sums of these blocks' gradients."""
        return [self._gradient(b) for b in blocks if b in self._partials]

    def penalty_groups(self, totals: Buffer) -> list[Group]:
        """The groups that add the penalties to the loss."""
        groups = []
        for b, (items, l1, l2) in self._penalties.items():
            block, grain, (sums, _) = self._blocks[b], self._update_grain(b), self._penalty_sums[b]
            record: Record = dict(sums=sums, w=Buffer("params", block.at), width=block.width, l1=l1, l2=l2)
            added = op(kernels.penalty_sums, 4 * items * block.width, **record)
            groups.append(Group((added,), items, grain, added.flops, 0))
        if groups:
            first, count = _together(self._penalty_sums)
            groups.append(serial_group(op(kernels.add_penalties, count, totals=totals, sums=first, count=count)))
        return groups

    def gradient_groups(self, blocks: Sequence[int], *, penalties: bool) -> list[Group]:
        """The groups that complete these blocks' gradients, with or without those of penalties."""
        return [self._complete(b, *(self._penalty_gradient(b) if penalties else ())) for b in blocks]

    def step_groups(self, blocks: Sequence[int], *, given: bool = False) -> list[Group]:
        """The groups that complete these blocks' gradients, and do the optimizer's step with them.

        given: whether the gradients are there already, those of penalties included, and no batch is.
        """
        most_norm = self._optimizer.clip_norm
        begin = [*self._rate_ops(), op(self._optimizer.begin, 1, scalars=Buffer("scalars", 0))]
        begin += [] if given else self._recording.after_step
        complete = self._over_block if given else self._complete
        clipped = {b: [*([] if given else self._penalty_gradient(b)), *self._clip_values(b)] for b in blocks}
        if most_norm is None or not blocks:
            return [serial_group(*begin), *(complete(b, *clipped[b], *self._update(b)) for b in blocks)]

        groups: list[Group] = []
        scales: list[Group] = []
        for b in blocks:
            block, (sums, _) = self._blocks[b], self._square_sums[b]
            gradient = Buffer("grads", block.at)
            squares = op(kernels.square_sums, 2 * block.size, sums=sums, dw=gradient, width=block.width)
            groups.append(complete(b, *clipped[b], squares))
            record: Record = dict(dw=gradient, ratio=self._ratio, width=block.width)
            scale = op(kernels.scale_gradient, 2 * block.size, **record)
            scales.append(self._over_block(b, scale, *self._update(b)))
        first, count = _together(self._square_sums)
        clip = op(kernels.clip_ratio, count, ratio=self._ratio, sums=first, count=count, most=most_norm)
        return [*groups, serial_group(clip, *begin), *scales]

    # --- ops on a block ---

    def _gradient(self, number: int) -> Op:
        """The op that writes the block's gradient, or private sums of it."""
        block = self._blocks[number]
        private = number in self._partials
        record: Record = {
            block.kernel.fields[0]: self._partials[number] if private else Buffer("grads", block.at),
            **block.fields,
            "mode": BY_ROWS if private else PACKED if block.large else BY_ITEMS,
            "step": _partial_size(block) if private else CAPACITY,
        }
        return op(block.kernel, block.flops, **record)

    def _penalty_gradient(self, number: int) -> list[Op]:
        """The op that adds the gradient of a block's penalty, if it has one."""
        if number not in self._penalties:
            return []
        block, (items, l1, l2) = self._blocks[number], self._penalties[number]
        places: Record = dict(dw=Buffer("grads", block.at), w=Buffer("params", block.at), items=items)
        flops = 4 * items * block.width
        return [op(kernels.add_penalty_gradient, flops, **places, width=block.width, l1=l1, l2=l2)]

    def _clip_values(self, number: int) -> Iterator[Op]:
        """The op that cuts a gradient's elements, if the optimizer wants that."""
        block, most = self._blocks[number], self._optimizer.clip_value
        if most is not None:
            record: Record = dict(dw=Buffer("grads", block.at), width=block.width, most=most)
            yield op(kernels.clip_values, 2 * block.size, **record)

    def _update(self, number: int) -> Iterator[Op]:
        """The optimizer's ops for a block, whose gradient is clipped."""
        block = self._blocks[number]
        kernel, size = self._optimizer.update, block.size
        places: dict[str, Field] = dict(w=Buffer("params", block.at), dw=Buffer("grads", block.at), width=block.width)
        for i, name in enumerate(self._optimizer.state):
            places[name] = Buffer("state", i * self._num_params + block.at)
        places["scalars"] = Buffer("scalars", 0)
        places["factor"] = Buffer("scalars", factors_at(self._optimizer) + block.layer)
        if self._noise_keys:
            noise: Record = {name: places[name] for name in ("dw", "scalars", "width")}
            noise |= dict(key=self._noise_keys[number], level=self._optimizer.gradient_noise)
            yield op(kernels.add_gradient_noise, NOISE * size, **noise)
        yield op(kernel, ELEMENTWISE * size, **{name: places.get(name, 0) for name in kernel.fields})
        if self._recording.average_share:
            average: Record = dict(average=Buffer("average", block.at), w=places["w"], width=block.width)
            yield op(kernels.move_average, 4 * size, **average, share=self._recording.average_share)

    def _rate_ops(self) -> Iterator[Op]:
        """The ops that set the learning rate before a step."""
        at = SCALARS_SIZE + len(self._optimizer.constants)
        for kernel, constants, fields in self._optimizer.rate_parts:
            yield op(kernel, 1, scalars=Buffer("scalars", 0), constants=Buffer("scalars", at), **fields)
            at += len(constants)

    # --- how blocks are cut into tasks ---

    def _complete(self, number: int, *then: Op) -> Group:
        """The group that completes a block's gradient, and then does more with it while it is in the cache."""
        block, grain, flops = self._blocks[number], self._weights_grain(number), sum(o.flops for o in then)
        if number not in self._partials:
            return Group((self._gradient(number), *then), block.items, grain, flops, block.flops)
        record: Record = dict(dweight=Buffer("grads", block.at), partial=self._partials[number])
        sizes: Record = dict(size=_partial_size(block), width=block.width, grain=self._grain)
        add = op(add_partial, 8 * block.size, **record, **sizes)
        return Group((add, *then), block.items, grain, add.flops + flops, 0)

    def _over_block(self, number: int, *ops: Op) -> Group:
        """The group of ops on a block's parameters, cut as in `_complete`."""
        return Group(ops, self._blocks[number].items, self._weights_grain(number), sum(o.flops for o in ops), 0)

    def _weights_grain(self, number: int) -> int:
        """Rows of a block in a task."""
        block = self._blocks[number]
        if block.small:
            return self._update_grain(number)
        return max((g for g in block.grains if g * WEIGHT_TASKS <= block.items), default=block.grains[0])

    def _update_grain(self, number: int) -> int:
        """Rows of a block in a task that only goes over its parameters."""
        return max(1, UPDATE_SIZE // self._blocks[number].width)

    def _partial(self, block: Block, least_rows: int) -> Buffer:
        """Room for the partial gradients of each row task: rows // grain of them, and one of fewer rows."""
        size = _partial_size(block)
        return self._rooms.room("work", aligned(size), -(-size // least_rows))

    def _sums_of(self, items: int, grain: int) -> tuple[Buffer, int]:
        """Room for the sums of tasks of `grain` items, and how many they are."""
        tasks = -(-items // grain)
        return self._rooms.room("totals", tasks, 0), tasks


def _partial_size(block: Block) -> int:
    return (block.items + 1) * block.width  # a layer without a bias gets room for one


def _together(sums: dict[int, tuple[Buffer, int]]) -> tuple[Buffer, int]:
    """The first of these sums, which lie one behind the other, and how many they are."""
    return next(iter(sums.values()))[0], sum(count for _, count in sums.values())
