"""The table of parts: each layer, activation, loss and optimizer has its rows here."""

import numpy as np

import fastbp as fb

ACTIVATIONS = ("linear", "sigmoid", "tanh", "relu", "softmax")
LOSSES = ("mse", "squared_error", "cross_entropy", "binary_cross_entropy")
OPTIMIZERS = {
    "SGD": fb.SGD(0.1),
    "SGD decay": fb.SGD(0.1, weight_decay=0.01),
    "SGD momentum": fb.SGD(0.05, momentum=0.9),
    "SGD Nesterov": fb.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": fb.Adam(0.01),
    "Adam other": fb.Adam(0.01, beta1=0.8, beta2=0.95, epsilon=1e-6),
}
# sizes of hidden layers, whether the last layer has an activation of its own, whether layers have biases
BUILDS = {"one": [], "two": [5], "three": [7, 4], "no bias": [6], "layers of activation": [6]}


def network(build, activation, loss, optimizer=None, *, inputs=6, outputs=3, dtype="float64", seed=1):
    """A network for a row of the table; its last layer has the activation where the loss allows it."""
    last = activation if loss in ("mse", "squared_error") else None
    bias = build != "no bias"
    layers = []
    for units, of in [*((units, activation) for units in BUILDS[build]), (outputs, last)]:
        if build == "layers of activation":
            layers.append(fb.Dense(units, bias_init="glorot_normal"))
            layers += [fb.Activation(of)] if of else []
        else:
            layers.append(fb.Dense(units, activation=of, bias=bias, bias_init="glorot_normal"))
    return fb.Network(layers, (inputs,), loss=loss, optimizer=optimizer, dtype=dtype, seed=seed)


def batch(loss, rng, rows, *, inputs=6, outputs=3, probabilities=False):
    """(X, y) for a loss."""
    X = rng.standard_normal((rows, inputs))
    if loss == "cross_entropy" and not probabilities:
        return X, rng.integers(0, outputs, rows)
    y = rng.uniform(0, 1, (rows, outputs))
    if loss == "cross_entropy":
        y /= y.sum(axis=1, keepdims=True)
    return X, y if loss != "mse" else rng.standard_normal((rows, outputs))


def relative(got, want):
    """The largest difference, relative to the largest number."""
    return np.abs(got - want).max() / max(np.abs(want).max(), 1e-300)
