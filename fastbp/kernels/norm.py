"""Normalisation of values in blocks (see blocks.py): of each map over the batch, and of each row by itself.

Statistics of a batch are sums of tasks' sums, in the order of the tasks. Both are float64.
"""

from __future__ import annotations

from numba import types

from ..runtime.functions import inner, kernel
from ..simd.entry import Array, Doubles, Integers, Real, Size
from ..simd.memory import is_null, offset
from ..simd.vectors import first_lanes, fma, lanes, load, select, splat, square_root, store, sum_lanes, sum_lanes_double
from .blocks import blocks
from .dense import BY_ROWS
from .maths import one, zero


@inner
def _in_training(training):
    """Whether the number there is not 0; False where the pointer is null."""
    return not is_null(training) and training[0] != 0


@inner
def _only(v, count):
    """v in the first `count` lanes, 0 in the others."""
    return select(first_lanes(v, count), v, zero(v))


@kernel
def batch_norm_sums(sums: Doubles, x: Array, maps: Size, pixels: Size, training: Integers, dtype, rows, lo, hi, task):
    """The mean and the sum of squared deviations from it of each map, over the rows lo .. hi.

    Writes sums (tasks, 2, maps), float64, at the place `task`; nothing where `training` is null or 0.
    Reads  x (blocks, maps, pixels, lanes).
    """
    if not _in_training(training):
        return
    n = lanes(dtype)
    sums = offset(sums, task * 2 * maps)
    for m in range(maps):
        total = 0.0
        for block in blocks(lo, hi, dtype):
            of, s = offset(x, (block * maps + m) * pixels * n), splat(dtype(0))
            for p in range(pixels):
                s = s + load(of, p * n)
            total += sum_lanes_double(_only(s, hi - block * n))
        mean = total / ((hi - lo) * pixels)
        centre, total = splat(dtype(mean)), 0.0
        for block in blocks(lo, hi, dtype):
            of, s = offset(x, (block * maps + m) * pixels * n), splat(dtype(0))
            for p in range(pixels):
                d = load(of, p * n) - centre
                s = fma(d, d, s)
            total += sum_lanes_double(_only(s, hi - block * n))
        rounding = mean - types.float64(dtype(mean))  # the centre is not quite the mean
        sums[m], sums[maps + m] = mean, total - rounding * rounding * ((hi - lo) * pixels)


@kernel
def batch_norm_statistics(
    statistics: Array,
    sums: Doubles,
    running: Array,
    maps: Size,
    pixels: Size,
    grain: Integers,
    training: Integers,
    epsilon: Real,
    dtype,
    rows,
    lo,
    hi,
):
    """Mean, variance and 1 / √(variance + epsilon) of each map: the batch's, or the running ones.

    Writes statistics (3, maps).
    Reads  sums (tasks, 2, maps), float64: what batch_norm_sums wrote; running (2, maps): mean and variance, which are
           taken where `training` is null or 0.
    Source: Chan, Golub & LeVeque 1979, eq. 2.1, for two parts.
    """
    grain, training = grain[0], _in_training(training)
    for m in range(maps):
        mean, variance = types.float64(running[m]), types.float64(running[maps + m])
        if training:
            mean = squares = 0.0
            done = 0
            for task in range((rows + grain - 1) // grain):
                count = min(grain, rows - task * grain) * pixels
                far = sums[2 * task * maps + m] - mean
                squares += sums[(2 * task + 1) * maps + m] + far * far * done * count / (done + count)
                done += count
                mean += far * count / done
            variance = squares / done
        statistics[m], statistics[maps + m] = dtype(mean), dtype(variance)
        statistics[2 * maps + m] = dtype(1.0 / (variance + epsilon) ** 0.5)


@kernel
def batch_norm_update(running: Array, statistics: Array, maps: Size, pixels: Size, momentum: Real, dtype, rows, lo, hi):
    """running = (1 - momentum) running + momentum · the batch's, whose variance is the unbiased one.

    Writes and reads running (2, maps). Reads statistics (3, maps).
    """
    count = rows * pixels
    unbiased = count / max(count - 1, 1)
    for m in range(maps):
        mean, variance = types.float64(statistics[m]), types.float64(statistics[maps + m]) * unbiased
        running[m] = dtype(running[m] + momentum * (mean - running[m]))
        running[maps + m] = dtype(running[maps + m] + momentum * (variance - running[maps + m]))


@inner
def _scaled(statistics, gain, bias, maps, m):
    """Mean, factor and shift of a map, in all lanes: y = (x - mean) factor + shift."""
    return splat(statistics[m]), splat(statistics[2 * maps + m] * gain[m]), splat(bias[m])


@kernel
def batch_norm_forward(
    y: Array,
    x: Array,
    statistics: Array,
    gain: Array,
    bias: Array,
    maps: Size,
    pixels: Size,
    relu: Size,
    dtype,
    rows,
    lo,
    hi,
):
    """y = gain (x - mean) / √(variance + epsilon) + bias, or max(that, 0) where `relu` is 1.

    Writes y (blocks, maps, pixels, lanes).
    Reads  x likewise; statistics (3, maps): see batch_norm_statistics; gain, bias (maps,).
    """
    n, none = lanes(dtype), splat(dtype(0))
    for block in blocks(lo, hi, dtype):
        for m in range(maps):
            centre, scale, shift = _scaled(statistics, gain, bias, maps, m)
            at = (block * maps + m) * pixels * n
            for i in range(at, at + pixels * n, n):
                a = fma(load(x, i) - centre, scale, shift)
                store(y, i, select(a < none, none, a) if relu != 0 else a)


@inner
def _passed(dy, far, scale, shift, relu):
    """dy, or where `relu` is 1 what the ReLU behind far scale + shift passes on of it."""
    return select(fma(far, scale, shift) > zero(dy), dy, zero(dy)) if relu != 0 else dy


@kernel
def batch_norm_backward_sums(
    sums: Doubles,
    dy: Array,
    x: Array,
    statistics: Array,
    gain: Array,
    bias: Array,
    maps: Size,
    pixels: Size,
    relu: Size,
    dtype,
    rows,
    lo,
    hi,
    task,
):
    """Σ dy x̂ and Σ dy of each map over the rows lo .. hi, where x̂ = (x - mean) / √(variance + epsilon).

    Writes sums (tasks, 2, maps), float64, at the place `task`.
    Reads  dy, x (blocks, maps, pixels, lanes), statistics (3, maps), gain, bias (maps,); relu: as in the forward pass.
    """
    n = lanes(dtype)
    sums = offset(sums, task * 2 * maps)
    for m in range(maps):
        product, total = 0.0, 0.0
        centre, scale, shift = _scaled(statistics, gain, bias, maps, m)
        for block in blocks(lo, hi, dtype):
            at, s, t = (block * maps + m) * pixels * n, splat(dtype(0)), splat(dtype(0))
            for i in range(at, at + pixels * n, n):
                far = load(x, i) - centre
                d = _passed(load(dy, i), far, scale, shift, relu)
                s, t = fma(d, far, s), t + d
            product += sum_lanes_double(s)
            total += sum_lanes_double(t)
        sums[m], sums[maps + m] = product * statistics[2 * maps + m], total


@kernel
def batch_norm_backward_add(dparams: Array, sums: Doubles, maps: Size, grain: Integers, dtype, rows, lo, hi):
    """Writes dparams (2, maps): the gradients of gain and bias, the sums of what batch_norm_backward_sums wrote."""
    grain = grain[0]
    for i in range(2 * maps):
        total = 0.0
        for task in range((rows + grain - 1) // grain):
            total += sums[2 * task * maps + i]
        dparams[i] = dtype(total)


@kernel
def batch_norm_backward(
    dx: Array,
    dy: Array,
    x: Array,
    statistics: Array,
    gain: Array,
    bias: Array,
    dparams: Array,
    maps: Size,
    pixels: Size,
    training: Integers,
    relu: Size,
    dtype,
    rows,
    lo,
    hi,
):
    """dx = gain / √(variance + epsilon) · (dy - (Σ dy + x̂ Σ dy x̂) / n), over the n numbers of a map in the batch.

    Where `training` is null or 0, mean and variance are constants: what is subtracted is left out.

    Writes dx (blocks, maps, pixels, lanes), 0 in lanes without a row; dx may be dy.
    Reads  dy, x likewise; statistics (3, maps), gain, bias (maps,), dparams (2, maps): what batch_norm_backward_add
           wrote; relu: as in the forward pass.
    Source: Ioffe & Szegedy 2015, section 3.
    """
    n, share = lanes(dtype), dtype(0)
    if _in_training(training):
        share = dtype(1.0 / (rows * pixels))
    for block in blocks(lo, hi, dtype):
        for m in range(maps):
            rstd = statistics[2 * maps + m]
            centre, scale, shift = _scaled(statistics, gain, bias, maps, m)
            slope, mean = splat(dparams[m] * share * rstd), splat(dparams[maps + m] * share)
            at = (block * maps + m) * pixels * n
            for i in range(at, at + pixels * n, n):
                far = load(x, i) - centre
                d = _passed(load(dy, i), far, scale, shift, relu) - mean - slope * far
                store(dx, i, _only(scale * d, hi - block * n))


@kernel
def copy_gradient(dw: Array, source: Array, width: Size, mode: Size, step: Size, dtype, rows, lo, hi):
    """The rows lo .. hi of a gradient that is there already; mode and step are not looked at.

    Writes dw (items, width). Reads source likewise.
    """
    for i in range(lo * width, hi * width):
        dw[i] = source[i]


@kernel
def layer_norm_forward(
    y: Array,
    mean: Array,
    rstd: Array,
    x: Array,
    gain: Array,
    bias: Array,
    groups: Size,
    size: Size,
    epsilon: Real,
    dtype,
    rows,
    lo,
    hi,
):
    """y = gain (x - mean) rstd + bias, where rstd = 1 / √(variance + epsilon), over each group of a row.

    Writes y (blocks, groups, size, lanes); mean, rstd (blocks, groups, lanes).
    Reads  x (blocks, groups, size, lanes); gain, bias (size,).
    Source: Ba, Kiros & Hinton 2016, eq. 3 and 4.
    """
    n, share, epsilon = lanes(dtype), splat(dtype(1) / dtype(size)), splat(dtype(epsilon))
    for block in blocks(lo, hi, dtype):
        for g in range(block * groups, (block + 1) * groups):
            at, total, squares = g * size * n, splat(dtype(0)), splat(dtype(0))
            for i in range(size):
                total = total + load(x, at + i * n)
            centre = total * share
            for i in range(size):
                d = load(x, at + i * n) - centre
                squares = fma(d, d, squares)
            scale = one(squares) / square_root(fma(squares, share, epsilon))
            for i in range(size):
                d = (load(x, at + i * n) - centre) * scale
                store(y, at + i * n, fma(d, splat(gain[i]), splat(bias[i])))
            store(mean, g * n, centre)
            store(rstd, g * n, scale)


@kernel
def layer_norm_backward(
    dx: Array, dy: Array, x: Array, mean: Array, rstd: Array, gain: Array, groups: Size, size: Size, dtype, rows, lo, hi
):
    """dx = rstd (g - the mean of g - x̂ · the mean of g x̂) over each group, where g = gain dy, x̂ = (x - mean) rstd.

    Writes dx (blocks, groups, size, lanes). Reads dy, x likewise; mean, rstd (blocks, groups, lanes); gain (size,).
    """
    n, share = lanes(dtype), splat(dtype(1) / dtype(size))
    for block in blocks(lo, hi, dtype):
        for g in range(block * groups, (block + 1) * groups):
            centre, scale, at = load(mean, g * n), load(rstd, g * n), g * size * n
            total, product = splat(dtype(0)), splat(dtype(0))
            for i in range(size):
                d = load(dy, at + i * n) * splat(gain[i])
                total = total + d
                product = fma(d, (load(x, at + i * n) - centre) * scale, product)
            total, product = total * share, product * share
            for i in range(size):
                d = load(dy, at + i * n) * splat(gain[i]) - total
                d = d - product * ((load(x, at + i * n) - centre) * scale)
                store(dx, at + i * n, d * scale)


@kernel
def layer_norm_backward_params(
    dparams: Array,
    dy: Array,
    x: Array,
    mean: Array,
    rstd: Array,
    groups: Size,
    size: Size,
    mode: Size,
    step: Size,
    dtype,
    rows,
    lo,
    hi,
    task,
):
    """Σ dy x̂ and Σ dy of each place of a group.

    BY_ROWS   over the rows lo .. hi of the batch, to the place `task`, `step` apart
    BY_ITEMS  over the batch; lo .. hi is 0 .. 2

    Writes dparams (2, size): the gradients of gain and bias.
    Reads  dy, x (blocks, groups, size, lanes); mean, rstd (blocks, groups, lanes).
    """
    n = lanes(dtype)
    if mode == BY_ROWS:
        dparams = offset(dparams, task * step)
    else:
        lo, hi = 0, rows
    numbers = blocks(lo, hi, dtype)
    for i in range(size):
        total, product = splat(dtype(0)), splat(dtype(0))
        for g in range(numbers.start * groups, numbers.stop * groups):
            d = load(dy, (g * size + i) * n)
            total = total + d
            product = fma(d, (load(x, (g * size + i) * n) - load(mean, g * n)) * load(rstd, g * n), product)
        dparams[i], dparams[size + i] = sum_lanes(product), sum_lanes(total)
