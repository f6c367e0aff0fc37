"""Every bad argument: the error names it, what is required and what was given, and nothing has changed."""

import re

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import brief

X, Y = np.linspace(-1, 1, 40).reshape(10, 4), np.arange(10) % 3
NAN, INF = X.copy(), X.copy()
NAN[3, 1], INF[7, 0] = np.nan, -np.inf


def classifier():
    return fb.Network([fb.Dense(5, "tanh"), fb.Dense(3)], (4,), loss="cross_entropy", seed=0)


DATA = [
    (X[:, :3], Y, ValueError, r"X must have shape \(rows, 4\), got \(10, 3\)"),
    (X[0], Y[:1], ValueError, r"X must have shape \(rows, 4\), got \(4,\)"),
    (3.0, Y, ValueError, r"X must have shape \(rows, 4\), got \(\)"),
    (X[:0], Y[:0], ValueError, "X must have at least 1 row, got 0"),
    ([[1, 2, 3, 4], [1, 2]], Y[:2], ValueError, "X must be an array of numbers with rows of one length"),
    (X.astype(str), Y, TypeError, "X must hold numbers, got a ndarray of dtype <U"),
    (X.astype(object), Y, TypeError, "X must hold numbers, got a ndarray of dtype object"),
    (X + 1j, Y, TypeError, "X must hold numbers"),
    (None, Y, TypeError, "X must hold numbers, got a NoneType"),
    (np.ma.masked_greater(X, X.max() / 2), Y, ValueError, r"X must have no masked elements, got \d+ of 40"),
    (NAN, Y, ValueError, r"X must be finite numbers .*, got nan in row 3"),
    (INF, Y, ValueError, "X must be finite numbers .*, got -inf in row 7"),
    (X * 1e300, Y, ValueError, r"X must be finite numbers within .*float32.*, got -1e\+300 in row 0"),
    (X, Y[:9], ValueError, "y must have as many rows as X, which has 10, got 9"),
    (X, 1, ValueError, "y must have as many rows as X, which has 10, got a single number"),
    (X, Y + 1, ValueError, r"y must hold labels 0 to 2 \(the network has 3 outputs\), got 3 in row 2"),
    (X, Y - 1, ValueError, "y must hold labels 0 to 2 .*, got -1 in row 0"),
    (X, Y + 0.5, ValueError, "y must hold labels 0 to 2 .*, got 0.5 in row 0"),
    (X, np.array(list("abcabcabca")), TypeError, "y must hold numbers"),
    (X, np.ones((10, 2)), ValueError, r"y must have shape \(rows, 3\) or labels of shape \(rows,\), got \(10, 2\)"),
    (X, -np.ones((10, 3)), ValueError, "y must be within 0 to 1 for cross_entropy, got values from -1 to -1"),
    (X, np.where(Y == 1, np.nan, Y), ValueError, "y must be finite numbers .*, got nan in row 1"),
]


def unchanged(net, call, error, message):
    before = net.params.copy(), net.state.copy(), net.scalars.copy(), net.epochs_trained
    with pytest.raises(error, match=message):
        call()
    after = net.params, net.state, net.scalars, net.epochs_trained
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(("x", "y", "error", "message"), DATA)
@pytest.mark.parametrize("call", ["fit", "train_on_batch", "value_and_grad", "input_gradient", "evaluate"])
def test_bad_data(call, x, y, error, message):
    net = classifier()
    net.train_on_batch(X, Y)
    unchanged(net, lambda: getattr(net, call)(x, y), error, message)


@pytest.mark.parametrize(("x", "y", "error", "message"), [row for row in DATA if "X must" in row[3]])
@pytest.mark.parametrize("call", ["forward", "predict"])
def test_bad_inputs(call, x, y, error, message):
    net = classifier()
    unchanged(net, lambda: getattr(net, call)(x), error, message)


FIT = [
    (dict(epochs=0), ValueError, "epochs must be at least 1, got 0"),
    (dict(epochs=1.5), TypeError, "epochs must be an integer, got 1.5"),
    (dict(epochs=True), TypeError, "epochs must be an integer, got True"),
    (dict(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
    (dict(batch_size="32"), TypeError, "batch_size must be an integer, got '32'"),
    (dict(validation_data=X), TypeError, r"validation_data must be \(X, y\)"),
    (dict(validation_data=(X[:, :2], Y)), ValueError, r"validation_data: X must have shape \(rows, 4\)"),
    (dict(validation_data=(X, Y + 9)), ValueError, "validation_data: y must hold labels 0 to 2"),
    (dict(validation_data=(X, Y), validation_split=0.5), ValueError, "validation_split must be 0 with validation_data"),
    (dict(validation_split=1.0), ValueError, "validation_split must be at least 0 and less than 1, got 1.0"),
    (dict(validation_split=-0.1), ValueError, "validation_split must be a finite number at least 0, got -0.1"),
    (dict(validation_split=0.01), ValueError, "validation_split must leave rows on both sides, got 0.01 of 10 rows"),
    (dict(shuffle=1), TypeError, "shuffle must be True or False, got 1"),
    (dict(sample_weight=np.ones(9)), ValueError, r"sample_weight must have shape \(10,\)"),
    (dict(sample_weight=-np.ones(10)), ValueError, "sample_weight must be 0 or more, got -1.0 in row 0"),
    (dict(sample_weight=np.full(10, np.nan)), ValueError, "sample_weight must be finite"),
    (dict(class_weight={3: 1.0}), ValueError, "class_weight must map labels 0 to 2 to weights, got the label 3"),
    (dict(class_weight={1: -1.0}), ValueError, r"class_weight\[1\] must be a finite number at least 0, got -1.0"),
    (dict(class_weight="even"), TypeError, "class_weight must be a mapping .*, got 'even'"),
    (dict(class_weight=np.ones(3)), TypeError, r"class_weight must be a mapping .*, got an array of shape \(3,\)$"),
    (dict(callbacks=[3]), TypeError, r"callbacks must have a method on_epoch_end\(net, epoch, logs\), .*, got 3"),
    (dict(callbacks=[int]), TypeError, r"callbacks must have a method on_epoch_end.*, got the class int$"),
    (dict(callbacks=[fb.StopAtLoss]), TypeError, r"callbacks must be an object such as StopAtLoss\(\), got the class$"),
    (dict(callbacks=fb.StopAtLoss), TypeError, r"callbacks must be an object such as StopAtLoss\(\), got the class$"),
    (dict(class_weight={1: 1e39}), ValueError, r"class_weight\[1\] must be a number that float32 has, got 1e\+39"),
    (dict(callbacks=3), TypeError, "callbacks must be a sequence of callbacks, got 3"),
    (dict(verbose="no"), TypeError, "verbose must be True or False, got 'no'"),
    (dict(metrics="auc"), ValueError, r"metrics must be \(\) without validation_data .*, got auc"),
    (dict(metrics="acc", validation_split=0.5), ValueError, "metrics must be one of 'accuracy', .*, got 'acc'"),
    (dict(metrics=3, validation_split=0.5), TypeError, "metrics must be a sequence of names and functions, got 3"),
    (dict(metrics=[3], validation_split=0.5), TypeError, "metrics must hold names or functions with a __name__, got 3"),
    (dict(metrics=[dict], validation_split=0.5), TypeError, "metrics must hold names or functions"),
    (dict(metrics=["r2", "r2"], validation_split=0.5), ValueError, "metrics must have different names, .* 'r2' twice"),
    (dict(metrics=["r2"], validation_split=0.5), ValueError, "r2 needs values of the shape of the predictions"),
    (
        dict(callbacks=[fb.EarlyStopping()]),
        ValueError,
        "monitor must be one of 'loss', 'accuracy', got 'val_loss'; the",
    ),
    (dict(callbacks=fb.ReduceOnPlateau("acc")), ValueError, "monitor must be one of 'loss', 'accuracy', got 'acc'$"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), FIT)
def test_bad_arguments_of_fit(arguments, error, message):
    net = classifier()
    net.train_on_batch(X, Y)
    unchanged(net, lambda: net.fit(X, Y, **arguments), error, message)


BATCHES = [
    (dict(X=X), TypeError, "y must be given with an array X; without y, X must be an iterable of batches"),
    (dict(X=3.0), TypeError, r"X must be an array with y, or an iterable of batches \(X, y\) without, got 3.0"),
    (dict(X="data"), TypeError, "X must be an array with y, or an iterable of batches .*, got 'data'"),
    (dict(X={"X": X}), TypeError, "X must be an array with y, or an iterable of batches"),
    (dict(X=X.tolist()), TypeError, r"batch 0 must be \(X, y\) or \(X, y, sample_weight\), got 4 things"),
    (dict(X=(X, Y)), TypeError, r"batch 0 must be \(X, y\) or \(X, y, sample_weight\), got a ndarray"),
    (dict(X=[(X, Y + 1)]), ValueError, "batch 0: y must hold labels 0 to 2 .*, got 3 in row 2"),
    (dict(X=[]), ValueError, "X must give at least one batch each time that it is iterated, got none"),
    (dict(X=iter([(X, Y)]), epochs=2), ValueError, "X must be iterated once an epoch, and a list_iterator is empty"),
    (dict(sample_weight=np.ones(10)), ValueError, "sample_weight can't be given with an iterable of batches"),
    (dict(validation_split=0.5), ValueError, "validation_split can't be given with an iterable of batches, got 0.5"),
    (dict(class_weight="balanced"), ValueError, "class_weight must be a mapping with an iterable of batches"),
    (dict(class_weight={3: 1}), ValueError, "class_weight must map labels 0 to 2 to weights, got the label 3"),
    (dict(metrics="auc"), ValueError, r"metrics must be \(\) without validation_data .*, got auc"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BATCHES)
def test_bad_iterables(arguments, error, message):
    net = classifier()
    net.train_on_batch(X, Y)
    unchanged(net, lambda: net.fit(**({"X": [(X, Y)], "verbose": False} | arguments)), error, message)


EVALUATE = [
    (dict(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
    (dict(sample_weight=np.ones(9)), ValueError, r"sample_weight must have shape \(10,\)"),
    (dict(class_weight={1: -1.0}), ValueError, r"class_weight\[1\] must be a finite number at least 0, got -1.0"),
    (dict(class_weight="even"), TypeError, "class_weight must be a mapping .*, got 'even'"),
    (dict(metrics="acc"), ValueError, "metrics must be one of 'accuracy', .*, got 'acc'"),
    (dict(metrics="loss"), ValueError, "metrics must be one of 'accuracy', .*, got 'loss'"),
    (dict(metrics=[None]), TypeError, "metrics must hold names or functions with a __name__, got None"),
    (dict(metrics="mae"), ValueError, r"mae needs values of the shape .*, got \(10,\) for \(10, 3\)"),
    (dict(metrics="top_k_accuracy"), ValueError, "top_k_accuracy needs more outputs than k=5, got 3"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), EVALUATE)
def test_bad_arguments_of_evaluate(arguments, error, message):
    net = classifier()
    net.train_on_batch(X, Y)
    unchanged(net, lambda: net.evaluate(X, Y, **arguments), error, message)


def test_a_function_that_is_called_loss():
    def loss(y_true, y_pred):
        return 0

    net = classifier()
    unchanged(
        net, lambda: net.evaluate(X, Y, metrics=loss), ValueError, "metrics must have different names, none .*loss"
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "kl_divergence"])
def test_rows_of_probabilities_sum_to_1(loss):
    net = fb.Network([fb.Dense(3, "softmax")], (4,), loss=loss, seed=0)
    y = np.eye(3)[Y]
    y[7] = 1, 0, 1
    unchanged(net, lambda: net.fit(X, y), ValueError, f"y must hold probabilities for {loss}, which sum to 1 .* is 2$")
    y[7] = 0
    unchanged(net, lambda: net.evaluate(X, y), ValueError, "y must hold probabilities .*, got a row whose sum is 0$")
    y[7] = 0.3333, 0.3333, 0.3333
    net.fit(X, y.astype(np.float16), verbose=False)


def test_targets_of_the_other_losses():
    for loss in ("mse", "squared_error", "binary_cross_entropy"):
        net = fb.Network([fb.Dense(2)], (4,), loss=loss, seed=0)
        unchanged(net, lambda: net.fit(X, Y), ValueError, r"y must have shape \(rows, 2\), got \(10,\)")  # noqa: B023
    for loss, y, message in (
        ("poisson", -1, "y must be 0 or more for poisson"),
        ("hinge", 2, "y must be within -1 to 1 for hinge"),
        ("hinge", 0.5, "y must hold -1 and 1, or 0 and 1, for hinge, got 0.5"),
        ("kl_divergence", 1.5, "y must be within 0 to 1 for kl_divergence"),
    ):
        net = fb.Network([fb.Dense(2)], (4,), loss=loss, seed=0)
        unchanged(net, lambda: net.fit(X, np.full((10, 2), y), verbose=False), ValueError, message)  # noqa: B023
    scheduled = fb.Network([fb.Dense(1)], (4,), loss="mse", optimizer=fb.SGD(fb.CosineDecay(0.1, 5)), seed=0)
    with pytest.raises(ValueError, match=r"learning_rate can't be set: CosineDecay\(0.1, steps=5\) sets it"):
        scheduled.learning_rate = 0.2
    one = fb.Network([fb.Dense(1)], (4,), loss="binary_cross_entropy", seed=0)
    unchanged(one, lambda: one.fit(X, Y), ValueError, "y must be within 0 to 1 for binary_cross_entropy, got .* 0 to 2")
    unchanged(one, lambda: one.fit(X, np.ones((10, 2))), ValueError, r"y must have shape \(rows, 1\) or \(rows,\)")
    for net, y in ((one, Y > 0), (fb.Network([fb.Dense(1)], (4,), loss="mse", seed=0), Y)):
        unchanged(net, lambda: net.fit(X, y, class_weight="balance"), TypeError, "class_weight must be a mapping")  # noqa: B023
    unchanged(net, lambda: net.fit(X, y, class_weight="balanced"), ValueError, "class_weight must be None unless")
    unchanged(one, lambda: one.fit(X, Y > 0, class_weight={2: 1}), ValueError, "map labels 0 to 1 to weights, got .* 2")


CONSTRUCT = [
    (lambda: fb.Dense(0), ValueError, "units must be at least 1, got 0"),
    (lambda: fb.Dense(2.5), TypeError, "units must be an integer, got 2.5"),
    (lambda: fb.Dense(2, activation="rellu"), ValueError, "activation must be one of 'linear', .*, got 'rellu'"),
    (lambda: fb.Dense(2, activation=3), TypeError, "activation must be one of .*, got 3"),
    (lambda: fb.Dense(2, bias=1), TypeError, "bias must be True or False, got 1"),
    (lambda: fb.Dense(2, kernel_init="he"), ValueError, "kernel_init must be one of .*, got 'he'"),
    (lambda: fb.Dense(2, bias_init=None), TypeError, "bias_init must be one of .*, got None"),
    (lambda: fb.Activation("tan"), ValueError, "activation must be one of"),
    (lambda: fb.SGD(0), ValueError, "learning_rate must be a finite number greater than 0, got 0"),
    (lambda: fb.SGD(-1.0), ValueError, "learning_rate must be a finite number greater than 0, got -1.0"),
    (lambda: fb.SGD(float("nan")), ValueError, "learning_rate must be a finite number greater than 0, got nan"),
    (lambda: fb.SGD("fast"), TypeError, "learning_rate must be a number, got 'fast'"),
    (lambda: fb.SGD(0.1, momentum=1), ValueError, "momentum must be at least 0 and less than 1, got 1"),
    (lambda: fb.SGD(0.1, nesterov=True), ValueError, "nesterov must be False unless momentum is greater than 0"),
    (lambda: fb.SGD(0.1, weight_decay=-1), ValueError, "weight_decay must be a finite number at least 0, got -1"),
    (lambda: fb.Adam(0), ValueError, "learning_rate must be a finite number greater than 0, got 0"),
    (lambda: fb.Adam(float("inf")), ValueError, "learning_rate must be .*, got inf"),
    (lambda: fb.Adam(beta1=1.0), ValueError, "beta1 must be at least 0 and less than 1, got 1.0"),
    (lambda: fb.Adam(epsilon=0), ValueError, "epsilon must be a finite number greater than 0, got 0"),
    (lambda: fb.Dense(2, l1=-1), ValueError, "l1 must be a finite number at least 0, got -1"),
    (lambda: fb.Dense(2, l2="a"), TypeError, "l2 must be a number, got 'a'"),
    (lambda: fb.Dense(2, trainable=1), TypeError, "trainable must be True or False, got 1"),
    (lambda: fb.Dense(2, learning_rate=0), ValueError, "learning_rate must be a finite number greater than 0, got 0"),
    (lambda: fb.Dropout(1), ValueError, "rate must be at least 0 and less than 1, got 1"),
    (lambda: fb.Dropout("half"), TypeError, "rate must be a number, got 'half'"),
    (lambda: fb.SGD(0.1, clip_norm=0), ValueError, "clip_norm must be a finite number greater than 0, got 0"),
    (lambda: fb.SGD(0.1, gradient_noise=-1), ValueError, "gradient_noise must be a finite number at least 0, got -1"),
    (lambda: fb.Adam(clip_value=-1), ValueError, "clip_value must be a finite number greater than 0, got -1"),
    (lambda: fb.Adam(lambda t: 0.1), TypeError, "learning_rate must be a number or a schedule such as"),
    (lambda: fb.AdamW(weight_decay=-1), ValueError, "weight_decay must be .*, got -1"),
    (lambda: fb.Nadam(momentum_decay=-1), ValueError, "momentum_decay must be .*, got -1"),
    (lambda: fb.RMSprop(rho=1), ValueError, "rho must be at least 0 and less than 1, got 1"),
    (lambda: fb.RMSprop(centered=None), TypeError, "centered must be True or False, got None"),
    (lambda: fb.Adagrad(rate_decay=-1), ValueError, "rate_decay must be .*, got -1"),
    (lambda: fb.Adadelta(epsilon=0), ValueError, "epsilon must be .* greater than 0, got 0"),
    (lambda: fb.Lion(beta2=1), ValueError, "beta2 must be at least 0 and less than 1, got 1"),
    (lambda: fb.Rprop(shrink=1), ValueError, "shrink must be less than 1 and grow more, got 1.0 and 1.2"),
    (lambda: fb.Rprop(min_step=2, max_step=1), ValueError, "min_step must be at most max_step"),
    (lambda: fb.Rprop(fb.CosineDecay(0.1, 9)), TypeError, "learning_rate must be a number for Rprop"),
    (lambda: fb.StepDecay(0.1, 0), ValueError, "steps must be at least 1, got 0"),
    (lambda: fb.ExponentialDecay(0.1, 0), ValueError, "factor must be .* greater than 0, got 0"),
    (lambda: fb.CosineDecay(0.1, 10, final=-1), ValueError, "final must be .* at least 0, got -1"),
    (lambda: fb.CosineDecay(0.1, 10)(-1), ValueError, "step must be at least 0, got -1"),
    (lambda: fb.OneCycle(0.1, 1), ValueError, "steps must be at least 2, got 1"),
    (lambda: fb.OneCycle(0.1, 10, pct_start=1), ValueError, "pct_start must be less than 1, got 1"),
    (lambda: fb.PiecewiseConstant([2, 1], [1, 2, 3]), ValueError, r"boundaries must increase, got \(2, 1\)"),
    (lambda: fb.PiecewiseConstant([2], [1]), ValueError, "values must be one more than the 1 boundaries, got 1"),
    (lambda: fb.PiecewiseConstant(2, [1]), TypeError, "boundaries must be a sequence of numbers, got 2"),
    (lambda: fb.InverseScaling(0.1, -1), ValueError, "power must be .* at least 0, got -1"),
    (lambda: fb.Warmup(0.1, 5, 2), ValueError, "start must be .* at most 1, got 2"),
    (lambda: fb.Warmup(fb.Warmup(0.1, 5), 5), TypeError, "schedule must be a rate or a schedule other than Warmup"),
    (lambda: fb.Warmup(fb.StepDecay, 5), TypeError, r"schedule must be an object such as StepDecay\(\), got the class"),
    (lambda: fb.Adam(fb.CosineDecay), TypeError, "a schedule such as .*, got the class CosineDecay$"),
    (lambda: fb.Dense(2, fb.CustomActivation), TypeError, r"an object such as CustomActivation\(\), got the class$"),
    (lambda: fb.Dense(2, fb.Activation), TypeError, "activation must be one of .*, got the class Activation$"),
    (lambda: fb.Dense(2, lambda z: z), TypeError, "activation must be fb.CustomActivation"),
    (lambda: fb.Network([fb.Dense(2)], (2,), loss=abs), TypeError, "loss must be fb.CustomLoss"),
    (lambda: fb.Network([fb.Dense(1, kernel_init=1e39)], (2,), loss="mse"), ValueError, "numbers that float32 has"),
    (lambda: setattr(classifier(), "optimizer", fb.SGD(1)), AttributeError, "optimizer"),
    (lambda: setattr(classifier(), "loss", "mae"), AttributeError, "loss"),
    (lambda: fb.load("x", custom_objects={"f": abs}), TypeError, "custom_objects must hold CustomActivations"),
    (lambda: fb.load("x", custom_objects=[1]), TypeError, "custom_objects must be a mapping"),
    (lambda: fb.Huber(0), ValueError, "delta must be .* greater than 0, got 0"),
    (lambda: fb.CrossEntropy(1), ValueError, "label_smoothing must be at least 0 and less than 1, got 1"),
    (lambda: fb.BinaryCrossEntropy("a"), TypeError, "label_smoothing must be a number, got 'a'"),
    (lambda: fb.initializers.Uniform(1, 0), ValueError, "low must be at most high, got 1.0 and 0.0"),
    (lambda: fb.initializers.Normal(0, -1), ValueError, "stddev must be .* at least 0, got -1"),
    (lambda: fb.initializers.Orthogonal(0), ValueError, "gain must be .* greater than 0, got 0"),
    (lambda: fb.StopAtLoss(float("nan")), ValueError, "threshold must be a finite number, got nan"),
    (lambda: fb.StopAtLoss("0.1"), TypeError, "threshold must be a number, got '0.1'"),
    (lambda: fb.EarlyStopping(None), TypeError, "monitor must be a name such as 'val_loss', got None"),
    (lambda: fb.EarlyStopping(patience=-1), ValueError, "patience must be at least 0, got -1"),
    (lambda: fb.EarlyStopping(patience=1.0), TypeError, "patience must be an integer, got 1.0"),
    (lambda: fb.EarlyStopping(min_delta=-1), ValueError, "min_delta must be a finite number at least 0, got -1"),
    (lambda: fb.EarlyStopping(restore_best=1), TypeError, "restore_best must be True or False, got 1"),
    (lambda: fb.EarlyStopping(mode="less"), ValueError, "mode must be one of 'auto', 'min', 'max', got 'less'"),
    (lambda: fb.ReduceOnPlateau(3), TypeError, "monitor must be a name such as 'val_loss', got 3"),
    (lambda: fb.ReduceOnPlateau(factor=1), ValueError, "factor must be greater than 0 and less than 1, got 1"),
    (lambda: fb.ReduceOnPlateau(factor=0.0), ValueError, "factor must be greater than 0 and less than 1, got 0.0"),
    (lambda: fb.ReduceOnPlateau(factor="1"), TypeError, "factor must be a number, got '1'"),
    (lambda: fb.ReduceOnPlateau(patience=True), TypeError, "patience must be an integer, got True"),
    (lambda: fb.ReduceOnPlateau(min_delta=-1), ValueError, "min_delta must be a finite number at least 0, got -1"),
    (lambda: fb.ReduceOnPlateau(cooldown=-1), ValueError, "cooldown must be at least 0, got -1"),
    (lambda: fb.ReduceOnPlateau(min_rate=-1), ValueError, "min_rate must be a finite number at least 0, got -1"),
    (lambda: fb.ReduceOnPlateau(mode=max), TypeError, "mode must be one of 'auto', 'min', 'max', got"),
    (lambda: fb.TimeBudget(0), ValueError, "seconds must be a finite number greater than 0, got 0"),
    (lambda: fb.TimeBudget("1h"), TypeError, "seconds must be a number, got '1h'"),
    (lambda: fb.CSVLogger(3), TypeError, "path must be a path of a file, got 3"),
    (lambda: fb.CSVLogger("a", append="yes"), TypeError, "append must be True or False, got 'yes'"),
    (lambda: fb.Checkpoint(None), TypeError, "path must be a path of a file, got None"),
    (lambda: fb.Checkpoint("a", every=0), ValueError, "every must be at least 1, got 0"),
    (lambda: fb.metrics.top_k_accuracy(0), ValueError, "k must be at least 1, got 0"),
    (lambda: fb.metrics.top_k_accuracy(2.0), TypeError, "k must be an integer, got 2.0"),
    (lambda: fb.set_num_threads(0), ValueError, "n must be 1 to .*, got 0"),
    (lambda: fb.set_num_threads(10**6), ValueError, "n must be 1 to .*, got 1000000"),
    (lambda: fb.set_num_threads(1.0), TypeError, "n must be an integer or None, got 1.0"),
]


@pytest.mark.parametrize(("make", "error", "message"), CONSTRUCT)
def test_bad_parts(make, error, message):
    with pytest.raises(error, match=message):
        make()


NETWORK = [
    (dict(layers=[]), ValueError, "layers must hold at least one layer, got none"),
    (dict(layers=fb.Dense(3)), TypeError, "layers must be a list of layers, got Dense"),
    (dict(layers=[fb.Dense(3), "relu"]), TypeError, r"layers must hold layers .*, got 'relu' at place 1"),
    (dict(input_shape=4), TypeError, r"input_shape must be a tuple of integers such as \(4,\), got 4"),
    (dict(input_shape=np.array(4)), TypeError, r"input_shape must be a tuple of integers such as .*, got array\(4\)"),
    (dict(input_shape=None), TypeError, r"input_shape must be a tuple of integers such as \(4,\), got None"),
    (dict(input_shape=(None, 4)), TypeError, r"input_shape must be a tuple of integers .*, got \(None, 4\)"),
    (dict(input_shape=(4.0,)), TypeError, r"input_shape must be a tuple of integers .*, got \(4.0,\)"),
    (dict(input_shape=(True,)), TypeError, r"input_shape must be a tuple of integers .*, got \(True,\)"),
    (dict(input_shape=X), TypeError, r"input_shape must be a tuple of integers .*, got an array of shape \(10, 4\)"),
    (dict(input_shape=()), ValueError, "input_shape must have at least one size"),
    (dict(input_shape=(0,)), ValueError, "input_shape must be at least 1, got 0"),
    (dict(input_shape=("4",)), TypeError, "input_shape must be a tuple of integers .*, got \\('4',\\)"),
    (dict(input_shape=(2, 2)), ValueError, r"Dense_1: Dense takes rows of shape \(inputs,\), got \(2, 2\)"),
    (dict(loss="crossentropy"), ValueError, "loss must be one of 'mse', .*, got 'crossentropy'"),
    (dict(loss=None), TypeError, "loss must be one of .*, got None"),
    (dict(loss=fb.CrossEntropy), TypeError, r"loss must be an object such as CrossEntropy\(\), got the class$"),
    (dict(loss=dict), TypeError, "loss must be one of 'mse', .*, got the class dict$"),
    (dict(optimizer=fb.Adam), TypeError, r"optimizer must be an object such as Adam\(\), got the class$"),
    (dict(optimizer="adm"), ValueError, "optimizer must be one of .*'adam'.*, got 'adm'"),
    (dict(optimizer=0.1), TypeError, r"optimizer must be an optimizer such as Adam\(1e-3\), or a name, got 0.1"),
    (dict(optimizer=fb.Adam(epsilon=1e-50)), ValueError, "epsilon must be a number that float32 has, got 1e-50"),
    (dict(dtype="float16"), ValueError, "dtype must be 'float32' or 'float64', got 'float16'"),
    (dict(dtype="double precision"), ValueError, "dtype must be 'float32' or 'float64'"),
    (dict(seed=-1), ValueError, "seed must be at least 0, got -1"),
    (dict(seed=0.5), TypeError, "seed must be an integer, got 0.5"),
    (dict(layers=[fb.Dense(1)]), ValueError, "loss must not be 'cross_entropy' for a network with 1 output"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), NETWORK)
def test_bad_networks(arguments, error, message):
    good = dict(layers=[fb.Dense(3)], input_shape=(4,), loss="cross_entropy")
    with pytest.raises(error, match=message):
        fb.Network(**(good | arguments))


@pytest.mark.parametrize("rate", [0, -1.0, float("nan"), float("inf"), "0.1"])
def test_a_learning_rate_that_is_set(rate):
    net = classifier()
    with pytest.raises((TypeError, ValueError), match="learning_rate must be"):
        net.learning_rate = rate
    assert net.learning_rate == 1e-3


WIDE = np.linspace(-1, 1, 240).reshape(60, 4)
ARRAY = "an array of shape (60, 4)"
LONG = [
    (lambda: fb.find_learning_rate(WIDE, WIDE, classifier()), f"net must be a Network, got {ARRAY}"),
    (lambda: fb.check_gradients(WIDE, X, Y), f"net must be a Network, got {ARRAY}"),
    (lambda: fb.Ensemble(WIDE, 2), f"net must be a Network, got {ARRAY}"),
    (lambda: classifier().fit(X, Y, WIDE, Y), f"epochs must be an integer, got {ARRAY}"),
    (lambda: classifier().fit({"X": WIDE}), f"X must be an array with y, .*, got {{'X': {ARRAY}}}"),
    (lambda: classifier().fit(X, Y, callbacks=WIDE), "callbacks must have a method .*, got an array of shape (4,)"),
    (lambda: classifier().fit(X, Y, shuffle=WIDE), f"shuffle must be True or False, got {ARRAY}"),
    (lambda: classifier().fit(X, Y, class_weight=WIDE), f"class_weight must be a mapping .*, got {ARRAY}"),
    (lambda: classifier().save(WIDE), f"path must be a path of a file, got {ARRAY}"),
    (lambda: classifier().save("net.npz", extra=WIDE), f"extra must be a dict or None, got {ARRAY}"),
    (lambda: classifier().save("net.npz", extra=5), "extra must be a dict or None, got 5"),
    (lambda: classifier().export_c("model.c", WIDE), f"name must be a name in C, got {ARRAY}"),
    (lambda: fb.Dense(WIDE), f"units must be an integer, got {ARRAY}"),
    (lambda: fb.Dense(WIDE.tolist()), r"units must be an integer, got [[-1.0, .*..."),
    (lambda: fb.Dense(2, l2=WIDE), f"l2 must be a number, got {ARRAY}"),
    (lambda: fb.Dense(2, activation=WIDE), f"activation must be one of .*, got {ARRAY}"),
    (lambda: fb.Dense(2, activation="relu" * 99), "activation must be one of .*, got 'relurelu.*relu'"),
    (lambda: fb.EarlyStopping(WIDE), f"monitor must be a name .*, got {ARRAY}"),
    (lambda: fb.set_num_threads(WIDE), f"n must be an integer or None, got {ARRAY}"),
]


@pytest.mark.parametrize(("call", "message"), LONG)
def test_what_is_large_is_not_printed(call, message):
    pattern = re.escape(message).replace(r"\.\*", ".*") + "$"
    with pytest.raises((TypeError, ValueError), match=pattern) as caught:
        call()
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def test_what_a_file_cannot_hold_is_not_printed(tmp_path):
    with pytest.raises(TypeError, match=r"file's header must hold .*, got an array of shape \(60, 4\)$"):
        classifier().save(tmp_path / "net.npz", extra={"a": WIDE})


def test_values_in_messages():
    class Table:
        shape = (60, 4)

    class Lines:
        def __repr__(self):
            return "Lines(1,\n      2)"

    wanted = {
        "an array of shape (60, 4)": WIDE,
        "[an array of shape (4,), an array of shape (4,)]": list(WIDE[:2]),
        "array(3.)": np.array(3.0),
        "a Table of shape (60, 4)": Table(),
        "the class Table": Table,
        "Lines(1, 2)": Lines(),
        "'a  b'": "a  b",
        "(None, 4)": (None, 4),
    }
    assert {brief(value): value for value in wanted.values()}.keys() == wanted.keys()
    assert len(brief(WIDE.tolist())) == len(brief("x" * 1000)) == len(brief(fb.Residual([fb.Dense(4)] * 40))) == 100


def hint_of(call):
    """The message of the error that it raises."""
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    return str(caught.value)


def test_hints_of_what_may_have_been_meant():
    net = fb.Network([fb.Dense(3)], (4,), loss="cross_entropy", seed=0)
    X, y, dense = np.ones((2, 4)), np.zeros(2, int), [fb.Dense(3)]
    assert "did you mean 'relu'?" in hint_of(lambda: fb.Dense(3, "Relu"))
    assert "did you mean 'sigmoid'?" in hint_of(lambda: fb.Dense(3, "sigmoyd"))
    assert hint_of(lambda: fb.Dense(3, "quite another")).endswith("got 'quite another'")
    assert "value_and_grad gives (loss, gradient)" in hint_of(lambda: net.apply_gradients(net.value_and_grad(X, y)))
    assert "one array of shape (15,)" in hint_of(lambda: net.apply_gradients([np.ones((4, 3)), np.ones(3)]))
    assert "X.astype(float)" in hint_of(lambda: net.predict(X.astype(str)))
    assert "such as (64,), got 64" in hint_of(lambda: fb.Network(dense, 64, loss="mse"))
    last = hint_of(lambda: fb.Network([fb.Conv2D(3, 3), fb.Flatten(), *dense], (8, 8, 1), loss="mse"))
    assert "channels come first: np.moveaxis(X, -1, 1) and input_shape=(1, 8, 8)" in last
    flat = hint_of(lambda: fb.Network([fb.Conv2D(3, 3), fb.Flatten(), *dense], (64,), loss="mse"))
    assert "X.reshape(-1, 1, 8, 8) and input_shape=(1, 8, 8)" in flat
    normal = fb.Network([fb.Dense(4)], (4,), loss="gaussian_nll", seed=0)
    assert "(rows, 2), got (2, 4); for gaussian_nll two outputs, a mean" in hint_of(lambda: normal.fit(X, X[:2]))
    assert "give net.handle()" in hint_of(lambda: fb.jit.predict(net, X, X))
    assert hint_of(lambda: fb.Quantile(np.array(0.5))) == "q must be a number, got array(0.5)"
    assert "activation must be a layer's" in hint_of(lambda: fb.Dense(4, fb.activations.mean_variance))
    each = type("Each", (), {"on_batch_end": lambda self, net: None})()
    assert "on_chunk_end, as many batches" in hint_of(lambda: net.fit(X, y, callbacks=each))
    assert "fb.EMA averages parameters by step" in hint_of(lambda: net.fit(X, y, callbacks=each))
