"""What a layer is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import numpy as np

from .. import activations, initializers
from ..activations import ActivationFunction
from ..errors import check_bool, check_number
from ..initializers import Initializer
from ..parts import Part, Registry
from ..program.c_source import CSource
from ..program.emitter import Emitter
from ..program.records import Shape, Tensor

Weights = Mapping[str, np.ndarray]  # parameters and statistics, by name


class Parameter(NamedTuple):
    """A parameter that a layer wants: fan_in and fan_out are for the initializer."""

    name: str
    shape: Shape
    initializer: Initializer
    fan_in: int
    fan_out: int


class Layer(Part):
    """A description of a layer: a frozen dataclass whose fields are its arguments, with these methods.

    `activation` is the activation that the layer ends with, and `without_activation` the same layer without it:
    a loss takes over the one that is its own inverse link.
    """

    @property
    def ends_with(self) -> ActivationFunction | None:
        """The activation that is the last thing the layer does, or None."""
        return None

    def without_activation(self) -> Layer:
        """The same layer with a linear activation."""
        return self

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of a row's output. Raises ValueError if the layer can't take that input."""
        return input_shape

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        """The parameters, in the order in which they lie in the flat vector."""
        return ()

    def statistics(self, input_shape: Shape) -> tuple[Parameter, ...]:
        """What the layer counts in training beside its parameters, and keeps in files with them."""
        return ()

    def least_batch(self, input_shape: Shape) -> int:
        """The fewest rows that a training step may have."""
        return 1

    def inner(self, input_shape: Shape) -> tuple[Link, ...]:
        """The layers that it is made of; none for a layer that is one by itself."""
        return ()

    def emit(self, plan: Emitter, x: Tensor, *weights: Tensor) -> Tensor:
        """Add the layer's ops to a plan; returns its output. weights: the parameters, and then the statistics."""
        raise TypeError(f"{type(self).__name__} must define emit")

    def write_c(self, source: CSource, name: str, weights: Weights) -> None:
        """Add to C source what the layer does to a row in predictions.

        name: the layer's, which names of its constants begin with; weights: parameters and statistics, by name.
        Raises ValueError, naming the layer, if it can't be written.
        """
        raise TypeError(f"{type(self).__name__} must define write_c")


class Link(NamedTuple):
    """A layer within a composite: its name, the shapes of a row that it gets and gives, and what memory it wants."""

    name: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    parameters: tuple[Parameter, ...]
    statistics: tuple[Parameter, ...]


LAYERS: Registry[Layer] = Registry()


def write_layer(source: CSource, name: str, layer: Layer, weights: Weights) -> None:
    """Add a layer to C source. See Layer.write_c.

    Raises ValueError for a class that is not in the registry: what it has inherited may not be what it computes.
    """
    writers = {known: kind for known, kind in sorted(LAYERS.items()) if kind.write_c is not Layer.write_c}
    if writers.get(type(layer).__name__) is not type(layer):
        raise ValueError(f"{name} can't be written as C: layers must be {', '.join(writers)}")
    layer.write_c(source, name, weights)


@dataclass(frozen=True, repr=False)
class WeightedLayer(Layer):
    """A layer with parameters.

    Arguments of all:
        trainable: whether training changes its parameters.
        learning_rate: factor of the optimizer's learning rate for them, greater than 0.
    Both can be changed later: `net.layers[i].trainable = False`.
    """

    _: KW_ONLY
    trainable: bool = True
    learning_rate: float = 1.0

    def __post_init__(self) -> None:
        rate = check_number("learning_rate", self.learning_rate, low=0, open_low=True)
        self._store(trainable=check_bool("trainable", self.trainable), learning_rate=rate)


def _check_activation(activation: ActivationFunction | None) -> ActivationFunction | None:
    if activation is activations.mean_variance:
        what = "the loss 'gaussian_nll' makes that of a linear layer's outputs itself"
        raise ValueError(f"activation must be a layer's, got {activation!r}: {what}")
    return activation


def default_init(activation: ActivationFunction | None) -> Initializer:
    return initializers.INITIALIZERS["he_uniform" if activation is activations.relu else "glorot_uniform"]


@dataclass(frozen=True, repr=False)
class AffineLayer(WeightedLayer):
    """A layer of weighted sums, with a bias and an activation, as Dense documents them."""

    _: KW_ONLY
    bias: bool = True
    kernel_init: str | Initializer | None = None
    bias_init: str | Initializer = "zeros"
    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        init = default_init(self.ends_with) if self.kernel_init is None else self.kernel_init
        self._store(
            activation=_check_activation(self.ends_with),
            bias=check_bool("bias", self.bias),
            kernel_init=initializers.get("kernel_init", init),
            bias_init=initializers.get("bias_init", self.bias_init),
            l1=check_number("l1", self.l1, low=0),
            l2=check_number("l2", self.l2, low=0),
        )

    def _implied(self) -> tuple[str, ...]:
        names = ["kernel_init"] if self.kernel_init == default_init(self.ends_with) else []
        names += ["bias_init"] if self.bias_init == initializers.INITIALIZERS["zeros"] else []
        return (*names, *(["activation"] if self.ends_with is activations.linear else []))

    def _weight_and_bias(self, shape: Shape, outputs: int, fan_in: int, fan_out: int) -> tuple[Parameter, ...]:
        weight = Parameter("weight", shape, initializers.get("kernel_init", self.kernel_init), fan_in, fan_out)
        bias = Parameter("bias", (outputs,), initializers.get("bias_init", self.bias_init), fan_in, fan_out)
        return (weight, bias) if self.bias else (weight,)

    def _c_weight_and_bias(self, source: CSource, name: str, weights: Weights) -> str:
        """Their names in C, or 0 for a bias that there is not."""
        weight = source.constant(f"{name}.weight", weights["weight"])
        return f"{weight}, {source.constant(f'{name}.bias', weights['bias']) if self.bias else 0}"
