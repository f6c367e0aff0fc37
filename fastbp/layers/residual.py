"""Residual: layers with a way around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..errors import brief
from ..kernels import elementwise as kernels
from ..program.c_source import CSource
from ..program.emitter import Emitter
from ..program.records import MOVE, Record, Shape, Tensor
from .base import LAYERS, Layer, Parameter, WeightedLayer, Weights, write_layer
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
        if isinstance(self.layers, Layer) or not isinstance(self.layers, Sequence):
            raise TypeError(f"layers must be a list of layers, got {brief(self.layers)}")
        if not self.layers:
            raise ValueError("layers must hold at least one layer, got none")
        for place, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"layers must hold layers such as Dense(10), got {brief(layer)} at place {place}")
            if isinstance(layer, WeightedLayer) and (not layer.trainable or layer.learning_rate != 1):
                raise ValueError(f"trainable and learning_rate must be given to Residual, got {layer!r}")
        self._store(layers=tuple(self.layers))

    def _named(self, input_shape: Shape) -> Iterator[tuple[str, Layer, Shape]]:
        """(name, layer, shape of its input) for each layer, and for the projection if there is one.

        Of what is frozen, a BatchNorm inside takes the running statistics, too.
        """
        counts: dict[str, int] = {}
        shape = input_shape
        for layer in self.layers:
            if not self.trainable and isinstance(layer, WeightedLayer):
                layer = replace(layer, trainable=False)
            kind = type(layer).__name__
            counts[kind] = counts.get(kind, 0) + 1
            yield f"{kind}_{counts[kind]}", layer, shape
            shape = layer.output_shape(shape)
        if shape != input_shape:
            yield "projection", _projection(input_shape, shape), input_shape

    def output_shape(self, input_shape: Shape) -> Shape:
        shape = input_shape
        for name, layer, shape_in in self._named(input_shape):
            try:
                shape = layer.output_shape(shape_in)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return shape

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        return tuple(
            parameter._replace(name=f"{name}.{parameter.name}")
            for name, layer, shape in self._named(input_shape)
            for parameter in layer.parameters(shape)
        )

    def statistics(self, input_shape: Shape) -> tuple[Parameter, ...]:
        return tuple(
            statistic._replace(name=f"{name}.{statistic.name}")
            for name, layer, shape in self._named(input_shape)
            for statistic in layer.statistics(shape)
        )

    def least_batch(self, input_shape: Shape) -> int:
        return max(layer.least_batch(shape) for _, layer, shape in self._named(input_shape))

    def emit(self, plan: Emitter, x: Tensor, *weights: Tensor) -> Tensor:
        named = list(self._named(x.shape))
        parameters = iter(weights[: len(self.parameters(x.shape))])
        statistics = iter(weights[len(self.parameters(x.shape)) :])

        def emitted(layer: Layer, shape: Shape, z: Tensor) -> Tensor:
            own = [next(parameters) for _ in layer.parameters(shape)]
            return layer.emit(plan, z, *own, *(next(statistics) for _ in layer.statistics(shape)))

        through, around = plan.branch(x), plan.branch(x)
        layout: Record = dict(features=x.size, blocked=x.blocked)
        plan.backward(kernels.add, MOVE * x.size, z=x.grad, x=through.grad, y=around.grad, **layout)
        for _, layer, shape in named[: len(self.layers)]:
            through = emitted(layer, shape, through)
        for _, layer, shape in named[len(self.layers) :]:
            around = emitted(layer, shape, around)
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
        x = source.call("copy", str(source.size), shape)  # as layers may change values in place
        named = list(self._named(shape))
        for part, layer, _ in named[: len(self.layers)]:
            write_layer(source, f"{name}.{part}", layer, _of(weights, part))
        through = source.now
        source.now, source.shape = x, shape
        for part, layer, _ in named[len(self.layers) :]:
            write_layer(source, f"{name}.{part}", layer, _of(weights, part))
        source.add(f"add({through}, {source.now}, {source.size});")
        source.release(source.now)
        source.now = through


def _of(weights: Weights, part: str) -> Weights:
    """The weights of one of the layers."""
    start = f"{part}."
    return {name.removeprefix(start): values for name, values in weights.items() if name.startswith(start)}


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
