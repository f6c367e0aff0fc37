"""How fast networks predict."""

from __future__ import annotations

import warnings

import numpy as np
from numba import njit
from sklearn import neural_network
from sklearn.datasets import load_digits

import fastbp as fb

from . import reference
from .networks import NETWORKS, build, make_data


class Prediction:
    """Predict 1000 rows: one by one, in 1000 calls, or all in one.

    So many calls because asv may time a benchmark that has a setup by single calls, and one row takes
    microseconds; and the same rows, so that the two show what a call costs.
    """

    params = (("tiny", "digits", "mnist", "wide"), (1, 1000))
    param_names = ("network", "rows in a call")

    def setup(self, network, rows):
        spec = NETWORKS[network]
        X, _ = make_data(spec, 1000)
        self.net = build(spec)
        self.calls = [X[i : i + rows] for i in range(0, len(X), rows)]
        # Compiles or loads the code and allocates the workspace, too.
        x = self.calls[0]
        np.testing.assert_allclose(self.net.predict(x), reference.predict(spec, self.net, x), rtol=1e-4, atol=1e-5)

    def time_predict(self, network, rows):
        for x in self.calls:
            self.net.predict(x)


@njit
def _predict_rows(h, X, out):
    for i in range(len(X)):
        fb.jit.predict(h, X[i], out[i])


class OneRow:
    """Predict 1000 rows one by one through a handle: from Python, and inside @njit."""

    params = ("tiny", "digits", "mnist")
    param_names = ("network",)

    def setup(self, network):
        spec = NETWORKS[network]
        self.X, _ = make_data(spec, 1000)
        self.net = build(spec)
        self.handle = self.net.handle()
        self.out = np.empty((1000, spec.sizes[-1]), np.float32)
        _predict_rows(self.handle, self.X, self.out)
        np.testing.assert_allclose(self.out, self.net.predict(self.X), rtol=1e-5, atol=1e-6)
        self.rows, self.outs = list(self.X), list(self.out)
        fb.jit.predict(self.handle, self.rows[0], self.outs[0])

    def time_from_python(self, network):
        for x, out in zip(self.rows, self.outs, strict=True):
            fb.jit.predict(self.handle, x, out)

    def time_in_njit(self, network):
        _predict_rows(self.handle, self.X, self.out)


class EstimatorOneRow:
    """Predict 300 rows of scikit-learn's digits one by one, with estimators of fastbp and of scikit-learn.

    Both have the same weights, of 100 hidden units, and compute in float64.
    """

    params = (
        ("MLPClassifier.predict", "MLPClassifier.predict_proba", "MLPRegressor.predict"),
        ("fastbp", "scikit-learn"),
    )
    param_names = ("method", "library")

    def setup(self, method, library):
        kind, name = method.split(".")
        X, y = load_digits(return_X_y=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a training that is too short to converge
            theirs = getattr(neural_network, kind)(max_iter=2, random_state=0).fit(X, y)
        ours = getattr(fb, kind).from_sklearn(theirs)
        np.testing.assert_allclose(getattr(ours, name)(X), getattr(theirs, name)(X), rtol=1e-9, atol=1e-12)
        self.method = getattr({"fastbp": ours, "scikit-learn": theirs}[library], name)
        self.calls = [X[i : i + 1] for i in range(300)]
        self.method(self.calls[0])

    def time_one_row(self, method, library):
        for x in self.calls:
            self.method(x)
