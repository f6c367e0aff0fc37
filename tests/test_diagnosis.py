"""net.diagnose: its numbers against NumPy, and each kind of trouble found where it is, and nowhere else."""

import html.parser
import re
import sys

import numpy as np
import pytest
from cases import MAP_LAYERS
from support import run_python
from test_errors import DATA, classifier, unchanged

import fastbp as fb
from fastbp.diagnosis import examination, summary
from fastbp.diagnosis.probe import Probe
from fastbp.initializers import VarianceScaling

SEEDS = range(5)
WIDE = VarianceScaling(100.0)  # a standard deviation ten times that of LeCun's initial weights


def network(layers, loss="cross_entropy", optimizer=None, inputs=20, seed=0, dtype="float32"):
    return fb.Network(layers, (inputs,), loss=loss, optimizer=optimizer, seed=seed, dtype=dtype)


def data(seed=0, rows=300, inputs=20, classes=4):
    """Classes around centres of their own."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows)
    return rng.standard_normal((rows, inputs)) + 2 * rng.standard_normal((classes, inputs))[y], y


def kinds(diagnosis):
    return [re.match(r"[^:]*?(?=:| gets )", warning).group() for warning in diagnosis.warnings]


# --- the probe ---


@pytest.mark.parametrize("loss", ["mse", "cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("activation", ["linear", "sigmoid", "tanh", "relu", "softmax"])
@pytest.mark.parametrize("of_its_own", [False, True])
def test_a_probe_has_the_values_of_a_training_step(activation, loss, of_its_own):
    rng = np.random.default_rng(1)
    last = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid", "mse": activation}[loss]
    layers = []
    for units, of in ((6, activation), (5, activation), (3, last)):
        layers += [fb.Dense(units), fb.Activation(of)] if of_its_own else [fb.Dense(units, of)]
    net = network(layers, loss, fb.SGD(0.1, momentum=0.9), inputs=4, dtype="float64")
    X, y = rng.standard_normal((9, 4)), np.eye(3)[rng.integers(0, 3, 9)]
    probe = Probe(net, net._feed(X, y), np.arange(9))
    value, gradient = net.value_and_grad(X, y)
    assert probe.loss == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(probe.grads, gradient, rtol=1e-9, atol=1e-15)
    np.testing.assert_array_equal(probe.params, net.params)
    np.testing.assert_allclose(probe.output(len(layers) - 1), net.forward(X), rtol=1e-12)
    functions = {
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "tanh": np.tanh,
        "relu": lambda z: np.maximum(z, 0),
        "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
        None: lambda z: z,
    }
    for i in range(len(layers)):
        np.testing.assert_allclose(
            probe.output(i),
            functions[getattr(probe.activation(i), "name", None)](probe.before_activation(i)),
            rtol=1e-10,
        )
    # δ of the first layer is what the gradient of its weights is made of
    np.testing.assert_allclose(X.T @ probe.delta(0), gradient[:24].reshape(4, 6), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(probe.delta(0).sum(axis=0), gradient[24:30], rtol=1e-9, atol=1e-15)
    net.train_on_batch(X, y)
    np.testing.assert_array_equal(probe.stepped, net.params)


def test_a_twin_computes_the_same_and_shares_nothing():
    X, y = data()
    net = network([fb.Dense(8, "tanh", learning_rate=2.0), fb.Dense(4, trainable=False)])
    net.train_on_batch(X, y)
    copy = net.twin()
    assert repr(copy) == repr(net) and not np.shares_memory(copy.params, net.params)
    np.testing.assert_array_equal(copy.predict(X), net.predict(X))
    double = net.twin(dtype=np.dtype("float64"), optimizer=fb.SGD(0.5))
    np.testing.assert_array_equal(double.params, net.params)
    assert double.dtype == "float64" and double.optimizer == fb.SGD(0.5)


# --- numbers ---


def test_numbers_of_the_layers():
    rng = np.random.default_rng(0)
    net = network([fb.Dense(7, "tanh"), fb.Dense(2, "sigmoid")], "squared_error", fb.Adam(0.01), 3, dtype="float64")
    X, y = rng.standard_normal((40, 3)), rng.uniform(0, 1, (40, 2))
    first, last = net.diagnose(X, y).layers

    a1 = np.tanh(X @ net.layers[0].weight + net.layers[0].bias)
    a2 = 1 / (1 + np.exp(-(a1 @ net.layers[1].weight + net.layers[1].bias)))
    delta2 = (a2 - y) * a2 * (1 - a2)  # of each row's own loss
    delta1 = delta2 @ net.layers[1].weight.T * (1 - a1**2)
    for layer, x, a, delta in ((first, X, a1, delta1), (last, a1, a2, delta2)):
        assert layer.activation_norm == pytest.approx(np.sqrt((a**2).sum(axis=1).mean()))
        assert layer.activation_spread == pytest.approx(a.std())
        assert layer.gradient_norm == pytest.approx(np.sqrt((delta**2).sum(axis=1).mean()))
        assert layer.gradient_spread == pytest.approx(delta.std())
        of_weight, of_bias = x.T @ delta / 40, delta.mean(axis=0)
        assert layer.weight_gradient_norm == pytest.approx(np.sqrt((of_weight**2).sum() + (of_bias**2).sum()))
    before = net.params.copy()
    net.train_on_batch(X, y)
    for layer, part in ((first, slice(28)), (last, slice(28, None))):
        assert layer.weight_norm == pytest.approx(np.linalg.norm(before[part]))
        step = np.linalg.norm(net.params[part] - before[part])
        assert layer.update_ratio == pytest.approx(step / np.linalg.norm(before[part]), rel=1e-9)
    assert (first.name, last.name, first.activation, last.activation) == ("Dense_1", "Dense_2", "tanh", "sigmoid")


def test_shares_of_saturated_and_dead_units():
    X = np.array([[-10.0, 0.0, 1.0, 4.0], [10.0, 0.0, 5.0, 4.0]])
    eye = dict(bias=False, kernel_init=np.eye(4))
    (first, second) = (
        network([fb.Dense(4, "sigmoid", **eye), fb.Dense(4, "relu", **eye)], "mse", inputs=4).diagnose(X, X).layers
    )
    assert first.saturated == 3 / 8 and first.dead is None  # σ(5) is flat, σ(4) not quite
    assert second.dead == 0 and second.saturated is None
    net = network([fb.Dense(4, "relu", **eye)], "mse", inputs=4)
    assert net.diagnose(X, X).layers[0].dead == 1 / 4
    assert net.diagnose(-X, X).layers[0].dead == 3 / 4


def test_what_does_not_apply_is_none():
    X, y = data()
    layers = [fb.Flatten(), fb.Dense(5, trainable=False), fb.Dense(6, "relu"), fb.Dropout(0.5), fb.Dense(4, "softmax")]
    flat, frozen, relu, dropout, last = network(layers).diagnose(X, y).layers
    assert flat.gradient_norm is None and flat.weight_norm is None and flat.update_ratio is None
    assert frozen.gradient_norm is None and frozen.weight_norm > 0 and frozen.update_ratio is None
    assert relu.gradient_norm > 0 and relu.update_ratio > 0 and relu.dead is not None
    assert dropout.weight_norm is None and dropout.gradient_norm > 0
    assert last.activation is None and last.saturated is None  # the loss takes the softmax over
    with_logits = network([*layers[:-1], fb.Dense(4)]).diagnose(X, y).layers[-1]
    assert last == with_logits
    untrained = network([fb.Dense(4, kernel_init="zeros")]).diagnose(X, y).layers[0]
    assert untrained.weight_norm == 0 and untrained.update_ratio is None and untrained.weight_gradient_norm > 0


@pytest.mark.parametrize("name", MAP_LAYERS)
def test_layers_on_maps(name):
    """diagnose, explain and check_gradients of each layer, in a residual branch as well, where it may stand there."""
    rng = np.random.default_rng(0)
    layer, shape = MAP_LAYERS[name]
    residual = [fb.Residual([layer])] if layer.output_shape(shape) == shape else []
    layers = [layer, fb.Activation("tanh"), fb.Flatten(), fb.Dense(2)]
    net = fb.Network([*residual, *layers], shape, loss="mse", dtype="float64", seed=0)
    X, y = rng.standard_normal((20, *shape)), rng.standard_normal((20, 2))
    found = net.diagnose(X, y)
    assert [one.name for one in found.layers] == [bound.name for bound in net.layers]
    gradients = net.explain(X[0], y[0]).layers[len(residual)].gradients
    assert list(gradients) == list(net.layers[len(residual)].weights)
    assert fb.check_gradients(net, X, y).ok


def test_of_more_rows_than_the_limit_as_many_at_random_are_looked_at():
    X, y = data(rows=5000)
    net = network([fb.Dense(8, "tanh"), fb.Dense(4)])
    chosen = examination._chosen(5000)
    assert len(set(chosen)) == len(chosen) == examination.MOST_ROWS and (np.diff(chosen) > 0).all()
    for period in (7, 12, 24):  # in rows of hours, say, all hours are among them
        assert np.bincount(chosen % period).min() > 0.7 * len(chosen) / period
    found = net.diagnose(X, y)
    assert found.rows == examination.MOST_ROWS
    assert found == net.diagnose(X[chosen], y[chosen])
    assert found == net.diagnose(np.asfortranarray(X), y.tolist())


@pytest.mark.parametrize("shape", [(1, 3), (5, 2), (700, 4), (30, 2, 5, 5), (9, 3, 4)])
def test_a_summary_is_of_all_rows(shape, monkeypatch):
    monkeypatch.setattr(summary, "_ELEMENTS_AT_ONCE", 64)  # so that there are several pieces
    values = np.random.default_rng(0).normal(3, 2, shape)
    values[:, 1] = 0.1
    columns = values.reshape(*shape[:2], -1)
    found = summary.summarise(values)
    assert found.rows == shape[0] and found.same_rows == (shape[0] == 1)
    np.testing.assert_allclose(found.mean, columns.mean(axis=(0, 2)), rtol=1e-12)
    np.testing.assert_allclose(found.spread, columns.std(axis=(0, 2)), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.size, np.sqrt((columns**2).mean(axis=(0, 2))), rtol=1e-12)
    np.testing.assert_array_equal(found.constant, np.ptp(columns, axis=(0, 2)) == 0)
    assert summary.summarise(np.tile(values[:1], (50, *[1] * (len(shape) - 1)))).same_rows


def test_rows_count_by_their_weights():
    X, y = data()
    net = network([fb.Dense(8, "tanh"), fb.Dense(4)])
    once, twice = net.diagnose(X, y), net.diagnose(X, y, sample_weight=np.full(len(X), 2.0))
    assert twice.loss == pytest.approx(2 * once.loss, rel=1e-6)
    assert twice.layers[0].gradient_norm == pytest.approx(2 * once.layers[0].gradient_norm, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_network_stays_as_it_is(dtype):
    X, y = data()
    net = network([fb.Dense(8, "relu"), fb.Dropout(0.2), fb.Dense(4)], optimizer=fb.Adam(0.01), dtype=dtype)
    net.fit(X, y, epochs=2, verbose=False)
    before = [array.copy() for array in (*net.arrays().values(), net.grads)]
    net.diagnose(X, y)
    assert all(np.array_equal(a, b) for a, b in zip(before, (*net.arrays().values(), net.grads), strict=True))
    assert net.diagnose(X, y) == net.diagnose(X, y)


# --- trouble ---


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("optimizer", [fb.SGD(0.1), fb.Adam(1e-3)])
def test_ten_layers_of_sigmoids_lose_the_gradient(seed, optimizer):
    X, y = data(seed)
    net = network([fb.Dense(20, "sigmoid") for _ in range(9)] + [fb.Dense(4)], optimizer=optimizer, seed=seed)
    found = net.diagnose(X, y)
    (warning,) = found.warnings
    factor = found.layers[-1].gradient_norm / found.layers[0].gradient_norm
    assert 4**8 < factor < 4**12  # each sigmoid passes on a quarter at most
    number = f"{factor:.1e}".split("e")
    assert f"shrinks {number[0]}·10{str(int(number[1])).translate(str.maketrans('56', '⁵⁶'))} times" in warning
    assert "from Dense_10 back to Dense_1" in warning and "use relu or tanh" in warning
    if isinstance(optimizer, fb.SGD):
        assert "Dense_1, which hardly learns" in warning
        assert found.layers[0].update_ratio < 1e-4 * found.layers[-1].update_ratio
    else:
        assert "Plain gradient descent would hardly change Dense_1; the steps of Adam are as large" in warning
        assert found.layers[0].update_ratio > 0.5 * found.layers[-1].update_ratio
    norms = [layer.gradient_norm for layer in found.layers]
    assert norms == sorted(norms)


@pytest.mark.parametrize("seed", SEEDS)
def test_small_weights_lose_the_gradient_too(seed):
    X, y = data(seed)
    layers = [fb.Dense(32, "tanh", kernel_init=VarianceScaling(0.01)) for _ in range(4)]
    (warning,) = network([*layers, fb.Dense(4)], seed=seed).diagnose(X, y).warnings
    assert "vanishes" in warning and "from Dense_5 back to Dense_1" in warning and "larger initial weights" in warning


@pytest.mark.parametrize("seed", SEEDS)
def test_large_weights_of_relus_explode(seed):
    X, y = data(seed)
    layers = [fb.Dense(32, "relu", kernel_init=WIDE) for _ in range(5)]
    found = network([*layers, fb.Dense(4)], seed=seed).diagnose(X, y)
    assert kinds(found) == ["Activations explode", "The gradient explodes"]
    assert (
        f"their spread is {found.layers[4].activation_spread:,.0f} in Dense_5" in found.warnings[0]
        or "·10" in found.warnings[0]
    )
    assert "Use smaller initial weights" in found.warnings[0]
    assert "from Dense_6 back to Dense_1" in found.warnings[1] and "clip_norm" in found.warnings[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_inputs_that_are_not_scaled(seed):
    X, y = data(seed)
    found = network([fb.Dense(32, "relu"), fb.Dense(4)], seed=seed).diagnose(100 * X, y)
    assert kinds(found) == ["Inputs are not scaled"] and "mean 0 and variance 1" in found.warnings[0]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_large_weights_saturate(seed, activation):
    X, y = data(seed)
    layers = [fb.Dense(32, activation, kernel_init=VarianceScaling(1000.0)) for _ in range(3)]
    found = network([*layers, fb.Dense(4)], seed=seed).diagnose(X, y)
    (warning,) = [warning for warning in found.warnings if warning.startswith("Saturated")]
    for layer in found.layers[:3]:
        assert layer.saturated > 0.7 and f"{100 * layer.saturated:.0f} % in {layer.name}" in warning


def test_outputs_saturated_at_the_wrong_end():
    X, _ = data(classes=2)
    for bias, targets, wanted in (
        (6.0, np.zeros(len(X)), ["Saturated at the wrong end"]),
        (6.0, np.ones(len(X)), []),
        (99.0, np.zeros(len(X)), ["No gradient", "Saturated at the wrong end"]),
        (99.0, np.ones(len(X)), []),  # nothing is left to learn
    ):
        net = network([fb.Dense(1, "sigmoid", bias_init=bias)], "squared_error", fb.SGD(10.0))
        assert kinds(net.diagnose(0.1 * X, targets)) == ["Constant targets", *wanted]


@pytest.mark.parametrize(
    ("loss", "ends_with", "found"),
    [
        ("cross_entropy", "sigmoid", True),
        ("binary_cross_entropy", "softmax", True),
        ("poisson", "relu", True),
        ("cross_entropy", "softmax", False),
        ("cross_entropy", None, False),
        ("mse", "sigmoid", False),
    ],
)
def test_an_activation_that_bounds_the_scores_of_a_loss(loss, ends_with, found):
    net = fb.Network([fb.Dense(3, ends_with)], (4,), loss=loss, seed=0)
    X, y = np.random.default_rng(0).standard_normal((20, 4)), np.eye(3)[np.arange(20) % 3]
    said = [warning for warning in net.diagnose(X, y).warnings if warning.startswith("Bounded: ")]
    assert len(said) == found
    if found:
        assert f"{loss} takes scores of any size and sign, of which {ends_with} in Dense_1 leaves a part" in said[0]
        assert f"End with {net.loss.link.name}," in said[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_dead_relus(seed):
    X, y = data(seed)
    layers = [fb.Dense(32, "relu"), fb.Dense(32, "relu", bias_init=-100.0), fb.Dense(4)]
    found = network(layers, seed=seed).diagnose(X, y)
    assert found.layers[0].dead < 0.1 and found.layers[1].dead == 1 and found.layers[2].dead is None
    assert kinds(found) == ["Dead", "The gradient vanishes"]
    assert "100 % in Dense_2" in found.warnings[0] and "Dense_1" not in found.warnings[0]
    assert "is lost from Dense_3 back to Dense_1: Dense_1 learns nothing" in found.warnings[1]
    assert "Dead ReLUs are in its way" in found.warnings[1]
    assert "Dead" not in kinds(network(layers, seed=seed).diagnose(X[:31], y[:31]))  # too few rows to tell


@pytest.mark.parametrize("seed", SEEDS)
def test_steps_that_are_too_large_or_too_small(seed):
    X, y = data(seed)
    layers = [fb.Dense(32, "tanh"), fb.Dense(4)]

    def loss_after_a_step_at(rate):
        net = network(layers, optimizer=fb.SGD(rate), seed=seed, dtype="float64")
        before = net.train_on_batch(X, y)
        return before, net.evaluate(X, y)["loss"]

    (large,) = network(layers, optimizer=fb.SGD(50.0), seed=seed, dtype="float64").diagnose(X, y).warnings
    before, after = loss_after_a_step_at(50.0)
    found = re.match(
        rf"Too fast: the next step takes the loss of these rows from {before:.4g} to {after:.4g}, and is (\d+) times as"
        rf" large as the weights of (Dense_[12]); one of 0.01 of its length would take it to (\S+)\. Use a smaller"
        rf" learning rate than 50, such as 0.05: a tenth of that step's, 0.5, ",
        large,
    )
    assert float(found[3]) == pytest.approx(loss_after_a_step_at(0.5)[1], rel=1e-3)
    layer = {"Dense_1": 0, "Dense_2": 1}[found[2]]
    ratio = (
        network(layers, optimizer=fb.SGD(50.0), seed=seed, dtype="float64").diagnose(X, y).layers[layer].update_ratio
    )
    assert int(found[1]) == round(ratio)

    (small,) = network(layers, optimizer=fb.SGD(1e-7), seed=seed, dtype="float64").diagnose(X, y).warnings
    found = re.match(
        rf"Too slow: the next step takes the loss of these rows from {before:.4g} to {before:.4g}; one that is 1.0·10⁶"
        r" times as long would take it to (\S+)\. Use a larger learning rate than 1e-07, such as 0.01: a tenth of that"
        r" step's, 0.1, ",
        small,
    )
    assert float(found[1]) == pytest.approx(loss_after_a_step_at(0.1)[1], rel=1e-3)


def test_a_loss_that_is_not_finite():
    X, y = data()
    net = network([fb.Dense(8, "relu"), fb.Dense(8, "relu"), fb.Dense(4)])
    net.layers[1].weight[...] = 3e38
    found = net.diagnose(X, y)
    assert not np.isfinite(found.loss) and "Dense_2 is the first with such outputs" in found.warnings[0]
    assert [layer.update_ratio for layer in found.layers] == [None, None, None]
    assert str(found) and found._repr_html_() and found.plot()
    squares = network([fb.Dense(1, kernel_init=1e30)], "mse")
    assert "though all layers' outputs are finite" in squares.diagnose(X, y).warnings[0]


HEALTHY = {
    "linear": ([fb.Dense(4)], dict(optimizer=fb.Adam(1e-2))),
    "relu": ([fb.Dense(64, "relu"), fb.Dense(64, "relu"), fb.Dense(4)], {}),
    "deep relu": ([fb.Dense(64, "relu") for _ in range(9)] + [fb.Dense(4)], {}),
    "tanh": ([fb.Dense(30, "tanh"), fb.Dense(30, "tanh"), fb.Dense(4)], dict(optimizer=fb.SGD(0.1))),
    "deep tanh": ([fb.Dense(64, "tanh") for _ in range(9)] + [fb.Dense(4)], {}),
    "one sigmoid": ([fb.Dense(30, "sigmoid"), fb.Dense(4)], dict(optimizer=fb.SGD(0.1, momentum=0.9))),
    "classical": ([fb.Dense(30, "sigmoid"), fb.Dense(4, "sigmoid")], dict(loss="squared_error", optimizer=fb.SGD(3.0))),
    "dropout": ([fb.Dense(64, "relu"), fb.Dropout(0.5), fb.Dense(4, "softmax")], dict(optimizer=fb.RMSprop(1e-3))),
}


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [0, 20])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_wrong_with_a_healthy_network(name, seed, epochs):
    layers, more = HEALTHY[name]
    X, y = data(seed)
    y = np.eye(4)[y] if "loss" in more else y
    net = network(layers, **more, seed=seed)
    if epochs:
        net.fit(X, y, epochs=epochs, verbose=False)
        assert net.evaluate(X, y)["loss"] < 0.2
    found = net.diagnose(X, y)
    assert found.warnings == [] and "Nothing wrong is seen." in str(found)


# --- what it looks like ---


class Parser(html.parser.HTMLParser):
    """Collects text, and sees that tags are closed."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(markup):
    parser = Parser()
    parser.feed(markup)
    parser.close()
    assert not parser.open
    return parser.text


def test_text_and_html():
    X, y = data()
    found = network([fb.Dense(20, "sigmoid") for _ in range(9)] + [fb.Dense(4)]).diagnose(X, y)
    lines = str(found).splitlines()
    assert lines[0] == f"one training step on 300 rows, loss {found.loss:.4g}"
    assert lines[2].split()[:2] == ["layer", "activation"] and set(lines[3]) == {"-"}
    assert [line.split()[0] for line in lines[4:14]] == [f"Dense_{i}" for i in range(1, 11)]
    assert f"{found.layers[0].gradient_norm:.3g}" in lines[4] and lines[-1] == "- " + found.warnings[0]
    assert len({len(line) for line in lines[3:14]}) == 1  # aligned
    cells = parsed(found._repr_html_())
    assert "Dense_10" in cells and found.warnings[0] in cells
    assert repr(found) == f"<Diagnosis: {lines[0]}, 1 warning>"


def test_the_picture():
    from matplotlib.colors import to_rgba

    X, y = data()
    layers = [fb.Dense(20, "sigmoid"), fb.Dropout(0.2), fb.Dense(20, "relu", bias_init=-100.0), fb.Dense(4)]
    layers[0] = fb.Dense(20, "sigmoid", kernel_init=0.01)
    figure = network(layers).diagnose(X, y).plot()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        "spread of activations",
        "norm of the gradient δ",
        "share of saturated or dead units",
        "step / weights",
    ]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "Dense_1",
        "Dropout_1",
        "Dense_2",
        "Dense_3",
    ]
    figure.canvas.draw()
    colors = [tuple(color) for points in figure.axes[2].collections for color in points.get_facecolor()]
    assert colors == [to_rgba("tab:gray"), to_rgba("tab:red")]  # no alarm where no unit is saturated
    network([fb.Dense(4, kernel_init="zeros")]).diagnose(X, y).plot().canvas.draw()


def test_pictures_leave_pyplot_alone_and_need_matplotlib(monkeypatch):
    code = (
        "import sys, fastbp as fb\n"
        "net = fb.Network([fb.Dense(1)], (1,), loss='mse', seed=0)\n"
        "found, rates = net.diagnose([[1.0]], [1.0]), fb.find_learning_rate(net, [[1.0]], [1.0])\n"
        "assert 'matplotlib' not in sys.modules\n"
        "found.plot(), rates.plot()\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    net = network([fb.Dense(1)], "mse", inputs=1)
    found, rates = net.diagnose([[1.0]], [1.0]), fb.find_learning_rate(net, [[1.0]], [1.0])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for plot in (found.plot, rates.plot):
        with pytest.raises(ImportError, match=r"plotting needs matplotlib: pip install 'fastbp\[plot\]'"):
            plot()


# --- bad arguments ---


@pytest.mark.parametrize(("x", "y", "error", "message"), DATA)
def test_bad_data(x, y, error, message):
    net = classifier()
    unchanged(net, lambda: net.diagnose(x, y), error, message)
    unchanged(net, lambda: fb.find_learning_rate(net, x, y), error, message)
    if "float32" not in message:  # it is checked in float64
        unchanged(net, lambda: fb.check_gradients(net, x, y), error, message)


def test_bad_weights():
    net, (X, y) = network([fb.Dense(4)]), data()
    calls = (
        lambda weight: net.diagnose(X, y, weight),
        lambda weight: fb.find_learning_rate(net, X, y, sample_weight=weight),
        lambda weight: fb.check_gradients(net, X, y, sample_weight=weight),
    )
    for call in calls:
        unchanged(net, lambda: call(-np.ones(300)), ValueError, "sample_weight must be 0 or more")  # noqa: B023
        unchanged(net, lambda: call(np.ones(3)), ValueError, r"sample_weight must have shape \(300,\)")  # noqa: B023


def diabetes():
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    return (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()


@pytest.mark.parametrize("optimizer", [fb.Adam(30.0), fb.RMSprop(10.0), fb.Nadam(20.0), fb.Lion(3.0)])
def test_what_training_has_done_is_not_blamed_on_initial_weights_alone(optimizer):
    (X, y), layers = diabetes(), [fb.Dense(16, "relu"), fb.Dense(1)]
    net = fb.Network(layers, (10,), loss="mse", optimizer=optimizer, seed=0)
    net.fit(X, y, epochs=3, verbose=False)
    warnings = net.diagnose(X, y).warnings
    assert warnings and any(f"a smaller learning rate than {net.learning_rate:g}" in text for text in warnings)
    assert not any("Use smaller initial weights:" in text for text in warnings)
