"""Losses: each kernel writes a task's sum of row losses and the gradient with respect to the outputs.

The loss of a batch is the mean over its rows of (row loss × row weight), so row r's gradient carries the
factor weight[r] / rows. Sums are in float64: `sums` holds two numbers for each task, the sum of the
weighted row losses and the count of right answers (0 where that means nothing). What a loss adds to the fields that
all have stands behind them.
"""

from __future__ import annotations

from ..runtime.functions import inner, kernel
from ..simd.entry import Array, Doubles, Integers, Real, Size
from ..simd.memory import offset
from ..simd.tiles import stack
from ..simd.vectors import (
    absolute,
    copy_sign,
    first_lanes,
    fma,
    lanes,
    load_first,
    maximum,
    select,
    splat,
    store_first,
    sum_lanes,
    sum_lanes_double,
)
from . import maths
from .activations import row_exp, row_max
from .maths import half, one, sign, zero


@inner
def write_sums(sums, task, loss, right):
    """The two numbers of a task in sums (tasks, 2)."""
    sums[2 * task], sums[2 * task + 1] = loss, right


@inner
def _elements(f, dy, y, target, weight, outputs, dtype, lo, hi, factor, c=0.0):
    """A loss that is a sum over elements, f(y, t, c) -> (loss, ∂loss/∂y, right): (Σ weighted loss, Σ right).

    Writes dy = ∂loss/∂y · weight · factor. c: a constant, which f gets as a vector.
    One output: vectors run over rows; more: over each row's outputs.
    """
    scale, c = splat(dtype(factor)), splat(dtype(c))
    loss, right, i = 0.0, 0.0, 0
    if outputs == 1:
        i = lo
        while i < hi:
            n = hi - i
            w = load_first(weight, i, n)
            value, slope, agree = f(load_first(y, i, n), load_first(target, i, n), c)
            store_first(dy, i, slope * (w * scale), n)
            loss += sum_lanes_double(value * w)
            right += sum_lanes_double(select(first_lanes(agree, n), agree, zero(agree)))
            i += lanes(dtype)
        return loss, right
    for r in range(lo, hi):
        at, w = r * outputs, weight[r]
        by_row = splat(w) * scale
        total, agreed = splat(dtype(0)), splat(dtype(0))
        i = 0
        while i < outputs:
            n = outputs - i
            z = load_first(y, at + i, n)
            value, slope, agree = f(z, load_first(target, at + i, n), c)
            store_first(dy, at + i, slope * by_row, n)
            inside = first_lanes(z, n)
            total = total + select(inside, value, zero(z))
            agreed = agreed + select(inside, agree, zero(z))
            i += lanes(dtype)
        loss += float(w) * sum_lanes_double(total)
        right += sum_lanes_double(agreed)
    return loss, right


@inner
def _square(y, t, c):
    e = y - t
    return e * e, e, zero(y)


@kernel
def mse_loss(
    dy: Array, y: Array, target: Array, weight: Array, sums: Doubles, outputs: Size, dtype, rows, lo, hi, task
):
    """Row loss: the mean over outputs of (y - t)²; dy = 2 (y - t) weight / (rows outputs).

    Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,).
    """
    loss, _ = _elements(_square, dy, y, target, weight, outputs, dtype, lo, hi, 2.0 / (rows * outputs))
    write_sums(sums, task, loss / outputs, 0.0)


@kernel
def squared_error_loss(
    dy: Array, y: Array, target: Array, weight: Array, sums: Doubles, outputs: Size, dtype, rows, lo, hi, task
):
    """Row loss: ½ Σ over outputs of (t - y)²; dy = (y - t) weight / rows.

    Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,).
    """
    loss, _ = _elements(_square, dy, y, target, weight, outputs, dtype, lo, hi, 1.0 / rows)
    write_sums(sums, task, 0.5 * loss, 0.0)


@inner
def _absolute(y, t, c):
    e = y - t
    return absolute(e), sign(e), zero(y)


@kernel
def mae_loss(
    dy: Array, y: Array, target: Array, weight: Array, sums: Doubles, outputs: Size, dtype, rows, lo, hi, task
):
    """Row loss: the mean over outputs of |y - t|; dy = sign(y - t) weight / (rows outputs), 0 where y = t.

    Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,).
    """
    loss, _ = _elements(_absolute, dy, y, target, weight, outputs, dtype, lo, hi, 1.0 / (rows * outputs))
    write_sums(sums, task, loss / outputs, 0.0)


@inner
def _huber(y, t, c):
    e = y - t
    a = absolute(e)
    outside = a > c
    return (
        select(outside, c * (a - half(y) * c), half(y) * e * e),
        select(outside, copy_sign(c, e), e),
        zero(y),
    )


@kernel
def huber_loss(
    dy: Array,
    y: Array,
    target: Array,
    weight: Array,
    sums: Doubles,
    outputs: Size,
    delta: Real,
    dtype,
    rows,
    lo,
    hi,
    task,
):
    """Row loss: the mean over outputs of ½ e² where |e| ≤ δ, else δ (|e| - ½ δ), for e = y - t.

    dy = e, cut to -δ … δ, times weight / (rows outputs).

    Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,).
    """
    loss, _ = _elements(_huber, dy, y, target, weight, outputs, dtype, lo, hi, 1.0 / (rows * outputs), delta)
    write_sums(sums, task, loss / outputs, 0.0)


@kernel
def quantile_loss(
    dy: Array,
    y: Array,
    target: Array,
    weight: Array,
    sums: Doubles,
    outputs: Size,
    quantiles: Doubles,
    count: Size,
    dtype,
    rows,
    lo,
    hi,
    task,
):
    """Row loss: the mean over outputs of q e where e ≥ 0, else (q - 1) e, for e = t - y.

    dy = -q where e > 0, 1 - q where e < 0, 0 where y = t, times weight / (rows outputs). Output j has the quantile
    number j mod count.

    Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,), quantiles (count,) float64.
    """
    loss = 0.0
    for r in range(lo, hi):
        row, scale = 0.0, float(weight[r]) / (rows * outputs)
        for j in range(outputs):
            i, q = r * outputs + j, quantiles[j % count]
            e = float(target[i]) - float(y[i])
            slope = q if e > 0 else q - 1.0
            row += slope * e
            dy[i] = dtype(0.0 if e == 0 else -slope * scale)
        loss += float(weight[r]) * row / outputs
    write_sums(sums, task, loss, 0.0)


@kernel
def gaussian_nll_loss(
    dy: Array,
    y: Array,
    target: Array,
    weight: Array,
    sums: Doubles,
    outputs: Size,
    least: Real,
    dtype,
    rows,
    lo,
    hi,
    task,
):
    """Row loss: the mean over targets of ½ (log v + e² / v), for e = μ - t and the variance v = max(exp(s), ε).

    y holds the means μ of a row's n targets, and behind them the n logarithms s of variances: outputs = 2 n.
    dμ = e / v, ds = ½ (1 - e² / v) exp(s) / v, times weight / (rows n): where ε stands in for exp(s), s gets the
    gradient that exp(s) would pass on.

    Writes dy (rows, 2 n), sums. Reads y (rows, 2 n), target (rows, n), weight (rows,); least: log ε.
    Source: Nix & Weigend 1994; PyTorch, GaussianNLLLoss.
    """
    n, least = outputs // 2, splat(dtype(least))
    scale, loss = splat(dtype(1.0 / (rows * n))), 0.0
    for r in range(lo, hi):
        mean, spread, t = offset(y, r * outputs), offset(y, r * outputs + n), offset(target, r * n)
        dmean, dspread = offset(dy, r * outputs), offset(dy, r * outputs + n)
        by_row, total, i = splat(weight[r]) * scale, splat(dtype(0)), 0
        while i < n:
            e, s = load_first(mean, i, n - i) - load_first(t, i, n - i), load_first(spread, i, n - i)
            log_v = select(s < least, least, s)  # NaN stays
            by_v = maths.exp(zero(s) - log_v)
            ratio = e * e * by_v
            value = half(s) * (log_v + ratio)
            total = total + select(first_lanes(value, n - i), value, zero(value))
            store_first(dmean, i, e * by_v * by_row, n - i)
            store_first(dspread, i, half(s) * (one(s) - ratio) * maths.exp(s - log_v) * by_row, n - i)
            i += lanes(dtype)
        loss += float(weight[r]) * sum_lanes_double(total) / n
    write_sums(sums, task, loss, 0.0)


@inner
def _poisson(y, t, c):
    e = maths.exp(y)
    return e - t * y, e - t, zero(y)


@kernel
def poisson_loss(
    dy: Array, y: Array, target: Array, weight: Array, sums: Doubles, outputs: Size, dtype, rows, lo, hi, task
):
    """Row loss: the mean over outputs of exp(y) - t y, with the rate exp(y).

    dy = (exp(y) - t) weight / (rows outputs).

    Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,).
    """
    loss, _ = _elements(_poisson, dy, y, target, weight, outputs, dtype, lo, hi, 1.0 / (rows * outputs))
    write_sums(sums, task, loss / outputs, 0.0)


@inner
def _hinge(y, t, c):
    t = select(t > zero(y), one(y), zero(y) - one(y))
    margin = one(y) - t * y
    inside = margin > zero(y)
    same = select(y > zero(y), one(y), zero(y)) == select(t > zero(y), one(y), zero(y))
    return (
        select(margin < zero(y), zero(y), margin),
        select(inside, zero(y) - t, zero(y)),
        select(same, one(y), zero(y)),
    )


@kernel
def hinge_loss(
    dy: Array, y: Array, target: Array, weight: Array, sums: Doubles, outputs: Size, dtype, rows, lo, hi, task
):
    """Row loss: the mean over outputs of max(0, 1 - t y); dy = -t weight / (rows outputs) where that is not 0.

    t = 1 for targets above 0, else -1.

    An output counts as right when y > 0 and t > 0 agree.

    Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,).
    """
    loss, right = _elements(_hinge, dy, y, target, weight, outputs, dtype, lo, hi, 1.0 / (rows * outputs))
    write_sums(sums, task, loss / outputs, right / outputs)


@inner
def _divergence(y, t, c):
    p = maximum(y, c)
    value = t * (maths.log(maximum(t, c)) - maths.log(p))
    return value, select(y < c, zero(p), zero(p) - t / p), zero(p)


@kernel
def kl_divergence_loss(
    dy: Array,
    y: Array,
    target: Array,
    weight: Array,
    sums: Doubles,
    outputs: Size,
    least: Real,
    dtype,
    rows,
    lo,
    hi,
    task,
):
    """Row loss: Σ t (log t - log y), where t and y count as `least` where they are less; dy = -t / y weight / rows,
    0 where y is less.

    Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,).
    """
    loss, _ = _elements(_divergence, dy, y, target, weight, outputs, dtype, lo, hi, 1.0 / rows, least)
    write_sums(sums, task, loss, 0.0)


@inner
def _logistic(z, t, c):
    t = fma(c, half(z) - t, t)
    positive = select(z < zero(z), zero(z), z)  # NaN stays
    value = positive - z * t + maths.softplus_minus(z)
    same = select(z > zero(z), one(z), zero(z)) == select(t > half(z), one(z), zero(z))
    return value, maths.sigmoid(z) - t, select(same, one(z), zero(z))


@kernel
def binary_cross_entropy_loss(
    dy: Array,
    y: Array,
    target: Array,
    weight: Array,
    sums: Doubles,
    outputs: Size,
    smoothing: Real,
    dtype,
    rows,
    lo,
    hi,
    task,
):
    """Row loss: the mean over outputs of -t log p - (1 - t) log(1 - p), where p = sigmoid(y).

    t is target + smoothing (½ - target).

    From the logits: max(y, 0) - y t + log(1 + exp(-|y|)); dy = (p - t) weight / (rows outputs).
    An output counts as right when y > 0 and t > ½ agree.

    Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,).
    """
    loss, right = _elements(_logistic, dy, y, target, weight, outputs, dtype, lo, hi, 1.0 / (rows * outputs), smoothing)
    write_sums(sums, task, loss / outputs, right / outputs)


@inner
def _scaled_softmax(dy, total, factor, n, dtype):
    """dy ← dy · factor / total, where dy holds the exponentials."""
    ratio, i = splat(factor / total), 0
    while i < n:
        store_first(dy, i, load_first(dy, i, n - i) * ratio, n - i)
        i += lanes(dtype)


@inner
def _sum_logs(totals, rests, weights, n, dtype):
    """Σ weight (log total + rest) over the n ≤ 16 rows that are collected."""
    loss, i = 0.0, 0
    while i < n:
        m = n - i
        t = load_first(totals, i, m)
        t = select(first_lanes(t, m), t, one(t))
        loss += sum_lanes_double(load_first(weights, i, m) * (maths.log(t) + load_first(rests, i, m)))
        i += lanes(dtype)
    return loss


@kernel
def cross_entropy_labels_loss(
    dy: Array, y: Array, target: Array, weight: Array, sums: Doubles, outputs: Size, dtype, rows, lo, hi, task
):
    """Row loss: -log p[label], where p = softmax(y); dy = (p - onehot(label)) weight / rows.

    A row counts as right when no output is larger than the label's.

    Writes dy (rows, outputs), sums. Reads y (rows, outputs), target (rows,): labels 0 .. outputs - 1, weight (rows,).
    """
    totals, rests = stack(dtype, 16), stack(dtype, 16)
    loss, right = 0.0, 0.0
    for first in range(lo, hi, 16):
        last = min(first + 16, hi)
        for r in range(first, last):
            z, d = offset(y, r * outputs), offset(dy, r * outputs)
            label, scale = int(target[r]), weight[r] / dtype(rows)
            top = row_max(z, outputs, dtype)
            total = row_exp(d, z, outputs, top, dtype)
            _scaled_softmax(d, total, scale, outputs, dtype)
            d[label] -= scale
            totals[r - first], rests[r - first] = total, top - z[label]
            right += 1.0 if z[label] == top else 0.0
        loss += _sum_logs(totals, rests, offset(weight, first), last - first, dtype)
    write_sums(sums, task, loss, right)


@kernel
def cross_entropy_smoothed_loss(
    dy: Array,
    y: Array,
    target: Array,
    weight: Array,
    sums: Doubles,
    outputs: Size,
    smoothing: Real,
    dtype,
    rows,
    lo,
    hi,
    task,
):
    """As cross_entropy_labels_loss, where t = (1 - s) onehot(label) + s / outputs: row loss -Σ t log p.

    dy = (p - t) weight / rows. A row counts as right when no output is larger than the label's.

    Writes dy (rows, outputs), sums. Reads y (rows, outputs), target (rows,): labels 0 .. outputs - 1, weight (rows,).
    Source: Szegedy et al. 2016, section 7.
    """
    share = dtype(smoothing / outputs)
    totals, rests = stack(dtype, 16), stack(dtype, 16)
    loss, right = 0.0, 0.0
    for first in range(lo, hi, 16):
        last = min(first + 16, hi)
        for r in range(first, last):
            z, d = offset(y, r * outputs), offset(dy, r * outputs)
            label, scale = int(target[r]), weight[r] / dtype(rows)
            top = row_max(z, outputs, dtype)
            total = row_exp(d, z, outputs, top, dtype)
            ratio, less = splat(scale / total), splat(scale * share)
            # Σ t (top - z), which is what -Σ t log p has beside log total
            others, i = splat(dtype(0)), 0
            while i < outputs:
                n = outputs - i
                v = load_first(z, i, n)
                others = others + select(first_lanes(v, n), splat(top) - v, zero(v))
                store_first(d, i, load_first(d, i, n) * ratio - less, n)
                i += lanes(dtype)
            d[label] -= scale * dtype(1.0 - smoothing)
            totals[r - first] = total
            rests[r - first] = dtype(1.0 - smoothing) * (top - z[label]) + share * sum_lanes(others)
            right += 1.0 if z[label] == top else 0.0
        loss += _sum_logs(totals, rests, offset(weight, first), last - first, dtype)
    write_sums(sums, task, loss, right)


@kernel
def cross_entropy_probabilities_loss(
    dy: Array,
    y: Array,
    target: Array,
    weight: Array,
    sums: Doubles,
    outputs: Size,
    smoothing: Real,
    dtype,
    rows,
    lo,
    hi,
    task,
):
    """Row loss: -Σ t log p, where p = softmax(y); dy = (p Σ t - t) weight / rows.

    t is (1 - smoothing) target + smoothing / outputs.

    A row counts as right when the largest t stands where no y is larger.

    Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,).
    """
    kept, share = splat(dtype(1.0 - smoothing)), splat(dtype(smoothing / outputs))
    log_total = stack(dtype, 16)
    loss, right = 0.0, 0.0
    for r in range(lo, hi):
        z, d, t = offset(y, r * outputs), offset(dy, r * outputs), offset(target, r * outputs)
        scale = weight[r] / dtype(rows)
        top = row_max(z, outputs, dtype)
        total = row_exp(d, z, outputs, top, dtype)
        store_first(log_total, 0, maths.log(splat(total)), 1)
        # Σ t (log total - (z - top)), Σ t, and the largest t
        shift = splat(top + log_total[0])
        terms, mass, best, i = splat(dtype(0)), splat(dtype(0)), 0, 0
        while i < outputs:
            p = fma(kept, load_first(t, i, outputs - i), share)
            p = select(first_lanes(p, outputs - i), p, zero(p))
            terms = fma(p, shift - load_first(z, i, outputs - i), terms)
            mass = mass + p
            i += lanes(dtype)
        for j in range(1, outputs):
            best = j if t[j] > t[best] else best
        _scaled_softmax(d, total, scale * sum_lanes(mass), outputs, dtype)
        i = 0
        while i < outputs:
            p = fma(kept, load_first(t, i, outputs - i), share)
            store_first(d, i, load_first(d, i, outputs - i) - splat(scale) * p, outputs - i)
            i += lanes(dtype)
        loss += float(weight[r]) * sum_lanes_double(terms)
        right += 1.0 if z[best] == top else 0.0
    write_sums(sums, task, loss, right)


@kernel
def add_sums(totals: Doubles, sums: Doubles, grain: Integers, dtype, rows, lo, hi):
    """Add up the tasks' sums, in their order.

    Writes totals: [the batch's mean loss, + its summed loss, + its right answers].
    Reads  sums (tasks, 2).
    """
    grain = grain[0]
    loss, right = 0.0, 0.0
    for task in range((rows + grain - 1) // grain):
        loss += sums[2 * task]
        right += sums[2 * task + 1]
    totals[0] = loss / rows
    totals[1] += loss
    totals[2] += right
