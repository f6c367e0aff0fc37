"""Losses: each kernel writes a task's sum of row losses and the gradient with respect to the outputs.

The loss of a batch is the mean over its rows of (row loss × row weight), so row r's gradient carries the
factor weight[r] / rows. Sums are in float64: `sums` holds two numbers for each task, the sum of the
weighted row losses and the weighted count of right answers (0 where that means nothing). `grain` is the
rows of a task, so that task lo // grain finds its place.
"""

from __future__ import annotations

import math

from numba import types

from .._jit import inner, kernel
from ..simd import offset, pointer, pointers, sizes
from .activations import sigmoid


@inner
def _write_sums(op, sums_field, lo, grain, loss, right):
    sums = offset(pointer(op[sums_field], types.float64), 2 * (lo // grain))
    sums[0], sums[1] = loss, right


@kernel("dy y target weight sums outputs grain")
def mse_loss(op, dtype, rows, lo, hi):
    """Row loss: the mean over outputs of (y - t)²; dy = 2 (y - t) weight / (rows outputs).

    Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,).
    """
    dy, y, target, weight = pointers(op, 0, 4, dtype)
    outputs, grain = sizes(op, 5, 2)
    loss = 0.0
    for r in range(lo, hi):
        at, w = r * outputs, weight[r]
        scale = dtype(2) * w / dtype(rows * outputs)
        total = 0.0
        for j in range(outputs):
            e = y[at + j] - target[at + j]
            dy[at + j] = scale * e
            total += float(e) * float(e)
        loss += float(w) * total / outputs
    _write_sums(op, 4, lo, grain, loss, 0.0)


@kernel("dy y target weight sums outputs grain")
def squared_error_loss(op, dtype, rows, lo, hi):
    """Row loss: ½ Σ over outputs of (t - y)²; dy = (y - t) weight / rows.

    Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,).
    """
    dy, y, target, weight = pointers(op, 0, 4, dtype)
    outputs, grain = sizes(op, 5, 2)
    loss = 0.0
    for r in range(lo, hi):
        at, w = r * outputs, weight[r]
        scale = w / dtype(rows)
        total = 0.0
        for j in range(outputs):
            e = y[at + j] - target[at + j]
            dy[at + j] = scale * e
            total += float(e) * float(e)
        loss += 0.5 * float(w) * total
    _write_sums(op, 4, lo, grain, loss, 0.0)


@kernel("dy y target weight sums outputs grain")
def binary_cross_entropy_loss(op, dtype, rows, lo, hi):
    """Row loss: the mean over outputs of -t log p - (1 - t) log(1 - p), where p = sigmoid(y).

    From the logits: max(y, 0) - y t + log(1 + exp(-|y|)); dy = (p - t) weight / (rows outputs).
    An output counts as right when y > 0 and t > ½ agree.

    Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,).
    """
    dy, y, target, weight = pointers(op, 0, 4, dtype)
    outputs, grain = sizes(op, 5, 2)
    loss, right = 0.0, 0.0
    for r in range(lo, hi):
        at, w = r * outputs, weight[r]
        scale = w / dtype(rows * outputs)
        total, agree = 0.0, 0
        for j in range(outputs):
            z, t = y[at + j], target[at + j]
            dy[at + j] = scale * (sigmoid(z, dtype) - t)
            positive = max(z, dtype(0)) if z == z else z
            total += float(positive - z * t + math.log1p(math.exp(-abs(z))))
            agree += (z > dtype(0)) == (t > dtype(0.5))
        loss += float(w) * total / outputs
        right += float(w) * agree / outputs
    _write_sums(op, 4, lo, grain, loss, right)


@inner
def _log_sum_exp(z, outputs, dtype):
    """(the first place of the largest z, log Σ exp z - max z, max z)."""
    best, top = 0, z[0]
    for j in range(1, outputs):
        if z[j] > top:
            best, top = j, z[j]
    total = dtype(0)
    for j in range(outputs):
        total += math.exp(z[j] - top)
    return best, math.log(total), top


@kernel("dy y target weight sums outputs grain")
def cross_entropy_labels_loss(op, dtype, rows, lo, hi):
    """Row loss: -log p[label], where p = softmax(y); dy = (p - onehot(label)) weight / rows.

    Writes dy (rows, outputs), sums. Reads y (rows, outputs), target (rows,): labels 0 .. outputs - 1, weight (rows,).
    """
    dy, y, target, weight = pointers(op, 0, 4, dtype)
    outputs, grain = sizes(op, 5, 2)
    loss, right = 0.0, 0.0
    for r in range(lo, hi):
        z, d, w = offset(y, r * outputs), offset(dy, r * outputs), weight[r]
        label = int(target[r])
        best, log_total, top = _log_sum_exp(z, outputs, dtype)
        scale = w / dtype(rows)
        for j in range(outputs):
            d[j] = scale * math.exp(z[j] - top - log_total)
        d[label] -= scale
        loss += float(w) * float(log_total - (z[label] - top))
        right += float(w) if best == label else 0.0
    _write_sums(op, 4, lo, grain, loss, right)


@kernel("dy y target weight sums outputs grain")
def cross_entropy_probabilities_loss(op, dtype, rows, lo, hi):
    """Row loss: -Σ t log p, where p = softmax(y); dy = (p Σ t - t) weight / rows.

    A row counts as right when the largest y and the largest t stand in the same place.

    Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,).
    """
    dy, y, target, weight = pointers(op, 0, 4, dtype)
    outputs, grain = sizes(op, 5, 2)
    loss, right = 0.0, 0.0
    for r in range(lo, hi):
        z, d, w = offset(y, r * outputs), offset(dy, r * outputs), weight[r]
        t = offset(target, r * outputs)
        best, log_total, top = _log_sum_exp(z, outputs, dtype)
        scale = w / dtype(rows)
        mass, total, label = dtype(0), 0.0, 0
        for j in range(outputs):
            mass += t[j]
            total += float(t[j] * (log_total - (z[j] - top)))
            if t[j] > t[label]:
                label = j
        for j in range(outputs):
            d[j] = scale * (mass * math.exp(z[j] - top - log_total) - t[j])
        loss += float(w) * total
        right += float(w) if best == label else 0.0
    _write_sums(op, 4, lo, grain, loss, right)


@kernel("totals sums grain")
def add_sums(op, dtype, rows, lo, hi):
    """Add up the tasks' sums, in their order.

    Writes totals: [the batch's mean loss, + its summed loss, + its right answers].
    Reads  sums (tasks, 2).
    """
    totals, sums = pointers(op, 0, 2, types.float64)
    grain = op[2]
    loss, right = 0.0, 0.0
    for task in range((rows + grain - 1) // grain):
        loss += sums[2 * task]
        right += sums[2 * task + 1]
    totals[0] = loss / rows
    totals[1] += loss
    totals[2] += right
