"""Slow and obvious networks in float64 NumPy: what a benchmark's result is compared with before it is timed."""

from __future__ import annotations

import numpy as np

import fastbp as fb

from .networks import Spec

# f(x), and f'(x) from y = f(x)
ACTIVATIONS = {
    "relu": (lambda x: np.maximum(x, 0), lambda y: y > 0),
    "tanh": (np.tanh, lambda y: 1 - y**2),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda y: y * (1 - y)),
}


def _forward(spec: Spec, net: fb.Network, X: np.ndarray) -> list[np.ndarray]:
    """X, and the output of each layer, the last one without an activation."""
    f, _ = ACTIVATIONS[spec.activation]
    values = [X.astype(np.float64)]
    for layer in net.layers:
        z = values[-1] @ layer.weight.astype(np.float64) + layer.bias
        values.append(z if layer is net.layers[-1] else f(z))
    return values


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def predict(spec: Spec, net: fb.Network, X: np.ndarray) -> np.ndarray:
    """What net.predict(X) should be."""
    z = _forward(spec, net, X)[-1]
    return _softmax(z) if spec.loss == "cross_entropy" else z


def value_and_grad(spec: Spec, net: fb.Network, X: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """What net.value_and_grad(X, y) should be."""
    _, df = ACTIVATIONS[spec.activation]
    values = _forward(spec, net, X)
    rows, z = len(X), values[-1]
    if spec.loss == "cross_entropy":
        p, target = _softmax(z), np.eye(spec.sizes[-1])[y]
        loss, dz = -np.log(p[np.arange(rows), y]).mean(), (p - target) / rows
    else:
        loss, dz = ((z - y) ** 2).mean(), 2 * (z - y) / z.size
    grad: list[np.ndarray] = []
    for layer, x in zip(net.layers[::-1], values[-2::-1], strict=True):
        grad = [(x.T @ dz).ravel(), dz.sum(axis=0), *grad]
        dz = dz @ layer.weight.T * df(x)  # of X itself it is never used
    return float(loss), np.concatenate(grad)


def check(spec: Spec, net: fb.Network, X: np.ndarray, y: np.ndarray) -> None:
    """Raise AssertionError unless the network's loss and predictions agree with these, and a float64 twin's gradient.

    The gradient in float64, as a relu whose input is almost 0 may be on in float32 and off here.
    """
    loss, grad = value_and_grad(spec, net, X, y)
    np.testing.assert_allclose(net.evaluate(X, y)["loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(net.predict(X), predict(spec, net, X), rtol=1e-4, atol=1e-5)
    twin = fb.Network([layer.layer for layer in net.layers], spec.sizes[:1], loss=spec.loss, dtype="float64", seed=0)
    twin.params = net.params
    error = np.linalg.norm(twin.value_and_grad(X, y)[1] - grad) / np.linalg.norm(grad)
    assert error < 1e-12, f"the gradient is off by {error:.1e} of its norm"


def _convolve(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x (rows, channels, …) under every place of the kernels (filters, channels, …)."""
    axes = tuple(range(2, x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axes)
    within = [x.ndim + i for i in range(len(axes))]
    z = np.tensordot(windows, weight, ([1, *within], [1, *(axis for axis in axes)]))
    return np.moveaxis(z, -1, 1)


def _largest(x: np.ndarray, pool: int) -> np.ndarray:
    """The largest of each window of `pool`; what is left at the end is left out."""
    for axis in range(2, x.ndim):
        parts = x.shape[axis] // pool
        x = np.take(x, range(parts * pool), axis)
        x = x.reshape(*x.shape[:axis], parts, pool, *x.shape[axis + 1 :]).max(axis=axis + 1)
    return x


def predict_maps(spec: Spec, net: fb.Network, X: np.ndarray) -> np.ndarray:
    """What net.predict(X) should be, of a network of convolutions and dense layers that has not been trained yet."""
    f, _ = ACTIVATIONS[spec.activation]
    layers = [layer for layer in net.layers if layer.weights]
    x, norms = X.astype(np.float64), [layer for layer in layers if layer.statistics]
    convolutions = [layer for layer in layers if layer.weights.get("weight", np.zeros(0)).ndim > 2]
    along = (-1, *(1,) * (X.ndim - 2))
    for maps, layer in zip(spec.maps, convolutions, strict=True):
        if maps.same:
            before, after = (maps.kernel - 1) // 2, maps.kernel // 2
            x = np.pad(x, [(0, 0), (0, 0), *[(before, after)] * (X.ndim - 2)])
        x = _convolve(x, layer.weight.astype(np.float64))
        if maps.norm:  # the running mean and variance are still 0 and 1
            norm = norms.pop(0)
            x = x / np.sqrt(1 + 1e-5) * norm.gain.reshape(along) + norm.bias.reshape(along)
        else:
            x = x + layer.bias.reshape(along)
        x = _largest(f(x), maps.pool)
    x = x.reshape(len(x), -1)
    dense = [layer for layer in layers if layer.weights.get("weight", np.zeros(0)).ndim == 2]
    for layer in dense:
        z = x @ layer.weight.astype(np.float64) + layer.bias
        x = z if layer is dense[-1] else f(z)
    return _softmax(x) if spec.loss == "cross_entropy" else x


def check_maps(spec: Spec, net: fb.Network, X: np.ndarray, y: np.ndarray) -> None:
    """Raise AssertionError unless predictions agree with these, and a float64 twin's gradient with a difference."""
    np.testing.assert_allclose(net.predict(X), predict_maps(spec, net, X), rtol=1e-4, atol=1e-5)
    twin = fb.Network([layer.layer for layer in net.layers], spec.shape, loss=spec.loss, dtype="float64", seed=0)
    way = np.random.default_rng(0).standard_normal(net.num_params)
    way *= 1e-7 / np.linalg.norm(way)
    start = net.params.astype(np.float64)
    losses = []
    for params in (start + way, start - way):
        twin.params = params
        losses.append(twin.value_and_grad(X, y)[0])
    twin.params = start
    slope = twin.value_and_grad(X, y)[1] @ way
    np.testing.assert_allclose((losses[0] - losses[1]) / 2, slope, rtol=1e-4)
