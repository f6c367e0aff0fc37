"""A network as one C99 file: weights and forward pass, with no dependencies and no allocation."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import activations
from .activations import ActivationFunction
from .files import replacing
from .layers import Activation, Dense, Dropout, Flatten

if TYPE_CHECKING:
    from .layers.bound import BoundLayer
    from .network import Network

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


class _Source:
    """C source that grows layer by layer. The values stand in one of two arrays, and a layer may swap them."""

    def __init__(self, dtype: np.dtype, inputs: int):
        self.dtype, self.size, self.most = dtype, inputs, inputs
        self.functions: dict[str, str] = {}  # by name
        self.arrays: list[str] = []
        self.steps: list[str] = []
        self.now, self.other = "a", "b"

    def function(self, name: str, text: str) -> None:
        """Define a function, once."""
        self.functions[name] = text.replace("{f}", "f" if self.dtype == np.float32 else "")

    def array(self, name: str, values: np.ndarray) -> str:
        """Define a constant array; returns its name."""
        end = "f" if self.dtype == np.float32 else ""
        numbers = [f"{_hexadecimal(float(value))}{end}" for value in values.ravel()]
        lines = [", ".join(numbers[i : i + _PER_LINE]) for i in range(0, len(numbers), _PER_LINE)]
        body = ",\n    ".join(lines)
        self.arrays.append(f"static const real {name}[{len(numbers)}] = {{\n    {body}\n}};\n")
        return name

    def resize(self, size: int) -> None:
        """The step that was added last has written `size` values to the other array."""
        self.size, self.most = size, max(self.most, size)
        self.now, self.other = self.other, self.now

    def activation(self, activation: ActivationFunction, owner: str) -> None:
        """Add y = f(x), in place."""
        name = activation.name
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


def _hexadecimal(value: float) -> str:
    """The number exactly, as C99 writes it."""
    return re.sub(r"\.?0*p", "p", value.hex())


def _dense(source: _Source, bound: BoundLayer, layer: Any) -> None:
    source.function("dense", _DENSE)
    weight = source.array(f"{bound.name}_weight", bound.weights["weight"])
    bias = source.array(f"{bound.name}_bias", bound.weights["bias"]) if layer.bias else "0"
    source.steps.append(f"dense({source.other}, {source.now}, {weight}, {bias}, {source.size}, {layer.units});")
    source.resize(layer.units)
    source.activation(layer.ends_with, bound.name)


def _activation(source: _Source, bound: BoundLayer, layer: Any) -> None:
    source.activation(layer.ends_with, bound.name)


def _nothing(source: _Source, bound: BoundLayer, layer: Any) -> None:
    """What the layer does to predictions, or to values that lie in a row."""


_WRITERS: dict[type, Callable[[_Source, BoundLayer, Any], None]] = {
    Dense: _dense,
    Activation: _activation,
    Dropout: _nothing,
    Flatten: _nothing,
}


def export_c(net: Network, path: str | os.PathLike, name: str) -> None:
    """Write the file. See Network.export_c."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a name in C, got {name!r}")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"name must be a name in C: letters, digits and _, no digit first, got {name!r}")
    text = _text(net, name)
    with replacing(path) as file:
        file.write(text.encode())


def _text(net: Network, name: str) -> str:
    if not np.isfinite(net.params).all():
        raise ValueError("params must be finite to be written as C")
    inputs, outputs = int(np.prod(net.input_shape)), int(np.prod(net.output_shape))
    source = _Source(net.dtype, inputs)
    for bound, runs in zip(net.layers, net._emitters(), strict=True):
        writer = _WRITERS.get(type(runs.layer))
        if writer is None:
            known = ", ".join(kind.__name__ for kind in _WRITERS)
            raise ValueError(f"{bound.name} can't be written as C: layers must be {known}")
        writer(source, bound, runs.layer)
    if net.loss.link is not None:
        source.activation(net.loss.link, "the loss")

    real = "float" if net.dtype == np.float32 else "double"
    prototype = f"void {name}_predict(const {real} x[{inputs}], {real} y[{outputs}])"
    about = "\n   ".join(line.rstrip() for line in net.summary().splitlines())
    steps = "\n    ".join(source.steps)
    return f"""/* A neural network, written by fastbp. It predicts one row: y of x.

   {about} */

#include <math.h>

typedef {real} real;

enum {{ {name}_inputs = {inputs}, {name}_outputs = {outputs} }};

{prototype};

{"".join(source.arrays)}{"".join(source.functions.values())}
{prototype}
{{
    real a[{source.most}], b[{source.most}];
    for (int i = 0; i < {inputs}; i++)
        a[i] = x[i];
    (void)b;
    {steps}
    for (int i = 0; i < {outputs}; i++)
        y[i] = {source.now}[i];
}}
"""
