"""A layer as it is in a network: with shapes, and with memory of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ..program.plan import Plan, Shape, Tensor
from .base import Layer, Parameter, WeightedLayer


class BoundLayer:
    """A layer in a network: its description, its shapes, and live views of its parameters and statistics by name.

    layer                      the description
    name                       such as "Dense_2"
    input_shape, output_shape  of a row
    weights                    names and live views: `layer.weight` is `layer.weights["weight"]`
    statistics                 likewise of what training counts beside them: `layer.running_mean`
    grad                       names of parameters, and live views of their gradients, which lie in net.grads
    trainable                  whether training changes its parameters; can be set
    learning_rate              factor of the optimizer's learning rate, greater than 0; can be set
    wanted, counted            what parameters and statistics it needs, in the order in which they lie in memory
    """

    layer: Layer
    name: str
    input_shape: Shape
    output_shape: Shape
    weights: dict[str, np.ndarray]
    statistics: dict[str, np.ndarray]
    wanted: tuple[Parameter, ...]
    counted: tuple[Parameter, ...]

    def __init__(self, layer: Layer, name: str, input_shape: Shape, places: Sequence[Tensor] = ()):
        shapes = {"input_shape": input_shape, "output_shape": layer.output_shape(input_shape)}
        self.__dict__.update(layer=layer, name=name, **shapes, weights={}, statistics={})
        self.__dict__.update(wanted=layer.parameters(input_shape), counted=layer.statistics(input_shape))
        self._gradients: dict[str, np.ndarray] = {}
        self._places = list(places)
        self._changed: Callable[[], None] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("weights", "statistics"):
            raise AttributeError(name)
        for views in (self.weights, self.statistics):
            if name in views:
                return views[name]
        raise AttributeError(f"{self.name} has no {name!r}; its parameters are {', '.join(self.weights) or 'none'}")

    def __setattr__(self, name: str, value: Any) -> None:
        views = {**self.weights, **self.statistics}
        if name in views:
            if value is views[name]:  # layer.weight *= 2 has written into it, and then assigns it
                return
            view = f"net.layers[i].{name}"
            raise AttributeError(f"{name} can't be replaced, as it is a view: write into it, {view}[...] = values")
        if not name.startswith("_") and name not in ("trainable", "learning_rate"):
            raise AttributeError(f"{name} can't be set in {self.name}: of a layer, trainable and learning_rate can")
        super().__setattr__(name, value)

    @property
    def grad(self) -> Mapping[str, np.ndarray]:
        return MappingProxyType(self._gradients)

    @property
    def trainable(self) -> bool:
        return getattr(self.layer, "trainable", True)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.replace(trainable=value)

    @property
    def learning_rate(self) -> float:
        return getattr(self.layer, "learning_rate", 1.0)

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.replace(learning_rate=value)

    def place_parameter(self, name: str, values: np.ndarray, gradient: np.ndarray, place: Tensor) -> None:
        """Give it memory for the next of the parameters that it wants; place: where that lies, for plans."""
        self.weights[name], self._gradients[name] = values, gradient
        self._places.append(place)

    def place_statistic(self, name: str, values: np.ndarray, place: Tensor) -> None:
        """Likewise for the next of its statistics, when all parameters have theirs."""
        self.statistics[name] = values
        self._places.append(place)

    def parts_of(self, array: np.ndarray) -> dict[str, np.ndarray]:
        """The parts of an array (num_params,), laid out as net.params, that belong to its parameters, by name."""
        places = zip(self.weights, self._places, strict=False)  # behind these, statistics
        return {name: array[at.value.fixed :][: at.size].reshape(at.shape) for name, at in places}

    def without_activation(self) -> BoundLayer:
        """The layer, in the same memory, without the activation that it ends with."""
        return BoundLayer(self.layer.without_activation(), self.name, self.input_shape, self._places)

    def when_changed(self, changed: Callable[[], None]) -> None:
        """Let `changed` be called whenever trainable or learning_rate has been set."""
        self._changed = changed

    def replace(self, **fields: Any) -> None:
        """Change fields of the description, and tell the network."""
        self.describe(**fields)
        if self._changed is not None:
            self._changed()

    def describe(self, **fields: Any) -> None:
        """Likewise without telling the network."""
        if isinstance(self.layer, WeightedLayer):
            self.__dict__["layer"] = dataclasses.replace(self.layer, **fields)
        else:  # nothing to train
            WeightedLayer(**fields)  # checks them

    def __repr__(self) -> str:
        return f"<{self.name}: {self.layer!r}, {self.input_shape} -> {self.output_shape}>"

    def emit(self, plan: Plan, x: Tensor) -> Tensor:
        return self.layer.emit(plan, x, *self._places)


def check_step(layers: Sequence[BoundLayer], rows: int, batch_size: int | None = None, name: str = "X") -> None:
    """Raise ValueError if a layer can't train on one of the steps of `batch_size` rows, or on one step of all of them.

    name: of what has the rows, for the error.
    """
    last = rows if batch_size is None else (rows - 1) % batch_size + 1
    for layer in layers:
        least = layer.layer.least_batch(layer.input_shape)
        if last >= least:
            continue
        why = f"as {layer.name} normalises over the rows of a step, and one value has no variance"
        if batch_size is None or batch_size >= rows:
            raise ValueError(f"{name} must have at least {least} rows to train on, {why}, got {rows}")
        if batch_size < least:
            raise ValueError(f"batch_size must be at least {least}, {why}, got {batch_size}")
        left = f"got batch_size={batch_size}, which leaves {last} of {rows}"
        cure = "take another batch_size, or leave out a row"
        raise ValueError(f"batch_size must leave at least {least} rows for the last step, {why}, {left}: {cure}")
