"""The networks that are benchmarked, as a table, and made-up data for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import fastbp as fb


@dataclass(frozen=True)
class Spec:
    """A dense network, and how it is trained: float32, Adam.

    sizes       inputs, units of each hidden layer, outputs
    activation  of the hidden layers; the last layer is linear
    loss        "mse" or "cross_entropy"
    batch       rows in a step
    steps       steps in an epoch: so many that Python's part of the epoch does not count
    rate        learning rate
    """

    sizes: tuple[int, ...]
    activation: str
    loss: str
    batch: int
    steps: int
    rate: float = 1e-3

    @property
    def rows(self) -> int:
        """Rows in an epoch."""
        return self.batch * self.steps


NETWORKS = {
    "tiny": Spec((4, 32, 32, 1), "relu", "mse", 32, steps=5000),
    "chains": Spec((4, 32, 16, 4), "tanh", "mse", 10_000, steps=20),
    "digits": Spec((64, 64, 10), "relu", "cross_entropy", 64, steps=1000),
    "sigmoid": Spec((30, 100, 50, 2), "sigmoid", "cross_entropy", 100, steps=500),
    "mnist": Spec((784, 128, 10), "relu", "cross_entropy", 64, steps=200),
    "wide": Spec((784, 512, 512, 10), "relu", "cross_entropy", 128, steps=20),
    # Adam's first step moves each of a unit's 2048 weights by the whole rate: 1e-3 is too far.
    "big": Spec((1024, 2048, 2048, 10), "relu", "cross_entropy", 256, steps=4, rate=1e-4),
}


def build(spec: Spec) -> fb.Network:
    """The network, with the same initial values each time."""
    inputs, *hidden, outputs = spec.sizes
    layers = [fb.Dense(units, activation=spec.activation) for units in hidden]
    layers.append(fb.Dense(outputs))
    return fb.Network(layers, (inputs,), loss=spec.loss, optimizer=fb.Adam(spec.rate), dtype="float32", seed=0)


def make_data(spec: Spec, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """X (rows, inputs), and y: labels (rows,) for cross_entropy, values (rows, outputs) for mse.

    Both are the same each time. y depends on X through a random linear map: there is something to learn.
    """
    rng = np.random.default_rng(0)
    inputs, outputs = spec.sizes[0], spec.sizes[-1]
    teacher = rng.standard_normal((inputs, outputs), np.float32) / np.float32(np.sqrt(inputs))
    X = rng.standard_normal((rows, inputs), np.float32)
    y = X @ teacher
    return X, y.argmax(axis=1) if spec.loss == "cross_entropy" else np.tanh(y)
