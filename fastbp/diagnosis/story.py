"""The four steps for one example in words: formulas, with the numbers put in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import activations, reports
from ..activations import ActivationFunction
from ..layers import Dense
from ..losses import MSE, BinaryCrossEntropy, CrossEntropy, Loss, SquaredError
from ..optimizers import SGD

if TYPE_CHECKING:
    from ..network import Network
    from .explanation import LayerExplanation

MOST_INPUTS = 8  # of a single neuron, whose sums are written out
# Arrays are shown to so many digits, and shortened from so many elements on.
DIGITS, MANY = 6, 48

Line = tuple[str, str, str]  # layer, formula, numbers


class Formula(NamedTuple):
    """A function and its slope in words, and the same to put numbers in: {(a)} is a in brackets if it is negative."""

    value: str
    slope: str
    value_of: str
    slope_of: str
    with_sigmoid: bool = False  # of a loss: the slope is by z, where a = σ(z)


FUNCTIONS = {  # a, by z
    activations.linear: Formula("z", "", "{z}", ""),
    activations.sigmoid: Formula("σ(z)", "a (1 - a)", "σ({z})", "{a} · (1 - {a})"),
    activations.tanh: Formula("tanh(z)", "(1 - a²)", "tanh({z})", "(1 - {(a)}²)"),
    activations.relu: Formula("max(z, 0)", "[z > 0]", "max({z}, 0)", "[{z} > 0]"),
}
LOSSES: dict[type[Loss], Formula] = {  # E of one output, by a
    SquaredError: Formula("½ (t - a)²", "(a - t)", "½ ({t} - {(a)})²", "({a} - {(t)})"),
    MSE: Formula("(t - a)²", "2 (a - t)", "({t} - {(a)})²", "2 · ({a} - {(t)})"),
    BinaryCrossEntropy: Formula(
        "-t ln(a) - (1 - t) ln(1 - a)",
        "a - t",
        "-{t} · ln({a}) - (1 - {t}) · ln(1 - {a})",
        "{a} - {t}",
        with_sigmoid=True,
    ),
}
SYMBOLS = {"weight": "W", "bias": "b"}


class Story:
    """The lines of an explanation: a single neuron's sums are written out, else there are arrays.

    layers, output, loss, rate  as Explanation has them
    target                      as the loss gets it: a label (1,) or values (outputs,)
    """

    def __init__(
        self,
        net: Network,
        layers: list[LayerExplanation],
        output: np.ndarray,
        target: np.ndarray,
        loss: float,
        rate: float,
    ):
        self._net, self._layers, self._output, self._target = net, layers, output, target
        self._loss, self._rate = loss, rate
        self._functions = [layer.layer.ends_with or activations.linear for layer in net.layers]
        optimizer, link, last = net.optimizer, net.loss.link, self._functions[-1]
        clipped = optimizer.clip_norm is not None or optimizer.clip_value is not None
        self._altered = clipped or optimizer.gradient_noise > 0
        self._penalised = any(_has_penalty(layer.layer) for layer in net.layers)
        self._descent = optimizer == SGD(optimizer.learning_rate)
        self._through_link = link is not None and last in (activations.linear, link)  # that is all between z and output
        self._function = FUNCTIONS.get(link if link is not None and self._through_link else last)

    def steps(self) -> dict[str, list[Line]]:
        """Titles and lines of the four steps."""
        parts = self._neuron() if self._is_neuron() else self._network()
        update = f"Update: {self._net.optimizer!r}" + f", η = {_text(self._rate)}" * self._descent
        return dict(zip(("Forward", "Error", "Backward", update), map(list, parts), strict=True))

    def _eta(self, number: int) -> str:
        factor = self._net.layers[number].learning_rate
        return "η" if factor == 1 else f"{factor:g} η"

    # --- a network of one neuron ---

    def _is_neuron(self) -> bool:
        layer, loss = self._net.layers[0].layer, self._net.loss
        if len(self._layers) > 1 or not isinstance(layer, Dense) or layer.units > 1 or not layer.trainable:
            return False
        known = loss in (SquaredError(), MSE()) or (loss == BinaryCrossEntropy() and self._through_link)
        plain = self._descent and not self._penalised
        return known and plain and self._function is not None and self._layers[0].x.size <= MOST_INPUTS

    def _neuron(self) -> tuple[list[Line], ...]:
        layer, f = self._layers[0], self._function
        assert f is not None and layer.delta is not None
        z, a, t, delta = (float(v.item()) for v in (layer.z, self._output, self._target, layer.delta))
        values = {"z": _text(z), "a": _text(a), "(a)": _factor(a), "t": _text(t), "(t)": _factor(t)}
        loss = LOSSES[type(self._net.loss)]
        slopes = loss.slope, "" if loss.with_sigmoid else f.slope
        slopes_of = loss.slope_of, "" if loss.with_sigmoid else f.slope_of
        chain, chain_of = " ".join(filter(None, slopes)), " · ".join(filter(None, slopes_of)).format(**values)
        weights, gradients, updates = self._neuron_weights(delta)
        sums, sums_of = (" + ".join(terms) for terms in zip(*weights, strict=True))
        forward = [
            (layer.name, f"z = {sums}", f"{sums_of} = {_text(z)}"),
            ("", f"a = {f.value}", f"{f.value_of.format(**values)} = {_text(a)}"),
        ]
        error = [("", f"E = {loss.value}", f"{loss.value_of.format(**values)} = {_text(self._loss)}")]
        backward = [(layer.name, f"δ = ∂E/∂z = {chain}", f"{chain_of} = {_text(delta)}"), *gradients]
        return forward, error, backward, [(layer.name, *updates[0][1:]), *updates[1:]]

    def _neuron_weights(self, delta: float) -> tuple[list[tuple[str, str]], list[Line], list[Line]]:
        """For each weight, and the bias: its part of z, its gradient, its update."""
        layer, eta = self._layers[0], self._eta(0)
        rate = _factor(self._rate * self._net.layers[0].learning_rate)
        names = [str(i + 1).translate(reports.SUBSCRIPTS) for i in range(layer.x.size)]
        rows: list[tuple[str, str, float | None]] = [
            (f"w{i}", f" x{i}", float(x)) for i, x in zip(names, layer.x.ravel(), strict=True)
        ]
        rows += [("b", "", None)] * ("bias" in layer.before)
        arrays = layer.before, layer.gradients, layer.after
        flat = (np.concatenate([array.ravel() for array in by_name.values()]) for by_name in arrays)
        parts, gradients, updates = [], [], []
        for (name, times, x), old, gradient, new in zip(rows, *flat, strict=True):
            by_x = "" if x is None else f" · {_factor(x)}"
            product = "" if x is None else f"{_factor(delta)}{by_x} = "
            parts.append((name + times, _factor(old) + by_x))
            gradients.append(("", f"∂E/∂{name} = δ{times}", product + _text(gradient)))
            numbers = f"{_text(old)} - {rate} · {_factor(gradient)} = {_text(new)}"
            updates.append(("", f"{name} ← {name} - {eta} ∂E/∂{name}", numbers))
        return parts, gradients, updates

    # --- any network ---

    def _network(self) -> tuple[list[Line], ...]:
        forward = [line for i in range(len(self._layers)) for line in self._forward(i)]
        backward = [line for i in reversed(range(len(self._layers))) for line in self._backward(i)]
        update = [line for i in range(len(self._layers)) for line in self._update(i)]
        return forward, self._error(), backward, update

    def _forward(self, number: int) -> Iterator[Line]:
        layer, is_dense = self._layers[number], isinstance(self._net.layers[number].layer, Dense)
        function = self._functions[number]
        has_function = function is not activations.linear
        lines = [("x", layer.x)] if number == 0 else []
        lines += [(SYMBOLS.get(name, name), array) for name, array in layer.before.items()]
        if is_dense:
            lines.append((f"z = x W{' + b' * ('bias' in layer.before)}", layer.z))
        elif has_function and layer.before:
            lines.append(("z", layer.z))
        if has_function or not is_dense:
            lines.append((f"a = {_value(function)}" if has_function else "a", layer.a))
        return self._named(layer.name, lines)

    def _error(self) -> list[Line]:
        loss, link, t = self._net.loss, self._net.loss.link, self._target
        lines = [("", "t", _array(t))]
        if link is not None and self._functions[-1] is not link:
            formula = _value(link) if self._through_link else f"{link.name}(a)"
            lines.append(("", f"a = {formula}", _array(self._output)))
        formulas = {
            SquaredError(): "½ Σ (t - a)²",
            MSE(): "mean of (t - a)²",
            CrossEntropy(): "-ln(a[t])" if self._is_label() else "-Σ t ln(a)",
            BinaryCrossEntropy(): "mean of -t ln(a) - (1 - t) ln(1 - a)",
        }
        formula = formulas.get(loss, f"{loss.name}(t, a)") + " + penalties" * self._penalised
        return [*lines, ("", f"E = {formula}", _text(self._loss))]

    def _is_label(self) -> bool:
        return self._target.size != self._output.size

    def _backward(self, number: int) -> Iterator[Line]:
        layer, described = self._layers[number], self._net.layers[number].layer
        if layer.delta is None:
            return iter(())
        lines = [(f"δ = ∂E/∂z{self._chain(number)}", layer.delta)]
        as_is = isinstance(described, Dense) and not self._altered and not _has_penalty(described)
        products = {"weight": " = xᵀ δ", "bias": " = δ"} if as_is else {}
        for name, gradient in layer.gradients.items():
            lines.append((f"∂E/∂{SYMBOLS.get(name, name)}{products.get(name, '')}", gradient))
        return self._named(layer.name, lines)

    def _chain(self, number: int) -> str:
        """The chain rule for a layer's δ, where it is a short formula."""
        if number == len(self._layers) - 1:
            return self._chain_of_last()
        f, following = FUNCTIONS.get(self._functions[number]), self._net.layers[number + 1]
        if f is None or not isinstance(following.layer, Dense):
            return ""
        back = f"δ Wᵀ of {following.name}"
        return f" = ({back}) ∘ {f.slope}" if f.slope else f" = {back}"

    def _chain_of_last(self) -> str:
        loss, f = self._net.loss, FUNCTIONS.get(self._functions[-1])
        if loss == SquaredError() and f is not None:
            return f" = (a - t) ∘ {f.slope}" if f.slope else " = a - t"
        if loss == BinaryCrossEntropy() and self._through_link:
            return " = a - t" if self._output.size == 1 else f" = (a - t) / {self._output.size}"
        if loss == CrossEntropy() and self._through_link and (self._is_label() or np.isclose(self._target.sum(), 1)):
            return " = a - (1 at t, else 0)" if self._is_label() else " = a - t"
        return ""

    def _update(self, number: int) -> Iterator[Line]:
        layer, eta = self._layers[number], self._eta(number)
        lines = []
        for name in layer.gradients:
            symbol = SYMBOLS.get(name, name)
            step = f"{symbol} - {eta} ∂E/∂{symbol}" if self._descent else f"{symbol} + Δ{symbol}"
            lines.append((f"{symbol} ← {step}", layer.after[name]))
        return self._named(layer.name, lines)

    def _named(self, name: str, lines: list[tuple[str, np.ndarray]]) -> Iterator[Line]:
        """Lines with the layer's name before the first."""
        for i, (formula, array) in enumerate(lines):
            yield (name if i == 0 else "", formula, _array(array))


def _has_penalty(layer: Any) -> bool:
    return bool(getattr(layer, "l1", 0.0) or getattr(layer, "l2", 0.0))


def _value(function: ActivationFunction) -> str:
    """a as a formula of z."""
    return FUNCTIONS[function].value if function in FUNCTIONS else f"{function.name}(z)"


def _text(value: float) -> str:
    return f"{value + 0.0:.{DIGITS}g}"  # no -0


def _factor(value: float) -> str:
    """A number within a product."""
    return f"({_text(value)})" if value < 0 else _text(value)


def _array(values: np.ndarray) -> str:
    if values.size == 1:
        return _text(values.item())
    return np.array2string(values + 0.0, precision=DIGITS, threshold=MANY, edgeitems=3, max_line_width=90)
