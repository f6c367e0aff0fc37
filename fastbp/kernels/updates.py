"""Optimizer steps: one pass over the parameters, their gradients and the optimizer's state.

Hyperparameters come in `scalars` (float64): STEP, RATE and what each optimizer adds behind them.
"""

from __future__ import annotations

import math

from numba import types

from .._jit import kernel
from ..simd import pointer, pointers

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


@kernel("w dw scalars width")
def sgd_update(op, dtype, rows, lo, hi):
    """w ← w - η (dw + λ w).

    Writes w (items, width). Reads dw (items, width), scalars.
    """
    w, dw = pointers(op, 0, 2, dtype)
    scalars, width = pointer(op[2], types.float64), op[3]
    rate, decay = dtype(scalars[RATE]), dtype(scalars[SGD_DECAY])
    for i in range(lo * width, hi * width):
        w[i] -= rate * (dw[i] + decay * w[i])


@kernel("w velocity dw scalars width")
def momentum_update(op, dtype, rows, lo, hi):
    """g = dw + λ w;  v ← μ v + g;  w ← w - η v, or w - η (g + μ v) with Nesterov's variant.

    Writes w, velocity (items, width). Reads dw (items, width), scalars.
    """
    w, velocity, dw = pointers(op, 0, 3, dtype)
    scalars, width = pointer(op[3], types.float64), op[4]
    rate, decay = dtype(scalars[RATE]), dtype(scalars[SGD_DECAY])
    momentum = dtype(scalars[MOMENTUM])
    # η (a g + b v) with a, b = 0, 1 or 1, μ: no branch in the loop
    of_gradient = dtype(scalars[NESTEROV])
    of_velocity = momentum if scalars[NESTEROV] != 0.0 else dtype(1)
    for i in range(lo * width, hi * width):
        g = dw[i] + decay * w[i]
        v = momentum * velocity[i] + g
        velocity[i] = v
        w[i] -= rate * (of_gradient * g + of_velocity * v)


@kernel("w m v dw scalars width")
def adam_update(op, dtype, rows, lo, hi):
    """m ← β₁ m + (1 - β₁) dw;  v ← β₂ v + (1 - β₂) dw²;  w ← w - η/(1 - β₁ᵗ) m / (√v/√(1 - β₂ᵗ) + ε).

    Writes w, m, v (items, width). Reads dw (items, width), scalars.
    """
    w, m, v, dw = pointers(op, 0, 4, dtype)
    scalars, width = pointer(op[4], types.float64), op[5]
    beta1, beta2 = dtype(scalars[BETA1]), dtype(scalars[BETA2])
    rest1, rest2 = dtype(1.0 - scalars[BETA1]), dtype(1.0 - scalars[BETA2])
    size, root, epsilon = dtype(scalars[STEP_SIZE]), dtype(1.0 / scalars[ROOT]), dtype(scalars[EPSILON])
    for i in range(lo * width, hi * width):
        g = dw[i]
        mean = beta1 * m[i] + rest1 * g
        square = beta2 * v[i] + rest2 * (g * g)
        m[i], v[i] = mean, square
        w[i] -= size * mean / (math.sqrt(square) * root + epsilon)
