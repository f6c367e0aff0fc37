"""Convolutions of maps in blocks (see blocks.py), and their gradients.

Every lane of a vector is another row of the batch, so that all lanes are busy whatever the sizes of maps and kernels.
Where maps need a border of zeros, x has it already: in_h and in_w are sizes with it. Filters and channels fall into
`groups`, each for itself; `taps` counts the weights of a filter: channels of a group, and places of the kernel.
"""

from __future__ import annotations

from numba import types

from ..runtime.functions import inner, kernel
from ..simd.entry import Array, Size
from ..simd.memory import is_null, offset
from ..simd.tiles import (
    LARGE,
    MEDIUM,
    SMALL,
    block_tile,
    rows_of,
    stack,
    tile_add_products,
    tile_add_scaled,
    tile_load_at,
    tile_of_column,
    tile_relu,
    tile_store_at,
    tile_sum_lanes,
)
from ..simd.vectors import lanes, load, splat, store, sum_lanes
from .blocks import blocks
from .dense import BY_ROWS


def over_channels(body):
    """The @njit function (extra, dtype, n, vectors, …): body(extra, dtype, tile, c, …) for tiles of n rows in all."""

    @inner
    def tiles(extra, dtype, n, vectors, *args):
        large, medium, small = (
            block_tile(dtype, LARGE, vectors),
            block_tile(dtype, MEDIUM, vectors),
            block_tile(dtype, SMALL, vectors),
        )
        c = 0
        while c + rows_of(large) <= n and n - c != 2 * rows_of(medium):
            body(extra, dtype, large, c, *args)
            c += rows_of(large)
        while c + rows_of(medium) <= n:
            body(extra, dtype, medium, c, *args)
            c += rows_of(medium)
        while c < n:
            body(extra, dtype, small, c, *args)
            c += 1

    return tiles


@inner
def _places(p, width, row, column):
    """Where in x the windows of the outputs p .. p + 4 of a map begin; outputs are `width` wide."""
    h, w = p // width, p % width
    first = h * row + w * column
    h, w = (h + 1, 0) if w + 1 == width else (h, w + 1)
    second = h * row + w * column
    h, w = (h + 1, 0) if w + 1 == width else (h, w + 1)
    third = h * row + w * column
    h, w = (h + 1, 0) if w + 1 == width else (h, w + 1)
    return first, second, third, h * row + w * column


@inner
def _place(p, width, row, column):
    return (p // width * row + p % width * column,)


@inner
def _alone(n):
    return (0,)


@inner
def _following(n):
    return 0, n, 2 * n, 3 * n


@inner
def _convolve(extra, dtype, empty, f, places, to):
    """The outputs `to` of some filters, from f on."""
    y, x, weight, bias, has_bias, relu, channels, kernel_h, kernel_w, channel, row, column, out, taps = extra
    wk, xc, t = offset(weight, f * taps), x, empty
    if has_bias:
        t = tile_of_column(t, offset(bias, f), 1)
    for _ in range(channels):
        xh = xc
        for _ in range(kernel_h):
            xw = xh
            for _ in range(kernel_w):
                t = tile_add_scaled(t, wk, taps, xw, places)
                wk, xw = offset(wk, 1), offset(xw, column)
            xh = offset(xh, row)
        xc = offset(xc, channel)
    tile_store_at(tile_relu(t, relu), offset(y, f * out), out, to)


_filters = over_channels(_convolve)


@kernel
def conv_forward(
    y: Array,
    x: Array,
    weight: Array,
    bias: Array,
    channels: Size,
    filters: Size,
    groups: Size,
    in_h: Size,
    in_w: Size,
    out_h: Size,
    out_w: Size,
    kernel_h: Size,
    kernel_w: Size,
    stride_h: Size,
    stride_w: Size,
    dilation_h: Size,
    dilation_w: Size,
    relu: Size,
    dtype,
    rows,
    lo,
    hi,
):
    """y[f, i, j] = bias[f] + Σ over c, k, l of weight[f, c, k, l] x[c, h, w], or max(that, 0) where `relu` is 1.

    h = i stride_h + k dilation_h, w = j stride_w + l dilation_w.

    Writes y (blocks, filters, out_h, out_w, lanes).
    Reads  x (blocks, channels, in_h, in_w, lanes); weight (filters, channels / groups, kernel_h, kernel_w);
           bias (filters,) or null.
    """
    has_bias, n = not is_null(bias), lanes(dtype)
    channels, filters = channels // groups, filters // groups  # of a group
    channel, out, taps = in_h * in_w * n, out_h * out_w * n, channels * kernel_h * kernel_w
    window = channels, kernel_h, kernel_w, channel, dilation_h * in_w * n, dilation_w * n, out, taps
    step, along, pixels = stride_h * in_w * n, stride_w * n, out_h * out_w
    for block in blocks(lo, hi, dtype):
        for group in range(groups):
            part = block * groups + group
            own = offset(weight, group * filters * taps), offset(bias, group * filters), has_bias, relu
            extra = (offset(y, part * filters * out), offset(x, part * channels * channel), *own, *window)
            p = 0
            while p < pixels:
                if pixels - p > 2 and pixels > 3:
                    p = min(p, pixels - 4)  # some again, where three are left: the bits are the same
                    to = p * n, (p + 1) * n, (p + 2) * n, (p + 3) * n
                    _filters(extra, dtype, filters, 4, _places(p, out_w, step, along), to)
                    p += 4
                else:
                    _filters(extra, dtype, filters, 1, _place(p, out_w, step, along), (p * n,))
                    p += 1


@kernel
def conv_pack(packed: Array, weight: Array, filters: Size, channels: Size, taps: Size, dtype, rows, lo, hi):
    """The weights of the filters lo .. hi with the channels innermost; `taps` here counts places of the kernel.

    Writes packed (taps, filters, channels). Reads weight (filters, channels, taps), where channels are a group's.
    """
    for f in range(lo, hi):
        for c in range(channels):
            for k in range(taps):
                packed[(k * filters + f) * channels + c] = weight[(f * channels + c) * taps + k]


@inner
def _spread(extra, dtype, empty, c, places, of):
    """Adds what the gradients at `of` of all filters give to some channels, from c on, at the places under a tap."""
    dx, dy, packed, channels, filters, channel, out = extra
    to, dyf, wf = offset(dx, c * channel), dy, offset(packed, c)
    t = tile_load_at(empty, to, channel, places)
    for _ in range(filters):
        t = tile_add_scaled(t, wf, 1, dyf, of)
        wf, dyf = offset(wf, channels), offset(dyf, out)
    tile_store_at(t, to, channel, places)


_channels = over_channels(_spread)


@kernel
def conv_backward_input(
    dx: Array,
    dy: Array,
    packed: Array,
    channels: Size,
    filters: Size,
    groups: Size,
    in_h: Size,
    in_w: Size,
    out_h: Size,
    out_w: Size,
    kernel_h: Size,
    kernel_w: Size,
    stride_h: Size,
    stride_w: Size,
    dilation_h: Size,
    dilation_w: Size,
    dtype,
    rows,
    lo,
    hi,
):
    """The gradient of conv_forward's x: each dy times the filter's weights, added up where the window was.

    Writes dx (blocks, channels, in_h, in_w, lanes).
    Reads  dy (blocks, filters, out_h, out_w, lanes); packed: what conv_pack wrote.
    """
    n, all_filters = lanes(dtype), filters
    channels, filters = channels // groups, filters // groups  # of a group
    channel, out = in_h * in_w * n, out_h * out_w * n
    step, along, pixels = stride_h * in_w * n, stride_w * n, out_h * out_w
    zero = splat(dtype(0))
    for block in blocks(lo, hi, dtype):
        for group in range(groups):
            part = block * groups + group
            dxg, dyg = offset(dx, part * channels * channel), offset(dy, part * filters * out)
            for i in range(0, channels * channel, n):
                store(dxg, i, zero)
            p = 0
            while p < pixels:
                four = p + 4 <= pixels
                for k in range(kernel_h):
                    for m in range(kernel_w):
                        at = (k * dilation_h * in_w + m * dilation_w) * n
                        weight = ((k * kernel_w + m) * all_filters + group * filters) * channels
                        to, of = offset(dxg, at), offset(dyg, p * n)
                        extra = to, of, offset(packed, weight), channels, filters, channel, out
                        if four:
                            _channels(extra, dtype, channels, 4, _places(p, out_w, step, along), _following(n))
                        else:
                            _channels(extra, dtype, channels, 1, _place(p, out_w, step, along), _alone(n))
                p += 4 if four else 1


# FILTERS filters go over PIXELS pixels for all taps, and then over the next: their dy stays in the L2 cache. Of those a
# tile of filters goes over FEW for TAPS taps, and then over the next: their dy stays in the L1 cache, beside the sums.
PIXELS, FILTERS, TAPS, FEW = 256, 24, 32, 64
# Numbers: of the sums of the largest tiles, of 6 filters and 16 lanes; of runs; of places of taps.
SUMS, RUNS, PLACES = 6 * TAPS * 16, 3 * PIXELS, TAPS


@inner
def _parts(length, most):
    """Into how many parts of up to `most` a length is cut."""
    return (length + most - 1) // most


@inner
def _find_runs(runs, first, last, longest, maps):
    """Write the runs first .. last of the batch: where in x and in dy each begins, and how many pixels it has.

    A run is a part of a line, of up to `longest` pixels.
    """
    out_h, out_w, x_block, x_line, x_pixel, dy_block, dy_pixel = maps
    of_line = _parts(out_w, longest)
    block, line, w = first // (out_h * of_line), first // of_line % out_h, first % of_line * longest
    for r in range(last - first):
        runs[3 * r] = block * x_block + line * x_line + w * x_pixel
        runs[3 * r + 1] = block * dy_block + (line * out_w + w) * dy_pixel
        runs[3 * r + 2] = min(longest, out_w - w)
        w += longest
        if w >= out_w:
            line, w = line + 1, 0
        if line == out_h:
            block, line = block + 1, 0


@inner
def _find_taps(places, first, last, window):
    """Write where in x the taps first .. last of a filter are."""
    kernel_h, kernel_w, channel, row, column = window
    c, i, j = first // (kernel_h * kernel_w), first // kernel_w % kernel_h, first % kernel_w
    for k in range(last - first):
        places[k] = c * channel + i * row + j * column
        j += 1
        if j == kernel_w:
            i, j = i + 1, 0
        if i == kernel_h:
            c, i = c + 1, 0


@inner
def _one_of(places):
    return (places[0],)


@inner
def _four_of(places):
    return places[0], places[1], places[2], places[3]


def _correlating(width, tile_of, following):
    """The @njit function that adds what some runs give to the weights of some filters, `width` taps in a tile."""

    @inner
    def add(extra, dtype, empty, f):
        """Adds to the taps begin .. end of some filters, from f on; `places` are those from the tap `start` on."""
        sums, places, start, begin, end, (dweight, taps, x, dy, x_pixel, dy_filter, runs, count, few, n) = extra
        dyf, apart, numbers = offset(dy, f * dy_filter), width * n, stack(dtype, 32)
        size = rows_of(empty) * apart
        for k in range(begin, end, width):
            tile_store_at(empty, offset(sums, (k - begin) // width * size), apart, following(n))
        for first in range(0, count, few):
            for k in range(begin, end, width):
                tap = tile_of(offset(places, min(k, taps - width) - start))  # the last ones again, where fewer are left
                at = offset(sums, (k - begin) // width * size)
                t = tile_load_at(empty, at, apart, following(n))
                for r in range(first, min(first + few, count)):
                    xr, dyr = offset(x, runs[3 * r]), offset(dyf, runs[3 * r + 1])
                    for _ in range(runs[3 * r + 2]):
                        t = tile_add_products(t, dyr, dy_filter, xr, tap)
                        xr, dyr = offset(xr, x_pixel), offset(dyr, n)
                tile_store_at(t, at, apart, following(n))
        for k in range(begin, end, width):
            at, again = offset(sums, (k - begin) // width * size), max(k + width - taps, 0)
            tile_sum_lanes(tile_load_at(empty, at, apart, following(n)), numbers)
            for r in range(rows_of(empty)):
                for v in range(again, width):
                    dweight[(f + r) * taps + k - again + v] += numbers[r * width + v]

    add_tiles = over_channels(add)

    @inner
    def correlate(extra, dtype, filters):
        (sums, places), window, piece = extra
        taps = piece[1]
        for begin in range(0, taps, TAPS):
            start, end = min(begin, taps - width), min(begin + TAPS, taps)
            _find_taps(places, start, end, window)
            add_tiles((sums, places, start, begin, end, piece), dtype, filters, width)

    return correlate


_by_one_tap = _correlating(1, _one_of, _alone)
_by_four_taps = _correlating(4, _four_of, _following)


@kernel
def conv_backward_weight(
    dweight: Array,
    x: Array,
    dy: Array,
    channels: Size,
    filters: Size,
    groups: Size,
    in_h: Size,
    in_w: Size,
    out_h: Size,
    out_w: Size,
    kernel_h: Size,
    kernel_w: Size,
    stride_h: Size,
    stride_w: Size,
    dilation_h: Size,
    dilation_w: Size,
    mode: Size,
    step: Size,
    dtype,
    rows,
    lo,
    hi,
    task,
):
    """dweight[f, c, k, l] = Σ over rows, i, j of dy[f, i, j] times what x it was multiplied by.

    BY_ITEMS  for the filters lo .. hi
    BY_ROWS   for all filters, summed over the rows lo .. hi of the batch, to the place `task`, `step` apart

    Writes dweight (filters, channels / groups, kernel_h, kernel_w).
    Reads  x (blocks, channels, in_h, in_w, lanes), dy (blocks, filters, out_h, out_w, lanes).
    """
    n, begin, end = lanes(dtype), lo, hi  # of the filters
    if mode == BY_ROWS:
        dweight = offset(dweight, task * step)
        begin, end = 0, filters
    else:
        lo, hi = 0, rows
    channel, out, of_group = in_h * in_w * n, out_h * out_w * n, filters // groups
    taps = channels // groups * kernel_h * kernel_w
    window = kernel_h, kernel_w, channel, dilation_h * in_w * n, dilation_w * n
    x_line, x_pixel = stride_h * in_w * n, stride_w * n
    if x_line == out_w * x_pixel:  # lines without gaps between them are one
        out_h, out_w = 1, out_h * out_w
    maps = out_h, out_w, channels * channel, x_line, x_pixel, filters * out, n
    longest = _parts(out_w, _parts(out_w, FEW))
    of_block, many, few = out_h * _parts(out_w, longest), PIXELS // longest, FEW // longest
    runs, room = stack(types.int64, RUNS), (stack(dtype, SUMS), stack(types.int64, PLACES))
    for i in range(begin * taps, end * taps):
        dweight[i] = 0
    last = (hi + n - 1) // n * of_block
    for r in range(lo // n * of_block, last, many):
        count = min(last - r, many)
        _find_runs(runs, r, r + count, longest, maps)
        for group in range(begin // of_group, _parts(end, of_group)):
            xg, stop = offset(x, group * (channels // groups) * channel), min(end, (group + 1) * of_group)
            for f in range(max(begin, group * of_group), stop, FILTERS):
                piece = offset(dweight, f * taps), taps, xg, offset(dy, f * out), x_pixel, out, runs, count, few, n
                if taps < 4:
                    _by_one_tap((room, window, piece), dtype, min(stop - f, FILTERS))
                else:
                    _by_four_taps((room, window, piece), dtype, min(stop - f, FILTERS))


@kernel
def conv_backward_bias(
    dbias: Array, dy: Array, filters: Size, pixels: Size, mode: Size, step: Size, dtype, rows, lo, hi, task
):
    """dbias[f] = Σ over rows and pixels of dy[f, p]; see conv_backward_weight for BY_ITEMS and BY_ROWS.

    Writes dbias (filters,). Reads dy (blocks, filters, pixels, lanes).
    """
    n, begin, end = lanes(dtype), lo, hi
    if mode == BY_ROWS:
        dbias = offset(dbias, task * step)
        begin, end = 0, filters
    else:
        lo, hi = 0, rows
    for f in range(begin, end):
        s = t = u = v = splat(dtype(0))
        for block in blocks(lo, hi, dtype):
            d, p = offset(dy, (block * filters + f) * pixels * n), 0
            while p + 4 <= pixels:
                s, t = s + load(d, p * n), t + load(d, (p + 1) * n)
                u, v = u + load(d, (p + 2) * n), v + load(d, (p + 3) * n)
                p += 4
            while p < pixels:
                s = s + load(d, p * n)
                p += 1
        dbias[f] = sum_lanes((s + t) + (u + v))
