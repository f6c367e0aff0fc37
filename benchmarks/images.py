"""What convolutional networks learn of images and of speech, how long it takes and how much memory, beside PyTorch.

    FASTBP_DATA=folder python benchmarks/images.py [--sets mnist,fsdd] [--epochs 10] [--seeds 3] [--threads 1]
    python benchmarks/images.py --memory

LeNet-5 (6 and 16 filters 5 × 5, relu, max-pool, 120-84-10) on MNIST and Fashion-MNIST, and a network of three
convolutions with batch normalisation on spoken digits (48 × 32 log-mel). Both libraries have the same settings, those
of SETTINGS, and weights that begin as PyTorch's do: uniform within ±1 / √inputs. Each run has a process of its own, and
they take turns: one of each with a seed before the next seed. The test rows are looked at once, at the end of a run.
Without PyTorch, fastbp runs alone.

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
    """How a set is learnt: AdamW, whose learning rate goes from `rate` to 0 on a cosine; epochs: times --epochs."""

    batch: int
    rate: float
    weight_decay: float = 0.01
    epochs: int = 1


# Those of Fashion-MNIST were chosen by the last 10,000 training rows.
SETTINGS = {
    "mnist": Settings(128, 2e-3),
    "fashion_mnist": Settings(32, 3e-3, weight_decay=0.1),
    "fsdd": Settings(32, 2e-3, epochs=3),
}


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

    begin, layers = dict(kernel_init=fb.initializers.VarianceScaling(1 / 3)), []
    if name == "fsdd":
        for filters in (16, 32, 48):
            layers += [fb.Conv2D(filters, 3, padding="same", bias=False, **begin), fb.BatchNorm()]
            layers += [fb.Activation("relu"), fb.MaxPool2D(2), fb.Dropout(0.1, maps=True)]
        layers += [fb.Flatten(), fb.Dropout(0.3), fb.Dense(10, **begin)]
    else:
        layers += [fb.Conv2D(6, 5, activation="relu", **begin), fb.MaxPool2D(2)]
        layers += [fb.Conv2D(16, 5, activation="relu", **begin), fb.MaxPool2D(2)]
        layers += [fb.Flatten(), fb.Dense(120, "relu", **begin), fb.Dense(84, "relu", **begin), fb.Dense(10, **begin)]
    settings = SETTINGS[name]
    optimizer = fb.AdamW(fb.CosineDecay(settings.rate, steps), weight_decay=settings.weight_decay)
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


def run_fastbp(name, data, epochs, seed, threads):
    """(seconds of training, share of the test rows that are right); threads: None for all cores."""
    import fastbp as fb

    fb.set_num_threads(threads)
    x_train, y_train, x_test, y_test = data
    batch = SETTINGS[name].batch
    net = fastbp_network(name, x_train.shape[1:], epochs * -(-len(x_train) // batch), seed)
    begin = time.perf_counter()
    net.fit(x_train, y_train, epochs=epochs, batch_size=batch, verbose=False)
    return time.perf_counter() - begin, net.evaluate(x_test, y_test)["accuracy"]


def run_torch(name, data, epochs, seed, threads):
    """Likewise."""
    import torch

    torch.set_num_threads(threads or os.cpu_count())
    torch.manual_seed(seed)
    x_train, y_train, x_test, y_test = (torch.tensor(array) for array in data)
    model, (batch, rate, weight_decay, _) = torch_network(name, x_train.shape[1:]), SETTINGS[name]
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-len(x_train) // batch))
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


CONTESTANTS = {"fastbp": ("fastbp", run_fastbp), "PyTorch": ("torch", run_torch)}


# --- memory: the training step of `fastbp bench` ------------------------------------------------------


def peak(who, steps):
    """The peak memory of this process, in MB, after so many steps of LeNet-5."""
    import resource  # not on Windows

    from fastbp.command import bench

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
    who, name, *more = job
    return CONTESTANTS[who][1](name, load(name), *more)


def learning(names, epochs, seeds, threads, contestants):
    heads = "".join(f" {who}, test accuracy | seconds |" for who in contestants)
    print(f"| data, epochs |{heads}\n|---|{'---:|---:|' * len(contestants)}", flush=True)
    for name in names:
        count = epochs * SETTINGS[name].epochs
        runs = [[in_process(who, name, count, seed, threads) for who in contestants] for seed in range(seeds)]
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
    parser.add_argument("--threads", type=int, help="of each (default: all cores)")
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
    learning(args.sets.split(","), args.epochs, args.seeds, args.threads, contestants)


if __name__ == "__main__":
    main()
