"""How fast networks train, with how much memory, and what they learn."""

from __future__ import annotations

import math

import numpy as np

import fastbp as fb

from . import reference
from .networks import CONVOLUTIONS, NETWORKS, build, make_data


class Training:
    """An epoch without shuffling: Spec.steps steps, 5000 of `tiny` to 4 of `big` (see networks.py)."""

    params = tuple(NETWORKS)
    param_names = ("network",)

    def setup_cache(self):
        # In a process of its own, as what the compiler and the reference take would count in peakmem_epoch.
        for spec in NETWORKS.values():
            net = build(spec)
            X, y = make_data(spec, spec.batch)
            reference.check(spec, net, X, y)
            net.train_on_batch(X, y)

    setup_cache.timeout = 600

    def setup(self, network):
        spec = NETWORKS[network]
        self.batch = spec.batch
        self.X, self.y = make_data(spec, spec.rows)
        self.net = build(spec)
        # Loads the compiled code and allocates the workspace, too.
        first = self.net.train_on_batch(self.X[: spec.batch], self.y[: spec.batch])
        second = self.net.train_on_batch(self.X[: spec.batch], self.y[: spec.batch])
        assert second < first, f"the loss went from {first} to {second}"

    def time_epoch(self, network):
        self.net.fit(self.X, self.y, batch_size=self.batch, shuffle=False, verbose=False)

    def peakmem_epoch(self, network):
        self.net.fit(self.X, self.y, batch_size=self.batch, shuffle=False, verbose=False)


class Convolutions:
    """Likewise for convolutional networks: 16 to 20 steps."""

    params = tuple(CONVOLUTIONS)
    param_names = ("network",)

    def setup_cache(self):
        for spec in CONVOLUTIONS.values():
            net = build(spec)
            X, y = make_data(spec, spec.batch)
            reference.check_maps(spec, net, X[:20], y[:20])
            net.train_on_batch(X, y)

    setup_cache.timeout = 600

    def setup(self, network):
        spec = CONVOLUTIONS[network]
        self.batch = spec.batch
        self.X, self.y = make_data(spec, spec.rows)
        self.net = build(spec)
        for _ in range(2):
            self.net.train_on_batch(self.X[: spec.batch], self.y[: spec.batch])

    def time_epoch(self, network):
        self.net.fit(self.X, self.y, batch_size=self.batch, shuffle=False, verbose=False)

    def peakmem_epoch(self, network):
        self.net.fit(self.X, self.y, batch_size=self.batch, shuffle=False, verbose=False)


class Options:
    """An epoch of the network `digits` with what may be added to its training, one at a time."""

    params = ("plain", "gelu", "dropout", "l2", "clip_value", "clip_norm", "schedule", "nadam", "own activation", "ema")
    param_names = ("option",)

    def setup_cache(self):
        X, y = make_data(NETWORKS["digits"], NETWORKS["digits"].batch)
        for option in self.params:  # compile in a process of its own
            self._network(option).train_on_batch(X, y)
        self._network("ema").fit(X, y, callbacks=[fb.EMA()], verbose=False)

    setup_cache.timeout = 600

    def _network(self, option):
        activation = {"gelu": "gelu", "own activation": fb.CustomActivation(_bent, _bent_slope)}.get(option, "relu")
        layers = [
            fb.Dense(64, activation, l2=1e-5 * (option == "l2")),
            fb.Dropout(0.2 * (option == "dropout")),
            fb.Dense(10),
        ]
        clip = {option: 1.0} if option.startswith("clip") else {}
        rate = fb.CosineDecay(1e-3, 10_000) if option == "schedule" else 1e-3
        optimizer = (fb.Nadam if option == "nadam" else fb.Adam)(rate, **clip)
        return fb.Network(layers, (64,), loss="cross_entropy", optimizer=optimizer, seed=0)

    def setup(self, option):
        spec = NETWORKS["digits"]
        self.batch = spec.batch
        self.X, self.y = make_data(spec, spec.rows)
        self.net = self._network(option)
        self.callbacks = [fb.EMA()] if option == "ema" else []
        first = self.net.train_on_batch(self.X[: spec.batch], self.y[: spec.batch])
        second = self.net.evaluate(self.X[: spec.batch], self.y[: spec.batch])["loss"]
        assert second < first, f"the loss went from {first} to {second}"

    def time_epoch(self, option):
        self.net.fit(self.X, self.y, batch_size=self.batch, shuffle=False, callbacks=self.callbacks, verbose=False)


def _bent(z):
    return z + math.sin(z) / 2


def _bent_slope(z):
    return 1 + math.cos(z) / 2


class Learning:
    """What is learnt of scikit-learn's 8×8 digits: 1437 to train on, 360 to test."""

    unit = "fraction of the test rows"

    def setup(self):
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(X))
        X, y = (X[order] / 16).astype(np.float32), y[order]
        self.train, self.test = (X[:1437], y[:1437]), (X[1437:], y[1437:])
        self.net = build(NETWORKS["digits"])

    def track_digits_accuracy(self):
        """Test accuracy after 20 epochs."""
        self.net.fit(*self.train, epochs=20, batch_size=NETWORKS["digits"].batch, verbose=False)
        return self.net.evaluate(*self.test)["accuracy"]
