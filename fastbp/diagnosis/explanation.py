"""Backpropagation for one example, step by step: forward, error, backward, update."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np

from ..display import reports
from ..errors import DivergedError
from ..layers import Activation
from ..model import Model
from ..training.data import check_finite, check_inputs
from ..training.evaluation import infer
from ..training.feeds import Feed, feed_in_memory
from .layer_explanation import LayerExplanation
from .probe import Probe
from .story import Line, Story


@dataclass(frozen=True, eq=False)
class Explanation:
    """One training step for one example. See Network.explain.

    layers  a LayerExplanation for each
    output  what `predict` would give: the last layer's a, or that through the loss's inverse link
    loss    E, before the step
    rate    the learning rate of the step
    step    its number, from 1
    steps   what is shown: for each of the four steps, lines of (layer, formula, numbers)
    """

    layers: list[LayerExplanation]
    output: np.ndarray
    loss: float
    rate: float
    step: int
    steps: dict[str, list[Line]]

    def __str__(self) -> str:
        text = []
        for number, (title, lines) in enumerate(self.steps.items(), 1):
            rows = [(layer, formula, "= " + numbers.replace("\n", "\n  ")) for layer, formula, numbers in lines]
            text.append("\n  ".join([f"{number} {title}", *reports.text_lines(rows)]))
        return "\n\n".join(text)

    def __repr__(self) -> str:
        return f"<Explanation: one training step for one example, loss {self.loss:.4g}>"

    def _repr_html_(self) -> str:
        return "".join(
            f"<h4>{number} {escape(title)}</h4>{reports.html_table((), lines)}"
            for number, (title, lines) in enumerate(self.steps.items(), 1)
        )


def explain(net: Model, x: Any, y: Any) -> Explanation:
    """See Network.explain."""
    try:
        example, target = np.asarray(x), np.asarray(y)
    except ValueError as error:
        raise ValueError(f"x and y must be numbers or arrays of numbers: {error}") from None
    if example.shape != net.input_shape:
        raise ValueError(f"x must have shape {net.input_shape}, as one example, got {example.shape}")
    inputs = check_inputs(example[np.newaxis], net.input_shape, "x")
    check_finite("x", inputs, net.dtype)
    feed = feed_in_memory(net.spec, inputs, target[np.newaxis])
    one = np.zeros(1, np.int64)
    probe = Probe(net, feed, one)
    if not probe.done:
        raise DivergedError(f"the loss is {probe.loss} for this example: there is no step to explain")
    assert feed.y is not None
    as_they_are = replace(net.optimizer, clip_norm=None, clip_value=None, gradient_noise=0.0)
    derivatives = probe.grads if as_they_are == net.optimizer else Probe(net, feed, one, as_they_are).grads
    output = _predicted(net, probe)
    layers = [_look(net, probe, i, output, derivatives) for i in range(len(net.layers))]
    story = Story(net, layers, output, feed.y[0], probe.loss, probe.rate, probe.steps)
    return Explanation(layers, output, probe.loss, probe.rate, probe.steps, story.steps())


def _predicted(net: Model, probe: Probe) -> np.ndarray:
    """The last output through the loss's inverse link, done by its kernel."""
    last = probe.output(len(net.layers) - 1)
    if net.loss.link is not None:
        link = [Activation(net.loss.link)]
        plain = Model(link, net.output_shape, loss="mse", dtype=net.dtype, seed=0)
        last = infer(plain, "forward", Feed(last))
    return last[0]


def _look(net: Model, probe: Probe, number: int, output: np.ndarray, derivatives: np.ndarray) -> LayerExplanation:
    """The numbers of one layer."""
    ends_with, delta = net.layers[number].layer.ends_with, probe.delta(number)
    return LayerExplanation(
        name=net.layers[number].name,
        activation="linear" if ends_with is None else ends_with.name,
        x=(probe.input() if number == 0 else probe.output(number - 1))[0],
        z=probe.before_activation(number)[0],
        a=output if probe.taken_over(number) else probe.output(number)[0],
        delta=None if delta is None else delta[0],
        derivatives=probe.of_layer(derivatives, number) if probe.learns(number) else {},
        gradients=probe.of_layer(probe.grads, number) if probe.learns(number) else {},
        before=probe.of_layer(probe.params, number),
        after=probe.of_layer(probe.stepped, number),
        state={name: probe.of_layer(array, number) for name, array in probe.state.items()},
        new_state={name: probe.of_layer(array, number) for name, array in probe.new_state.items()},
    )
