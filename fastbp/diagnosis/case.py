"""What sentences of a diagnosis are made from: a probe, its numbers, and the examples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .. import losses
from ..activations import ActivationFunction
from ..layers import Activation, Dropout, Flatten, Layer
from ..model import Model
from ..parts import Custom
from ..program.records import Shape
from ..schedules import Schedule
from .measures import LayerDiagnosis, step_size
from .probe import Probe
from .summary import Summary

# A step of a fifth of the weights, where a shorter one would be better, soon leaves nothing of them: with such steps
# ReLUs die within an epoch. In the healthy networks of the tests the largest are a sixth, or up to a half where
# sigmoids begin saturated and no shorter step is better.
LARGE_STEP = 0.2


@dataclass(frozen=True)
class Case:
    """A network, one training step of it, and the rows that the step was done on.

    x          (rows, …) of the network's dtype
    y          (rows, width) float64: labels (width 1), probabilities or values, as `kind` says
    counts     rows of each class among all rows given; None where rows have no classes
    weighted   whether rows have weights
    inputs, targets  of all rows given, of which the step may have been done on a part
    """

    net: Model
    probe: Probe
    layers: list[LayerDiagnosis]
    x: np.ndarray
    y: np.ndarray
    kind: str
    counts: np.ndarray | None
    weighted: bool
    inputs: Summary
    targets: Summary

    @property
    def rows(self) -> int:
        return len(self.x)

    @property
    def last(self) -> int:
        """The number of the layer that gives the loss its numbers: what is behind it does nothing but reshape or drop,
        or is an activation that the loss takes over."""
        number = len(self.net.layers) - 1
        while number > 0:
            layer = self.net.layers[number].layer
            idle = isinstance(layer, (Activation, Flatten, Dropout)) and self.probe.activation(number) is None
            if not idle:
                break
            number -= 1
        return number

    @property
    def ends_with(self) -> ActivationFunction | None:
        """The activation behind which the loss stands; None for linear, and for one that the loss takes over."""
        return self.probe.activation(self.last)

    @property
    def outputs(self) -> np.ndarray:
        """The numbers that the loss gets: (rows, outputs)."""
        return self.probe.output(len(self.layers) - 1).reshape(self.rows, -1).astype(np.float64)

    @property
    def is_regression(self) -> bool:
        """Whether targets are numbers of any size; nobody knows of a loss of one's own."""
        loss = self.net.loss
        if isinstance(loss, losses.GaussianNLL):
            return True
        return (
            not isinstance(loss, Custom) and loss.link is None and not loss.accuracy and loss.range == (-np.inf, np.inf)
        )

    @property
    def estimates(self) -> np.ndarray | None:
        """The outputs that estimate the targets (rows, width), without variances; None where they are not as many."""
        outputs, width = self.outputs, self.y.shape[1]
        if isinstance(self.net.loss, losses.GaussianNLL):
            outputs = outputs[:, :width]
        return outputs if outputs.shape == self.y.shape else None

    @property
    def classes(self) -> np.ndarray | None:
        """The targets as 1 for a row's class and 0 for others (rows, classes), where each row is of one class."""
        if self.kind == "labels":
            return np.eye(math.prod(self.net.output_shape))[self.y[:, 0].astype(int)]
        one_hot = self.y.shape[1] > 1 and np.isin(self.y, (0, 1)).all() and (self.y.sum(axis=1) == 1).all()
        return self.y if one_hot else None

    @cached_property
    def loss(self) -> float:
        """The loss without penalties."""
        return self.probe.loss - sum(self._penalties())

    def _penalties(self) -> Iterator[float]:
        for number, bound in enumerate(self.net.layers):
            weights = self.probe.of_layer(self.probe.params, number)
            for prefix, layer, _ in parts_of(bound.layer, bound.input_shape):
                l1, l2 = getattr(layer, "l1", 0.0), getattr(layer, "l2", 0.0)
                if l1 or l2:
                    w = weights[f"{prefix}weight"].astype(np.float64)
                    yield l1 * float(np.abs(w).sum()) + l2 * float((w**2).sum())

    @cached_property
    def of_guessing(self) -> float | None:
        """The least loss of outputs that are the same for all rows; None where that is not known."""
        loss, y, mean = self.net.loss, self.y, self.y.mean(axis=0)
        if self.weighted:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            if isinstance(loss, losses.CrossEntropy):
                share = mean if self.kind != "labels" else np.bincount(y[:, 0].astype(int)) / self.rows
                outputs, s = math.prod(self.net.output_shape), loss.label_smoothing
                share = np.pad(share, (0, outputs - len(share))) * (1 - s) + s / outputs
                return float(-np.nansum(share * np.log(share)))
            if isinstance(loss, losses.BinaryCrossEntropy):
                share = mean * (1 - loss.label_smoothing) + loss.label_smoothing / 2
                return float(
                    -(np.nan_to_num(share * np.log(share)) + np.nan_to_num((1 - share) * np.log1p(-share))).mean()
                )
            if isinstance(loss, losses.Poisson):
                return float((mean - np.nan_to_num(mean * np.log(mean))).mean())
        if isinstance(loss, losses.MSE):
            return float(y.var(axis=0).mean())
        if isinstance(loss, losses.SquaredError):
            return float(y.var(axis=0).sum() / 2)
        if isinstance(loss, losses.MAE):
            return float(np.abs(y - np.median(y, axis=0)).mean())
        return None

    @property
    def has_one_answer(self) -> bool:
        """Whether all targets are the same."""
        return bool((self.y == self.y[0]).all())

    @property
    def scale(self) -> float:
        """What a loss is large or small in comparison with: that of guessing, or what it is; of counts, their mean."""
        if isinstance(self.net.loss, losses.Poisson):
            return float(self.y.mean())
        return abs(self.of_guessing or self.loss)

    def losses_after(self, *lengths: float) -> dict[float, float]:
        """The loss after a step of these lengths, as factors of the next one's; infinite where it is not finite."""
        found = zip(lengths, self.probe.losses_along(lengths), strict=True)
        return {length: loss if math.isfinite(loss) else math.inf for length, loss in found}

    @cached_property
    def largest_step(self) -> tuple[int, float]:
        """The layer whose weights the step changes most, and by how much of their size; see step_size."""
        learning = [i for i in range(len(self.layers)) if self.probe.done and self.probe.learns(i)]
        return max(((i, step_size(self.probe, i)) for i in learning), key=lambda found: found[1], default=(0, 0.0))

    @property
    def headroom(self) -> float:
        """How many times the present learning rate the schedule's largest is."""
        schedule = self.net.optimizer.learning_rate
        if not isinstance(schedule, Schedule) or self.probe.rate == 0:
            return 1.0
        steps = {0, *(int(2 ** (i / 2)) for i in range(41))}  # to a million
        return max(max(schedule(step) for step in steps) / self.probe.rate, 1.0)


def parts_of(layer: Layer, input_shape: Shape, prefix: str = "") -> Iterator[tuple[str, Layer, Shape]]:
    """The layer itself, or those within it: what their parameters' names begin with, and the shapes of their inputs."""
    inner = layer.inner(input_shape)
    if not inner:
        yield prefix, layer, input_shape
    for link in inner:
        yield from parts_of(link.layer, link.input_shape, f"{prefix}{link.name}.")
