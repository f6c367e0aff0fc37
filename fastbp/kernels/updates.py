"""Optimizer steps: one pass over the parameters, their gradients and the optimizer's state.

Hyperparameters come in `scalars` (float64): STEP, RATE and what each optimizer adds behind them. `factor` points to
the layer's factor of the learning rate (float64).
"""

from __future__ import annotations

import math

from numba import types

from ..runtime.functions import inner, kernel
from ..simd.entry import Array, Doubles, Key, Real, Size
from ..simd.memory import is_null, offset
from ..simd.vectors import (
    absolute,
    copy_sign,
    fma,
    lanes,
    load_first,
    maximum,
    minimum,
    select,
    splat,
    square_root,
    store_first,
    sum_lanes,
)
from .maths import one, sign, zero
from .random import add_normal, random_stream

STEP, RATE = 0, 1  # steps done, learning rate
DECAY = 2  # λ, of all but Rprop
MOMENTUM, NESTEROV = 3, 4
BETA1, BETA2, EPSILON, DECOUPLED, STEP_SIZE, ROOT = 3, 4, 5, 6, 7, 8
MOMENTUM_DECAY, PRODUCT, OF_GRADIENT, OF_MEAN = 9, 10, 11, 12  # Nadam's, behind Adam's
RHO, RMS_EPSILON, RMS_MOMENTUM = 3, 4, 5
RATE_DECAY, ADAGRAD_EPSILON, DECAYED_RATE = 3, 4, 5
SHRINK, GROW, LEAST, MOST = 2, 3, 4, 5


@kernel
def count_step(scalars: Doubles, dtype, rows, lo, hi):
    """Count the step that begins."""
    scalars[STEP] += 1.0


@kernel
def adam_count_step(scalars: Doubles, dtype, rows, lo, hi):
    """Count the step t that begins; STEP_SIZE = rate / (1 - β₁ᵗ), ROOT = √(1 - β₂ᵗ)."""
    scalars[STEP] += 1.0
    t = scalars[STEP]
    scalars[STEP_SIZE] = scalars[RATE] / (1.0 - scalars[BETA1] ** t)
    scalars[ROOT] = math.sqrt(1.0 - scalars[BETA2] ** t)


@kernel
def nadam_count_step(scalars: Doubles, dtype, rows, lo, hi):
    """Count the step t that begins; μₜ = β₁ (1 - ½ 0.96^(t ψ)), PRODUCT = μ₁ … μₜ, ROOT = √(1 - β₂ᵗ).

    OF_GRADIENT = rate (1 - μₜ) / (1 - PRODUCT), OF_MEAN = rate μₜ₊₁ / (1 - PRODUCT μₜ₊₁).
    """
    scalars[STEP] += 1.0
    t, beta, rate = scalars[STEP], scalars[BETA1], scalars[RATE]
    mu = beta * (1.0 - 0.5 * 0.96 ** (t * scalars[MOMENTUM_DECAY]))
    following = beta * (1.0 - 0.5 * 0.96 ** ((t + 1.0) * scalars[MOMENTUM_DECAY]))
    scalars[PRODUCT] *= mu
    scalars[OF_GRADIENT] = rate * (1.0 - mu) / (1.0 - scalars[PRODUCT])
    scalars[OF_MEAN] = rate * following / (1.0 - scalars[PRODUCT] * following)
    scalars[ROOT] = math.sqrt(1.0 - scalars[BETA2] ** t)


@kernel
def adagrad_count_step(scalars: Doubles, dtype, rows, lo, hi):
    """Count the step t that begins; DECAYED_RATE = rate / (1 + (t - 1) · RATE_DECAY)."""
    scalars[DECAYED_RATE] = scalars[RATE] / (1.0 + scalars[STEP] * scalars[RATE_DECAY])
    scalars[STEP] += 1.0


@inner
def _scalar(scalars, i, dtype):
    return splat(dtype(scalars[i]))


@inner
def _rate(scalars, i, factor, dtype):
    """The rate scalars[i] times the layer's factor."""
    return splat(dtype(scalars[i] * factor[0]))


@kernel
def sgd_update(w: Array, dw: Array, scalars: Doubles, factor: Doubles, width: Size, dtype, rows, lo, hi):
    """w ← w - η (dw + λ w).

    Writes w (items, width). Reads dw (items, width), scalars.
    """
    rate, decay = _rate(scalars, RATE, factor, dtype), _scalar(scalars, DECAY, dtype)
    i, end = lo * width, hi * width
    while i < end:
        n = end - i
        x = load_first(w, i, n)
        store_first(w, i, x - rate * fma(decay, x, load_first(dw, i, n)), n)
        i += lanes(dtype)


@kernel
def momentum_update(
    w: Array, velocity: Array, dw: Array, scalars: Doubles, factor: Doubles, width: Size, dtype, rows, lo, hi
):
    """g = dw + λ w;  v ← μ v + g;  w ← w - η v, or w - η (g + μ v) with Nesterov's variant.

    Writes w, velocity (items, width). Reads dw (items, width), scalars.
    """
    rate, decay = _rate(scalars, RATE, factor, dtype), _scalar(scalars, DECAY, dtype)
    momentum = _scalar(scalars, MOMENTUM, dtype)
    # η (a g + b v) with a, b = 0, 1 or 1, μ: no branch in the loop
    of_gradient = _scalar(scalars, NESTEROV, dtype)
    of_velocity = momentum if scalars[NESTEROV] != 0.0 else splat(dtype(1))
    i, end = lo * width, hi * width
    while i < end:
        n = end - i
        x = load_first(w, i, n)
        g = fma(decay, x, load_first(dw, i, n))
        v = fma(momentum, load_first(velocity, i, n), g)
        store_first(velocity, i, v, n)
        store_first(w, i, x - rate * fma(of_gradient, g, of_velocity * v), n)
        i += lanes(dtype)


@inner
def _betas(scalars, dtype):
    """β₁, 1 - β₁, β₂, 1 - β₂."""
    beta1, beta2 = _scalar(scalars, BETA1, dtype), _scalar(scalars, BETA2, dtype)
    return beta1, splat(dtype(1.0 - scalars[BETA1])), beta2, splat(dtype(1.0 - scalars[BETA2]))


@inner
def _moments(m, v, i, n, g, betas):
    """m ← β₁ m + (1 - β₁) g;  v ← β₂ v + (1 - β₂) g²; both are returned."""
    beta1, rest1, beta2, rest2 = betas
    mean = fma(beta1, load_first(m, i, n), rest1 * g)
    square = fma(beta2, load_first(v, i, n), rest2 * (g * g))
    store_first(m, i, mean, n)
    store_first(v, i, square, n)
    return mean, square


@inner
def _decays(scalars, factor, dtype):
    """What of w is added to the gradient, and what w is multiplied by: one of them is λ's, the other does nothing."""
    decay = scalars[DECAY]
    if scalars[DECOUPLED] != 0.0:
        return splat(dtype(0)), splat(dtype(1.0 - scalars[RATE] * factor[0] * decay))
    return splat(dtype(decay)), splat(dtype(1))


@kernel
def adam_update(
    w: Array, m: Array, v: Array, dw: Array, scalars: Doubles, factor: Doubles, width: Size, dtype, rows, lo, hi
):
    """g = dw + λ w (or dw, and w ← (1 - η λ) w, where λ is decoupled);  m, v: running means of g and g².

    w ← w - η/(1 - β₁ᵗ) m / (√v/√(1 - β₂ᵗ) + ε).

    Writes w, m, v (items, width). Reads dw (items, width), scalars.
    """
    size, epsilon = _rate(scalars, STEP_SIZE, factor, dtype), _scalar(scalars, EPSILON, dtype)
    root = splat(dtype(1.0 / scalars[ROOT]))
    coupled, kept = _decays(scalars, factor, dtype)
    betas = _betas(scalars, dtype)
    i, end = lo * width, hi * width
    while i < end:
        n = end - i
        x = load_first(w, i, n)
        mean, square = _moments(m, v, i, n, fma(coupled, x, load_first(dw, i, n)), betas)
        store_first(w, i, x * kept - size * mean / fma(square_root(square), root, epsilon), n)
        i += lanes(dtype)


@kernel
def nadam_update(
    w: Array, m: Array, v: Array, dw: Array, scalars: Doubles, factor: Doubles, width: Size, dtype, rows, lo, hi
):
    """g, m, v as in adam_update;  w ← w - (OF_GRADIENT g + OF_MEAN m) / (√v/√(1 - β₂ᵗ) + ε).

    Writes w, m, v (items, width). Reads dw (items, width), scalars.
    """
    of_gradient, of_mean = _rate(scalars, OF_GRADIENT, factor, dtype), _rate(scalars, OF_MEAN, factor, dtype)
    root, epsilon = splat(dtype(1.0 / scalars[ROOT])), _scalar(scalars, EPSILON, dtype)
    coupled, kept = _decays(scalars, factor, dtype)
    betas = _betas(scalars, dtype)
    i, end = lo * width, hi * width
    while i < end:
        n = end - i
        x = load_first(w, i, n)
        g = fma(coupled, x, load_first(dw, i, n))
        mean, square = _moments(m, v, i, n, g, betas)
        step = fma(of_gradient, g, of_mean * mean) / fma(square_root(square), root, epsilon)
        store_first(w, i, x * kept - step, n)
        i += lanes(dtype)


@kernel
def rmsprop_update(
    w: Array,
    square: Array,
    mean: Array,
    velocity: Array,
    dw: Array,
    scalars: Doubles,
    factor: Doubles,
    width: Size,
    dtype,
    rows,
    lo,
    hi,
):
    """g = dw + λ w;  s ← ρ s + (1 - ρ) g²;  step = g / (√s + ε);  w ← w - η step.

    With `mean` (centered), m ← ρ m + (1 - ρ) g and √(s - m²) in place of √s. With `velocity`, v ← μ v + step is the
    step.

    Writes w, square (items, width), mean and velocity unless they are null. Reads dw (items, width), scalars.
    """
    centered, momentum = not is_null(mean), not is_null(velocity)
    rate, decay = _rate(scalars, RATE, factor, dtype), _scalar(scalars, DECAY, dtype)
    rho, rest = _scalar(scalars, RHO, dtype), splat(dtype(1.0 - scalars[RHO]))
    epsilon, kept = _scalar(scalars, RMS_EPSILON, dtype), _scalar(scalars, RMS_MOMENTUM, dtype)
    i, end = lo * width, hi * width
    while i < end:
        n = end - i
        x = load_first(w, i, n)
        g = fma(decay, x, load_first(dw, i, n))
        s = fma(rho, load_first(square, i, n), rest * (g * g))
        store_first(square, i, s, n)
        if centered:
            a = fma(rho, load_first(mean, i, n), rest * g)
            store_first(mean, i, a, n)
            s = maximum(s - a * a, zero(s))  # rounding may leave less than nothing
        step = g / (square_root(s) + epsilon)
        if momentum:
            step = fma(kept, load_first(velocity, i, n), step)
            store_first(velocity, i, step, n)
        store_first(w, i, x - rate * step, n)
        i += lanes(dtype)


@kernel
def adagrad_update(
    w: Array, square: Array, dw: Array, scalars: Doubles, factor: Doubles, width: Size, dtype, rows, lo, hi
):
    """g = dw + λ w;  s ← s + g²;  w ← w - η/(1 + (t - 1) · RATE_DECAY) g / (√s + ε).

    Writes w, square (items, width). Reads dw (items, width), scalars.
    """
    rate, decay = _rate(scalars, DECAYED_RATE, factor, dtype), _scalar(scalars, DECAY, dtype)
    epsilon = _scalar(scalars, ADAGRAD_EPSILON, dtype)
    i, end = lo * width, hi * width
    while i < end:
        n = end - i
        x = load_first(w, i, n)
        g = fma(decay, x, load_first(dw, i, n))
        s = fma(g, g, load_first(square, i, n))
        store_first(square, i, s, n)
        store_first(w, i, x - rate * g / (square_root(s) + epsilon), n)
        i += lanes(dtype)


@kernel
def adadelta_update(
    w: Array,
    square: Array,
    moved: Array,
    dw: Array,
    scalars: Doubles,
    factor: Doubles,
    width: Size,
    dtype,
    rows,
    lo,
    hi,
):
    """g = dw + λ w;  s ← ρ s + (1 - ρ) g²;  Δ = √(u + ε) / √(s + ε) g;  u ← ρ u + (1 - ρ) Δ²;  w ← w - η Δ.

    Writes w, square (s), moved (u) (items, width). Reads dw (items, width), scalars.
    """
    rate, decay = _rate(scalars, RATE, factor, dtype), _scalar(scalars, DECAY, dtype)
    rho, rest = _scalar(scalars, RHO, dtype), splat(dtype(1.0 - scalars[RHO]))
    epsilon = _scalar(scalars, RMS_EPSILON, dtype)
    i, end = lo * width, hi * width
    while i < end:
        n = end - i
        x = load_first(w, i, n)
        g = fma(decay, x, load_first(dw, i, n))
        s = fma(rho, load_first(square, i, n), rest * (g * g))
        u = load_first(moved, i, n)
        delta = square_root(u + epsilon) / square_root(s + epsilon) * g
        store_first(square, i, s, n)
        store_first(moved, i, fma(rho, u, rest * (delta * delta)), n)
        store_first(w, i, x - rate * delta, n)
        i += lanes(dtype)


@kernel
def lion_update(w: Array, m: Array, dw: Array, scalars: Doubles, factor: Doubles, width: Size, dtype, rows, lo, hi):
    """w ← (1 - η λ) w - η sign(β₁ m + (1 - β₁) dw);  m ← β₂ m + (1 - β₂) dw.

    Writes w, m (items, width). Reads dw (items, width), scalars.
    """
    rate = _rate(scalars, RATE, factor, dtype)
    kept = splat(dtype(1.0 - scalars[RATE] * factor[0] * scalars[DECAY]))
    beta1, rest1, beta2, rest2 = _betas(scalars, dtype)
    i, end = lo * width, hi * width
    while i < end:
        n = end - i
        g, mean = load_first(dw, i, n), load_first(m, i, n)
        store_first(m, i, fma(beta2, mean, rest2 * g), n)
        store_first(w, i, load_first(w, i, n) * kept - rate * sign(fma(beta1, mean, rest1 * g)), n)
        i += lanes(dtype)


@kernel
def rprop_update(
    w: Array,
    previous: Array,
    step: Array,
    dw: Array,
    scalars: Doubles,
    factor: Doubles,
    width: Size,
    dtype,
    rows,
    lo,
    hi,
):
    """Where dw has the sign of `previous`, step ← GROW step; the other: step ← SHRINK step, and dw counts as 0.

    step stays within LEAST and MOST;  w ← w - step sign(dw);  previous ← dw.

    Writes w, previous, step (items, width). Reads dw (items, width), scalars.
    """
    factor = splat(dtype(factor[0]))
    shrink, grow = _scalar(scalars, SHRINK, dtype), _scalar(scalars, GROW, dtype)
    least, most = _scalar(scalars, LEAST, dtype), _scalar(scalars, MOST, dtype)
    i, end = lo * width, hi * width
    while i < end:
        n = end - i
        g = load_first(dw, i, n)
        agree = sign(g) * sign(load_first(previous, i, n))
        turned = agree < zero(g)
        size = load_first(step, i, n) * select(agree > zero(g), grow, select(turned, shrink, one(g)))
        size = minimum(maximum(size, least), most)
        g = select(turned, zero(g), g)
        store_first(previous, i, g, n)
        store_first(step, i, size, n)
        store_first(w, i, load_first(w, i, n) - factor * size * sign(g), n)
        i += lanes(dtype)


# --- what happens to gradients before the step --------------------------------------------------------


@kernel
def add_penalty_gradient(dw: Array, w: Array, items: Size, width: Size, l1: Real, l2: Real, dtype, rows, lo, hi):
    """dw ← dw + l1 sign(w) + 2 l2 w, for the first `items` rows; the others (biases) stay.

    Writes dw (…, width). Reads w (…, width).
    """
    l1, l2 = splat(dtype(l1)), splat(dtype(2.0 * l2))
    i, end = lo * width, min(hi, items) * width
    while i < end:
        n = end - i
        x = load_first(w, i, n)
        store_first(dw, i, load_first(dw, i, n) + fma(l2, x, l1 * sign(x)), n)
        i += lanes(dtype)


@kernel
def penalty_sums(sums: Doubles, w: Array, width: Size, l1: Real, l2: Real, dtype, rows, lo, hi, task):
    """sums[task] = Σ l1 |w| + l2 w² over the rows lo .. hi.

    Writes sums (tasks,), float64. Reads w (items, width).
    """
    l1, l2 = splat(dtype(l1)), splat(dtype(l2))
    total = 0.0
    for r in range(lo, hi):
        i, end, row = r * width, (r + 1) * width, splat(dtype(0))
        while i < end:
            x = load_first(w, i, end - i)
            row = row + fma(l2 * x, x, l1 * absolute(x))
            i += lanes(dtype)
        total += types.float64(sum_lanes(row))
    sums[task] = total


@kernel
def add_penalties(totals: Doubles, sums: Doubles, count: Size, dtype, rows, lo, hi):
    """Add the penalties' sums to the loss of the batch, and `rows` times to that of the epoch.

    Writes totals (see add_sums). Reads sums (count,), float64.
    """
    total = 0.0
    for i in range(count):
        total += sums[i]
    totals[0] += total
    totals[1] += total * rows


@kernel
def clip_values(dw: Array, width: Size, most: Real, dtype, rows, lo, hi):
    """dw ← dw, cut to -most … most; NaN stays.

    Writes dw (items, width).
    """
    most = splat(dtype(most))
    i, end = lo * width, hi * width
    while i < end:
        g = load_first(dw, i, end - i)
        store_first(dw, i, select(absolute(g) > most, copy_sign(most, g), g), end - i)
        i += lanes(dtype)


@kernel
def add_gradient_noise(dw: Array, scalars: Doubles, width: Size, key: Key, level: Real, dtype, rows, lo, hi):
    """dw ← dw + σ z, z normal, σ² = level / (1 + t)^0.55 in the step behind t others.

    Writes dw (items, width). Reads scalars, whose step is counted.
    Source: Neelakantan et al. 2015, eq. 1.
    """
    deviation = dtype(math.sqrt(level / scalars[STEP] ** 0.55))
    add_normal(dw, lo * width, hi * width, deviation, random_stream(key, offset(scalars, STEP)), dtype)


@kernel
def square_sums(sums: Doubles, dw: Array, width: Size, dtype, rows, lo, hi, task):
    """sums[task] = Σ dw² over the rows lo .. hi.

    Writes sums (tasks,), float64. Reads dw (items, width).
    """
    total = 0.0
    for r in range(lo, hi):
        i, end, row = r * width, (r + 1) * width, splat(dtype(0))
        while i < end:
            g = load_first(dw, i, end - i)
            row = fma(g, g, row)
            i += lanes(dtype)
        squares = types.float64(sum_lanes(row))
        if not math.isfinite(squares):  # too large for the dtype, not for a double
            squares = 0.0
            for j in range(r * width, end):
                squares += types.float64(dw[j]) ** 2
        total += squares
    sums[task] = total


@kernel
def clip_ratio(ratio: Doubles, sums: Doubles, count: Size, most: Real, dtype, rows, lo, hi):
    """ratio = min(1, most / (√Σ sums + 10⁻⁶)).

    Writes ratio (1,), float64. Reads sums (count,), float64.
    Source: PyTorch's clip_grad_norm_.
    """
    total = 0.0
    for i in range(count):
        total += sums[i]
    ratio[0] = min(1.0, most / (math.sqrt(total) + 1e-6))


@kernel
def scale_gradient(dw: Array, ratio: Doubles, width: Size, dtype, rows, lo, hi):
    """dw ← ratio dw.

    Writes dw (items, width). Reads ratio (1,), float64.
    """
    ratio = splat(dtype(ratio[0]))
    i, end = lo * width, hi * width
    while i < end:
        store_first(dw, i, ratio * load_first(dw, i, end - i), end - i)
        i += lanes(dtype)


# --- what happens behind the step -----------------------------------------------------------------------


@kernel
def move_average(average: Array, w: Array, width: Size, share: Real, dtype, rows, lo, hi):
    """average ← average + share (w - average).

    Writes average (items, width). Reads w (items, width).
    """
    share = splat(dtype(share))
    i, end = lo * width, hi * width
    while i < end:
        n = end - i
        a = load_first(average, i, n)
        store_first(average, i, fma(share, load_first(w, i, n) - a, a), n)
        i += lanes(dtype)
