"""Conv1D and Conv2D: every output is a weighted sum of a window of the input."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from .. import activations
from ..activations import ActivationFunction
from ..errors import check_integer
from ..kernels import blocks
from ..kernels import conv as kernels
from ..program.c_source import CSource
from ..program.emitter import Emitter
from ..program.records import Record, Shape, Tensor
from .base import LAYERS, AffineLayer, Layer, Parameter, Weights
from .windows import ADD_TAP, Axis, Size, c_windows, check_maps, check_padding, check_size, each, in_2d, windows

# Gradients of up to so many weights are summed by row tasks: what a task reads is then in its cache.
SMALL_GRADIENT = 1 << 17
# Gradients of more are cut by filters, so many to a task: few enough that threads get equal shares of 64 and more.
GRAIN = 16


@dataclass(frozen=True, repr=False)
class Convolution(AffineLayer):
    """What Conv1D and Conv2D have in common."""

    filters: int
    kernel_size: Size
    stride: Size = 1
    padding: str | Size = 0
    dilation: Size = 1
    groups: int = 1
    activation: str | ActivationFunction | None = None

    dims: ClassVar[int]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.ends_with.elementwise:
            raise ValueError(f"activation must work element by element, got {self.ends_with!r}")
        self._store(
            filters=check_integer("filters", self.filters, low=1),
            kernel_size=check_size("kernel_size", self.kernel_size, self.dims, low=1),
            stride=check_size("stride", self.stride, self.dims, low=1),
            padding=check_padding(self.padding, self.dims),
            dilation=check_size("dilation", self.dilation, self.dims, low=1),
            groups=check_integer("groups", self.groups, low=1),
        )
        if self.filters % self.groups:
            raise ValueError(f"filters must be a multiple of groups, got {self.filters} and {self.groups}")

    @property
    def ends_with(self) -> ActivationFunction:
        return activations.get(self.activation)

    def without_activation(self) -> Layer:
        return replace(self, activation=activations.linear)

    def _axes(self, input_shape: Shape) -> list[Axis]:
        return windows("kernel", input_shape, self.kernel_size, self.stride, self.dilation, self.padding)

    def output_shape(self, input_shape: Shape) -> Shape:
        check_maps(type(self).__name__, input_shape, self.dims)
        if input_shape[0] % self.groups:
            raise ValueError(f"groups {self.groups} must divide the channels of input {input_shape}")
        return (self.filters, *(axis.steps for axis in self._axes(input_shape)))

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        kernel = each(self.kernel_size, self.dims)
        shape = (self.filters, input_shape[0] // self.groups, *kernel)
        fans = math.prod(shape[1:]), self.filters // self.groups * math.prod(kernel)
        return self._weight_and_bias(shape, self.filters, *fans)

    def emit(self, plan: Emitter, x: Tensor, *weights: Tensor) -> Tensor:
        weight, channels = weights[0], x.shape[0]
        axes = self._axes(x.shape)
        high, wide = in_2d(axes)
        x = _padded(plan, plan.blocked(x), high, wide)
        y = plan.tensor((self.filters, *(axis.steps for axis in axes)), blocked=True)
        taps, pixels = weight.size // self.filters, high.steps * wide.steps
        flops = 2 * weight.size * pixels
        sizes: Record = dict(
            **dict(channels=channels, filters=self.filters, groups=self.groups, in_h=_length(high), in_w=_length(wide)),
            **dict(out_h=high.steps, out_w=wide.steps, kernel_h=high.kernel, kernel_w=wide.kernel),
            **dict(stride_h=high.stride, stride_w=wide.stride, dilation_h=high.dilation, dilation_w=wide.dilation),
        )
        read: Record = dict(x=x.value, weight=weight.value, bias=weights[1].value if self.bias else 0)
        plan.forward(kernels.conv_forward, flops, y=y.value, **read, **sizes, relu=0)

        packed, places = plan.fixed(weight.size), high.kernel * wide.kernel
        record: Record = dict(packed=packed, weight=weight.value, filters=self.filters, channels=taps // places)
        plan.prepare(kernels.conv_pack, 8 * weight.size, self.filters, **record, taps=places)
        plan.backward(kernels.conv_backward_input, flops, dx=x.grad, dy=y.grad, packed=packed, **sizes)

        fields: Record = dict(x=x.value, dy=y.grad, **sizes)
        block = weight, self.filters, taps, fields
        plan.gradient(kernels.conv_backward_weight, flops, *block, small=SMALL_GRADIENT, grains=(GRAIN,))
        plan.penalty(weight, self.l1, self.l2)
        if self.bias:
            fields = dict(dy=y.grad, filters=self.filters, pixels=pixels)
            plan.gradient(kernels.conv_backward_bias, 2 * y.size, weights[1], self.filters, 1, fields)
        return self.ends_with.emit(plan, y)

    def write_c(self, source: CSource, name: str, weights: Weights) -> None:
        window = c_windows(source, name, self._axes(source.shape))
        source.define("add_tap", ADD_TAP)
        source.define("conv", _CONV)
        sizes = f"{source.shape[0]}, {self.filters}, {self.groups}, {window}"
        arguments = f"{self._c_weight_and_bias(source, name, weights)}, {sizes}"
        source.replace("conv", arguments, self.output_shape(source.shape))
        self.ends_with.write_c(source, name)


def _length(axis: Axis) -> int:
    """Of an axis with its border."""
    return axis.before + axis.size + axis.after


def _padded(plan: Emitter, x: Tensor, high: Axis, wide: Axis) -> Tensor:
    """x in a border of zeros."""
    if not (high.before or high.after or wide.before or wide.after):
        return x
    sizes = high.size, wide.size, _length(high), _length(wide)
    shape = (x.shape[0], _length(high), _length(wide))
    return plan.moved(x, shape, True, blocks.pad_maps, blocks.crop_maps, x.shape[0], *sizes, high.before, wide.before)


@LAYERS.register
@dataclass(frozen=True, repr=False)
class Conv2D(Convolution):
    """a = f(the sum of weights times a window of x, + bias), for each filter and each place of the window.

    Arguments:
        filters: maps that come out, 1 or more.
        kernel_size: size of the window: a number, or (height, width).
        stride: steps of the window, likewise.
        padding: width of a border of zeros around x, likewise, or "valid" for none, or "same" for one that gives
            inputs / stride outputs, rounded up.
        dilation: distance of the window's elements, likewise.
        groups: parts into which channels and filters are cut, each for itself: a divisor of both numbers. As many as
            there are channels make a depthwise convolution.
        activation, bias, kernel_init, bias_init, l1, l2: as for Dense; activation: not softmax.
        trainable, learning_rate: see WeightedLayer.

    Shapes: x (rows, channels, height, width), weight (filters, channels / groups, *kernel_size), bias (filters,),
    a (rows, filters, height, width).
    Raises TypeError or ValueError for other arguments.
    """

    dims: ClassVar[int] = 2


@LAYERS.register
@dataclass(frozen=True, repr=False)
class Conv1D(Convolution):
    """As Conv2D, for x (rows, channels, length): a window has a length.

    Shapes: weight (filters, channels / groups, kernel_size), a (rows, filters, length).
    Raises TypeError or ValueError for other arguments.
    """

    dims: ClassVar[int] = 1


_CONV = """
/* y (filters, out_h, out_w) = windows of x (channels, in_h, in_w) times weight, + bias (filters,);
   weight (filters, channels / groups, kernel_h, kernel_w) */
static void conv(real *y, const real *x, const real *weight, const real *bias, int channels, int filters, int groups,
                 const struct windows *s)
{
    const int in = s->in_h * s->in_w, out = s->out_h * s->out_w;
    for (int f = 0; f < filters; f++, y += out) {
        const int first = f / (filters / groups) * (channels / groups);
        for (int p = 0; p < out; p++)
            y[p] = bias ? bias[f] : 0;
        for (int c = first; c < first + channels / groups; c++)
            for (int h = 0; h < s->kernel_h; h++)
                for (int w = 0; w < s->kernel_w; w++)
                    add_tap(y, x + c * in, *weight++, h, w, s);
    }
}
"""
