"""A table of networks with which nothing is wrong: sensible set-ups of many kinds, small enough to train in a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import sklearn.datasets

import fastbp as fb


class Healthy(NamedTuple):
    """data(seed) gives (X, y); the rest is what Network and fit take."""

    data: Callable[[int], tuple[np.ndarray, np.ndarray]]
    layers: Sequence[Any]
    loss: Any
    optimizer: Any
    epochs: int = 20
    batch_size: int = 32

    def network(self, X: np.ndarray, seed: int) -> fb.Network:
        return fb.Network(self.layers, X.shape[1:], loss=self.loss, optimizer=self.optimizer, seed=seed)


def standardised(values: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1; constant ones are 0."""
    spread = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)


@cache
def shipped(name: str) -> tuple[np.ndarray, np.ndarray]:
    return getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)


def rows_of(name: str, seed: int, rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Some rows of a data set that scikit-learn ships, in random order."""
    X, y = shipped(name)
    chosen = np.random.default_rng(seed).permutation(len(X))[:rows]
    return X[chosen], y[chosen]


def digits(seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = rows_of("digits", seed)
    return X / 16, y


def digits_raw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    return rows_of("digits", seed)


def digits_standardised(seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = rows_of("digits", seed)
    return standardised(X), y


def digit_maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = digits(seed)
    return 2 * X.reshape(-1, 1, 8, 8) - 1, y


def digit_bytes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of 24 × 24 bytes from 0 to 255."""
    X, y = digits(seed)
    return (255 * X.reshape(-1, 1, 8, 8)).repeat(3, axis=2).repeat(3, axis=3).astype(np.uint8), y


def digits_again(seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, _ = digits(seed)
    return X, X


def digits_one_hot(seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = digits(seed)
    return X, np.eye(10)[y]


def wine(seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = rows_of("wine", seed)
    return standardised(X), y


def wine_raw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    return rows_of("wine", seed)


def cancer(seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = rows_of("breast_cancer", seed)
    return standardised(X), y


def cancer_signs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = cancer(seed)
    return X, 2 * y - 1


def diabetes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = rows_of("diabetes", seed)
    return standardised(X), standardised(y)


def diabetes_shares(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets from 0 to 1."""
    X, y = rows_of("diabetes", seed)
    return standardised(X), (y - y.min()) / (y.max() - y.min())


def counts(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((500, 5))
    return X, rng.poisson(np.exp(0.5 * X[:, 0] - 0.4 * X[:, 1] + 0.8))  # about e: guessing has a loss near 0


def wave(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A curve with noise."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (300, 1))
    return X, np.sin(2 * X) + 0.1 * rng.standard_normal((300, 1))


def friedman(seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = sklearn.datasets.make_friedman1(600, random_state=seed)
    return 2 * X - 1, standardised(y)


def moons(seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = sklearn.datasets.make_moons(400, noise=0.15, random_state=seed)
    return standardised(X), y


def products(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Exclusive or of the signs of two of five inputs."""
    X = np.random.default_rng(seed).standard_normal((500, 5))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def corners(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The four rows of exclusive or."""
    return np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])


def parity(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """All rows of eight bits, and whether an odd number of them is set."""
    bits = np.random.default_rng(seed).permutation(256)[:, np.newaxis] >> np.arange(8) & 1
    return 2 * bits - 1, bits.sum(axis=1) % 2


def words(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Few rows of many inputs: which of a thousand words are in a text, a hundred for it and a hundred against it."""
    rng = np.random.default_rng(seed)
    X = (rng.random((500, 1000)) < 0.01).astype(float)
    return X, (X[:, :100].sum(axis=1) > X[:, 100:200].sum(axis=1)).astype(int)


def labels_each(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Several labels a row, the last one rare."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((500, 8))
    return X, (X @ rng.standard_normal((8, 4)) > [0, 0, 1, 4]).astype(float)


def tones(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of one of three frequencies, at any phase, with noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 450)
    t, phase = np.arange(24), rng.uniform(0, 2 * np.pi, (450, 1, 1))
    X = np.sin((0.4 + 0.5 * y)[:, np.newaxis, np.newaxis] * t + phase)
    return X + 0.3 * rng.standard_normal(X.shape), y


def weak(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A fifth of the targets' variance is of the inputs, the rest is noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((500, 10))
    y = X @ rng.standard_normal(10)
    return X, y / y.std() + 2 * rng.standard_normal(500)


def one_hot_columns(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A table with categories as columns of 0 and 1, of which one doesn't occur."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 5, 400)
    X = np.hstack([rng.standard_normal((400, 3)), np.eye(6)[kind]])
    return X, (X[:, 0] + np.array([-1, 1, 0, 2, -2])[kind] + 0.3 * rng.standard_normal(400) > 0).astype(int)


def relus(*sizes: int) -> list[Any]:
    return [fb.Dense(size, "relu") for size in sizes]


def tanhs(*sizes: int) -> list[Any]:
    return [fb.Dense(size, "tanh") for size in sizes]


HEALTHY: dict[str, Healthy] = {
    "digits, relu": Healthy(digits, [*relus(64), fb.Dense(10)], "cross_entropy", fb.Adam()),
    "digits not scaled, relu": Healthy(
        digits_raw, [*relus(32, 32), fb.Dense(10, "softmax")], "cross_entropy", fb.Adam()
    ),
    "digits standardised, deep relu": Healthy(
        digits_standardised, [*relus(*[48] * 6), fb.Dense(10)], "cross_entropy", fb.Adam()
    ),
    "digits, squared error of sigmoids": Healthy(
        digits_one_hot, [fb.Dense(30, "sigmoid"), fb.Dense(10, "sigmoid")], "squared_error", fb.SGD(1.0)
    ),
    "digits, mse of one-hot": Healthy(digits_one_hot, [*relus(48), fb.Dense(10)], "mse", fb.Nadam()),
    "digits, convolution": Healthy(
        digit_maps,
        [fb.Conv2D(8, 3, padding="same", activation="relu"), fb.MaxPool2D(2), fb.Flatten(), fb.Dense(10)],
        "cross_entropy",
        fb.Adam(),
        epochs=10,
    ),
    "digits, batch normalisation": Healthy(
        digit_maps,
        [
            *[fb.Conv2D(8, 3, padding="same", bias=False), fb.BatchNorm(), fb.Activation("relu")],
            *[fb.Conv2D(16, 3, 2, "same", bias=False), fb.BatchNorm(), fb.Activation("relu")],
            *[fb.GlobalAvgPool2D(), fb.Dense(10)],
        ],
        "cross_entropy",
        fb.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=1e-4),
        epochs=8,
    ),
    "digits, residual": Healthy(
        digit_maps,
        [
            fb.Conv2D(8, 3, padding="same"),
            *[fb.Residual([fb.BatchNorm(), fb.Activation("relu"), fb.Conv2D(8, 3, padding="same")]) for _ in range(3)],
            *[fb.BatchNorm(), fb.Activation("relu"), fb.GlobalAvgPool2D(), fb.Dense(10)],
        ],
        "cross_entropy",
        fb.AdamW(),
        epochs=8,
    ),
    "digits, label smoothing and dropout": Healthy(
        digits, [*relus(64), fb.Dropout(0.5), fb.Dense(10)], fb.CrossEntropy(0.1), fb.RMSprop(1e-3)
    ),
    "digits, no hidden layer": Healthy(digits, [fb.Dense(10, kernel_init="zeros")], "cross_entropy", fb.SGD(0.1)),
    "wine, tanh": Healthy(wine, [fb.Dense(16, "tanh"), fb.Dense(3)], "cross_entropy", fb.Adam(), epochs=60),
    "wine not scaled, batch normalisation": Healthy(
        wine_raw, [fb.BatchNorm(), fb.Dense(16, "tanh"), fb.Dense(3)], "cross_entropy", fb.Adam(), epochs=60
    ),
    "cancer, one sigmoid": Healthy(
        cancer, [fb.Dense(16, "gelu"), fb.Dense(1, "sigmoid")], "binary_cross_entropy", fb.Adam(), epochs=40
    ),
    "cancer, hinge": Healthy(cancer_signs, [*relus(16), fb.Dense(1)], "hinge", fb.SGD(0.05), epochs=40),
    "cancer, penalties": Healthy(
        cancer,
        [fb.Dense(32, "tanh", l2=1e-3), fb.Dense(1, l2=1e-3)],
        "binary_cross_entropy",
        fb.Adadelta(),
        epochs=40,
    ),
    "diabetes, relu": Healthy(diabetes, [*relus(32, 32), fb.Dense(1)], "mse", fb.Adam()),
    "diabetes, Huber": Healthy(diabetes, [fb.Dense(32, "silu"), fb.Dense(1)], "huber", fb.Adagrad(), epochs=40),
    "diabetes, mean absolute error": Healthy(diabetes, [fb.Dense(16, "elu"), fb.Dense(1)], "mae", fb.Lion(1e-3)),
    "diabetes, a sigmoid of shares": Healthy(
        diabetes_shares, [*relus(16), fb.Dense(1, "sigmoid")], "mse", fb.Adam(3e-3)
    ),
    "counts, Poisson": Healthy(counts, [*relus(16), fb.Dense(1)], "poisson", fb.Adam(), epochs=40),
    "a wave, tanh": Healthy(
        wave, [fb.Dense(32, "tanh"), fb.Dense(32, "tanh"), fb.Dense(1)], "mse", fb.Rprop(), 40, 300
    ),
    "Friedman's first, layer normalisation": Healthy(
        friedman,
        [fb.Dense(32), fb.LayerNorm(), fb.Activation("relu"), *relus(32), fb.Dense(1)],
        "mse",
        fb.Adam(fb.Warmup(fb.CosineDecay(1e-2, steps=400), steps=40)),
    ),
    "two moons": Healthy(moons, [fb.Dense(16, "selu"), *tanhs(16), fb.Dense(2)], "cross_entropy", fb.Nadam(), 60),
    "products of signs": Healthy(products, [*relus(32), fb.Dense(2)], "cross_entropy", fb.Adam(3e-3), 60),
    "exclusive or": Healthy(
        corners, [fb.Dense(8, "tanh"), fb.Dense(1, "sigmoid")], "binary_cross_entropy", fb.Adam(0.05), 200
    ),
    "several labels": Healthy(
        labels_each, [*relus(24), fb.Dense(4)], "binary_cross_entropy", fb.SGD(0.1, momentum=0.9)
    ),
    "tones, convolution": Healthy(
        tones,
        [fb.Conv1D(8, 5, padding="same", activation="relu"), fb.GlobalAvgPool1D(), fb.Dense(3)],
        "cross_entropy",
        fb.Adam(3e-3),
    ),
    "a weak relation": Healthy(weak, [*relus(16), fb.Dense(1)], "squared_error", fb.SGD(0.01)),
    "an output of zeros": Healthy(
        digits, [*relus(32, 32), fb.Dense(10, kernel_init="zeros")], "cross_entropy", fb.SGD(0.1)
    ),
    "frozen features": Healthy(digits, [fb.Dense(100, "relu", trainable=False), fb.Dense(10)], "cross_entropy", None),
    "autoencoder": Healthy(
        digits_again, [*relus(32), fb.Dense(8), *relus(32), fb.Dense(64, "sigmoid")], "mse", fb.Adam(), epochs=10
    ),
    "pixels of bytes, normalised": Healthy(
        digit_bytes,
        [fb.Conv2D(8, 3, bias=False), fb.BatchNorm(), fb.Activation("relu"), fb.GlobalAvgPool2D(), fb.Dense(10)],
        "cross_entropy",
        fb.Adam(3e-3),
        epochs=8,
    ),
    "words": Healthy(words, [*relus(16), fb.Dense(2)], "cross_entropy", fb.Adam()),
    "parity": Healthy(parity, [*relus(64), fb.Dense(2)], "cross_entropy", fb.Adam(3e-3), epochs=150),
    "fine-tuning": Healthy(digits, [*relus(64), fb.Dense(10)], "cross_entropy", fb.Adam(3e-5)),
    "categories": Healthy(one_hot_columns, [*relus(16), fb.Dense(2)], "cross_entropy", "adam"),
}
