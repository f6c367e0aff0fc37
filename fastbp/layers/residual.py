"""Residual: layers with a way around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..kernels import elementwise as kernels
from ..program.c_source import CSource
from ..program.emitter import Emitter
from ..program.records import MOVE, Record, Shape, Tensor
from .base import LAYERS, Layer, Link, Parameter, WeightedLayer, Weights
from .chain import Chain, check_layers, named
from .conv import Conv1D, Conv2D
from .dense import Dense


@LAYERS.register
@dataclass(frozen=True, repr=False)
class Residual(WeightedLayer):
    """a = the layers' output for x, + x; where their shapes differ, + x projected to the shape of the output.

    A projection is a convolution with kernels of 1 and the stride that fits, or a dense layer; without a bias.

    Arguments:
        layers: one layer or more, the first nearest to the input. They are frozen and get their learning rate together.
        trainable, learning_rate: see WeightedLayer.

    Parameters are named by the layer: net.layers[i].weights["Conv2D_1.weight"], and "projection.weight".
    Raises TypeError or ValueError for other arguments. Source: He et al. 2016, eq. 1 and 2.
    """

    layers: Sequence[Layer]

    def __post_init__(self) -> None:
        super().__post_init__()
        layers = check_layers(self.layers)
        for layer in layers:
            if isinstance(layer, WeightedLayer) and (not layer.trainable or layer.learning_rate != 1):
                raise ValueError(f"trainable and learning_rate must be given to Residual, got {layer!r}")
        self._store(layers=layers)

    def _ways(self, input_shape: Shape) -> tuple[Chain, Chain]:
        """The way through the layers, and the way around them: the projection, or nothing.

        Of what is frozen, a BatchNorm inside takes the running statistics, too.
        """
        layers = [
            replace(layer, trainable=False) if not self.trainable and isinstance(layer, WeightedLayer) else layer
            for layer in self.layers
        ]
        through = Chain(named(layers), input_shape)
        different = through.output_shape != input_shape
        projection = [("projection", _projection(input_shape, through.output_shape))] if different else []
        return through, Chain(projection, input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        through, _ = self._ways(input_shape)
        return through.output_shape

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        through, around = self._ways(input_shape)
        return (*through.parameters, *around.parameters)

    def statistics(self, input_shape: Shape) -> tuple[Parameter, ...]:
        through, around = self._ways(input_shape)
        return (*through.statistics, *around.statistics)

    def least_batch(self, input_shape: Shape) -> int:
        through, _ = self._ways(input_shape)
        return through.least_batch

    def inner(self, input_shape: Shape) -> tuple[Link, ...]:
        through, around = self._ways(input_shape)
        return (*through.links, *around.links)

    def emit(self, plan: Emitter, x: Tensor, *weights: Tensor) -> Tensor:
        layers, projection = self._ways(x.shape)
        names = [wanted.name for wanted in (*self.parameters(x.shape), *self.statistics(x.shape))]
        own = dict(zip(names, weights, strict=True))

        through, around = plan.branch(x), plan.branch(x)
        layout: Record = dict(features=x.size, blocked=x.blocked)
        plan.backward(kernels.add, MOVE * x.size, z=x.grad, x=through.grad, y=around.grad, **layout)
        through, around = layers.emit(plan, through, own), projection.emit(plan, around, own)
        around = plan.blocked(around) if through.blocked else plan.plain(around)

        a = plan.tensor(through.shape, through.blocked)
        layout = dict(features=a.size, blocked=a.blocked)
        plan.forward(kernels.add, MOVE * a.size, z=a.value, x=through.value, y=around.value, **layout)
        for branch in (through, around):
            plan.backward(kernels.copy, MOVE * a.size, y=branch.grad, x=a.grad, **layout)
        return a

    def write_c(self, source: CSource, name: str, weights: Weights) -> None:
        source.define("copy", _COPY)
        source.define("add", _ADD)
        shape = source.shape
        layers, projection = self._ways(shape)
        x = source.call("copy", str(source.size), shape)  # as layers may change values in place
        layers.write_c(source, name, weights)
        through = source.now
        source.now, source.shape = x, shape
        projection.write_c(source, name, weights)
        source.add(f"add({through}, {source.now}, {source.size});")
        source.release(source.now)
        source.now = through


def _projection(input_shape: Shape, output_shape: Shape) -> Layer:
    """What makes the one shape of the other. Raises ValueError if nothing does."""
    if len(input_shape) == len(output_shape) == 1:
        return Dense(output_shape[0], bias=False)
    strides = [
        next((s for s in range(1, size + 1) if (size - 1) // s + 1 == steps), 0)
        for size, steps in zip(input_shape[1:], output_shape[1:], strict=False)
    ]
    if len(input_shape) != len(output_shape) or len(input_shape) > 3 or not all(strides):
        raise ValueError(f"no projection makes an input {input_shape} the shape {output_shape} that comes out")
    if len(input_shape) == 2:
        return Conv1D(output_shape[0], 1, strides[0], bias=False)
    return Conv2D(output_shape[0], 1, (strides[0], strides[1]), bias=False)


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
