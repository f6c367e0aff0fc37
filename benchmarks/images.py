"""Convolutional networks on images and on speech: how well, how fast, beside PyTorch.

    FASTBP_DATA=folder python benchmarks/images.py [--sets mnist,fashion_mnist,fsdd] [--epochs 10] [--seed 0] [--torch]

LeNet-5 (6 and 16 filters 5 × 5, relu, max-pool, 120-84-10) on MNIST and Fashion-MNIST, and a network of three
convolutions with batch normalisation on spoken digits (48 × 32 log-mel); Adam, batches of 128 (of 32 for speech), the
learning rate from 2e-3 to 0 on a cosine. The test rows are looked at once, at the end.

The folder holds mnist.npz, fashion_mnist.npz and fsdd.npz: x_train, y_train, x_test, y_test.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

BATCH = {"mnist": 128, "fashion_mnist": 128, "fsdd": 32}
EPOCHS = {"mnist": 1, "fashion_mnist": 2, "fsdd": 3}  # times what --epochs says
RATE = 2e-3


def load(file):
    """X_train, y_train, X_test, y_test: one channel, mean 0 and variance 1 over the training rows."""
    import numpy as np

    with np.load(file) as data:
        x_train, x_test = (data[name].astype(np.float32)[:, None] for name in ("x_train", "x_test"))
        mean, deviation = x_train.mean(), x_train.std()
        labels = (data[name].astype(np.int64) for name in ("y_train", "y_test"))
        y_train, y_test = labels
    return (x_train - mean) / deviation, y_train, (x_test - mean) / deviation, y_test


def layers_for(name):
    """The layers of fastbp."""
    import fastbp as fb

    if name != "fsdd":
        convolutions = [fb.Conv2D(6, 5, activation="relu"), fb.MaxPool2D(2)]
        convolutions += [fb.Conv2D(16, 5, activation="relu"), fb.MaxPool2D(2)]
        return [*convolutions, fb.Flatten(), fb.Dense(120, "relu"), fb.Dense(84, "relu"), fb.Dense(10)]
    found = []
    for filters in (16, 32, 48):
        found += [fb.Conv2D(filters, 3, padding="same", bias=False), fb.BatchNorm(), fb.Activation("relu")]
        found += [fb.MaxPool2D(2), fb.Dropout(0.1, maps=True)]
    return [*found, fb.Flatten(), fb.Dropout(0.3), fb.Dense(10)]


def torch_model(name, shape):
    """The same in PyTorch."""
    from torch import nn

    if name != "fsdd":
        convolutions = [nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
        dense = [nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
        return nn.Sequential(*convolutions, nn.Flatten(), *dense)
    found, channels = [], 1
    for filters in (16, 32, 48):
        found += [nn.Conv2d(channels, filters, 3, padding="same", bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
        found += [nn.MaxPool2d(2), nn.Dropout2d(0.1)]
        channels = filters
    features = channels * (shape[1] // 8) * (shape[2] // 8)
    return nn.Sequential(*found, nn.Flatten(), nn.Dropout(0.3), nn.Linear(features, 10))


def run_fastbp(name, data, epochs, seed):
    """(seconds of training, share of the test rows that are right)."""
    import fastbp as fb

    x_train, y_train, x_test, y_test = data
    steps = epochs * -(-len(x_train) // BATCH[name])
    optimizer = fb.Adam(fb.CosineDecay(RATE, steps))
    net = fb.Network(layers_for(name), x_train.shape[1:], loss="cross_entropy", optimizer=optimizer, seed=seed)
    begin = time.perf_counter()
    net.fit(x_train, y_train, epochs=epochs, batch_size=BATCH[name], verbose=False)
    return time.perf_counter() - begin, net.evaluate(x_test, y_test)["accuracy"]


def run_torch(name, data, epochs, seed):
    """Likewise."""
    import torch

    torch.manual_seed(seed)
    x_train, y_train, x_test, y_test = (torch.tensor(array) for array in data)
    model, batch = torch_model(name, x_train.shape[1:]), BATCH[name]
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    steps = epochs * -(-len(x_train) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    begin = time.perf_counter()
    for _ in range(epochs):
        for rows in torch.randperm(len(x_train)).split(batch):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x_train[rows]), y_train[rows]).backward()
            optimizer.step()
            schedule.step()
    seconds = time.perf_counter() - begin
    model.eval()
    with torch.no_grad():
        right = torch.cat([model(x).argmax(1) for x in x_test.split(256)]) == y_test
    return seconds, right.double().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join(BATCH))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--torch", action="store_true", help="train with PyTorch too")
    args = parser.parse_args()
    if "FASTBP_DATA" not in os.environ:
        sys.exit("FASTBP_DATA must name the folder with the data")
    for name in args.sets.split(","):
        data, epochs = load(Path(os.environ["FASTBP_DATA"]) / f"{name}.npz"), args.epochs * EPOCHS[name]
        for who, run in (("fastbp", run_fastbp), ("PyTorch", run_torch))[: 1 + args.torch]:
            seconds, accuracy = run(name, data, epochs, args.seed)
            right = f"{accuracy:.2%} of the test rows right"
            print(f"{name}: {who}, {epochs} epochs in {seconds:.1f} s, {right}", flush=True)


if __name__ == "__main__":
    main()
