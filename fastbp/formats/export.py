"""A network as one C99 file: weights and forward pass, with no dependencies and no allocation."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import activations
from ..activations import ActivationFunction
from ..display import summaries
from ..errors import brief, check_path
from ..layers import (
    Activation,
    AvgPool1D,
    AvgPool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool1D,
    GlobalAvgPool2D,
    LayerNorm,
    MaxPool1D,
    MaxPool2D,
    Residual,
)
from ..layers.windows import Axis, in_2d, windows
from ..model import Model
from ..program.records import Shape
from .files import replacing

_PER_LINE = 8  # numbers

# Of each activation, y as an expression in x; {f} is the end of the names of the type's functions. Where there are
# several formulas, the one is taken that loses no digits far out. See kernels/activations.py for the sources.
_ELEMENTWISE = {
    "sigmoid": "1 / (1 + exp{f}(-x))",
    "tanh": "tanh{f}(x)",
    "relu": "x < 0 ? 0 : x",
    "leaky_relu": "x > 0 ? x : (real)0.01 * x",
    "elu": "x > 0 ? x : expm1{f}(x)",
    "selu": "x > 0 ? (real)1.0507009873554804934 * x : (real)1.7580993408473768599 * expm1{f}(x)",
    "gelu": "(real)0.5 * x * erfc{f}(-x * (real)0.70710678118654752440)",
    "silu": "x / (1 + exp{f}(-x))",
    "mish": "x * tanh{f}(log1p{f}(exp{f}(x)))",
    "softplus": "(x > 0 ? x : 0) + log1p{f}(exp{f}(-fabs{f}(x)))",
    "softsign": "x / (1 + fabs{f}(x))",
    "hard_sigmoid": "x < -3 ? 0 : x > 3 ? 1 : (x + 3) / 6",
    "hard_tanh": "x < -1 ? -1 : x > 1 ? 1 : x",
    "exponential": "exp{f}(x)",
}

_SOFTMAX = """
static void softmax(real *x, int n)
{
    real top = x[0], total = 0;
    for (int i = 1; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (int i = 0; i < n; i++) {
        x[i] = exp{f}(x[i] - top);
        total += x[i];
    }
    for (int i = 0; i < n; i++)
        x[i] /= total;
}
"""

_DENSE = """
/* y = x weight + bias: weight (inputs, outputs), bias (outputs,) */
static void dense(real *y, const real *x, const real *weight, const real *bias, int inputs, int outputs)
{
    for (int j = 0; j < outputs; j++)
        y[j] = bias ? bias[j] : 0;
    for (int i = 0; i < inputs; i++)
        for (int j = 0; j < outputs; j++)
            y[j] += x[i] * weight[i * outputs + j];
}
"""

_WINDOWS = """
/* A window that moves over maps, and the width of the border of zeros above and left of them. */
struct windows {
    int in_h, in_w, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left;
};
"""

_ADD_TAP = """
/* One element of the window, at h, w: y (out_h, out_w) += weight times what lies there of x (in_h, in_w) */
static void add_tap(real *y, const real *x, real weight, int h, int w, const struct windows *s)
{
    for (int i = 0; i < s->out_h; i++) {
        const int row = i * s->stride_h + h * s->dilation_h - s->top;
        if (row < 0 || row >= s->in_h)
            continue;
        for (int j = 0; j < s->out_w; j++) {
            const int column = j * s->stride_w + w * s->dilation_w - s->left;
            if (column >= 0 && column < s->in_w)
                y[i * s->out_w + j] += weight * x[row * s->in_w + column];
        }
    }
}
"""

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

_BATCH_NORM = """
/* x (maps, pixels) = (x - mean) scale + bias, each of them (maps,) */
static void batch_norm(real *x, const real *mean, const real *scale, const real *bias, int maps, int pixels)
{
    for (int m = 0; m < maps; m++)
        for (int p = 0; p < pixels; p++, x++)
            *x = (*x - mean[m]) * scale[m] + bias[m];
}
"""

_LAYER_NORM = """
/* x (groups, size) = gain (x - mean) / sqrt(variance + epsilon) + bias: mean and variance of each group */
static void layer_norm(real *x, const real *gain, const real *bias, int groups, int size, real epsilon)
{
    for (int g = 0; g < groups; g++, x += size) {
        real mean = 0, variance = 0;
        for (int i = 0; i < size; i++)
            mean += x[i];
        mean /= (real)size;
        for (int i = 0; i < size; i++)
            variance += (x[i] - mean) * (x[i] - mean);
        variance /= (real)size;
        for (int i = 0; i < size; i++)
            x[i] = gain[i] * (x[i] - mean) / sqrt{f}(variance + epsilon) + bias[i];
    }
}
"""

_COPY = """
static void copy(real *y, const real *x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i];
}
"""

_ADD = """
static void add(real *y, const real *x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += x[i];
}
"""


class _Source:
    """C source that grows layer by layer.

    now    the array in which the values are
    shape  theirs
    """

    def __init__(self, dtype: np.dtype, shape: Shape):
        self.dtype, self.shape = dtype, shape
        self.functions: dict[str, str] = {}  # by name
        self.constants: list[str] = []
        self.steps: list[str] = []
        self.rooms: dict[str, int] = {}  # arrays for values: how many
        self.free: list[str] = []
        self.now = self.room(self.size)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def number(self, value: float) -> str:
        """The number exactly, as C99 writes it."""
        return re.sub(r"\.?0*p", "p", value.hex()) + ("f" if self.dtype == np.float32 else "")

    def function(self, name: str, text: str) -> None:
        """Define a function, once."""
        self.functions[name] = text.replace("{f}", "f" if self.dtype == np.float32 else "")

    def array(self, name: str, values: np.ndarray) -> str:
        """Define a constant array; returns its name. Raises ValueError if a value is not finite."""
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite to be written as C")
        name = name.replace(".", "_")
        numbers = [self.number(float(value)) for value in values.ravel()]
        lines = [", ".join(numbers[i : i + _PER_LINE]) for i in range(0, len(numbers), _PER_LINE)]
        body = ",\n    ".join(lines)
        self.constants.append(f"\nstatic const real {name}[{len(numbers)}] = {{\n    {body}\n}};\n")
        return name

    def windows(self, name: str, axes: list[Axis]) -> str:
        """Define the sizes of a window; returns their address."""
        self.function("windows", _WINDOWS)
        name = f"{name.replace('.', '_')}_window"
        high, wide = in_2d(axes)
        pairs = ((high.size, wide.size), (high.steps, wide.steps), *zip(high[:3], wide[:3], strict=True))
        sizes = ", ".join(str(size) for pair in (*pairs, (high.before, wide.before)) for size in pair)
        self.constants.append(f"\nstatic const struct windows {name} = {{{sizes}}};\n")
        return f"&{name}"

    def room(self, size: int) -> str:
        """An array for `size` values that is not in use."""
        name = self.free.pop() if self.free else f"v{len(self.rooms)}"
        self.rooms[name] = max(self.rooms.get(name, 0), size)
        return name

    def step(self, function: str, arguments: str, shape: Shape) -> str:
        """Add a call that writes values of a shape to another array, where they are now; returns where they were."""
        x, self.shape = self.now, shape
        self.now = self.room(self.size)
        self.steps.append(f"{function}({self.now}, {x}, {arguments});")
        return x

    def activation(self, activation: ActivationFunction, owner: str) -> None:
        """Add y = f(x), in place."""
        name = activation.name
        if activation is activations.mean_variance:
            begin, end = self.size // 2, "f" if self.dtype == np.float32 else ""
            self.steps.append(
                f"for (int i = {begin}; i < {self.size}; i++)\n        {self.now}[i] = exp{end}({self.now}[i]);"
            )
            return
        if activations.ACTIVATIONS.get(name) is not activation:
            raise ValueError(f"{owner} can't be written as C: {activation!r} is no activation of fastbp's")
        if activation.forward is None:
            return
        if name == "softmax":
            self.function(name, _SOFTMAX)
            self.steps.append(f"softmax({self.now}, {self.size});")
            return
        call = f"{name}_of"  # math.h has a tanh
        self.function(call, f"\nstatic real {call}(real x)\n{{\n    return {_ELEMENTWISE[name]};\n}}\n")
        self.steps.append(f"for (int i = 0; i < {self.size}; i++)\n        {self.now}[i] = {call}({self.now}[i]);")


_Weights = Mapping[str, np.ndarray]  # parameters and statistics, by name


def _weight_and_bias(source: _Source, name: str, layer: Any, weights: _Weights) -> str:
    weight = source.array(f"{name}.weight", weights["weight"])
    return f"{weight}, {source.array(f'{name}.bias', weights['bias']) if layer.bias else 0}"


def _dense(source: _Source, name: str, layer: Any, weights: _Weights) -> None:
    source.function("dense", _DENSE)
    affine = _weight_and_bias(source, name, layer, weights)
    source.free.append(source.step("dense", f"{affine}, {source.size}, {layer.units}", (layer.units,)))
    source.activation(layer.ends_with, name)


def _conv(source: _Source, name: str, layer: Any, weights: _Weights) -> None:
    window = source.windows(name, layer._axes(source.shape))
    source.function("add_tap", _ADD_TAP)
    source.function("conv", _CONV)
    sizes = f"{source.shape[0]}, {layer.filters}, {layer.groups}, {window}"
    arguments = f"{_weight_and_bias(source, name, layer, weights)}, {sizes}"
    source.free.append(source.step("conv", arguments, layer.output_shape(source.shape)))
    source.activation(layer.ends_with, name)


def _max_pool(source: _Source, name: str, layer: Any, weights: _Weights) -> None:
    arguments = f"{source.shape[0]}, {source.windows(name, layer._axes(source.shape))}"
    source.function("max_pool", _MAX_POOL)
    source.free.append(source.step("max_pool", arguments, layer.output_shape(source.shape)))


def _average_pool(source: _Source, name: str, layer: Any, weights: _Weights) -> None:
    _average(source, name, layer._axes(source.shape), layer.output_shape(source.shape))


def _global_average_pool(source: _Source, name: str, layer: Any, weights: _Weights) -> None:
    whole = source.shape[1:]
    _average(source, name, windows("window", source.shape, whole, whole, 1, 0), layer.output_shape(source.shape))


def _average(source: _Source, name: str, axes: list[Axis], shape: Shape) -> None:
    arguments = f"{source.shape[0]}, {source.windows(name, axes)}"
    source.function("add_tap", _ADD_TAP)
    source.function("average_pool", _AVERAGE_POOL)
    source.free.append(source.step("average_pool", arguments, shape))


def _batch_norm(source: _Source, name: str, layer: Any, weights: _Weights) -> None:
    source.function("batch_norm", _BATCH_NORM)
    with np.errstate(all="ignore"):  # what is not finite is refused by name
        scale = weights["gain"] / np.sqrt(weights["running_variance"].astype(np.float64) + layer.epsilon)
        scale = scale.astype(source.dtype)
    arrays = {"running_mean": weights["running_mean"], "scale": scale, "bias": weights["bias"]}
    names = ", ".join(source.array(f"{name}.{which}", values) for which, values in arrays.items())
    maps = source.shape[0]
    source.steps.append(f"batch_norm({source.now}, {names}, {maps}, {source.size // maps});")


def _layer_norm(source: _Source, name: str, layer: Any, weights: _Weights) -> None:
    source.function("layer_norm", _LAYER_NORM)
    names = ", ".join(source.array(f"{name}.{which}", weights[which]) for which in ("gain", "bias"))
    size, epsilon = weights["gain"].size, source.number(float(source.dtype.type(layer.epsilon)))
    source.steps.append(f"layer_norm({source.now}, {names}, {source.size // size}, {size}, {epsilon});")


def _residual(source: _Source, name: str, layer: Any, weights: _Weights) -> None:
    source.function("copy", _COPY)
    source.function("add", _ADD)
    shape = source.shape
    x = source.step("copy", str(source.size), shape)  # as layers may change values in place
    named = list(layer._named(shape))
    for part, inner, _ in named[: len(layer.layers)]:
        _write(source, f"{name}.{part}", inner, _of(weights, part))
    through = source.now
    source.now, source.shape = x, shape
    for part, inner, _ in named[len(layer.layers) :]:
        _write(source, f"{name}.{part}", inner, _of(weights, part))
    source.steps.append(f"add({through}, {source.now}, {source.size});")
    source.free.append(source.now)
    source.now = through


def _of(weights: _Weights, part: str) -> _Weights:
    """The weights of a part of a Residual."""
    start = f"{part}."
    return {name.removeprefix(start): values for name, values in weights.items() if name.startswith(start)}


def _activation(source: _Source, name: str, layer: Any, weights: _Weights) -> None:
    source.activation(layer.ends_with, name)


def _nothing(source: _Source, name: str, layer: Any, weights: _Weights) -> None:
    """What Dropout does to predictions."""


def _flatten(source: _Source, name: str, layer: Any, weights: _Weights) -> None:
    source.shape = (source.size,)


_WRITERS: dict[type, Callable[[_Source, str, Any, _Weights], None]] = {
    Activation: _activation,
    AvgPool1D: _average_pool,
    AvgPool2D: _average_pool,
    BatchNorm: _batch_norm,
    Conv1D: _conv,
    Conv2D: _conv,
    Dense: _dense,
    Dropout: _nothing,
    Flatten: _flatten,
    GlobalAvgPool1D: _global_average_pool,
    GlobalAvgPool2D: _global_average_pool,
    LayerNorm: _layer_norm,
    MaxPool1D: _max_pool,
    MaxPool2D: _max_pool,
    Residual: _residual,
}


def _write(source: _Source, name: str, layer: Any, weights: _Weights) -> None:
    """Add a layer. Raises ValueError if it can't be written."""
    writer = _WRITERS.get(type(layer))
    if writer is None:
        known = ", ".join(kind.__name__ for kind in _WRITERS)
        raise ValueError(f"{name} can't be written as C: layers must be {known}")
    writer(source, name, layer, weights)


def export_c(net: Model, path: str | os.PathLike, name: str) -> None:
    """Write the file. See Network.export_c."""
    check_path("path", path)
    if not isinstance(name, str):
        raise TypeError(f"name must be a name in C, got {brief(name)}")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"name must be a name in C: letters, digits and _, no digit first, got {name!r}")
    with net.lock:
        text = _text(net, name)
    with replacing(path) as file:
        file.write(text.encode())


def _text(net: Model, name: str) -> str:
    source = _Source(net.dtype, net.input_shape)
    inputs, outputs = source.size, math.prod(net.output_shape)
    for bound, runs in zip(net.layers, net.emitters(), strict=True):
        _write(source, bound.name, runs.layer, {**bound.weights, **bound.statistics})
    if net.loss.link is not None:
        source.activation(net.loss.link, "the loss")

    real = "float" if net.dtype == np.float32 else "double"
    prototype = f"void {name}_predict(const {real} x[{inputs}], {real} y[{outputs}])"
    about = "\n   ".join(line.rstrip() for line in summaries.text(net).splitlines())
    rooms = ", ".join(f"{room}[{size}]" for room, size in source.rooms.items())
    stack = sum(source.rooms.values()) * net.dtype.itemsize
    steps = "\n    ".join(source.steps)
    return f"""/* A neural network, written by fastbp. It predicts one row: y of x.

   {about}

   Its values take {stack:,} bytes of the stack. Where that is too much, compile with -D{name}_scratch=static:
   then they have memory of their own, and one thread at a time may predict. */

#include <math.h>

#ifndef {name}_scratch
#define {name}_scratch
#endif

typedef {real} real;

enum {{ {name}_inputs = {inputs}, {name}_outputs = {outputs} }};

{prototype};
{"".join(source.functions.values())}{"".join(source.constants)}
{prototype}
{{
    {name}_scratch real {rooms};
    for (int i = 0; i < {inputs}; i++)
        v0[i] = x[i];
    {steps}
    for (int i = 0; i < {outputs}; i++)
        y[i] = {source.now}[i];
}}
"""
