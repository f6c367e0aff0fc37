"""What goes wrong in backpropagation, seen on one training step: vanishing and exploding, saturated, dead, too fast."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import activations, reports
from ..activations import ActivationFunction
from ..feeds import Feed
from ..losses import Loss
from .probe import Probe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..network import Network

MOST_ROWS = 2048  # that are looked at: shares of so many are known to about 1 %

# A layer whose gradient is a hundred times smaller than the last one's learns a hundred times more slowly by plain
# gradient descent, and one whose gradient is a hundred times larger forces a learning rate on all that is too small
# for the others. Well-scaled initial weights keep the factor within about ten.
VANISHING = EXPLODING = 100.0
# Scaled initial weights and inputs make activations of a spread near 1. Numbers that are 30 apart are all or nothing
# to a sigmoid or a softmax, to the last digit of float32.
LARGE_ACTIVATIONS = 30.0
# A unit is saturated where the slope of its activation is under a twentieth of the steepest: |z| > 4.4 for a sigmoid,
# 2.2 for tanh, which z of variance 1 is in 0 % and 3 % of the rows. Half may be after long training that went well.
FLAT, MOSTLY_SATURATED = 0.05, 0.6
# One output of two is wrong by chance before any training.
MOSTLY_WRONG = 0.4
# Of two inputs, a quarter of the ReLUs rest from the start where both are positive; half is more than data explain.
# So many rows tell resting from dead: a unit that is active on a tenth of all is 0 on 32 with a probability of 3 %.
MOSTLY_DEAD, ROWS_FOR_DEAD = 0.5, 32
# A step that is larger than the weights leaves nothing of them. Below the second bound, a million steps change
# them by their own size.
LARGE_UPDATE, SMALL_UPDATE = 1.0, 1e-6

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


# Activations that can't give any number.
_BOUNDED = ("sigmoid", "hard_sigmoid", "tanh", "hard_tanh", "softsign", "softmax", "relu", "softplus", "exponential")

_HEAD = ("layer", "activation", "‖a‖", "spread of a", "‖δ‖", "spread of δ", "‖∂E/∂w‖", "‖Δw‖/‖w‖", "saturated", "dead")


@dataclass(frozen=True)
class Diagnosis:
    """What a training step shows of each layer, and what is wrong. See Network.diagnose.

    layers    a LayerDiagnosis for each
    warnings  sentences: what is wrong, where, and what may help; empty if nothing is
    loss      of the rows that were looked at; `rows` is how many
    """

    layers: list[LayerDiagnosis]
    warnings: list[str]
    loss: float
    rows: int

    def _about(self) -> str:
        return f"one training step on {self.rows:,} row{'s' * (self.rows != 1)}, loss {self.loss:.4g}"

    def _table(self) -> list[tuple[str, ...]]:
        return [
            (
                layer.name,
                layer.activation or "-",
                reports.number(layer.activation_norm),
                reports.number(layer.activation_spread),
                reports.number(layer.gradient_norm),
                reports.number(layer.gradient_spread),
                reports.number(layer.weight_gradient_norm),
                reports.number(layer.update_ratio),
                reports.share(layer.saturated),
                reports.share(layer.dead),
            )
            for layer in self.layers
        ]

    def __str__(self) -> str:
        found = [f"- {warning}" for warning in self.warnings] or ["Nothing is wrong."]
        return "\n".join([self._about(), "", reports.text_table(_HEAD, self._table()), "", *found])

    def __repr__(self) -> str:
        return f"<Diagnosis: {self._about()}, {len(self.warnings)} warning{'s' * (len(self.warnings) != 1)}>"

    def _repr_html_(self) -> str:
        return (
            f"<p>{self._about()}</p>{reports.html_table(_HEAD, self._table())}"
            f"{reports.html_list(self.warnings) or '<p>Nothing is wrong.</p>'}"
        )

    def plot(self) -> Figure:
        """The numbers by layer, the first layer on top, as a matplotlib Figure; a cross on the left is 0.

        Raises ImportError without matplotlib.
        """
        figure = reports.new_figure(11, 1.8 + 0.32 * len(self.layers))
        panels = figure.subplots(1, 4, sharey=True)
        _draw_numbers(panels[0], "spread of activations", [layer.activation_spread for layer in self.layers])
        _draw_numbers(panels[1], "norm of the gradient δ", [layer.gradient_norm for layer in self.layers])
        _draw_shares(panels[2], self.layers)
        _draw_numbers(panels[3], "step / weights", [layer.update_ratio for layer in self.layers])
        panels[3].axvspan(SMALL_UPDATE, LARGE_UPDATE, color="tab:green", alpha=0.12, linewidth=0, zorder=0)
        panels[0].set_yticks(range(len(self.layers)), [layer.name for layer in self.layers])
        panels[0].set_ylim(len(self.layers) - 0.5, -0.5)
        figure.suptitle(self._about())
        return figure


def _draw_numbers(axes: Any, title: str, values: Sequence[float | None]) -> None:
    """Points on a log scale of whole decades, joined; what is not finite is left out."""
    known = [(value, y) for y, value in enumerate(values) if value is not None and math.isfinite(value)]
    points = [(value, y) for value, y in known if value > 0]
    exponents = [math.log10(value) for value, _ in points] or [0.0]
    low, high = max(math.floor(min(exponents)), -300), min(math.ceil(max(exponents)), 300)
    if high - low < 2:
        low, high = low - 1, max(high, low + 1)
    if points:
        axes.plot(*zip(*points, strict=True), marker="o", markersize=5, linewidth=1.4, clip_on=False)
    zeros = [y for value, y in known if value == 0]
    if zeros:
        left = [10.0**low] * len(zeros)
        axes.plot(left, zeros, "x", color="tab:red", markersize=8, markeredgewidth=2, clip_on=False)
    axes.set_xscale("log")
    axes.set_xlim(10.0**low, 10.0**high)
    axes.minorticks_off()
    axes.set_title(title, fontsize="medium")
    reports.style(axes)


def _draw_shares(axes: Any, layers: Sequence[LayerDiagnosis]) -> None:
    """Bars that end in a point, which shows a share of 0 too: a layer has saturated units or dead ones, not both."""
    drawn = []
    for label, color, values in (
        ("saturated", "tab:orange", [layer.saturated for layer in layers]),
        ("dead", "tab:red", [layer.dead for layer in layers]),
    ):
        places = [y for y, value in enumerate(values) if value is not None]
        if places:
            shares = [values[y] for y in places]
            axes.barh(places, shares, height=0.6, color=color, label=label, zorder=2)
            axes.plot(shares, places, "o", color=color, markersize=5, clip_on=False)
            drawn.append(label)
    if len(drawn) > 1:
        axes.legend(frameon=False)
    axes.set_xlim(0, 1)
    axes.set_title(f"share of {' or '.join(drawn) or 'dead or saturated'} units", fontsize="medium")
    reports.style(axes)


def diagnose(net: Network, X: Any, y: Any, sample_weight: Any = None) -> Diagnosis:
    """See Network.diagnose."""
    feed = net._feed(X, y, sample_weight)
    chosen = np.linspace(0, feed.rows - 1, min(feed.rows, MOST_ROWS)).round().astype(np.int64)
    with np.errstate(all="ignore"):
        probe = Probe(net, feed, chosen)
        layers = [_look(net, probe, i, feed, chosen) for i in range(len(net.layers))]
        spread = float(np.std(np.asarray(feed.x[chosen], np.float64)))
        return Diagnosis(layers, list(_warnings(net, layers, probe.loss, len(chosen), spread)), probe.loss, len(chosen))


def _look(net: Network, probe: Probe, number: int, feed: Feed, chosen: np.ndarray) -> LayerDiagnosis:
    """The numbers of one layer."""
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
        wrong=None if flat is None or not last else _wrong(output, flat, feed, chosen, half),
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


def _wrong(output: np.ndarray, flat: np.ndarray, feed: Feed, chosen: np.ndarray, half: float) -> float | None:
    """The share of outputs that are flat and more than `half` away from their targets."""
    assert feed.y is not None
    y = feed.y[chosen]
    if y.size != output.size:  # labels
        return None
    return float((flat & (np.abs(output - y.reshape(output.shape)) > half)).mean())


def _warnings(
    net: Network, layers: Sequence[LayerDiagnosis], loss: float, rows: int, input_spread: float
) -> Iterator[str]:
    yield from _not_finite(layers, loss)
    yield from _large_activations(layers[:-1], input_spread)  # the scale of the last one's outputs is the targets'
    if math.isfinite(loss):
        yield from _gradient_flow(layers, loss)
    yield from _saturation(layers)
    yield from _bounded_scores(net.loss, layers[-1])
    if rows >= ROWS_FOR_DEAD:
        yield from _dead_units(layers)
    yield from _updates(net, layers)


def _not_finite(layers: Sequence[LayerDiagnosis], loss: float) -> Iterator[str]:
    if math.isfinite(loss):
        return
    first = next((layer.name for layer in layers if not math.isfinite(layer.activation_norm)), None)
    where = "though all layers' outputs are finite" if first is None else f"{first} is the first with such outputs"
    yield (
        f"The loss is {loss}; {where}. No step can be done: use smaller initial weights, inputs and targets scaled to"
        " about -1 to 1, or a smaller learning rate from the start."
    )


def _large_activations(hidden: Sequence[LayerDiagnosis], input_spread: float) -> Iterator[str]:
    largest = max(hidden, key=lambda layer: layer.activation_spread, default=None)
    if largest is None or not largest.activation_spread > LARGE_ACTIVATIONS:
        return
    spread = f"their spread is {reports.rounded(largest.activation_spread)} in {largest.name}"
    from_inputs = largest.activation_spread < 10 * input_spread
    yield (
        f"Activations explode: {spread}, and {reports.number(input_spread)} in the inputs."
        f" {'Scale the inputs to about -1 to 1' if from_inputs else 'Use smaller initial weights'}:"
        " the default kernel_init keeps the spread that comes in."
    )


def _gradient_flow(layers: Sequence[LayerDiagnosis], loss: float) -> Iterator[str]:
    """Of the layers with parameters that the gradient gets to, the others are compared with the last."""
    norms = {
        layer.name: layer.gradient_norm
        for layer in layers
        if layer.weight_norm is not None and layer.gradient_norm is not None
    }
    if not norms:
        return
    last, least, most = list(norms)[-1], min(norms, key=norms.__getitem__), max(norms, key=norms.__getitem__)
    if norms[last] == 0 and loss != 0:
        yield f"No gradient gets into {last}: nothing can be learnt from these rows."
    if norms[most] > EXPLODING * norms[last] > 0:
        yield (
            f"The gradient explodes: it grows {_times(norms[most] / norms[last])} from {last} back to {most}."
            " Use smaller initial weights (the default kernel_init keeps the scale), or clip_norm in the optimizer."
        )
    if norms[least] * VANISHING < norms[last]:
        how = f"shrinks {_times(norms[last] / norms[least])}" if norms[least] else "is lost"
        yield f"The gradient vanishes: it {how} from {last} back to {least}, which hardly learns. {_remedy(layers)}"


def _remedy(layers: Sequence[LayerDiagnosis]) -> str:
    """What may help against a gradient that vanishes."""
    if any((layer.dead or 0.0) > MOSTLY_DEAD for layer in layers):
        return "Dead ReLUs are in its way."
    if any((layer.saturated or 0.0) > MOSTLY_SATURATED for layer in layers):
        return "Saturated units are in its way."
    if any(layer.activation in ("sigmoid", "hard_sigmoid") for layer in layers):
        return "A sigmoid passes on a quarter of it at most: use relu or tanh, or fewer layers."
    return "Use larger initial weights (the default kernel_init keeps the scale), or fewer layers."


def _saturation(layers: Sequence[LayerDiagnosis]) -> Iterator[str]:
    hidden, last = layers[:-1], layers[-1]
    shares = {layer.name: layer.saturated for layer in hidden if (layer.saturated or 0.0) > MOSTLY_SATURATED}
    if shares:
        yield (
            f"Saturated: {_listed(shares)} of the activations are where their function is flat, and pass no gradient"
            " on. Use smaller initial weights, inputs scaled to about -1 to 1, a smaller learning rate from the"
            " start, or relu."
        )
    if last.wrong is not None and last.wrong > MOSTLY_WRONG:
        yield (
            f"Saturated at the wrong end: {_listed({last.name: last.wrong})} of the outputs, which can hardly get away"
            " from there. Use cross_entropy or binary_cross_entropy, whose gradient is not flat there."
        )


def _bounded_scores(loss: Loss, last: LayerDiagnosis) -> Iterator[str]:
    if loss.link is not None and last.activation in _BOUNDED:
        yield (
            f"Bounded: {loss.name} takes scores of any size and sign, of which {last.activation} in {last.name} leaves"
            f" a part. End with {loss.link.name}, which is not applied twice, or without an activation."
        )


def _dead_units(layers: Sequence[LayerDiagnosis]) -> Iterator[str]:
    shares = {layer.name: layer.dead for layer in layers if (layer.dead or 0.0) > MOSTLY_DEAD}
    if shares:
        yield (
            f"Dead: {_listed(shares)} of the ReLUs are 0 on all rows, and get no gradient. Use larger initial biases, a"
            " smaller learning rate from the start, or leaky_relu."
        )


def _updates(net: Network, layers: Sequence[LayerDiagnosis]) -> Iterator[str]:
    ratios = {layer.name: layer.update_ratio for layer in layers if layer.update_ratio is not None}
    large = {name: ratio for name, ratio in ratios.items() if ratio > LARGE_UPDATE}
    if large:
        name = max(large, key=large.__getitem__)
        yield (
            f"Too fast: a step is as large as {reports.number(large[name])} times the weights of {name}."
            f" Use a smaller learning rate than {net.learning_rate:g}."
        )
    if 0 < max(ratios.values(), default=0.0) < SMALL_UPDATE:
        name = max(ratios, key=ratios.__getitem__)
        yield (
            f"Too slow: a step is at most {reports.number(ratios[name])} times the weights ({name}). If the loss is not"
            f" at its least, use a larger learning rate than {net.learning_rate:g}."
        )


def _listed(shares: dict[str, float | None]) -> str:
    return ", ".join(f"{reports.share(value)} in {name}" for name, value in shares.items())


def _times(factor: float) -> str:
    return f"{reports.rounded(factor)} times"
