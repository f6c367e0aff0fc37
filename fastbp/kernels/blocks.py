"""Values in blocks: as many rows as a vector has lanes, side by side, so that a vector is one feature of all of them.

A value x (rows, features) lies as (blocks, features, lanes). The last block may have lanes without a row. In values
they hold the last row again, so that no NaN comes of them that doesn't come of a row; in gradients 0, so that sums over
lanes are right.
"""

from __future__ import annotations

from ..runtime.functions import inner, kernel
from ..simd.entry import Array, Size
from ..simd.memory import offset
from ..simd.tiles import transpose_block
from ..simd.vectors import lanes, load, splat, store


@inner
def blocks(lo, hi, dtype):
    """The numbers of the blocks of the rows lo .. hi; lo begins a block."""
    n = lanes(dtype)
    return range(lo // n, (hi + n - 1) // n)


@inner
def _block(y, x, features, lo, hi, dtype, again):
    """Lanes without a row get the last row again, or 0."""
    n = lanes(dtype)
    for block in blocks(lo, hi, dtype):
        to, of, there = offset(y, block * n * features), offset(x, block * n * features), min(n, hi - block * n)
        f = 0
        while there == n and f + n <= features:
            transpose_block(offset(to, f * n), n, offset(of, f), features)
            f += n
        for g in range(f, features):
            for lane in range(n):
                to[g * n + lane] = of[min(lane, there - 1) * features + g] if lane < there or again else dtype(0)


@kernel
def block_rows(y: Array, x: Array, features: Size, dtype, rows, lo, hi):
    """Writes y (blocks, features, lanes), with the last row again in lanes without one. Reads x (rows, features)."""
    _block(y, x, features, lo, hi, dtype, True)


@kernel
def block_gradients(dx: Array, dy: Array, features: Size, dtype, rows, lo, hi):
    """Writes dx (blocks, features, lanes), 0 in lanes without a row. Reads dy (rows, features)."""
    _block(dx, dy, features, lo, hi, dtype, False)


@kernel
def unblock_rows(y: Array, x: Array, features: Size, dtype, rows, lo, hi):
    """Writes y (rows, features). Reads x (blocks, features, lanes)."""
    n = lanes(dtype)
    for block in blocks(lo, hi, dtype):
        to, of, there = offset(y, block * n * features), offset(x, block * n * features), min(n, hi - block * n)
        f = 0
        while there == n and f + n <= features:
            transpose_block(offset(to, f), features, offset(of, f * n), n)
            f += n
        for lane in range(there):
            for g in range(f, features):
                to[lane * features + g] = of[g * n + lane]


@inner
def _fill(y, first, last, v, dtype):
    for i in range(first, last):
        store(y, i * lanes(dtype), v)


@kernel
def pad_maps(
    y: Array,
    x: Array,
    maps: Size,
    in_h: Size,
    in_w: Size,
    out_h: Size,
    out_w: Size,
    top: Size,
    left: Size,
    dtype,
    rows,
    lo,
    hi,
):
    """y = x in the middle of zeros, which begin `top` rows and `left` columns before it.

    Writes y (blocks, maps, out_h, out_w, lanes). Reads x (blocks, maps, in_h, in_w, lanes).
    """
    n, zero = lanes(dtype), splat(dtype(0))
    for image in range(blocks(lo, hi, dtype).start * maps, blocks(lo, hi, dtype).stop * maps):
        to, of = offset(y, image * out_h * out_w * n), offset(x, image * in_h * in_w * n)
        _fill(to, 0, top * out_w, zero, dtype)
        for h in range(in_h):
            row = (top + h) * out_w
            _fill(to, row, row + left, zero, dtype)
            for w in range(in_w):
                store(to, (row + left + w) * n, load(of, (h * in_w + w) * n))
            _fill(to, row + left + in_w, row + out_w, zero, dtype)
        _fill(to, (top + in_h) * out_w, out_h * out_w, zero, dtype)


@kernel
def crop_maps(
    dx: Array,
    dy: Array,
    maps: Size,
    in_h: Size,
    in_w: Size,
    out_h: Size,
    out_w: Size,
    top: Size,
    left: Size,
    dtype,
    rows,
    lo,
    hi,
):
    """Backward of pad_maps: what lies in the middle.

    Writes dx (blocks, maps, in_h, in_w, lanes). Reads dy (blocks, maps, out_h, out_w, lanes).
    """
    n = lanes(dtype)
    for image in range(blocks(lo, hi, dtype).start * maps, blocks(lo, hi, dtype).stop * maps):
        to, of = offset(dx, image * in_h * in_w * n), offset(dy, (image * out_h * out_w + top * out_w + left) * n)
        for h in range(in_h):
            for w in range(in_w):
                store(to, (h * in_w + w) * n, load(of, (h * out_w + w) * n))
