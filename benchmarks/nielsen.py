"""The MNIST networks of Nielsen, "Neural Networks and Deep Learning" (2015), chapter 1: how well, how fast.

    FASTBP_DATA=folder python benchmarks/nielsen.py [--epochs 30] [--seed 0]

784-30-10 and 784-100-10, sigmoid in both layers, squared error on one-hot targets, plain SGD with the learning
rate 3 and batches of 10, on the first 50,000 training images (the book keeps the other 10,000 for validation).
The book reports the best epoch's test accuracy: 95.42 % with 30 hidden units, 96.59 % with 100.

The folder holds mnist.npz: x_train (60000, 28, 28) uint8, y_train (60000,), and x_test, y_test of 10,000 images.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

HIDDEN = (30, 100)
TRAINING_ROWS = 50_000


def load(file):
    """X_train, y_train (one-hot), X_test, y_test (labels); pixels from 0 to 1."""
    import numpy as np

    with np.load(file) as data:
        x_train, x_test = (
            x.reshape(len(x), 784).astype(np.float32) / 255 for x in (data["x_train"][:TRAINING_ROWS], data["x_test"])
        )
        return x_train, np.eye(10, dtype=np.float32)[data["y_train"][:TRAINING_ROWS]], x_test, data["y_test"]


class Accuracy:
    """Callback: the test accuracy after each epoch, and the seconds that finding it took."""

    def __init__(self, X, y):
        self.X, self.y = X, y
        self.accuracies = []
        self.seconds = 0.0

    def on_epoch_end(self, net, epoch, logs):
        begin = time.perf_counter()
        self.accuracies.append(float((net.predict(self.X).argmax(axis=1) == self.y).mean()))
        self.seconds += time.perf_counter() - begin


def train(hidden, data, epochs, seed):
    """The test accuracy after each epoch, and the seconds of training."""
    import fastbp as fb

    x_train, y_train, x_test, y_test = data
    net = fb.Network(
        [fb.Dense(hidden, activation="sigmoid"), fb.Dense(10, activation="sigmoid")],
        (784,),
        loss="squared_error",
        optimizer=fb.SGD(3.0),
        seed=seed,
    )
    net.value_and_grad(x_train[:10], y_train[:10])  # compiles: that is not training
    test = Accuracy(x_test, y_test)
    history = net.fit(x_train, y_train, epochs=epochs, batch_size=10, callbacks=[test])
    return test.accuracies, history.seconds - test.seconds


def main():
    parser = argparse.ArgumentParser(description="Train Nielsen's MNIST networks; print a table.")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    file = Path(os.environ.get("FASTBP_DATA", "")) / "mnist.npz"
    if "FASTBP_DATA" not in os.environ or not file.is_file():
        print("set FASTBP_DATA to a folder that holds mnist.npz", file=sys.stderr)
        return 2
    data = load(file)
    table = [
        "| network | epochs | test accuracy, last epoch | test accuracy, best epoch | training, seconds |",
        "|---|---|---|---|---|",
    ]
    for hidden in HIDDEN:
        accuracies, seconds = train(hidden, data, arguments.epochs, arguments.seed)
        last, best = accuracies[-1], max(accuracies)
        when = accuracies.index(best) + 1
        table.append(
            f"| 784-{hidden}-10 | {len(accuracies)} | {last:.2%} | {best:.2%} (epoch {when}) | {seconds:.1f} |"
        )
    print("\n".join(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
