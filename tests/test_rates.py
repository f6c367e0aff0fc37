"""fb.find_learning_rate: the rates that it tries, what it leaves alone, and that its suggestion trains well."""

import numpy as np
import pytest
from test_diagnosis import data, network, parsed
from test_errors import unchanged

import fastbp as fb


def problem(name, seed):
    """(make, X, y): make(optimizer) is a network for the data."""
    rng = np.random.default_rng(seed)
    if name == "classes":
        X, y = data(seed, rows=500)
        return (
            lambda o: network([fb.Dense(32, "relu"), fb.Dense(32, "relu"), fb.Dense(4)], optimizer=o, seed=seed),
            X,
            y,
        )
    if name == "deep":
        X, y = data(seed, rows=500)
        return lambda o: network([fb.Dense(64, "relu") for _ in range(6)] + [fb.Dense(4)], optimizer=o, seed=seed), X, y
    if name == "logistic":
        X, y = data(seed, rows=500, classes=2)
        return lambda o: network([fb.Dense(1)], "binary_cross_entropy", o, seed=seed), X, y
    X = rng.uniform(-2, 2, (400, 2))
    y = np.sin(2 * X[:, 0]) * X[:, 1]
    return lambda o: network([fb.Dense(32, "tanh"), fb.Dense(32, "tanh"), fb.Dense(1)], "mse", o, 2, seed), X, y


OPTIMIZERS = {
    "SGD": fb.SGD,
    "momentum": lambda rate: fb.SGD(rate, momentum=0.9),
    "Adam": fb.Adam,
    "RMSprop": fb.RMSprop,
}


def trained(make, optimizer, X, y):
    net = make(optimizer)
    try:
        net.fit(X, y, epochs=50, verbose=False)
        return net.evaluate(X, y)["loss"]
    except fb.DivergedError:
        return np.inf


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["classes", "deep", "logistic", "regression"])
def test_the_suggestion_trains_well(name, optimizer, seed):
    """Of what the best of six rates gains on the untrained network, the suggestion gains three quarters or more."""
    make, X, y = problem(name, seed)
    kind = OPTIMIZERS[optimizer]
    start = make(kind(0.1)).evaluate(X, y)["loss"]
    best = min(trained(make, kind(rate), X, y) for rate in np.geomspace(1e-4, 0.3, 6))
    rate = fb.find_learning_rate(make(kind(0.1)), X, y, seed=seed).suggestion
    assert start - trained(make, kind(rate), X, y) > 0.75 * (start - best)


def test_rates_grow_by_one_factor_and_the_losses_are_those_of_training():
    X, y = data(rows=64)
    net = network([fb.Dense(8, "tanh"), fb.Dense(4)], optimizer=fb.SGD(0.3, momentum=0.5))
    found = fb.find_learning_rate(net, X, y, low=1e-4, high=0.1, steps=31, batch_size=64)
    np.testing.assert_allclose(found.rates, np.geomspace(1e-4, 0.1, 31), rtol=1e-9)
    losses = []
    for rate in found.rates:
        net.learning_rate = rate
        losses.append(net.train_on_batch(X, y))  # one batch of all rows: their order only rounds differently
    np.testing.assert_allclose(found.losses, losses, rtol=1e-4)
    mean, keep = 0.0, 1 - 1 / 3.1
    for i, loss in enumerate(found.losses):
        mean = keep * mean + (1 - keep) * (loss - losses[0])
        assert found.smoothed[i] == pytest.approx(losses[0] + mean / (1 - keep ** (i + 1)), rel=1e-5)


def test_the_noise_of_batches_is_taken_out():
    X, y = data(rows=640)
    net = network([fb.Dense(8, "tanh"), fb.Dense(4)], optimizer=fb.SGD(0.3))
    found = fb.find_learning_rate(net, X, y, low=1e-9, high=1e-7, steps=20, batch_size=32)
    assert np.std(found.losses) > 0.05  # as many as an epoch has: each row is in one batch
    np.testing.assert_allclose(found.smoothed, net.evaluate(X, y)["loss"], rtol=1e-5)
    assert found.suggestion is None


def test_it_stops_when_the_loss_explodes():
    X, y = data()
    net = network([fb.Dense(1)], "mse", fb.SGD(0.1))
    found = fb.find_learning_rate(net, X, y)
    assert 50 < len(found.rates) < 100 and len(found.rates) == len(found.losses) == len(found.smoothed)
    least = np.minimum.accumulate(found.smoothed)
    assert (found.smoothed[:-1] <= 4 * least[:-1]).all() and found.smoothed[-1] > 4 * least[-1]
    at_once = fb.find_learning_rate(net, X, y, low=1e-3, high=1e30, steps=10)
    assert len(at_once.losses) < 10 and np.isfinite(at_once.losses).all()


@pytest.mark.parametrize("optimizer", [fb.Adam(0.01), fb.SGD(fb.CosineDecay(0.1, 10), momentum=0.9)])
def test_the_network_stays_as_it_is(optimizer):
    X, y = data()
    net = network([fb.Dense(8, "relu"), fb.Dropout(0.2), fb.Dense(4)], optimizer=optimizer)
    net.fit(X, y, epochs=2, verbose=False)
    before = [array.copy() for array in (*net.arrays().values(), net.grads)]
    found = fb.find_learning_rate(net, X, y)
    assert all(np.array_equal(a, b) for a, b in zip(before, (*net.arrays().values(), net.grads), strict=True))
    assert net.optimizer == optimizer and net.epochs_trained == 2 and net.steps_trained == 20
    again = fb.find_learning_rate(net, X, y)
    np.testing.assert_array_equal(found.losses, again.losses)
    assert not np.array_equal(found.losses, fb.find_learning_rate(net, X, y, seed=1).losses)


def test_no_suggestion_where_the_loss_does_not_fall():
    X, _ = data()
    y = np.random.default_rng(1).standard_normal(300)
    found = fb.find_learning_rate(network([fb.Dense(1, kernel_init="zeros")], "mse", fb.SGD(0.1)), X, y)
    assert found.suggestion is None and str(found).startswith("no suggestion: the loss did not clearly fall")
    assert len(found.plot().axes[0].lines) == 2
    axes = found.plot().axes[0]
    assert found.plot(ax=axes) is axes.get_figure() and len(axes.lines) == 4
    exploding = fb.find_learning_rate(network([fb.Dense(1)], "mse", fb.SGD(0.1)), X, y, low=10, high=1e9, steps=100)
    assert exploding.suggestion is None and len(exploding.losses) < 10


def test_text_html_and_picture():
    make, X, y = problem("classes", 0)
    found = fb.find_learning_rate(make(fb.Adam(1e-3)), X, y)
    lines = str(found).splitlines()
    assert lines[0] == f"suggested learning rate {found.suggestion:.2g}"
    assert lines[1].split() == ["rates", "1e-07", "to", f"{found.rates[-1]:.2g}", "in", str(len(found.rates)), "steps"]
    assert repr(found) == f"<LearningRateTest: {lines[0]}>"
    assert lines[0] in parsed(found._repr_html_())
    axes = found.plot().axes[0]
    assert axes.get_xscale() == "log" and [line.get_label() for line in axes.lines][2] == lines[0]
    low, high = axes.get_ylim()
    assert low < found.losses.min() and high < found.losses.max()
    axes.figure.canvas.draw()
    slow = fb.find_learning_rate(make(fb.Adam(1e-3)), X, y, high=1e-3)
    assert str(slow).splitlines()[-1] == "note           the loss still fell at the end: a larger `high` may show more"


ARGUMENTS = [
    (dict(low=0), ValueError, "low must be a finite number greater than 0, got 0"),
    (dict(low="1e-7"), TypeError, "low must be a number, got '1e-7'"),
    (dict(high=1e-7), ValueError, "high must be a finite number greater than 1e-07, got 1e-07"),
    (dict(high=np.inf), ValueError, "high must be a finite number greater than 1e-07, got inf"),
    (dict(steps=9), ValueError, "steps must be at least 10, got 9"),
    (dict(steps=10.0), TypeError, "steps must be an integer, got 10.0"),
    (dict(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
    (dict(seed=-1), ValueError, "seed must be at least 0, got -1"),
    (dict(seed=None), TypeError, "seed must be an integer, got None"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), ARGUMENTS)
def test_bad_arguments(arguments, error, message):
    net, (X, y) = network([fb.Dense(4)]), data()
    unchanged(net, lambda: fb.find_learning_rate(net, X, y, **arguments), error, message)


def test_bad_networks():
    X, y = data()
    with pytest.raises(TypeError, match="net must be a Network, got 'net'"):
        fb.find_learning_rate("net", X, y)
    with pytest.raises(ValueError, match=r"net must have an optimizer whose steps depend on a learning rate, .* Rprop"):
        fb.find_learning_rate(network([fb.Dense(4)], optimizer=fb.Rprop()), X, y)
    net = network([fb.Dense(1, kernel_init=1e30)], "mse")
    unchanged(net, lambda: fb.find_learning_rate(net, X, y), fb.DivergedError, "the loss is not finite before any step")
