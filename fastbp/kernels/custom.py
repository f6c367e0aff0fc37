"""Kernels around scalar functions of the user's own."""

from __future__ import annotations

from numba import carray

from .._jit import Kernel
from ..simd.memory import offset, pointers
from .elementwise import span
from .losses import write_sums


def activation_kernels(f, derivative, name: str, *, cached: bool) -> tuple[Kernel, Kernel]:
    """The kernels of y = f(x) and of dx = dy derivative(x), for @njit functions of a number."""

    def forward(op, dtype, rows, lo, hi):
        """Writes y (rows, features). Reads x (rows, features). Both plain or both in blocks."""
        y, x = pointers(op, 0, 2, dtype)
        first, last = span(lo, hi, op[2], op[3], dtype)
        for i in range(first, last):
            y[i] = dtype(f(x[i]))

    def backward(op, dtype, rows, lo, hi):
        """Writes dx (rows, features). Reads dy, x (rows, features). All plain or all in blocks."""
        dx, dy, x = pointers(op, 0, 3, dtype)
        first, last = span(lo, hi, op[3], op[4], dtype)
        for i in range(first, last):
            dx[i] = dtype(dy[i] * derivative(x[i]))

    return (
        Kernel(forward, "y x features blocked", f"{name}_forward", cached=cached),
        Kernel(backward, "dx dy x features blocked", f"{name}_backward", cached=cached),
    )


def elementwise_loss(f, derivative, name: str, *, cached: bool) -> Kernel:
    """Row loss: the mean over outputs of f(y, t); dy = derivative(y, t) weight / (rows outputs).

    For @njit functions of two numbers.
    """

    def loss(op, dtype, rows, lo, hi):
        """Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,)."""
        dy, y, target, weight = pointers(op, 0, 4, dtype)
        outputs, total = op[5], 0.0
        for r in range(lo, hi):
            scale, row = weight[r] / dtype(rows * outputs), 0.0
            for i in range(r * outputs, (r + 1) * outputs):
                row += f(y[i], target[i])
                dy[i] = dtype(derivative(y[i], target[i]) * scale)
            total += weight[r] * row / outputs
        write_sums(op, lo, total, 0.0)

    return Kernel(loss, "dy y target weight sums outputs grain", f"{name}_loss", cached=cached)


def row_loss(f, derivative, name: str, *, cached: bool) -> Kernel:
    """Row loss: f(y, t) of the vectors of a row's outputs; derivative(y, t, dy) writes dy, which is scaled after.

    For @njit functions of contiguous arrays (outputs,).
    """

    def loss(op, dtype, rows, lo, hi):
        """Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,)."""
        dy, y, target, weight = pointers(op, 0, 4, dtype)
        outputs, total = op[5], 0.0
        for r in range(lo, hi):
            d, z = carray(offset(dy, r * outputs), outputs), carray(offset(y, r * outputs), outputs)
            t, scale = carray(offset(target, r * outputs), outputs), weight[r] / dtype(rows)
            total += weight[r] * f(z, t)
            derivative(z, t, d)
            for j in range(outputs):
                d[j] *= scale
        write_sums(op, lo, total, 0.0)

    return Kernel(loss, "dy y target weight sums outputs grain", f"{name}_loss", cached=cached)
