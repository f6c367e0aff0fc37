"""Derivatives of outputs, and networks under SciPy's optimizers."""

import numpy as np
import pytest
import scipy.optimize
from cases import ACTIVATIONS, LOSSES, network, relative
from numba import njit
from test_gradients import differences

import fastbp as fb

CASES = [*((activation, "mse") for activation in ACTIVATIONS), *(("tanh", loss) for loss in LOSSES)]


@pytest.mark.parametrize(("activation", "loss"), CASES)
def test_jacobians_against_differences(activation, loss):
    rng = np.random.default_rng(0)
    net = network("three", activation, loss)
    (n,), X = net.output_shape, rng.standard_normal((4, 6))
    steps = differences_of_outputs(lambda: net.predict(X), net.params)
    found = net.jacobian(X)
    assert found.shape == (4 * n, net.num_params) and found.dtype == np.float64
    assert relative(found, steps.reshape(4 * n, -1)) < 1e-6
    found, x = net.input_jacobian(X), X.copy()
    assert found.shape == (4, n, 6)
    steps = differences_of_outputs(lambda: net.predict(x), x).reshape(4, n, 4, 6)
    for row in range(4):
        assert relative(found[row], steps[row, :, row]) < 1e-6


def differences_of_outputs(f, at):
    """Central differences of each element of the array f() by each of `at`: (elements, elements)."""
    return np.array([differences(lambda: f().ravel()[i], at).ravel() for i in range(f().size)])  # noqa: B023


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_jacobians_of_many_rows_large_layers_and_compiled_code(dtype):
    """More rows than are worked on at once, layers whose weights are packed, inputs of another type and shape."""
    layers = [fb.Flatten(), fb.Dense(370, "tanh"), fb.Dropout(0.5), fb.Dense(390, "relu"), fb.Dense(2)]
    net = fb.Network(layers, (3, 2), loss="cross_entropy", dtype=dtype, seed=0)
    X = np.random.default_rng(0).integers(0, 3, (150, 3, 2)).astype(np.uint8)
    by_x, by_params = net.input_jacobian(X), net.jacobian(X[:5])
    assert by_x.shape == (150, 2, 3, 2) and by_params.shape == (10, net.num_params)
    close = dict(rtol=0, atol=1e-6 if dtype == "float32" else 1e-14)
    np.testing.assert_allclose(net.input_jacobian(X[70:71])[0], by_x[70], **close)
    p = net.predict(X[:5])
    for row in range(5):  # of a cross-entropy loss: -∂p/∂θ / p
        _, gradient = net.value_and_grad(X[row : row + 1], [1])
        want = -by_params[2 * row + 1] / p[row, 1]
        assert relative(want, gradient) < (2e-5 if dtype == "float32" else 1e-12)
        slope = net.input_gradient(X[row : row + 1], [1])[0]
        assert relative(-by_x[row, 1] / p[row, 1], slope) < (2e-5 if dtype == "float32" else 1e-12)

    @njit
    def both(h, X, by_params, by_x):
        fb.jit.jacobian(h, X, by_params)
        fb.jit.input_jacobian(h, X, by_x)

    rows = X.reshape(150, 6)[:5]
    for h in (net.handle(rows=1), net.handle(rows=64)):
        outs = np.full_like(by_params, np.nan), np.full((5, 2, 6), np.nan, dtype)
        both(h, rows, *outs)
        np.testing.assert_allclose(outs[0], by_params, **close)
        np.testing.assert_allclose(outs[1].reshape(5, 2, 3, 2), by_x[:5], **close)
    with pytest.raises(ValueError, match="out must have shape"):
        fb.jit.jacobian(h, rows, outs[0][:9])
    with pytest.raises(ValueError, match="out must have shape"):
        fb.jit.input_jacobian(h, rows, outs[1][1:])
    with pytest.raises(ValueError, match="the handle can only predict"):
        fb.jit.input_jacobian(net.handle(training=False), rows, outs[1])


def regression(rows=80):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (rows, 2))
    return X, np.sin(3 * X[:, 0]) * X[:, 1]


def surface(dtype="float64", loss="mse"):
    return fb.Network([fb.Dense(8, "tanh"), fb.Dense(1)], (2,), loss=loss, dtype=dtype, seed=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_minimize(dtype):
    (X, y), net = regression(), surface(dtype)
    before = net.params.copy()
    options = {"maxiter": 400}
    found = scipy.optimize.minimize(net.objective(X, y), net.params, jac=True, method="L-BFGS-B", options=options)
    assert found.fun < 1e-3 < net.evaluate(X, y)["loss"]
    assert (net.params == before).all()
    net.params = found.x
    assert net.evaluate(X, y)["loss"] == pytest.approx(found.fun, rel=1e-4 if dtype == "float32" else 1e-12)


def test_least_squares():
    """A network finds the values of another of its kind, from parameters near it."""
    (X, _), net = regression(), surface()
    net.params = there = np.random.default_rng(0).normal(net.params, 0.3)
    y = net.predict(X)[:, 0]
    start = np.random.default_rng(1).normal(there, 0.1)

    def residuals(params):
        net.params = params
        return net.predict(X)[:, 0] - y

    def slopes(params):
        net.params = params
        return net.jacobian(X)

    assert np.abs(residuals(start)).max() > 0.1
    found = scipy.optimize.least_squares(residuals, start, slopes)
    assert np.abs(residuals(found.x)).max() < 1e-7


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_objective_is_value_and_grad_in_float64(dtype, loss):
    net = network("two", "tanh", loss, dtype=dtype)
    double = network("two", "tanh", loss, dtype="float64")
    rng = np.random.default_rng(0)
    X, weight = rng.standard_normal((20, 6)), rng.uniform(0.5, 2, 20)
    y = rng.integers(0, 3, 20) if loss == "cross_entropy" else rng.standard_normal((20, 3))
    objective, params = net.objective(X, y, weight), rng.standard_normal(net.num_params)
    double.params = params
    want = double.value_and_grad(X, y, weight)
    X[:], y[:], weight[:] = 0, 0, 0  # what becomes of the arrays does not matter to it
    for _ in range(2):
        loss_at, gradient = objective(params)
        assert loss_at == want[0] and (gradient == want[1]).all() and gradient.dtype == np.float64
    assert repr(objective) == f"<Objective: {net.num_params:,} parameters, 20 rows>"


def test_errors():
    (X, y), net = regression(), surface()
    with pytest.raises(ValueError, match=r"params must have shape \(33,\), got \(32,\)"):
        net.objective(X, y)(net.params[1:])
    for params, kind in ((net.params + 1j, "complex128"), ("a", "<U1"), (None, "object")):
        with pytest.raises(TypeError, match=f"params must be real numbers, got {kind}"):
            net.objective(X, y)(params)
    for call in (net.jacobian, net.input_jacobian, lambda X: net.objective(X, y)):
        with pytest.raises(ValueError, match=r"X must have shape \(rows, 2\), got \(80, 3\)"):
            call(np.zeros((80, 3)))
    with pytest.raises(ValueError, match="y must"):
        net.objective(X, y[1:])
