"""Optimizer steps: one pass over the parameters, their gradients and the optimizer's state.

Hyperparameters come in `scalars` (float64): STEP, RATE and what each optimizer adds behind them.
"""

from __future__ import annotations

import math

from numba import types

from .._jit import inner, kernel
from ..simd import fma, lanes, load_first, pointer, pointers, splat, square_root, store_first

STEP, RATE = 0, 1  # steps done, learning rate
MOMENTUM, SGD_DECAY, NESTEROV = 2, 3, 4
BETA1, BETA2, EPSILON, STEP_SIZE, ROOT = 2, 3, 4, 5, 6


@kernel("scalars")
def count_step(op, dtype, rows, lo, hi):
    """Count the step that begins."""
    scalars = pointer(op[0], types.float64)
    scalars[STEP] += 1.0


@kernel("scalars")
def adam_count_step(op, dtype, rows, lo, hi):
    """Count the step t that begins; STEP_SIZE = rate / (1 - β₁ᵗ), ROOT = √(1 - β₂ᵗ)."""
    scalars = pointer(op[0], types.float64)
    scalars[STEP] += 1.0
    t = scalars[STEP]
    scalars[STEP_SIZE] = scalars[RATE] / (1.0 - scalars[BETA1] ** t)
    scalars[ROOT] = math.sqrt(1.0 - scalars[BETA2] ** t)


@inner
def _scalar(scalars, i, dtype):
    return splat(dtype(scalars[i]))


@kernel("w dw scalars width")
def sgd_update(op, dtype, rows, lo, hi):
    """w ← w - η (dw + λ w).

    Writes w (items, width). Reads dw (items, width), scalars.
    """
    w, dw = pointers(op, 0, 2, dtype)
    scalars = pointer(op[2], types.float64)
    rate, decay = _scalar(scalars, RATE, dtype), _scalar(scalars, SGD_DECAY, dtype)
    i, end = lo * op[3], hi * op[3]
    while i < end:
        n = end - i
        x = load_first(w, i, n)
        store_first(w, i, x - rate * fma(decay, x, load_first(dw, i, n)), n)
        i += lanes(dtype)


@kernel("w velocity dw scalars width")
def momentum_update(op, dtype, rows, lo, hi):
    """g = dw + λ w;  v ← μ v + g;  w ← w - η v, or w - η (g + μ v) with Nesterov's variant.

    Writes w, velocity (items, width). Reads dw (items, width), scalars.
    """
    w, velocity, dw = pointers(op, 0, 3, dtype)
    scalars = pointer(op[3], types.float64)
    rate, decay = _scalar(scalars, RATE, dtype), _scalar(scalars, SGD_DECAY, dtype)
    momentum = _scalar(scalars, MOMENTUM, dtype)
    # η (a g + b v) with a, b = 0, 1 or 1, μ: no branch in the loop
    of_gradient = _scalar(scalars, NESTEROV, dtype)
    of_velocity = momentum if scalars[NESTEROV] != 0.0 else splat(dtype(1))
    i, end = lo * op[4], hi * op[4]
    while i < end:
        n = end - i
        x = load_first(w, i, n)
        g = fma(decay, x, load_first(dw, i, n))
        v = fma(momentum, load_first(velocity, i, n), g)
        store_first(velocity, i, v, n)
        store_first(w, i, x - rate * fma(of_gradient, g, of_velocity * v), n)
        i += lanes(dtype)


@kernel("w m v dw scalars width")
def adam_update(op, dtype, rows, lo, hi):
    """m ← β₁ m + (1 - β₁) dw;  v ← β₂ v + (1 - β₂) dw²;  w ← w - η/(1 - β₁ᵗ) m / (√v/√(1 - β₂ᵗ) + ε).

    Writes w, m, v (items, width). Reads dw (items, width), scalars.
    """
    w, m, v, dw = pointers(op, 0, 4, dtype)
    scalars = pointer(op[4], types.float64)
    beta1, beta2 = _scalar(scalars, BETA1, dtype), _scalar(scalars, BETA2, dtype)
    rest1, rest2 = splat(dtype(1.0 - scalars[BETA1])), splat(dtype(1.0 - scalars[BETA2]))
    size, epsilon = _scalar(scalars, STEP_SIZE, dtype), _scalar(scalars, EPSILON, dtype)
    root = splat(dtype(1.0 / scalars[ROOT]))
    i, end = lo * op[5], hi * op[5]
    while i < end:
        n = end - i
        g = load_first(dw, i, n)
        mean = fma(beta1, load_first(m, i, n), rest1 * g)
        square = fma(beta2, load_first(v, i, n), rest2 * (g * g))
        store_first(m, i, mean, n)
        store_first(v, i, square, n)
        step = size * mean / fma(square_root(square), root, epsilon)
        store_first(w, i, load_first(w, i, n) - step, n)
        i += lanes(dtype)
