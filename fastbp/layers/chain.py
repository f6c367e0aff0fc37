"""Chain: layers one behind the other, with their names and shapes; Network and Residual are made of chains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import brief
from ..program.c_source import CSource
from ..program.emitter import Emitter
from ..program.records import Shape, Tensor
from .base import Layer, Link, Parameter, Weights, write_layer
from .bound import BoundLayer


class Chain:
    """Layers of which each gets what the one before it gives.

    Arguments:
        layers: names and layers, the first nearest to the input.
        input_shape: the shape of a row that the first one gets.

    links         of the layers
    output_shape  the shape of a row that the last one gives; input_shape if there is no layer

    Parameters and statistics of a chain have the names of their layers before their own: "Dense_1.weight".
    Raises ValueError, naming the layer, if one can't take what it gets.
    """

    def __init__(self, layers: Iterable[tuple[str, Layer]], input_shape: Shape):
        links: list[Link] = []
        self.output_shape = input_shape
        for name, layer in layers:
            shape = self.output_shape
            try:
                shapes = shape, layer.output_shape(shape)
                link = Link(name, layer, *shapes, layer.parameters(shape), layer.statistics(shape))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            links.append(link)
            self.output_shape = link.output_shape
        self.links = tuple(links)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters of all layers, in order."""
        return tuple(_within(link, wanted) for link in self.links for wanted in link.parameters)

    @property
    def statistics(self) -> tuple[Parameter, ...]:
        """The statistics of all layers, in order."""
        return tuple(_within(link, wanted) for link in self.links for wanted in link.statistics)

    @property
    def least_batch(self) -> int:
        """The fewest rows that a training step of all layers may have."""
        return max((link.layer.least_batch(link.input_shape) for link in self.links), default=1)

    def emit(self, plan: Emitter, x: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Add the layers' ops to a plan; returns the last one's output. weights: parameters and statistics, by name."""
        for link in self.links:
            own = (weights[f"{link.name}.{wanted.name}"] for wanted in (*link.parameters, *link.statistics))
            x = link.layer.emit(plan, x, *own)
        return x

    def write_c(self, source: CSource, name: str, weights: Weights) -> None:
        """Add the layers to C source. name: what stands before their names; weights: as for emit.

        Raises ValueError, naming the layer, if one can't be written.
        """
        for link in self.links:
            start = f"{link.name}."
            own = {key.removeprefix(start): values for key, values in weights.items() if key.startswith(start)}
            write_layer(source, f"{name}.{link.name}", link.layer, own)


def _within(link: Link, wanted: Parameter) -> Parameter:
    """A parameter or statistic under the name that it has in the chain."""
    return wanted._replace(name=f"{link.name}.{wanted.name}")


def check_layers(layers: Any) -> tuple[Layer, ...]:
    """The layers. Raises TypeError if they are no sequence of layers, ValueError if there is none."""
    if isinstance(layers, Layer) or not isinstance(layers, Sequence):
        raise TypeError(f"layers must be a list of layers, got {brief(layers)}")
    if not layers:
        raise ValueError("layers must hold at least one layer, got none")
    for place, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"layers must hold layers such as Dense(10), got {brief(layer)} at place {place}")
    return tuple(layers)


def named(layers: Iterable[Layer]) -> Iterator[tuple[str, Layer]]:
    """Each layer with its name: its class and the how manyth of that class it is, from 1."""
    counts: dict[str, int] = {}
    for layer in layers:
        kind = type(layer).__name__
        counts[kind] = counts.get(kind, 0) + 1
        yield f"{kind}_{counts[kind]}", layer


def bind_layers(layers: Any, input_shape: Shape) -> tuple[BoundLayer, ...]:
    """The layers of a network, whose rows have this shape; memory they have none yet.

    Raises as check_layers does, and ValueError, naming the layer, if one can't take what it gets.
    """
    checked = check_layers(layers)
    try:
        chain = Chain(named(checked), input_shape)
    except ValueError as error:
        raise ValueError(f"layers: {error}") from None
    return tuple(BoundLayer(link.layer, link.name, link.input_shape) for link in chain.links)
