"""The learning-rate range test: a short training with a rate that grows, to see from where to where the loss falls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..display import reports
from ..errors import DivergedError, brief, check_integer, check_number
from ..layers.bound import check_step
from ..model import Model
from ..optimizers import Rprop
from ..program.plan import BATCH_LOSS
from ..program.workspace import Workspace
from ..schedules import ExponentialDecay
from ..training.feeds import Feed, feed_in_memory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMOOTHED_OVER = 0.1  # of the steps
STOP_AT = 4.0  # times the best loss
# Tried on eleven data sets, five networks and three optimizers: where the loss falls most steeply is often where it
# first moves, and too low; a tenth of where it is about to explode is sometimes too high; their mean trained best.
STILL_FALLEN, BEFORE_END = 0.5, 10.0
# Without anything to learn, the smoothed loss falls by less than this in 98 of 100 tests.
CLEAR = 0.03
LEAST_STEPS = 10


@dataclass(frozen=True, eq=False)
class LearningRateTest:
    """What find_learning_rate found.

    rates, losses, smoothed  (steps,) float64: the rate of each step, the loss of its batch before it, and the same
                             without the noise of batches; see find_learning_rate
    suggestion               a rate to train with; None if the loss did not clearly fall
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float | None

    def _about(self) -> str:
        if self.suggestion is None:
            return "no suggestion: the loss did not clearly fall"
        return f"suggested learning rate {self.suggestion:.2g}"

    def _facts(self) -> list[tuple[str, str]]:
        best = int(np.argmin(self.smoothed))
        facts = [
            ("rates", f"{self.rates[0]:.2g} to {self.rates[-1]:.2g} in {len(self.rates)} steps"),
            (
                "smoothed loss",
                f"{self.smoothed[0]:.4g} at first, least {self.smoothed[best]:.4g} at rate {self.rates[best]:.2g},"
                f" {self.smoothed[-1]:.4g} at last",
            ),
        ]
        if best == len(self.rates) - 1:
            facts.append(("note", "the loss still fell at the end: a larger `high` may show more"))
        return facts

    def __str__(self) -> str:
        return "\n".join([self._about(), *reports.text_lines(self._facts())])

    def __repr__(self) -> str:
        return f"<LearningRateTest: {self._about()}>"

    def _repr_html_(self) -> str:
        return f"<p>{self._about()}</p>{reports.html_table((), self._facts())}"

    def plot(self, *, ax: Axes | None = None) -> Figure:
        """The loss over the rate, as a matplotlib Figure.

        ax: matplotlib Axes to draw it into; None makes a new figure.
        Raises TypeError if ax is no Axes, ImportError without matplotlib.
        """
        axes = reports.new_figure(6.4, 4.2).add_subplot() if ax is None else reports.check_axes(ax)
        axes.plot(self.rates, self.losses, color="tab:blue", alpha=0.3, linewidth=1, label="loss of a batch")
        axes.plot(self.rates, self.smoothed, color="tab:blue", linewidth=1.8, label="smoothed")
        if self.suggestion is not None:
            axes.axvline(self.suggestion, color="tab:orange", linestyle="--", label=self._about())
        axes.set_xscale("log")
        before = self.losses[: int(np.argmin(self.smoothed)) + 1]  # the end is left out, where the loss explodes
        margin = 0.05 * float(before.max() - before.min()) or 1.0
        axes.set_ylim(before.min() - margin, before.max() + margin)
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        axes.legend(frameon=False)
        reports.style(axes)
        return cast("Figure", axes.get_figure())


def find_learning_rate(
    net: Model,
    X: Any,
    y: Any,
    *,
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int = 32,
    sample_weight: Any = None,
    seed: int = 0,
) -> LearningRateTest:
    """Train a copy of the network with a rate that grows from step to step, and suggest one from its losses.

    Arguments:
        net: it stays as it is, bit for bit; the copy has its parameters, and its optimizer from the beginning,
            without its schedule.
        X, y, sample_weight: as in fit.
        low, high: the first and the last rate, 0 < low < high; they grow by the same factor in each step.
        steps: 10 or more. The test ends earlier where the smoothed loss is four times its least, or not finite.
        batch_size: rows in a step, 1 or more.
        seed: an integer, 0 or more, that decides which rows are in which step.

    A batch's loss says more about the batch than about the rate. So the loss that the batch has with the untouched
    parameters is taken off, the rest smoothed by a running mean (as Adam's m, corrected), over about a tenth of the
    steps, and the mean of what was taken off put back. The suggestion is the geometric mean of the rate where that
    falls most steeply over log(rate), and of a tenth of the last rate where half of its fall is left.

    Raises TypeError or ValueError for other arguments, or if the optimizer has no learning rate (Rprop);
    DivergedError if the loss is not finite before any step.
    Source: Smith 2017, Cyclical Learning Rates for Training Neural Networks, section 3.3.
    """
    if not isinstance(net, Model):
        raise TypeError(f"net must be a Network, got {brief(net)}")
    if isinstance(net.optimizer, Rprop):
        raise ValueError("net must have an optimizer whose steps depend on a learning rate, got one with Rprop")
    low = check_number("low", low, low=0, open_low=True)
    high = check_number("high", high, low=low, open_low=True)
    steps = check_integer("steps", steps, low=LEAST_STEPS)
    batch_size = check_integer("batch_size", batch_size, low=1)
    seed = check_integer("seed", seed, low=0)
    feed = feed_in_memory(net.spec, X, y, sample_weight)
    whole = feed.rows - feed.rows % min(batch_size, feed.rows)  # those of whole batches
    check_step(net.layers, whole, min(batch_size, whole))
    growing = ExponentialDecay(low, factor=high / low, steps=steps - 1)
    copy = net.twin(optimizer=replace(net.optimizer, learning_rate=growing))

    with copy.lock:
        workspace = copy.workspace(min(batch_size, feed.rows))
        untouched = np.fromiter(_losses(workspace, feed, "evaluate", steps, batch_size, seed), float)
        if len(untouched) < steps:
            raise DivergedError("the loss is not finite before any step: there is no rate to find")
        losses, smoothed = _train(workspace, feed, untouched, batch_size, seed)
    rates = np.array([growing(step) for step in range(len(losses))])
    return LearningRateTest(rates, losses, smoothed, _suggest(rates, smoothed))


def _losses(workspace: Workspace, feed: Feed, program: str, steps: int, batch_size: int, seed: int) -> Iterator[float]:
    """The loss of one batch after the other, in random order, with `program` run on it; ends where it is not finite."""
    generator, batch_size = np.random.default_rng(seed), min(batch_size, feed.rows)
    batches = feed.rows // batch_size
    for step in range(steps):
        if step % batches == 0:
            order = generator.permutation(feed.rows)
        at = step % batches
        if feed.run(workspace, program, batch_size, first=at, last=at + 1, order=order) == at:
            return
        yield float(workspace.totals[BATCH_LOSS])


def _train(
    workspace: Workspace, feed: Feed, untouched: np.ndarray, batch_size: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The losses of training steps, and smoothed; untouched: those of the same batches without training."""
    losses: list[float] = []
    smoothed: list[float] = []
    mean, keep = 0.0, 1 - 1 / (SMOOTHED_OVER * len(untouched))
    for loss in _losses(workspace, feed, "train", len(untouched), batch_size, seed):
        mean = keep * mean + (1 - keep) * (loss - untouched[len(losses)])
        losses.append(loss)
        smoothed.append(float(untouched.mean() + mean / (1 - keep ** len(losses))))
        if smoothed[-1] - min(smoothed) > (STOP_AT - 1) * abs(min(smoothed)):
            break
    return np.array(losses), np.array(smoothed)


def _suggest(rates: np.ndarray, smoothed: np.ndarray) -> float | None:
    """See find_learning_rate; None unless the loss falls clearly."""
    begin, least = smoothed[0], int(np.argmin(smoothed))
    if least < 2 or begin - smoothed[least] < CLEAR * abs(begin):
        return None
    steepest = int(np.argmin(np.gradient(smoothed[: least + 1])))  # rates grow by one factor
    end = int(np.flatnonzero(smoothed <= begin - STILL_FALLEN * (begin - smoothed[least]))[-1])
    return math.sqrt(rates[steepest] * rates[end] / BEFORE_END)
