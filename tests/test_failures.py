"""net.diagnose on the textbook's failures, each made to happen, and on networks with which nothing is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import healthy
import numpy as np
import pytest
import sklearn.datasets

import fastbp as fb
from fastbp.diagnosis.relation import relation

SEEDS = range(3)


class Failure(NamedTuple):
    """make(seed) gives (net, X, y); starts: what the sentences begin with, all of them; words: what they say."""

    make: Callable[[int], tuple[fb.Network, np.ndarray, np.ndarray]]
    starts: list[str]
    words: list[str]


def net_of(layers: list[Any], X: np.ndarray, loss: Any = "cross_entropy", optimizer: Any = None, seed: int = 0):
    return fb.Network(layers, X.shape[1:], loss=loss, optimizer=optimizer, seed=seed)


def digits_net(hidden: list[Any], *, optimizer: Any = None, epochs: int = 0, last: Any = None):
    def make(seed):
        X, y = healthy.digits(seed)
        net = net_of([*hidden, last or fb.Dense(10)], X, optimizer=optimizer, seed=seed)
        if epochs:
            net.fit(X, y, epochs=epochs, verbose=False)
        return net, X, y

    return make


def changed(data, change, layers, loss="cross_entropy", optimizer=None):
    def make(seed):
        X, y = change(*data(seed), np.random.default_rng(seed))
        return net_of(layers, X, loss, optimizer, seed), X, y

    return make


def tanh_net(outputs: int, last: str | None = None) -> list[Any]:
    return [fb.Dense(20, "tanh"), fb.Dense(outputs, last)]


def all_same(units: int, activation: str, value: float) -> fb.Dense:
    return fb.Dense(units, activation, kernel_init=value)


def shuffled(X, y, rng):
    return X, rng.permutation(y)


def with_column(value):
    return lambda X, y, rng: (np.insert(X, 3, value, axis=1), y)


def scaled_column(X, y, rng):
    X = X.copy()
    X[:, 5] = 500 + 200 * X[:, 5]
    return X, y


def cut_off(X, y, rng):
    """The rows behind the first class of a sorted file are lost."""
    kept = y == y[0]
    return X[kept], y[kept]


def one_row(X, y, rng):
    return X[:1], y[:1]


RELU = [fb.Dense(32, "relu"), fb.Dense(32, "relu")]
FAILURES: dict[str, Failure] = {
    "symmetry": Failure(
        digits_net([all_same(20, "tanh", 0.1)], last=fb.Dense(10, kernel_init=0.1)),
        ["Symmetric"],
        ["all 20 units of Dense_1 (all weights are 0.1)", "the work of one", "random weights", "default kernel_init"],
    ),
    "symmetry of relus": Failure(
        digits_net([all_same(20, "relu", 0.1), all_same(12, "relu", 0.05)], last=fb.Dense(10, kernel_init=0.1)),
        ["Symmetric"],
        ["all 20 units of Dense_1 (all weights are 0.1)", "all 12 units of Dense_2 (all weights are 0.05)"],
    ),
    "symmetry after training": Failure(
        digits_net([all_same(20, "sigmoid", 0.1)], last=fb.Dense(10, kernel_init=0.1), epochs=5),
        ["Symmetric"],
        ["all 20 units of Dense_1 have the weights of another unit"],
    ),
    "symmetry of channels": Failure(
        changed(
            healthy.digit_maps,
            lambda X, y, rng: (X, y),
            [
                fb.Residual([fb.Conv2D(4, 3, padding="same", activation="tanh", kernel_init=0.1)]),
                fb.Flatten(),
                fb.Dense(10, kernel_init=0.1),
            ],
        ),
        ["Symmetric"],
        ["all 4 units of Residual_1 (Conv2D_1) (all weights are 0.1)"],
    ),
    "all zero, tanh": Failure(
        digits_net([all_same(20, "tanh", 0)], last=fb.Dense(10, kernel_init=0)),
        ["Symmetric"],
        ["all 20 units of Dense_1 (all weights are 0)", "random weights"],
    ),
    "all zero, relu": Failure(
        digits_net([all_same(20, "relu", 0), all_same(20, "relu", 0)], last=fb.Dense(10, kernel_init=0)),
        ["Symmetric"],
        [
            "all 20 units of Dense_1 (all weights are 0), all 20 units of Dense_2 (all weights are 0)",
            "Here not even one unit learns: all gradients are 0 but that of the bias of Dense_3.",
        ],
    ),
    "all zero, sigmoid": Failure(
        digits_net([all_same(20, "sigmoid", 0)], last=fb.Dense(10, kernel_init=0)),
        ["Symmetric"],
        ["all 20 units of Dense_1 (all weights are 0)"],
    ),
    "labels shuffled": Failure(
        changed(healthy.digits, shuffled, [*RELU, fb.Dense(10)]),
        ["No relation between X and y"],
        ["in 600 rows", "row i of y still belongs to row i of X"],
    ),
    "values shuffled": Failure(
        changed(healthy.diabetes, shuffled, [*RELU, fb.Dense(1)], "mse"),
        ["No relation between X and y"],
        ["in 442 rows"],
    ),
    "a constant column": Failure(
        changed(healthy.cancer, with_column(0.0), tanh_net(2)),
        ["Constant inputs"],
        ["X[:, 3] is 0 in all 569 rows", "leave it out"],
    ),
    "a column of ones": Failure(
        changed(healthy.wine, with_column(1.0), tanh_net(3)),
        ["Constant inputs"],
        ["X[:, 3] is 1 in all 178 rows"],
    ),
    "one row again and again": Failure(
        changed(healthy.wine, lambda X, y, rng: (np.tile(X[0], (len(X), 1)), y), tanh_net(3)),
        ["Constant inputs"],
        ["all 178 rows of X are the same"],
    ),
    "a constant target": Failure(
        changed(healthy.diabetes, lambda X, y, rng: (X, np.full(len(y), 0.1)), tanh_net(1), "mse"),
        ["Constant targets"],
        ["y is 0.1 in all 442 rows"],
    ),
    "one class alone": Failure(
        changed(healthy.cancer, cut_off, tanh_net(2)), ["Constant targets"], ["y is class ", "sorted ones"]
    ),
    "a constant target of two": Failure(
        changed(healthy.diabetes, lambda X, y, rng: (X, np.stack([y, 0 * y], axis=1)), tanh_net(2), "mse"),
        ["Constant targets"],
        ["y[:, 1] is 0 in all 442 rows"],
    ),
    "inputs of hundreds": Failure(
        changed(healthy.wine, lambda X, y, rng: (300 * X, y), tanh_net(3)),
        ["Inputs are not scaled"],
        ["about 300 (root mean square)", "; 13 of 13 columns are above 30.", "StandardScaler", "BatchNorm()"],
    ),
    "wine as it is": Failure(
        changed(healthy.wine_raw, lambda X, y, rng: (X, y), tanh_net(3)),
        ["Inputs are not scaled"],
        ["numbers in X[:, 12] are about 8", "; 2 of 13 columns are above 30"],
    ),
    "one input of hundreds": Failure(
        changed(healthy.cancer, scaled_column, [*RELU, fb.Dense(2)]),
        ["Inputs are not scaled"],
        ["numbers in X[:, 5] are about 539", "; 1 of 30 columns are above 30"],
    ),
    "pixels of bytes": Failure(
        changed(
            healthy.digit_bytes,
            lambda X, y, rng: (X, y),
            [fb.Conv2D(4, 3, activation="relu"), fb.Flatten(), fb.Dense(10)],
        ),
        ["Inputs are not scaled"],
        ["numbers in X[:, 0] are about 1", "is wanted. Give X mean 0 and variance 1, such as bytes by X / 127.5 - 1"],
    ),
    "inputs of thousandths": Failure(
        changed(healthy.wine, lambda X, y, rng: (1e-4 * X, y), tanh_net(3)),
        ["Inputs hardly vary"],
        ["is 0 with a spread of 0.0001", "; 13 of 13 columns are like that"],
    ),
    "diabetes as it is": Failure(
        changed(lambda seed: healthy.rows_of("diabetes", seed), lambda X, y, rng: (X, y), [*RELU, fb.Dense(1)], "mse"),
        ["Targets are not scaled"],
        ["numbers in y are about 171 (root mean square)", "Give y mean 0 and variance 1"],
    ),
    "targets of ten thousands": Failure(
        changed(healthy.diabetes, lambda X, y, rng: (X, 2e4 + 1e4 * y), [*RELU, fb.Dense(1)], "mae"),
        ["Targets are not scaled"],
        ["2.2·10⁴ (root mean square)"],
    ),
    "targets of a hundred thousandth": Failure(
        changed(healthy.diabetes, lambda X, y, rng: (X, 1e-5 * y), [*RELU, fb.Dense(1)], "mse"),
        ["Targets hardly vary"],
        ["numbers in y have a spread of 1e-05"],
    ),
    "targets of unlike scales": Failure(
        changed(healthy.diabetes, lambda X, y, rng: (X, np.stack([y, y / 1000], axis=1)), [*RELU, fb.Dense(2)], "mse"),
        ["Targets are of unlike scales"],
        ["y[:, 0] is 1, that of y[:, 1] 0.001", "counts in mse"],
    ),
    "dead relus": Failure(
        digits_net([fb.Dense(32, "relu"), fb.Dense(32, "relu", bias_init=-100.0)]),
        ["Dead", "The gradient vanishes"],
        ["Dead ReLUs are in its way", "100 % in Dense_2", "leaky_relu"],
    ),
    "saturated sigmoids": Failure(
        digits_net([fb.Dense(32, "sigmoid", kernel_init=fb.initializers.Normal(0, 20.0))]),
        ["Saturated"],
        ["in Dense_1", "smaller initial weights"],
    ),
    "an exploding start": Failure(
        digits_net([fb.Dense(64, "relu", kernel_init=fb.initializers.Normal(0, 1.5)) for _ in range(4)]),
        ["Activations explode", "The gradient explodes"],
        ["smaller initial weights", "back to Dense_1"],
    ),
    "softmax twice": Failure(
        digits_net([*RELU, fb.Dense(10, "softmax")], last=fb.Activation("softmax")),
        ["Applied twice"],
        ["Dense_3 ends with softmax, and cross_entropy does it again", "no probability gets above 23 %"],
    ),
    "softmax in a hidden layer": Failure(
        digits_net([fb.Dense(20, "softmax")]),
        ["A hidden softmax"],
        ["the 20 outputs of Dense_1 have the sum 1, 0.05 each on average", "Use relu or tanh"],
    ),
    "sigmoid twice": Failure(
        changed(
            healthy.cancer,
            lambda X, y, rng: (X, y),
            [*tanh_net(1, "sigmoid"), fb.Activation("sigmoid")],
            "binary_cross_entropy",
        ),
        ["Applied twice"],
        ["below 50 % or above 73 %"],
    ),
    "probabilities that are none": Failure(
        changed(healthy.digits_one_hot, lambda X, y, rng: (X, y), tanh_net(10, "softplus"), "kl_divergence"),
        ["No probabilities"],
        ["End with softmax"],
    ),
    "a class that never occurs": Failure(
        changed(healthy.digits, lambda X, y, rng: (X[y != 4], y[y != 4]), [*RELU, fb.Dense(10)]),
        ["Unused outputs"],
        ["class 4 of 10 (0 to 9) does not occur", "9 units wide"],
    ),
    "a column of one-hot targets that is 0": Failure(
        changed(
            healthy.digits, lambda X, y, rng: (X[y != 4], np.eye(10)[y[y != 4]]), [*RELU, fb.Dense(10)], "squared_error"
        ),
        ["Unused outputs"],
        ["class 4 of 10 (0 to 9) does not occur"],
    ),
    "labels from 1 on": Failure(
        changed(healthy.wine, lambda X, y, rng: (X, y + 1), tanh_net(4)),
        ["Unused outputs"],
        ["class 0 of 4", "subtract 1 from y"],
    ),
    "a batch of one": Failure(
        changed(healthy.wine, one_row, [fb.Dense(16), fb.BatchNorm(), fb.Activation("relu"), fb.Dense(3)]),
        ["A batch of one row"],
        ["BatchNorm_1 takes away the mean", "LayerNorm()"],
    ),
    "negative targets of a relu": Failure(
        changed(healthy.diabetes, lambda X, y, rng: (X, y), tanh_net(1, "relu"), "mse"),
        ["Out of reach"],
        [
            "relu in Dense_2 gives numbers of 0 or more",
            "5",
            "% of the targets lie outside",
            "End without an activation",
        ],
    ),
    "targets beyond a sigmoid": Failure(
        changed(healthy.diabetes, lambda X, y, rng: (X, y), tanh_net(1, "sigmoid"), "squared_error"),
        ["Out of reach"],
        ["sigmoid in Dense_2 gives numbers from 0 to 1"],
    ),
    "a hinge of a sigmoid": Failure(
        changed(healthy.cancer, lambda X, y, rng: (X, y), tanh_net(1, "sigmoid"), "hinge"),
        ["Out of reach"],
        ["(they are from -1 to 1)"],
    ),
}
FAILURES["steps too long for sigmoids"] = Failure(
    changed(
        healthy.digits_one_hot,
        lambda X, y, rng: (X, y),
        [fb.Dense(30, "sigmoid"), fb.Dense(10, "sigmoid")],
        "squared_error",
        fb.SGD(1e4),
    ),
    ["Too fast"],
    ["times as large as the weights of Dense_", "than 10000, "],
)
FAILURES["steps less than rounding"] = Failure(
    digits_net([fb.Dense(32, "tanh", bias_init=0.1)], optimizer=fb.Adam(1e-12), last=fb.Dense(10, bias_init=0.1)),
    ["Too slow"],
    ["is less than the rounding of the weights in float32, and changes hardly any"],
)
FAILURES["a regression, too fast"] = Failure(
    changed(healthy.diabetes, lambda X, y, rng: (X, y), [*RELU, fb.Dense(1)], "mse", fb.SGD(100.0)),
    ["Too fast"],
    ["than 100, "],
)
for _optimizer in (fb.SGD(3.0), fb.SGD(10.0), fb.Adam(0.1), fb.Lion(0.1)):
    FAILURES[f"steps that soon ruin relus, {_optimizer!r}"] = Failure(
        digits_net([fb.Dense(16, "relu")], optimizer=_optimizer),
        ["Too fast"],
        ["the weights of Dense_1; one of 0.", f"than {_optimizer.learning_rate:g}, such as"],
    )
for _optimizer in (fb.SGD(10.0), fb.Adam(1e3)):
    FAILURES[f"relus that died of {_optimizer!r}"] = Failure(
        digits_net([fb.Dense(16, "relu")], optimizer=_optimizer, epochs=3),
        ["Too fast: with new initial weights, the first step, of a learning", "Dead", "The gradient vanishes"],
        [f"than {_optimizer.learning_rate:g}, such as", "100 % in Dense_1", "Dense_1 learns nothing from these rows"],
    )
FAILURES["diabetes as it is, too fast"] = Failure(
    changed(lambda seed: healthy.rows_of("diabetes", seed), lambda X, y, rng: (X, y), tanh_net(1), "mse", fb.SGD(0.1)),
    ["Targets are not scaled"],
    ["steps far too long: the next one, of a learning rate of 0.1, is ", "Give y mean 0 and variance 1"],
)
FAILURES["inputs of hundreds, tanh"] = Failure(
    changed(healthy.digits, lambda X, y, rng: (256 * X, y), tanh_net(10)),
    ["Inputs are not scaled"],
    ["of the activations of Dense_1, which then pass hardly any gradient on. Give each column"],
)
FAILURES["all frozen"] = Failure(
    digits_net([fb.Dense(16, "tanh", trainable=False)], last=fb.Dense(10, trainable=False)),
    ["Nothing can be learnt: Dense_1 and Dense_2 have trainable=False"],
    ["Leave trainable=True"],
)
FAILURES["nothing to learn with"] = Failure(
    changed(healthy.diabetes, lambda X, y, rng: (X, X), [fb.Dropout(0.1)], "mse"),
    ["Nothing can be learnt: no layer has parameters"],
    ["such as Dense"],
)
FAILURES["channels last"] = Failure(
    changed(
        healthy.digit_maps,
        lambda X, y, rng: (X.transpose(0, 2, 3, 1), y),
        [fb.Conv2D(4, 3, padding="same", activation="relu"), fb.Flatten(), fb.Dense(10)],
    ),
    ["Channels last?"],
    ["X have shape (8, 8, 1), which is read as 8 channels of 8 × 1 pixels", "with input_shape (1, 8, 8)"],
)
for _name, _slow, _fast in (
    ("SGD", fb.SGD(1e-5), fb.SGD(1e3)),
    ("momentum", fb.SGD(1e-6, momentum=0.9), fb.SGD(500.0, momentum=0.9)),
    ("Adam", fb.Adam(1e-7), fb.Adam(10.0)),
    ("RMSprop", fb.RMSprop(1e-7), fb.RMSprop(1.0)),
):
    FAILURES[f"{_name}, too small by 10⁴"] = Failure(
        digits_net([fb.Dense(32, "tanh")], optimizer=_slow), ["Too slow"], [f"than {_slow.learning_rate:g}, "]
    )
    FAILURES[f"{_name}, too large by 10⁴"] = Failure(
        digits_net([fb.Dense(32, "tanh")], optimizer=_fast), ["Too fast"], [f"than {_fast.learning_rate:g}, "]
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", FAILURES)
def test_each_failure_is_told_with_its_cause_and_nothing_else(name, seed):
    failure = FAILURES[name]
    net, X, y = failure.make(seed)
    found = net.diagnose(X, y)
    assert len(found.warnings) == len(failure.starts)
    for warning, start in zip(found.warnings, failure.starts, strict=True):
        assert warning.startswith(start)
    for words in failure.words:
        assert any(words in warning for warning in found.warnings), words


@pytest.mark.slow
@pytest.mark.parametrize("name", healthy.HEALTHY)
def test_nothing_is_told_of_a_healthy_network(name):
    """At the beginning, after one epoch, and after as many as it takes."""
    case = healthy.HEALTHY[name]
    for seed in SEEDS:
        X, y = case.data(seed)
        net = case.network(X, seed)
        for epochs in (0, 1, case.epochs - 1):
            if epochs:
                net.fit(X, y, epochs=epochs, batch_size=case.batch_size, verbose=False)
            found = net.diagnose(X, y)
            assert found.warnings == [] and str(found).endswith("Nothing wrong is seen.")


# --- what is told, and where nothing is ---


def test_what_is_told_of_two_softmaxes_is_true():
    """No probability gets above 23 %, of ten classes, and with three classes above 58 %."""
    for classes, most in ((10, 23), (3, 58)):
        layers = [fb.Dense(classes, "softmax", kernel_init=1e3 * np.eye(classes)), fb.Activation("softmax")]
        net = fb.Network(layers, (classes,), loss="cross_entropy", seed=0)
        X, y = np.eye(classes).repeat(4, axis=0), np.arange(classes).repeat(4)
        assert round(100 * net.predict(X).max()) == most
        assert any(f"no probability gets above {most} %" in warning for warning in net.diagnose(X, y).warnings)


def test_units_that_are_the_same_stay_the_same_and_others_are_not_accused():
    X, y = healthy.digits(0)
    for optimizer in (fb.SGD(0.1, momentum=0.9), fb.Adam(0.01)):
        net = net_of([all_same(20, "tanh", 0.1), fb.Dense(10, kernel_init=0.1)], X, optimizer=optimizer)
        net.fit(X, y, epochs=3, verbose=False)
        weight = net.layers[0].weight
        assert np.abs(weight - weight[:, :1]).max() < 1e-4 * np.abs(weight).max() and np.ptp(weight) > 0.01
    random_last = net_of([all_same(20, "tanh", 0.1), fb.Dense(10)], X)  # which gives each unit a gradient of its own
    assert random_last.diagnose(X, y).warnings == []
    random_last.fit(X, y, epochs=3, verbose=False)
    assert np.abs(random_last.layers[0].weight - random_last.layers[0].weight[:, :1]).max() > 0.05
    some = np.random.default_rng(0).normal(0, 0.1, (64, 20))
    some[:, :12] = 0.1
    net = net_of([fb.Dense(20, "tanh", kernel_init=some), fb.Dense(10, kernel_init=0.1)], X)
    assert "12 of 20 units of Dense_1 have the weights of another" in net.diagnose(X, y).warnings[0]
    some[:, 2:12] = np.random.default_rng(1).normal(0, 0.1, (64, 10))
    net = net_of([fb.Dense(20, "tanh", kernel_init=some), fb.Dense(10, kernel_init=0.1)], X)
    assert net.diagnose(X, y).warnings == []  # two alike are no matter


def test_no_better_than_guessing():
    """Few rows that can't show a relation, after many steps that have learnt nothing."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((100, 3)), np.arange(100) % 2
    net = net_of([fb.Dense(2, kernel_init="zeros")], X, optimizer=fb.SGD(0.01))
    assert net.diagnose(X, y).warnings == []
    net.fit(X, y, epochs=300, batch_size=32, verbose=False)
    other = rng.standard_normal((100, 3))
    guessing = np.log(2)
    (warning,) = net.diagnose(other, y).warnings
    loss = net.evaluate(other, y)["loss"]
    assert loss >= guessing
    said = f"after 1,200 steps the loss of these rows is {loss:.4g}, and that of one answer for all of them"
    assert warning.startswith(f"No better than guessing: {said} {guessing:.4g}.")


@pytest.mark.parametrize(
    ("schedule", "steps"),
    [
        (fb.Warmup(1e-3, steps=200), 0),
        (fb.Warmup(1e-3, steps=200), 1),
        (fb.CosineDecay(1e-3, steps=100), 99),
        (fb.CosineDecay(1e-3, steps=100), 150),
        (fb.ExponentialDecay(1e-2, factor=1e-6, steps=100), 90),
    ],
)
def test_a_rate_that_a_schedule_makes_small_for_a_while_is_not_too_small(schedule, steps):
    X, y = healthy.digits(0)
    net = net_of([fb.Dense(32, "relu"), fb.Dense(10)], X, optimizer=fb.Adam(schedule))
    for _ in range(steps):
        net.train_on_batch(X, y)
    assert net.diagnose(X, y).warnings == []


def test_penalties_are_no_loss_that_asks_for_a_gradient():
    """All margins of a hinge are kept: the loss is that of the penalty alone, and no gradient is missing."""
    X = np.linspace(-3, 3, 60)[:, np.newaxis]
    X = X[np.abs(X[:, 0]) > 1]
    net = net_of([fb.Dense(1, kernel_init=5.0, l2=0.1)], X, "hinge", fb.SGD(0.01))
    found = net.diagnose(X, np.sign(X[:, 0]))
    assert found.loss == pytest.approx(2.5) and found.warnings == []


def test_rows_are_counted_before_something_is_told_of_them():
    X, y = healthy.wine(0)
    for rows in (1, 2, 8, 31):
        net = net_of(tanh_net(3), X)
        assert net.diagnose(X[:rows], np.zeros(rows)).warnings == []  # one class, in few rows
        assert net.diagnose(np.tile(X[0], (rows, 1)), y[:rows]).warnings == []


@pytest.mark.parametrize("kind", ["flag", "hour", "target"])
def test_what_is_rare_or_regular_in_many_rows_is_not_constant(kind):
    """Eight ones among 40,000 zeros; an hour in rows of as many days as are looked at."""
    rng = np.random.default_rng(0)
    rows = (2048 - 1) * 24 + 1 if kind == "hour" else 40_000
    X, flag = rng.standard_normal((rows, 3)), np.zeros(rows)
    flag[rng.choice(rows, 8, replace=False)] = 1
    column = np.arange(rows) % 24 / 24 if kind == "hour" else flag
    y = X[:, :1] + 3 * column[:, np.newaxis]
    if kind == "target":
        y = np.column_stack([X[:, 0], flag])
    else:
        X = np.column_stack([X, column])
    assert net_of([fb.Dense(16, "relu"), fb.Dense(y.shape[1])], X, "mse").diagnose(X, y).warnings == []


def test_columns_that_are_constant_in_many_rows_are_told_with_the_number_of_all():
    X, y = np.random.default_rng(0).standard_normal((5000, 3)), np.ones(5000)
    X[:, 1] = 2.0
    inputs, targets = net_of([fb.Dense(1)], X, "mse").diagnose(X, y).warnings[:2]
    assert inputs.startswith("Constant inputs: X[:, 1] is 2 in all 5,000 rows")
    assert targets.startswith("Constant targets: y is 1 in all 5,000 rows")


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", fb.losses.Quantile(0.9), "gaussian_nll"])
def test_targets_that_are_not_scaled_are_told_until_the_network_has_got_there(loss):
    """However well it fits: three fifths of these targets' variance is noise."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((2000, 3))
    y = 100 + 20 * (0.8 * X[:, :1] + rng.standard_normal((2000, 1)))
    net = net_of([fb.Dense(8, "tanh"), fb.Dense(2 if loss == "gaussian_nll" else 1)], X, loss, fb.Adam(0.05))
    (warning,) = [w for w in net.diagnose(X, y).warnings if w.startswith("Targets")]
    assert warning.startswith("Targets are not scaled: numbers in y are about 10")
    assert re.search(r"those that the network gives about \d", warning)
    net.fit(X, y, epochs=150, batch_size=32, verbose=False)
    assert not any(w.startswith("Targets") for w in net.diagnose(X, y).warnings)


@pytest.mark.parametrize(("rows", "inputs", "share"), [(500, 4, 0.05), (2000, 20, 0.03), (2000, 40, 0.03)])
def test_a_weak_relation_to_one_of_many_inputs_is_seen(rows, inputs, share):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x, noise = rng.standard_normal((rows, inputs)), rng.standard_normal((rows, 1))
        found, _ = relation(x, np.sqrt(share) * x[:, :1] + np.sqrt(1 - share) * noise)
        assert found > 5, seed
        assert relation(x, noise).found < 5, seed
    assert relation(np.zeros((200, 2)), np.ones((200, 1))) == (0, 0)


@pytest.mark.parametrize("name", ["iris", "wine", "cancer", "diabetes", "digits"])
def test_targets_in_another_order_are_unrelated(name):
    """Of five data sets, as their rows are."""
    loaded = getattr(sklearn.datasets, f"load_{'breast_cancer' if name == 'cancer' else name}")()
    t = loaded.target[:, np.newaxis] if name == "diabetes" else np.eye(loaded.target.max() + 1)[loaded.target]
    for seed in range(12):
        found, wanted = relation(loaded.data, np.random.default_rng(seed).permutation(t))
        assert found < 5 < wanted - 3, seed
    assert relation(loaded.data, t).found > 10


def test_a_relation_is_seen_where_there_is_one():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 6))
    noise = rng.standard_normal((400, 1))
    seen = {
        "line": x[:, :1] + noise,
        "square": x[:, :1] ** 2 + noise,
        "product": np.sign(x[:, :1] * x[:, 1:2]),
        "neighbours": np.sin(4 * x[:, :1]) + 0.1 * noise,
    }
    alone = x[:, :1]  # of one input, as neighbours in six say little
    for name, t in seen.items():
        assert relation(alone if name == "neighbours" else x, t).found > 10, name
    found, wanted = relation(x, noise)
    assert found < 5 and wanted == pytest.approx(400 / 5 / np.sqrt(2 * 6), rel=0.1)
    assert relation(np.column_stack([x, np.ones(400)]), seen["line"]).found > 10
