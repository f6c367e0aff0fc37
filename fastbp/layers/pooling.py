"""Pooling: the largest or the mean of each window of a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..kernels import pool as kernels
from ..program.c_source import CSource
from ..program.emitter import Emitter
from ..program.records import Record, Shape, Tensor
from .base import LAYERS, Layer, Weights
from .windows import ADD_TAP, Axis, Size, c_windows, check_maps, check_padding, check_size, each, in_2d, windows


def _record(channels: int, axes: list[Axis]) -> Record:
    """The sizes of a pooling op."""
    high, wide = in_2d(axes)
    return dict(
        **dict(maps=channels, in_h=high.size, in_w=wide.size, out_h=high.steps, out_w=wide.steps),
        **dict(kernel_h=high.kernel, kernel_w=wide.kernel, stride_h=high.stride, stride_w=wide.stride),
        **dict(top=high.before, left=wide.before),
    )


def _emit_max(plan: Emitter, x: Tensor, y: Tensor, flops: int, sizes: Record) -> None:
    plan.forward(kernels.max_pool_forward, flops, y=y.value, x=x.value, **sizes)
    read: Record = dict(dy=y.grad, y=y.value, x=x.value)
    plan.backward(kernels.max_pool_backward, 2 * flops, dx=x.grad, **read, **sizes, relu=0)


def _emit_average(plan: Emitter, x: Tensor, y: Tensor, flops: int, sizes: Record) -> None:
    plan.forward(kernels.average_pool_forward, flops, y=y.value, x=x.value, **sizes)
    plan.backward(kernels.average_pool_backward, flops, dx=x.grad, dy=y.grad, **sizes)


def _write_max(source: CSource, name: str, axes: list[Axis], shape: Shape) -> None:
    window = c_windows(source, name, axes)
    source.define("max_pool", _MAX_POOL)
    source.replace("max_pool", f"{shape[0]}, {window}", shape)


def _write_average(source: CSource, name: str, axes: list[Axis], shape: Shape) -> None:
    window = c_windows(source, name, axes)
    source.define("add_tap", ADD_TAP)
    source.define("average_pool", _AVERAGE_POOL)
    source.replace("average_pool", f"{shape[0]}, {window}", shape)


@dataclass(frozen=True, repr=False)
class Pooling(Layer):
    """What the layers with a window of a given size have in common."""

    size: Size
    stride: Size | None = None
    padding: str | Size = 0

    dims: ClassVar[int]
    largest: ClassVar[bool]

    def __post_init__(self) -> None:
        size = check_size("size", self.size, self.dims, low=1)
        stride = size if self.stride is None else check_size("stride", self.stride, self.dims, low=1)
        padding = check_padding(self.padding, self.dims)
        self._store(size=size, stride=stride, padding=padding)
        if not isinstance(padding, str):
            pairs = zip(each(padding, self.dims), each(size, self.dims), strict=True)
            if any(2 * border > window for border, window in pairs):
                raise ValueError(f"padding must be at most half of size {size!r}, got {padding!r}")

    def _implied(self) -> tuple[str, ...]:
        return ("stride",) if self.stride == self.size else ()

    def _axes(self, input_shape: Shape) -> list[Axis]:
        assert self.stride is not None
        return windows("window", input_shape, self.size, self.stride, 1, self.padding)

    def output_shape(self, input_shape: Shape) -> Shape:
        check_maps(type(self).__name__, input_shape, self.dims)
        return (input_shape[0], *(axis.steps for axis in self._axes(input_shape)))

    def emit(self, plan: Emitter, x: Tensor, *weights: Tensor) -> Tensor:
        axes = self._axes(x.shape)
        high, wide = in_2d(axes)
        x = plan.blocked(x)
        y = plan.tensor((x.shape[0], *(axis.steps for axis in axes)), blocked=True)
        emit = _emit_max if self.largest else _emit_average
        emit(plan, x, y, POOL * y.size * high.kernel * wide.kernel, _record(x.shape[0], axes))
        return y

    def write_c(self, source: CSource, name: str, weights: Weights) -> None:
        write = _write_max if self.largest else _write_average
        write(source, name, self._axes(source.shape), self.output_shape(source.shape))


# An element of a window, in operations of a matrix product.
POOL = 8


@LAYERS.register
@dataclass(frozen=True, repr=False)
class MaxPool2D(Pooling):
    """The largest of each window.

    Arguments:
        size: of the window: a number, or (height, width).
        stride: steps of the window, likewise; by default its size.
        padding: width of a border around x, likewise, at most half of the window's; or "valid" for none, or "same" for
            one that gives inputs / stride outputs, rounded up. It counts as -infinity.

    Of equal elements the first in the window gets the gradient.
    Shapes: x (rows, channels, height, width) and so the output. Raises TypeError or ValueError for other arguments.
    """

    dims: ClassVar[int] = 2
    largest: ClassVar[bool] = True


@LAYERS.register
@dataclass(frozen=True, repr=False)
class MaxPool1D(Pooling):
    """As MaxPool2D, for x (rows, channels, length): a window has a length."""

    dims: ClassVar[int] = 1
    largest: ClassVar[bool] = True


@LAYERS.register
@dataclass(frozen=True, repr=False)
class AvgPool2D(Pooling):
    """The mean of each window. Arguments and shapes as for MaxPool2D; the border counts as zeros."""

    dims: ClassVar[int] = 2
    largest: ClassVar[bool] = False


@LAYERS.register
@dataclass(frozen=True, repr=False)
class AvgPool1D(Pooling):
    """As AvgPool2D, for x (rows, channels, length): a window has a length."""

    dims: ClassVar[int] = 1
    largest: ClassVar[bool] = False


def _whole(input_shape: Shape) -> list[Axis]:
    """A window as large as the maps."""
    return windows("window", input_shape, input_shape[1:], input_shape[1:], 1, 0)


@dataclass(frozen=True, repr=False)
class GlobalPooling(Layer):
    """What the layers with a window as large as the map have in common."""

    dims: ClassVar[int]

    def output_shape(self, input_shape: Shape) -> Shape:
        check_maps(type(self).__name__, input_shape, self.dims)
        return (input_shape[0],)

    def emit(self, plan: Emitter, x: Tensor, *weights: Tensor) -> Tensor:
        x = plan.blocked(x)
        y = plan.tensor((x.shape[0],), blocked=True)
        _emit_average(plan, x, y, POOL * x.size, _record(x.shape[0], _whole(x.shape)))
        return y

    def write_c(self, source: CSource, name: str, weights: Weights) -> None:
        _write_average(source, name, _whole(source.shape), self.output_shape(source.shape))


@LAYERS.register
@dataclass(frozen=True, repr=False)
class GlobalAvgPool2D(GlobalPooling):
    """The mean of each map: x (rows, channels, height, width) becomes (rows, channels)."""

    dims: ClassVar[int] = 2


@LAYERS.register
@dataclass(frozen=True, repr=False)
class GlobalAvgPool1D(GlobalPooling):
    """The mean of each map: x (rows, channels, length) becomes (rows, channels)."""

    dims: ClassVar[int] = 1


_AVERAGE_POOL = """
/* y (maps, out_h, out_w) = the mean of each window of x (maps, in_h, in_w) */
static void average_pool(real *y, const real *x, int maps, const struct windows *s)
{
    const int in = s->in_h * s->in_w, out = s->out_h * s->out_w;
    for (int m = 0; m < maps; m++, x += in, y += out) {
        for (int p = 0; p < out; p++)
            y[p] = 0;
        for (int h = 0; h < s->kernel_h; h++)
            for (int w = 0; w < s->kernel_w; w++)
                add_tap(y, x, 1, h, w, s);
        for (int p = 0; p < out; p++)
            y[p] /= (real)(s->kernel_h * s->kernel_w);
    }
}
"""

_MAX_POOL = """
/* The largest x in rows top .. bottom and columns left .. right, or NaN where there is one */
static real largest(const real *x, int width, int top, int bottom, int left, int right)
{
    real most = x[top * width + left];
    for (int i = top; i < bottom; i++)
        for (int j = left; j < right; j++) {
            const real here = x[i * width + j];
            most = here > most || here != here ? here : most;
        }
    return most;
}

/* y (maps, out_h, out_w) = the largest of each window of x (maps, in_h, in_w) */
static void max_pool(real *y, const real *x, int maps, const struct windows *s)
{
    for (int m = 0; m < maps; m++, x += s->in_h * s->in_w)
        for (int i = 0; i < s->out_h; i++)
            for (int j = 0; j < s->out_w; j++) {
                const int top = i * s->stride_h - s->top, bottom = top + s->kernel_h;
                const int left = j * s->stride_w - s->left, right = left + s->kernel_w;
                *y++ = largest(x, s->in_w, top > 0 ? top : 0, bottom < s->in_h ? bottom : s->in_h,
                               left > 0 ? left : 0, right < s->in_w ? right : s->in_w);
            }
}
"""
