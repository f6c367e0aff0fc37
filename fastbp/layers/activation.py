"""Activation: an activation function as a layer of its own."""

from __future__ import annotations

from dataclasses import dataclass

from .. import activations
from ..activations import ActivationFunction
from ..program.c_source import CSource
from ..program.emitter import Emitter
from ..program.records import Tensor
from .base import LAYERS, Layer, Weights


@LAYERS.register
@dataclass(frozen=True, repr=False)
class Activation(Layer):
    """a = f(x), element by element (softmax: over all elements of a row).

    Arguments:
        activation: a name (see fastbp.activations) or an activation object.

    Raises TypeError or ValueError if it is neither.
    """

    activation: str | ActivationFunction

    def __post_init__(self) -> None:
        self._store(activation=activations.get(self.activation))

    @property
    def ends_with(self) -> ActivationFunction:
        return activations.get(self.activation)

    def without_activation(self) -> Layer:
        return Activation(activations.linear)

    def emit(self, plan: Emitter, x: Tensor, *weights: Tensor) -> Tensor:
        return self.ends_with.emit(plan, x if self.ends_with.elementwise else plan.plain(x))

    def write_c(self, source: CSource, name: str, weights: Weights) -> None:
        self.ends_with.write_c(source, name)
