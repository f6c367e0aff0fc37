"""Errors that users run into in their first hours: the message says what to write instead, and that works."""

import ctypes
import re

import numpy as np
import pytest

import fastbp as fb

RNG = np.random.default_rng(0)
X = RNG.standard_normal((65, 4))
LABELS = np.arange(65) % 3


def network(*layers, shape=(4,), loss="mse", **options):
    return fb.Network(list(layers) or [fb.Dense(3)], shape, **{"loss": loss, "seed": 0, **options})


def refused(net, call, message, error=ValueError):
    """The message of the error that a call ends with; nothing has changed then."""
    before = {name: array.copy() for name, array in net.arrays().items()}
    with pytest.raises(error, match=message) as found:
        call()
    assert all(np.array_equal(array, net.arrays()[name], equal_nan=True) for name, array in before.items())
    assert net.epochs_trained == 0
    return str(found.value)


# --- labels under a loss of values --------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss", ["mse", "squared_error", "mae", "huber", "binary_cross_entropy", "hinge", "kl_divergence"]
)
@pytest.mark.parametrize("y", [LABELS, LABELS[:, None], LABELS.astype(float), LABELS.astype(np.float32)[:, None]])
def test_labels_under_a_loss_of_values(loss, y):
    net = network(fb.Dense(3, "sigmoid"), loss=loss)
    message = refused(net, lambda: net.fit(X, y), r"y must have shape \(rows, 3\), got .* np\.eye\(3\)\[")
    cure = re.search(r"np\.eye.*(?=, or use loss='cross_entropy')", message).group()
    net.fit(X, eval(cure, {"np": np, "y": y}), verbose=False)
    classifier = network(loss="cross_entropy")
    classifier.fit(X, y, verbose=False)


def test_what_can_not_be_labels_gets_no_such_hint():
    net = network()
    for y in (X[:, 0], LABELS + 1, LABELS - 1, np.zeros((65, 2)), np.zeros((65, 1, 1))):
        assert "np.eye" not in refused(net, lambda: net.fit(X, y), r"y must have shape \(rows, 3\)")  # noqa: B023
    message = refused(net, lambda: net.fit(X, X[:, :3], validation_data=(X, LABELS)), "validation_data: y must have")
    assert "give np.eye(3)[y]," in message


# --- shapes -------------------------------------------------------------------------------------------


def test_flatten_before_a_dense_layer():
    with pytest.raises(ValueError, match=r"Dense_1: Dense takes rows of shape \(inputs,\), got \(20, 5\): put Flatten"):
        network(shape=(20, 5))
    network(fb.Flatten(), fb.Dense(3), shape=(20, 5))
    with pytest.raises(ValueError, match=r"Residual_1: Dense_1: Dense takes rows .*: put Flatten\(\) before it"):
        network(fb.Residual([fb.Dense(3)]), shape=(20, 5))


@pytest.mark.parametrize(
    ("shape", "given", "cure"),
    [
        ((64,), (10, 8, 8), "X.reshape(-1, 64)"),
        ((64,), (10, 1, 8, 8), "X.reshape(-1, 64)"),
        ((1, 8, 8), (10, 8, 8), "X.reshape(-1, 1, 8, 8)"),
        ((1, 8, 8), (10, 64), "X.reshape(-1, 1, 8, 8)"),
        ((1,), (10,), "X.reshape(-1, 1)"),
        ((3, 8, 8), (10, 8, 8, 3), "np.moveaxis(X, -1, 1)"),
        ((2, 9), (10, 9, 2), "np.moveaxis(X, -1, 1)"),
        ((8, 8), (8, 8), "X[np.newaxis]"),
        ((4,), (4,), "X[np.newaxis]"),
    ],
)
def test_inputs_of_another_shape(shape, given, cure):
    net = network(fb.Flatten(), fb.Dense(3), shape=shape)
    values = RNG.standard_normal(given)
    message = refused(net, lambda: net.predict(values), rf"X must have shape .*, got {re.escape(str(given))}; ")
    assert cure in message
    assert net.predict(eval(cure, {"np": np, "X": values})).shape[1:] == (3,)
    assert ("Flatten()" in message) == (len(shape) == 1 and len(given) > 2)


def test_inputs_that_no_cure_is_known_for():
    net = network()
    for values in (X[:, :3], np.zeros((2, 3, 5)), np.float64(3)):
        message = refused(net, lambda: net.predict(values), r"X must have shape \(rows, 4\)")  # noqa: B023
        assert message.endswith(str(np.shape(values)))


def test_maps_without_channels():
    with pytest.raises(ValueError, match=r"\(channels, height, width\), got \(28, 28\); with one .* \(1, 28, 28\)"):
        network(fb.Conv2D(2, 3), shape=(28, 28))
    with pytest.raises(ValueError, match=r"MaxPool1D takes rows .*, got \(28,\); with one channel that is \(1, 28\)"):
        network(fb.MaxPool1D(2), shape=(28,))
    with pytest.raises(ValueError, match=r"takes rows of shape \(channels, height, width\), got \(28,\)$"):
        network(fb.Conv2D(2, 3), shape=(28,))


# --- numbers that are not scaled ----------------------------------------------------------------------


def diverge(x, y, **options):
    net = network(fb.Dense(8), fb.Dense(1), optimizer=fb.SGD(0.1), **options)
    with pytest.raises(fb.DivergedError) as found:
        net.fit(x, y, epochs=100, verbose=False)
    with pytest.raises(fb.DivergedError) as step:
        for _ in range(1000):
            net.train_on_batch(x, y)
    cause = str(found.value).partition("before that epoch. ")[2]
    assert str(step.value).partition("no step was done. ")[2] == cause
    return cause


def test_targets_that_are_not_scaled_are_the_cause_of_a_divergence():
    y = 1e5 + 3e4 * X[:, 0]
    cause = diverge(X, y)
    assert re.match(r"Scale the targets, which reach 1\.\d+e\+05, as \(y - y\.mean\(\)\) / y\.std\(\)\. A small", cause)
    net = network(fb.Dense(8), fb.Dense(1), optimizer=fb.SGD(0.1))
    net.fit(X, (y - y.mean()) / y.std(), epochs=100, verbose=False)


def test_inputs_that_are_not_scaled_are_the_cause_of_a_divergence():
    cause = diverge(1000 * X, X[:, 0])
    assert re.match(r"Scale the inputs, which reach [\d.e+]+, to about -1 to 1\. A smaller learning_rate than", cause)
    both = diverge(1000 * X, 1e5 * X[:, 0])
    assert "Scale the targets, which" in both and " and the inputs, which" in both


def test_a_divergence_of_scaled_data():
    net = network(fb.Dense(8), fb.Dense(1), optimizer=fb.SGD(1e3))
    with pytest.raises(
        fb.DivergedError, match=r"A smaller learning_rate than 1000 may help, or inputs scaled to about"
    ):
        net.fit(X, X[:, 0], epochs=100, verbose=False)
    labels = network(optimizer=fb.SGD(1e38), loss="cross_entropy")
    with pytest.raises(fb.DivergedError) as found:
        labels.fit(X * 10, LABELS, epochs=100, verbose=False)
    assert "targets" not in str(found.value)


def test_unscaled_targets_in_batches():
    net = network(fb.Dense(8), fb.Dense(1), optimizer=fb.SGD(0.1))
    with pytest.raises(fb.DivergedError, match="Scale the targets, which reach"):
        net.fit([(X, 1e5 * X[:, 0])] * 5, epochs=100, verbose=False)


# --- missing values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", "float64", "int64[pyarrow]"])
def test_columns_of_pandas_with_missing_values(dtype):
    pandas = pytest.importorskip("pandas")
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    gap = pandas.Series([1, None, 0, None], dtype=dtype, name="age")
    frame = pandas.DataFrame({"height": [1.0, 2.0, 3.0, 4.0], "age": gap, "weight": gap.iloc[::-1].to_numpy()})
    net = network(shape=(3,))
    wanted = r"X must have no missing values, got a DataFrame in which 'age' has 2 missing values, the first in row 1"
    message = refused(net, lambda: net.fit(frame, np.zeros((4, 3))), wanted)
    assert "'weight' has 2 missing values, the first in row 0: fill them" in message and "height" not in message
    filled = frame.assign(age=gap.fillna(gap.iloc[0]), weight=1)
    net.predict(filled)
    message = r"y must have no missing values, got a Series .*2 missing values, the first in row 1: fill them"
    one = network(fb.Dense(1))
    refused(one, lambda: one.fit(X[:4], gap), message)


def test_columns_of_polars_with_missing_values():
    polars = pytest.importorskip("polars")
    net = network(shape=(2,))
    for values in ([1, None], [True, None], [1.0, None]):
        frame = polars.DataFrame({"age": values, "height": [1.0, 2.0]})
        refused(net, lambda: net.predict(frame), "got a DataFrame in which 'age' has 1 missing value in row 1: fill")  # noqa: B023
        series, one = polars.Series("age", values), network(fb.Dense(1))
        refused(one, lambda: one.fit(X[:2], series), "y must have no missing values, got a Series .* 1 missing value")  # noqa: B023


def test_a_list_with_missing_values():
    one = network(fb.Dense(1))
    refused(one, lambda: one.fit(X[:3], [1, None, 3]), "y must have no missing values, got a list with 1 .* in row 1")


# --- more rows than a handle has ----------------------------------------------------------------------


def test_a_batch_larger_than_the_handle():
    net = network()
    h, y = net.handle(rows=8), np.zeros((65, 3))
    message = refused(net, lambda: fb.jit.train_step(h, X, y), r"x must have at least one row .* \(h\.rows\): make one")
    assert "net.handle(rows=len(x))" in message
    fb.jit.train_step(net.handle(rows=len(X)), X, y)


# --- BatchNorm and one row ----------------------------------------------------------------------------


def normalised(*before, shape=(4,), **options):
    return network(*before, fb.Dense(5), fb.BatchNorm(), fb.Dense(3), shape=shape, loss="cross_entropy", **options)


def test_batch_norm_is_not_trained_on_steps_of_one_row():
    net = normalised()
    message = refused(net, lambda: net.fit(X, LABELS), "batch_size must leave at least 2 rows for the last step, as B")
    assert "BatchNorm_1" in message and "batch_size=32, which leaves 1 of 65: take another batch_size" in message
    refused(net, lambda: net.fit(X, LABELS, batch_size=1), "batch_size must be at least 2, as BatchNorm_1 .*, got 1$")
    one = "X must have at least 2 rows to train on, as BatchNorm_1 normalises over the rows of a step, .*, got 1$"
    refused(net, lambda: net.fit(X[:1], LABELS[:1]), one)
    refused(net, lambda: net.train_on_batch(X[:1], LABELS[:1]), one)
    refused(net, lambda: net.fit([(X, LABELS), (X[:1], LABELS[:1])], verbose=False), f"batch 1: {one}")
    split = dict(validation_split=32 / 65, verbose=False)
    refused(net, lambda: net.fit(X, LABELS, **split), "batch_size must leave at least 2 rows .* leaves 1 of 33")
    refused(net, lambda: fb.find_learning_rate(net, X, LABELS, batch_size=1), "batch_size must be at least 2")
    net.fit(X[:64], LABELS[:64], verbose=False)
    net.fit(X, LABELS, batch_size=33, verbose=False)
    fb.find_learning_rate(net, X, LABELS)  # takes whole batches alone


def test_nor_in_compiled_code():
    net = normalised()
    h, order, y = net.handle(rows=32), np.arange(65), LABELS.copy()
    message = "a training step must have at least two rows for a BatchNorm, which has no variance of one"
    refused(net, lambda: fb.jit.train_step(h, X[:1], y[:1]), message)
    refused(net, lambda: fb.jit.train_epoch(h, X, y, order), message)
    assert np.isfinite(fb.jit.train_epoch(h, X, y, order[:-1]))
    p = net.c_pointers(rows=32)
    x, labels, loss = X[:1].astype(np.float32), y[:1], ctypes.c_double()
    assert p.train_step(p.handle, x, labels, 1, loss) == 13
    assert p.train_step(p.handle, X[:2].astype(np.float32), y[:2], 2, loss) == 0


def test_what_batch_norm_can_do_with_one_row():
    """As PyTorch: maps have many values in a row, frozen statistics need none, predictions take the running ones."""
    maps = network(fb.Conv2D(2, 3), fb.BatchNorm(), fb.Flatten(), fb.Dense(3), shape=(1, 5, 5), loss="cross_entropy")
    images = RNG.standard_normal((65, 1, 5, 5))
    maps.fit(images, LABELS, verbose=False)
    maps.train_on_batch(images[:1], LABELS[:1])
    net = normalised()
    net.predict(X[:1]), net.evaluate(X[:1], LABELS[:1]), net.value_and_grad(X[:1], LABELS[:1])
    net.layers[1].trainable = False
    net.train_on_batch(X[:1], LABELS[:1])
    net.fit(X, LABELS, verbose=False)


def test_batch_norm_of_one_pixel_and_inside_a_residual():
    pooled = network(fb.Conv2D(2, 5), fb.BatchNorm(), fb.Flatten(), fb.Dense(3), shape=(1, 5, 5))
    one = "X must have at least 2 rows to train on, as {} normalises"
    refused(pooled, lambda: pooled.train_on_batch(np.zeros((1, 1, 5, 5)), np.zeros((1, 3))), one.format("BatchNorm_1"))
    inside = network(fb.Residual([fb.Dense(4), fb.BatchNorm()]), fb.Dense(3))
    refused(inside, lambda: inside.train_on_batch(X[:1], np.zeros((1, 3))), one.format("Residual_1"))


def test_a_frozen_residual_freezes_the_statistics_inside():
    inside = [fb.Dense(4), fb.BatchNorm(), fb.Residual([fb.BatchNorm()])]
    net = network(fb.Residual(inside, trainable=False), fb.Dense(3))
    kept = {name: array.copy() for name, array in net.layers[0].statistics.items()}
    assert len(kept) == 4
    net.train_on_batch(X[:1], np.zeros((1, 3)))
    net.fit(X, X[:, :3], verbose=False)
    assert all((array == kept[name]).all() for name, array in net.layers[0].statistics.items())
    net.layers[0].trainable = True
    net.fit(X[:64], X[:64, :3], verbose=False)
    assert not any((array == kept[name]).all() for name, array in net.layers[0].statistics.items())
