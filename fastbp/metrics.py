"""Metrics: how well predictions fit, besides the loss.

A metric is a function f(y_true, y_pred) or f(y_true, y_pred, sample_weight) that returns a number. Network.fit and
Network.evaluate take those of METRICS by name, and any function of the user's. Arguments, here and there:

    y_true         labels (rows,), or values (rows, outputs): targets, probabilities, one-hot
    y_pred         (rows, outputs), what Network.predict gives
    sample_weight  (rows,), 0 or more; None for weights of 1

The accuracies are shares of rows, whatever the weights, as the accuracy that training reports is.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ._names import shown
from .errors import brief, check_choice, check_integer

Metric = Callable[..., float]
M = TypeVar("M", bound=Metric)
METRICS: dict[str, Metric] = {}


def _known(metric: M) -> M:
    """The metric, which METRICS has from now on."""
    METRICS[metric.__name__] = metric
    return metric


@_known
def accuracy(y_true: Any, y_pred: Any) -> float:
    """The share, 0 to 1, of rows whose class is right: the largest of several outputs; for one, whether it is over ½.

    Raises ValueError unless y_true holds classes.
    """
    truth, answer, _ = _labels("accuracy", y_true, y_pred)
    return float(np.mean(truth == answer))


def top_k_accuracy(k: int) -> Metric:
    """A metric named top_{k}_accuracy: the share of rows with fewer than k outputs larger than the right class's.

    k: 1 or more, and less than the outputs. The metric "top_k_accuracy" is that of k = 5.
    Raises TypeError or ValueError for another k; so does the metric if there are not more outputs than k.
    """
    k = check_integer("k", k, low=1)

    def metric(y_true: Any, y_pred: Any) -> float:
        truth, _, classes = _labels("top_k_accuracy", y_true, y_pred)
        if classes <= k:
            raise ValueError(f"top_k_accuracy needs more outputs than k={k}, got {classes}: see metrics.top_k_accuracy")
        scores = _table("top_k_accuracy", y_pred, "y_pred")
        right = np.take_along_axis(scores, truth[:, np.newaxis], axis=1)
        return float(np.mean((scores <= right).sum(axis=1) > classes - k))

    metric.__name__ = metric.__qualname__ = f"top_{k}_accuracy"
    return metric


METRICS["top_k_accuracy"] = top_k_accuracy(5)


@_known
def mae(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """The mean of |y_pred - y_true| over rows and outputs. Raises ValueError unless they have one shape."""
    truth, answer = _values("mae", y_true, y_pred)
    return _mean(np.abs(answer - truth).mean(axis=1), sample_weight)


@_known
def rmse(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """√ of the mean of (y_pred - y_true)² over rows and outputs. Raises ValueError unless they have one shape."""
    truth, answer = _values("rmse", y_true, y_pred)
    return math.sqrt(_mean(((answer - truth) ** 2).mean(axis=1), sample_weight))


@_known
def r2(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """1 - Σ (y_true - y_pred)² / Σ (y_true - mean)², the mean over outputs; at most 1, and NaN for less than 2 rows.

    Raises ValueError unless y_true and y_pred have one shape. Source: sklearn.metrics.r2_score.
    """
    truth, answer = _values("r2", y_true, y_pred)
    r2_score = _sklearn("r2").r2_score
    return math.nan if len(truth) < 2 else float(r2_score(truth, answer, sample_weight=sample_weight))


@_known
def auc(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """The area under the receiver operating characteristic, 0 to 1: ½ for chance.

    For several classes the mean over classes, each against the rest; those that y_true has none of, or nothing
    else, are left out; NaN if that leaves none. Raises ValueError unless y_true holds classes.
    Source: sklearn.metrics.roc_auc_score, one-vs-rest, macro average.
    """
    roc_auc_score = _sklearn("auc").roc_auc_score
    truth, scores = _one_hot(y_true, y_pred)
    if sample_weight is not None:
        there = np.asarray(sample_weight) > 0
        truth, scores, sample_weight = truth[there], scores[there], np.asarray(sample_weight)[there]
    areas = [
        float(roc_auc_score(of_class, score, sample_weight=sample_weight))
        for of_class, score in zip(truth.T, scores.T, strict=True)
        if of_class.any() and not of_class.all()
    ]
    return float(np.mean(areas)) if areas else math.nan


def confusion_matrix(y_true: Any, y_pred: Any) -> np.ndarray:
    """How many rows of each class (row of the matrix) were taken for each class (column of it).

    y_true, y_pred: labels (rows,), also of text, or probabilities (rows, classes), or (rows,) those of the second of
    two classes. Returns (classes, classes) int64: all classes of probabilities, else those that there are, sorted.
    Raises ValueError for other shapes, or if one holds texts and the other numbers.
    Source: sklearn.metrics.confusion_matrix.
    """
    truth, answer, classes = _classes("confusion_matrix", y_true, y_pred)
    return np.bincount(truth * classes + answer, minlength=classes**2).reshape(classes, classes)


class ClassScores(NamedTuple):
    """How well each class is told from the others; the classes are those of confusion_matrix.

    precision  (classes,) float64: the share of the rows taken for the class that are of it; 0 if none is taken for it
    recall     (classes,) float64: the share of the rows of the class that are taken for it; 0 if there is none
    fscore     (classes,) float64: F₁ = 2 · precision · recall / (precision + recall); 0 if both are 0
    support    (classes,) int64: the rows of the class
    """

    precision: np.ndarray
    recall: np.ndarray
    fscore: np.ndarray
    support: np.ndarray


def precision_recall_fscore_support(y_true: Any, y_pred: Any) -> ClassScores:
    """Precision, recall, F₁ and the number of rows of each class. Their means over the classes are the macro averages.

    y_true, y_pred, Raises: as for confusion_matrix.
    Source: sklearn.metrics.precision_recall_fscore_support, beta=1, zero_division=0.
    """
    truth, answer, classes = _classes("precision_recall_fscore_support", y_true, y_pred)
    right, taken, support = (
        np.bincount(places, minlength=classes) for places in (truth[truth == answer], answer, truth)
    )
    return ClassScores(_ratio(right, taken), _ratio(right, support), _ratio(2 * right, taken + support), support)


def _classes(name: str, y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """The classes (rows,) as integers from 0, and how many there are."""
    truth, answer, classes = _labels(name, y_true, y_pred)
    if not classes:
        if _are_texts(truth) != _are_texts(answer):
            got = f"got {truth.dtype} for {answer.dtype}"
            raise ValueError(f"{name} needs y_true and y_pred to hold labels of one kind, numbers or texts, {got}")
        try:
            labels, places = np.unique(np.concatenate([truth, answer]), return_inverse=True)
        except TypeError:
            found = {type(label).__name__: None for label in [*truth.tolist(), *answer.tolist()]}
            got = f"got some of type {', others of type '.join(found)}"
            raise ValueError(f"{name} needs labels of one kind, numbers or texts, {got}") from None
        classes, (truth, answer) = len(labels), np.split(places, 2)
    return truth, answer, classes


def _are_texts(labels: np.ndarray) -> bool:
    return labels.dtype.kind in "US" or (labels.dtype.kind == "O" and any(isinstance(one, str) for one in labels))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)


def check_metrics(metrics: Any) -> dict[str, Metric]:
    """Metrics by name, from names and functions.

    Raises TypeError if one is neither, ValueError if a name is unknown, is "loss", or comes twice.
    """
    if isinstance(metrics, str) or callable(metrics):
        metrics = (metrics,)
    try:
        metrics = tuple(metrics)
    except TypeError:
        raise TypeError(f"metrics must be a sequence of names and functions, got {brief(metrics)}") from None
    found: dict[str, Metric] = {}
    for metric in metrics:
        if isinstance(metric, str):
            name, metric = metric, check_choice("metrics", metric, METRICS)
        elif not callable(metric) or isinstance(metric, type) or not hasattr(metric, "__name__"):
            raise TypeError(f"metrics must hold names or functions with a __name__, got {brief(metric)}")
        else:
            name = metric.__name__
        if name == "loss" or name in found:
            got = f"{name!r} twice" if name in found else repr(name)
            raise ValueError(f"metrics must have different names, none of them 'loss', got {got}")
        found[name] = metric
    return found


def check_suited(metrics: Mapping[str, Metric], y_true: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise what a metric of this module would for y_true and predictions of `shape`, before there are any."""
    for metric in metrics.values():
        if getattr(metric, "__module__", None) == __name__:
            metric(y_true, np.broadcast_to(0.5, shape))


def score(
    metrics: Mapping[str, Metric], y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray | None
) -> dict[str, float]:
    """What each metric gives; weights go to those that take them. Raises TypeError if that is no number."""
    found = {}
    for name, metric in metrics.items():
        weights = {} if sample_weight is None or not _is_weighted(metric) else {"sample_weight": sample_weight}
        value = metric(y_true, y_pred, **weights)
        if np.ndim(value) > 0 or np.asarray(value).dtype.kind not in "biuf":
            raise TypeError(f"metrics: {name} must return a number, got {brief(value)}")
        found[name] = float(value)
    return found


def _is_weighted(metric: Metric) -> bool:
    try:
        return "sample_weight" in inspect.signature(metric).parameters
    except ValueError:  # written in C, some have none
        return False


def _sklearn(name: str) -> Any:
    try:
        from sklearn import metrics
    except ImportError:
        raise ImportError(f"the metric {name} needs scikit-learn: pip install 'fastbp[sklearn]'") from None
    return metrics


def _mean(values: np.ndarray, weights: Any) -> float:
    if weights is None:
        return float(values.mean())
    total = float(np.sum(weights))
    return float(np.dot(values, weights)) / total if total > 0 else math.nan


def _table(name: str, values: Any, what: str) -> np.ndarray:
    """(rows,) or (rows, …) as (rows, n), n at least 1."""
    array = np.asarray(values)
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"{name} needs {what} of the shape (rows,) or (rows, outputs), got {array.shape}")
    return array.reshape(len(array), -1)


def _values(name: str, y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as numbers (rows, outputs) float64."""
    truth, answer = _table(name, y_true, "y_true"), _table(name, y_pred, "y_pred")
    if truth.shape != answer.shape:
        shapes = f"got {np.shape(y_true)} for {np.shape(y_pred)}"
        raise ValueError(f"{name} needs values of the shape of the predictions as y_true, {shapes}")
    return truth.astype(np.float64), answer.astype(np.float64)


def _labels(name: str, y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Both as labels (rows,), and how many classes y_pred has probabilities of (0 if it holds labels)."""
    truth, answer = _table(name, y_true, "y_true"), _table(name, y_pred, "y_pred")
    classes = answer.shape[1]
    if len(truth) != len(answer) or truth.shape[1] not in (1, classes):
        raise ValueError(f"{name} needs a class a row as y_true, got {np.shape(y_true)} for {np.shape(y_pred)}")
    if classes > 1:
        return _best(name, truth, classes), answer.argmax(axis=1), classes
    whole = answer.dtype.kind != "f" or (np.ndim(y_pred) == 1 and (answer == np.floor(answer)).all())
    if whole:
        return truth[:, 0], answer[:, 0], 0
    _check_fractions(name, truth)
    return (truth[:, 0] > 0.5).astype(int), (answer[:, 0] > 0.5).astype(int), 2


def _best(name: str, truth: np.ndarray, classes: int) -> np.ndarray:
    """The labels (rows,) of labels (rows, 1) or of values (rows, classes)."""
    if truth.shape[1] > 1:
        return truth.argmax(axis=1)
    if truth.dtype.kind not in "biuf" or ((truth < 0) | (truth >= classes) | (truth != np.floor(truth))).any():
        raise ValueError(f"{name} needs labels 0 to {classes - 1} as y_true, got others")
    return truth[:, 0].astype(np.int64)


def _check_fractions(name: str, values: np.ndarray) -> None:
    if values.dtype.kind not in "biuf" or values.min() < 0 or values.max() > 1:
        raise ValueError(f"{name} needs classes as y_true, of one output 0 and 1, got other values")


def _one_hot(y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    """For each class whether it is a row's, and the row's score for it: both (rows, classes)."""
    truth, scores = _table("auc", y_true, "y_true"), _table("auc", y_pred, "y_pred")
    if truth.shape[1] == 1 and scores.shape[1] > 1:
        truth = _best("auc", truth, scores.shape[1])[:, np.newaxis] == np.arange(scores.shape[1])
        if scores.shape[1] == 2:  # the other is the mirror image
            truth, scores = truth[:, 1:], scores[:, 1:]
    if truth.shape != scores.shape:
        raise ValueError(f"auc needs classes as y_true, got {np.shape(y_true)} for {np.shape(y_pred)}")
    _check_fractions("auc", truth)
    return truth > 0.5, scores


__all__ = ["METRICS", "ClassScores", "confusion_matrix", "precision_recall_fscore_support", *METRICS]
__dir__ = shown(__all__)
