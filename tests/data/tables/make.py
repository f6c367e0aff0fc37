"""Made the models in this folder with `fastbp train`, and what `fastbp predict` must write for them.

    python tests/data/tables/make.py VERSION      writes VERSION-*; none that is there is overwritten

tests/test_tables.py predicts with those of every version.
"""

import sys
from pathlib import Path

import numpy as np

from fastbp.command import cli

FOLDER = Path(__file__).parent
CASES = {  # the data, and options
    "named": ("named.csv", []),  # a header line, names of classes
    "numbered": ("numbered.csv", ["--target", "2", "--task", "regression"]),  # no header line
    "arrays": ("arrays.npz", []),
}


def write_data():
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(60, 3)) * [1, 10, 0.1] + [0, 50, 7]).round(3)
    classes = np.where(X[:, 1] > 50, "high: ½", "low")
    named = [f"{a},{b},{c},{name}" for (a, b, c), name in zip(X.tolist(), classes, strict=True)]
    (FOLDER / "named.csv").write_text("\n".join(["a,b,c,level", *named, ""]), encoding="utf-8")
    numbered = [f"{a},{2 * b - a:.3f},{b}" for a, b, _ in X.tolist()]
    (FOLDER / "numbered.csv").write_text("\n".join([*numbered, ""]))
    np.savez(FOLDER / "arrays.npz", X=X.reshape(60, 3, 1), y=X[:, 0] > 0)


def main(version):
    write_data()
    for name, (data, options) in CASES.items():
        model, predictions = FOLDER / f"{version}-{name}.model", FOLDER / f"{version}-{name}.csv"
        if model.exists():
            sys.exit(f"{model} is there")
        train = ["train", str(FOLDER / data), "--hidden", "3", "--epochs", "20", "--quiet", "--no-plot"]
        assert cli.main([*train, *options, "--save", str(model)]) == 0
        assert cli.main(["predict", str(model), str(FOLDER / data), "--output", str(predictions)]) == 0


if __name__ == "__main__":
    main(*sys.argv[1:])
