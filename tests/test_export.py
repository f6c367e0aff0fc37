"""Networks as C source: compiled without a warning, they predict the same."""

import ctypes

import numpy as np
import pytest
from cases import ACTIVATIONS, LOSSES, MAP_LAYERS, batch, network, relative
from numba import njit
from support import compile_c, seed_of

import fastbp as fb
from fastbp.activations import ACTIVATIONS as ALL_ACTIVATIONS
from fastbp.layers import LAYERS, Layer
from fastbp.parts import PARTS

PREDICT = """
#include "{path}"

void predict_all(const {real} *x, {real} *y, int rows);

void predict_all(const {real} *x, {real} *y, int rows)
{{
    for (int r = 0; r < rows; r++)
        {name}_predict(x + r * {name}_inputs, y + r * {name}_outputs);
}}
"""


STRICT = "-Wconversion", "-Wshadow"  # and what compile_c has


def predict_in_c(net, X, folder, name="model", *flags):
    path = folder / "model.c"
    net.export_c(path, **({} if name == "model" else {"name": name}))
    real = "float" if net.dtype == np.float32 else "double"
    library = compile_c(PREDICT.format(path=path, real=real, name=name), folder, *STRICT, *flags)
    X, out = np.ascontiguousarray(X, net.dtype), np.full((len(X), *net.output_shape), np.nan, net.dtype)
    library.predict_all(X.ctypes, out.ctypes, ctypes.c_int(len(X)))
    return out


def check_alike(got, want):
    """To 1e-6 of the largest output; in float64, to 1e-12 of the largest of each row."""
    assert np.isfinite(got).all() and relative(got.astype(np.float64), want.astype(np.float64)) < 1e-6
    if want.dtype == np.float64:
        got, want = got.reshape(len(got), -1), want.reshape(len(want), -1)
        assert (np.abs(got - want).max(axis=1) <= 1e-12 * np.abs(want).max(axis=1)).all()


def test_the_tables_have_every_part():
    assert {name for name, activation in ALL_ACTIVATIONS.items() if activation.c is None} == {"linear"}
    assert all(kind.write_c is not Layer.write_c for kind in LAYERS.values())


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


def sizes(rng, dims, low, high):
    """A number for all axes, or one for each."""
    return int(rng.integers(low, high)) if rng.random() < 0.3 else tuple(rng.integers(low, high, dims).tolist())


def random_layer(rng, shape, *, nested=False):
    """A layer for rows of a shape; it may be that it does not fit."""
    dims, channels = len(shape) - 1, shape[0]
    activation = str(rng.choice(("linear", "relu", "tanh", "silu", "hard_sigmoid")))
    kind = rng.choice(("window", "window", "pool", "norm", "residual", "other"))
    if kind == "residual" and not nested:
        return fb.Residual([random_layer(rng, shape, nested=rng.random() < 0.8)])
    if kind == "other":
        return (fb.Dropout(0.5), fb.Activation(activation))[rng.integers(2)]
    if kind == "norm":
        axes = int(rng.integers(1, dims + 2))
        few = np.prod(shape[-axes:]) < 4  # then the variance may be little but what rounding leaves
        return fb.BatchNorm() if few or rng.random() < 0.5 else fb.LayerNorm(axes, epsilon=1.0)
    bias = bool(rng.random() < 0.8)
    if dims == 0:
        return fb.Dense(int(rng.integers(1, 9)), activation, bias=bias)
    padding = ("same", "valid", sizes(rng, dims, 0, 3))[rng.integers(3)]
    window = sizes(rng, dims, 1, 5)
    if kind == "pool":
        if rng.random() < 0.2:
            return (fb.GlobalAvgPool1D, fb.GlobalAvgPool2D)[dims - 1]()
        pool = ((fb.MaxPool1D, fb.AvgPool1D), (fb.MaxPool2D, fb.AvgPool2D))[dims - 1][rng.integers(2)]
        padding = padding if isinstance(padding, str) else int(np.min(window)) // 2
        return pool(window, None if rng.random() < 0.5 else sizes(rng, dims, 1, 4), padding)
    groups = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    settings = sizes(rng, dims, 1, 4), padding, sizes(rng, dims, 1, 3), groups, activation
    return (fb.Conv1D, fb.Conv2D)[dims - 1](groups * int(rng.integers(1, 4)), window, *settings, bias=bias)


def vary(net, rng):
    """Give parameters and statistics other values than the initial ones, which may be all 0 or all 1."""
    for layer in net.layers:
        for name, values in {**layer.weights, **layer.statistics}.items():
            if not name.endswith("weight"):
                middle = 1 if name.endswith(("gain", "variance")) else 0
                values[...] = rng.uniform(middle - 0.5, middle + 0.5, values.shape)


def random_network(seed):
    """Up to six layers on maps, then none, one or two on vectors; float32 for even seeds."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 7)), *rng.integers(1, 10, rng.integers(1, 3)).tolist())
    layers, now, wanted, vectors = [], shape, int(rng.integers(1, 7)), int(rng.integers(0, 3))
    while len(layers) < wanted + vectors:
        if len(layers) == wanted and len(now) > 1:
            layers.append(fb.Flatten())
            wanted += 1
        else:
            try:
                layer = random_layer(rng, now)
                layer.output_shape(now)
            except ValueError:
                continue
            layers.append(layer)
        now = layers[-1].output_shape(now)
    net = fb.Network(layers, shape, loss="mse", dtype=("float32", "float64")[seed % 2], seed=seed)
    vary(net, rng)
    return net, rng.standard_normal((20, *shape))


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_of_maps(seed, tmp_path):
    net, X = random_network(seed)
    check_alike(predict_in_c(net, X, tmp_path), net.predict(X))


@pytest.mark.parametrize("name", MAP_LAYERS)
def test_each_layer_on_maps(name, tmp_path):
    rng = np.random.default_rng(seed_of(name))
    layer, shape = MAP_LAYERS[name]
    net = fb.Network([layer, fb.Flatten()], shape, loss="mse", dtype="float64", seed=0)
    vary(net, rng)
    X = rng.standard_normal((20, *shape))
    check_alike(predict_in_c(net, X, tmp_path), net.predict(X))


def test_every_layer_is_in_a_network():
    layers = [layer.layer for seed in range(40) for layer in random_network(seed)[0].layers]
    inner = [layer for residual in layers if isinstance(residual, fb.Residual) for layer in residual.layers]
    assert {type(layer).__name__ for layer in layers} | set(MAP_LAYERS) == set(LAYERS)
    assert {"Residual", "BatchNorm", "Conv2D", "Dense"} <= {type(layer).__name__ for layer in inner}


def lenet():
    layers = [fb.Conv2D(6, 5, padding=2, activation="relu"), fb.MaxPool2D(2), fb.Conv2D(16, 5), fb.BatchNorm()]
    layers += [fb.Activation("relu"), fb.MaxPool2D(2), fb.Flatten(), fb.Dense(84, "relu"), fb.Dense(10)]
    return fb.Network(layers, (1, 28, 28), loss="cross_entropy", seed=0)


def test_memory_for_values(tmp_path):
    """On the stack, and the file says how much; or static, with the same results."""
    net, X = lenet(), np.random.default_rng(0).standard_normal((30, 1, 28, 28))
    net.fit(X, np.arange(30) % 10, verbose=False)  # the batch's statistics are counted
    out = predict_in_c(net, X, tmp_path)
    check_alike(out, net.predict(X))
    assert (predict_in_c(net, X, tmp_path, "model", "-Dmodel_scratch=static") == out).all()
    text = (tmp_path / "model.c").read_text()
    assert (
        f"take {4 * (6 * 28 * 28 + 6 * 14 * 14):,} bytes of the stack" in text
    )  # what the first pool reads and writes
    assert "malloc" not in text and text.count("#include") == 1


def test_a_nan_goes_through_a_pool(tmp_path):
    """As in predict, whose rows are finite: a NaN comes of the difference of two sums that overflow."""
    layers = [fb.Conv1D(1, 1), fb.Conv1D(1, 2), fb.MaxPool1D(3, 1)]
    net = fb.Network(layers, (1, 6), loss="mse", seed=0)
    net.params[:] = 3e38, 0, 1, -1, 0
    X = np.array([[[0, 0, 0, 0, 3e38, 3e38]]], np.float32)
    with np.errstate(all="ignore"):
        want = net.predict(X)
    out = predict_in_c(net, X, tmp_path)
    assert np.isnan(want).any() and (np.isnan(out) == np.isnan(want)).all()


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


def test_a_layer_writes_its_own_c(tmp_path):
    class Reversed(fb.Activation):
        """The activation of each value, in C with the values in the opposite order."""

        def write_c(self, source, name, weights):
            super().write_c(source, name, weights)
            source.define(
                "turn",
                "\nstatic void turn(real *y, const real *x, int n)\n{\n"
                "    for (int i = 0; i < n; i++)\n        y[i] = x[n - 1 - i];\n}\n",
            )
            source.replace("turn", str(source.size), source.shape)

    net = fb.Network([Reversed("tanh")], (4,), loss="mse")
    X = np.random.default_rng(0).standard_normal((5, 4))
    LAYERS.register(Reversed)
    try:
        check_alike(predict_in_c(net, X, tmp_path), net.predict(X)[:, ::-1])
    finally:
        del LAYERS["Reversed"], PARTS["Reversed"]


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
    inside = fb.Network([fb.Residual([Own("tanh")])], (3,), loss="mse", seed=0)
    counted = fb.Network([fb.BatchNorm()], (3,), loss="mse", seed=0)
    counted.layers[0].running_variance[1] = -1
    for call, error, message in (
        (lambda: net.export_c(path, name="2d"), ValueError, "name must be a name in C.* got '2d'"),
        (lambda: net.export_c(None), TypeError, "path must be a path of a file, got None"),
        (lambda: net.export_c(path, name=None), TypeError, "name must be a name in C, got None"),
        (lambda: custom.export_c(path), ValueError, "Dense_2 can't be written as C: .*square"),
        (lambda: own.export_c(path), ValueError, "Own_1 can't be written as C: layers must be Activation, AvgPool1D"),
        (lambda: inside.export_c(path), ValueError, r"Residual_1\.Own_1 can't be written as C: layers must be"),
        (lambda: bad.export_c(path), ValueError, r"Dense_1\.weight must be finite to be written as C"),
        (lambda: counted.export_c(path), ValueError, r"BatchNorm_1\.scale must be finite to be written as C"),
        (lambda: net.export_c(tmp_path / "none" / "model.c"), FileNotFoundError, "model.c"),
    ):
        with pytest.raises(error, match=message):
            call()
    assert not path.exists()
