"""Dense layers: y = x @ weight + bias, and its gradients."""

from __future__ import annotations

from ..runtime.functions import inner, kernel
from ..simd.entry import Array, Integers, Size
from ..simd.memory import is_null, offset
from ..simd.tiles import tile_add_row, tile_store, tile_store_relu, tile_store_where, transpose_block
from ..simd.vectors import lanes, load_first, splat, store, store_first
from .matmul import dot, product_storing

PANEL = 32  # columns of a panel are a divisor of it: two vectors, 32 with AVX-512 in float32
WIDE = 96  # columns of a panel of inputs, for weight gradients: a multiple of every tile's rows


@inner
def _add_bias(t, c, c_stride, r, j, n, extra):
    bias, has_bias, relu = extra
    if has_bias:
        t = tile_add_row(t, offset(bias, j), n)
    tile_store_relu(t, offset(c, r * c_stride + j), c_stride, n, relu)


_product_and_bias = product_storing(_add_bias)


@kernel
def dense_forward(
    y: Array,
    x: Array,
    weight: Array,
    bias: Array,
    fan_in: Size,
    fan_out: Size,
    relu: Size,
    packed: Size,
    dtype,
    rows,
    lo,
    hi,
):
    """y = x @ weight + bias, or max(that, 0) where `relu` is 1, for the rows lo .. hi.

    Writes y (rows, fan_out).
    Reads  x (rows, fan_in); weight (fan_in, fan_out), or what dense_pack wrote where `packed` is 1; bias (fan_out,)
           or null.
    """
    has_bias = not is_null(bias)
    y, x, n, width = offset(y, lo * fan_out), offset(x, lo * fan_in), hi - lo, 2 * lanes(dtype)
    if fan_out == 1:  # a column: whole vectors along x instead of one lane of each
        for r in range(n):
            z = dot(offset(x, r * fan_in), weight, fan_in, dtype)
            if has_bias:
                z += bias[0]
            y[r] = dtype(0) if relu != 0 and z < dtype(0) else z
        return
    extra = bias, has_bias, relu
    step, panel = (width, width * fan_in) if packed != 0 else (fan_out, width)
    _product_and_bias(extra, dtype, n, fan_out, fan_in, y, fan_out, x, fan_in, 1, weight, step, panel)


@kernel
def dense_pack_rows(packed: Array, x: Array, features: Size, width: Size, capacity: Size, dtype, rows, lo, hi):
    """The rows lo .. hi of x in panels of `width` columns (0: of two vectors' width).

    A matrix whose rows are a power of two apart has all of a column in a few sets of the cache; a panel has not.

    Writes packed (panels, capacity, width): packed[p, r, j] = x[r, p · width + j]; 0 beyond the last column.
    Reads  x (rows, features).
    """
    if width == 0:
        width = 2 * lanes(dtype)
    for j in range(0, features, width):
        out = offset(packed, j * capacity)
        for r in range(lo, hi):
            for v in range(0, width, lanes(dtype)):
                n = max(features - j - v, 0)
                store(out, r * width + v, load_first(x, r * features + j + v, n))


@kernel
def dense_pack_transposed(packed: Array, weight: Array, fan_in: Size, fan_out: Size, dtype, rows, lo, hi):
    """The transposed weights in panels of two vectors' width, for the columns 32 lo .. 32 hi.

    Writes packed (panels, fan_out, width): packed[p, j, i] = weight[p · width + i, j], 0 beyond fan_in.
    Reads  weight (fan_in, fan_out).
    """
    n = lanes(dtype)
    for i in range(lo * PANEL, hi * PANEL, n):  # half panels
        out = offset(packed, i // (2 * n) * (2 * n) * fan_out + i % (2 * n))
        source = offset(weight, i * fan_out)
        j = 0
        if i + n <= fan_in:
            while j + n <= fan_out:
                transpose_block(offset(out, j * 2 * n), 2 * n, offset(source, j), fan_out)
                j += n
        for jj in range(j, fan_out):
            for ii in range(n):
                out[jj * 2 * n + ii] = source[ii * fan_out + jj] if i + ii < fan_in else dtype(0)


@inner
def _store_where(t, c, c_stride, r, j, n, extra):
    y, has_y = extra
    at = r * c_stride + j
    if has_y:
        tile_store_where(t, offset(c, at), c_stride, n, offset(y, at))
    else:
        tile_store(t, offset(c, at), c_stride, n)


_product_where = product_storing(_store_where)


@kernel
def dense_backward_input(
    dx: Array, dy: Array, packed: Array, y: Array, fan_in: Size, fan_out: Size, dtype, rows, lo, hi
):
    """dx = dy @ weight.T, and 0 where y is not positive, for the rows lo .. hi.

    Writes dx (rows, fan_in).
    Reads  dy (rows, fan_out); packed: what dense_pack_transposed wrote, or weight itself if fan_out is 1;
           y (rows, fan_in), the ReLU's output whose derivative is applied, or null.
    """
    width = 2 * lanes(dtype)
    dx, dy, extra = offset(dx, lo * fan_in), offset(dy, lo * fan_out), (offset(y, lo * fan_in), not is_null(y))
    panel = width * fan_out
    _product_where(extra, dtype, hi - lo, fan_in, fan_out, dx, fan_in, dy, fan_out, 1, packed, width, panel)


@inner
def _store(t, c, c_stride, r, j, n, extra):
    tile_store(t, offset(c, r * c_stride + j), c_stride, n)


_product = product_storing(_store)


@inner
def _sum_rows(out, x, step, panel, width, rows, columns, dtype):
    """out[j] = Σ over rows of x[r, j], where x[r, j] stands as B[k, j] does in a product."""
    j = 0
    while j < columns:
        column, n, r = offset(x, j // width * panel + j % width), columns - j, 0
        s = t = u = v = splat(dtype(0))  # four sums: an addition takes four cycles, and can begin every half
        while r + 4 <= rows:
            s = s + load_first(column, r * step, n)
            t = t + load_first(column, (r + 1) * step, n)
            u = u + load_first(column, (r + 2) * step, n)
            v = v + load_first(column, (r + 3) * step, n)
            r += 4
        while r < rows:
            s = s + load_first(column, r * step, n)
            r += 1
        store_first(out, j, (s + t) + (u + v), n)
        j += lanes(dtype)


BY_ITEMS, BY_ROWS, PACKED = range(3)


@kernel
def dense_backward_weight(
    dweight: Array, x: Array, dy: Array, fan_in: Size, fan_out: Size, mode: Size, step: Size, dtype, rows, lo, hi, task
):
    """dweight = x.T @ dy, with dbias = the sum of dy over the batch as its row fan_in.

    BY_ITEMS  the rows lo .. hi of dweight
    PACKED    likewise, from x and dy as dense_pack_rows wrote them with widths WIDE and 0 and the capacity `step`;
              lo .. hi lies in one panel of x
    BY_ROWS   all of dweight, summed over the rows lo .. hi of the batch, to the place `task`, `step` apart

    Writes dweight (fan_in, fan_out), with dbias (fan_out,) right behind it (BY_ROWS: in any case).
    Reads  x (rows, fan_in), dy (rows, fan_out).
    """
    width = 2 * lanes(dtype)
    if mode == BY_ROWS:
        dweight = offset(dweight, task * step)
        x, dy, rows = offset(x, lo * fan_in), offset(dy, lo * fan_out), hi - lo
        lo, hi = 0, fan_in + 1
    n, dw = min(hi, fan_in) - lo, offset(dweight, lo * fan_out)
    a, a_stride, a_step = offset(x, lo), 1, fan_in
    b, b_step, panel, columns = dy, fan_out, width, fan_out
    if mode == PACKED:
        a, a_step = offset(x, lo // WIDE * WIDE * step + lo % WIDE), WIDE
        b_step, panel = width, width * step
    if hi > fan_in:
        _sum_rows(offset(dweight, fan_in * fan_out), b, b_step, panel, width, rows, fan_out, dtype)
    if fan_out == 1:  # transposed: vectors run along x
        b, b_step, columns = a, fan_in, n
        a, a_stride, a_step, n = dy, 0, 1, 1
    extra = ()
    _product(extra, dtype, n, columns, rows, dw, columns, a, a_stride, a_step, b, b_step, panel)


@kernel
def add_partial(dweight: Array, partial: Array, size: Size, width: Size, grain: Integers, dtype, rows, lo, hi):
    """dweight = the sum over tasks of what BY_ROWS wrote, in their order, for the rows lo .. hi of dweight.

    Writes dweight (items, width). Reads partial (tasks, size), where size = items · width or more.
    """
    grain = grain[0]
    i, end = lo * width, hi * width
    while i < end:
        total = load_first(partial, i, end - i)
        for task in range(1, (rows + grain - 1) // grain):
            total = total + load_first(partial, task * size + i, end - i)
        store_first(dweight, i, total, end - i)
        i += lanes(dtype)
