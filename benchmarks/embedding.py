"""Networks inside other compiled code: what a row costs, and how training many at once scales."""

from __future__ import annotations

import time

import numpy as np
from numba import get_num_threads, njit, prange, set_num_threads
from numba.typed import List

import fastbp as fb
from fastbp.simd.memory import call_c

ROWS = 1000


@njit
def _predict_rows(h, X, out):
    for i in range(len(X)):
        fb.jit.predict(h, X[i : i + 1], out[i : i + 1])


@njit
def _train_rows(h, X, y):
    for i in range(len(X)):
        fb.jit.train_step(h, X[i : i + 1], y[i : i + 1])


@njit
def _apply_rows(h, X, y, grad):
    for i in range(len(X)):
        fb.jit.value_and_grad(h, X[i : i + 1], y[i : i + 1], grad)
        fb.jit.apply_gradients(h, grad)


@njit
def _input_jacobians(h, X, out):
    for i in range(len(X)):
        fb.jit.input_jacobian(h, X[i : i + 1], out[i])


@njit
def _call_rows(function, handle, x, width, rows, out):
    for i in range(rows):
        call_c(function, (handle, x + i * width, 1, out + 4 * i))


@njit(parallel=True)
def _train_all(handles, X, y, order, epochs):
    for i in prange(len(handles)):
        for _ in range(epochs):
            fb.jit.train_epoch(handles[np.int64(i)], X, y, order)


class OneRow:
    """1000 rows, one by one, of the network `tiny`, 4-32-32-1."""

    def setup(self):
        layers = [fb.Dense(32, "relu"), fb.Dense(32, "relu"), fb.Dense(1)]
        self.net = fb.Network(layers, (4,), loss="mse", seed=0)
        rng = np.random.default_rng(0)
        self.X = rng.standard_normal((ROWS, 4), np.float32)
        self.y, self.out = self.X[:, :1].copy(), np.empty((ROWS, 1), np.float32)
        self.h, self.pointers = self.net.handle(), self.net.c_pointers()
        self.slopes, self.grad = np.empty((ROWS, 4), np.float32), np.empty_like(self.net.params)
        self.time_input_jacobian()
        self.time_train_step()
        self.time_apply_gradients()
        for predict in (self.time_predict, self.time_predict_by_c_pointer):
            self.out[:] = 0
            predict()
            np.testing.assert_allclose(self.out, self.net.predict(self.X), rtol=1e-5, atol=1e-6)

    def time_predict(self):
        _predict_rows(self.h, self.X, self.out)

    def time_predict_by_c_pointer(self):
        """The function that a C program calls."""
        p = self.pointers
        function = np.frombuffer(p, np.int64)[type(p).predict.offset // 8]
        _call_rows(function, p.handle, self.X.ctypes.data, 16, ROWS, self.out.ctypes.data)

    def time_input_jacobian(self):
        _input_jacobians(self.h, self.X, self.slopes)

    def time_train_step(self):
        _train_rows(self.h, self.X, self.y)

    def time_apply_gradients(self):
        """The same step in two: the gradient, and the step with it."""
        _apply_rows(self.h, self.X, self.y, self.grad)


class Ensembles:
    """16 networks 64-64-10 on 1437 rows, 20 epochs."""

    def setup(self):
        rng = np.random.default_rng(0)
        self.X, self.y = rng.random((1437, 64), np.float32), rng.integers(0, 10, 1437)
        net = fb.Network([fb.Dense(64, "relu"), fb.Dense(10)], (64,), loss="cross_entropy", seed=0)
        self.ensemble = fb.Ensemble(net, 16)
        self.ensemble.fit(self.X, self.y, verbose=False)

    def teardown(self):
        fb.set_num_threads(None)

    def _seconds(self, threads):
        fb.set_num_threads(threads)
        begin = time.perf_counter()
        self.ensemble.fit(self.X, self.y, epochs=20, verbose=False)
        return time.perf_counter() - begin

    def time_fit(self):
        self.ensemble.fit(self.X, self.y, epochs=20, verbose=False)

    def track_share_of_perfect_scaling(self):
        """On all threads, the best of three; 1 is perfect."""
        fb.set_num_threads(None)
        threads = fb.get_num_threads()
        one, all_ = (min(self._seconds(n) for _ in range(3)) for n in (1, threads))
        return one / all_ / threads

    track_share_of_perfect_scaling.unit = "of perfect"


class UsersLoop:
    """64 networks 4-32-32-1 on 256 rows in batches of 32, trained in a prange that is not fastbp's."""

    networks, epochs = 64, 50

    def setup(self):
        rng = np.random.default_rng(0)
        self.X = rng.standard_normal((256, 4), np.float32)
        self.y, self.order = np.tanh(self.X[:, :1] * self.X[:, 1:2]), np.arange(256)
        nets = [self._build(seed) for seed in range(self.networks)]
        self.handles = List([net.handle(rows=32) for net in nets])
        _train_all(self.handles, self.X, self.y, self.order, 1)
        for seed, net in enumerate(nets):
            alone = self._build(seed)
            alone.fit(self.X, self.y, batch_size=32, shuffle=False, verbose=False)
            assert (net.params == alone.params).all()

    def _build(self, seed):
        layers = [fb.Dense(32, "relu"), fb.Dense(32, "relu"), fb.Dense(1)]
        return fb.Network(layers, (4,), loss="mse", seed=seed)

    def _seconds(self, threads):
        all_ = get_num_threads()
        set_num_threads(threads)
        begin = time.perf_counter()
        self.time_train()
        seconds = time.perf_counter() - begin
        set_num_threads(all_)
        return seconds

    def time_train(self):
        _train_all(self.handles, self.X, self.y, self.order, self.epochs)

    def track_share_of_perfect_scaling(self):
        """On all threads, the best of five; 1 is perfect."""
        threads = get_num_threads()
        one, all_ = (min(self._seconds(n) for _ in range(5)) for n in (1, threads))
        return one / all_ / threads

    track_share_of_perfect_scaling.unit = "of perfect"
