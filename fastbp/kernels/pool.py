"""Pooling of maps in blocks (see blocks.py): the largest or the mean of each window, which is cut at the border."""

from __future__ import annotations

from ..runtime.functions import inner, kernel
from ..simd.entry import Array, Size
from ..simd.memory import offset
from ..simd.vectors import lanes, load, select, splat, store
from .blocks import blocks

# `top` and `left` are the width of the border before the map; a window's part in it is left out.
_SIZES = "maps in_h in_w out_h out_w kernel_h kernel_w stride_h stride_w top left"


@inner
def _cut(i, stride, before, kernel, size):
    """What of the window i is on an axis of `size`: first .. last."""
    first = i * stride - before
    return max(first, 0), min(first + kernel, size)


@inner
def _larger(a, b):
    """The larger of a and b, or NaN where either is NaN."""
    return select(b > a, b, select(b == b, a, b))


@kernel
def max_pool_forward(
    y: Array,
    x: Array,
    maps: Size,
    in_h: Size,
    in_w: Size,
    out_h: Size,
    out_w: Size,
    kernel_h: Size,
    kernel_w: Size,
    stride_h: Size,
    stride_w: Size,
    top: Size,
    left: Size,
    dtype,
    rows,
    lo,
    hi,
):
    """y[c, i, j] = the largest x in the window at i stride_h - top, j stride_w - left.

    Writes y (blocks, maps, out_h, out_w, lanes). Reads x (blocks, maps, in_h, in_w, lanes).
    """
    n = lanes(dtype)
    for image in range(blocks(lo, hi, dtype).start * maps, blocks(lo, hi, dtype).stop * maps):
        out, of = offset(y, image * out_h * out_w * n), offset(x, image * in_h * in_w * n)
        for i in range(out_h):
            first, last = _cut(i, stride_h, top, kernel_h, in_h)
            for j in range(out_w):
                begin, end = _cut(j, stride_w, left, kernel_w, in_w)
                largest = load(of, (first * in_w + begin) * n)
                for h in range(first, last):
                    for w in range(begin, end):
                        largest = _larger(largest, load(of, (h * in_w + w) * n))
                store(out, (i * out_w + j) * n, largest)


@kernel
def max_pool_backward(
    dx: Array,
    dy: Array,
    y: Array,
    x: Array,
    maps: Size,
    in_h: Size,
    in_w: Size,
    out_h: Size,
    out_w: Size,
    kernel_h: Size,
    kernel_w: Size,
    stride_h: Size,
    stride_w: Size,
    top: Size,
    left: Size,
    relu: Size,
    dtype,
    rows,
    lo,
    hi,
):
    """The gradient of max_pool_forward's x: dy where x is the first that equals y in its window, else 0.

    Where `relu` is 1, dy counts as 0 where y is not positive: x is then a ReLU's output, whose derivative is applied.

    Writes dx (blocks, maps, in_h, in_w, lanes).
    Reads  dy, y (blocks, maps, out_h, out_w, lanes), x (blocks, maps, in_h, in_w, lanes).
    """
    n, zero = lanes(dtype), splat(dtype(0))
    for image in range(blocks(lo, hi, dtype).start * maps, blocks(lo, hi, dtype).stop * maps):
        to, of = offset(dx, image * in_h * in_w * n), offset(x, image * in_h * in_w * n)
        for p in range(in_h * in_w):
            store(to, p * n, zero)
        for i in range(out_h):
            first, last = _cut(i, stride_h, top, kernel_h, in_h)
            for j in range(out_w):
                begin, end = _cut(j, stride_w, left, kernel_w, in_w)
                at = ((image * out_h + i) * out_w + j) * n
                largest, rest = load(y, at), load(dy, at)
                if relu != 0:
                    rest = select(largest > zero, rest, zero)
                for h in range(first, last):
                    for w in range(begin, end):
                        p = (h * in_w + w) * n
                        here = load(of, p) == largest
                        store(to, p, load(to, p) + select(here, rest, zero))
                        rest = select(here, zero, rest)


@kernel
def average_pool_forward(
    y: Array,
    x: Array,
    maps: Size,
    in_h: Size,
    in_w: Size,
    out_h: Size,
    out_w: Size,
    kernel_h: Size,
    kernel_w: Size,
    stride_h: Size,
    stride_w: Size,
    top: Size,
    left: Size,
    dtype,
    rows,
    lo,
    hi,
):
    """y[c, i, j] = the sum of x in the window at i stride_h - top, j stride_w - left, over the window's size.

    Writes y (blocks, maps, out_h, out_w, lanes). Reads x (blocks, maps, in_h, in_w, lanes).
    """
    n, share = lanes(dtype), splat(dtype(1) / dtype(kernel_h * kernel_w))
    for image in range(blocks(lo, hi, dtype).start * maps, blocks(lo, hi, dtype).stop * maps):
        out, of = offset(y, image * out_h * out_w * n), offset(x, image * in_h * in_w * n)
        for i in range(out_h):
            first, last = _cut(i, stride_h, top, kernel_h, in_h)
            for j in range(out_w):
                begin, end = _cut(j, stride_w, left, kernel_w, in_w)
                total = splat(dtype(0))
                for h in range(first, last):
                    for w in range(begin, end):
                        total = total + load(of, (h * in_w + w) * n)
                store(out, (i * out_w + j) * n, total * share)


@kernel
def average_pool_backward(
    dx: Array,
    dy: Array,
    maps: Size,
    in_h: Size,
    in_w: Size,
    out_h: Size,
    out_w: Size,
    kernel_h: Size,
    kernel_w: Size,
    stride_h: Size,
    stride_w: Size,
    top: Size,
    left: Size,
    dtype,
    rows,
    lo,
    hi,
):
    """The gradient of average_pool_forward's x: dy over the window's size, everywhere in the window.

    Writes dx (blocks, maps, in_h, in_w, lanes). Reads dy (blocks, maps, out_h, out_w, lanes).
    """
    n, zero, share = lanes(dtype), splat(dtype(0)), splat(dtype(1) / dtype(kernel_h * kernel_w))
    for image in range(blocks(lo, hi, dtype).start * maps, blocks(lo, hi, dtype).stop * maps):
        to = offset(dx, image * in_h * in_w * n)
        for p in range(in_h * in_w):
            store(to, p * n, zero)
        for i in range(out_h):
            first, last = _cut(i, stride_h, top, kernel_h, in_h)
            for j in range(out_w):
                begin, end = _cut(j, stride_w, left, kernel_w, in_w)
                part = load(dy, ((image * out_h + i) * out_w + j) * n) * share
                for h in range(first, last):
                    for w in range(begin, end):
                        p = (h * in_w + w) * n
                        store(to, p, load(to, p) + part)
