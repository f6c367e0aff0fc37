"""Pooling: the largest or the mean of each window of a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..kernels import pool as kernels
from ..program.plan import Plan, Record, Shape, Tensor
from .base import LAYERS, Layer
from .windows import Axis, Size, check_maps, check_padding, check_size, each, in_2d, windows


def _record(channels: int, axes: list[Axis]) -> Record:
    """The sizes of a pooling op."""
    high, wide = in_2d(axes)
    return dict(
        **dict(maps=channels, in_h=high.size, in_w=wide.size, out_h=high.steps, out_w=wide.steps),
        **dict(kernel_h=high.kernel, kernel_w=wide.kernel, stride_h=high.stride, stride_w=wide.stride),
        **dict(top=high.before, left=wide.before),
    )


def _emit_max(plan: Plan, x: Tensor, y: Tensor, flops: int, sizes: Record) -> None:
    plan.forward(kernels.max_pool_forward, flops, None, y=y.value, x=x.value, **sizes)
    relu = plan.take_relu(x) != 0
    read: Record = dict(dy=y.grad, y=y.value, x=x.value)
    plan.backward(kernels.max_pool_backward, 2 * flops, dx=x.grad, **read, **sizes, relu=relu)


def _emit_average(plan: Plan, x: Tensor, y: Tensor, flops: int, sizes: Record) -> None:
    plan.forward(kernels.average_pool_forward, flops, None, y=y.value, x=x.value, **sizes)
    plan.backward(kernels.average_pool_backward, flops, dx=x.grad, dy=y.grad, **sizes)


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

    def emit(self, plan: Plan, x: Tensor, *weights: Tensor) -> Tensor:
        axes = self._axes(x.shape)
        high, wide = in_2d(axes)
        x = plan.blocked(x)
        y = plan.tensor((x.shape[0], *(axis.steps for axis in axes)), blocked=True)
        emit = _emit_max if self.largest else _emit_average
        emit(plan, x, y, POOL * y.size * high.kernel * wide.kernel, _record(x.shape[0], axes))
        return y


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


@dataclass(frozen=True, repr=False)
class GlobalPooling(Layer):
    """What the layers with a window as large as the map have in common."""

    dims: ClassVar[int]

    def output_shape(self, input_shape: Shape) -> Shape:
        check_maps(type(self).__name__, input_shape, self.dims)
        return (input_shape[0],)

    def emit(self, plan: Plan, x: Tensor, *weights: Tensor) -> Tensor:
        x = plan.blocked(x)
        y = plan.tensor((x.shape[0],), blocked=True)
        axes = windows("window", x.shape, x.shape[1:], x.shape[1:], 1, 0)
        _emit_average(plan, x, y, POOL * x.size, _record(x.shape[0], axes))
        return y


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
