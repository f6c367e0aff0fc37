"""Layers without arithmetic of their own: Flatten."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..program.c_source import CSource
from ..program.emitter import Emitter
from ..program.records import Shape, Tensor
from .base import LAYERS, Layer, Weights


@LAYERS.register
@dataclass(frozen=True, repr=False)
class Flatten(Layer):
    """Each row as a vector: (rows, a, b, …) becomes (rows, a · b · …)."""

    def output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)

    def emit(self, plan: Emitter, x: Tensor, *weights: Tensor) -> Tensor:
        return Tensor(x.value, x.grad, (x.size,))

    def write_c(self, source: CSource, name: str, weights: Weights) -> None:
        source.shape = self.output_shape(source.shape)
