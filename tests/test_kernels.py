"""Every kernel against its naive twin: every dtype, odd shapes, poisoned outputs, any split into tasks."""

import itertools

import naive
import numpy as np
import pytest
from cases import ACTIVATIONS
from support import DTYPES, Guarded, all_kernels, run_kernel, seed_of

from fastbp.kernels import updates
from fastbp.kernels.dense import BY_ITEMS, BY_ROWS, PACKED, WIDE
from fastbp.runtime.functions import DTYPES as NUMBA_TYPES
from fastbp.runtime.functions import Kernel
from fastbp.simd.cpu import lanes_of
from fastbp.simd.entry import Array, Size

KERNELS = all_kernels()
SHAPES = [(1, 1), (1, 17), (3, 15), (8, 16), (5, 33), (64, 10), (37, 100)]


def close(got, want, dtype, magnitude, terms):
    """|got - want| is at most the rounding of `terms` operations on numbers as large as `magnitude`."""
    bound = (terms + 8) * np.finfo(dtype).eps * (np.abs(magnitude) + np.finfo(dtype).tiny)
    assert np.isfinite(got).all()
    assert (np.abs(got - want) <= bound).all(), np.max(np.abs(got - want) / bound)


def pieces(rng, items):
    """lo .. hi of tasks that cover the items."""
    cut = int(rng.integers(0, items + 1))
    return [(0, cut), (cut, items)]


def lanes(dtype):
    return lanes_of(NUMBA_TYPES[np.dtype(dtype)])


def block_pieces(rng, dtype, rows):
    """Tasks likewise, of whole blocks of rows."""
    cut = min(int(rng.integers(0, rows // lanes(dtype) + 1)) * lanes(dtype), rows)
    return [(0, cut), (cut, rows)]


def normal(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


def panel_width(dtype):
    return 2 * lanes(dtype)


def wide(array):
    return array.astype(np.float64)


def check_dense_forward(kernel, rng, dtype, rows, n):
    fan_in = int(rng.integers(1, 70))
    x, weight, bias = normal(rng, dtype, rows, fan_in), normal(rng, dtype, fan_in, n), normal(rng, dtype, n)
    in_panels = naive.dense_pack_rows(weight, panel_width(dtype)).astype(dtype)
    for (b, given), relu, packed in itertools.product(((bias, bias), (0 * bias, 0)), (0, 1), (0, n > 1)):
        y = Guarded(None, dtype, (rows, n))
        sizes = dict(fan_in=fan_in, fan_out=n, relu=relu, packed=packed)
        w = in_panels if packed else weight
        run_kernel(kernel, dtype, rows, pieces(rng, rows), y=y, x=x, weight=w, bias=given, **sizes)
        magnitude = naive.dense_forward(np.abs(wide(x)), np.abs(wide(weight)), np.abs(wide(b)), False)
        close(y.array, naive.dense_forward(wide(x), wide(weight), wide(b), relu), dtype, magnitude, fan_in)


def check_dense_pack_rows(kernel, rng, dtype, rows, n):
    x, capacity = normal(rng, dtype, rows, n), rows + 3
    for width in (0, 96):
        want = naive.dense_pack_rows(x, width or panel_width(dtype))
        packed = Guarded(None, dtype, (len(want), capacity, want.shape[2]))
        sizes = dict(features=n, width=width, capacity=capacity)
        run_kernel(kernel, dtype, rows, pieces(rng, rows), packed=packed, x=x, **sizes)
        assert (packed.array[:, :rows] == want).all() and np.isnan(packed.array[:, rows:]).all()


def check_dense_pack_transposed(kernel, rng, dtype, rows, n):
    fan_in = int(rng.integers(1, 100))
    weight = normal(rng, dtype, fan_in, n)
    want = naive.dense_pack_transposed(weight, panel_width(dtype))
    packed = Guarded(None, dtype, want.shape)
    run_kernel(
        kernel, dtype, rows, pieces(rng, -(-fan_in // 32)), packed=packed, weight=weight, fan_in=fan_in, fan_out=n
    )
    assert (packed.array == want).all()


def check_dense_backward_input(kernel, rng, dtype, rows, n):
    fan_in = int(rng.integers(1, 70))
    dy, weight, mask = normal(rng, dtype, rows, n), normal(rng, dtype, fan_in, n), normal(rng, dtype, rows, fan_in)
    packed = weight if n == 1 else naive.dense_pack_transposed(weight, panel_width(dtype)).astype(dtype)
    sizes = dict(fan_in=fan_in, fan_out=n)
    for y in (None, mask):
        dx = Guarded(None, dtype, (rows, fan_in))
        given = 0 if y is None else y
        run_kernel(kernel, dtype, rows, pieces(rng, rows), dx=dx, dy=dy, packed=packed, y=given, **sizes)
        magnitude = naive.dense_backward_input(np.abs(wide(dy)), np.abs(wide(weight)), None)
        close(dx.array, naive.dense_backward_input(wide(dy), wide(weight), y), dtype, magnitude, n)


def check_dense_backward_weight(kernel, rng, dtype, rows, n):
    fan_in, grain = int(rng.integers(1, 250)), int(rng.integers(1, rows + 1))
    x, dy = normal(rng, dtype, rows, fan_in), normal(rng, dtype, rows, n)
    want = naive.dense_backward_weight(wide(x), wide(dy))
    magnitude = naive.dense_backward_weight(np.abs(wide(x)), np.abs(wide(dy)))
    sizes = dict(fan_in=fan_in, fan_out=n)

    dweight = Guarded(None, dtype, (fan_in + 1, n))
    record = dict(dweight=dweight, x=x, dy=dy, **sizes, mode=BY_ITEMS, step=rows)
    run_kernel(kernel, dtype, rows, pieces(rng, fan_in + 1), **record)
    close(dweight.array, want, dtype, magnitude, rows)

    tasks = [(lo, min(lo + grain, rows)) for lo in range(0, rows, grain)]
    partial = Guarded(None, dtype, (len(tasks), fan_in + 2, n))
    run_kernel(kernel, dtype, rows, tasks, **(record | dict(dweight=partial, mode=BY_ROWS, step=(fan_in + 2) * n)))
    assert np.isnan(partial.array[:, -1]).all()
    close(wide(partial.array[:, :-1]).sum(axis=0), want, dtype, magnitude, rows)

    if min(fan_in, n) > 1:
        packs = (naive.dense_pack_rows(x, WIDE), naive.dense_pack_rows(dy, panel_width(dtype)))
        packed = dict(zip(("x", "dy"), (pack.astype(dtype) for pack in packs), strict=True))
        dweight = Guarded(None, dtype, (fan_in + 1, n))
        tasks = [(lo, min(lo + WIDE // 2, fan_in + 1)) for lo in range(0, fan_in + 1, WIDE // 2)]
        run_kernel(kernel, dtype, rows, tasks, **(record | dict(dweight=dweight, **packed, mode=PACKED)))
        close(dweight.array, want, dtype, magnitude, rows)


def check_add_partial(kernel, rng, dtype, rows, n):
    grain, items = int(rng.integers(1, rows + 1)), int(rng.integers(1, 40))
    partial = normal(rng, dtype, -(-rows // grain), items + 1, n)
    dweight = Guarded(None, dtype, (items, n))
    sizes = dict(size=(items + 1) * n, width=n, grain=np.array([grain]))
    run_kernel(kernel, dtype, rows, pieces(rng, items), dweight=dweight, partial=partial, **sizes)
    close(
        dweight.array,
        naive.add_partial(wide(partial[:, :items])),
        dtype,
        np.abs(partial[:, :items]).sum(0),
        len(partial),
    )


def layouts(kernel, rng, dtype, rows):
    """(tasks, field, shape of rows) for values in plain rows and, if the kernel works on them, in blocks of rows."""
    yield pieces(rng, rows), {"blocked": 0} if "blocked" in kernel.fields else {}, (rows,)
    if "blocked" in kernel.fields:
        yield block_pieces(rng, dtype, rows), {"blocked": 1}, (-(-rows // lanes(dtype)), lanes(dtype))


def check_forward(kernel, rng, dtype, rows, n):
    for tasks, layout, shape in layouts(kernel, rng, dtype, rows):
        x = 4 * normal(rng, dtype, *shape, n)
        want = getattr(naive, kernel.name)(wide(x))
        y = Guarded(None, dtype, x.shape)
        run_kernel(kernel, dtype, rows, tasks, y=y, x=x, features=n, **layout)
        close(y.array, want, dtype, want * (1 + np.abs(x).max()), n)
        in_place = Guarded(x)
        run_kernel(kernel, dtype, rows, tasks, y=in_place, x=in_place, features=n, **layout)
        close(in_place.array, want, dtype, want * (1 + np.abs(x).max()), n)


def check_backward(kernel, rng, dtype, rows, n):
    for tasks, layout, shape in layouts(kernel, rng, dtype, rows):
        dy, y = normal(rng, dtype, *shape, n), rng.uniform(-1, 1, (*shape, n)).astype(dtype)
        if kernel.fields[2] == "x":
            y *= 6
        if kernel.name == "softplus_backward":
            y = np.abs(y)
        want = getattr(naive, kernel.name)(wide(dy), wide(y))
        dx, read = Guarded(None, dtype, dy.shape), {kernel.fields[2]: y}
        run_kernel(kernel, dtype, rows, tasks, dx=dx, dy=dy, **read, features=n, **layout)
        magnitude = np.abs(dy) * (1 + y**2) + np.abs(dy * y).sum(axis=-1, keepdims=True)
        close(dx.array, want, dtype, magnitude, n)
        in_place = Guarded(dy)
        run_kernel(kernel, dtype, rows, tasks, dx=in_place, dy=in_place, **read, features=n, **layout)
        close(in_place.array, want, dtype, magnitude, n)


def check_loss(kernel, rng, dtype, rows, n):
    y, weight = 3 * normal(rng, dtype, rows, n), rng.uniform(0, 2, rows).astype(dtype)
    target = rng.uniform(0, 1, (rows, n)).astype(dtype)
    if kernel.name == "hinge_loss":  # targets 0 and 1 mean -1 and 1
        target = np.round(target) if rows % 2 else np.sign(target - dtype.type(0.5))
    if kernel.name == "kl_divergence_loss":
        y = rng.uniform(0.1, 1, (rows, n)).astype(dtype)
        y[0, 0], target[0, -1] = 0, 0
    if "labels" in kernel.name or "smoothed" in kernel.name:
        target = rng.integers(0, n, (rows, 1)).astype(dtype)
    dy, grain = Guarded(None, dtype, (rows, n)), int(rng.integers(1, rows + 1))
    tasks = [(lo, min(lo + grain, rows)) for lo in range(0, rows, grain)]
    sums = Guarded(None, np.float64, (len(tasks), 2))
    record = dict(dy=dy, y=y, target=target, weight=weight, sums=sums, outputs=n)
    more = {"huber_loss": {"delta": 0.7}, "kl_divergence_loss": {"least": 1e-7}}.get(kernel.name, {})
    more = {"smoothing": 0.1} if "smoothing" in kernel.fields else more
    run_kernel(kernel, dtype, rows, tasks, **record, **{name: bits(value) for name, value in more.items()})
    want, loss, right = getattr(naive, kernel.name)(wide(y), wide(target), wide(weight), **more)
    mass = target.sum() if "probabilities" in kernel.name else 1
    slope = np.exp(y) if kernel.name == "poisson_loss" else np.abs(want) * rows if kernel.name.startswith("kl") else 1
    close(dy.array, want, dtype, weight[:, None] / rows * (1 + np.abs(y) + mass + slope) * 4, n)
    size = max(np.abs(y).max(), np.max(slope)) if kernel.name == "poisson_loss" else max(np.abs(y).max(), 17.0)
    close(sums.array[:, 0].sum(), loss, dtype, size * weight.sum() * n * 4 * (1 + mass), n)
    np.testing.assert_allclose(sums.array[:, 1].sum(), right, rtol=1e-6)


def run_loss(kernel, rng, dtype, rows, y, target, weight, **more):
    """(dy, the sums of the tasks) of a loss kernel."""
    dy, grain = Guarded(None, dtype, y.shape), int(rng.integers(1, rows + 1))
    tasks = [(lo, min(lo + grain, rows)) for lo in range(0, rows, grain)]
    sums = Guarded(None, np.float64, (len(tasks), 2))
    record = dict(dy=dy, y=y, target=target, weight=weight, sums=sums, outputs=y.shape[1])
    run_kernel(kernel, dtype, rows, tasks, **record, **more)
    return dy.array, sums.array


def check_quantile_loss(kernel, rng, dtype, rows, n):
    y, target = 3 * normal(rng, dtype, rows, n), normal(rng, dtype, rows, n)
    weight = rng.uniform(0, 2, rows).astype(dtype)
    target[0, 0] = y[0, 0]
    for quantiles in (rng.uniform(0, 1, 1), rng.uniform(0, 1, n)):
        own = dict(quantiles=quantiles, count=len(quantiles))
        dy, sums = run_loss(kernel, rng, dtype, rows, y, target, weight, **own)
        want, loss, _ = naive.quantile_loss(wide(y), wide(target), wide(weight), quantiles)
        close(dy, want, dtype, weight[:, None] / (rows * n), 1)
        close(sums[:, 0].sum(), loss, dtype, np.abs(y - target).max() * weight.sum(), 1)
        assert (sums[:, 1] == 0).all()


def check_gaussian_nll_loss(kernel, rng, dtype, rows, n):
    y, target = 2 * normal(rng, dtype, rows, 2 * n), normal(rng, dtype, rows, n)
    weight, least = rng.uniform(0, 2, rows).astype(dtype), np.log(0.05)
    dy, sums = run_loss(kernel, rng, dtype, rows, y, target, weight, least=bits(least))
    want, loss, _ = naive.gaussian_nll_loss(wide(y), wide(target), wide(weight), least)
    size = 1 + (wide(y[:, :n]) - target) ** 2 / np.maximum(np.exp(wide(y[:, n:])), 0.05)
    close(dy, want, dtype, np.hstack([size, size]) * weight[:, None] / (rows * n) * 20, n)
    close(sums[:, 0].sum(), loss, dtype, (size.sum() + np.abs(y).sum()) * weight.max() * 4, n)
    assert (sums[:, 1] == 0).all()


def in_blocks(x, dtype, last=0.0):
    """x (rows, …) as (blocks, …, lanes), with `last` in lanes without a row."""
    n = lanes(dtype)
    blocks = np.full((-(-len(x) // n) * n, *x.shape[1:]), last, dtype)
    blocks[: len(x)] = x
    return np.ascontiguousarray(np.moveaxis(blocks.reshape(-1, n, *x.shape[1:]), 1, -1))


def in_rows(blocks, rows):
    """The x (rows, …) that in_blocks made blocks of."""
    x = np.moveaxis(blocks, -1, 1)
    return x.reshape(-1, *x.shape[2:])[:rows]


def check_block(kernel, rng, dtype, rows, n):
    x = normal(rng, dtype, rows, n)
    want = getattr(naive, kernel.name)(x, lanes(dtype))
    y = Guarded(None, dtype, want.shape)
    record = dict(zip(kernel.fields, (y, x, n), strict=True))
    run_kernel(kernel, dtype, rows, block_pieces(rng, dtype, rows), **record)
    assert (y.array == want).all()


def check_unblock_rows(kernel, rng, dtype, rows, n):
    x = normal(rng, dtype, rows, n)
    y = Guarded(None, dtype, (rows, n))
    record = dict(y=y, x=in_blocks(x, dtype, np.nan), features=n)
    run_kernel(kernel, dtype, rows, block_pieces(rng, dtype, rows), **record)
    assert (y.array == naive.unblock_rows(in_blocks(x, dtype), rows)).all() and (y.array == x).all()


def check_pad_maps(kernel, rng, dtype, rows, n):
    maps, in_h, in_w = 1 + n % 3, int(rng.integers(1, 5)), int(rng.integers(1, 5))
    top, left, bottom, right = rng.integers(0, 3, 4)
    out_h, out_w = top + in_h + bottom, left + in_w + right
    x = normal(rng, dtype, rows, maps, in_h, in_w)
    sizes = dict(maps=maps, in_h=in_h, in_w=in_w, out_h=out_h, out_w=out_w, top=top, left=left)
    y = Guarded(None, dtype, in_blocks(np.zeros((rows, maps, out_h, out_w)), dtype).shape)
    run_kernel(kernel, dtype, rows, block_pieces(rng, dtype, rows), y=y, x=in_blocks(x, dtype), **sizes)
    assert (in_rows(y.array, rows) == naive.pad_maps(x, out_h, out_w, top, left)).all()


def check_crop_maps(kernel, rng, dtype, rows, n):
    maps, out_h, out_w = 1 + n % 3, int(rng.integers(3, 7)), int(rng.integers(3, 7))
    top, left = rng.integers(0, 3, 2)
    in_h, in_w = rng.integers(1, (out_h - top + 1, out_w - left + 1))
    dy = normal(rng, dtype, rows, maps, out_h, out_w)
    sizes = dict(maps=maps, in_h=in_h, in_w=in_w, out_h=out_h, out_w=out_w, top=top, left=left)
    dx = Guarded(None, dtype, in_blocks(np.zeros((rows, maps, in_h, in_w)), dtype).shape)
    run_kernel(kernel, dtype, rows, block_pieces(rng, dtype, rows), dx=dx, dy=in_blocks(dy, dtype), **sizes)
    assert (in_rows(dx.array, rows) == naive.crop_maps(dy, in_h, in_w, top, left)).all()


def conv_case(rng, dtype, rows, n):
    """(x, weight, dy, sizes) of a convolution: numbers of channels and filters that use tiles of every size."""
    groups = int(rng.integers(1, 3))
    filters, own = (int(rng.integers(1, 13)) for _ in range(2))
    kernel, stride, dilation = rng.integers(1, 4, (3, 2))
    out = rng.integers(1, (4, 2 + n % 9)) if n < 50 else np.array([1, 70])  # wider than what is gone over at once
    size = (out - 1) * stride + (kernel - 1) * dilation + 1 + rng.integers(0, stride)
    x = normal(rng, dtype, rows, groups * own, *size)
    weight = normal(rng, dtype, groups * filters, own, *kernel)
    dy = normal(rng, dtype, rows, groups * filters, *out)
    sizes = dict(channels=groups * own, filters=groups * filters, groups=groups)
    for name, pair in (("in", size), ("out", out), ("kernel", kernel), ("stride", stride), ("dilation", dilation)):
        sizes |= {f"{name}_h": int(pair[0]), f"{name}_w": int(pair[1])}
    return x, weight, dy, sizes, tuple(stride), tuple(dilation)


def check_conv_forward(kernel, rng, dtype, rows, n):
    x, weight, dy, sizes, stride, dilation = conv_case(rng, dtype, rows, n)
    bias = normal(rng, dtype, len(weight))
    steps = dict(groups=sizes["groups"], stride=stride, dilation=dilation)
    for b, given, relu in ((bias, bias, 0), (bias, bias, 1), (0 * bias, 0, 0)):
        want = naive.conv_forward(wide(x), wide(weight), wide(b), relu, **steps)
        magnitude = naive.conv_forward(*(np.abs(wide(a)) for a in (x, weight, b)), 0, **steps)
        y = Guarded(None, dtype, in_blocks(dy, dtype).shape)
        record = dict(y=y, x=in_blocks(x, dtype), weight=weight, bias=given, **sizes, relu=relu)
        run_kernel(kernel, dtype, rows, block_pieces(rng, dtype, rows), **record)
        close(in_rows(y.array, rows), want, dtype, magnitude, weight[0].size)


def check_conv_pack(kernel, rng, dtype, rows, n):
    weight = normal(rng, dtype, rows, n, 3, 2)
    packed, sizes = Guarded(None, dtype, (3 * 2, rows, n)), dict(filters=rows, channels=n, taps=6)
    run_kernel(kernel, dtype, rows, pieces(rng, rows), packed=packed, weight=weight, **sizes)
    assert (packed.array == naive.conv_pack(weight)).all()


def check_conv_backward_input(kernel, rng, dtype, rows, n):
    x, weight, dy, sizes, stride, dilation = conv_case(rng, dtype, rows, n)
    steps = dict(groups=sizes["groups"], stride=stride, dilation=dilation, shape=x.shape)
    want = naive.conv_backward_input(wide(dy), wide(weight), **steps)
    magnitude = naive.conv_backward_input(np.abs(wide(dy)), np.abs(wide(weight)), **steps)
    dx, packed = Guarded(None, dtype, in_blocks(x, dtype).shape), naive.conv_pack(weight)
    record = dict(dx=dx, dy=in_blocks(dy, dtype), packed=np.ascontiguousarray(packed), **sizes)
    run_kernel(kernel, dtype, rows, block_pieces(rng, dtype, rows), **record)
    assert (dx.array[..., rows % lanes(dtype) or lanes(dtype) :][-1] == 0).all()
    close(in_rows(dx.array, rows), want, dtype, magnitude, len(weight) * weight[0, 0].size)


def check_conv_gradient(kernel, rng, dtype, rows, want, magnitude, fields, terms):
    """A gradient of parameters (items, width): cut by items, and summed over tasks of rows."""
    items, n = len(want), lanes(dtype)
    got = Guarded(None, dtype, want.shape)
    first = {kernel.fields[0]: got}
    more = dict(mode=BY_ITEMS, step=0)
    run_kernel(kernel, dtype, rows, pieces(rng, items), **first, **fields, **more)
    close(got.array, want, dtype, magnitude, terms)
    grain = n * int(rng.integers(1, 3))
    tasks = [(lo, min(lo + grain, rows)) for lo in range(0, rows, grain)]
    partial = Guarded(None, dtype, (len(tasks), items + 1, *want.shape[1:]))
    more = dict(mode=BY_ROWS, step=partial.array[0].size)
    run_kernel(kernel, dtype, rows, tasks, **{kernel.fields[0]: partial}, **fields, **more)
    assert np.isnan(partial.array[:, -1]).all()
    close(wide(partial.array[:, :-1]).sum(axis=0), want, dtype, magnitude, terms)


def check_conv_backward_weight(kernel, rng, dtype, rows, n):
    x, weight, dy, sizes, stride, dilation = conv_case(rng, dtype, rows, n)
    steps = dict(groups=sizes["groups"], stride=stride, dilation=dilation, shape=weight.shape)
    want = naive.conv_backward_weight(wide(x), wide(dy), **steps)
    magnitude = naive.conv_backward_weight(np.abs(wide(x)), np.abs(wide(dy)), **steps)
    fields = dict(x=in_blocks(x, dtype, 5.0), dy=in_blocks(dy, dtype), **sizes)
    check_conv_gradient(kernel, rng, dtype, rows, want, magnitude, fields, rows * dy[0, 0].size)


def check_conv_backward_bias(kernel, rng, dtype, rows, n):
    dy = normal(rng, dtype, rows, 3, n)
    want, magnitude = naive.conv_backward_bias(wide(dy)), np.abs(wide(dy)).sum(axis=(0, 2))
    fields = dict(dy=in_blocks(dy, dtype), filters=3, pixels=n)
    check_conv_gradient(kernel, rng, dtype, rows, want, magnitude, fields, rows * n)


def pool_case(rng, dtype, rows, n):
    """(x, sizes, window) of a pooling; numbers that often are equal."""
    window, stride = rng.integers(1, 4, (2, 2))
    border, out = rng.integers(0, window // 2 + 1), rng.integers(1, (4, 2 + n % 5))
    size = np.maximum((out - 1) * stride + window - 2 * border + rng.integers(0, 2, 2), 1)
    out = (size + 2 * border - window) // stride + 1
    x = rng.integers(-3, 4, (rows, 1 + n % 3, *size)).astype(dtype)
    sizes = dict(maps=x.shape[1])
    for name, pair in (("in", size), ("out", out), ("kernel", window), ("stride", stride)):
        sizes |= {f"{name}_h": int(pair[0]), f"{name}_w": int(pair[1])}
    sizes |= dict(top=int(border[0]), left=int(border[1]))
    return x, sizes, dict(window=tuple(window), stride=tuple(stride), border=tuple(border))


def check_pool_forward(kernel, rng, dtype, rows, n):
    x, sizes, window = pool_case(rng, dtype, rows, n)
    want = getattr(naive, kernel.name)(wide(x), **window)
    y = Guarded(None, dtype, in_blocks(want, dtype).shape)
    run_kernel(kernel, dtype, rows, block_pieces(rng, dtype, rows), y=y, x=in_blocks(x, dtype), **sizes)
    close(in_rows(y.array, rows), want, dtype, np.full(want.shape, 3.0), 9)


def check_max_pool_backward(kernel, rng, dtype, rows, n):
    x, sizes, window = pool_case(rng, dtype, rows, n)
    y = naive.max_pool_forward(wide(x), **window)
    dy = normal(rng, dtype, *y.shape)
    for relu in (0, 1):
        want = naive.max_pool_backward(wide(dy), wide(x), relu, **window)
        dx = Guarded(None, dtype, in_blocks(x, dtype).shape)
        read = {name: in_blocks(a, dtype) for name, a in (("dy", dy), ("y", y), ("x", x))}
        run_kernel(kernel, dtype, rows, block_pieces(rng, dtype, rows), dx=dx, **read, **sizes, relu=relu)
        close(in_rows(dx.array, rows), want, dtype, np.full(want.shape, np.abs(dy).max()), 9)


def check_average_pool_backward(kernel, rng, dtype, rows, n):
    x, sizes, window = pool_case(rng, dtype, rows, n)
    dy = normal(rng, dtype, *naive.average_pool_forward(wide(x), **window).shape)
    want = naive.average_pool_backward(wide(dy), x.shape, **window)
    dx = Guarded(None, dtype, in_blocks(x, dtype).shape)
    run_kernel(kernel, dtype, rows, block_pieces(rng, dtype, rows), dx=dx, dy=in_blocks(dy, dtype), **sizes)
    close(in_rows(dx.array, rows), want, dtype, np.full(want.shape, np.abs(dy).max()), 9)


def check_copy(kernel, rng, dtype, rows, n):
    for tasks, layout, shape in layouts(kernel, rng, dtype, rows):
        x = normal(rng, dtype, *shape, n)
        y = Guarded(None, dtype, x.shape)
        run_kernel(kernel, dtype, rows, tasks, y=y, x=x, features=n, **layout)
        assert (y.array == naive.copy(x)).all()


def check_add(kernel, rng, dtype, rows, n):
    for tasks, layout, shape in layouts(kernel, rng, dtype, rows):
        x, y = normal(rng, dtype, *shape, n), normal(rng, dtype, *shape, n)
        z = Guarded(None, dtype, x.shape)
        run_kernel(kernel, dtype, rows, tasks, z=z, x=x, y=y, features=n, **layout)
        assert (z.array == naive.add(x, y)).all()


def norm_case(rng, dtype, rows, n):
    """(x, dy, gain, bias, statistics, sizes, grain, tasks) of maps far from 0; padding lanes of x are not 0."""
    maps, grain = 1 + n % 4, lanes(dtype) * int(rng.integers(1, 3))
    x, dy = 3 + normal(rng, dtype, rows, maps, n), normal(rng, dtype, rows, maps, n)
    gain, bias, running = normal(rng, dtype, maps), normal(rng, dtype, maps), normal(rng, dtype, 2, maps)
    running[1] **= 2
    tasks = [(lo, min(lo + grain, rows)) for lo in range(0, rows, grain)]
    return x, dy, gain, bias, running, dict(maps=maps, pixels=n), np.array([grain]), tasks


def check_batch_norm_sums(kernel, rng, dtype, rows, n):
    x, _, _, _, _, sizes, _, tasks = norm_case(rng, dtype, rows, n)
    want = np.array([naive.batch_norm_sums(wide(x[lo:hi])) for lo, hi in tasks])
    for training in (1, 0):
        sums = Guarded(None, np.float64, want.shape)
        record = dict(sums=sums, x=in_blocks(x, dtype, 7.0), **sizes, training=np.array([training]))
        run_kernel(kernel, dtype, rows, tasks, **record)
        if training:
            close(sums.array, want, dtype, 16 * rows * n, n)
        else:
            assert np.isnan(sums.array).all()


def check_batch_norm_statistics(kernel, rng, dtype, rows, n):
    x, _, _, _, running, sizes, grain, tasks = norm_case(rng, dtype, rows, n)
    sums = np.array([naive.batch_norm_sums(wide(x[lo:hi])) for lo, hi in tasks])
    for training, of in ((1, wide(x)), (0, None)):
        statistics = Guarded(None, dtype, (3, len(running[0])))
        given = dict(sums=sums, running=running, **sizes, grain=grain, training=np.array([training]))
        run_kernel(kernel, dtype, rows, [(0, 1)], statistics=statistics, **given, epsilon=bits(1e-5))
        want = naive.batch_norm_statistics(of, wide(running), 1e-5)
        close(statistics.array, want, dtype, np.abs(want) * 100, 8)


def check_batch_norm_update(kernel, rng, dtype, rows, n):
    x, _, _, _, running, sizes, _, _ = norm_case(rng, dtype, rows, n)
    statistics = naive.batch_norm_statistics(wide(x), None, 1e-5).astype(dtype)
    got = Guarded(running)
    record = dict(running=got, statistics=statistics, **sizes, momentum=bits(0.3))
    run_kernel(kernel, dtype, rows, [(0, 1)], **record)
    want = naive.batch_norm_update(wide(running), wide(statistics), rows * n, 0.3)
    close(got.array, want, dtype, np.abs(running) + np.abs(statistics[:2]) * 2, 8)


def check_batch_norm_forward(kernel, rng, dtype, rows, n):
    x, _, gain, bias, running, sizes, _, _ = norm_case(rng, dtype, rows, n)
    statistics = naive.batch_norm_statistics(None, wide(running), 1e-5).astype(dtype)
    for relu in (0, 1):
        y = Guarded(None, dtype, in_blocks(x, dtype).shape)
        record = dict(y=y, x=in_blocks(x, dtype), statistics=statistics, gain=gain, bias=bias, **sizes, relu=relu)
        run_kernel(kernel, dtype, rows, block_pieces(rng, dtype, rows), **record)
        want = naive.batch_norm_forward(wide(x), wide(statistics), wide(gain), wide(bias), relu)
        close(in_rows(y.array, rows), want, dtype, (np.abs(x).max() + 3) * statistics[2].max() * 4 + 4, 8)


def away_from_the_kink(dy, x, statistics, gain, bias):
    """dy, and 0 where rounding decides on which side of 0 the output is."""
    y = naive.batch_norm_forward(wide(x), wide(statistics), wide(gain), wide(bias), 0)
    return np.where(np.abs(y) < 1e-4, 0, dy).astype(dy.dtype)


def check_batch_norm_backward_sums(kernel, rng, dtype, rows, n):
    x, dy, gain, bias, running, sizes, _, tasks = norm_case(rng, dtype, rows, n)
    statistics = naive.batch_norm_statistics(None, wide(running), 1e-5).astype(dtype)
    dy, read = away_from_the_kink(dy, x, statistics, gain, bias), dict(statistics=statistics, gain=gain, bias=bias)
    for relu in (0, 1):
        sums = Guarded(None, np.float64, (len(tasks), 2, len(running[0])))
        given = dict(dy=in_blocks(dy, dtype), x=in_blocks(x, dtype, 7.0), **read, **sizes, relu=relu)
        run_kernel(kernel, dtype, rows, tasks, sums=sums, **given)
        of = [wide(read[name]) for name in read]
        want = [naive.batch_norm_backward_sums(wide(dy[lo:hi]), wide(x[lo:hi]), *of, relu) for lo, hi in tasks]
        close(sums.array, np.array(want), dtype, rows * n * 40 * (1 + statistics[2].max()), n)


def check_batch_norm_backward_add(kernel, rng, dtype, rows, n):
    grain = int(rng.integers(1, rows + 1))
    sums, dparams = rng.standard_normal((-(-rows // grain), 2, n)), Guarded(None, dtype, (2, n))
    run_kernel(kernel, dtype, rows, [(0, 1)], dparams=dparams, sums=sums, maps=n, grain=np.array([grain]))
    close(dparams.array, naive.batch_norm_backward_add(sums), dtype, np.abs(sums).sum(axis=0), len(sums))


def check_batch_norm_backward(kernel, rng, dtype, rows, n):
    x, dy, gain, bias, running, sizes, _, _ = norm_case(rng, dtype, rows, n)
    statistics = naive.batch_norm_statistics(None, wide(running), 1e-5).astype(dtype)
    dy, of = away_from_the_kink(dy, x, statistics, gain, bias), (wide(statistics), wide(gain), wide(bias))
    for training, relu in itertools.product((1, 0), (0, 1)):
        dparams = naive.batch_norm_backward_sums(wide(dy), wide(x), *of, relu).astype(dtype)
        dx = Guarded(None, dtype, in_blocks(x, dtype).shape)
        read = dict(dy=in_blocks(dy, dtype), x=in_blocks(x, dtype, 7.0), statistics=statistics, gain=gain, bias=bias)
        more = dict(dparams=dparams, **sizes, training=np.array([training]), relu=relu)
        run_kernel(kernel, dtype, rows, block_pieces(rng, dtype, rows), dx=dx, **read, **more)
        want = naive.batch_norm_backward(wide(dy), wide(x), *of, wide(dparams), training, relu)
        size = np.abs(x).max() * (1 + statistics[2].max()) ** 3 * (1 + np.abs(dparams).max()) * 10
        close(in_rows(dx.array, rows), want, dtype, np.full(want.shape, size), 8)
        assert (dx.array[-1][..., rows % lanes(dtype) or lanes(dtype) :] == 0).all()


def check_copy_gradient(kernel, rng, dtype, rows, n):
    source, dw = normal(rng, dtype, rows, n), Guarded(None, dtype, (rows, n))
    unused = dict(mode=BY_ITEMS, step=0)
    run_kernel(kernel, dtype, rows, pieces(rng, rows), dw=dw, source=source, width=n, **unused)
    assert (dw.array == naive.copy_gradient(source)).all()


def layer_norm_case(rng, dtype, rows, n):
    groups, size = 1 + n % 3, n + 1
    x, dy = 2 + normal(rng, dtype, rows, groups, size), normal(rng, dtype, rows, groups, size)
    return x, dy, normal(rng, dtype, size), normal(rng, dtype, size), dict(groups=groups, size=size)


def check_layer_norm_forward(kernel, rng, dtype, rows, n):
    x, _, gain, bias, sizes = layer_norm_case(rng, dtype, rows, n)
    y, mean, rstd = (Guarded(None, dtype, in_blocks(a, dtype).shape) for a in (x, x[:, :, 0], x[:, :, 0]))
    record = dict(y=y, mean=mean, rstd=rstd, x=in_blocks(x, dtype), gain=gain, bias=bias)
    run_kernel(kernel, dtype, rows, block_pieces(rng, dtype, rows), **record, **sizes, epsilon=bits(1e-3))
    wants = naive.layer_norm_forward(wide(x), wide(gain), wide(bias), 1e-3)
    for got, want in zip((y, mean, rstd), wants, strict=True):
        close(in_rows(got.array, rows), want, dtype, (np.abs(want).max() + 1) * wants[2].max() ** 2 * 9, n)


def check_layer_norm_backward(kernel, rng, dtype, rows, n):
    x, dy, gain, bias, sizes = layer_norm_case(rng, dtype, rows, n)
    _, mean, rstd = (a.astype(dtype) for a in naive.layer_norm_forward(wide(x), wide(gain), wide(bias), 1e-3))
    dx, read = Guarded(None, dtype, in_blocks(x, dtype).shape), dict(dy=dy, x=x, mean=mean, rstd=rstd)
    blocks = {name: in_blocks(a, dtype) for name, a in read.items()}
    run_kernel(kernel, dtype, rows, block_pieces(rng, dtype, rows), dx=dx, **blocks, gain=gain, **sizes)
    want = naive.layer_norm_backward(*(wide(a) for a in read.values()), wide(gain))
    close(in_rows(dx.array, rows), want, dtype, np.full(want.shape, 30 * rstd.max() ** 2), n)


def check_layer_norm_backward_params(kernel, rng, dtype, rows, n):
    x, dy, gain, bias, sizes = layer_norm_case(rng, dtype, rows, n)
    _, mean, rstd = (a.astype(dtype) for a in naive.layer_norm_forward(wide(x), wide(gain), wide(bias), 1e-3))
    read = dict(dy=dy, x=x, mean=mean, rstd=rstd)
    blocks = {name: in_blocks(a, dtype) for name, a in read.items()}
    want = naive.layer_norm_backward_params(*(wide(a) for a in read.values()))
    magnitude = np.full(want.shape, np.abs(dy).max() * rows * sizes["groups"] * 9 * rstd.max())
    got = Guarded(None, dtype, want.shape)
    run_kernel(kernel, dtype, rows, [(0, 2)], dparams=got, **blocks, **sizes, mode=BY_ITEMS, step=0)
    close(got.array, want, dtype, magnitude, rows)
    grain = lanes(dtype)
    tasks = [(lo, min(lo + grain, rows)) for lo in range(0, rows, grain)]
    partial = Guarded(None, dtype, (len(tasks), 3, want.shape[1]))
    more = dict(mode=BY_ROWS, step=3 * want.shape[1])
    run_kernel(kernel, dtype, rows, tasks, dparams=partial, **blocks, **sizes, **more)
    assert np.isnan(partial.array[:, -1]).all()
    close(wide(partial.array[:, :-1]).sum(axis=0), want, dtype, magnitude, rows)


def check_load_rows(kernel, rng, dtype, rows, n):
    for source in (np.float32, np.float64, np.uint8):
        for order in (None, rng.permutation(rows + 5)):
            for layout in (np.ascontiguousarray, np.asfortranarray, lambda a: np.ascontiguousarray(a[::-1])[::-1]):
                x = layout(rng.integers(0, 200, (rows + 5, n)).astype(source))
                code = {np.float32: 0, np.float64: 1, np.uint8: 2}[source]
                described = np.array([x.ctypes.data, code, *(s // x.itemsize for s in x.strides)], np.int64)
                at = np.array([0 if order is None else order.ctypes.data], np.int64)
                start = np.array([int(rng.integers(0, 6))], np.int64)
                y = Guarded(None, dtype, (rows, n))
                record = dict(y=y, source=described, order=at, start=start, features=n)
                run_kernel(kernel, dtype, rows, pieces(rng, rows), **record)
                assert (y.array == naive.load_rows(x, order, start[0], rows)).all()
    one = np.array([7], dtype)
    described = np.array([one.ctypes.data, 0 if dtype == np.float32 else 1, 0, 1], np.int64)
    y, zero = Guarded(None, dtype, (rows, 1)), np.zeros(1, np.int64)
    run_kernel(kernel, dtype, rows, pieces(rng, rows), y=y, source=described, order=zero, start=zero, features=1)
    assert (y.array == 7).all()


def check_store_rows(kernel, rng, dtype, rows, n):
    x, target = normal(rng, dtype, rows, n), Guarded(normal(rng, dtype, rows + 3, n))
    want = naive.store_rows(x, target.array, 2)
    at, start = np.array([target.array.ctypes.data], np.int64), np.array([2], np.int64)
    run_kernel(kernel, dtype, rows, pieces(rng, rows), x=x, target=at, start=start, features=n)
    assert (target.array == want).all() and target.intact()


def check_one_hot_rows(kernel, rng, dtype, rows, n):
    dy, start = Guarded(None, dtype, (rows, n)), np.array([int(rng.integers(0, 40))], np.int64)
    run_kernel(kernel, dtype, rows, pieces(rng, rows), dy=dy, start=start, features=n)
    assert (dy.array == naive.one_hot_rows(start[0], rows, n)).all()


def check_add_sums(kernel, rng, dtype, rows, n):
    grain = int(rng.integers(1, rows + 1))
    sums, totals = rng.standard_normal((-(-rows // grain), 2)), Guarded(rng.standard_normal(3))
    want = naive.add_sums(totals.array, sums, rows)
    run_kernel(kernel, dtype, rows, [(0, 1)], totals=totals, sums=sums, grain=np.array([grain]))
    np.testing.assert_allclose(totals.array, want, rtol=1e-12, atol=1e-12)


ADAM = dict(beta1=0.9, beta2=0.99, epsilon=1e-3, decoupled=(0.0, 1.0))
NADAM = dict(beta1=0.9, beta2=0.99, epsilon=1e-3, decoupled=0.0, momentum_decay=4e-3)
ADAGRAD = dict(rate_decay=0.1, adagrad_epsilon=1e-3)
SCALARS = {
    **{name: {} for name in ("count_step", "sgd_update")},
    "momentum_update": dict(momentum=0.9, nesterov=(0.0, 1.0)),
    "adam_count_step": ADAM,
    "adam_update": ADAM,
    "nadam_count_step": NADAM,
    "nadam_update": NADAM,
    "rmsprop_update": dict(rho=0.9, rms_epsilon=1e-3, rms_momentum=0.8),
    "adagrad_count_step": ADAGRAD,
    "adagrad_update": ADAGRAD,
    "adadelta_update": dict(rho=0.9, rms_epsilon=1e-3),
    "lion_update": dict(beta1=0.9, beta2=0.99),
    "rprop_update": dict(shrink=0.5, grow=1.2, least=0.3, most=1.5),
}
COMPUTED = {  # by what counts the step
    "adam": dict(step_size=0.2, root=0.05),
    "nadam": dict(product=0.7, of_gradient=0.1, of_mean=0.2, root=0.05),
    "adagrad": dict(decayed_rate=0.08),
}


def scalars_for(kernel, rng, rows):
    """The scalars of a kernel by name, and the array in which it finds them."""
    values = dict(step=float(rows - 1), rate=0.1, decay=0.01)
    values |= {n: rng.choice(v) if isinstance(v, tuple) else v for n, v in SCALARS[kernel.name].items()}
    values |= COMPUTED.get(kernel.name.split("_")[0], {})
    if kernel.name == "rprop_update":  # it has a state of that name
        del values["decay"], values["step"]
    array = np.full(16, np.nan)
    for name, value in values.items():
        array[getattr(updates, name.upper())] = value
    return values, array


def check_count_step(kernel, rng, dtype, rows, n):
    values, array = scalars_for(kernel, rng, rows)
    guarded = Guarded(array)
    want = getattr(naive, kernel.name)(**values)
    run_kernel(kernel, dtype, rows, [(0, 1)], scalars=guarded)
    changed = {getattr(updates, name.upper()): value for name, value in want.items()}
    for place, value in enumerate(array):
        np.testing.assert_allclose(guarded.array[place], changed.get(place, value), rtol=1e-12)


def check_update(kernel, rng, dtype, rows, n):
    state = [name for name in kernel.fields if name not in ("w", "dw", "scalars", "factor", "width")]
    values, scalars = scalars_for(kernel, rng, rows)
    for without in [{"mean"}, {"velocity"}, {"mean", "velocity"}, set()] if "mean" in state else [set()]:
        arrays = {name: normal(rng, dtype, rows, n) for name in ("w", *state, "dw")}
        for name in {"v", "square", "moved", "step"} & set(state):
            arrays[name] = np.abs(arrays[name])
        if "mean" in state:  # a running mean of squares is no less than the square of a running mean
            arrays["square"] = arrays["mean"] ** 2 + 1
        factor = np.array([rng.uniform(0.5, 2)])
        given = {name: None if name in without else wide(a) for name, a in arrays.items()}
        want = getattr(naive, kernel.name)(**given, factor=factor[0], **values)
        guarded = {name: 0 if name in without else Guarded(array) for name, array in arrays.items()}
        run_kernel(kernel, dtype, rows, pieces(rng, rows), **guarded, scalars=scalars, factor=factor, width=n)
        assert (guarded["dw"].array == arrays["dw"]).all()
        assert set(want) == {"w", *state} - without
        for name, value in want.items():
            close(guarded[name].array, value, dtype, np.abs(value) + np.abs(arrays["w"]) + 1, 64)


def bits(value):
    return int(np.float64(value).view(np.int64))


def check_penalty_gradient(kernel, rng, dtype, rows, n):
    w, dw, items = normal(rng, dtype, rows + 1, n), normal(rng, dtype, rows + 1, n), rows
    w[0, 0] = 0
    guarded = Guarded(dw)
    record = dict(dw=guarded, w=w, items=items, width=n, l1=bits(0.3), l2=bits(0.2))
    run_kernel(kernel, dtype, rows, pieces(rng, rows + 1), **record)
    close(
        guarded.array[:rows],
        naive.add_penalty_gradient(wide(dw), wide(w), 0.3, 0.2)[:rows],
        dtype,
        np.abs(w[:rows]) + 2,
        8,
    )
    assert (guarded.array[rows] == dw[rows]).all()


def check_sums(kernel, rng, dtype, rows, n):
    """The sums of penalties and of squares, for tasks of `grain` items."""
    values, grain = normal(rng, dtype, rows, n), int(rng.integers(1, rows + 1))
    tasks = [(lo, min(lo + grain, rows)) for lo in range(0, rows, grain)]
    sums = Guarded(None, np.float64, len(tasks))
    extra, more = ((0.3, 0.2), dict(l1=bits(0.3), l2=bits(0.2))) if kernel.name == "penalty_sums" else ((), {})
    name = kernel.fields[1]
    run_kernel(kernel, dtype, rows, tasks, sums=sums, **{name: values}, width=n, **more)
    want = [getattr(naive, kernel.name)(wide(values[lo:hi]), *extra) for lo, hi in tasks]
    close(sums.array, want, dtype, want, n)


def check_add_penalties(kernel, rng, dtype, rows, n):
    sums, totals = rng.standard_normal(n), Guarded(rng.standard_normal(3))
    want = naive.add_penalties(totals.array, sums, rows)
    run_kernel(kernel, dtype, rows, [(0, 1)], totals=totals, sums=sums, count=n)
    np.testing.assert_allclose(totals.array, want, rtol=1e-10, atol=1e-10)


def check_clip_values(kernel, rng, dtype, rows, n):
    dw = normal(rng, dtype, rows, n)
    guarded = Guarded(dw)
    run_kernel(kernel, dtype, rows, pieces(rng, rows), dw=guarded, width=n, most=bits(0.5))
    assert (guarded.array == naive.clip_values(dw, 0.5)).all()


def check_clip_ratio(kernel, rng, dtype, rows, n):
    sums, ratio = rng.uniform(0, 1, n), Guarded(None, np.float64, 1)
    for most in (0.1, 1e3):
        run_kernel(kernel, dtype, rows, [(0, 1)], ratio=ratio, sums=sums, count=n, most=bits(most))
        np.testing.assert_allclose(ratio.array, naive.clip_ratio(sums, most), rtol=1e-12)


def check_move_average(kernel, rng, dtype, rows, n):
    average, w = normal(rng, dtype, rows, n), normal(rng, dtype, rows, n)
    for share in (1.0, 0.1, 1e-9):
        guarded = Guarded(average)
        run_kernel(kernel, dtype, rows, pieces(rng, rows), average=guarded, w=w, width=n, share=bits(share))
        want = naive.move_average(wide(average), wide(w), share)
        close(guarded.array, want, dtype, np.abs(average) + np.abs(w), 4)


def check_scale_gradient(kernel, rng, dtype, rows, n):
    dw = normal(rng, dtype, rows, n)
    guarded = Guarded(dw)
    run_kernel(kernel, dtype, rows, pieces(rng, rows), dw=guarded, ratio=np.array([0.3]), width=n)
    close(guarded.array, naive.scale_gradient(wide(dw), 0.3), dtype, dw, 2)


def check_add_gradient_noise(kernel, rng, dtype, rows, n):
    dw, key = normal(rng, dtype, rows, n), int(rng.integers(-(2**63), 2**63 - 1))
    guarded, scalars = Guarded(dw), np.array([float(rows), 0.0])
    run_kernel(kernel, dtype, rows, pieces(rng, rows), dw=guarded, scalars=scalars, width=n, key=key, level=bits(0.3))
    want = naive.add_gradient_noise(wide(dw), 0.3, key % 2**64, rows)
    np.testing.assert_allclose(guarded.array, want, rtol=0, atol=3e-6)


def check_dropout_forward(kernel, rng, dtype, rows, n):
    x, key, step = normal(rng, dtype, rows, n), int(rng.integers(-(2**63), 2**63 - 1)), float(rows)
    for training, rate in ((1, 0.3), (1, 0.9), (0, 0.3)):
        clock = dict(training=np.array([training]), step=np.array([step]))
        for pixels, blocked in itertools.product({1, n}, (0, 1)):
            given = in_blocks(x, dtype) if blocked else x
            y, mask = Guarded(None, dtype, given.shape), Guarded(None, dtype, given.shape)
            sizes = dict(features=n, pixels=pixels, blocked=blocked)
            record = dict(y=y, mask=mask, x=given, **sizes, rate=bits(rate), key=key)
            tasks = block_pieces(rng, dtype, rows) if blocked else pieces(rng, rows)
            run_kernel(kernel, dtype, rows, tasks, **record, **clock)
            want = (wide(x), np.ones_like(x))
            if training:
                want = naive.dropout_forward(wide(x), rate, key % 2**64, int(step), pixels)
            for got, value in zip((y.array, mask.array), want, strict=True):
                close(in_rows(got, rows) if blocked else got, value, dtype, value, 2)


def check_dropout_backward(kernel, rng, dtype, rows, n):
    dy, mask, dx = normal(rng, dtype, rows, n), normal(rng, dtype, rows, n), Guarded(None, dtype, (rows, n))
    run_kernel(kernel, dtype, rows, pieces(rng, rows), dx=dx, dy=dy, mask=mask, features=n, blocked=0)
    close(dx.array, naive.dropout_backward(wide(dy), wide(mask)), dtype, dy * mask, 2)


def check_shift_maps(kernel, rng, dtype, rows, n):
    for height, width in ((1, n), (n, 3), (5, 6)):
        x, step, key = normal(rng, dtype, rows, 2, height, width), float(rows), int(rng.integers(-(2**63), 2**63 - 1))
        most = int(rng.integers(0, height)), int(rng.integers(0, width))
        got = Guarded(x)
        sizes = dict(maps=2, height=height, width=width, most_down=most[0], most_right=most[1])
        record = dict(x=got, **sizes, fill=bits(0.25), key=key, step=np.array([step]))
        run_kernel(kernel, dtype, rows, pieces(rng, rows), **record)
        assert (got.array == naive.shift_maps(x, *most, 0.25, key % 2**64, int(step))).all()


def check_flip_maps(kernel, rng, dtype, rows, n):
    for p in (0.0, 0.4, 1.0):
        x, step, key = normal(rng, dtype, rows, 3, n), float(rows), int(rng.integers(-(2**63), 2**63 - 1))
        got = Guarded(x)
        record = dict(x=got, lines=3, width=n, p=bits(p), key=key, step=np.array([step]))
        run_kernel(kernel, dtype, rows, pieces(rng, rows), **record)
        assert (got.array == naive.flip_maps(x, p, key % 2**64, int(step))).all()


def check_add_noise(kernel, rng, dtype, rows, n):
    x, step, key = normal(rng, dtype, rows, n), float(rows), int(rng.integers(-(2**63), 2**63 - 1))
    got = Guarded(x)
    record = dict(x=got, features=n, deviation=bits(3.0), key=key, step=np.array([step]))
    run_kernel(kernel, dtype, rows, pieces(rng, rows), **record)
    want = naive.add_noise(wide(x), 3.0, key % 2**64, int(step))
    np.testing.assert_allclose(got.array, want, rtol=0, atol=3e-6)


SCHEDULES = {
    "step_decay_schedule": (0.5, 0.3, 7.0),
    "exponential_decay_schedule": (0.5, 0.3, 7.0),
    "cosine_decay_schedule": (0.5, 20.0, 0.1),
    "one_cycle_schedule": (0.02, 0.5, 0.001, 8.0, 29.0),
    "piecewise_constant_schedule": (2.0, 5.0, 12.0, 0.5, 0.2, 0.1),
    "inverse_scaling_schedule": (0.5, 0.6),
    "warmup_schedule": (10.0, 0.2),
}


def check_schedule(kernel, rng, dtype, rows, n):
    constants = SCHEDULES[kernel.name]
    for t in (0, 1, 5, 7, 8, 9, 12, 19, 20, 21, 29, 40):
        for shift in (0, 6) if "shift" in kernel.fields else (None,):
            scalars = Guarded([float(t), 2.0, np.nan])
            more = {} if shift is None else {"shift": shift}
            run_kernel(kernel, dtype, rows, [(0, 1)], scalars=scalars, constants=np.array(constants), **more)
            want = getattr(naive, kernel.name)(max(t - (shift or 0), 0), *constants)
            want = want * 2.0 if shift is None else want
            np.testing.assert_allclose(scalars.array[1], want, rtol=1e-12)
            assert scalars.array[0] == t and np.isnan(scalars.array[2])


CHECKS = {
    "load_rows": check_load_rows,
    "store_rows": check_store_rows,
    "one_hot_rows": check_one_hot_rows,
    "dense_forward": check_dense_forward,
    "dense_pack_rows": check_dense_pack_rows,
    "add_partial": check_add_partial,
    "dense_pack_transposed": check_dense_pack_transposed,
    "dense_backward_input": check_dense_backward_input,
    "dense_backward_weight": check_dense_backward_weight,
    **{f"{name}_forward": check_forward for name in ACTIVATIONS if name != "linear"},
    **{f"{name}_backward": check_backward for name in ACTIVATIONS if name != "linear"},
    **dict.fromkeys(
        ("mse_loss", "squared_error_loss", "mae_loss", "huber_loss", "poisson_loss", "hinge_loss"), check_loss
    ),
    "quantile_loss": check_quantile_loss,
    "gaussian_nll_loss": check_gaussian_nll_loss,
    "mean_variance_forward": check_forward,
    "mean_variance_backward": check_backward,
    **dict.fromkeys(("kl_divergence_loss", "binary_cross_entropy_loss", "cross_entropy_labels_loss"), check_loss),
    **dict.fromkeys(("cross_entropy_probabilities_loss", "cross_entropy_smoothed_loss"), check_loss),
    **dict.fromkeys(("block_rows", "block_gradients"), check_block),
    "unblock_rows": check_unblock_rows,
    "pad_maps": check_pad_maps,
    "crop_maps": check_crop_maps,
    "conv_forward": check_conv_forward,
    "conv_pack": check_conv_pack,
    "conv_backward_input": check_conv_backward_input,
    "conv_backward_weight": check_conv_backward_weight,
    "conv_backward_bias": check_conv_backward_bias,
    **dict.fromkeys(("max_pool_forward", "average_pool_forward"), check_pool_forward),
    "max_pool_backward": check_max_pool_backward,
    "average_pool_backward": check_average_pool_backward,
    "copy": check_copy,
    "add": check_add,
    "batch_norm_sums": check_batch_norm_sums,
    "batch_norm_statistics": check_batch_norm_statistics,
    "batch_norm_update": check_batch_norm_update,
    "batch_norm_forward": check_batch_norm_forward,
    "batch_norm_backward_sums": check_batch_norm_backward_sums,
    "batch_norm_backward_add": check_batch_norm_backward_add,
    "batch_norm_backward": check_batch_norm_backward,
    "copy_gradient": check_copy_gradient,
    "layer_norm_forward": check_layer_norm_forward,
    "layer_norm_backward": check_layer_norm_backward,
    "layer_norm_backward_params": check_layer_norm_backward_params,
    "add_sums": check_add_sums,
    **{name: check_count_step for name in SCALARS if name.endswith("count_step")},
    **{name: check_update for name in SCALARS if name.endswith("update")},
    "add_penalty_gradient": check_penalty_gradient,
    **dict.fromkeys(("penalty_sums", "square_sums"), check_sums),
    "add_penalties": check_add_penalties,
    "clip_values": check_clip_values,
    "clip_ratio": check_clip_ratio,
    "scale_gradient": check_scale_gradient,
    "move_average": check_move_average,
    "add_gradient_noise": check_add_gradient_noise,
    "dropout_forward": check_dropout_forward,
    "dropout_backward": check_dropout_backward,
    "shift_maps": check_shift_maps,
    "flip_maps": check_flip_maps,
    "add_noise": check_add_noise,
    **dict.fromkeys(SCHEDULES, check_schedule),
}


def test_every_kernel_has_a_naive_twin_and_a_row_here():
    assert set(KERNELS) == set(CHECKS)
    assert set(KERNELS) == {name for name in vars(naive) if name in KERNELS}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CHECKS)
def test_kernel_agrees_with_naive(name, dtype):
    for rows, n in SHAPES:
        rng = np.random.default_rng(seed_of(name, str(dtype), rows, n))
        CHECKS[name](KERNELS[name], rng, dtype, rows, n)


def test_relu_keeps_nan_and_infinity():
    x = np.array([[np.nan, np.inf, -np.inf, -0.0]], np.float32)
    y = Guarded(None, np.float32, x.shape)
    run_kernel(KERNELS["relu_forward"], np.float32, 1, [(0, 1)], y=y, x=x, features=4, blocked=0)
    assert np.isnan(y.array[0, 0]) and y.array[0, 1] == np.inf and (y.array[0, 2:] == 0).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [50.0, 1e4, 1e30])
def test_losses_from_logits_are_stable(dtype, size):
    """Logits of any size give finite gradients and the right loss: no exp overflows."""
    y = np.array([[size, -size], [-size, size]], dtype)
    weight, sums = np.ones(2, dtype), np.zeros((1, 2))
    for name, target, want in (
        ("cross_entropy_labels_loss", np.array([[0], [0]]), 0 + 2 * size),
        ("cross_entropy_probabilities_loss", np.array([[1, 0], [1, 0]]), 0 + 2 * size),
        ("binary_cross_entropy_loss", np.array([[1, 0], [1, 0]]), 0 + size),
    ):
        dy = Guarded(None, dtype, (2, 2))
        record = dict(dy=dy, y=y, target=target.astype(dtype), weight=weight, sums=sums, outputs=2)
        more = {"smoothing": 0} if "smoothing" in KERNELS[name].fields else {}
        run_kernel(KERNELS[name], dtype, 2, [(0, 2)], **record, **more)
        assert np.isfinite(dy.array).all()
        np.testing.assert_allclose(sums[0, 0], want, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_variances_of_any_size_are_stable(dtype):
    """Logarithms of variances that exp can't take give finite gradients and the right loss."""
    y, weight = np.array([[0.5, 1e4], [0.5, -1e4], [1e3, -1e4]], dtype), np.ones(3, dtype)
    for row, want in ((0, 0.5e4), (1, 0.5 * (np.log(1e-6) + 0.25e6)), (2, 0.5 * (np.log(1e-6) + 1e12))):
        more = {"least": bits(np.log(1e-6))}
        rng, target = np.random.default_rng(0), np.zeros((1, 1), dtype)
        dy, sums = run_loss(KERNELS["gaussian_nll_loss"], rng, dtype, 1, y[row : row + 1], target, weight[:1], **more)
        assert np.isfinite(dy).all()
        np.testing.assert_allclose(sums[0, 0], want, rtol=1e-6)


def test_a_kernel_that_does_not_fit_is_refused():
    """The error names the kernel, and what is wrong with it."""

    def unannotated(y: Array, n, dtype, rows, lo, hi):
        """Nothing."""

    def mixed(y: Array, dtype, n: Size, rows, lo, hi):
        """Nothing."""

    for function in (unannotated, mixed):
        with pytest.raises(TypeError, match=f"{function.__name__} must take fields annotated as one of Array, .* task"):
            Kernel(function)
    names = ", ".join(f"n{i}: Size" for i in range(24))
    space = {"Size": Size}
    exec(f"def long({names}, dtype, rows, lo, hi): pass", space)
    with pytest.raises(TypeError, match="long must have at most 23 fields, as many as an op record, got 24"):
        Kernel(space["long"])
