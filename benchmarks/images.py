"""What convolutional networks learn of images and of speech, how long it takes and how much memory, beside PyTorch.

    FASTBP_DATA=folder python benchmarks/images.py [--sets mnist,fsdd] [--epochs 10] [--seeds 3]
    python benchmarks/images.py --memory

LeNet-5 (6 and 16 filters 5 × 5, relu, max-pool, 120-84-10) on MNIST and Fashion-MNIST, and a network of three
convolutions with batch normalisation on spoken digits (48 × 32 log-mel); the settings of each are in SETTINGS, the
same for both libraries. Each run has a process of its own, and they take turns: one of each with a seed before the
next seed. The test rows are looked at once, at the end of a run. Without PyTorch, fastbp runs alone.

--memory: the peak of a process that trains LeNet-5 at batch 128, above that of one that only imports the library and
makes the data.

The folder holds mnist.npz, fashion_mnist.npz and fsdd.npz: x_train, y_train, x_test, y_test.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Settings(NamedTuple):
    """How a set is learnt: Adam, whose learning rate goes from `rate` to 0 on a cosine.

    epochs  times what --epochs says; flip: whether training images are turned round with probability ½
    """

    batch: int
    rate: float
    epochs: int = 1
    flip: bool = False


SETTINGS = {"mnist": Settings(128, 2e-3), "fashion_mnist": Settings(128, 2e-3), "fsdd": Settings(32, 2e-3, epochs=3)}


def load(name):
    """X_train, y_train, X_test, y_test: one channel, mean 0 and variance 1 over the training rows."""
    import numpy as np

    with np.load(Path(os.environ["FASTBP_DATA"]) / f"{name}.npz") as data:
        x_train, x_test = (data[part].astype(np.float32)[:, None] for part in ("x_train", "x_test"))
        mean, deviation = x_train.mean(), x_train.std()
        y_train, y_test = (data[part].astype(np.int64) for part in ("y_train", "y_test"))
    return (x_train - mean) / deviation, y_train, (x_test - mean) / deviation, y_test


def fastbp_network(name, shape, steps, seed):
    """The network of fastbp; steps: of the whole training."""
    import fastbp as fb

    layers = []
    if name == "fsdd":
        for filters in (16, 32, 48):
            layers += [fb.Conv2D(filters, 3, padding="same", bias=False), fb.BatchNorm(), fb.Activation("relu")]
            layers += [fb.MaxPool2D(2), fb.Dropout(0.1, maps=True)]
        layers += [fb.Flatten(), fb.Dropout(0.3), fb.Dense(10)]
    else:
        layers += [fb.Conv2D(6, 5, activation="relu"), fb.MaxPool2D(2)]
        layers += [fb.Conv2D(16, 5, activation="relu"), fb.MaxPool2D(2)]
        layers += [fb.Flatten(), fb.Dense(120, "relu"), fb.Dense(84, "relu"), fb.Dense(10)]
    optimizer = fb.Adam(fb.CosineDecay(SETTINGS[name].rate, steps))
    return fb.Network(layers, shape, loss="cross_entropy", optimizer=optimizer, seed=seed)


def torch_network(name, shape):
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
    batch, flips = SETTINGS[name].batch, [fb.Flip()] if SETTINGS[name].flip else []
    net = fastbp_network(name, x_train.shape[1:], epochs * -(-len(x_train) // batch), seed)
    begin = time.perf_counter()
    net.fit(x_train, y_train, epochs=epochs, batch_size=batch, callbacks=flips, verbose=False)
    return time.perf_counter() - begin, net.evaluate(x_test, y_test)["accuracy"]


def run_torch(name, data, epochs, seed):
    """Likewise."""
    import torch

    torch.manual_seed(seed)
    x_train, y_train, x_test, y_test = (torch.tensor(array) for array in data)
    model, (batch, rate, _, flip) = torch_network(name, x_train.shape[1:]), SETTINGS[name]
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-len(x_train) // batch))
    begin = time.perf_counter()
    for _ in range(epochs):
        for rows in torch.randperm(len(x_train)).split(batch):
            x = x_train[rows]
            if flip:
                x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(3), x)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y_train[rows]).backward()
            optimizer.step()
            schedule.step()
    seconds = time.perf_counter() - begin
    model.eval()
    with torch.no_grad():
        right = torch.cat([model(x).argmax(1) for x in x_test.split(256)]) == y_test
    return seconds, right.double().mean().item()


CONTESTANTS = {"fastbp": ("fastbp", run_fastbp), "PyTorch": ("torch", run_torch)}


# --- memory: the training step of `fastbp bench` ------------------------------------------------------


def peak(who, steps):
    """The peak memory of this process, in MB, after so many steps of LeNet-5."""
    import resource  # not on Windows

    from fastbp import bench

    spec = bench.NETWORKS["lenet"]
    data = bench.make_data(spec, spec.rows)
    importlib.import_module(CONTESTANTS[who][0])
    if steps:
        bench.CONTESTANTS[who][1](spec, *data)(steps)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


# --- the processes ------------------------------------------------------------------------------------


def in_process(*job):
    """What this script answers to a job, in a new process."""
    done = subprocess.run(
        [sys.executable, __file__, "--job", json.dumps(job)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def answer(job):
    if job[0] == "peak":
        return peak(*job[1:])
    who, name, epochs, seed = job
    return CONTESTANTS[who][1](name, load(name), epochs, seed)


def learning(names, epochs, seeds, contestants):
    heads = "".join(f" {who}, test accuracy | seconds |" for who in contestants)
    print(f"| data, epochs |{heads}\n|---|{'---:|---:|' * len(contestants)}", flush=True)
    for name in names:
        count = epochs * SETTINGS[name].epochs
        runs = [[in_process(who, name, count, seed) for who in contestants] for seed in range(seeds)]
        cells = []
        for found in zip(*runs, strict=True):
            accuracies = [accuracy for _, accuracy in found]
            spread = f" ({min(accuracies):.2%} to {max(accuracies):.2%})" if seeds > 1 else ""
            cells += [f"{statistics.mean(accuracies):.2%}{spread}", f"{statistics.median(s for s, _ in found):.1f}"]
        print(f"| {name}, {count} | {' | '.join(cells)} |", flush=True)


def memory(contestants):
    print("| LeNet-5, batch 128 | peak, MB | above the import, MB |\n|---|---:|---:|")
    for who in contestants:
        bare, trained = in_process("peak", who, 0), in_process("peak", who, 100)
        print(f"| {who} | {trained:.0f} | {trained - bare:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join(SETTINGS))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="peak memory instead")
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job is not None:
        print(json.dumps(answer(args.job)))
        return
    contestants = [who for who, (package, _) in CONTESTANTS.items() if importlib.util.find_spec(package)]
    if args.memory:
        memory(contestants)
        return
    if "FASTBP_DATA" not in os.environ:
        sys.exit("FASTBP_DATA must name the folder with the data")
    learning(args.sets.split(","), args.epochs, args.seeds, contestants)


if __name__ == "__main__":
    main()
