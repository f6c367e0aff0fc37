"""Whether inputs say anything about targets, seen without a network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

MOST_ROWS, MOST_OUTPUTS, NEIGHBOURS, PERMUTATIONS = 1000, 32, 5, 50
INPUTS_AT_ONCE = 1024


class Relation(NamedTuple):
    """Two numbers, in standard deviations of what is by chance.

    found   how far the likeness of inputs and that of targets are related
    wanted  how far they would be if a linear function of the inputs, of any direction, were a fifth of the targets'
            variance: few rows of many inputs that vary independently can't show as much
    """

    found: float
    wanted: float


def relation(x: np.ndarray, t: np.ndarray) -> Relation:
    """Whether rows whose inputs are alike have targets that are.

    `found` is the largest of four numbers |s - m| / d, where m and d are the mean and the standard deviation of s over
    random orders of t. One s is the largest squared correlation of a single input with a single output: among many
    inputs, one that matters hardly makes rows alike. The others are Σ over pairs of rows of likeness × product of the
    targets, for three ways to say how alike two rows' inputs are: their product, that squared, and whether one of them
    is among the other's nearest.

    x (rows, inputs), t (rows, outputs); of more than 1000 rows as many at random are compared in pairs, and of more
    than 32 outputs as many at most are looked at. Columns are standardised first; where none of x or of t varies, both
    numbers are 0.
    Source: Gretton et al. 2005, Measuring Statistical Dependence with Hilbert-Schmidt Norms, with permutations.
    """
    t = t[:, :: -(-t.shape[1] // MOST_OUTPUTS)]
    correlated = _deviation(_correlations(x, standardised(t), _orders(len(t))))
    chosen = np.sort(np.random.default_rng(0).permutation(len(x))[:MOST_ROWS])
    x, t = standardised(x[chosen]), standardised(t[chosen])
    if x.shape[1] == 0 or t.shape[1] == 0:
        return Relation(0.0, 0.0)
    orders = _orders(len(t))
    shuffled = np.hstack([t[order] for order in orders])
    found = [correlated]
    for alike in _likenesses(x):
        np.fill_diagonal(alike, 0.0)
        found.append(_deviation(np.einsum("ij,ij->j", shuffled, alike @ shuffled).reshape(len(orders), -1).sum(axis=1)))
    # s is rows² / (5 directions) for such a function, its deviation by chance √2 rows / √directions
    return Relation(float(max(found)), len(x) / 5 / math.sqrt(2 * _directions(x)))


def _orders(rows: int) -> list[np.ndarray]:
    """The order as it is, and random ones, always the same."""
    generator = np.random.default_rng(0)
    return [np.arange(rows), *(generator.permutation(rows) for _ in range(PERMUTATIONS))]


def _deviation(sums: np.ndarray) -> float:
    """How far the first number is from the others, in their standard deviations."""
    by_chance = sums[1:]
    return float(abs(sums[0] - by_chance.mean()) / max(by_chance.std(), 1e-12 * abs(sums[0]), 1e-300))


def _correlations(x: np.ndarray, t: np.ndarray, orders: list[np.ndarray]) -> np.ndarray:
    """The largest squared correlation of a column of x with one of t, for each order of the standardised t."""
    largest = np.zeros(len(orders))
    for start in range(0, x.shape[1], INPUTS_AT_ONCE):
        part = standardised(x[:, start : start + INPUTS_AT_ONCE]).T
        for number, order in enumerate(orders):
            largest[number] = max(largest[number], float((np.abs(part @ t[order])).max(initial=0.0)) / len(t))
    return largest**2


def _directions(x: np.ndarray) -> float:
    """How many directions of equal variance would make products of rows as large: 1 over their mean square."""
    products = x @ x.T / x.shape[1]
    np.fill_diagonal(products, 0.0)
    return len(x) * (len(x) - 1) / max(float((products**2).sum()), 1e-300)


def standardised(values: np.ndarray) -> np.ndarray:
    """The columns that vary, with mean 0 and variance 1, in float32."""
    spread = values.std(axis=0)
    varies = spread > 0
    return ((values[:, varies] - values[:, varies].mean(axis=0)) / spread[varies]).astype(np.float32)


def _likenesses(x: np.ndarray) -> Iterator[np.ndarray]:
    """Matrices (rows, rows), without what is the same in a whole row or column of them."""
    products = x @ x.T / x.shape[1]
    yield _centred(products)
    yield _centred(products**2)
    squares = np.diag(products)
    distances = squares[:, np.newaxis] + squares - 2 * products
    np.fill_diagonal(distances, np.inf)
    nearest = np.argpartition(distances, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    among = np.zeros_like(products)
    np.put_along_axis(among, nearest, 1.0, axis=1)
    yield _centred(among + among.T)


def _centred(values: np.ndarray) -> np.ndarray:
    means = values.mean(axis=0)
    return values - means - values.mean(axis=1, keepdims=True) + means.mean()
