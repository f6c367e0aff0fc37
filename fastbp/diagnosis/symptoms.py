"""What goes wrong in the layers of a training step, in sentences: symmetry, vanishing, exploding, saturated, dead."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .. import activations
from ..display import reports
from ..layers import BatchNorm, LayerNorm
from ..losses import KLDivergence
from .case import Case, parts_of
from .measures import LayerDiagnosis

# A layer whose gradient is a hundred times smaller than the last one's learns a hundred times more slowly by plain
# gradient descent, and one whose gradient is a hundred times larger forces a learning rate on all that is too small
# for the others. In the healthy networks of the tests, new and trained, the factor is at most 20 either way.
VANISHING = EXPLODING = 100.0
# Steps that differ by less are as large as each other.
AS_LARGE = 3.0
# Scaled initial weights and inputs make activations of a spread near 1. Numbers that are 30 apart are all or nothing
# to a sigmoid or a softmax, to the last digit of float32.
LARGE_ACTIVATIONS = 30.0
# Half of the units may be saturated after long training that went well.
MOSTLY_SATURATED = 0.6
# One output of two is wrong by chance before any training.
MOSTLY_WRONG = 0.4
# Of two inputs, a quarter of the ReLUs rest from the start where both are positive; half is more than data explain.
# So many rows tell resting from dead: a unit that is active on a tenth of all is 0 on 32 with a probability of 3 %.
MOSTLY_DEAD, ROWS_FOR_DEAD = 0.5, 32
# Units are the same if their weights differ by less than rounding leaves after many steps. Weights that a penalty has
# brought to 0 may be the same in some units of a layer with which nothing is wrong, not in half of them.
SAME, MOSTLY_SAME = 1e-5, 0.5
# A loss below so much of that of guessing is as good as none.
LITTLE_LOSS = 1e-6

# Activations that can't give any number.
_BOUNDED = ("sigmoid", "hard_sigmoid", "tanh", "hard_tanh", "softsign", "softmax", "relu", "softplus", "exponential")


def batch_of_one(case: Case) -> Iterator[str]:
    """A BatchNorm that has one number of each feature to normalise."""
    for bound in case.net.layers:
        for _, layer, shape in parts_of(bound.layer, bound.input_shape):
            if isinstance(layer, BatchNorm) and bound.trainable and case.rows * math.prod(shape[1:]) == 1:
                yield (
                    f"A batch of one row: {bound.name} takes away the mean over the batch, which of one number leaves"
                    " 0, whatever it is, and no gradient gets through. fit refuses such a step: take batches of more"
                    " rows, in fit (batch_size) as here, or use LayerNorm()."
                )
                return


def nothing_trainable(case: Case) -> Iterator[str]:
    if any(case.probe.learns(number) for number in range(len(case.layers))):
        return
    frozen = [bound.name for bound in case.net.layers if bound.weights]
    if frozen:
        yield (
            f"Nothing can be learnt: {' and '.join(frozen)} {'has' if len(frozen) == 1 else 'have'} trainable=False,"
            " and no other layer has parameters. Leave trainable=True in the layers that shall learn."
        )
    else:
        yield "Nothing can be learnt: no layer has parameters. Use layers that have some, such as Dense."


def not_finite(case: Case) -> Iterator[str]:
    layers, loss = case.layers, case.probe.loss
    first = next((layer.name for layer in layers if not math.isfinite(layer.activation_norm)), None)
    where = "though all layers' outputs are finite" if first is None else f"{first} is the first with such outputs"
    yield (
        f"The loss is {loss}; {where}. No step can be done: use smaller initial weights, inputs and targets scaled to"
        " about -1 to 1, or a smaller learning rate from the start."
    )


# --- symmetry ---


class Twins(NamedTuple):
    """Units of a layer that are the same and stay so: how many of how many, the name, their one weight or None."""

    name: str
    same: int
    units: int
    weight: float | None


def symmetric_layers(case: Case) -> list[Twins]:
    """Layers of which most units have the weights, gradient and step of another; the last one may well be such."""
    found = []
    weighted = [i for i, bound in enumerate(case.net.layers) if bound.weights]
    for number in weighted[:-1]:
        if not (case.probe.done and case.probe.learns(number)):
            continue
        bound = case.net.layers[number]
        step = case.probe.stepped.astype(np.float64) - case.probe.params
        before, *changes = (case.probe.of_layer(a, number) for a in (case.probe.params, case.probe.grads, step))
        for prefix, _, _ in parts_of(bound.layer, bound.input_shape):
            weight = before.get(f"{prefix}weight")
            if weight is None:
                continue
            units = len(_by_unit(before, prefix))
            same = _same_units(*(_by_unit(arrays, prefix) for arrays in (before, *changes)))
            if units > 1 and same > MOSTLY_SAME * units:
                inside = f" ({prefix[:-1]})" if prefix else ""
                value = float(weight.flat[0]) if (weight == weight.flat[0]).all() else None
                found.append(Twins(bound.name + inside, same, units, value))
    return found


def _by_unit(arrays: dict[str, np.ndarray], prefix: str) -> np.ndarray:
    """The weights and the bias of each unit or channel: (units, …) float64."""
    weight = arrays[f"{prefix}weight"]
    rows = weight.T if weight.ndim == 2 else weight.reshape(len(weight), -1)
    bias = arrays.get(f"{prefix}bias")
    return (rows if bias is None else np.column_stack([rows, bias])).astype(np.float64)


def _same_units(*numbers: np.ndarray) -> int:
    """How many units have all numbers of another: weights (units, …), gradients (units, …), steps (units, …)."""
    joined = np.hstack([values / (np.abs(values).max() or 1) for values in numbers])
    order = np.lexsort(joined.T)
    like_next = np.abs(np.diff(joined[order], axis=0)).max(axis=1) <= SAME
    return int((np.append(like_next, False) | np.insert(like_next, 0, False)).sum())


def symmetry(case: Case, twins: Sequence[Twins]) -> Iterator[str]:
    if not twins:
        return
    named = ", ".join(
        (f"all {layer.units} units" if layer.same == layer.units else f"{layer.same} of {layer.units} units")
        + f" of {layer.name}"
        + ("" if layer.weight is None else f" (all weights are {layer.weight:.6g})")
        for layer in twins
    )
    yield (
        f"Symmetric: {named} have the weights of another unit of their layer and get its gradient too, so that no step"
        f" makes them differ: units that are the same do the work of one.{_nothing_learns(case)} Begin with random"
        " weights, such as those of the default kernel_init."
    )


def _nothing_learns(case: Case) -> str:
    """Of weights and activations that are all 0: products of them are 0, and so are the gradients of the weights."""
    learning = [(i, bound) for i, bound in enumerate(case.net.layers) if case.probe.learns(i)]
    moved = [
        f"the {name} of {bound.name}"
        for i, bound in learning
        for name, gradient in case.probe.of_layer(case.probe.grads, i).items()
        if gradient.any()
    ]
    if any("weight of " in name for name in moved):
        return ""
    if not moved:
        return " Here all gradients are 0, and not even one unit learns."
    return f" Here not even one unit learns: all gradients are 0 but that of {' and '.join(moved)}."


# --- the way of the gradient ---


def large_activations(case: Case) -> Iterator[str]:
    """In hidden layers: the scale of the last one's outputs is the targets'."""
    input_spread = float(np.std(case.x, dtype=np.float64))
    largest = max(case.layers[: case.last], key=lambda layer: layer.activation_spread, default=None)
    if largest is None or not largest.activation_spread > LARGE_ACTIVATIONS:
        return
    spread = f"their spread is {reports.rounded(largest.activation_spread)} in {largest.name}"
    if largest.activation_spread < 10 * input_spread:
        return  # the inputs', of which there is another sentence
    yield (
        f"Activations explode: {spread}, and {reports.number(input_spread)} in the inputs."
        f" {_against_large_weights(case)}"
    )


def _against_large_weights(case: Case) -> str:
    """The cure: weights are large as they began so, or as steps were too long."""
    if case.net.steps_trained == 0:
        return "Use smaller initial weights: the default kernel_init keeps the spread about as it comes in."
    return (
        f"If training made the weights so large, begin anew with a smaller learning rate than {case.probe.rate:g}; if"
        " they began so, with smaller initial weights, such as those of the default kernel_init."
    )


def gradient_flow(case: Case) -> Iterator[str]:
    """Of the layers with parameters that the gradient gets to, the others are compared with the last."""
    norms = {layer.name: layer.gradient_norm for layer in _compared(case) if layer.gradient_norm is not None}
    if not norms:
        return
    last, least, most = list(norms)[-1], min(norms, key=norms.__getitem__), max(norms, key=norms.__getitem__)
    if norms[last] == 0 and abs(case.loss) > LITTLE_LOSS * case.scale:
        yield f"No gradient gets into {last}: nothing can be learnt from these rows."
    if norms[most] > EXPLODING * norms[last] > 0:
        yield (
            f"The gradient explodes: it grows {_times(norms[most] / norms[last])} from {last} back to {most}."
            f" {_against_large_weights(case)} clip_norm in the optimizer bounds what it does."
        )
    if norms[least] * VANISHING < norms[last] and not _passes_after_a_step(case):
        how = f"shrinks {_times(norms[last] / norms[least])}" if norms[least] else "is lost"
        yield f"The gradient vanishes: it {how} from {last} back to {least}{_effect(case, last, least)} {_remedy(case)}"


def _compared(case: Case) -> Iterator[LayerDiagnosis]:
    """Those with parameters, but for one whose output is normalised: there the scale of δ is that of its weights."""
    for number, layer in enumerate(case.layers):
        following = [bound.layer for bound in case.net.layers[number + 1 : number + 2]]
        normalised = layer.activation is None and following and isinstance(following[0], (BatchNorm, LayerNorm))
        if layer.weight_norm is not None and not normalised:
            yield layer


def _passes_after_a_step(case: Case) -> bool:
    """Whether a gradient is lost in weights that are all the same, such as 0, and do not stay so.

    Some layers begin with zeros. Equal weights give back the sum of the δ behind them, which is 0 of a softmax.
    """
    for number in range(len(case.layers)):
        if not (case.probe.done and case.probe.learns(number)):
            continue
        weights = case.probe.of_layer(case.probe.params, number)
        for name, gradient in case.probe.of_layer(case.probe.grads, number).items():
            zero, same = not weights[name].any(), weights[name].size > 1 and np.ptp(weights[name]) == 0
            if gradient.any() and ((name.endswith("weight") and (zero or same)) or (name.endswith("gain") and zero)):
                return True
    return False


def _effect(case: Case, last: str, least: str) -> str:
    """What a small gradient does to the steps of the layer, as they are."""
    layers = {layer.name: layer for layer in case.layers}
    if layers[least].gradient_norm == 0:
        return f": {least} learns nothing from these rows."
    slow, usual = layers[least].update_ratio, layers[last].update_ratio
    if slow is None or usual is None or slow * VANISHING < usual:
        return ", which hardly learns."
    name = type(case.net.optimizer).__name__
    steps = f"the steps of {name} are as large as elsewhere"
    if slow * AS_LARGE < usual:
        steps = f"the steps of {name} are {_times(usual / slow)} smaller there than in {last}, relative to the weights"
    return f". Plain gradient descent would hardly change {least}; {steps}, though the loss hardly depends on them."


def _remedy(case: Case) -> str:
    """What may help against a gradient that vanishes."""
    if any((layer.dead or 0.0) > MOSTLY_DEAD for layer in case.layers):
        return "Dead ReLUs are in its way."
    if any((layer.saturated or 0.0) > MOSTLY_SATURATED for layer in case.layers):
        return "Saturated units are in its way."
    if any(layer.activation in ("sigmoid", "hard_sigmoid") for layer in case.layers):
        return "The slope of a sigmoid is a quarter at most: use relu or tanh, or fewer layers."
    return "Use larger initial weights (the default kernel_init keeps the scale), or fewer layers."


def saturated_by_inputs(case: Case) -> str:
    """What large inputs do to the first activation, in a sentence of them."""
    first = next((layer for layer in case.layers if layer.activation is not None), None)
    if first is None or (first.saturated or 0.0) <= MOSTLY_SATURATED:
        return ""
    share = reports.share(first.saturated)
    return f" They saturate {share} of the activations of {first.name}, which then pass hardly any gradient on."


def saturation(case: Case) -> Iterator[str]:
    """In hidden layers."""
    shares = {layer.name: layer.saturated for layer in case.layers[:-1] if (layer.saturated or 0.0) > MOSTLY_SATURATED}
    if shares:
        yield (
            f"Saturated: of the activations, {_listed(shares)} are where their function is flat, and pass hardly any"
            " gradient on. Use smaller initial weights, inputs scaled to about -1 to 1, a smaller learning rate from"
            " the start, or relu."
        )


def wrong_end(case: Case) -> Iterator[str]:
    """In the last layer."""
    last = case.layers[-1]
    if last.wrong is not None and last.wrong > MOSTLY_WRONG:
        yield (
            f"Saturated at the wrong end: {reports.share(last.wrong)} of the outputs of {last.name}, which can hardly"
            " get away from there. Use cross_entropy or binary_cross_entropy, whose gradient is not flat there."
        )


def dead_units(case: Case) -> Iterator[str]:
    shares = {layer.name: layer.dead for layer in case.layers if (layer.dead or 0.0) > MOSTLY_DEAD}
    if shares and case.rows >= ROWS_FOR_DEAD:
        yield (
            f"Dead: of the ReLUs, {_listed(shares)} are 0 on all rows, and get no gradient. Use larger initial biases,"
            " a smaller learning rate from the start, or leaky_relu."
        )


# --- activations that don't suit the loss ---


def unsuited_activations(case: Case) -> Iterator[str]:
    loss, last, activation = case.net.loss, case.layers[case.last], case.ends_with
    if loss.link is not None and activation is loss.link:
        yield (
            f"Applied twice: {last.name} ends with {loss.link.name}, and {loss.name} does it again, so that"
            f" {_what_two_can_give(case)}. Leave one of them out."
        )
    elif loss.link is not None and activation is not None and activation.name in _BOUNDED:
        yield (
            f"Bounded: {loss.name} takes scores of any size and sign, of which {activation.name} in {last.name} leaves"
            f" a part. End with {loss.link.name}, which is not applied twice, or without an activation."
        )
    if isinstance(loss, KLDivergence) and activation is not activations.softmax:
        sums = case.outputs.sum(axis=1)
        yield (
            f"No probabilities: {loss.name} takes outputs that are at least 0 and have the sum 1 in each row, and those"
            f" of {last.name} have sums from {sums.min():.3g} to {sums.max():.3g}. End with softmax."
        )
    hidden = [
        layer.name
        for i, layer in enumerate(case.layers)
        if case.probe.activation(i) is activations.softmax and any(b.weights for b in case.net.layers[i + 1 :])
    ]
    for name in hidden:
        shape = next(bound.output_shape for bound in case.net.layers if bound.name == name)
        units = math.prod(shape)
        yield (
            f"A hidden softmax: the {units} outputs of {name} have the sum 1, {1 / units:.2g} each on average, so that"
            " one can only grow if others shrink. Use relu or tanh in hidden layers; the loss does the softmax."
        )


def _what_two_can_give(case: Case) -> str:
    """What the same activation can give for what it has given."""
    if case.net.loss.link is activations.softmax:
        most = math.e / (math.e + math.prod(case.net.output_shape) - 1)
        return f"no probability gets above {100 * most:.0f} %"
    if case.net.loss.link is activations.sigmoid:
        return f"no probability gets below 50 % or above {100 / (1 + math.exp(-1)):.0f} %"
    return "outputs are no less than 1"


def _listed(shares: dict[str, float | None]) -> str:
    return ", ".join(f"{reports.share(value)} in {name}" for name, value in shares.items())


def _times(factor: float) -> str:
    return f"{reports.rounded(factor)} times"
