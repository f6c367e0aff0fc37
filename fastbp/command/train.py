"""fastbp train: from a table to a trained network, its scores, a model file and a picture."""

from __future__ import annotations

import argparse
import contextlib
import math
import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..callbacks import EarlyStopping
from ..display import plots
from ..formats import files
from ..layers import Dense, Dropout, Layer
from ..network import Network
from ..optimizers import OPTIMIZERS, SGD, Optimizer
from ..runtime.functions import seconds_compiling
from ..runtime.threads import set_num_threads
from ..schedules import CosineDecay
from ..training.history import History
from . import presets, tables
from .errors import CommandError, blaming
from .lines import Leavable, counted, notes_told, say, warn, warn_of_header, warn_of_notes
from .options import csv_format
from .places import places
from .report import Report, on_rare_classes, report_on_classes, report_on_numbers
from .tables import REGRESSION, Parts, Preparation, Table
from .tables.table import listed, quoted

INTERRUPTED = 130
HIDDEN, EPOCHS, BATCH_SIZE = (128,), 60, 32
RATES, MOMENTUM = {"adam": 3e-3, "sgd": 2e-2}, 0.9  # for the others, their own default
LENET_EPOCHS, LENET_BATCH_SIZE, LENET_RATES = 10, 128, {**RATES, "adam": 2e-3}  # falling to 0 on a cosine
PATIENCE = 10


def run_train(args: argparse.Namespace) -> int:
    """Do what the arguments say; returns the exit status. Who reads the output may leave: the model is saved."""
    with contextlib.redirect_stdout(sys.stdout and Leavable(sys.stdout)):
        return _run_train(args)


def _run_train(args: argparse.Namespace) -> int:
    _check(args)
    epochs, batch_size = (LENET_EPOCHS, LENET_BATCH_SIZE) if args.preset else (EPOCHS, BATCH_SIZE)
    args.epochs, args.batch_size = args.epochs or epochs, args.batch_size or batch_size
    optimizer = _optimizer(args)
    _set_threads(args.threads)
    model, picture = places(args)
    table, task, skipped, row_numbers = _read(args)
    image = _image(args, table)
    channels = image and image[0]
    preparation, parts = tables.prepare(
        table, task, args.test_size, args.seed, args.dtype, impute=args.impute, channels=channels
    )
    if image is not None:
        parts = Parts(*((X.reshape(-1, *image), y) for X, y in parts))
    net = _network(args, preparation, parts, optimizer)
    _describe(args, table, skipped, row_numbers, preparation, parts, net)
    stopping = EarlyStopping(patience=args.patience or PATIENCE) if args.early_stopping else None
    before = seconds_compiling()
    history = _fit(net, args, parts, stopping)
    _say_how_it_ended(history, stopping, seconds_compiling() - before)
    report = _test(net, preparation, *parts.test, verbose=args.verbose)
    report.show_scores()
    if model is not None and history.epoch:  # if nothing was learnt, a model that was there stays
        net.save(model, extra={"preparation": asdict(preparation)})
        say("model", str(model))
    if picture is not None and history.epoch:
        _draw(picture, history, _loss_name(preparation), f"{tables.stem(args.data)}: {' '.join(report.scores[0])}")
        say("picture", str(picture))
    report.show_tables()  # last: whoever reads the first lines alone gets the files, too
    return INTERRUPTED if history.stopped == "interrupted" else 0


def _check(args: argparse.Namespace) -> None:
    """Raise CommandError where options don't go together."""
    if args.preset and not args.data.endswith(".npz"):
        raise CommandError(f"--preset {args.preset} needs an NPZ file with an array of images, got {args.data}")
    if args.patience and not args.early_stopping:
        raise CommandError("--patience needs --early-stopping")
    if args.class_weight and args.task == REGRESSION:
        raise CommandError(f"--class-weight needs a classification, got --task {REGRESSION}")


def _read(args: argparse.Namespace) -> tuple[Table, str, int, dict[str, str]]:
    """The table to train on, the task, how many rows were left out, and which columns number the rows."""
    with notes_told():
        table = tables.read_to_train(
            args.data,
            args.target,
            args.task,
            drop=args.drop,
            text=args.text,
            header=not args.no_header,
            form=csv_format(args),
        )
    warn_of_notes(table)
    warn_of_header(table)
    row_numbers = tables.row_numbers(table)
    table, skipped = tables.with_targets(table, args.skip_missing_target)
    assert table.y is not None
    task = args.task or tables.guess_task(table.y)
    assert table.target is not None
    if args.class_weight and task == REGRESSION:
        target = f"the target {quoted(table.target)} is taken for numbers"
        raise CommandError(
            f"--class-weight needs a classification, but {target}: --task classification makes classes of them"
        )
    return table, task, skipped, row_numbers


def _image(args: argparse.Namespace, table: Table) -> tuple[int, int, int] | None:
    """The shape of the images, as a --preset takes them."""
    if args.preset is None:
        return None
    with blaming("--preset"):
        return presets.image_shape(table.columns[table.features[0]].shape[1:])


def _optimizer(args: argparse.Namespace) -> Optimizer:
    rates = LENET_RATES if args.preset else RATES
    rate = rates.get(args.optimizer) if args.learning_rate is None else args.learning_rate
    given: dict[str, Any] = {} if rate is None else {"learning_rate": rate}
    if args.optimizer == "sgd":
        return SGD(**given, momentum=MOMENTUM if args.momentum is None else args.momentum)
    if args.momentum is not None:
        raise CommandError("--momentum needs --optimizer sgd")
    return next(kind for name, kind in OPTIMIZERS.items() if name.lower() == args.optimizer)(**given)


def _set_threads(threads: int | None) -> None:
    try:
        set_num_threads(threads)
    except ValueError as error:
        raise CommandError(f"--threads {str(error).removeprefix('n ')}") from None


def _network(args: argparse.Namespace, preparation: Preparation, parts: Parts, optimizer: Optimizer) -> Network:
    X, _ = parts.train
    rate = optimizer.learning_rate
    if args.preset is not None and isinstance(rate, float) and args.optimizer != "rprop":  # which takes no schedule
        steps = args.epochs * math.ceil(len(X) / args.batch_size)
        optimizer = replace(optimizer, learning_rate=CosineDecay(rate, steps))
    outputs = len(preparation.classes) if preparation.classes else 1
    return Network(
        _layers(args, X.shape[1:], outputs),
        X.shape[1:],
        loss="cross_entropy" if preparation.classes else "mse",
        optimizer=optimizer,
        dtype=args.dtype,
        seed=args.seed,
    )


def _layers(args: argparse.Namespace, input_shape: tuple[int, ...], outputs: int) -> list[Layer]:
    if args.preset is not None:
        with blaming("--preset"):
            return presets.lenet(input_shape, outputs, args.activation, args.dropout, args.l2)
    layers: list[Layer] = []
    for units in args.hidden:
        layers.append(Dense(units, activation=args.activation, l2=args.l2))
        layers += [Dropout(args.dropout)] if args.dropout else []
    return [*layers, Dense(outputs, l2=args.l2)]


def _describe(
    args: argparse.Namespace,
    table: Table,
    skipped: int,
    row_numbers: dict[str, str],
    preparation: Preparation,
    parts: Parts,
    net: Network,
) -> None:
    assert table.target is not None
    rows = sum(len(part[0]) for part in parts)
    kind = f"{len(preparation.classes):,} classes" if preparation.classes else REGRESSION
    kinds = zip(table.features, preparation.categories or (), strict=False)
    texts = [quoted(name) for name, names in kinds if names is not None]
    count = len(preparation.categories or ()) or math.prod(net.input_shape)
    features = counted(count, "feature") + (f" ({len(texts):,} of text: {listed(texts)})" if texts else "")
    say("data", f"{args.data}: {counted(rows, 'row')}, {features}, {kind}, target {quoted(table.target)}")
    if skipped:
        say("skipped", f"{counted(skipped, 'row')} without a target")
    for line in tables.filled(table, preparation) if args.impute else ():
        say("filled in", line)
    sizes = [f"{len(part[0]):,}" for part in parts]
    for name, kind in row_numbers.items():
        say("row numbers", f"{quoted(name)} {kind} the rows: --drop {shlex.quote(name)} leaves it out")
    say("rows", f"{sizes[0]} to train on, {sizes[1]} for validation, {sizes[2]} for the test")
    hidden = ["LeNet-5"] if args.preset else [f"{units} {args.activation}" for units in args.hidden]
    shape = ["×".join(map(str, net.input_shape)), *hidden, f"{net.output_shape[0]}"]
    say("network", f"{' -> '.join(shape)}, {net.num_params:,} parameters, {net.dtype}")
    if preparation.classes is not None:
        for line in on_rare_classes(preparation.classes, [y for _, y in parts]):
            warn(line)


def _fit(net: Network, args: argparse.Namespace, parts: Parts, stopping: EarlyStopping | None) -> History:
    X, y = parts.train
    return net.fit(
        X,
        y,
        args.epochs,
        min(args.batch_size, len(X)),
        validation_data=parts.validation,
        class_weight=args.class_weight,
        callbacks=stopping,
        verbose=not args.quiet,
    )


def _say_how_it_ended(history: History, stopping: EarlyStopping | None, compiling: float) -> None:
    """How many epochs there were, what ended them and, with early stopping, which one's weights are kept.

    compiling: how many of the training's seconds went into compiling.
    """
    ends = {"interrupted": ", then interrupted", "callback": ", then stopped early"}
    trained = counted(len(history.epoch), "epoch")
    apart = f", after {compiling:.2f} s of compiling" if compiling >= 0.005 else ""
    seconds = max(0.0, history.seconds - compiling)
    say("trained", f"{trained} in {seconds:.2f} s{apart}{ends.get(history.stopped, '')}")
    if stopping is not None and stopping.best_epoch is not None:
        loss = f"{stopping.best:.4g}, the smallest validation loss"
        say("kept", f"the weights of epoch {stopping.best_epoch + 1}: {loss}")


def _test(net: Network, preparation: Preparation, X: np.ndarray, y: np.ndarray, *, verbose: bool) -> Report:
    outputs = net.predict(X)
    if preparation.classes is not None:
        answer = outputs.argmax(axis=1)
        guess = preparation.majority
        return report_on_classes(preparation.classes, y, answer, majority=guess, prefix="test ", verbose=verbose)
    truth, predicted = preparation.unscaled(y[:, None]), preparation.unscaled(outputs)
    return report_on_numbers(truth, predicted, guesses=preparation.guesses, prefix="test ")


def _loss_name(preparation: Preparation) -> str:
    if preparation.classes is None:
        return "mean squared error (target standardised)"
    return "cross-entropy"


def _draw(path: Path, history: History, loss: str, title: str) -> None:
    figure = plots.plot_history(history, title, loss)
    with files.replacing(path) as file:
        figure.savefig(file, format=path.suffix.lower().removeprefix("."), dpi=150)
