"""What users ask of fit and evaluate, checked, as the loop wants it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import check_bool, check_integer, check_share, check_verbose
from ..layers.bound import check_step
from ..metrics import METRICS, Metric, check_metrics, check_suited
from ..model import Model
from . import checkpoints, feeds
from .data import check_class_weight
from .feeds import Feed, Mapped, Source
from .hooks import check_callbacks
from .instep import InStep
from .loop import Task


def check_fit(
    net: Model,
    X: Any,
    y: Any,
    epochs: int,
    batch_size: int,
    *,
    validation_data: Any,
    validation_split: float,
    shuffle: bool,
    sample_weight: Any,
    class_weight: Any,
    metrics: Any,
    callbacks: Any,
    resume_from: str | os.PathLike | None,
    verbose: bool,
) -> Task:
    """The task that the arguments of Network.fit describe. Raises as that does; nothing in the network changes."""
    epochs = check_integer("epochs", epochs, low=1)
    batch_size = check_integer("batch_size", batch_size, low=1)
    split = check_share("validation_split", validation_split)
    shuffle = check_bool("shuffle", shuffle)
    verbose = check_verbose(verbose)
    functions = metrics_of(net, metrics)
    validates = validation_data is not None or split > 0
    if functions and not validates:
        raise ValueError(f"metrics must be () without validation_data or validation_split, got {', '.join(functions)}")
    callbacks = check_callbacks(callbacks, logged(net, functions, validates))
    for callback in callbacks:
        if isinstance(callback, InStep):
            callback.check(net, callbacks)
    source, validation = _sources(net, X, y, epochs, sample_weight, class_weight, validation_data, split)
    if functions and isinstance(validation, (Feed, Mapped)):
        predicted = net.loss.point(np.broadcast_to(0.5, (validation.rows, *net.output_shape))).shape
        check_suited(functions, validation.truth()[0], predicted)
    rows = None if isinstance(source, feeds.Batches) else min(batch_size, source.rows)
    if source.rows is not None:
        check_step(net.layers, source.rows, rows)
    resumed = None if resume_from is None else checkpoints.resume(net, resume_from, callbacks, verbose=verbose)
    return Task(source, epochs, rows, shuffle, validation, functions, callbacks, verbose, resumed)


def metrics_of(net: Model, metrics: Any) -> dict[str, Metric]:
    """The argument `metrics`: functions by name, without those that the engine counts itself."""
    found = check_metrics(() if metrics is None else metrics)
    if net.loss.accuracy and found.pop("accuracy", METRICS["accuracy"]) is not METRICS["accuracy"]:
        raise ValueError("metrics must not hold a function named 'accuracy': the loss counts that itself")
    return found


def logged(net: Model, metrics: Iterable[str], validates: bool) -> list[str]:
    """The names of an epoch's numbers; validates: whether there are rows for validation."""
    names = ["loss", "accuracy"] if net.loss.accuracy else ["loss"]
    return names + [f"val_{name}" for name in [*names, *metrics]] if validates else names


def weighed_source(net: Model, X: Any, y: Any, sample_weight: Any, class_weight: Any) -> Source:
    """The rows that evaluate works on. Raises as Network.evaluate does."""
    source = feeds.source(net.spec, X, y, sample_weight)
    source.weigh(check_class_weight(class_weight, source, net.spec))
    return source


def _sources(
    net: Model,
    X: Any,
    y: Any,
    epochs: int,
    sample_weight: Any,
    class_weight: Any,
    validation_data: Any,
    split: float,
) -> tuple[Source, Source | None]:
    """What fit trains on, and what it validates with, checked."""
    spec = net.spec
    validation: Source | None = None
    if validation_data is not None and split:
        raise ValueError("validation_split must be 0 with validation_data, got both")
    source = feeds.source(spec, X, y, sample_weight, epochs)
    if split:
        if isinstance(source, feeds.Batches):
            raise ValueError(f"validation_split can't be given with an iterable of batches, got {split}")
        source, validation = _split(source, split)
    if validation_data is not None:
        validation = feeds.validation(spec, validation_data, epochs)
    weights = check_class_weight(class_weight, source, spec)
    source.weigh(weights)
    if validation is not None:
        validation.weigh(weights)
    return source, validation


def _split(source: Feed | Mapped, share: float) -> tuple[Feed | Mapped, Feed | Mapped]:
    """The source without its last rows, and those."""
    kept = source.rows - round(source.rows * share)
    if not 0 < kept < source.rows:
        raise ValueError(f"validation_split must leave rows on both sides, got {share!r} of {source.rows} rows")
    return source.part(0, kept), source.part(kept, source.rows)
