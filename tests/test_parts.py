"""What parts promise beyond their formulas: dropout, frozen layers, initial values, parts of a user's own, reprs."""

import copy
import math
import pickle
import re
from enum import Enum

import numpy as np
import pytest
import scipy.stats
from cases import batch, network
from numba import njit
from numba.core import event
from support import run_python

import fastbp as fb
from fastbp import initializers
from fastbp.initializers import INITIALIZERS
from fastbp.layers import LAYERS
from fastbp.optimizers import OPTIMIZERS
from fastbp.parts import PARTS
from fastbp.runtime.digests import digest
from fastbp.runtime.functions import Kernel


def train(net, X, y, epochs=1):
    return net.fit(X, y, epochs=epochs, batch_size=16, verbose=False)


# --- dropout ---


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_drops_its_share(rate):
    """One step of plain descent on Σ outputs shows which elements of the constant 1 were dropped, and their scale."""
    n = 20_000
    layers = [fb.Dropout(rate), fb.Dense(1, bias=False, kernel_init="zeros")]
    net = fb.Network(layers, (n,), loss="squared_error", optimizer=fb.SGD(1.0), dtype="float64", seed=1)
    seen = []
    for _ in range(3):
        net.params[:] = 0
        net.train_on_batch(np.ones((1, n)), [1.0])  # the gradient is -mask
        mask = net.params.copy()
        assert set(np.unique(mask)) == {0, 1 / (1 - rate)}
        assert abs((mask == 0).mean() - rate) < 5 * math.sqrt(rate * (1 - rate) / n)
        seen.append(mask)
    assert not np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[1], seen[2])
    # neighbours, rows and steps are independent: correlations are within five deviations of 0
    for a, b in ((seen[0][1:], seen[0][:-1]), (seen[0], seen[1]), (seen[0][: n // 2], seen[1][n // 2 :])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / math.sqrt(len(a))


def test_dropout_is_only_for_training():
    X, y = batch("mse", np.random.default_rng(0), 30)
    with_it = fb.Network([fb.Dense(9, "tanh"), fb.Dropout(0.5), fb.Dense(3)], (6,), loss="mse", seed=0)
    without = fb.Network([fb.Dense(9, "tanh"), fb.Dense(3)], (6,), loss="mse", seed=0)
    assert (with_it.predict(X) == without.predict(X)).all()
    assert with_it.evaluate(X, y) == without.evaluate(X, y)
    assert (with_it.value_and_grad(X, y)[1] == without.value_and_grad(X, y)[1]).all()
    assert (with_it.input_gradient(X, y) == without.input_gradient(X, y)).all()
    assert (with_it.train_on_batch(X, y)) != without.train_on_batch(X, y)
    out = np.empty((30, 3), np.float32)
    handle = with_it.handle(rows=7)
    fb.jit.predict(handle, X.astype(np.float32), out)
    assert (out == with_it.predict(X)).all()


def test_two_dropouts_differ_and_seeds_decide():
    def params(seed, *rates):
        layers = [layer for rate in rates for layer in (fb.Dropout(rate), fb.Dense(6, "tanh"))]
        net = fb.Network(layers, (6,), loss="mse", seed=seed)
        net.params = fb.Network(layers, (6,), loss="mse", seed=0).params
        train(net, np.ones((64, 6)), np.zeros((64, 6)))
        return net.params.copy()

    assert (params(0, 0.5, 0.5) == params(0, 0.5, 0.5)).all()
    assert (params(0, 0.5, 0.5) != params(1, 0.5, 0.5)).any()


# --- frozen layers, rates of layers, penalties ---


def test_what_a_network_is_made_for_cannot_be_set():
    net = network("two", "relu", "cross_entropy")
    before = repr(net)
    for name in ("layers", "input_shape", "output_shape", "num_params", "dtype", "seed", "optimizer", "loss", "grads"):
        with pytest.raises(AttributeError, match=name):
            setattr(net, name, getattr(net, name))
    with pytest.raises(AttributeError, match="append"):
        net.layers.append(fb.Dense(5))
    for name, value in {"trainble": False, "l2": 1.0, "activation": "tanh", "units": 9, "layer": fb.Dense(2)}.items():
        with pytest.raises(AttributeError, match=f"{name} can't be set in Dense_1: of a layer, trainable and"):
            setattr(net.layers[0], name, value)
    assert repr(net) == before


def test_trainable_and_rates_can_be_changed_and_are_saved(tmp_path):
    X, y = batch("cross_entropy", np.random.default_rng(0), 50)
    net = network("three", "relu", "cross_entropy", fb.Adam(0.01))
    train(net, X, y)
    net.layers[0].trainable = False
    net.layers[1].learning_rate = 0.5
    kept = [layer.weight.copy() for layer in net.layers]
    gradient = net.value_and_grad(X, y)[1]
    assert np.abs(gradient[: kept[0].size]).max() > 0  # value_and_grad is of all parameters
    train(net, X, y)
    assert (net.layers[0].weight == kept[0]).all() and (net.layers[1].weight != kept[1]).any()
    net.save(tmp_path / "net.npz")
    again = fb.load(tmp_path / "net.npz")
    assert not again.layers[0].trainable and again.layers[1].learning_rate == 0.5
    train(net, X, y)
    train(again, X, y)
    assert (net.params == again.params).all()
    net.layers[0].trainable = True
    before = net.layers[0].weight.copy()
    train(net, X, y)
    assert (net.layers[0].weight != before).any()
    for layer in fb.Network([fb.Flatten(), fb.Dense(1)], (2, 3), loss="mse").layers:
        layer.trainable = False  # means nothing for a layer without parameters
    with pytest.raises(ValueError, match="learning_rate must be a finite number greater than 0, got 0"):
        net.layers[0].learning_rate = 0
    assert net.layers[0].learning_rate == 1.0


def test_a_network_whose_layers_are_all_frozen_changes_nothing():
    X, y = batch("mse", np.random.default_rng(0), 20)
    for optimizer in (fb.Adam(0.1), fb.SGD(0.1, clip_norm=1.0)):
        net = fb.Network(
            [fb.Dense(3, trainable=False), fb.Activation("relu")], (6,), loss="mse", optimizer=optimizer, seed=0
        )
        before = net.params.copy()
        train(net, X, y)
        assert (net.params == before).all() and net.steps_trained == 2


def test_penalties_pull_weights_to_zero_and_leave_biases():
    X, y = np.random.default_rng(0).standard_normal((100, 6)), np.full((100, 1), 5.0)
    net = fb.Network([fb.Dense(1, l1=0.1)], (6,), loss="mse", optimizer=fb.SGD(0.05), dtype="float64", seed=0)
    net.fit(X, y, epochs=400, batch_size=100, verbose=False)
    assert np.abs(net.layers[0].weight).max() < 0.05 < 4 < net.layers[0].bias[0]


def test_a_last_activation_is_found_behind_layers_that_do_nothing():
    X, y = batch("cross_entropy", np.random.default_rng(0), 20)
    plain = fb.Network([fb.Dense(3)], (6,), loss="cross_entropy", seed=0)
    for idle in (fb.Dropout(0.0), fb.Flatten(), fb.Activation("linear")):
        net = fb.Network([fb.Dense(3, "softmax"), idle], (6,), loss="cross_entropy", seed=0)
        assert (net.predict(X) == plain.predict(X)).all() and net.evaluate(X, y) == plain.evaluate(X, y)
        assert str(net.explain(X[0], y[0])) and str(net.diagnose(X, y))


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        ("hinge", [[0], [1]]),
        (fb.BinaryCrossEntropy(label_smoothing=0.2), [[0], [1]]),
        (fb.CrossEntropy(label_smoothing=0.1), [[1, 0], [0, 1]]),
    ],
)
def test_targets_mean_the_same_in_jit_and_to_metrics(loss, y):
    net = fb.Network([fb.Dense(len(y[0]))], (3,), loss=loss, dtype="float64", seed=0)
    X, y, grad = np.random.default_rng(0).standard_normal((2, 3)), np.array(y), np.empty(net.num_params)
    value, gradient = net.value_and_grad(X, y)
    assert fb.jit.value_and_grad(net.handle(2), X, y, grad) == value and (grad == gradient).all()

    def seen(y_true, y_pred):
        assert (y_true == y).all()
        return 1.0

    assert net.evaluate(X, y, metrics=[seen])["seen"] == 1.0


@pytest.mark.parametrize("clip", [None, 1e-6])
def test_gradient_noise_is_normal_and_becomes_less(clip):
    """It is added to clipped gradients: of the paper's variance, and other numbers in each place, step and seed."""
    noises = []
    for seed in (0, 1):
        optimizer = fb.SGD(1.0, gradient_noise=0.25, clip_norm=clip)
        layers = [fb.Dense(100, bias=False, kernel_init=0.0), fb.Dense(50, kernel_init=0.0, trainable=False)]
        net = fb.Network(layers, (50,), loss="mse", optimizer=optimizer, seed=seed)
        for step in range(3):
            before = net.params.copy()
            net.train_on_batch(np.ones((4, 50)), np.zeros((4, 50)))
            noise = (before - net.params)[:5000]
            assert noise.std() == pytest.approx(0.5 / (1 + step) ** 0.275, rel=0.05) and abs(noise.mean()) < 0.03
            assert scipy.stats.kstest(noise / noise.std(), "norm").pvalue > 1e-3
            noises.append(noise)
        assert net.value_and_grad(np.ones((4, 50)), np.zeros((4, 50)))[1].max() == 0
    assert np.abs(np.corrcoef(noises) - np.eye(6)).max() < 0.06


def test_clipping_by_norm_of_gradients_whose_squares_overflow():
    X, y = np.full((4, 3), 1e20), np.zeros(4)
    for clip in (1.0, 1e-3):
        net = fb.Network([fb.Dense(1, bias=False)], (3,), loss="mae", optimizer=fb.SGD(1.0, clip_norm=clip), seed=0)
        before = net.params.copy()
        net.train_on_batch(X, y)
        assert np.linalg.norm(net.params - before) == pytest.approx(clip, rel=1e-3)
    idle = fb.Network([fb.Activation("relu")], (3,), loss="mse", optimizer=fb.SGD(0.1, clip_norm=1.0))
    idle.fit(np.ones((4, 3)), np.zeros((4, 3)), verbose=False)


def test_flatten():
    X, y = np.random.default_rng(0).standard_normal((40, 3, 4)), np.zeros(40)
    net = fb.Network([fb.Flatten(), fb.Dense(5, "tanh"), fb.Dense(1)], (3, 4), loss="mse", seed=0)
    flat = fb.Network([fb.Dense(5, "tanh"), fb.Dense(1)], (12,), loss="mse", seed=0)
    assert (net.predict(X) == flat.predict(X.reshape(40, 12))).all()
    train(net, X, y)
    train(flat, X.reshape(40, 12), y)
    assert (net.params == flat.params).all()
    assert net.input_gradient(X, y).shape == X.shape


# --- initial values ---

VARIANCES = {
    "zeros": 0,
    "ones": 0,
    "uniform": 0.05**2 / 3,
    "normal": 0.05**2,
    **dict.fromkeys(("glorot_uniform", "glorot_normal"), 2 / (300 + 500)),
    **dict.fromkeys(("he_uniform", "he_normal"), 2 / 300),
    **dict.fromkeys(("lecun_uniform", "lecun_normal"), 1 / 300),
    "orthogonal": 1 / 500,
}


def test_initial_values_have_the_law_that_they_say():
    assert set(VARIANCES) == set(INITIALIZERS)
    for name, variance in VARIANCES.items():
        weight = (
            fb.Network([fb.Dense(500, kernel_init=name)], (300,), loss="mse", dtype="float64", seed=0).layers[0].weight
        )
        assert weight.var() == pytest.approx(variance, rel=0.02, abs=1e-15)
        assert weight.mean() == pytest.approx(float(name == "ones"), abs=5 * math.sqrt(variance / weight.size) + 1e-15)
        if "uniform" in name:
            assert np.abs(weight).max() <= math.sqrt(3 * variance)
    np.testing.assert_allclose(weight @ weight.T, np.eye(300), atol=1e-12)  # the last is orthogonal


def test_initial_values_of_ones_own(tmp_path):
    weight = np.arange(6.0).reshape(3, 2)
    net = fb.Network([fb.Dense(2, kernel_init=weight, bias_init=0.25)], (3,), loss="mse", seed=0)
    assert (net.layers[0].weight == weight).all() and (net.layers[0].bias == 0.25).all()
    net.save(tmp_path / "net.npz")
    assert (fb.load(tmp_path / "net.npz").params == net.params).all()
    for init in (
        initializers.Uniform(1, 2),
        initializers.Normal(1, 0.1),
        initializers.Constant(3),
        initializers.Orthogonal(2),
    ):
        net = fb.Network([fb.Dense(2, kernel_init=init)], (3,), loss="mse", seed=0)
        net.save(tmp_path / "net.npz")
        assert fb.load(tmp_path / "net.npz").layers[0].layer == net.layers[0].layer
    with pytest.raises(
        ValueError, match=re.escape("layers: Dense_1: weight: initial values must have shape (4, 2), got (3, 2)")
    ):
        fb.Network([fb.Dense(2, kernel_init=weight)], (4,), loss="mse")
    for bad, error in (
        (np.array([[np.nan]]), ValueError),
        (np.array([["a"]]), TypeError),
        (True, TypeError),
        ("he", ValueError),
    ):
        with pytest.raises(error, match="kernel_init"):
            fb.Dense(2, kernel_init=bad)


# --- parts of a user's own ---


@njit
def squareplus(z):
    return 0.5 * (z + math.sqrt(z * z + 4.0))


@njit
def squareplus_slope(z):
    return 0.5 * (1.0 + z / math.sqrt(z * z + 4.0))


def logcosh(y, t):
    return math.log(math.cosh(y - t))


def logcosh_slope(y, t):
    return math.tanh(y - t)


@njit
def row_error(y, t):
    return ((y - t) ** 2).sum() + y[0] * y[-1]


@njit
def row_error_slope(y, t, dy):
    dy[:] = 2 * (y - t)
    dy[0] += y[-1]
    dy[-1] += y[0]


def own_network(dtype="float64"):
    activation, loss = fb.CustomActivation(squareplus, squareplus_slope), fb.CustomLoss(logcosh, logcosh_slope)
    return fb.Network([fb.Dense(7, activation), fb.Dense(3)], (6,), loss=loss, dtype=dtype, seed=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_own_parts_agree_with_numpy(dtype):
    X, y = batch("mse", np.random.default_rng(0), 30)
    net, weight = own_network(dtype), np.random.default_rng(1).uniform(0, 2, 30)
    z = X @ net.layers[0].weight + net.layers[0].bias
    out = 0.5 * (z + np.sqrt(z**2 + 4)) @ net.layers[1].weight + net.layers[1].bias
    rtol = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(net.predict(X), out, rtol=rtol, atol=rtol)
    value, gradient = net.value_and_grad(X, y, weight)
    assert value == pytest.approx((np.log(np.cosh(out - y)).mean(axis=1) * weight).mean(), rel=rtol)
    slope = np.tanh(out - y) * weight[:, None] / y.size
    np.testing.assert_allclose(gradient[-3:], slope.sum(axis=0), rtol=10 * rtol, atol=rtol)
    hidden = slope @ net.layers[1].weight.T * 0.5 * (1 + z / np.sqrt(z**2 + 4))
    np.testing.assert_allclose(gradient[:42].reshape(6, 7), X.T @ hidden, rtol=10 * rtol, atol=rtol)


def test_own_loss_of_whole_rows():
    loss = fb.CustomLoss(row_error, row_error_slope, whole_row=True)
    net = fb.Network([fb.Dense(3)], (6,), loss=loss, optimizer=fb.SGD(0.1), dtype="float64", seed=0)
    X, y = batch("mse", np.random.default_rng(0), 20)
    out = net.predict(X)
    value, gradient = net.value_and_grad(X, y)
    assert value == pytest.approx((((out - y) ** 2).sum(axis=1) + out[:, 0] * out[:, 2]).mean(), rel=1e-12)
    slope = (2 * (out - y) + np.stack([out[:, 2], 0 * out[:, 0], out[:, 0]], axis=1)) / 20
    np.testing.assert_allclose(gradient[-3:], slope.sum(axis=0), rtol=1e-10)


def test_own_parts_are_copied_pickled_saved_and_loaded(tmp_path):
    X, y = batch("mse", np.random.default_rng(0), 30)
    net = own_network()
    train(net, X, y)
    net.save(tmp_path / "net.npz")
    with pytest.raises(ValueError, match=r"custom_objects must hold .*'logcosh': ..., 'squareplus': ...}, got {}"):
        fb.load(tmp_path / "net.npz")
    parts = {"squareplus": net.layers[0].layer.activation, "logcosh": net.loss}
    for again in (
        copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),
        fb.load(tmp_path / "net.npz", custom_objects=parts),
    ):
        assert (again.params == net.params).all() and (again.predict(X) == net.predict(X)).all()
        assert again.evaluate(X, y) == net.evaluate(X, y)
    for part in parts.values():  # what is compiled for a part stays for good
        assert copy.copy(part) is part and copy.deepcopy([part])[0] is part


WRONG = {
    "slope": (lambda: fb.CustomActivation(squareplus, lambda z: 1.0), ValueError, r"at z = -5.9863 .*, got 1$"),
    "scale": (
        lambda: fb.CustomActivation(lambda z: z * z, lambda z: 2.001 * z),
        ValueError,
        "derivative must be that of f",
    ),
    "sign": (
        lambda: fb.CustomLoss(logcosh, lambda y, t: -math.tanh(y - t)),
        ValueError,
        r"at y = .*, t = .* the slope of f",
    ),
    "no function": (
        lambda: fb.CustomActivation(np.tanh, squareplus_slope),
        TypeError,
        "f must be a function that is written in Python, @njit or not, got <ufunc 'tanh'>",
    ),
    "arguments": (lambda: fb.CustomActivation(logcosh, squareplus_slope), TypeError, "f must .*1 number[: ]"),
    "argument": (lambda: fb.CustomLoss(squareplus, logcosh_slope), TypeError, "f must .*2 numbers"),
    "name": (lambda: fb.CustomActivation(squareplus, squareplus_slope, name="a b"), ValueError, "name must be a word"),
    "nowhere": (lambda: fb.CustomActivation(lambda z: math.nan, lambda z: 0.0), ValueError, "f must be differentiable"),
    "link": (lambda: fb.CustomLoss(logcosh, logcosh_slope, link="no"), ValueError, "activation must be one of"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_parts_are_found_when_they_are_made(name):
    make, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        make()


def test_wrong_loss_of_whole_rows_is_found_when_the_network_is_made():
    @njit
    def wrong(y, t, dy):
        dy[:] = 2 * (y - t)

    loss = fb.CustomLoss(row_error, wrong, whole_row=True)
    with pytest.raises(ValueError, match=r"the slope of f by y\[0\] is"):
        fb.Network([fb.Dense(3)], (6,), loss=loss)


def test_parts_of_one_name_are_refused_in_a_network():
    one, two = fb.CustomActivation(lambda z: z * z, lambda z: 2 * z), fb.CustomActivation(lambda z: -z, lambda z: -1.0)
    with pytest.raises(ValueError, match="two different parts of one's own named 'custom'"):
        fb.Network([fb.Dense(2, one), fb.Dense(2, two)], (2,), loss="mse")
    fb.Network([fb.Dense(2, one), fb.Dense(2, one)], (2,), loss="mse")


def test_kinks_and_gaps_are_no_errors():
    fb.CustomActivation(lambda z: abs(z), lambda z: 1.0 if z > 0 else -1.0, name="size")
    fb.CustomActivation(lambda z: math.log(z) if z > 0 else math.nan, lambda z: 1 / z, name="logarithm")


def test_digest_changes_with_what_a_function_refers_to():
    def make(constant, inside):
        return njit(lambda z: inside(z) * constant)

    one, two = njit(lambda z: z + 1), njit(lambda z: z + 2)
    assert digest(make(1.0, one)) == digest(make(1.0, one))
    assert len({digest(make(1.0, one)), digest(make(2.0, one)), digest(make(1.0, two))}) == 3
    assert digest(make(object(), one)) is None

    def mix(p, q, r):
        return njit(lambda z: p(z) / 2 + q(z) / 4 + r(z))

    assert digest(mix(one, two, one)) != digest(mix(one, two, two))


def own_parts(constant, prefix=""):
    """A network with parts from functions that are made anew, of each kind."""

    def f(z):
        return constant * z * z

    def slope(z):
        return 2 * constant * z

    def loss(y, t):
        return constant * (y - t) ** 2

    def loss_slope(y, t):
        return 2 * constant * (y - t)

    def row_loss(y, t):
        return constant * ((y - t) ** 2).sum()

    def row_slope(y, t, dy):
        dy[:] = 2 * constant * (y - t)

    activation = fb.CustomActivation(f, slope, name=prefix + "f")
    losses = fb.CustomLoss(loss, loss_slope), fb.CustomLoss(row_loss, row_slope, whole_row=True, name=prefix + "loss")
    layers = [fb.Dense(7, activation), fb.Dense(3)]
    return [fb.Network(layers, (6,), loss=loss, dtype="float64", seed=0) for loss in losses]


def test_equal_parts_are_compiled_once_in_a_process(monkeypatch):
    X, y = batch("mse", np.random.default_rng(0), 30)
    compiled = []
    compile_kernel = Kernel.compiled
    monkeypatch.setattr(
        Kernel, "compiled", lambda kernel, dtype: compiled.append(kernel) or compile_kernel(kernel, dtype)
    )

    def gradients(nets):
        with event.install_recorder("numba:compile") as recorder:
            found = [net.value_and_grad(X, y)[1] for net in nets()]
        own = sum(kernel.name.startswith(("f_", "loss_")) for kernel in compiled)
        del compiled[:]
        return found, own, len(recorder.buffer)

    first, own, _ = gradients(lambda: own_parts(1.25))
    assert own == 4  # forward and backward of the activation, and two losses
    for again in (lambda: own_parts(1.25), lambda: own_parts(1.25, "other_")):
        found, own, compilations = gradients(again)
        assert all((a == b).all() for a, b in zip(found, first, strict=True)) and own == compilations == 0
    found, own, compilations = gradients(lambda: own_parts(1.5))  # another constant is another part
    assert not (found[0] == first[0]).all() and own == 4 and compilations > 0

    activation = own_network().layers[0].layer.activation
    train(own_network(), X, y)
    del compiled[:]
    with event.install_recorder("numba:compile") as recorder:
        twin = pickle.loads(pickle.dumps(activation))
        train(fb.Network([fb.Dense(3, twin)], (6,), loss="mse", dtype="float64"), X, y)
    assert twin is not activation and not recorder.buffer and not any("squareplus" in k.name for k in compiled)


def test_parts_that_have_no_digest_are_parts_of_their_own():
    kinds = Enum("Kinds", "square other")  # which Numba compiles, and nothing is known of

    def square(kind):
        return lambda z: z * z if kind is kinds.square else z, lambda z: 2 * z if kind is kinds.square else 1.0

    assert digest(*square(kinds.square)) is None
    one, other = (fb.CustomActivation(*square(kind)) for kind in kinds)
    assert one.forward is not other.forward
    for part, slope in ((one, 2 * 3.0), (other, 1.0)):
        net = fb.Network([fb.Activation(part)], (1,), loss="mae", dtype="float64")
        assert net.input_gradient([[3.0]], [[0.0]]) == slope


OWN = """
import math, numpy as np, fastbp as fb
from numba import njit
K = {constant}
def f(z): return K * z * z
def slope(z): return 2 * K * z
net = fb.Network([fb.Dense(3, fb.CustomActivation(f, slope))], (2,), loss="mse", seed=0)
print(net.train_on_batch(np.ones((4, 2)), np.zeros((4, 3))))
"""


@pytest.mark.slow
def test_own_kernels_are_cached(tmp_path):
    """A second process compiles nothing; one with another constant does."""
    (script := tmp_path / "own.py").write_text(OWN.format(constant=1.0))
    run = f"exec(compile(open({str(script)!r}).read(), 'own', 'exec'))"
    results = [run_python(run, FASTBP_CACHE_DIR=str(tmp_path / "cache")) for _ in range(2)]
    script.write_text(OWN.format(constant=3.0))
    results.append(run_python(run, FASTBP_CACHE_DIR=str(tmp_path / "cache")))
    assert all(result.returncode == 0 for result in results), results
    assert ["compiling" in result.stderr for result in results] == [True, False, True]
    first, second, third = (float(result.stdout) for result in results)
    assert first == second and third == pytest.approx(9 * first, rel=1e-6)


# --- how parts are shown ---


def test_reprs_make_the_part_again():
    space = vars(fb) | {name: getattr(fb.initializers, name) for name in fb.initializers.INITIALIZER_CLASSES}
    for part in (
        fb.Dense(3),
        fb.Dense(3, "relu", bias=False, l2=0.1, trainable=False),
        fb.Dense(3, kernel_init=initializers.Uniform(-1, 1)),
        fb.Dropout(0.3),
        fb.Adam(),
        fb.SGD(fb.Warmup(fb.CosineDecay(0.1, 100), 10), momentum=0.9, clip_norm=1.0),
        fb.PiecewiseConstant([1, 2], [0.1, 0.2, 0.3]),
        fb.Huber(0.5),
        fb.CrossEntropy(label_smoothing=0.1),
    ):
        again = eval(repr(part), dict(space))
        assert again == part and repr(again) == repr(part)
    assert (
        repr(fb.Dense(3)) == "Dense(3)"
        and repr(fb.Adam()) == "Adam(0.001)"
        and repr(fb.CrossEntropy()) == "'cross_entropy'"
    )


# --- registries ---


def test_a_registered_layer_is_known_to_files(tmp_path):
    class Doubled(fb.Activation):
        """An Activation under a name of its own."""

    net = fb.Network([Doubled("tanh"), fb.Dense(2)], (3,), loss="mse", seed=0)
    net.save(tmp_path / "net.npz")
    with pytest.raises(fb.FileFormatError, match="unknown class 'Doubled'"):
        fb.load(tmp_path / "net.npz")
    try:
        assert LAYERS.register(Doubled) is Doubled and LAYERS.register(Doubled) is Doubled
        assert (fb.load(tmp_path / "net.npz").predict(np.ones((4, 3))) == net.predict(np.ones((4, 3)))).all()
    finally:
        del LAYERS["Doubled"], PARTS["Doubled"]


def test_two_classes_of_parts_cannot_have_one_name():
    class Adam(fb.Adam):
        """Another Adam."""

    known = dict(PARTS)
    for registry in (OPTIMIZERS, LAYERS):
        with pytest.raises(ValueError, match="a part must have a name of its own, got a second class 'Adam'"):
            registry.register(Adam)
    assert known == PARTS and OPTIMIZERS["Adam"] is fb.Adam and "Adam" not in LAYERS


# --- layers within networks and residuals ---


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (fb.Dense(3), TypeError, r"^layers must be a list of layers, got Dense\(3\)"),
        (7, TypeError, "^layers must be a list of layers, got 7"),
        ([], ValueError, "^layers must hold at least one layer, got none"),
        ([fb.Dense(3), "relu"], TypeError, r"^layers must hold layers such as Dense\(10\), got 'relu' at place 1"),
    ],
)
def test_networks_and_residuals_check_their_layers_alike(layers, error, message):
    for make in (lambda: fb.Network(layers, (3,), loss="mse"), lambda: fb.Residual(layers)):
        with pytest.raises(error, match=message):
            make()


def test_a_layer_that_does_not_fit_is_named_with_all_that_hold_it():
    inside = fb.Residual([fb.Dense(3), fb.Residual([fb.Dense(3), fb.Dense(3), fb.Conv1D(2, 3)])])
    with pytest.raises(ValueError, match=r"^layers: Residual_1: Residual_1: Conv1D_1: Conv1D takes rows of shape"):
        fb.Network([fb.Dense(3), inside], (3,), loss="mse")


def test_what_a_residual_is_made_of():
    inside = fb.Residual([fb.Residual([fb.Dense(3), fb.BatchNorm()]), fb.Dense(4)], trainable=False)
    links = inside.inner((3,))
    assert [link.name for link in links] == ["Residual_1", "Dense_1", "projection"]
    assert [(link.input_shape, link.output_shape) for link in links] == [((3,), (3,)), ((3,), (4,)), ((3,), (4,))]
    assert all(not link.layer.trainable for link in links[:2])
    names = [wanted.name for wanted in inside.parameters((3,))]
    assert names[:2] == ["Residual_1.Dense_1.weight", "Residual_1.Dense_1.bias"] and names[-1] == "projection.weight"
    assert [wanted.name.rpartition(".")[0] for wanted in inside.statistics((3,))] == ["Residual_1.BatchNorm_1"] * 2
    assert fb.Dense(3).inner((3,)) == ()
