"""Data larger than memory: how much memory, and how long, an epoch over a memory map takes.

    python benchmarks/memmap.py [--gigabytes 20] [--folder FOLDER]

A sparse file of rows of 1000 float32, all zeros, that takes next to nothing on the disk; a network 1000-8-1 with the
mean squared error and batches of 500. The peak counts mapped pages of the file, too, and may be 500 MB.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

FEATURES, BATCH, LIMIT = 1000, 500, 500


def peak():
    """The most memory that this process had, in MB."""
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main():
    parser = argparse.ArgumentParser(description="Train an epoch on a large sparse file; print a table.")
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--folder", default=None, help="where the file goes for that time (default: the system's)")
    arguments = parser.parse_args()

    import numpy as np

    import fastbp as fb

    net = fb.Network([fb.Dense(8, activation="relu"), fb.Dense(1)], (FEATURES,), loss="mse", seed=0)
    net.fit(np.zeros((BATCH, FEATURES), np.float32), np.zeros(BATCH), batch_size=BATCH, verbose=False)  # compiles
    print("| what | rows | seconds | peak memory, MB |", "|---|---|---|---|", sep="\n")
    print(f"| before | 0 | | {peak():.0f} |")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        rows = int(arguments.gigabytes * 1e9 / 4 / FEATURES)
        X = np.memmap(Path(folder) / "x.bin", np.float32, "w+", shape=(rows, FEATURES))
        y = np.memmap(Path(folder) / "y.bin", np.float32, "w+", shape=rows)
        calls = {
            "fit, with the check of all values": lambda: net.fit(X, y, batch_size=BATCH, verbose=False),
            "evaluate": lambda: net.evaluate(X, y),
            "predict": lambda: net.predict(X),
        }
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            print(f"| {name} | {rows:,} | {time.perf_counter() - begin:.1f} | {peak():.0f} |", flush=True)
    return int(peak() > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
