"""Networks as C source: compiled without a warning, they predict the same."""

import ctypes

import numpy as np
import pytest
from cases import ACTIVATIONS, LOSSES, batch, network, relative
from numba import njit
from support import compile_c, seed_of

import fastbp as fb
from fastbp.activations import ACTIVATIONS as ALL_ACTIVATIONS
from fastbp.export import _ELEMENTWISE, _WRITERS
from fastbp.layers import LAYERS, Layer

PREDICT = """
#include "{path}"

void predict_all(const {real} *x, {real} *y, int rows);

void predict_all(const {real} *x, {real} *y, int rows)
{{
    for (int r = 0; r < rows; r++)
        {name}_predict(x + r * {name}_inputs, y + r * {name}_outputs);
}}
"""


def predict_in_c(net, X, folder, name="model"):
    path = folder / "model.c"
    net.export_c(path, **({} if name == "model" else {"name": name}))
    real = "float" if net.dtype == np.float32 else "double"
    library = compile_c(PREDICT.format(path=path, real=real, name=name), folder)
    X, out = np.ascontiguousarray(X, net.dtype), np.full((len(X), *net.output_shape), np.nan, net.dtype)
    library.predict_all(X.ctypes, out.ctypes, ctypes.c_int(len(X)))
    return out


def check_alike(got, want):
    """To 1e-6 of the largest output; in float64, to 1e-12 of the largest of each row."""
    assert np.isfinite(got).all() and relative(got, want) < 1e-6
    if want.dtype == np.float64:
        assert (np.abs(got - want).max(axis=1) <= 1e-12 * np.abs(want).max(axis=1)).all()


def test_the_tables_have_every_part():
    assert set(_ELEMENTWISE) | {"linear", "softmax"} == set(ALL_ACTIVATIONS)
    assert {kind.__name__ for kind in _WRITERS} <= set(LAYERS)


@pytest.mark.parametrize(
    ("activation", "loss"), [*((a, "mse") for a in ACTIVATIONS), *(("tanh", loss) for loss in LOSSES)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_predictions(dtype, activation, loss, tmp_path):
    rng = np.random.default_rng(seed_of(activation, loss))
    net = network("layers of activation" if activation == "mish" else "three", activation, loss, dtype=dtype)
    far = 3 if dtype == "float32" else 30  # farther out, sums in float32 lose more digits than are compared
    X = rng.standard_normal((200, 6)) * rng.choice([0.1, 1, far], (200, 1))
    if activation == "exponential":
        X /= far
    check_alike(predict_in_c(net, X, tmp_path), net.predict(X))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_networks(dtype, seed, tmp_path):
    rng = np.random.default_rng(seed)
    shape = ((7,), (2, 5), (28, 28), (1,), (3,), (40,))[seed]
    layers: list[Layer] = [fb.Flatten()] if len(shape) > 1 else []
    for _ in range(int(rng.integers(1, 4))):
        bias = bool(rng.integers(0, 2))
        activation = str(rng.choice(ACTIVATIONS[:-2]))
        layers += [fb.Dense(int(rng.integers(1, 65)), activation, bias=bias, bias_init="normal"), fb.Dropout(0.2)]
    net = fb.Network([*layers, fb.Dense(3)], shape, loss="mse", dtype=dtype, seed=seed)
    X, y = batch("mse", rng, 100, inputs=int(np.prod(shape)))
    X = X.reshape(-1, *shape)
    net.fit(X, y, epochs=2, verbose=False)
    check_alike(predict_in_c(net, X, tmp_path, "net_2"), net.predict(X))


def test_networks_without_weights(tmp_path):
    X = np.random.default_rng(0).standard_normal((5, 4))
    for layers in ([fb.Activation("linear")], [fb.Activation("softmax")], [fb.Flatten()]):
        net = fb.Network(layers, (4,), loss="mse")
        np.testing.assert_allclose(predict_in_c(net, X, tmp_path), net.predict(X), rtol=1e-6)


def test_weights_are_exact(tmp_path):
    net = fb.Network([fb.Dense(1, bias=False)], (8,), loss="mse", dtype="float64", seed=0)
    net.params[:] = [1 / 3, -0.0, 5e-324, 1.7e308, -1e-300, 1, 3, np.pi]
    for i, out in enumerate(predict_in_c(net, np.eye(8), tmp_path)[:, 0]):
        assert out == net.params[i]


@njit
def square(x):
    return x * x


@njit
def twice(x):
    return 2 * x


def test_errors(tmp_path):
    path = tmp_path / "model.c"
    net = fb.Network([fb.Dense(2, "tanh"), fb.Dense(1)], (3,), loss="mse", seed=0)
    custom = fb.Network([fb.Dense(2), fb.Dense(2, fb.CustomActivation(square, twice))], (3,), loss="mse", seed=0)
    bad = fb.Network([fb.Dense(1)], (1,), loss="mse", seed=0)
    bad.params[0] = np.inf

    class Own(fb.Activation):
        """A layer that is none of fastbp's."""

    own = fb.Network([fb.Dense(2), Own("tanh")], (3,), loss="mse", seed=0)
    for call, error, message in (
        (lambda: net.export_c(path, name="2d"), ValueError, "name must be a name in C.* got '2d'"),
        (lambda: net.export_c(path, name=None), TypeError, "name must be a name in C, got None"),
        (lambda: custom.export_c(path), ValueError, "Dense_2 can't be written as C: .*square"),
        (lambda: own.export_c(path), ValueError, "Own_1 can't be written as C: layers must be Dense"),
        (lambda: bad.export_c(path), ValueError, "params must be finite"),
        (lambda: net.export_c(tmp_path / "none" / "model.c"), FileNotFoundError, "model.c"),
    ):
        with pytest.raises(error, match=message):
            call()
    assert not path.exists()
