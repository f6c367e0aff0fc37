"""Parameters and statistics that one network takes over from another."""

import numpy as np
import pytest

import fastbp as fb

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 6)), RNG.integers(0, 3, 40)
LAYERS = [fb.Dense(8, bias=False), fb.BatchNorm(), fb.Activation("relu"), fb.Residual([fb.BatchNorm()]), fb.Dense(3)]


def make(layers=None, seed=0, **options):
    options = {"loss": "cross_entropy", **options}
    return fb.Network(LAYERS if layers is None else layers, (6,), seed=seed, **options)


def test_parameters_and_statistics_come_over():
    """params alone leave BatchNorm's running statistics behind, and the predictions differ."""
    net, other = make(), make(seed=1)
    for _ in range(5):
        other.train_on_batch(X, Y)
    net.params = other.params
    assert (net.predict(X) != other.predict(X)).any()
    net.copy_from(other)
    assert (net.predict(X) == other.predict(X)).all()
    for mine, its in zip(net.layers, other.layers, strict=True):
        for name, view in its.statistics.items():
            assert (mine.statistics[name] == view).all() and not np.shares_memory(mine.statistics[name], view)
    other.train_on_batch(X, Y)
    assert (net.params != other.params).any()


def test_optimizer_and_counts_stay():
    net, other, plain = make(), make(seed=1), make()
    for n in (net, plain):
        n.train_on_batch(X, Y)
    other.fit(X, Y, epochs=3, verbose=False)
    net.copy_from(other)
    assert (net.state == plain.state).all() and net.steps_trained == 1 and net.epochs_trained == 0 and net.seed == 0
    net.copy_from(net)
    assert (net.params == other.params).all()


def test_a_handle_has_what_came_over():
    net, other, out = make(), make(seed=1), np.empty((40, 3), np.float32)
    h = net.handle()
    other.train_on_batch(X, Y)
    net.copy_from(other)
    fb.jit.predict(h, X, out)
    assert (out == other.predict(X)).all()


def test_what_has_no_parameters_may_differ():
    """Activations, dropout, loss, optimizer and dtype."""
    layers = [
        fb.Dense(8, bias=False),
        fb.BatchNorm(),
        fb.Dropout(0.5),
        fb.Residual([fb.BatchNorm()]),
        fb.Dense(3, "tanh"),
    ]
    net, other = make(layers, loss="mse", optimizer="sgd", dtype="float64"), make(seed=1)
    other.train_on_batch(X, Y)
    net.copy_from(other)
    assert (net.params == other.params).all() and net.params.dtype == np.float64
    narrow = make(layers[:1], loss="mse")
    narrow.copy_from(make(layers[:1], loss="mse", dtype="float64", seed=3))
    assert narrow.params.dtype == np.float32


@pytest.mark.parametrize(
    ("mine", "its", "message"),
    [
        (
            [fb.Dense(8), fb.Dense(4), fb.Dense(3)],
            [fb.Dense(8), fb.Dropout(0.1), fb.Dense(5), fb.Dense(3)],
            r"same shapes: Dense_2 with weight \(8, 4\), bias \(4,\), got Dense_2 with weight \(8, 5\), bias \(5,\)$",
        ),
        (
            [fb.Dense(3)],
            [fb.Dense(3, bias=False)],
            r"Dense_1 with weight \(6, 3\), bias \(3,\), got .* weight \(6, 3\)$",
        ),
        (
            [fb.BatchNorm(), fb.Dense(3)],
            [fb.LayerNorm(), fb.Dense(3)],
            r"BatchNorm_1 with gain \(6,\), .* running_variance \(6,\), got LayerNorm_1 with gain \(6,\), bias \(6,\)",
        ),
        (
            [fb.Dense(6), fb.Dense(3)],
            [fb.Dense(6), fb.Dense(3), fb.Dense(3)],
            r"as many layers with parameters, 2, got 3: other alone has Dense_3 with weight \(3, 3\)",
        ),
        (
            [fb.Dense(6), fb.Dense(3)],
            [fb.Dense(6)],
            r"as many layers with parameters, 2, got 1: this network alone has Dense_2",
        ),
    ],
)
def test_other_shapes_are_refused(mine, its, message):
    net, other = make(mine), make(its, seed=1)
    before = net.params.copy()
    with pytest.raises(ValueError, match=message):
        net.copy_from(other)
    assert (net.params == before).all()


def test_what_else_is_refused():
    net, other = make(), make(seed=1, dtype="float64")
    before = np.concatenate([net.params, net.statistics])
    for bad in (np.zeros(net.num_params), None, fb.Network):
        with pytest.raises(TypeError, match="other must be a Network, got"):
            net.copy_from(bad)
    other.statistics[2] = 1e300
    with pytest.raises(
        ValueError, match=r"other's statistics must be finite numbers that float32 has, got 1e.300 at place 2"
    ):
        net.copy_from(other)
    other.params[3] = np.nan
    with pytest.raises(ValueError, match="other's params must be finite numbers that float32 has, got nan at place 3"):
        net.copy_from(other)
    assert (np.concatenate([net.params, net.statistics]) == before).all()
