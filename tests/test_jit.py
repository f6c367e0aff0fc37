"""Networks inside @njit code: the same predictions, no allocation, clear errors."""

import copy
import pickle

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

import fastbp as fb


def make(dtype="float32", loss="cross_entropy"):
    return fb.Network([fb.Dense(9, "tanh"), fb.Dense(3)], (5,), loss=loss, dtype=dtype, seed=0)


@njit
def predict_all(h, X, out):
    fb.jit.predict(h, X, out)


@pytest.mark.parametrize("rows", [1, 7, 64])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("source", ["float32", "float64", "uint8"])
def test_predict(dtype, source, rows):
    net = make(dtype)
    X = (50 * np.random.default_rng(0).random((50, 5))).astype(source)
    h = net.handle(rows=rows)
    for call in (predict_all, fb.jit.predict):
        out = np.full((50, 3), np.nan, dtype)
        call(h, X, out)
        assert (out == net.predict(X)).all()
    one = np.empty(3, dtype)
    fb.jit.predict(h, X[7], one)
    assert (one == out[7]).all()


def test_a_handle_shares_the_parameters_and_outlives_the_network():
    net = make()
    h, x, out = net.handle(), np.ones(5, np.float32), np.empty(3, np.float32)
    net.params[:] = 0
    net.layers[1].bias[:] = np.log([1, 2, 1])
    fb.jit.predict(h, x, out)
    np.testing.assert_allclose(out, [0.25, 0.5, 0.25], rtol=1e-6)
    del net
    fb.jit.predict(h, x, out)
    np.testing.assert_allclose(out, [0.25, 0.5, 0.25], rtol=1e-6)


def test_errors():
    h, x, out = make().handle(), np.ones((2, 5), np.float32), np.empty((2, 3), np.float32)
    for bad_x, bad_out in ((np.ones((2, 4), np.float32), out), (x, out[:1]), (x[0, :3].copy(), out)):
        with pytest.raises(ValueError, match="(x|out) must have shape"):
            fb.jit.predict(h, bad_x, bad_out)
    for bad_x, bad_out, what in (
        (x.astype(np.int64), out, "x must be a C-contiguous array"),
        (np.asfortranarray(x), out, "x must be a C-contiguous array"),
        (x, out.astype(np.float64), "out must be a C-contiguous, writable array of float32"),
    ):
        with pytest.raises(TypingError, match=what):
            fb.jit.predict(h, bad_x, bad_out)
    for copying in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="a handle can't be copied or pickled"):
            copying(h)
    with pytest.raises(ValueError, match="(x|out) must have shape"):
        fb.jit.predict(h, np.ones((1, 10), np.float32), np.empty((2, 3), np.float32))
    with pytest.raises(ValueError, match="rows must be at least 1, got 0"):
        make().handle(rows=0)


def test_nothing_is_allocated():
    from numba.core.runtime import _nrt_python, rtsys

    @njit
    def many(h, x, out, n):
        for _ in range(n):
            fb.jit.predict(h, x, out)

    _nrt_python.memsys_enable_stats()
    h, x, out = make().handle(), np.ones(5, np.float32), np.empty(3, np.float32)
    counts = []
    for n in (1, 1, 1000):
        before = rtsys.get_allocation_stats().alloc
        many(h, x, out, n)
        counts.append(rtsys.get_allocation_stats().alloc - before)
    assert counts[1] == counts[2]
