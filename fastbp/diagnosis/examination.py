"""diagnose: one training step is done and measured, and what is wrong is told, causes before what they lead to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..model import Model
from ..training.feeds import feed_in_memory
from . import examples, speed, symptoms
from .case import Case
from .measures import measure
from .probe import Probe
from .report import Diagnosis
from .summary import summarise

MOST_ROWS = 2048  # that are looked at: shares of so many are known to about 1 %


def diagnose(net: Model, X: Any, y: Any, sample_weight: Any = None) -> Diagnosis:
    """See Network.diagnose."""
    feed = feed_in_memory(net.spec, X, y, sample_weight)
    assert feed.y is not None
    chosen = _chosen(feed.rows)
    targets = feed.y[chosen]
    with np.errstate(all="ignore"):
        probe = Probe(net, feed, chosen)
        layers = [measure(net, probe, i, targets) for i in range(len(net.layers))]
        classes = net.spec.classes
        case = Case(
            net,
            probe,
            layers,
            x=probe.input(),
            y=targets.astype(np.float64),
            kind=feed.kind,
            counts=feed.count(classes) if classes > 2 else None,
            weighted=sample_weight is not None,
            inputs=summarise(feed.x),
            targets=summarise(feed.y),
        )
        return Diagnosis(layers, list(_sentences(case)), probe.loss, len(chosen))


def _chosen(rows: int) -> np.ndarray:
    """The rows to look at: MOST_ROWS at random, always the same, as rows at equal distances may all be of one kind."""
    generator = np.random.default_rng(0)
    return np.sort(generator.choice(rows, min(rows, MOST_ROWS), replace=False, shuffle=False)).astype(np.int64)


def _sentences(case: Case) -> Iterator[str]:
    """What is wrong. Where a cause is known, what follows from it is left out."""
    alone = list(symptoms.batch_of_one(case))
    if alone:
        yield from alone
        return
    found = list(_causes(case))
    yield from found
    if math.isfinite(case.probe.loss):
        more = list(_effects(case))
        yield from more
        if not found and not more:
            yield from speed.nothing_learnt(case)
    else:
        yield from symptoms.not_finite(case)


def _causes(case: Case) -> Iterator[str]:
    """What is wrong with the examples, and with the activations for the loss."""
    yield from symptoms.nothing_trainable(case)
    inputs = examples.Inputs(case)
    yield from examples.about_inputs(inputs, symptoms.saturated_by_inputs(case))
    yield from examples.about_targets(case)
    if not inputs.same_rows and not case.has_one_answer:
        yield from examples.about_relation(case)
    yield from symptoms.unsuited_activations(case)


def _effects(case: Case) -> Iterator[str]:
    """What is wrong in the layers' numbers."""
    twins = symptoms.symmetric_layers(case)
    yield from symptoms.symmetry(case, twins)
    yield from symptoms.large_activations(case)
    clear = not twins and not examples.Inputs(case).large.any()  # else there is no telling what another start would do
    too_fast = list(speed.step_length(case))
    if clear:
        yield from symptoms.saturation(case)
        dead = list(symptoms.dead_units(case))
        if dead and not too_fast:
            yield from speed.first_step(case)
        yield from dead
        yield from symptoms.gradient_flow(case)
    if not examples.out_of_reach(case):
        yield from symptoms.wrong_end(case)
    yield from too_fast
