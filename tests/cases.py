"""The table of parts: each layer, activation, loss and optimizer has its rows here."""

import numpy as np

import fastbp as fb

ACTIVATIONS = (
    *("linear", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus", "softsign"),
    *("hard_sigmoid", "hard_tanh", "exponential", "softmax"),
)
LOSSES = (
    *("mse", "squared_error", "mae", "huber", "cross_entropy", "binary_cross_entropy", "poisson", "hinge"),
    *("kl_divergence", "quantile", "gaussian_nll"),
)
# Every activation, every loss, and the pairs of them that share kernels or buffers.
PAIRS = [
    *((activation, "mse") for activation in ACTIVATIONS),
    *((activation, loss) for activation in ("tanh", "relu", "gelu") for loss in LOSSES if loss != "mse"),
    *(("softmax", "cross_entropy"), ("sigmoid", "binary_cross_entropy"), ("exponential", "poisson")),
]
OPTIMIZERS = {
    "SGD": fb.SGD(0.1),
    "SGD decay": fb.SGD(0.1, weight_decay=0.01),
    "SGD momentum": fb.SGD(0.05, momentum=0.9),
    "SGD Nesterov": fb.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "SGD clip norm": fb.SGD(0.1, clip_norm=0.1),
    "SGD clip value": fb.SGD(0.1, clip_value=0.02),
    "SGD clip both": fb.SGD(0.1, clip_value=0.05, clip_norm=0.1),
    "Adam": fb.Adam(0.01),
    "Adam other": fb.Adam(0.01, beta1=0.8, beta2=0.95, epsilon=1e-6, weight_decay=0.1),
    "AdamW": fb.AdamW(0.01, weight_decay=0.1),
    "Nadam": fb.Nadam(0.01, weight_decay=0.1),
    "RMSprop": fb.RMSprop(0.01),
    "RMSprop momentum": fb.RMSprop(0.01, momentum=0.9, weight_decay=0.1),
    "RMSprop centered": fb.RMSprop(0.01, centered=True, rho=0.9),
    "RMSprop both": fb.RMSprop(0.01, centered=True, momentum=0.5),
    "Adagrad": fb.Adagrad(0.1, rate_decay=0.1, weight_decay=0.1),
    "Adadelta": fb.Adadelta(weight_decay=0.1),
    "Lion": fb.Lion(0.01, weight_decay=0.1),
    "Rprop": fb.Rprop(0.01),
}
# A layer on maps, and the shape of a row that it takes.
MAP_LAYERS = {
    "Conv1D": (fb.Conv1D(4, 3, 2, 1, activation="silu", bias_init="uniform"), (2, 7)),
    "Conv2D": (fb.Conv2D(6, (2, 3), 1, "same", (2, 1), 2, "softplus", bias_init="uniform"), (4, 5, 4)),
    "MaxPool1D": (fb.MaxPool1D(3, 2, 1), (2, 7)),
    "MaxPool2D": (fb.MaxPool2D(2), (3, 5, 4)),
    "AvgPool1D": (fb.AvgPool1D(3, 1, "same"), (2, 7)),
    "AvgPool2D": (fb.AvgPool2D((2, 3), 2, (1, 0)), (3, 5, 4)),
    "BatchNorm": (fb.BatchNorm(), (3, 2, 3)),
    "LayerNorm": (fb.LayerNorm(2), (3, 2, 3)),
    "Residual": (fb.Residual([fb.Conv2D(2, 3, 2, "same", activation="tanh"), fb.BatchNorm()]), (3, 4, 3)),
    "GlobalAvgPool1D": (fb.GlobalAvgPool1D(), (2, 7)),
    "GlobalAvgPool2D": (fb.GlobalAvgPool2D(), (3, 5, 4)),
}
# sizes of hidden layers, whether the last layer has an activation of its own, whether layers have biases
BUILDS = {"one": [], "two": [5], "three": [7, 4], "no bias": [6], "layers of activation": [6]}


def network(build, activation, loss, optimizer=None, *, inputs=6, outputs=3, dtype="float64", seed=1):
    """A network for a row of the table; its last layer has the activation where the loss allows it."""
    last = activation if loss in ("mse", "squared_error", "mae", "huber", "quantile") else None
    last = "softmax" if loss == "kl_divergence" else last
    outputs += loss == "gaussian_nll"  # a mean and a variance for each target
    bias = build != "no bias"
    layers = []
    hidden = "tanh" if activation == "exponential" else activation  # of exponentials only the last
    for units, of in [*((units, hidden) for units in BUILDS[build]), (outputs, last)]:
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
    if loss in ("cross_entropy", "kl_divergence"):
        y /= y.sum(axis=1, keepdims=True)
    if loss == "hinge":
        y = rng.integers(0, 2, (rows, outputs)) * 2 - 1
    if loss == "poisson":
        y = rng.poisson(2, (rows, outputs))
    if loss == "gaussian_nll":
        return X, rng.standard_normal((rows, (outputs + 1) // 2))
    return X, y if loss not in ("mse", "mae", "huber", "quantile") else rng.standard_normal((rows, outputs))


def relative(got, want):
    """The largest difference, relative to the largest number."""
    return np.abs(got - want).max() / max(np.abs(want).max(), 1e-300)
