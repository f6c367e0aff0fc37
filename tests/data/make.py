"""Made the models in this folder, with the version that they are named after, and what they must give.

    python tests/data/make.py VERSION      writes VERSION-*.npz; none that is there is overwritten

tests/test_files.py loads those of every version. `expected` holds, for each model, the rows X with targets y, the
predictions for X, and the parameters after one more epoch of four batches of them.
"""

import sys
from pathlib import Path

import numpy as np

import fastbp as fb

FOLDER = Path(__file__).parent
CALLBACKS = {"checkpoint": lambda: [fb.EarlyStopping("loss", 2), fb.ReduceOnPlateau("loss", patience=0)]}


def networks():
    cosine = fb.SGD(fb.Warmup(fb.CosineDecay(0.1, 40), 3), momentum=0.9, clip_norm=1.0)
    many = [fb.Dense(6, "gelu", l2=0.01), fb.Dropout(0.3), fb.Dense(4, "tanh", trainable=False, bias_init=0.1)]
    yield "adam", fb.Network([fb.Dense(5, "relu"), fb.Dense(3)], (4,), loss="cross_entropy", seed=1)
    yield "dropout", fb.Network([*many, fb.Dense(2)], (4,), loss=fb.Huber(0.5), optimizer=cosine, seed=2)
    layers = [fb.Dense(5, "sigmoid", learning_rate=0.5), fb.Activation("silu"), fb.Dense(1)]
    yield "double", fb.Network(layers, (4,), loss="mse", optimizer=fb.RMSprop(0.01), dtype="float64", seed=3)
    yield "checkpoint", fb.Network([fb.Dense(3)], (4,), loss="cross_entropy", optimizer=fb.Adam(0.01), seed=4)


def epoch(net, X, y, **options):
    return net.fit(X, y, batch_size=8, shuffle=False, verbose=False, **options)


def main(version):
    expected = {}
    rng = np.random.default_rng(0)
    for name, net in networks():
        path = FOLDER / f"{version}-{name}.npz"
        if path.exists():
            sys.exit(f"{path} is there")
        X = rng.standard_normal((32, 4)).astype(net.dtype)
        labels = net.loss.name == "cross_entropy"
        y = rng.integers(0, 3, 32) if labels else rng.standard_normal((32, *net.output_shape)).astype(net.dtype)
        callbacks = CALLBACKS.get(name, list)()
        epoch(net, X, y, epochs=3, callbacks=[*callbacks, fb.Checkpoint(path)] if callbacks else [])
        if not callbacks:
            net.save(path)
        net = fb.load(path)
        expected |= {f"{name}.X": X, f"{name}.y": y, f"{name}.predictions": net.predict(X)}
        epoch(net, X, y)
        expected[f"{name}.next"] = net.params.copy()
    np.savez_compressed(FOLDER / f"{version}-expected.npz", **expected)


if __name__ == "__main__":
    main(*sys.argv[1:])
