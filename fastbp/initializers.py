"""Initial values of parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .errors import check_choice


@dataclass(frozen=True)
class Initializer:
    """Fills a parameter: `draw(generator, shape, fan_in, fan_out)` gives float64 values."""

    name: str
    draw: Callable[[np.random.Generator, tuple[int, ...], int, int], np.ndarray]

    def __repr__(self) -> str:
        return repr(self.name)


def _uniform(limit: Callable[[int, int], float]) -> Callable:
    def draw(generator, shape, fan_in, fan_out):
        bound = limit(fan_in, fan_out)
        return generator.uniform(-bound, bound, shape)

    return draw


def _normal(deviation: Callable[[int, int], float]) -> Callable:
    def draw(generator, shape, fan_in, fan_out):
        return generator.normal(0.0, deviation(fan_in, fan_out), shape)

    return draw


# Glorot & Bengio 2010, eq. 12 (normalized initialization), variance 2 / (fan_in + fan_out);
# He et al. 2015, eq. 10, variance 2 / fan_in. A uniform law on ±b has the variance b² / 3.
INITIALIZERS = {
    i.name: i
    for i in (
        Initializer("zeros", lambda generator, shape, fan_in, fan_out: np.zeros(shape)),
        Initializer("glorot_uniform", _uniform(lambda fan_in, fan_out: math.sqrt(6 / (fan_in + fan_out)))),
        Initializer("glorot_normal", _normal(lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out)))),
        Initializer("he_uniform", _uniform(lambda fan_in, fan_out: math.sqrt(6 / fan_in))),
        Initializer("he_normal", _normal(lambda fan_in, fan_out: math.sqrt(2 / fan_in))),
    )
}


def get(name: str, initializer: str | Initializer) -> Initializer:
    """The initializer of that name; `name` is the argument's, for errors.

    Raises TypeError if it is neither a name nor an Initializer, ValueError if the name is unknown.
    """
    if isinstance(initializer, Initializer):
        return initializer
    return check_choice(name, initializer, INITIALIZERS)
