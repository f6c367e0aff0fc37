"""Which rows are to train on, which are for validation, and which for the test."""

from __future__ import annotations

import bisect

import numpy as np

from .table import Table, TableError

VALIDATION_SHARE = 0.1

Places = tuple[np.ndarray, np.ndarray, np.ndarray]


def split(table: Table, test_size: float, seed: int, labels: np.ndarray | None = None) -> Places:
    """Random places of the rows to train on, to validate with and to test with.

    Arguments:
        test_size: the share, 0 < share < 1, of rows for the test; unused where the table has a test set.
        seed: decides which rows go where.
        labels: (rows,), the class of each row from 0. Each part then has its share of each class; as far as there are
            rows enough, a class of one row is to train on, one of two is in the test too, one of three in all parts.

    Raises TableError if there are too few rows.
    """
    rows, share = len(table), test_size if table.test is None else 0.0
    train, validation, test = _sizes(rows, share)
    if train < 2:
        enough = range(int(3 / (1 - share)) + 2)
        needed = bisect.bisect_left(enough, 2, key=lambda count: _sizes(count, share)[0])
        tested = f", a share of {share} (--test-size) for the test" if share else ""
        parts = f"2 to train on, 1 for validation{tested}"
        raise TableError(f"too few rows: {table.source} has {rows}, at least {needed} are needed: {parts}")
    order = np.random.default_rng(seed).permutation(rows)
    if labels is None:
        return order[test + validation :], order[test : test + validation], order[:test]
    counts = np.bincount(labels)
    in_test = _quotas(counts, test)
    in_validation = _quotas(counts - in_test, validation)
    labels = labels[order]
    ranks = _ranks(labels, counts)
    is_test = ranks < in_test[labels]
    is_validation = ~is_test & (ranks < (in_test + in_validation)[labels])
    return order[~is_test & ~is_validation], order[is_validation], order[is_test]


def _sizes(rows: int, share: float) -> tuple[int, int, int]:
    """How many rows are to train on, for validation and for the test, which gets that share, and none if it is 0."""
    test = max(1, round(rows * share)) if share else 0
    validation = max(1, round((rows - test) * VALIDATION_SHARE))
    return rows - test - validation, validation, test


def _quotas(counts: np.ndarray, total: int) -> np.ndarray:
    """How many rows of each class are taken away (classes,), where there are so many (classes,) and `total` are taken.

    Each class gives its share, rounded so that the sum is right. As far as the total allows, a class of two rows or
    more gives one at least, and keeps two, or else one.
    """
    least = (counts >= 2).astype(np.int64)
    if least.sum() > total:
        least[:] = 0
    for kept in (2, 1, 0):
        most = np.maximum(counts - kept, least)
        if most.sum() >= total:
            break
    share = counts * (total / counts.sum())
    quotas = np.clip(np.floor(share).astype(np.int64), least, most)
    while (missing := total - quotas.sum()) != 0:
        able = quotas < most if missing > 0 else quotas > least
        due = np.where(able, (share - quotas) * np.sign(missing), -np.inf)
        first = np.argsort(-due, kind="stable")[: min(abs(missing), np.count_nonzero(able))]
        quotas[first] += np.sign(missing)
    return quotas


def _ranks(labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """How many rows of its class stand before each row."""
    order = np.argsort(labels, kind="stable")
    first = np.cumsum(counts) - counts
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - first[labels[order]]
    return ranks
