"""fastbp predict: from a table and a model file to predictions as CSV, and their scores where the target is there."""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import network
from ..errors import FileFormatError
from ..formats import files, kinds
from ..network import Network
from . import tables
from .errors import CommandError
from .lines import counted, notes_told, warn, warn_of_header, warn_of_notes
from .options import csv_format
from .places import check_place
from .report import Report, report_on_classes, report_on_numbers
from .tables import Preparation, Table, TableError
from .tables.table import listed, quoted, shown


def run_predict(args: argparse.Namespace) -> int:
    """Do what the arguments say; returns the exit status."""
    output = None if args.output is None else Path(args.output)
    if output is not None:
        check_place("--output", output, [args.model, args.data])
    net = _load(args)
    preparation = _preparation(args.model, net)
    form, header = csv_format(args), not args.no_header
    with notes_told():
        table = tables.read_to_predict(
            args.data, preparation, net.input_shape, keep=args.keep, header=header, form=form
        )
    warn_of_notes(table)
    if preparation.features is None:  # no name proves the first line a header
        warn_of_header(table)
    for line in preparation.other_units(table):
        warn(line)
    if (unknown := preparation.unknown(table)) is not None:
        warn(unknown)
    X = preparation.inputs(table, net.dtype)
    outputs = net.predict(X.reshape(-1, *net.input_shape))
    columns = _columns(preparation, outputs)
    for name in table.kept:
        if name in columns:
            raise CommandError(
                f"--keep: the predictions have a column {quoted(name)} of their own: rename the one in {args.data}"
            )
    _write_csv(output, {**table.kept, **columns})
    report = _score(preparation, outputs, table, verbose=args.verbose)
    if report is not None:
        report.show_scores(aside=output is None)
        report.show_tables(aside=output is None)
    return 0


def _load(args: argparse.Namespace) -> Network:
    """The network in the model file. Raises CommandError if it is not one that can be used here."""
    if kinds.is_model(args.data) and not kinds.is_model(args.model):
        order = f"fastbp predict {shlex.quote(args.data)} {shlex.quote(args.model)}"
        raise CommandError(f"{args.data} is a model, which comes before the data: {order}")
    try:
        return network.load(args.model)
    except FileFormatError:
        raise
    except ValueError as error:
        path = repr(args.model)
        if "ensemble" in str(error):
            problem, cure = "holds an ensemble, and this command takes one network", f"fb.Ensemble.load({path})"
        else:
            problem = "has a CustomActivation or CustomLoss, whose code no file holds"
            cure = f"fb.load({path}, custom_objects={{...}})"
        raise CommandError(f"{args.model} {problem}: predict in Python, with {cure}") from None


def _preparation(model: str, net: Network) -> Preparation:
    """What `fastbp train` keeps in a model file; for a file that was saved from Python, one that changes nothing."""
    extra = files.read(model)[0].get("extra")
    if not isinstance(extra, dict) or "preparation" not in extra:
        count, outputs = math.prod(net.input_shape), net.output_shape[0]
        classes = [str(label) for label in range(outputs)] if net.loss.name == "cross_entropy" else None
        return Preparation("", "", None, None, [0.0] * count, [1.0] * count, classes)
    with contextlib.suppress(TypeError, ValueError):
        preparation = Preparation(**extra["preparation"])
        if preparation.valid_for(net.input_shape, net.output_shape):
            return preparation
    raise FileFormatError(f"{model} is not a valid model: what fastbp train kept beside the network is damaged")


def _columns(preparation: Preparation, outputs: np.ndarray) -> dict[str, Sequence[str]]:
    """The predictions to write, by the column's name."""
    if preparation.classes is not None:
        names = [preparation.classes[place] for place in outputs.argmax(axis=1)]
        return {"prediction": names, "probability": [f"{probability:.6g}" for probability in outputs.max(axis=1)]}
    flat = outputs.reshape(len(outputs), -1)
    if flat.shape[1] == 1:
        return {"prediction": _texts(preparation.unscaled(flat))}
    return {f"prediction_{number}": _texts(column) for number, column in enumerate(flat.T, 1)}


def _texts(values: np.ndarray) -> list[str]:
    return [f"{value:.10g}" for value in values]


def _score(preparation: Preparation, outputs: np.ndarray, table: Table, *, verbose: bool) -> Report | None:
    """The report on the rows whose target is there; None if there are none, or for several numbers a row."""
    if table.target is None or (preparation.classes is None and outputs[0].size > 1):
        return None
    if preparation.classes is not None:
        labels = table.texts(table.target)
        known = labels != ""
    else:
        try:
            values = table.numbers(table.target)
        except TableError as error:
            warn(f"no R²: {error}")
            return None
        known = np.isfinite(values)
    if not known.any():
        return None
    if not known.all():
        warn(f"the scores are of {known.sum():,} of {counted(len(known), 'row')}: the others have no target")
    if preparation.classes is not None:
        answer = outputs[known].argmax(axis=1)
        return _score_labels(preparation.classes, labels[known], answer, preparation.majority, verbose)
    predicted = preparation.unscaled(outputs[known].reshape(-1, 1))
    return report_on_numbers(values[known], predicted, guesses=preparation.guesses)


def _score_labels(
    classes: list[str], labels: np.ndarray, answer: np.ndarray, majority: int | None, verbose: bool
) -> Report:
    """The report where some labels may be no class of the model: they are classes of their own, never predicted."""
    truth = tables.places_in(classes, labels)
    unknown = truth < 0
    if unknown.any():
        others, places = np.unique(labels[unknown], return_inverse=True)
        truth[unknown] = len(classes) + places
        classes = [*classes, *others.tolist()]
        names = listed([shown(name) for name in others.tolist()])
        warn(f"{counted(int(unknown.sum()), 'row')} of classes that the model does not know count as wrong: {names}")
    return report_on_classes(classes, truth, answer, majority=majority, verbose=verbose)


def _write_csv(path: Path | None, columns: dict[str, Sequence[str]]) -> None:
    rows = zip(*columns.values(), strict=True)
    if path is None:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        return
    with files.replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        text.flush()
        text.detach()
