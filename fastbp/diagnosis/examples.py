"""What is wrong with X and y, or with y for the network's outputs, in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from .. import activations
from ..display import reports
from ..layers import BatchNorm, Conv2D, LayerNorm
from ..losses import Quantile
from .case import Case, parts_of
from .relation import relation

# Scaled values are about 1. Activations are about as large as inputs, and steps of an optimizer do not depend on the
# targets' size: numbers that are 30 apart are all or nothing to a sigmoid, and are thousands of Adam's steps away.
LARGE = 30.0
# A column that varies by a thousandth of what the others do, or of its own mean, hardly moves an output.
FAINT = 1e-3
# Under mse, a column of targets whose spread is a hundredth of another's counts a ten thousandth.
UNEVEN = 100.0
# Columns of pixels, and of categories, may well be constant; so wide are no tables that were filled in by hand.
WIDE = 50
# A value that is often in other columns too is a background, or a category that is not there.
OFTEN = 0.05
# So many rows tell that something does not vary, and that a class is not there: of ten equally frequent classes one
# is missing in 200 rows with a probability of 10⁻⁸.
ROWS_FOR_CONSTANT, ROWS_FOR_CLASS = 32, 20
# Of twenty data sets with twenty seeds, what relation() finds is 11 or more; with rows of y in random order, less than
# 5. Where as much could not be found for certain, three deviations more, nothing is told.
RELATED, CERTAIN, ROWS_FOR_RELATION, ROWS_OF_OTHER_CLASS = 5.0, 3.0, 150, 50
# So many times its parameters, biases included, is the step of a layer with which training on such targets diverges; at
# 7 times it does not.
FAR_TOO_LONG = 10.0
# Images have a value for grey, three for colours, and one more for opacity.
CHANNELS = (1, 3, 4)
# Untrained outputs are less than a tenth of targets above LARGE; those that explain 4 % of the variance of centred
# targets are a fifth of them.
REACHED = 0.15
# Targets may lie a little outside of where an activation gets to, by noise.
OUT_OF_REACH = 0.01
_RANGES = {
    **dict.fromkeys((activations.sigmoid, activations.hard_sigmoid, activations.softmax), (0.0, 1.0)),
    **dict.fromkeys((activations.tanh, activations.hard_tanh, activations.softsign), (-1.0, 1.0)),
    **dict.fromkeys((activations.relu, activations.softplus, activations.exponential), (0.0, math.inf)),
    activations.elu: (-1.0, math.inf),
    activations.selu: (-1.7581, math.inf),
    activations.gelu: (-0.17, math.inf),
    activations.silu: (-0.2785, math.inf),
    activations.mish: (-0.3089, math.inf),
}


class Inputs:
    """X by columns: the second axis, which are features, channels or steps."""

    def __init__(self, case: Case):
        whole = case.inputs
        columns = case.x.reshape(case.rows, case.x.shape[1], -1)
        self.rows, self.count = whole.rows, columns.shape[1]
        self.spreads, self.sizes, self.firsts, self.constant = whole.spread, whole.size, whole.first, whole.constant
        self.means = np.where(np.abs(whole.mean) < 1e-3 * self.spreads, 0.0, whole.mean)  # centred
        self.same_rows = whole.same_rows
        self._others = columns[:, ~self.constant]
        self._normalised = _is_normalised(case)
        self._shape = case.x.shape[1:]
        self._convolves = any(isinstance(bound.layer, Conv2D) for bound in case.net.layers[:1])
        table = "Give each column of X mean 0 and variance 1 (scikit-learn's StandardScaler)"
        self.cure = table if case.x.ndim == 2 else "Give X mean 0 and variance 1, such as bytes by X / 127.5 - 1"

    def is_background(self, value: float) -> bool:
        return self._others.size > 0 and float((self._others == value).mean()) > OFTEN

    def channels_last(self) -> Iterator[str]:
        """Maps for a convolution whose last axis looks like that of colours."""
        if not (self._convolves and len(self._shape) == 3):
            return
        first, _, last = self._shape
        if last in CHANNELS and first > last and first not in CHANNELS:
            yield (
                f"Channels last? Rows of X have shape {self._shape}, which is read as {first} channels of"
                f" {self._shape[1]} × {last} pixels. If they are images of {last} channel{'s' * (last > 1)}, the"
                " channels come first here: X.transpose(0, 3, 1, 2)"
                f" with input_shape {(last, *self._shape[:2])}."
            )

    @property
    def large(self) -> np.ndarray:
        """Which columns are not scaled, though the network does not scale them itself."""
        return (self.sizes > LARGE) & (not self._normalised)

    @property
    def faint(self) -> np.ndarray:
        """Which columns hardly vary: all of them, or some among few."""
        varies = ~self.constant
        if self._normalised or not varies.any():
            return np.zeros(self.count, bool)
        if self.spreads.max() < FAINT:
            return varies
        usual = np.maximum(np.median(self.spreads[varies]), np.abs(self.means))
        return varies & (self.spreads < FAINT * usual) & (self.sizes <= LARGE) & (self.count < WIDE)


def _is_normalised(case: Case) -> bool:
    """Whether inputs, or weighted sums of them, are normalised before the first activation."""
    for bound in case.net.layers:
        for _, layer, _ in parts_of(bound.layer, bound.input_shape):
            if isinstance(layer, (BatchNorm, LayerNorm)):
                return True
            if layer.ends_with not in (None, activations.linear):
                return False
    return False


def about_inputs(inputs: Inputs, saturated: str) -> Iterator[str]:
    """saturated: a sentence of what large inputs do to the activations, or none."""
    yield from inputs.channels_last()
    if inputs.same_rows:
        if inputs.rows >= ROWS_FOR_CONSTANT:
            yield (
                f"Constant inputs: all {inputs.rows:,} rows of X are the same, so that outputs are too: the best that"
                " can be learnt is one answer for all. Look at how X is made."
            )
        return
    wide = inputs.count >= WIDE
    constant = [
        int(c)
        for c in np.flatnonzero(inputs.constant)
        if not (wide and inputs.firsts[c] == 0) and not inputs.is_background(inputs.firsts[c])
    ]
    if constant and inputs.rows >= ROWS_FOR_CONSTANT:
        values = [f"{inputs.firsts[c] + 0.0:g}" for c in constant]
        yield (
            f"Constant inputs: {_columns(constant)} {'is' if len(constant) == 1 else 'are'} {_listed(values)} in all"
            f" {inputs.rows:,} rows, and can tell nothing: leave {'it' if len(constant) == 1 else 'them'} out, or look"
            " at how X is made."
        )
    if inputs.large.any():
        most = int(np.argmax(inputs.sizes))
        yield (
            f"Inputs are not scaled: numbers in {_column(most)} are about {reports.rounded(inputs.sizes[most])} (root"
            f" mean square), where about 1 is wanted{_count(inputs.large, f'above {LARGE:g}')}.{saturated}"
            f" {inputs.cure}, or begin with BatchNorm()."
        )
    if inputs.faint.any():
        least = int(np.argmin(np.where(inputs.faint, inputs.spreads, math.inf)))
        yield (
            f"Inputs hardly vary: {_column(least)} is {inputs.means[least]:.3g} with a spread of"
            f" {inputs.spreads[least]:.2g}, where about 1 is wanted{_count(inputs.faint, 'like that')}. {inputs.cure}."
        )


def about_targets(case: Case) -> Iterator[str]:
    yield from _constant_targets(case)
    yield from _unused_classes(case)
    if case.is_regression and not out_of_reach(case) and case.classes is None:
        yield from _scale_of_targets(case)
    yield from _reach(case)


def _constant_targets(case: Case) -> Iterator[str]:
    rows, count = case.targets.rows, len(case.targets.constant)
    constant = [int(c) for c in np.flatnonzero(case.targets.constant)]
    if rows < ROWS_FOR_CONSTANT or not constant:
        return
    if len(constant) == count:
        what = (
            f"class {case.y[0, 0]:g}" if case.kind == "labels" else _listed([f"{value + 0.0:g}" for value in case.y[0]])
        )
        yield (
            f"Constant targets: y is {what} in all {rows:,} rows, and nothing else can be learnt from them. Look"
            " at how y is made, or at which rows were taken: sorted ones should be shuffled first."
        )
    elif case.classes is None and count < WIDE:
        values = _listed([f"{case.y[0, c] + 0.0:g}" for c in constant])
        yield (
            f"Constant targets: {_columns(constant, 'y')} {'is' if len(constant) == 1 else 'are'} {values} in all"
            f" {rows:,} rows, and nothing else can be learnt for {'it' if len(constant) == 1 else 'them'}."
        )


def _unused_classes(case: Case) -> Iterator[str]:
    if case.classes is None:
        return
    counts = case.classes.sum(axis=0) if case.counts is None else case.counts
    classes, rows = len(counts), int(counts.sum())
    unused = np.flatnonzero(counts == 0)
    if not len(unused) or rows < ROWS_FOR_CLASS * classes or len(unused) == classes - 1:
        return
    one = len(unused) == 1
    cure = "subtract 1 from y, as labels begin at 0" if list(unused) == [0] else "renumber y"
    yield (
        f"Unused outputs: class{'' if one else 'es'} {_listed([str(c) for c in unused])} of {classes} (0 to"
        f" {classes - 1}) {'does' if one else 'do'} not occur in {rows:,} rows, so that"
        f" {'its output learns' if one else 'their outputs learn'} only to be small. If there are no rows of"
        f" {'it' if one else 'them'} elsewhere, {cure}, and make the last layer {classes - len(unused)} units wide."
    )


def _scale_of_targets(case: Case) -> Iterator[str]:
    spreads, sizes = case.targets.spread, case.targets.size
    estimates = case.estimates
    if not spreads.any() or (case.net.steps_trained > 0 if estimates is None else _are_reached(case, estimates)):
        return
    column = "y" if len(sizes) == 1 else "y[:, {}]"
    most, least = int(np.argmax(sizes)), int(np.argmin(np.where(spreads > 0, spreads, math.inf)))
    now = ""
    if estimates is not None:
        now = f", those that the network gives about {reports.number(math.sqrt((estimates**2).mean()))}"
    cure = "Give y mean 0 and variance 1, and undo that in predictions."
    if sizes[most] > LARGE:
        yield (
            f"Targets are not scaled: numbers in {column.format(most)} are about {reports.rounded(sizes[most])} (root"
            f" mean square){now}, {_way_to_targets(case)}. {cure}"
        )
    elif spreads.max() < FAINT:
        yield (
            f"Targets hardly vary: numbers in {column.format(most)} have a spread of {spreads[most]:.2g}{now}, whose"
            f" errors are larger than that for many steps. {cure}"
        )
    elif spreads.max() > UNEVEN * spreads[least] and len(spreads) < WIDE:
        largest = int(np.argmax(spreads))
        yield (
            f"Targets are of unlike scales: the spread of y[:, {largest}] is {spreads[largest]:.2g}, that of"
            f" y[:, {least}] {spreads[least]:.2g}, which hardly counts in {case.net.loss.name}. Give each column of y"
            " mean 0 and variance 1, and undo that in predictions."
        )


def _way_to_targets(case: Case) -> str:
    """What follows from the size of targets: far too long steps, or many."""
    largest = max(case.layers, key=lambda layer: layer.update_ratio or 0.0)
    ratio = largest.update_ratio or 0.0
    if ratio < FAR_TOO_LONG:
        return "so that it takes many steps to get there"
    return (
        f"so that gradients are large, and steps far too long: the next one, of a learning rate of {case.probe.rate:g},"
        f" is {reports.rounded(ratio)} times as large as the parameters of {largest.name}"
    )


def _are_reached(case: Case, estimates: np.ndarray) -> bool:
    """Whether outputs are about as large as the targets already, however well they fit.

    Outputs that fit are spread less than targets with noise, and a quantile lies beside the mean.
    """
    targets, near = case.targets, 3.0 if isinstance(case.net.loss, Quantile) else 1.0
    means, spreads = estimates.mean(axis=0), estimates.std(axis=0)
    reached = (
        (np.abs(means - targets.mean) <= near * targets.spread)
        & (np.hypot(means, spreads) >= REACHED * targets.size)
        & (spreads <= 2 * targets.spread)
    )
    return bool(reached.all())


def out_of_reach(case: Case) -> float:
    """The share of targets that the last activation can't give."""
    limits, loss = _RANGES.get(case.ends_with), case.net.loss  # type: ignore[arg-type]
    if limits is None or loss.link is not None or case.kind == "labels":
        return 0.0
    targets = _wanted(case)
    share = float(((targets < limits[0]) | (targets > limits[1])).mean())
    return share if share > OUT_OF_REACH else 0.0


def _wanted(case: Case) -> np.ndarray:
    """The numbers that outputs shall be: under hinge, targets 0 and 1 mean -1 and 1."""
    return 2 * case.y - 1 if case.net.loss.name == "hinge" and case.y.min() >= 0 else case.y


def _reach(case: Case) -> Iterator[str]:
    share, targets = out_of_reach(case), _wanted(case)
    if not share:
        return
    assert case.ends_with is not None
    low, high = _RANGES[case.ends_with]
    gives = f"from {low:g} to {high:g}" if high < math.inf else f"of {low:g} or more"
    yield (
        f"Out of reach: {case.ends_with.name} in {case.layers[case.last].name} gives numbers {gives}, and"
        f" {reports.share(share)} of the targets lie outside (they are from {targets.min():.3g} to"
        f" {targets.max():.3g}). End without an activation, or scale y to what it gives."
    )


def about_relation(case: Case) -> Iterator[str]:
    """X and y must vary."""
    t = case.classes if case.classes is not None else case.y
    usual = np.unique(t, axis=0, return_counts=True)[1].max()
    if case.rows < ROWS_FOR_RELATION or case.rows - usual < ROWS_OF_OTHER_CLASS:
        return
    found, wanted = relation(case.x.reshape(case.rows, -1), t)
    if found < RELATED <= wanted - CERTAIN:
        yield (
            f"No relation between X and y is seen in {case.rows:,} rows: where inputs are alike, targets are no more"
            " alike than in any other order of the rows, nearest neighbours included. Look whether row i of y still"
            " belongs to row i of X: both must be shuffled, sorted or filtered in the same way."
        )


def _column(number: int, name: str = "X") -> str:
    return f"{name}[:, {number}]"


def _columns(numbers: Sequence[int], name: str = "X") -> str:
    return _listed([_column(number, name) for number in numbers])


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:4]) + ", …" * (len(words) > 4)


def _count(which: np.ndarray, what: str) -> str:
    """In how many columns, if there are several."""
    return f"; {int(which.sum())} of {len(which)} columns are {what}" if len(which) > 1 else ""
