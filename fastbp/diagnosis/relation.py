"""Whether inputs say anything about targets, seen without a network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

MOST_ROWS, MOST_OUTPUTS, NEIGHBOURS, PERMUTATIONS = 1000, 32, 5, 50


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

    `found` is the largest of three numbers, one for each way to say how alike two rows' inputs are: their product, that
    squared, and whether one of them is among the other's nearest. Each is |s - m| / d for s = Σ over pairs of rows of
    likeness × product of the targets; m and d are the mean and the standard deviation of s over random orders of t.

    x (rows, inputs), t (rows, outputs); of more than 1000 rows or 32 outputs so many at most are looked at, evenly
    spaced. Columns are standardised first; at least one of each must vary.
    Source: Gretton et al. 2005, Measuring Statistical Dependence with Hilbert-Schmidt Norms, with permutations.
    """
    chosen = np.linspace(0, len(x) - 1, min(len(x), MOST_ROWS)).round().astype(int)
    x, t = standardised(x[chosen]), standardised(t[chosen])
    t = t[:, :: -(-t.shape[1] // MOST_OUTPUTS)]
    generator = np.random.default_rng(0)
    orders = [np.arange(len(t)), *(generator.permutation(len(t)) for _ in range(PERMUTATIONS))]
    shuffled = np.hstack([t[order] for order in orders])
    found = []
    for alike in _likenesses(x):
        np.fill_diagonal(alike, 0.0)
        sums = np.einsum("ij,ij->j", shuffled, alike @ shuffled).reshape(len(orders), -1).sum(axis=1)
        by_chance = sums[1:]
        found.append(abs(sums[0] - by_chance.mean()) / max(by_chance.std(), 1e-12 * abs(sums[0]), 1e-300))
    # s is rows² / (5 directions) for such a function, its deviation by chance √2 rows / √directions
    return Relation(float(max(found)), len(x) / 5 / math.sqrt(2 * _directions(x)))


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
