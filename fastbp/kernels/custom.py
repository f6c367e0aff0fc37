"""Kernels around scalar functions of the user's own."""

from __future__ import annotations

from numba import carray

from ..runtime.functions import Kernel
from ..simd.entry import Array, Doubles, Size
from ..simd.memory import offset
from .elementwise import span
from .losses import write_sums


def activation_kernels(f, derivative, name: str, *, cached: bool) -> tuple[Kernel, Kernel]:
    """The kernels of y = f(x) and of dx = dy derivative(x), for @njit functions of a number."""

    def forward(y: Array, x: Array, features: Size, blocked: Size, dtype, rows, lo, hi):
        """Writes y (rows, features). Reads x (rows, features). Both plain or both in blocks."""
        first, last = span(lo, hi, features, blocked, dtype)
        for i in range(first, last):
            y[i] = dtype(f(x[i]))

    def backward(dx: Array, dy: Array, x: Array, features: Size, blocked: Size, dtype, rows, lo, hi):
        """Writes dx (rows, features). Reads dy, x (rows, features). All plain or all in blocks."""
        first, last = span(lo, hi, features, blocked, dtype)
        for i in range(first, last):
            dx[i] = dtype(dy[i] * derivative(x[i]))

    return (
        Kernel(forward, f"{name}_forward", cached=cached),
        Kernel(backward, f"{name}_backward", cached=cached),
    )


def elementwise_loss(f, derivative, name: str, *, cached: bool) -> Kernel:
    """Row loss: the mean over outputs of f(y, t); dy = derivative(y, t) weight / (rows outputs).

    For @njit functions of two numbers.
    """

    def loss(
        dy: Array,
        y: Array,
        target: Array,
        weight: Array,
        sums: Doubles,
        outputs: Size,
        dtype,
        rows,
        lo,
        hi,
        task,
    ):
        """Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,)."""
        total = 0.0
        for r in range(lo, hi):
            scale, row = weight[r] / dtype(rows * outputs), 0.0
            for i in range(r * outputs, (r + 1) * outputs):
                row += f(y[i], target[i])
                dy[i] = dtype(derivative(y[i], target[i]) * scale)
            total += weight[r] * row / outputs
        write_sums(sums, task, total, 0.0)

    return Kernel(loss, f"{name}_loss", cached=cached)


def row_loss(f, derivative, name: str, *, cached: bool) -> Kernel:
    """Row loss: f(y, t) of the vectors of a row's outputs; derivative(y, t, dy) writes dy, which is scaled after.

    For @njit functions of contiguous arrays (outputs,).
    """

    def loss(
        dy: Array,
        y: Array,
        target: Array,
        weight: Array,
        sums: Doubles,
        outputs: Size,
        dtype,
        rows,
        lo,
        hi,
        task,
    ):
        """Writes dy (rows, outputs), sums. Reads y, target (rows, outputs), weight (rows,)."""
        total = 0.0
        for r in range(lo, hi):
            d, z = carray(offset(dy, r * outputs), outputs), carray(offset(y, r * outputs), outputs)
            t, scale = carray(offset(target, r * outputs), outputs), weight[r] / dtype(rows)
            total += weight[r] * f(z, t)
            derivative(z, t, d)
            for j in range(outputs):
                d[j] *= scale
        write_sums(sums, task, total, 0.0)

    return Kernel(loss, f"{name}_loss", cached=cached)
