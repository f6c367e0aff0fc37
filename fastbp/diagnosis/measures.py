"""What a training step shows of each layer, in numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import activations
from ..activations import ActivationFunction
from ..model import Model
from .probe import Probe

# A unit is saturated where the slope of its activation is under a twentieth of the steepest: |z| > 4.4 for a sigmoid,
# 2.2 for tanh, which z of variance 1 is in 0 % and 3 % of the rows.
FLAT = 0.05
# The slope of an activation relative to its steepest, from a = f(z), and half of the range of a.
_SLOPES: dict[ActivationFunction | None, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    activations.sigmoid: (lambda a: 4 * a * (1 - a), 0.5),
    activations.tanh: (lambda a: 1 - a**2, 1.0),
    activations.hard_sigmoid: (lambda a: ((a > 0) & (a < 1)).astype(float), 0.5),
    activations.hard_tanh: (lambda a: (np.abs(a) < 1).astype(float), 1.0),
    activations.softsign: (lambda a: (1 - np.abs(a)) ** 2, 1.0),
}


@dataclass(frozen=True)
class LayerDiagnosis:
    """What a training step shows of a layer; None where something doesn't apply.

    name                  such as "Dense_2"
    activation            its name; None for linear, and for a last one that the loss takes over
    activation_norm       2-norm of what the layer gives out for a row (root mean square over rows); before an
                          activation that the loss takes over
    activation_spread     standard deviation of that, over rows and units
    gradient_norm         2-norm of δ = ∂E/∂z for a row, likewise: E is the row's loss, z what goes into the activation
    gradient_spread       standard deviation of δ
    weight_norm           2-norm of the layer's parameters
    weight_gradient_norm  2-norm of the gradient that the optimizer gets for them, of the loss of all rows
    update_ratio          2-norm of the step over weight_norm
    saturated             share of rows × units where a sigmoid or the like hardly lets a gradient through
    wrong                 of a last layer: the share of outputs that are saturated, with targets on the other side
    dead                  share of ReLUs that are 0 on all rows; a channel, of more dimensions, counts as one
    """

    name: str
    activation: str | None
    activation_norm: float
    activation_spread: float
    gradient_norm: float | None
    gradient_spread: float | None
    weight_norm: float | None
    weight_gradient_norm: float | None
    update_ratio: float | None
    saturated: float | None
    wrong: float | None
    dead: float | None


def measure(net: Model, probe: Probe, number: int, y: np.ndarray) -> LayerDiagnosis:
    """The numbers of one layer; y: the targets of the probe's rows, as the loss gets them."""
    output, delta, activation = probe.output(number), probe.delta(number), probe.activation(number)
    weight_norm = gradient_norm = ratio = None
    if net.layers[number].weights:
        weight_norm = _norm(probe.of_layer(probe.params, number))
    if probe.done and probe.learns(number):
        before, after = (probe.of_layer(array, number) for array in (probe.params, probe.stepped))
        gradient_norm = _norm(probe.of_layer(probe.grads, number))
        step = _norm({name: after[name].astype(float) - before[name] for name in before})
        ratio = step / weight_norm if weight_norm else None
    slope, half = _SLOPES.get(activation, (None, 0.0))
    flat = None if slope is None else slope(output) < FLAT
    last = number == len(net.layers) - 1
    return LayerDiagnosis(
        name=net.layers[number].name,
        activation=None if activation is None else activation.name,
        activation_norm=_row_norm(output),
        activation_spread=_spread(output),
        gradient_norm=None if delta is None else _row_norm(delta) * len(delta),
        gradient_spread=None if delta is None else _spread(delta) * len(delta),
        weight_norm=weight_norm,
        weight_gradient_norm=gradient_norm,
        update_ratio=ratio,
        saturated=None if flat is None else float(flat.mean()),
        wrong=None if flat is None or not last else _wrong(output, flat, y, half),
        dead=float(_rests(output).mean()) if activation is activations.relu else None,
    )


def _norm(arrays: dict[str, np.ndarray]) -> float:
    return math.sqrt(sum(float(np.sum(array.astype(float) ** 2)) for array in arrays.values()))


def _row_norm(values: np.ndarray) -> float:
    """The root mean square over rows of a row's 2-norm."""
    return math.sqrt(np.sum(values.astype(float) ** 2) / len(values))


def _spread(values: np.ndarray) -> float:
    return float(np.std(values, dtype=float))


def _rests(output: np.ndarray) -> np.ndarray:
    """Which units are 0 on all rows: (rows, units) or (rows, channels, …)."""
    return (output == 0).all(axis=(0, *range(2, output.ndim)))


def _wrong(output: np.ndarray, flat: np.ndarray, y: np.ndarray, half: float) -> float | None:
    """The share of outputs that are flat and more than `half` away from their targets."""
    if y.size != output.size:  # labels
        return None
    return float((flat & (np.abs(output - y.reshape(output.shape)) > half)).mean())
