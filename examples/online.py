"""Online learning: a stream of rows, each predicted first and then learnt from, one at a time, in compiled code."""

from __future__ import annotations

import time

import numpy as np
from numba import njit

import fastbp as fb

SENSORS = 8


@njit
def stream(h, rows, seed):
    """The mean squared error of the predictions of each tenth of the stream.

    What is to be predicted is a wave of a weighted sum of the sensors; the weights drift, so the network must go on
    learning.
    """
    np.random.seed(seed)
    weights = np.random.normal(0, 0.7, SENSORS)
    x, y, out = np.empty((1, SENSORS), np.float32), np.empty((1, 1), np.float32), np.empty(1, np.float32)
    errors = np.zeros(10)
    for row in range(rows):
        for i in range(SENSORS):
            weights[i] += np.random.normal(0, 1e-4)
            x[0, i] = np.random.normal(0, 0.5)
        total = 0.0
        for i in range(SENSORS):
            total += weights[i] * x[0, i]
        y[0, 0] = np.sin(total)
        fb.jit.predict(h, x, out)
        errors[row * 10 // rows] += (out[0] - y[0, 0]) ** 2 * 10 / rows
        fb.jit.train_step(h, x, y)
    return errors


def build() -> fb.Network:
    layers = [fb.Dense(32, "tanh"), fb.Dense(1)]
    return fb.Network(layers, (SENSORS,), loss="mse", optimizer=fb.SGD(0.05), seed=0)


def main() -> None:
    stream(build().handle(), 10, 0)  # compiles
    rows, h = 300_000, build().handle()
    begin = time.perf_counter()
    errors = stream(h, rows, 0)
    seconds = time.perf_counter() - begin
    print("error by tenths of the stream:", *(f"{error:.4f}" for error in errors))
    print(f"{rows / seconds:,.0f} rows per second, each predicted and then learnt from")


if __name__ == "__main__":
    main()
