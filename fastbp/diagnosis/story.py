"""The four steps for one example in words: formulas, with the numbers put in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import activations
from ..activations import ActivationFunction
from ..display import reports
from ..layers import Activation, Dense, Flatten
from ..losses import MSE, BinaryCrossEntropy, SquaredError
from ..model import Model
from ..optimizers import SGD
from .case import parts_of
from .formulas import FUNCTIONS, NEURON_LOSSES, SLOPES, loss_formulas
from .layer_explanation import LayerExplanation
from .steps import constants_of, coupled_decay, step_of

MOST_INPUTS = 8  # of a single neuron, whose sums are written out
# Arrays are shown to so many digits, and shortened from so many elements on.
DIGITS, MANY = 6, 48

Line = tuple[str, str, str]  # layer, formula, numbers


SYMBOLS = {"weight": "W", "bias": "b"}


class Story:
    """The lines of an explanation: a single neuron's sums are written out, else there are arrays.

    layers, output, loss, rate, step  as Explanation has them
    target                      as the loss gets it: a label (1,) or values (outputs,)
    """

    def __init__(
        self,
        net: Model,
        layers: list[LayerExplanation],
        output: np.ndarray,
        target: np.ndarray,
        loss: float,
        rate: float,
        step: int,
    ):
        self._net, self._layers, self._output, self._target = net, layers, output, target
        self._loss, self._rate, self._step = loss, rate, step
        self._functions = [layer.layer.ends_with or activations.linear for layer in net.layers]
        optimizer, link, last = net.optimizer, net.loss.link, self._functions[-1]
        self._penalties = list(_penalties(net))
        self._descent = optimizer == SGD(optimizer.learning_rate)
        self._through_link = link is not None and last in (activations.linear, link)  # that is all between z and output
        self._function = FUNCTIONS.get(link if link is not None and self._through_link else last)
        self._formulas = loss_formulas(net.loss, target, output.size, through_link=self._through_link)

    def steps(self) -> dict[str, list[Line]]:
        """Titles and lines of the four steps."""
        parts = self._neuron() if self._is_neuron() else self._network()
        optimizer = self._net.optimizer
        update = f"Update: {optimizer!r}{constants_of(optimizer, self._rate, self._step)}"
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
        plain = self._descent and not self._penalties
        return known and plain and self._function is not None and self._layers[0].x.size <= MOST_INPUTS

    def _neuron(self) -> tuple[list[Line], ...]:
        layer, f = self._layers[0], self._function
        assert f is not None and layer.delta is not None
        z, a, t, delta = (float(v.item()) for v in (layer.z, self._output, self._target, layer.delta))
        values = {"z": _text(z), "a": _text(a), "(a)": _factor(a), "t": _text(t), "(t)": _factor(t)}
        loss = NEURON_LOSSES[type(self._net.loss)]
        slopes = loss.slope, "" if loss.with_sigmoid else f.slope
        slopes_of = loss.slope_of, "" if loss.with_sigmoid else f.slope_of
        chain, chain_of = " ".join(filter(None, slopes)), " · ".join(filter(None, slopes_of)).format(**values)
        if not f.slope and chain.startswith("("):  # one factor needs no brackets
            chain, chain_of = chain[1:-1], chain_of[1:-1]
        weights, gradients, updates = self._neuron_weights(delta)
        sums, sums_of = (" + ".join(terms) for terms in zip(*weights, strict=True))
        forward = [
            (layer.name, f"z = {sums}", f"{sums_of} = {_text(z)}"),
            ("", f"a = {f.value}", f"{f.value_of.format(**values)} = {_text(a)}" if f.value_of else _text(a)),
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
        update = [*self._ratio(), *(line for i in range(len(self._layers)) for line in self._update(i))]
        return forward, self._error(), backward, update

    def _forward(self, number: int) -> Iterator[Line]:
        layer, described = self._layers[number], self._net.layers[number].layer
        function = self._functions[number]
        has_function = function is not activations.linear
        lines = [("x", layer.x)] if number == 0 else []
        if layer.mask is not None:
            rate = described.rate  # type: ignore[attr-defined]
            mask = f"mask: 0 with probability {rate:g}, else 1 / (1 - {rate:g})"
            return self._named(layer.name, [*lines, (mask, layer.mask), ("a = x ∘ mask", layer.a)])
        if isinstance(described, Flatten) and not self._is_shown_behind(number):
            return self._named(layer.name, [*lines, ("a = x in one row", layer.a)])
        lines += [(SYMBOLS.get(name, name), array) for name, array in layer.before.items()]
        if isinstance(described, Dense):
            lines.append((f"z = x W{' + b' * ('bias' in layer.before)}", layer.z))
        elif has_function and layer.before:
            lines.append(("z", layer.z))
        if has_function:
            lines.append((f"a = {_value(function)}", layer.a))
        elif not isinstance(described, (Dense, Flatten, Activation)):  # these have been shown
            lines.append(("a", layer.a))
        return self._named(layer.name, lines)

    def _error(self) -> list[Line]:
        link, given = self._net.loss.link, self._formulas.target
        lines = [("", "t" if given is None else "y", _array(self._target))]
        if given is not None:
            lines.append(("", given[0], _array(given[1])))
        if link is not None and self._functions[-1] is not link:
            formula = _value(link) if self._through_link else f"{link.name}(a)"
            lines.append(("", f"a = {formula}", _array(self._output)))
        error, penalties = self._formulas.error, "".join(f" + {penalty}" for penalty in self._penalties)
        if penalties and (error.startswith("mean of") or " where " in error):
            error = f"({error})"
        return [*lines, ("", f"E = {error}{penalties}", _text(self._loss))]

    def _backward(self, number: int) -> Iterator[Line]:
        layer, described = self._layers[number], self._net.layers[number].layer
        if layer.delta is None:
            return iter(())
        lines, delta = [], "δ"
        if self._is_shown_behind(number):
            delta = f"δ of {self._layers[self._shown_at(number)].name}"
            if not layer.derivatives and not isinstance(described, Flatten):  # which show that it is the same
                lines.append((f"δ = {delta}, in the shape of a", layer.delta))
        else:
            lines.append((f"δ = ∂E/∂z{self._chain(number)}", layer.delta))
        products = {"weight": f" = xᵀ {delta}", "bias": f" = {delta}"} if isinstance(described, Dense) else {}
        penalty = "".join(f" + {term}" for term in _penalty_terms(described, "{:g} sign(W)", "{:g} W", 2.0))
        for name, gradient in layer.derivatives.items():
            more = penalty if name == "weight" and isinstance(described, Dense) else ""
            lines.append((f"∂E/∂{SYMBOLS.get(name, name)}{products.get(name, '')}{more}", gradient))
        return self._named(layer.name, lines)

    def _is_shown_behind(self, number: int) -> bool:
        """Whether the layer's δ is that of the following one, which only does an activation, or reshapes."""
        following = [bound.layer for bound in self._net.layers[number + 1 : number + 2]]
        only = bool(following) and isinstance(following[0], (Activation, Flatten))
        return only and self._functions[number] is activations.linear

    def _shown_at(self, number: int) -> int:
        """The layer whose δ is this one's and is shown."""
        while self._is_shown_behind(number):
            number += 1
        return number

    def _chain(self, number: int) -> str:
        """The chain rule for a layer's δ, where it is a short formula."""
        if number == len(self._layers) - 1:
            return self._chain_of_last()
        slope, following = SLOPES.get(self._functions[number]), self._net.layers[number + 1]
        if slope is not None and self._layers[number + 1].mask is not None:
            back = f"δ of {following.name} ∘ mask"
            return f" = ({back}) ∘ {slope}" if slope else f" = {back}"
        if slope is None or not isinstance(following.layer, Dense):
            return ""
        of = self._shown_at(number + 1)
        back = f"δ{f' of {self._layers[of].name}' if of > number + 1 else ''} Wᵀ of {following.name}"
        return f" = ({back}) ∘ {slope}" if slope else f" = {back}"

    def _chain_of_last(self) -> str:
        slope, f = self._formulas.slope, SLOPES.get(self._functions[-1])
        least = self._net.loss.record.get("least")  # of a divergence, behind which its gradient is cut off
        if self._functions[-1] is activations.softmax and least is not None and (self._output >= least).all():
            return " = a - t" if np.isclose(self._target.sum(), 1) else " = a Σt - t"
        if slope is None:
            return ""
        if self._formulas.by_z:
            return f" = {slope}"
        if f is None:
            return ""
        return f" = {slope} ∘ {f}" if f else f" = {slope[1:-1] if slope == '(a - t)' else slope}"

    def _update(self, number: int) -> Iterator[Line]:
        layer = self._layers[number]
        lines = [line for name in layer.gradients for line in self._step_of(number, name)]
        return self._named(layer.name, lines)

    def _step_of(self, number: int, name: str) -> Iterator[tuple[str, np.ndarray]]:
        """A parameter's step: the gradient as the optimizer takes it, its state, the change, the parameter after it."""
        layer, optimizer, w = self._layers[number], self._net.optimizer, SYMBOLS.get(name, name)
        before, gradient, after = layer.before[name], layer.gradients[name], layer.after[name]
        taken, decay = self._taken(f"∂E/∂{w}"), coupled_decay(optimizer)
        if decay:
            taken, gradient = f"{taken} + λ {w}", gradient + decay * before
        plain = taken == f"∂E/∂{w}"
        if not plain:
            yield f"g = {taken}", gradient
        step, eta, factor = step_of(optimizer), self._eta(number), self._net.layers[number].learning_rate
        names = {"w": w, "g": taken if plain else "g", "g2": f"({taken})²" if plain else "g²", "eta": eta}
        names |= (
            {"factor": "", "in_brackets": eta} if factor == 1 else {"factor": f"{factor:g} ", "in_brackets": f"({eta})"}
        )
        if self._descent_only:
            yield f"{w} ← {w} - {eta} {names['g']}", after
            return
        for formula, state in step.before if step else ():
            yield formula.format(**names), layer.new_state[state][name]
        change = f" = {step.change.format(**names)}" if step else f", by {type(optimizer).__name__}"
        yield f"Δ{w}{change}", after - before
        for formula, state in step.after if step else ():
            yield formula.format(**names), layer.new_state[state][name]
        yield f"{w} ← {w} + Δ{w}", after

    @property
    def _descent_only(self) -> bool:
        """Whether steps are a rate times a gradient, clipped or with a decay as it may be."""
        return isinstance(self._net.optimizer, SGD) and not self._net.optimizer.momentum

    def _taken(self, gradient: str) -> str:
        """What the optimizer takes for a gradient."""
        optimizer = self._net.optimizer
        if optimizer.clip_value is not None:
            gradient = f"({gradient}, cut to ±{optimizer.clip_value:g})"
        if optimizer.clip_norm is not None:
            gradient = f"r {gradient}"
        return f"{gradient} + noise" if optimizer.gradient_noise else gradient

    def _ratio(self) -> list[Line]:
        """What the common norm of all gradients is scaled by."""
        most, cut = self._net.optimizer.clip_norm, self._net.optimizer.clip_value
        if most is None:
            return []
        arrays = [array.astype(np.float64) for layer in self._layers for array in layer.derivatives.values()]
        if cut is not None:
            arrays = [np.clip(array, -cut, cut) for array in arrays]
        norm = np.sqrt(sum((array**2).sum() for array in arrays))
        of = f"‖∂E/∂w{f', cut to ±{cut:g}' if cut is not None else ''}‖"
        numbers = f"min(1, {most:g} / ({_text(norm)} + 10⁻⁶)) = {_text(min(1.0, most / (norm + 1e-6)))}"
        return [("", f"r = min(1, {most:g} / ({of} of all layers + 10⁻⁶))", numbers)]

    def _named(self, name: str, lines: list[tuple[str, np.ndarray]]) -> Iterator[Line]:
        """Lines with the layer's name before the first."""
        for i, (formula, array) in enumerate(lines):
            yield (name if i == 0 else "", formula, _array(array))


def _penalties(net: Model) -> Iterator[str]:
    """What is added to the loss, by layer."""
    for bound in net.layers:
        for prefix, layer, _ in parts_of(bound.layer, bound.input_shape):
            inside = f" ({prefix[:-1]})" if prefix else ""
            for term in _penalty_terms(layer, "{:g} Σ|W|", "{:g} ΣW²", 1.0):
                yield f"{term} of {bound.name}{inside}"


def _penalty_terms(layer: Any, absolute: str, square: str, times: float) -> list[str]:
    l1, l2 = getattr(layer, "l1", 0.0), getattr(layer, "l2", 0.0)
    return [absolute.format(l1)] * bool(l1) + [square.format(times * l2)] * bool(l2)


def _value(function: ActivationFunction) -> str:
    """a as a formula of z."""
    if function is activations.mean_variance:
        return "(μ, v) = (z, exp(z)) of the two halves of z"
    return FUNCTIONS[function].value if function in FUNCTIONS else f"{function.name}(z)"


def _text(value: float) -> str:
    return f"{value + 0.0:.{DIGITS}g}"  # no -0


def _factor(value: float) -> str:
    """A number within a product."""
    return f"({_text(value)})" if value < 0 else _text(value)


def _array(values: np.ndarray) -> str:
    if values.size == 1:
        return _text(values.item())
    sizes = np.abs(values[values != 0])
    digits = DIGITS
    if sizes.size and sizes.min() >= 1e-4 and sizes.max() <= 1e3 * sizes.min():  # else NumPy shows powers of ten
        digits = max(DIGITS, DIGITS - 1 - math.floor(math.log10(sizes.max())))
    return np.array2string(values + 0.0, precision=digits, threshold=MANY, edgeitems=3, max_line_width=90)
