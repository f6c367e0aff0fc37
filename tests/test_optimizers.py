"""Each optimizer reaches the minimum of each problem of a small table."""

import numpy as np
import pytest
from numba import njit

import fastbp as fb
from fastbp.optimizers import OPTIMIZERS


@njit
def rosenbrock(y, t):
    return (1 - y[0]) ** 2 + 100 * (y[1] - y[0] ** 2) ** 2


@njit
def rosenbrock_slope(y, t, dy):
    dy[0] = -2 * (1 - y[0]) - 400 * y[0] * (y[1] - y[0] ** 2)
    dy[1] = 200 * (y[1] - y[0] ** 2)


def spirals():
    turn = np.linspace(0.5, 2.5, 60) * np.pi
    arm = np.stack([turn * np.cos(turn), turn * np.sin(turn)], axis=1) / 8
    return np.concatenate([arm, -arm]), np.repeat([0, 1], 60)


ONE, XOR = np.ones((1, 1)), np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
# Two numbers are the outputs of a layer without inputs: (start, target).
PROBLEMS = {
    "parabola": dict(
        layers=[fb.Dense(2, bias=False)], X=ONE, y=np.array([[3.0, -2.0]]), loss="squared_error", least=1e-4
    ),
    "rosenbrock": dict(
        layers=[fb.Dense(2, bias=False, kernel_init=np.array([[-1.0, 1.0]]))],
        X=ONE,
        y=np.zeros((1, 2)),
        loss=fb.CustomLoss(rosenbrock, rosenbrock_slope, whole_row=True),
        least=1e-3,
    ),
    "xor": dict(
        layers=[fb.Dense(8, "tanh"), fb.Dense(1)],
        X=XOR,
        y=XOR[:, 0] ^ XOR[:, 1],
        loss="binary_cross_entropy",
        least=0.01,
    ),
    "spirals": dict(
        layers=[fb.Dense(24, "tanh"), fb.Dense(24, "tanh"), fb.Dense(2)],
        X=spirals()[0],
        y=spirals()[1],
        loss="cross_entropy",
        least=0.05,
    ),
}
SETTINGS = {
    "SGD": dict(
        parabola=fb.SGD(0.1),
        rosenbrock=fb.SGD(1e-3, momentum=0.9),
        xor=fb.SGD(0.5, momentum=0.9),
        spirals=fb.SGD(0.1, momentum=0.9),
    ),
    "Adam": dict.fromkeys(PROBLEMS, fb.Adam(0.01)),
    "AdamW": dict.fromkeys(PROBLEMS, fb.AdamW(0.01, weight_decay=1e-5)),
    "Nadam": dict.fromkeys(PROBLEMS, fb.Nadam(0.01)),
    "RMSprop": dict.fromkeys(PROBLEMS, fb.RMSprop(0.002)),
    "Adagrad": dict.fromkeys(PROBLEMS, fb.Adagrad(0.2)),
    "Adadelta": dict.fromkeys(PROBLEMS, fb.Adadelta(fb.ExponentialDecay(1.0, 0.9995))),
    "Lion": dict.fromkeys(PROBLEMS, fb.Lion(fb.ExponentialDecay(0.01, 0.999))),
    "Rprop": dict.fromkeys(PROBLEMS, fb.Rprop()),
}
EPOCHS = 6000


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_reaches_the_minimum(optimizer):
    for name, problem in PROBLEMS.items():
        X, y = problem["X"], problem["y"]
        net = fb.Network(
            problem["layers"],
            X.shape[1:],
            loss=problem["loss"],
            optimizer=SETTINGS[optimizer][name],
            dtype="float64",
            seed=0,
        )
        callbacks = [fb.StopAtLoss(problem["least"])]
        history = net.fit(X, y, epochs=EPOCHS, batch_size=len(X), callbacks=callbacks, verbose=False).history
        assert history["loss"][-1] <= problem["least"], f"{optimizer} on {name}"
