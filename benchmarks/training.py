"""How fast networks train, with how much memory, and what they learn."""

from __future__ import annotations

import numpy as np

from . import reference
from .networks import NETWORKS, build, make_data


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
