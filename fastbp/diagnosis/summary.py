"""Means, spreads and constant columns of all rows of an array, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_ELEMENTS_AT_ONCE = 1 << 20


class Summary(NamedTuple):
    """Of the columns of an array (rows, columns, …): features, channels, steps or targets.

    rows       how many there are
    mean, spread, size  (columns,) float64: mean, standard deviation and root of the mean square
    first      (columns,) the first number in each
    constant   (columns,) whether a column holds one number alone
    same_rows  whether all rows are equal
    """

    rows: int
    mean: np.ndarray
    spread: np.ndarray
    size: np.ndarray
    first: np.ndarray
    constant: np.ndarray
    same_rows: bool


def summarise(values: np.ndarray) -> Summary:
    """values (rows, columns, …), of at least one row, of any real dtype."""
    rows, columns = values.shape[:2]
    first = values[0].reshape(columns, -1)
    mean, squares, constant, same_rows = np.zeros(columns), np.zeros(columns), np.ones(columns, bool), True
    for piece in _pieces(values):
        mean += piece.sum(axis=(0, 2), dtype=np.float64)
        constant &= (piece == first[:, :1]).all(axis=(0, 2))
        same_rows = same_rows and bool((piece == first).all())
    mean /= rows * first.shape[1]
    for piece in _pieces(values):
        squares += ((piece - mean[:, np.newaxis]) ** 2).sum(axis=(0, 2))
    spread = np.where(constant, 0.0, np.sqrt(squares / (rows * first.shape[1])))
    return Summary(rows, mean, spread, np.hypot(mean, spread), first[:, 0], constant, same_rows)


def _pieces(values: np.ndarray) -> Iterator[np.ndarray]:
    """(some rows, columns, numbers of each)"""
    step = max(1, _ELEMENTS_AT_ONCE // max(1, values[0].size))
    for start in range(0, len(values), step):
        piece = values[start : start + step]
        yield piece.reshape(len(piece), values.shape[1], -1)
