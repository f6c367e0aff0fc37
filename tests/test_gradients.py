"""Gradients against central differences in float64, for every combination of parts."""

import numpy as np
import pytest
from cases import ACTIVATIONS, BUILDS, LOSSES, MAP_LAYERS, PAIRS, batch, network, relative
from support import seed_of

import fastbp as fb
from fastbp.activations import ACTIVATIONS as ALL_ACTIVATIONS
from fastbp.layers import LAYERS
from fastbp.losses import LOSSES as ALL_LOSSES

STEP = 1e-6


def differences(f, at):
    """Central differences of f by each element of the array `at`, which is changed in place and put back."""
    flat, out = at.reshape(-1), np.empty(at.size)
    for i in range(at.size):
        kept = flat[i]
        flat[i] = kept + STEP
        above = f()
        flat[i] = kept - STEP
        below = f()
        flat[i] = kept
        out[i] = (above - below) / (2 * STEP)
    return out.reshape(at.shape)


def test_the_table_has_every_part():
    assert set(ACTIVATIONS) == set(ALL_ACTIVATIONS)
    assert set(LOSSES) == set(ALL_LOSSES)
    assert set(LAYERS) == {"Dense", "Activation", "Dropout", "Flatten", *MAP_LAYERS}


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("activation", "loss"), PAIRS)
def test_gradient_of_parameters_and_inputs(build, activation, loss):
    rng = np.random.default_rng(seed_of(build, activation, loss))
    net = network(build, activation, loss)
    for probabilities in {False, loss == "cross_entropy"}:
        X, y = batch(loss, rng, 7, probabilities=probabilities)
        weight = rng.uniform(0.5, 2, 7)
        value, gradient = net.value_and_grad(X, y, weight)
        assert value == pytest.approx(net.evaluate(X, y, sample_weight=weight)["loss"], rel=1e-12)
        want = differences(lambda: net.value_and_grad(X, y, weight)[0], net.params)  # noqa: B023
        assert relative(gradient, want) < 1e-6
        want = differences(lambda: net.value_and_grad(X, y)[0], X)  # noqa: B023
        assert relative(net.input_gradient(X, y), want) < 1e-6


@pytest.mark.parametrize("name", MAP_LAYERS)
def test_gradient_of_layers_on_maps(name):
    """Behind a convolution and before another, so that gradients come in and go on."""
    rng = np.random.default_rng(seed_of(name))
    layer, shape = MAP_LAYERS[name]
    convolution = (fb.Conv1D, fb.Conv2D)[len(shape) - 2]
    before = convolution(shape[0], 3, padding="same", activation="tanh", bias_init="uniform")
    net = fb.Network([before, layer, fb.Flatten(), fb.Dense(2)], shape, loss="mse", dtype="float64", seed=0)
    X, y = rng.standard_normal((11, *shape)), rng.standard_normal((11, 2))
    want = differences(lambda: net.value_and_grad(X, y)[0], net.params)
    assert relative(net.value_and_grad(X, y)[1], want) < 1e-6
    want = differences(lambda: net.value_and_grad(X, y)[0], X)
    assert relative(net.input_gradient(X, y), want) < 1e-6


@pytest.mark.parametrize("loss", LOSSES)
def test_float32_agrees_with_float64(loss):
    rng = np.random.default_rng(seed_of(loss))
    double = network("three", "tanh", loss, dtype="float64")
    single = network("three", "tanh", loss, dtype="float32")
    np.testing.assert_array_equal(single.params, double.params.astype(np.float32))
    X, y = batch(loss, rng, 50)
    (value64, gradient64), (value32, gradient32) = double.value_and_grad(X, y), single.value_and_grad(X, y)
    assert value32 == pytest.approx(value64, rel=1e-5)
    assert relative(gradient32, gradient64) < 1e-5


@pytest.mark.parametrize("seed", range(30))
def test_fuzzed_shapes_agree_with_the_naive_chain_rule(seed):
    """Networks of random sizes and batches, against forward and backward written out in NumPy."""
    rng = np.random.default_rng(seed)
    sizes = [int(rng.choice([1, 2, 3, 5, 8, 15, 16, 17, 33, 70])) for _ in range(int(rng.integers(2, 6)))]
    check_against_numpy(sizes, int(rng.choice([1, 2, 7, 8, 9, 31, 64, 65, 257, 600])), rng)


@pytest.mark.parametrize(
    ("sizes", "rows"),
    [((370, 390, 5), 70), ((200, 777, 190, 1), 33), ((500, 300), 1), ((1300, 110), 40), ((2400, 70, 3), 65)],
)
def test_large_layers_agree_with_the_naive_chain_rule(sizes, rows):
    """Layers whose weights are packed."""
    check_against_numpy(sizes, rows, np.random.default_rng(seed_of(sizes, rows)))


def check_against_numpy(sizes, rows, rng):
    """Loss, gradients and outputs of a network of tanh and relu layers."""
    layers = [fb.Dense(n, ("relu", "tanh")[i % 2], bias_init="he_normal") for i, n in enumerate(sizes[1:])]
    net = fb.Network(layers, sizes[:1], loss="squared_error", dtype="float64", seed=int(rng.integers(1000)))
    X, y = rng.standard_normal((rows, sizes[0])), rng.standard_normal((rows, sizes[-1]))
    value, gradient = net.value_and_grad(X, y)

    outputs = [X]
    for i, layer in enumerate(net.layers):
        z = outputs[-1] @ layer.weight + layer.bias
        outputs.append(np.tanh(z) if i % 2 else np.maximum(z, 0))
    delta = (outputs[-1] - y) / rows
    want = []
    for i, layer, x, a in zip(
        reversed(range(len(layers))), net.layers[::-1], outputs[-2::-1], outputs[:0:-1], strict=True
    ):
        delta = delta * (1 - a**2) if i % 2 else delta * (a > 0)
        want = [(x.T @ delta).ravel(), delta.sum(axis=0), *want]
        delta = delta @ layer.weight.T
    assert value == pytest.approx(0.5 * ((outputs[-1] - y) ** 2).sum() / rows, rel=1e-12)
    assert relative(gradient, np.concatenate(want)) < 1e-12
    assert relative(net.input_gradient(X, y), delta) < 1e-12
    np.testing.assert_allclose(net.forward(X), outputs[-1], rtol=1e-11, atol=1e-12)
