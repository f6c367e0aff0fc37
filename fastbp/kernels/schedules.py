"""Learning-rate schedules: the rate as a function of t, the number of steps done, and of constants c.

Each formula is a scalar function that Python calls too. A schedule's constants stand in `scalars`, where its
kernel finds them.
"""

from __future__ import annotations

import math

from ..runtime.functions import Kernel, inner, kernel
from ..simd.entry import Doubles, Size
from .updates import RATE, STEP


def _schedule(formula) -> Kernel:
    """The kernel that sets the rate to formula(t, c) before the step t + 1, where t counts from `shift` on."""

    def schedule(scalars: Doubles, constants: Doubles, shift: Size, dtype, rows, lo, hi):
        scalars[RATE] = formula(max(scalars[STEP] - float(shift), 0.0), constants)

    schedule.__doc__ = formula.__doc__
    return Kernel(schedule, formula.__name__ + "_schedule")


@inner
def step_decay(t, c):
    """initial · factor^⌊t / steps⌋."""
    return c[0] * c[1] ** math.floor(t / c[2])


@inner
def exponential_decay(t, c):
    """initial · factor^(t / steps)."""
    return c[0] * c[1] ** (t / c[2])


@inner
def cosine_decay(t, c):
    """final + (initial - final) (1 + cos(π min(t, steps) / steps)) / 2."""
    initial, steps, final = c[0], c[1], c[2]
    return final + (initial - final) * 0.5 * (1.0 + math.cos(math.pi * min(t, steps) / steps))


@inner
def one_cycle(t, c):
    """Half a cosine wave from first up to most at t = top, then one down to last at t = end."""
    first, most, last, top, end = c[0], c[1], c[2], c[3], c[4]
    if t <= top:
        return most + (first - most) * 0.5 * (1.0 + math.cos(math.pi * t / max(top, 1e-300)))
    return last + (most - last) * 0.5 * (1.0 + math.cos(math.pi * min((t - top) / (end - top), 1.0)))


@inner
def piecewise_constant(t, c):
    """values[i], where i boundaries are at most t; c is n, the n boundaries, the n + 1 values."""
    n = int(c[0])
    i = 0
    while i < n and t >= c[1 + i]:
        i += 1
    return c[1 + n + i]


@inner
def inverse_scaling(t, c):
    """initial / (1 + t)^power."""
    return c[0] / (1.0 + t) ** c[1]


step_decay_schedule = _schedule(step_decay)
exponential_decay_schedule = _schedule(exponential_decay)
cosine_decay_schedule = _schedule(cosine_decay)
one_cycle_schedule = _schedule(one_cycle)
piecewise_constant_schedule = _schedule(piecewise_constant)
inverse_scaling_schedule = _schedule(inverse_scaling)


@inner
def warmup_factor(t, c):
    """start + (1 - start) min(t, steps) / steps."""
    return c[1] + (1.0 - c[1]) * min(t / c[0], 1.0)


@kernel
def warmup_schedule(scalars: Doubles, constants: Doubles, dtype, rows, lo, hi):
    """Multiply the rate by warmup_factor."""
    scalars[RATE] *= warmup_factor(scalars[STEP], constants)
