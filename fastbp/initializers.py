"""Initial values of parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._names import shown
from .errors import brief, check_choice, check_number
from .parts import Part, Registry


@dataclass(frozen=True, repr=False)
class Initializer(Part):
    """Fills a parameter: `draw(generator, shape, fan_in, fan_out)` gives float64 values of that shape."""

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} must define draw")

    def __repr__(self) -> str:
        return repr(name_of(self)) if name_of(self) else super().__repr__()

    def _check(self, **conditions: dict[str, Any]) -> None:
        """Put numbers, checked by check_number with these conditions, in place of what was given."""
        for name, condition in conditions.items():
            self._store(**{name: check_number(name, getattr(self, name), **condition)})


INITIALIZER_CLASSES: Registry[Initializer] = Registry()


@INITIALIZER_CLASSES.register
@dataclass(frozen=True, repr=False)
class Constant(Initializer):
    """All values are `value`."""

    value: float

    def __post_init__(self) -> None:
        self._check(value={})

    def draw(self, generator, shape, fan_in, fan_out):
        return np.full(shape, self.value)


@INITIALIZER_CLASSES.register
@dataclass(frozen=True, repr=False)
class Uniform(Initializer):
    """Uniform within low … high, low ≤ high."""

    low: float = -0.05
    high: float = 0.05

    def __post_init__(self) -> None:
        self._check(low={}, high={})
        if self.low > self.high:
            raise ValueError(f"low must be at most high, got {self.low!r} and {self.high!r}")

    def draw(self, generator, shape, fan_in, fan_out):
        return generator.uniform(self.low, self.high, shape)


@INITIALIZER_CLASSES.register
@dataclass(frozen=True, repr=False)
class Normal(Initializer):
    """Normal with a mean and a standard deviation of 0 or more."""

    mean: float = 0.0
    stddev: float = 0.05

    def __post_init__(self) -> None:
        self._check(mean={}, stddev={"low": 0})

    def draw(self, generator, shape, fan_in, fan_out):
        return generator.normal(self.mean, self.stddev, shape)


@INITIALIZER_CLASSES.register
@dataclass(frozen=True, repr=False)
class VarianceScaling(Initializer):
    """Mean 0 and variance scale / fan, where fan is fan_in, or (fan_in + fan_out) / 2.

    Arguments:
        scale: greater than 0.
        mode: "fan_in" or "fan_avg".
        distribution: "uniform" or "normal" (not truncated).
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "uniform"

    def __post_init__(self) -> None:
        self._check(scale={"low": 0, "open_low": True})
        check_choice("mode", self.mode, ("fan_in", "fan_avg"))
        check_choice("distribution", self.distribution, ("uniform", "normal"))

    def draw(self, generator, shape, fan_in, fan_out):
        fan = fan_in if self.mode == "fan_in" else (fan_in + fan_out) / 2
        deviation = math.sqrt(self.scale / fan)
        if self.distribution == "normal":
            return generator.normal(0.0, deviation, shape)
        bound = math.sqrt(3.0) * deviation  # a uniform law on ±b has the variance b² / 3
        return generator.uniform(-bound, bound, shape)


@INITIALIZER_CLASSES.register
@dataclass(frozen=True, repr=False)
class Orthogonal(Initializer):
    """A random matrix with orthonormal rows or columns (fewer of them), times `gain`, greater than 0.

    More than two dimensions: the last is one, the others together the other. Source: Saxe et al. 2014.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        self._check(gain={"low": 0, "open_low": True})

    def draw(self, generator, shape, fan_in, fan_out):
        columns = shape[-1]
        rows = math.prod(shape) // columns
        q, r = np.linalg.qr(generator.normal(size=(max(rows, columns), min(rows, columns))))
        q = q * np.copysign(1.0, np.diag(r))  # makes it uniform over the orthogonal matrices
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


class Array(Initializer):
    """The values of an array, which must have the parameter's shape."""

    def __init__(self, values: Any):
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"initial values must be numbers, got an array of {array.dtype}")
        if not np.isfinite(array).all():
            raise ValueError("initial values must be finite, got NaN or infinity")
        self._store(values=array.astype(np.float64))

    def __repr__(self) -> str:
        return f"<array {self.values.shape}>"  # type: ignore[attr-defined]

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def described(self) -> str:
        return "zeros"  # a file has the values in the parameters

    def draw(self, generator, shape, fan_in, fan_out):
        values = self.values  # type: ignore[attr-defined]
        if values.shape != shape:
            raise ValueError(f"initial values must have shape {shape}, got {values.shape}")
        return values


# Glorot & Bengio 2010, eq. 12 (normalized initialization), variance 2 / (fan_in + fan_out); He et al. 2015, eq. 10,
# variance 2 / fan_in; LeCun et al. 1998, eq. 16, variance 1 / fan_in.
INITIALIZERS: dict[str, Initializer] = {
    "zeros": Constant(0.0),
    "ones": Constant(1.0),
    "uniform": Uniform(),
    "normal": Normal(),
    "glorot_uniform": VarianceScaling(1.0, "fan_avg", "uniform"),
    "glorot_normal": VarianceScaling(1.0, "fan_avg", "normal"),
    "he_uniform": VarianceScaling(2.0, "fan_in", "uniform"),
    "he_normal": VarianceScaling(2.0, "fan_in", "normal"),
    "lecun_uniform": VarianceScaling(1.0, "fan_in", "uniform"),
    "lecun_normal": VarianceScaling(1.0, "fan_in", "normal"),
    "orthogonal": Orthogonal(),
}


def name_of(initializer: Initializer) -> str | None:
    """The name that stands for it, or None."""
    return next((name for name, known in INITIALIZERS.items() if known == initializer), None)


def get(name: str, initializer: Any) -> Initializer:
    """The initializer of that name; a number stands for Constant, an array for itself; `name` is the argument's.

    Raises TypeError if it is none of these, ValueError if the name is unknown or the numbers are not finite.
    """
    if isinstance(initializer, Initializer):
        return initializer
    if isinstance(initializer, str):
        return check_choice(name, initializer, INITIALIZERS)
    if isinstance(initializer, (bool, type(None))) or callable(initializer):
        known = ", ".join(map(repr, INITIALIZERS))
        raise TypeError(
            f"{name} must be one of {known}, an initializer, a number or an array, got {brief(initializer)}"
        )
    try:
        array = np.asarray(initializer)
        return Constant(float(array)) if array.ndim == 0 else Array(array)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None


__all__ = ["INITIALIZERS", "Array", "Initializer", "get", *INITIALIZER_CLASSES]
__dir__ = shown(__all__)
