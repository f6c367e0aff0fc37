"""Gradients against central differences, for those who add parts of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..display import reports
from ..errors import DivergedError, brief, check_integer, check_number
from ..model import Model
from ..program.records import BATCH_LOSS
from ..training.feeds import feed_in_memory

DOUBLE = np.dtype(np.float64)
EPSILON = float(np.finfo(DOUBLE).eps)
# The step that balances rounding (∝ ε / h) with what the difference leaves out (∝ h²), times the size of the number.
# Where it doesn't agree, a smaller one is tried: a kink or a sharp bend may be near.
STEP, SMALLER = EPSILON ** (1 / 3), 0.1
# Where neither does, the gradient is compared again so many steps to either side.
ASIDE = 2.0, 5.0, 20.0
NOISE = 10.0  # a loss is so many ε of itself from what it should be, at most


@dataclass(frozen=True)
class PartCheck:
    """How the gradient by one parameter, or by the inputs, compares with differences of the loss.

    name      such as "Dense_2 weight", or "inputs"
    elements  how many numbers it has; `checked` of them were compared
    kinks     so many more were left out, as the loss has no derivative there
    error     the largest |analytic - numeric| / max(|analytic|, |numeric|); of two derivatives so small that
              rounding explains their difference, it is within the tolerance
    at        the index of the element where that is, None if none was checked
    analytic, numeric  the derivatives there
    """

    name: str
    elements: int
    checked: int
    kinks: int
    error: float
    at: tuple[int, ...] | None
    analytic: float
    numeric: float


_HEAD = ("gradient by", "elements", "checked", "kinks", "worst error", "at", "analytic", "numeric")


@dataclass(frozen=True)
class GradientCheck:
    """What check_gradients found.

    parts      a PartCheck for each parameter and for the inputs
    tolerance  the largest error that counts as right
    """

    parts: list[PartCheck]
    tolerance: float

    @property
    def worst(self) -> float:
        """The largest relative error of all parts."""
        return max(part.error for part in self.parts)

    @property
    def ok(self) -> bool:
        """Whether something was checked, and all that was is right."""
        return any(part.checked for part in self.parts) and self.worst <= self.tolerance

    def _about(self) -> str:
        if self.ok:
            return f"The gradients are right: the worst relative error is {self.worst:.1e}."
        wrong = [part.name for part in self.parts if part.error > self.tolerance]
        if not wrong:
            return "No gradient could be checked: the loss has a kink everywhere."
        return f"The gradients are wrong (relative errors beyond {self.tolerance:g}) by: {', '.join(wrong)}."

    def _table(self) -> list[tuple[str, ...]]:
        return [
            (
                part.name,
                f"{part.elements:,}",
                f"{part.checked:,}",
                f"{part.kinks:,}",
                *(
                    ("-",) * 4
                    if part.at is None
                    else (f"{part.error:.1e}", str(list(part.at)), f"{part.analytic:.6g}", f"{part.numeric:.6g}")
                ),
            )
            for part in self.parts
        ]

    def __str__(self) -> str:
        return f"{self._about()}\n\n{reports.text_table(_HEAD, self._table())}"

    def __repr__(self) -> str:
        return f"<GradientCheck: {self._about()}>"

    def _repr_html_(self) -> str:
        return f"<p>{self._about()}</p>{reports.html_table(_HEAD, self._table())}"


def check_gradients(
    net: Model,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    samples: int | None = 100,
    tolerance: float = 1e-5,
    seed: int = 0,
) -> GradientCheck:
    """Compare the gradients by parameters and inputs with central differences of the loss, in float64.

    Arguments:
        net: of either dtype; it stays as it is. A copy in float64 is checked, with dropout inactive.
        X, y, sample_weight: as in fit; a few rows are enough, and each difference takes two passes over them.
        samples: so many elements of each parameter, and of X, are drawn at random; None checks all.
        tolerance: the largest relative error that counts as right, greater than 0.
        seed: an integer, 0 or more, that decides which elements are drawn.

    An element at a kink of the loss, such as relu's at 0, has no derivative there, only one on each side. A pixel of 0
    may be at the kinks of many units at once, if they have no bias. So where the gradient doesn't
    agree with the difference, the element is moved a few steps up and down, off the kink: if it agrees on both sides,
    the element is a kink, left out and counted; a derivative that is wrong disagrees there as well. Left out and
    counted are also elements where the slopes on both sides differ by more than the error (there are kinks all
    around), or the loss is not finite on one side.

    Raises TypeError or ValueError for other arguments, DivergedError if the loss is not finite.
    """
    if not isinstance(net, Model):
        raise TypeError(f"net must be a Network, got {brief(net)}")
    samples = None if samples is None else check_integer("samples", samples, low=1)
    tolerance = check_number("tolerance", tolerance, low=0, open_low=True)
    generator = np.random.default_rng(check_integer("seed", seed, low=0))
    function = _Function(net.twin(dtype=DOUBLE), X, y, sample_weight)
    loss = function.loss()
    if not math.isfinite(loss):
        raise DivergedError(f"the loss is {loss} on these rows: there is no gradient to check")
    parts = [_check(part, function, samples, tolerance, generator) for part in function.parts()]
    return GradientCheck(parts, tolerance)


class _Part(NamedTuple):
    """What the loss depends on: the values of a parameter or the inputs, to be moved, and the gradient by them.

    compute  does the gradient anew where the values are now, in place
    """

    name: str
    values: np.ndarray
    gradient: np.ndarray
    compute: Callable[[], object]


class _Function:
    """The loss of some rows and its gradients, as they are by the network's parameters and these rows now."""

    def __init__(self, net: Model, X: Any, y: Any, sample_weight: Any):
        self._net, self._feed = net, feed_in_memory(net.spec, X, y, sample_weight)
        self._feed.x = np.array(self._feed.x, DOUBLE, order="C")  # of our own: it is moved a little
        self._by_inputs = np.empty_like(self._feed.x)
        self._workspace = net.workspace(self._feed.rows)

    def loss(self) -> float:
        self._feed.run(self._workspace, "evaluate", self._feed.rows)
        return float(self._workspace.totals[BATCH_LOSS])

    def _by_parameters(self) -> None:
        self._feed.run(self._workspace, "gradient", self._feed.rows)

    def _by_rows(self) -> None:
        self._feed.run(self._workspace, "input_gradient", self._feed.rows, out=self._by_inputs)

    def parts(self) -> Iterator[_Part]:
        for layer in self._net.layers:
            for name, values in layer.weights.items():
                yield _Part(f"{layer.name} {name}", values, layer.grad[name], self._by_parameters)
        yield _Part("inputs", self._feed.x, self._by_inputs, self._by_rows)


def _check(
    part: _Part, function: _Function, samples: int | None, tolerance: float, generator: np.random.Generator
) -> PartCheck:
    """Compare a gradient with differences of the loss, by elements of what it is the gradient by."""
    name, values = part.name, part.values
    part.compute()
    gradient = part.gradient.copy()
    chosen = np.arange(values.size)
    if samples is not None and samples < values.size:
        chosen = np.sort(generator.choice(values.size, samples, replace=False))
    found = []
    for i in chosen:
        at = np.unravel_index(i, values.shape)
        result = _compare(float(gradient[at]), part, at, function.loss, tolerance)
        if result is not None:
            found.append((*result, at))
    kinks = len(chosen) - len(found)
    if not found:
        return PartCheck(name, values.size, 0, kinks, 0.0, None, math.nan, math.nan)
    error, numeric, at = max(found, key=lambda result: result[0])
    index = tuple(map(int, at))
    return PartCheck(name, values.size, len(found), kinks, error, index, float(gradient[at]), numeric)


class _Difference(NamedTuple):
    """A central difference of the loss against a derivative: the relative error, and how far both are apart.

    jump  by how much the slopes on both sides differ
    """

    numeric: float
    error: float
    distance: float
    jump: float


def _compare(
    analytic: float, part: _Part, at: tuple, loss: Callable[[], float], tolerance: float
) -> tuple[float, float] | None:
    """(relative error, numeric derivative) at one element; None at a kink."""
    step = STEP * max(1.0, abs(float(part.values[at])))
    found = _difference(analytic, part.values, at, step, loss, tolerance)
    if found is not None and found.error > tolerance:
        step *= SMALLER
        found = _difference(analytic, part.values, at, step, loss, tolerance)
    if found is None:
        return None
    if found.error <= tolerance:
        return found.error, found.numeric
    if found.jump >= found.distance or all(_agrees_aside(part, at, side * step, loss, tolerance) for side in (-1, 1)):
        return None
    return found.error, found.numeric


def _agrees_aside(part: _Part, at: tuple, h: float, loss: Callable[[], float], tolerance: float) -> bool:
    """Whether the gradient agrees with the difference some steps of h to one side of the element."""
    kept = float(part.values[at])
    try:
        for steps in ASIDE:
            part.values[at] = kept + steps * h
            part.compute()
            found = _difference(float(part.gradient[at]), part.values, at, abs(h), loss, tolerance)
            if found is not None and found.error <= tolerance:
                return True
    finally:
        part.values[at] = kept
    return False


def _difference(
    analytic: float, values: np.ndarray, at: tuple, h: float, loss: Callable[[], float], tolerance: float
) -> _Difference | None:
    """None where the loss is not finite."""
    kept, here = float(values[at]), loss()
    values[at] = kept + h
    above = loss()
    values[at] = kept - h
    below = loss()
    values[at] = kept
    if not math.isfinite(above + below):
        return None
    numeric = (above - below) / (2 * h)
    noise = NOISE * EPSILON * max(abs(here), abs(above), abs(below)) / h
    distance = abs(analytic - numeric)
    error = distance / max(abs(analytic), abs(numeric), noise / tolerance)
    return _Difference(numeric, error, distance, abs((above - here) - (here - below)) / h)
