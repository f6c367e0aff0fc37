"""Networks inside @njit code: the same predictions, no allocation, clear errors."""

import copy
import pickle
import pydoc
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from numba import njit, prange, vectorize
from numba.core.dispatcher import Dispatcher
from numba.core.errors import TypingError
from numba.typed import List

import fastbp as fb
from fastbp.embedding import handles
from fastbp.simd.memory import on_python_thread


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
        with pytest.raises(ValueError, match=r"(x|out) must have shape"):
            fb.jit.predict(h, bad_x, bad_out)
    for bad_x, bad_out, what in (
        (x.astype(np.int8), out, "x and y must be C-contiguous arrays"),
        (np.asfortranarray(x), out, "x and y must be C-contiguous arrays"),
        (x, out.astype(np.float64), "out must be a C-contiguous, writable array of float32"),
        (x, np.array(1, np.float32), "out must be a C-contiguous, writable array of float32"),
    ):
        with pytest.raises(TypingError, match=what):
            fb.jit.predict(h, bad_x, bad_out)
    for copying in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="a handle can't be copied or pickled"):
            copying(h)
    with pytest.raises(ValueError, match=r"(x|out) must have shape"):
        fb.jit.predict(h, np.ones((1, 10), np.float32), np.empty((2, 3), np.float32))
    with pytest.raises(ValueError, match="out must have shape"):
        fb.jit.predict(h, x, out.reshape(3, 2))
    fb.jit.predict(h, x, out.reshape(6))
    with pytest.raises(ValueError, match="rows must be at least 1, got 0"):
        make().handle(rows=0)


CASES = {
    "labels": ("cross_entropy", lambda rng: rng.integers(0, 3, 50)),
    "labels as floats": ("cross_entropy", lambda rng: rng.integers(0, 3, 50).astype(np.float32)),
    "probabilities": ("cross_entropy", lambda rng: rng.dirichlet(np.ones(3), 50)),
    "values": ("mse", lambda rng: rng.standard_normal((50, 3))),
    "values in float32": ("binary_cross_entropy", lambda rng: rng.integers(0, 2, (50, 3)).astype(np.float32)),
}


@njit
def learn(h, X, y, grad, slope, n):
    """One of each."""
    first = fb.jit.value_and_grad(h, X, y, grad)
    second = fb.jit.input_gradient(h, X, y, slope)
    last = 0.0
    for _ in range(n):
        last = fb.jit.train_step(h, X, y)
    return first, second, last


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_learning_gives_the_bits_of_the_network(case, dtype):
    loss, make_y = CASES[case]
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 5)), make_y(rng)
    for rows in (1, 16, 50):
        net, twin = make(dtype, loss), make(dtype, loss)
        h, grad, slope = net.handle(rows=50), np.empty(net.num_params, dtype), np.empty((rows, 5), dtype)
        first, second, last = learn(h, X[:rows], y[:rows], grad, slope, 3)
        value, gradient = twin.value_and_grad(X[:rows], y[:rows])
        assert first == second == value and (grad == gradient).all()
        assert (slope == twin.input_gradient(X[:rows], y[:rows])).all()
        assert last == [twin.train_on_batch(X[:rows], y[:rows]) for _ in range(3)][-1]
        assert (net.params == twin.params).all() and net.steps_trained == 3
        out = np.empty((rows, 3), dtype)
        fb.jit.forward(h, X[:rows], out)
        assert (out == twin.forward(X[:rows])).all()


def test_train_epoch_is_fit():
    rng = np.random.default_rng(0)
    X, y, order = rng.standard_normal((50, 5)), rng.integers(0, 3, 50), rng.permutation(50)
    net, twin = make(), make()
    h = net.handle(rows=16)
    for _ in range(3):
        loss = fb.jit.train_epoch(h, X, y, order)
        assert loss == twin.fit(X[order], y[order], batch_size=16, shuffle=False, verbose=False).history["loss"][0]
    assert (net.params == twin.params).all() and net.steps_trained == 12
    few = fb.jit.train_epoch(h, X, y, order[:7].copy())
    assert few == twin.train_on_batch(X[order[:7]], y[order[:7]])


def test_dropout_and_schedules_work_as_in_fit():
    def build():
        layers = [fb.Dense(20, "gelu", l2=0.01), fb.Dropout(0.3), fb.Dense(3)]
        return fb.Network(layers, (5,), loss="mse", optimizer=fb.Adam(fb.CosineDecay(0.01, 9), clip_norm=1.0), seed=0)

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 5)), rng.standard_normal((30, 3))
    net, twin = build(), build()
    h = net.handle(rows=30)
    for _ in range(10):
        assert fb.jit.train_step(h, X, y) == twin.train_on_batch(X, y)
    assert (net.params == twin.params).all()


def make_of_maps(dtype="float32"):
    layers = [fb.Conv2D(3, 3, padding="same", activation="tanh"), fb.BatchNorm(), fb.AvgPool2D(2)]
    layers += [fb.Residual([fb.Conv2D(4, 3, 2, "same"), fb.LayerNorm(3)]), fb.Dropout(0.3), fb.Flatten(), fb.Dense(3)]
    return fb.Network(layers, (2, 6, 5), loss="cross_entropy", dtype=dtype, seed=3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_on_maps(dtype):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 2, 6, 5)), rng.integers(0, 3, 20)
    net, twin = make_of_maps(dtype), make_of_maps(dtype)
    h, slope = net.handle(rows=20), np.full(X.shape, np.nan, dtype)
    for _ in range(5):
        assert fb.jit.train_step(h, X, y) == twin.train_on_batch(X, y)
    assert (net.params == twin.params).all()
    for statistic, same in zip(net.layers[1].statistics.values(), twin.layers[1].statistics.values(), strict=True):
        assert (statistic == same).all()
    fb.jit.input_gradient(h, X, y, slope)
    assert (slope == twin.input_gradient(X, y)).all()
    for rows in (1, 7, 20):
        out = np.full((rows, 3), np.nan, dtype)
        fb.jit.predict(h, X[:rows], out)
        assert (out == twin.predict(X[:rows])).all()


def test_a_loss_that_is_not_finite_changes_nothing():
    net = fb.Network([fb.Dense(1)], (1,), loss="mse", seed=0)
    h, before = net.handle(rows=4), net.params.copy()
    X, y = np.full((4, 1), 3e38, np.float32), np.zeros((4, 1))
    assert not np.isfinite(fb.jit.train_step(h, X, y)) and (net.params == before).all()
    assert np.isnan(fb.jit.train_epoch(h, X, y, np.arange(4)))
    assert np.isfinite(fb.jit.train_step(h, np.ones((4, 1)), y))


def test_errors_of_learning():
    h, X, y = make().handle(rows=2), np.ones((2, 5)), np.zeros(2, np.int64)
    grad = np.empty(h.params.size, np.float32)
    for call, error, message in (
        (
            lambda: fb.jit.train_step(h, np.ones((3, 5)), np.zeros(3, np.int64)),
            ValueError,
            r"at most as many as the handle .* net\.handle\(rows=len\(x\)\)",
        ),
        (lambda: fb.jit.train_step(h, X, np.array([0, 3])), ValueError, "y must hold labels"),
        (lambda: fb.jit.train_step(h, X, np.array([0, -1])), ValueError, "y must hold labels"),
        (lambda: fb.jit.train_step(h, X, np.array([0, np.nan])), ValueError, "y must hold labels"),
        (lambda: fb.jit.train_step(h, X, np.array([0, 1.5])), ValueError, "y must hold labels"),
        (lambda: fb.jit.train_step(h, X, np.array([0, 1.999999999])), ValueError, "y must hold labels"),
        (lambda: fb.jit.train_step(h, X[:0], y[:0]), ValueError, "x must have at least one row"),
        (lambda: fb.jit.train_step(h, X, y[:1]), ValueError, "y must have shape"),
        (lambda: fb.jit.train_step(h, X, np.zeros((3, 2))), ValueError, "y must have shape"),
        (lambda: fb.jit.train_step(h, X, np.zeros((2, 2))), ValueError, "y must have shape"),
        (lambda: fb.jit.train_step(h, X, np.array(["a", "b"])), TypingError, "x and y must be C-contiguous"),
        (lambda: fb.jit.value_and_grad(h, X, y, grad[1:]), ValueError, "grad must have shape"),
        (lambda: fb.jit.input_gradient(h, X, y, np.empty((1, 5), np.float32)), ValueError, "out must have shape"),
        (lambda: fb.jit.input_gradient(h, X, y, np.empty((5, 2), np.float32)), ValueError, "out must have shape"),
        (lambda: fb.jit.input_gradient(h, X, y, X), TypingError, "out must be .* array of float32"),
        (lambda: fb.jit.train_epoch(h, X, y, np.array([2])), ValueError, "order must hold numbers of rows"),
        (lambda: fb.jit.train_epoch(h, X, y, np.array([], np.int64)), ValueError, "order must hold numbers of rows"),
        (lambda: fb.jit.train_epoch(h, X, y, np.array([0.0])), TypingError, "order must be .* int64"),
        (lambda: fb.jit.train_step(make().handle(2, training=False), X, y), ValueError, "the handle can only predict"),
        (lambda: fb.jit.apply_gradients(h, grad[1:]), ValueError, r"grad must have shape \(num_params,\)"),
    ):
        with pytest.raises(error, match=message):
            call()
    assert np.isfinite(fb.jit.train_step(h, X, y))  # an error lets go of the handle


def test_a_handle_that_is_no_argument_is_refused():
    """Numba would compile a copy of it into the function."""
    h, both = make().handle(), (make().handle(), make().handle())

    @njit
    def closed_over(x, out):
        fb.jit.predict(h, x, out)

    @njit
    def in_a_tuple(x, out):
        fb.jit.predict(both[1], x, out)

    def of_numbers(a):
        x, out = np.full(5, a), np.empty(3, np.float32)
        fb.jit.predict(h, x, out)
        return out[0]

    for call in (
        lambda: closed_over(np.ones(5), np.empty(3, np.float32)),
        lambda: in_a_tuple(np.ones(5), np.empty(3, np.float32)),
        lambda: vectorize(["float64(float64)"])(of_numbers),
    ):
        with pytest.raises(TypingError, match="a handle must be an argument of the compiled function, got one that"):
            call()


def test_vectorize():
    """It takes numbers alone: the C function `value` stands in for the handle."""
    net = fb.Network([fb.Dense(9, "tanh"), fb.Dense(1)], (2,), loss="mse", seed=0)
    p = net.c_pointers()
    value, handle = p.value, p.handle

    @vectorize(["float64(float64, float64)"])
    def surface(a, b):
        return value(2, np.array([a, b]).ctypes, handle)

    a, b = np.random.default_rng(0).standard_normal((2, 7, 5))
    points = np.stack([a, b], axis=-1).reshape(-1, 2)
    assert (surface(a, b).ravel() == net.predict(points)[:, 0]).all()


def test_a_handle_in_use_is_refused():
    h = make().handle()
    h.record[0] = 1  # as another thread that is in it leaves it
    with pytest.raises(RuntimeError, match="the handle is in use by another thread"):
        fb.jit.predict(h, np.ones(5), np.empty(3, np.float32))
    h.record[0] = 0
    fb.jit.predict(h, np.ones(5), np.empty(3, np.float32))


def test_what_is_refused_leaves_nan():
    """For whatever reason: so nothing there looks like a result where the error is not heard."""
    net, real = make(), np.float32
    h, only, busy = net.handle(rows=2), net.handle(training=False), net.handle(rows=2)
    busy.record[handles.BUSY] = 1
    X, y, few, bad = np.ones((2, 5), real), np.zeros(2, np.int64), np.zeros(1, np.int64), np.array([0, 3])
    many = np.ones((3, 5)), np.zeros(3, np.int64)
    outs, grads, derivatives, n = (2, 3), (net.num_params,), (6, net.num_params), net.num_params
    for call, shape in (
        (lambda out: fb.jit.predict(busy, X, out), outs),
        (lambda out: fb.jit.forward(busy, X, out), outs),
        (lambda out: fb.jit.predict(h, X[:, :4].copy(), out), outs),
        (lambda out: fb.jit.predict(h, X[:1], out), outs),
        (lambda out: fb.jit.forward(h, X, out), (1, 3)),
        (lambda out: fb.jit.predict(h, X, out), (3, 2)),
        (lambda out: fb.jit.predict(h, X, out), (2, 2, 3)),
        (lambda out: fb.jit.value_and_grad(busy, X, y, out), grads),
        (lambda out: fb.jit.value_and_grad(h, X, y, out), (n + 1,)),
        (lambda out: fb.jit.value_and_grad(h, X, few, out), grads),
        (lambda out: fb.jit.value_and_grad(h, X, bad, out), grads),
        (lambda out: fb.jit.value_and_grad(h, *many, out), grads),
        (lambda out: fb.jit.value_and_grad(only, X[:1], few, out), grads),
        (lambda out: fb.jit.input_gradient(busy, X, y, out), (2, 5)),
        (lambda out: fb.jit.input_gradient(h, X, bad, out), (2, 5)),
        (lambda out: fb.jit.jacobian(busy, X, out), derivatives),
        (lambda out: fb.jit.jacobian(only, X, out), derivatives),
        (lambda out: fb.jit.input_jacobian(h, X, out), (6, 4)),
    ):
        out = np.full(shape, 7, real)
        with pytest.raises((ValueError, RuntimeError)):
            call(out)
        assert np.isnan(out).all()


@njit(parallel=True)
def predict_rows(h, X, out):
    for i in prange(len(X)):
        fb.jit.predict(h, X[i], out[i])


@njit(parallel=True)
def forward_halves(h, X, out):
    half = len(X) // 2
    for t in prange(2):
        fb.jit.forward(h, X[t * half : (t + 1) * half], out[t * half : (t + 1) * half])


@pytest.mark.slow
@pytest.mark.parametrize("work", [predict_rows, forward_halves])
def test_one_handle_in_a_prange_gives_each_row_right_or_nan(work):
    """Or an error, of the thread that began the loop: on the others nobody would hear it."""
    net = fb.Network([fb.Dense(9, "tanh"), fb.Dense(3)], (5,), loss="mse", seed=0)
    X = np.random.default_rng(0).standard_normal((200_000, 5)).astype(np.float32)
    h, want = net.handle(), net.predict(X)
    for _ in range(24):
        out = np.full((200_000, 3), 7, np.float32)
        try:
            work(h, X, out)
        except SystemError as error:  # Numba's, for an error in a prange
            assert "the handle is in use by another thread" in str(error.__cause__ or error.__context__)
        else:
            right, refused = (out == want).all(axis=1), np.isnan(out).all(axis=1)
            assert (right | refused).all() and right.any()


@njit(parallel=True)
def refused_elsewhere(h, X, y, out, losses, grads, elsewhere):
    """Calls of a handle in use, on threads that are not Python's; each of them goes on to the end."""
    for t in prange(len(elsewhere)):
        wait = 0.0
        for i in range(1000):  # so that there is enough to do for several threads
            wait += np.sin(i)
        if not on_python_thread():
            losses[t, 0] = fb.jit.train_step(h, X, y)
            losses[t, 1] = fb.jit.train_epoch(h, X, y, y)
            losses[t, 2] = fb.jit.value_and_grad(h, X, y, grads[t])
            fb.jit.apply_gradients(h, grads[t])
            fb.jit.predict(h, X, out[t])
            elsewhere[t] = wait != 1


def test_where_no_error_is_heard_what_is_refused_gives_nan():
    net, n = make(), 1000
    h, X, y, before = net.handle(), np.ones((1, 5)), np.zeros(1, np.int64), net.params.copy()
    out, losses = np.full((n, 1, 3), 7, np.float32), np.full((n, 3), 7.0)
    grads, elsewhere = np.full((n, net.num_params), 7, np.float32), np.zeros(n, bool)
    h.record[handles.BUSY] = 1
    for _ in range(100):
        refused_elsewhere(h, X, y, out, losses, grads, elsewhere)
        if elsewhere.any():
            break
    assert elsewhere.any() == (numba.get_num_threads() > 1)
    for written in (out, losses, grads):
        assert np.isnan(written[elsewhere]).all() and (written[~elsewhere] == 7).all()
    assert (net.params == before).all() and net.steps_trained == 0


@njit(parallel=True)
def predict_by_threads(handles, X, out):
    for i in prange(len(X)):
        fb.jit.predict(handles[numba.get_thread_id()], X[i], out[i])


def test_a_handle_for_each_thread_of_a_prange():
    net = make()
    X, out = np.random.default_rng(0).standard_normal((50_000, 5)), np.full((50_000, 3), np.nan, np.float32)
    predict_by_threads(List([net.handle() for _ in range(numba.get_num_threads())]), X, out)
    assert (out == net.predict(X)).all()


def test_two_threads_at_once_get_an_error_or_the_right_answer():
    net = fb.Network([fb.Dense(300, "tanh"), fb.Dense(3)], (5,), loss="mse", seed=0)
    h, X = net.handle(rows=500), np.random.default_rng(0).standard_normal((500, 5))
    want, refused = net.predict(X), []

    def work():
        out = np.empty((500, 3), np.float32)
        for _ in range(200):
            try:
                fb.jit.predict(h, X, out)
                assert (out == want).all()
            except RuntimeError:
                refused.append(1)

    fb.jit.predict(h, X, np.empty((500, 3), np.float32))
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result()
    assert 0 < len(refused) < 800


def test_the_gil_is_let_go():
    """A Python thread counts while compiled code trains."""
    net = make()
    h, X, y = net.handle(rows=50), np.ones((50, 5)), np.zeros(50, np.int64)
    order = np.arange(50)

    @njit(nogil=True)
    def long(h, X, y, order, n):
        for _ in range(n):
            fb.jit.train_epoch(h, X, y, order)

    long(h, X, y, order, 1)
    counted, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    before = counted[0]
    long(h, X, y, order, 20_000)
    during = counted[0] - before
    stop.set()
    thread.join()
    assert during > 10_000


@njit(parallel=True)
def train_all(handles, X, y, order, epochs, losses):
    for i in prange(len(handles)):
        for _ in range(epochs):
            losses[i] = fb.jit.train_epoch(handles[np.int64(i)], X, y, order)


@pytest.mark.slow
def test_many_networks_in_a_users_prange():
    rng = np.random.default_rng(0)
    X, y, order = rng.standard_normal((60, 5)), rng.integers(0, 3, 60), np.arange(60)
    nets = [fb.Network([fb.Dense(9, "tanh"), fb.Dense(3)], (5,), loss="cross_entropy", seed=s) for s in range(16)]
    losses = np.zeros(16)
    train_all(List([net.handle(rows=20) for net in nets]), X, y, order, 2, losses)
    for seed, net in enumerate(nets):
        twin = fb.Network([fb.Dense(9, "tanh"), fb.Dense(3)], (5,), loss="cross_entropy", seed=seed)
        history = twin.fit(X, y, epochs=2, batch_size=20, shuffle=False, verbose=False).history
        assert (net.params == twin.params).all() and losses[seed] == history["loss"][-1]


@pytest.mark.slow
@pytest.mark.parametrize("build", [make, make_of_maps])
def test_nothing_is_allocated(build):
    from numba.core.runtime import _nrt_python, rtsys

    @njit
    def many(h, x, y, out, grad, by_params, by_x, order, n):
        for _ in range(n):
            fb.jit.predict(h, x, out)
            fb.jit.forward(h, x, out)
            fb.jit.train_step(h, x, y)
            fb.jit.train_epoch(h, x, y, order)
            fb.jit.value_and_grad(h, x, y, grad)
            fb.jit.apply_gradients(h, grad)
            fb.jit.input_gradient(h, x, y, x)
            fb.jit.jacobian(h, x, by_params)
            fb.jit.input_jacobian(h, x, by_x)

    _nrt_python.memsys_enable_stats()
    net = build()
    inputs, real = int(np.prod(net.input_shape)), np.float32
    h, x, y, out = net.handle(rows=2), np.ones((2, inputs), real), np.zeros(2, np.int64), np.empty((2, 3), real)
    by_params, by_x = np.empty((6, net.num_params), real), np.empty((6, inputs), real)
    counts = []
    for n in (1, 1, 1000):
        before = rtsys.get_allocation_stats().alloc
        many(h, x, y, out, np.empty_like(net.params), by_params, by_x, np.arange(2), n)
        counts.append(rtsys.get_allocation_stats().alloc - before)
    assert counts[1] == counts[2]


CACHED = """
import sys
import numpy as np
from numba import njit
import fastbp as fb

@njit(cache=True)
def work(h, X, y, out):
    loss = fb.jit.train_step(h, X, y)
    fb.jit.predict(h, X, out)
    return loss

if __name__ == "__main__":
    net, twin = (fb.Network([fb.Dense(9, "tanh"), fb.Dense(3)], (5,), loss="mse", seed=7) for _ in range(2))
    rows = int(sys.argv[1])
    X, y, out = np.ones((rows, 5)), np.zeros((rows, 3)), np.empty((rows, 3), np.float32)
    assert work(net.handle(rows=rows), X, y, out) == twin.train_on_batch(X, y)
    assert (out == twin.predict(X)).all()
    print(sum(work.stats.cache_hits.values()), sum(work.stats.cache_misses.values()))
"""


@pytest.mark.slow
def test_a_cached_function_works_in_a_new_process(tmp_path):
    """Its code holds no address: neither of a kernel nor of a handle."""
    script = tmp_path / "cached.py"
    script.write_text(CACHED)
    for rows, hits_and_misses in (("4", "0 1"), ("30", "1 0")):
        command = [sys.executable, str(script), rows]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == hits_and_misses


def test_a_function_of_another_version_is_refused(monkeypatch):
    """As one is that Numba has kept in its cache, while fastbp has changed."""
    h, x, out = make().handle(), np.ones(5), np.empty(3, np.float32)
    monkeypatch.setattr(handles, "ABI", handles.ABI + 1)
    run = njit(handles._run.py_func)

    @njit
    def later(h, x, out):
        target = handles._target(h.params, out)
        handles._refuse(run(h, handles.PREDICT, handles._source(x), handles._NO_Y, handles._NO_ORDER, target, 0))

    with pytest.raises(RuntimeError, match="the function was compiled for another version of fastbp"):
        later(h, x, out)


def test_dir_and_help_show_what_users_call():
    compiled = (value for value in vars(fb.jit).values() if isinstance(value, Dispatcher))
    functions = {f.__name__ for f in compiled if f.__module__ == handles.__name__ and not f.__name__.startswith("_")}
    assert set(dir(fb.jit)) == set(fb.jit.__all__) == {"Handle", *functions} - {"out_size"}
    assert "train_epoch(h, x, y, order)" in pydoc.render_doc(fb.jit, renderer=pydoc.plaintext)
