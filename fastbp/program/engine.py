"""Runs a plan: for each group of instructions, for each of its tasks, call the kernels by address.

A program is a row of int64s:

    GROUPS, COUNT  address and number of its groups
    UPDATE  the first group of the update: it is left out when the loss is not finite
    OPS     address of its instructions, of OP_WIDTH int64s: a kernel's address and then its op record
    INPUTS, TOTALS  addresses of what the engine tells kernels about the batch (int64), and they the engine (float64)

and a group is one too; it says which instructions belong together and how they are cut into tasks:

    EXTENT  how many items there are; ROWS_OF_BATCH stands for the rows in the batch
    GRAIN   items in a task; for rows, the least number of them
    ROUND   for rows: tasks are of a multiple of it
    FIRST, LAST  the ops of the group: each task runs all of them on its own items, one after the other
    WORK, ROW_WORK  floating-point operations of the whole group: so many, and so many more for each row of the batch

Which tasks there are depends on shapes alone, and no two tasks write to the same place. So every sum has
one fixed order, and the bits don't depend on the number of threads.
"""

from __future__ import annotations

import math

from numba import njit, prange, types

from ..runtime.functions import OPTIONS, entry_point, inner
from ..simd.cpu import flush_subnormals, restore_subnormals
from ..simd.entry import OP_WIDTH, call
from ..simd.memory import offset, pointer

GROUPS, COUNT, UPDATE, OPS, INPUTS, TOTALS = range(6)
EXTENT, GRAIN, ROUND, FIRST, LAST, WORK, ROW_WORK = range(7)
GROUP_WIDTH = 7
ROWS_OF_BATCH = -1

# In operations of a matrix product, of which a core does some 200 in a nanosecond. With less work than FORK, a group
# runs on the calling thread: sharing it costs 1.4 µs with TBB, and some more until the other
# cores have the weights in their caches. With more, row tasks are of TASK to twice as much.
FORK, TASK = 2_500_000, 1_500_000

# In `inputs`: what the engine tells kernels about the batch; and the addresses of the order of the rows (int64) and of
# what sums of epochs are written to (float64, two for each), or 0. These move on with each epoch that ends.
START, ROWS_IN_TASK, ORDER, SUMS = range(4)
# In `totals`: what kernels tell the engine: the loss of the batch, and sums over the epoch.
LOSS, LOSS_SUM, RIGHT_SUM = range(3)


@inner
def _task(ops, first, last, rows, lo, hi, task):
    """Run ops first .. last on the items lo .. hi, which are the task of that number."""
    for i in range(first, last):
        op = pointer(ops + 8 * OP_WIDTH * i, types.int64)
        call(op[0], offset(op, 1), rows, lo, hi, task)


@inner
def _rows_in_task(rows, least, multiple, work):
    """The rows are halved as long as the parts are worth it, and of `least` rows or more."""
    tasks = 1
    while (2 * tasks * TASK <= work or (tasks == 1 and work > FORK)) and 2 * tasks * least <= rows:
        tasks *= 2
    return ((rows + tasks - 1) // tasks + multiple - 1) // multiple * multiple


@inner
def _group(program, g):
    return pointer(program[GROUPS] + 8 * GROUP_WIDTH * g, types.int64)


@inner
def _cut(program, g, rows):
    """(items, items in a task, work) of a group, for a batch of `rows` rows."""
    group = _group(program, g)
    extent, grain, work = group[EXTENT], group[GRAIN], group[WORK] + group[ROW_WORK] * rows
    if extent == ROWS_OF_BATCH:
        extent = rows
        grain = _rows_in_task(rows, grain, group[ROUND], work)
        pointer(program[INPUTS], types.int64)[ROWS_IN_TASK] = grain
    return extent, grain, work


@inner
def _run_serial(program, first, last, rows):
    """Run the groups first .. last on a batch of `rows` rows, on the calling thread."""
    for g in range(first, last):
        extent, grain, _ = _cut(program, g, rows)
        group = _group(program, g)
        for task in range((extent + grain - 1) // grain):
            lo = task * grain
            _task(program[OPS], group[FIRST], group[LAST], rows, lo, min(lo + grain, extent), task)


@njit(parallel=True, **OPTIONS)
def _run(address, first, last, rows, threads):
    """As _run_serial, with the tasks of a group shared among threads where that is worth a fork."""
    program = pointer(address, types.int64)
    ops = program[OPS]
    for g in range(first, last):
        extent, grain, work = _cut(program, g, rows)
        group = _group(program, g)
        begin, end = group[FIRST], group[LAST]
        tasks = (extent + grain - 1) // grain
        if threads > 1 and tasks > 1 and work > FORK:
            for t in prange(tasks):
                state = flush_subnormals()  # each worker has a floating-point unit of its own
                _task(ops, begin, end, rows, t * grain, min((t + 1) * grain, extent), t)
                restore_subnormals(state)
        else:
            _run_serial(program, g, g + 1, rows)


@inner
def _run_here(address, first, last, rows, threads):
    _run_serial(pointer(address, types.int64), first, last, rows)


@inner
def _end_epoch(inputs, totals, rows):
    sums = pointer(inputs[SUMS], types.float64)
    sums[0], sums[1] = totals[LOSS_SUM], totals[RIGHT_SUM]
    totals[LOSS_SUM], totals[RIGHT_SUM] = 0.0, 0.0
    inputs[SUMS] += 16
    if inputs[ORDER] != 0:
        inputs[ORDER] += 8 * rows


@inner
def _run_batches(run, address, rows, batch_size, first, last, threads):
    """See run_batches; run: _run or _run_here."""
    program = pointer(address, types.int64)
    inputs, totals = pointer(program[INPUTS], types.int64), pointer(program[TOTALS], types.float64)
    batches = (rows + batch_size - 1) // batch_size
    state = flush_subnormals()
    b = first
    while b < last:
        start = b % batches * batch_size
        inputs[START] = start
        n = min(batch_size, rows - start)
        run(address, 0, program[UPDATE], n, threads)
        if not math.isfinite(totals[LOSS]):
            break
        run(address, program[UPDATE], program[COUNT], n, threads)
        b += 1
        if inputs[SUMS] != 0 and b % batches == 0:
            _end_epoch(inputs, totals, rows)
    restore_subnormals(state)
    return b


@inner
def run_batches_serial(address, rows, batch_size, first, last):
    """As run_batches, on the calling thread."""
    return _run_batches(_run_here, address, rows, batch_size, first, last, 1)


@entry_point(types.int64(*[types.int64] * 6))
def run_batches(address, rows, batch_size, first, last, threads):
    """Run the program at an address on the batches first .. last of `rows` rows; the last of them may be smaller.

    With sums of epochs to write, batches are counted on from one epoch to the next.
    threads: 1 for the serial loops; else the parallel ones, on as many threads as Numba is set to.
    Returns the number of the first batch that was not run: `last`, or less where the loss was not finite.
    """
    if threads == 1:
        return run_batches_serial(address, rows, batch_size, first, last)
    return _run_batches(_run, address, rows, batch_size, first, last, threads)


@entry_point(types.void(*[types.int64] * 5))
def run_kernel(address, record, rows, lo, hi):
    """Call the kernel at an address with the op record at another, on the items lo .. hi."""
    call(address, pointer(record, types.int64), rows, lo, hi, 0)
