"""fb.check_gradients: right parts pass, wrong ones are found where they are, kinks are left out."""

import math

import numpy as np
import pytest
from test_diagnosis import parsed
from test_errors import unchanged

import fastbp as fb


def bent(z):
    return z if z < 25.0 else 2.0 * z - 25.0


def bent_slope_wrong_from_25_to_39(z):
    """Where CustomActivation does not look."""
    return 1.0 if z < 39.0 else 2.0


def square(z):
    return z * z


def square_slope(z):
    return 2.0 * z


def network(activation="tanh", loss="mse", *, dtype="float32", last=None, seed=0):
    layers = [fb.Dense(7, activation, l2=0.1), fb.Dropout(0.3), fb.Dense(5, activation, l1=0.01), fb.Dense(3, last)]
    return fb.Network(layers, (4,), loss=loss, dtype=dtype, seed=seed)


def data(seed=0, rows=20, scale=1.0):
    rng = np.random.default_rng(seed)
    return scale * rng.standard_normal((rows, 4)), rng.integers(0, 2, (rows, 3)).astype(float)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["mse", "squared_error", "cross_entropy", "binary_cross_entropy", "huber", "poisson"])
@pytest.mark.parametrize("activation", ["linear", "sigmoid", "tanh", "relu", "softmax", "silu", "softsign"])
def test_right_gradients_pass(activation, loss, dtype):
    net, (X, y) = network(activation, loss, dtype=dtype), data()
    y = y.argmax(axis=1) if loss == "cross_entropy" else y
    before = [array.copy() for array in (*net.arrays().values(), net.grads, X)]
    found = fb.check_gradients(net, X, y, sample_weight=np.linspace(0.5, 2, 20), samples=None)
    assert found.ok and found.worst < 3e-6
    assert [(part.name, part.elements) for part in found.parts] == [
        ("Dense_1 weight", 28),
        ("Dense_1 bias", 7),
        ("Dense_2 weight", 35),
        ("Dense_2 bias", 5),
        ("Dense_3 weight", 15),
        ("Dense_3 bias", 3),
        ("inputs", 80),
    ]
    assert all(part.checked + part.kinks == part.elements for part in found.parts)
    assert activation == "relu" or not any(part.kinks for part in found.parts)
    assert all(np.array_equal(a, b) for a, b in zip(before, (*net.arrays().values(), net.grads, X), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_large_logits_large_layers_and_many_rows(seed):
    X, _ = data(seed, 500, scale=20.0)
    net = network("relu", "cross_entropy", seed=seed)
    assert fb.check_gradients(net, X, np.arange(500) % 3, seed=seed).ok
    layers = [fb.Dense(700, "relu"), fb.Dense(300, "tanh"), fb.Dense(3)]  # their weights are packed
    wide = fb.Network(layers, (4,), loss="mse", seed=seed)
    assert fb.check_gradients(wide, *data(seed, 30), samples=5, seed=seed).ok


def test_the_numbers_are_those_of_value_and_grad():
    net, (X, y) = network(dtype="float64"), data()
    _, gradient = net.value_and_grad(X, y)
    found = fb.check_gradients(net, X, y, samples=None)
    first, inputs = found.parts[0], found.parts[-1]
    assert first.analytic == gradient[: first.elements].reshape(4, 7)[first.at]
    assert inputs.analytic == net.input_gradient(X, y)[inputs.at]
    for part in found.parts:
        assert part.numeric == pytest.approx(part.analytic, rel=1e-5) and part.error < 1e-5
    assert found.worst == max(part.error for part in found.parts)


def test_a_sample_of_the_elements():
    X, y = data()
    found = fb.check_gradients(network(), X, y, samples=6)
    assert [part.checked for part in found.parts] == [6, 6, 6, 5, 6, 3, 6]
    assert found == fb.check_gradients(network(), X, y, samples=6)
    assert found != fb.check_gradients(network(), X, y, samples=6, seed=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_custom_activation_that_is_wrong_in_a_band(dtype):
    activation = fb.CustomActivation(bent, bent_slope_wrong_from_25_to_39)
    layers = [fb.Dense(6, "tanh"), fb.Dense(5, activation, kernel_init="ones"), fb.Dense(3)]
    net = fb.Network(layers, (4,), loss="mse", dtype=dtype, seed=0)
    X, y = data()
    assert fb.check_gradients(net, X, y).ok  # it is right where these rows are
    net.layers[1].bias[:] = 30.0
    found = fb.check_gradients(net, X, y)
    assert not found.ok
    wrong = [part.name for part in found.parts if part.error > found.tolerance]
    assert wrong == ["Dense_1 weight", "Dense_1 bias", "Dense_2 weight", "Dense_2 bias", "inputs"]
    for part in found.parts[2:4]:
        assert part.error == pytest.approx(0.5, abs=1e-6) and part.numeric == pytest.approx(2 * part.analytic, rel=1e-6)
    assert str(found).startswith(
        "The gradients are wrong (relative errors beyond 1e-05) by: Dense_1 weight, Dense_1 bias"
    )
    # what counts as right is the caller's to say
    assert fb.check_gradients(net, X, y, tolerance=10.0).ok


def test_a_custom_loss_that_is_wrong_far_out():
    def far(y, t):
        return 0.5 * (y - t) ** 2

    def far_slope(y, t):
        return y - t if abs(y) < 50.0 else 1.001 * (y - t)

    net = fb.Network([fb.Dense(3)], (4,), loss=fb.CustomLoss(far, far_slope), seed=0)
    X, y = data()
    assert fb.check_gradients(net, X, y).ok
    found = fb.check_gradients(net, 1000 * X, y)
    assert not found.ok and found.worst < 0.01  # a thousandth, of some of the rows


def test_right_parts_of_ones_own_pass():
    net = network(fb.CustomActivation(square, square_slope))
    assert fb.check_gradients(net, *data()).ok


def test_kinks_are_left_out_and_counted():
    layers = [fb.Dense(2, "relu", kernel_init="ones", bias=False), fb.Dense(1, kernel_init="ones")]
    net = fb.Network(layers, (2,), loss="mae", seed=0)
    found = fb.check_gradients(net, [[1.0, -1.0], [2.0, 1.0]], [0.0, 9.0])  # z of the first row is 0
    assert found.ok
    # the loss's own kink at y = t is checked: its derivative counts as 0, and so does the central difference
    assert [(part.checked, part.kinks) for part in found.parts] == [(0, 4), (2, 0), (1, 0), (2, 2)]
    first = found.parts[0]
    assert first.at is None and math.isnan(first.numeric) and str(found).splitlines()[4].split()[-4:] == ["-"] * 4
    nothing = fb.GradientCheck([first], 1e-5)
    assert not nothing.ok and str(nothing).startswith("No gradient could be checked: the loss has a kink everywhere.")


def test_a_kink_nearby_is_stepped_around():
    net = fb.Network([fb.Dense(1, "relu", kernel_init="ones", bias=False)], (1,), loss="squared_error", seed=0)
    found = fb.check_gradients(net, [[2e-6]], [-1.0])
    assert found.ok and [(part.checked, part.kinks) for part in found.parts] == [(1, 0), (1, 0)]


def test_text_and_html():
    found = fb.check_gradients(network(), *data())
    lines = str(found).splitlines()
    assert lines[0] == f"The gradients are right: the worst relative error is {found.worst:.1e}."
    assert " ".join(lines[2].split()) == "gradient by elements checked kinks worst error at analytic numeric"
    assert [line.split()[0] for line in lines[4:]] == [
        "Dense_1",
        "Dense_1",
        "Dense_2",
        "Dense_2",
        "Dense_3",
        "Dense_3",
        "inputs",
    ]
    assert repr(found) == f"<GradientCheck: {lines[0]}>"
    cells = parsed(found._repr_html_())
    assert lines[0] in cells and "Dense_3 bias" in cells


ARGUMENTS = [
    (dict(samples=0), ValueError, "samples must be at least 1, got 0"),
    (dict(samples=2.0), TypeError, "samples must be an integer, got 2.0"),
    (dict(tolerance=0), ValueError, "tolerance must be a finite number greater than 0, got 0"),
    (dict(tolerance="1"), TypeError, "tolerance must be a number, got '1'"),
    (dict(seed=-1), ValueError, "seed must be at least 0, got -1"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), ARGUMENTS)
def test_bad_arguments(arguments, error, message):
    net = network()
    unchanged(net, lambda: fb.check_gradients(net, *data(), **arguments), error, message)


def test_bad_networks():
    with pytest.raises(TypeError, match="net must be a Network, got None"):
        fb.check_gradients(None, *data())
    net = network("linear", dtype="float64")
    net.layers[0].weight[:] = 1e200
    unchanged(net, lambda: fb.check_gradients(net, *data()), fb.DivergedError, "the loss is inf on these rows")
