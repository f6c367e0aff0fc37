"""MLPClassifier and MLPRegressor beside scikit-learn's: test scores and seconds of a fit, over several seeds.

    FASTBP_DATA=folder python benchmarks/estimators.py [--data digits,wine] [--seeds 5] [--set max_iter=50 ...]

All have the same settings: scikit-learn's defaults, and the seed as random_state. Features are standardised. Each
contestant has a process of its own, and they take turns: every one fits once with a seed before the next seed's turn.
A score is the test accuracy or R², the mean ± standard deviation over the seeds; seconds are the median. A fit of two
iterations before comes on top: it compiles and loads what is needed.

The folder holds adult.npz, california_housing.npz and covertype_100k.npz; without FASTBP_DATA, these are left out.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

SHIPPED = {"digits": 0.25, "breast_cancer": 0.25, "wine": 0.25, "diabetes": 0.25}  # the share that is for the test
REGRESSION = ("diabetes", "california_housing")
CONTESTANTS = {
    "scikit-learn": ("sklearn.neural_network", {}),
    "fastbp": ("fastbp", {}),
    "fastbp, float32": ("fastbp", {"dtype": "float32"}),
}


def _adult(file):
    """Numbers as they are, categories one-hot; split as released."""
    import numpy as np

    def inputs(part):
        codes = zip(file["cat_sizes"], file[f"x_cat_{part}"].T, strict=True)
        return np.hstack([file[f"x_num_{part}"], *(np.eye(size)[code] for size, code in codes)])

    return inputs("train"), inputs("test"), file["y_train"], file["y_test"]


def load(name, folder=None):
    """X_train, X_test, y_train, y_test; features of float64, standardised; folder: where the files are."""
    import numpy as np
    from sklearn import datasets
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    if name in SHIPPED:
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        parts = train_test_split(X, y, test_size=SHIPPED[name], random_state=0)
    else:
        with np.load(Path(folder) / f"{name}.npz", allow_pickle=False) as file:
            if name == "adult":
                parts = _adult(file)
            elif name == "covertype_100k":
                codes = (np.eye(file[key].max() + 1)[file[key]] for key in ("wilderness", "soil"))
                parts = train_test_split(np.hstack([file["x_num"], *codes]), file["y"], test_size=0.2, random_state=0)
            else:
                X, y = file["x"].astype(np.float64), file["y"].astype(np.float64)
                parts = train_test_split(X, y, test_size=0.2, random_state=0)
    scaler = StandardScaler().fit(parts[0])
    return scaler.transform(parts[0]), scaler.transform(parts[1]), *parts[2:]


def contestant(name, data, folder, settings):
    """Fit once for each seed on standard input; say score, iterations and seconds."""
    import importlib

    from sklearn.exceptions import ConvergenceWarning

    warnings.simplefilter("ignore", ConvergenceWarning)  # with scikit-learn's defaults most don't converge
    module, own = CONTESTANTS[name]
    kind = getattr(importlib.import_module(module), "MLPRegressor" if data in REGRESSION else "MLPClassifier")
    X, X_test, y, y_test = load(data, folder)
    kind(**{**own, **settings, "max_iter": 2}).fit(X, y).predict(X_test)
    print(json.dumps({"shape": X.shape}), flush=True)
    for line in sys.stdin:
        model = kind(**own, **settings, random_state=int(line))
        begin = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - begin
        found = {"score": model.score(X_test, y_test), "iterations": model.n_iter_, "seconds": seconds}
        print(json.dumps(found), flush=True)


def compare(data, folder, seeds, settings):
    """(shape of X, {contestant: [what it said for each seed]})."""
    command = [sys.executable, __file__, "--contestant"]
    processes = {
        name: subprocess.Popen(
            [*command, json.dumps([name, data, folder, settings])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in CONTESTANTS
    }

    def answer(process):
        line = process.stdout.readline()
        if not line:
            raise SystemExit("a contestant has ended with an error")
        return json.loads(line)

    shapes = [answer(process)["shape"] for process in processes.values()]
    found = {name: [] for name in processes}
    for seed in range(seeds):
        for name, process in processes.items():
            time.sleep(0.2)  # until the last one's threads have gone to sleep
            print(seed, file=process.stdin, flush=True)
            found[name].append(answer(process))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return shapes[0], found


def row(data, shape, found):
    """A line of the table."""
    median = {name: statistics.median(run["seconds"] for run in runs) for name, runs in found.items()}
    cells = [f"{data} {shape[0]:,} × {shape[1]}"]
    for runs in found.values():
        scores = [run["score"] for run in runs]
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        cells.append(f"{statistics.mean(scores):.3f} ± {spread:.3f}")
    cells.append(" / ".join(f"{statistics.median(run['iterations'] for run in runs):.0f}" for runs in found.values()))
    cells += [f"{seconds:.3f}" for seconds in median.values()]
    cells += [f"{median['scikit-learn'] / seconds:.1f}" for name, seconds in median.items() if name != "scikit-learn"]
    return f"| {' | '.join(cells)} |"


def header():
    """The first two lines of the table."""
    names = list(CONTESTANTS)
    cells = ["data, rows × features", *(f"score {name}" for name in names), "iterations"]
    cells += [f"seconds {name}" for name in names] + [f"times as fast, {name}" for name in names[1:]]
    return f"| {' | '.join(cells)} |\n|---|{'---:|' * (len(cells) - 1)}"


def _setting(text):
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def main():
    if sys.argv[1:2] == ["--contestant"]:
        contestant(*json.loads(sys.argv[2]))
        return
    folder = os.environ.get("FASTBP_DATA")
    names = [*SHIPPED, *(("adult", "california_housing", "covertype_100k") if folder else ())]
    parser = argparse.ArgumentParser(description="Compare with scikit-learn's estimators; print a table.")
    parser.add_argument("--data", default=",".join(names), help=f"some of {','.join(names)} (default: all)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", type=_setting, nargs="*", default=[], metavar="NAME=VALUE", help="settings of all")
    arguments = parser.parse_args()
    print(header(), flush=True)
    for data in arguments.data.split(","):
        print(row(data, *compare(data, folder, arguments.seeds, dict(arguments.set))), flush=True)


if __name__ == "__main__":
    main()
