"""How good predictions are: the lines and tables that fastbp train and fastbp predict print about it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..display.reports import text_lines, text_table
from ..metrics import confusion_matrix, precision_recall_fscore_support
from .lines import counted, say, warn
from .tables.table import REGRESSION, listed, number, shown

MOST_SHOWN = 20  # classes, or mistakes, in a table
FEW_ROWS = 10  # with fewer, a class is hardly learnt
_LONGEST_NAME, _LONGEST_TITLE = 32, 10  # of a class, in a row and above a column
_COLUMNS = ("precision", "recall", "f1-score", "support")  # as in scikit-learn's classification_report


@dataclass(frozen=True)
class Report:
    """What is printed: scores as pairs of a label and a text, the main one first, and tables as lines of text."""

    scores: list[tuple[str, str]]
    tables: list[str] = field(default_factory=list)

    def show_scores(self, *, aside: bool = False) -> None:
        """Print the scores as results or, aside, where standard output is for something else, on standard error."""
        for label, text in self.scores:
            if aside:
                warn(f"{label} {text}")
            else:
                say(label, text)

    def show_tables(self, *, aside: bool = False) -> None:
        """Print the tables likewise."""
        for table in self.tables:
            print(f"\n{table}", file=sys.stderr if aside else sys.stdout, flush=True)


# --- classes ------------------------------------------------------------------------------------------


def report_on_classes(
    names: Sequence[str],
    truth: np.ndarray,
    answer: np.ndarray,
    *,
    majority: int | None = None,
    prefix: str = "",
    verbose: bool = False,
) -> Report:
    """Accuracy, what the most frequent class would score everywhere, and the scores of each class.

    names: of the classes; truth, answer: (rows,), places among them, of at least one row.
    majority: the most frequent class of the rows trained on; None if it isn't known, for that of these rows.
    prefix: stands before the main score's name; verbose: shows all classes and the confusion matrix.
    """
    most = int(np.bincount(truth).argmax()) if majority is None else majority
    right, guessed = truth == answer, truth == most
    scores = [
        (f"{prefix}accuracy", _accuracy(right)),
        ("majority guess", f"{_accuracy(guessed)}, always {shown(names[most])}"),
    ]
    if right.sum() <= guessed.sum() < len(truth):
        scores.append(("note", "the network is no better than the majority guess"))
    present = np.unique(np.concatenate([truth, answer]))
    of_rows = [_cut(names[place], _LONGEST_NAME) for place in present]
    tables = [_class_table(of_rows, truth, answer, verbose)]
    if verbose:
        tables.append(_mistakes(of_rows, confusion_matrix(truth, answer)))
    return Report(scores, tables)


def _accuracy(right: np.ndarray) -> str:
    return f"{right.mean():.4f} ({right.sum():,} of {counted(len(right), 'row')})"


def _cut(name: str, longest: int) -> str:
    """A name on one line; of a long one the beginning and the end, where names may differ."""
    name = " ".join(name.split())
    end = longest // 2 - 1
    return name if len(name) <= longest else f"{name[: longest - end - 1]}…{name[-end:]}"


def _class_table(names: Sequence[str], truth: np.ndarray, answer: np.ndarray, verbose: bool) -> str:
    scores = precision_recall_fscore_support(truth, answer)
    rows = [
        [name, *(f"{share:.3f}" for share in shares), f"{support:,}"]
        for name, *shares, support in zip(names, *scores, strict=True)
    ]
    about = ""
    if len(rows) > MOST_SHOWN and not verbose:
        worst = np.lexsort((-scores.support, scores.fscore))[:MOST_SHOWN]  # of equal ones those with more rows
        about = f"\nThe {MOST_SHOWN} classes of {len(rows):,} with the lowest f1-score; --verbose shows all."
        rows = [rows[place] for place in worst]
    macro = [f"{values.mean():.3f}" for values in scores[:3]]
    return text_table(["class", *_COLUMNS], [*rows, ["macro average", *macro, f"{len(truth):,}"]]) + about


def _mistakes(names: Sequence[str], counts: np.ndarray) -> str:
    """The confusion matrix; of many classes, of which it would be too wide, the most frequent mistakes."""
    if len(names) <= MOST_SHOWN:
        titles = [_cut(name, _LONGEST_TITLE) for name in names]
        rows = [[name, *(f"{count:,}" for count in row)] for name, row in zip(names, counts.tolist(), strict=True)]
        return f"Confusion matrix: rows of a class, by the class predicted\n{text_table(['', *titles], rows)}"
    mistakes = counts.copy()
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:MOST_SHOWN]
    pairs = [divmod(place, len(names)) for place in order.tolist() if mistakes.flat[place]]
    rows = [[f"{mistakes[i, j]:,}", names[i], names[j]] for i, j in pairs]
    lines = text_lines([["rows", "class", "predicted"], *rows])
    return "\n".join([f"The most frequent mistakes (a confusion matrix has {MOST_SHOWN} classes at most)", *lines])


def on_rare_classes(names: Sequence[str], parts: Sequence[np.ndarray]) -> Iterator[str]:
    """Lines that warn of classes with few rows, and of those with none to train on or for the test.

    parts: labels (rows,) to train on, for validation and for the test.
    """
    counts = np.stack([np.bincount(labels, minlength=len(names)) for labels in parts])
    total = counts.sum(axis=0)
    rare = [place for place in np.argsort(total, kind="stable").tolist() if total[place] < FEW_ROWS]
    if rare:
        few = listed([f"{shown(names[place])} ({total[place]})" for place in rare])
        cure = "get more rows of them, put them together, or leave them out"
        if not any(math.isnan(number(name)) for name in names):
            cure += f"; --task {REGRESSION} takes the target for numbers"
        yield f"classes with fewer than {FEW_ROWS} rows can hardly be learnt or tested: {few}: {cure}"
    for part, what in ((0, "to train on"), (2, "for the test")):
        without = np.flatnonzero(counts[part] == 0)
        if len(without):
            missing = listed([shown(names[place]) for place in without.tolist()])
            yield f"no row of these classes is among the rows {what}: {missing}"


# --- numbers ------------------------------------------------------------------------------------------


def report_on_numbers(
    y: np.ndarray, predicted: np.ndarray, *, guesses: tuple[float, float] | None = None, prefix: str = ""
) -> Report:
    """R², RMSE and MAE, and what guessing the mean or the median everywhere would score.

    y, predicted: (rows,), of at least one row, in the target's units.
    guesses: mean and median of the rows trained on; None if they aren't known, for those of these rows.
    prefix: as for report_on_classes.
    """
    mean, median = (y.mean(), np.median(y)) if guesses is None else guesses
    with np.errstate(over="ignore", invalid="ignore"):
        scores = [(f"{prefix}R²", _fit(y, predicted)), ("mean guess", _fit(y, mean)), ("median guess", _fit(y, median))]
        if y.min() < y.max() and ((predicted - y) ** 2).mean() >= ((mean - y) ** 2).mean():
            scores.append(("note", "the network is no better than the mean guess"))
    return Report(scores)


def _fit(y: np.ndarray, predicted: np.ndarray | float) -> str:
    """R², root of the mean squared error and mean absolute error, the latter in the target's units."""
    squared, absolute = ((predicted - y) ** 2).mean(), np.abs(predicted - y).mean()
    r2 = "undefined (all targets are one number)"
    if y.min() < y.max():
        r2 = f"{round(1 - squared / y.var(), 4) + 0.0:.4f}"  # + 0.0 makes a zero of -0.0
    return f"{r2}, RMSE {_readable(math.sqrt(squared))}, MAE {_readable(absolute)}"


def _readable(value: float) -> str:
    """Four digits, or all of a large number's before the point: "0.01235", "41,568"."""
    return f"{value:,.0f}" if 10_000 <= value < 1e15 else f"{value:.4g}"
