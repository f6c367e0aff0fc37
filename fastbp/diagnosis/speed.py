"""Whether the learning rate is far too large or too small, and whether anything has been learnt, in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from ..display import reports
from ..optimizers import Rprop
from .case import LARGE_STEP, Case
from .measures import measure

# From steps of a millionth of the next one's length to such of a million times it, the loss of the healthy
# networks of the tests is least at 1 to 100 times the length of the next one, and, late in training, at 1,000.
SHORTER, LONGER = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3), (10.0, 100.0, 1e3, 1e4, 1e5, 1e6)
CLEARLY_SHORTER, CLEARLY_LONGER = 1e-2, 1e4
# Of the loss of guessing: what a step raises the loss by that is too long, and longer steps lower it by where those
# that are done are too short. Late in training, of a loss that is small, longer steps lower it by 8 % at most.
RAISED, LOWERED = 0.2, 0.05
# A shorter step is better where it lowers the loss by so much of that of guessing more; of steps
# that are larger than the weights, and leave nothing of them, by any.
BETTER = 0.01
# A step of less than this of the weights is looked at: in healthy networks it is a thousandth and more at first.
SMALL_STEP = 1e-4
# Nearly all of the steps are less than rounding only where the rate is far from what it should be.
MOSTLY_LOST = 0.99
# So many steps should have learnt something: more right answers than by chance, of which they are two deviations.
STEPS_TO_LEARN, CHANCE = 1000, 2.0


def step_length(case: Case) -> Iterator[str]:
    """Compares the loss after the next step with that after shorter and longer ones in its direction."""
    if not case.probe.done or case.probe.rate == 0 or case.has_one_answer:
        return
    ratio = max((layer.update_ratio for layer in case.layers if layer.update_ratio is not None), default=0.0)
    before, after = case.probe.loss, case.losses_after(1.0)[1.0]
    if case.largest_step[1] > LARGE_STEP or after > before + RAISED * case.scale:
        yield from _too_long(case, before, after)
    elif _lost(case) > MOSTLY_LOST:
        if case.headroom == 1 and case.loss > LOWERED * case.scale:
            yield (
                f"Too slow: the next step, of a learning rate of {case.probe.rate:g}, is less than the rounding of the"
                f" weights in {case.net.dtype}, and changes hardly any. Use a larger learning rate:"
                " fb.find_learning_rate(net, X, y) suggests one."
            )
    elif ratio < SMALL_STEP * case.headroom:
        yield from _too_short(case, before, after)


def _too_long(case: Case, before: float, after: float, which: str = "the next step") -> Iterator[str]:
    number, size = case.largest_step
    large, better = size > LARGE_STEP, BETTER * case.scale if size <= 1 else 0.0
    shorter = case.losses_after(*SHORTER)
    best = min(shorter, key=shorter.__getitem__)
    if best > (SHORTER[-1] if large else CLEARLY_SHORTER) or shorter[best] >= min(before, after - better):
        return
    layer, than = case.layers[number], ""
    if large:
        size = size if layer.update_ratio is None else layer.update_ratio
        times = f"{reports.rounded(size)} times as large as" if size >= 1.5 else f"{100 * size:.0f} % of the size of"
        than = f", and is {times} the weights of {layer.name}"
    yield (
        f"Too fast: {which} takes the loss of these rows from {_loss(before)} to {_loss(after)}{than};"
        f" one of {best:g} of its length{_advice(case.probe.rate, best, shorter[best])}"
    )


def first_step(case: Case) -> Iterator[str]:
    """Whether the learning rate is too large for the network as it began, where training has ruined it since."""
    net, probe = case.net, case.probe
    if net.steps_trained == 0:
        return
    begun = probe.of(net.renewed())
    if not begun.done or begun.rate == 0:
        return
    layers = [measure(net, begun, i, case.y) for i in range(len(case.layers))]
    new = replace(case, probe=begun, layers=layers)
    if new.largest_step[1] > LARGE_STEP:
        which = f"with new initial weights, the first step, of a learning rate of {begun.rate:g},"
        yield from _too_long(new, begun.loss, new.losses_after(1.0)[1.0], which)


def _lost(case: Case) -> float:
    """The share of the parameters with a gradient that the step leaves as they are, through rounding."""
    if isinstance(case.net.optimizer, Rprop):  # which makes no step where a gradient changes its sign
        return 0.0
    moved = case.probe.stepped != case.probe.params
    return 1.0 - float(moved[case.probe.grads != 0].mean()) if case.probe.grads.any() else 0.0


def _too_short(case: Case, before: float, after: float) -> Iterator[str]:
    longer = {1.0: after} | case.losses_after(*LONGER)
    best = min(longer, key=longer.__getitem__)
    if best >= CLEARLY_LONGER * case.headroom and before - longer[best] > LOWERED * case.scale:
        yield (
            f"Too slow: the next step takes the loss of these rows from {_loss(before)} to {_loss(after)}; one that is"
            f" {reports.rounded(best)} times as long{_advice(case.probe.rate, best, longer[best])}"
        )


# Losses of new networks are up to three times as large where outputs are as large as targets.
MUCH_WORSE = 5.0


def nothing_learnt(case: Case) -> Iterator[str]:
    """Where no other sentence says why."""
    steps, guessing = case.net.steps_trained, case.of_guessing
    is_ratio = case.net.loss.name != "poisson"  # whose losses may be near 0, or below it, where nothing is learnt
    if steps > 0 and is_ratio and guessing is not None and case.loss > MUCH_WORSE * guessing > 0:
        yield (
            f"Much worse than guessing: after {steps:,} steps the loss of these rows is {_loss(case.loss)}, and that of"
            f" one answer for all of them {_loss(guessing)}. Steps have probably been too long: begin anew with a"
            f" smaller learning rate than {case.probe.rate:g}; fb.find_learning_rate(net, X, y) suggests one."
        )
        return
    if steps < STEPS_TO_LEARN or guessing is None or case.loss < guessing:
        return
    if case.classes is not None and case.outputs.shape == case.classes.shape:
        right = float((case.outputs.argmax(axis=1) == case.classes.argmax(axis=1)).mean())
        usual = float(case.classes.mean(axis=0).max())
        if right > usual + CHANCE * math.sqrt(usual * (1 - usual) / case.rows):
            return
    yield (
        f"No better than guessing: after {steps:,} steps the loss of these rows is {_loss(case.loss)}, and that of one"
        f" answer for all of them {_loss(guessing)}. If y should follow from X, look whether row i of y still belongs"
        " to row i of X, train for longer, or look for a better learning rate with fb.find_learning_rate(net, X, y)."
    )


def _loss(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "infinity"


def _advice(rate: float, times: float, loss: float) -> str:
    """What a step of so many times the length would do, and a rate to train with: a tenth of what is best for one."""
    change = "smaller" if times < 1 else "larger"
    return (
        f" would take it to {_loss(loss)}. Use a {change} learning rate than {rate:g}, such as"
        f" {_about(rate * times / 10)}: a tenth of that step's, {_about(rate * times)}, as the best for one step is too"
        " large for many."
    )


def _about(rate: float) -> str:
    return f"{rate:.0e}" if rate < 1e-3 or rate >= 1e3 else f"{rate:.1g}"
