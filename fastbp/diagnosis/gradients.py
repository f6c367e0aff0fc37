"""Gradients against central differences, for those who add parts of their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..display import reports
from ..errors import DivergedError, brief, check_integer, check_number
from ..model import Model
from ..program.plan import BATCH_LOSS
from ..training.feeds import feed_in_memory

DOUBLE = np.dtype(np.float64)
EPSILON = float(np.finfo(DOUBLE).eps)
# The step that balances rounding (∝ ε / h) with what the difference leaves out (∝ h²), times the size of the number.
# Where it doesn't agree, a smaller one is tried: a kink or a sharp bend may be near.
STEP, SMALLER = EPSILON ** (1 / 3), 0.1
NOISE = 10.0  # a loss is so many ε of itself from what it should be, at most


@dataclass(frozen=True)
class PartCheck:
    """How the gradient by one parameter, or by the inputs, compares with differences of the loss.

    name      such as "Dense_2 weight", or "inputs"
    elements  how many numbers it has; `checked` of them were compared
    kinks     so many more were left out, as the slopes on their two sides differ
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

    An element where the slopes on both sides differ by more than the error (a kink, such as relu's at 0), or the loss
    is not finite on one side, is left out and counted.

    Raises TypeError or ValueError for other arguments, DivergedError if the loss is not finite.
    """
    if not isinstance(net, Model):
        raise TypeError(f"net must be a Network, got {brief(net)}")
    samples = None if samples is None else check_integer("samples", samples, low=1)
    tolerance = check_number("tolerance", tolerance, low=0, open_low=True)
    generator = np.random.default_rng(check_integer("seed", seed, low=0))
    copy = net.twin(dtype=DOUBLE)
    feed = feed_in_memory(copy.spec, X, y, sample_weight)
    feed.x = np.array(feed.x, DOUBLE, order="C")  # of our own: it is moved a little
    workspace, by_inputs = copy.workspace(feed.rows), np.empty_like(feed.x)

    def loss() -> float:
        feed.run(workspace, "evaluate", feed.rows)
        return float(workspace.totals[BATCH_LOSS])

    if not math.isfinite(loss()):
        raise DivergedError(f"the loss is {loss()} on these rows: there is no gradient to check")
    feed.run(workspace, "input_gradient", feed.rows, out=by_inputs)
    feed.run(workspace, "gradient", feed.rows)
    parts = []
    for layer in copy.layers:
        for name, values in layer.weights.items():
            parts.append(_check(f"{layer.name} {name}", layer.grad[name], values, loss, samples, tolerance, generator))
    parts.append(_check("inputs", by_inputs, feed.x, loss, samples, tolerance, generator))
    return GradientCheck(parts, tolerance)


def _check(
    name: str,
    gradient: np.ndarray,
    values: np.ndarray,
    loss: Callable[[], float],
    samples: int | None,
    tolerance: float,
    generator: np.random.Generator,
) -> PartCheck:
    """Compare `gradient` with differences of the loss by elements of `values`, which it depends on."""
    chosen = np.arange(values.size)
    if samples is not None and samples < values.size:
        chosen = np.sort(generator.choice(values.size, samples, replace=False))
    found = []
    for i in chosen:
        at = np.unravel_index(i, values.shape)
        result = _compare(float(gradient[at]), values, at, loss, tolerance)
        if result is not None:
            found.append((*result, at))
    kinks = len(chosen) - len(found)
    if not found:
        return PartCheck(name, values.size, 0, kinks, 0.0, None, math.nan, math.nan)
    error, numeric, at = max(found, key=lambda result: result[0])
    index = tuple(map(int, at))
    return PartCheck(name, values.size, len(found), kinks, error, index, float(gradient[at]), numeric)


def _compare(
    analytic: float, values: np.ndarray, at: tuple, loss: Callable[[], float], tolerance: float
) -> tuple[float, float] | None:
    """(relative error, numeric derivative) at one element; None at a kink."""
    kept = float(values[at])
    here = loss()
    for scale in (1.0, SMALLER):
        h = STEP * scale * max(1.0, abs(kept))
        values[at] = kept + h
        above = loss()
        values[at] = kept - h
        below = loss()
        values[at] = kept
        if not math.isfinite(above + below):
            return None
        numeric = (above - below) / (2 * h)
        noise = NOISE * EPSILON * max(abs(here), abs(above), abs(below)) / h
        difference = abs(analytic - numeric)
        error = difference / max(abs(analytic), abs(numeric), noise / tolerance)
        if error <= tolerance:
            return error, numeric
    jump = abs((above - here) - (here - below)) / h
    return (error, numeric) if jump < difference else None
