"""Metrics: their values against scikit-learn's, and where fit and evaluate put them."""

import math
import sys

import numpy as np
import pytest

import fastbp as fb

sklearn_metrics = pytest.importorskip("sklearn.metrics")

RNG = np.random.default_rng(0)
ROWS = 300
WEIGHT = RNG.uniform(0, 2, ROWS) * (RNG.uniform(0, 1, ROWS) > 0.1)
LABELS = RNG.integers(0, 7, ROWS)
SCORES = RNG.dirichlet(np.ones(7), ROWS) + 0.15 * np.eye(7)[LABELS]
SCORES /= SCORES.sum(axis=1, keepdims=True)
TWO = RNG.integers(0, 2, ROWS)
CHANCE = np.clip(RNG.uniform(0, 1, ROWS) * 0.8 + 0.2 * TWO, 0, 1)
VALUES = RNG.standard_normal((ROWS, 3))
GUESSES = VALUES + 0.5 * RNG.standard_normal((ROWS, 3))


def classifier():
    X = RNG.standard_normal((ROWS, 4)) + np.eye(4)[TWO]
    return fb.Network([fb.Dense(8, "relu"), fb.Dense(7)], (4,), loss="cross_entropy", seed=0), X


# --- values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
def test_metrics_of_values(weight):
    m, s = fb.metrics, sklearn_metrics
    for truth, guess in ((VALUES, GUESSES), (VALUES[:, 0], GUESSES[:, :1]), (VALUES.astype("f4"), GUESSES)):
        theirs = np.reshape(truth, guess.shape), guess
        assert m.mae(truth, guess, weight) == pytest.approx(s.mean_absolute_error(*theirs, sample_weight=weight))
        squared = s.mean_squared_error(*theirs, sample_weight=weight)
        assert m.rmse(truth, guess, weight) == pytest.approx(math.sqrt(squared))
        assert m.r2(truth, guess, weight) == pytest.approx(s.r2_score(*theirs, sample_weight=weight))
    assert math.isnan(m.r2([1.0], [2.0])) and math.isnan(m.mae([1.0], [2.0], [0.0]))


def test_accuracies():
    m, s = fb.metrics, sklearn_metrics
    for truth in (LABELS, LABELS[:, np.newaxis], np.eye(7)[LABELS]):
        assert m.accuracy(truth, SCORES) == pytest.approx(s.accuracy_score(LABELS, SCORES.argmax(axis=1)))
        for k in (1, 2, 5, 6):
            want = s.top_k_accuracy_score(LABELS, SCORES, k=k, labels=range(7))
            assert m.top_k_accuracy(k)(truth, SCORES) == pytest.approx(want)
    assert m.accuracy(TWO, CHANCE[:, np.newaxis]) == pytest.approx(s.accuracy_score(TWO, CHANCE > 0.5))
    assert m.accuracy([0, 1, 1], [[0.0], [1.0], [2.0]]) == 1
    assert m.accuracy(["a", "b"], ["a", "a"]) == 0.5
    assert m.top_k_accuracy(2)([0], [[1.0, 1.0, 1.0]]) == 1 and m.top_k_accuracy(2)([0], [[np.nan, 1.0, 1.0]]) == 0


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
def test_auc(weight):
    auc, theirs = fb.metrics.auc, sklearn_metrics.roc_auc_score
    two = np.stack([1 - CHANCE, CHANCE], axis=1)
    want = theirs(TWO, CHANCE, sample_weight=weight)
    for truth, scores in (
        (TWO, CHANCE),
        (TWO, two),
        (np.eye(2)[TWO], two),
        (TWO[:, np.newaxis], CHANCE[:, np.newaxis]),
    ):
        assert auc(truth, scores, weight) == pytest.approx(want)
    for truth in (LABELS, np.eye(7)[LABELS]):
        if weight is None:  # weighted, scikit-learn has one-vs-rest for indicators alone
            assert auc(truth, SCORES) == pytest.approx(theirs(LABELS, SCORES, multi_class="ovr"))
        assert auc(truth, SCORES, weight) == pytest.approx(theirs(np.eye(7)[LABELS], SCORES, sample_weight=weight))


def test_auc_leaves_out_classes_that_no_row_has():
    scores = np.concatenate([SCORES, RNG.uniform(0, 1, (ROWS, 2))], axis=1)
    assert fb.metrics.auc(LABELS, scores) == fb.metrics.auc(LABELS, SCORES)
    assert math.isnan(fb.metrics.auc([1, 1], [0.2, 0.4])) and math.isnan(fb.metrics.auc([0, 1], [0.2, 0.4], [1, 0]))


def test_confusion_matrix():
    ours, theirs = fb.metrics.confusion_matrix, sklearn_metrics.confusion_matrix
    guess = SCORES.argmax(axis=1)
    want = theirs(LABELS, guess)
    for truth in (LABELS, LABELS.astype(float), np.eye(7)[LABELS]):
        np.testing.assert_array_equal(ours(truth, SCORES), want)
    np.testing.assert_array_equal(ours(LABELS, guess), want)
    np.testing.assert_array_equal(ours(LABELS, guess.astype(float)), want)
    np.testing.assert_array_equal(ours(TWO, CHANCE), theirs(TWO, CHANCE > 0.5))
    np.testing.assert_array_equal(ours(["b", "a", "b"], ["b", "b", "b"]), [[0, 1], [0, 2]])
    np.testing.assert_array_equal(ours([0, 0], SCORES[:2]).shape, (7, 7))
    np.testing.assert_array_equal(ours([0, 0], [0.2, 0.3]), [[2, 0], [0, 0]])


@pytest.mark.parametrize(
    ("truth", "given", "guess"),
    [
        (LABELS, SCORES, SCORES.argmax(axis=1)),
        (np.eye(7)[LABELS], SCORES, SCORES.argmax(axis=1)),
        (LABELS + 3, np.full(ROWS, 5), np.full(ROWS, 5)),  # most classes are never predicted
        (LABELS % 2, np.array([0, 9] * 150), np.array([0, 9] * 150)),  # and one that is predicted has no row
        (TWO, CHANCE, (CHANCE > 0.5).astype(int)),
        (np.array(list("abc") * 100), np.array(list("ab") * 150), np.array(list("ab") * 150)),
        (LABELS.astype(object), TWO, TWO),
        (np.array(list("abc") * 100, object), np.array(list("ab") * 150), np.array(list("ab") * 150)),
    ],
)
def test_precision_recall_fscore_support(truth, given, guess):
    labels = np.array(truth.tolist()) if truth.ndim == 1 else truth.argmax(axis=1)
    theirs = sklearn_metrics.precision_recall_fscore_support(labels, guess, zero_division=0)
    ours = fb.metrics.precision_recall_fscore_support(truth, given)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-14)
    assert ours.support.sum() == ROWS and ours.support.dtype == np.int64
    assert ours._fields == ("precision", "recall", "fscore", "support")


def test_scores_of_probabilities_are_of_all_classes():
    scores = fb.metrics.precision_recall_fscore_support([0, 0], SCORES[:2])
    assert [len(values) for values in scores] == [7] * 4 and scores.support.tolist() == [2, 0, 0, 0, 0, 0, 0]


ERRORS = [
    (lambda: fb.metrics.mae(LABELS, SCORES), r"mae needs values of the shape .*, got \(300,\) for \(300, 7\)"),
    (lambda: fb.metrics.r2(VALUES[:5], GUESSES), r"r2 needs values of the shape .*, got \(5, 3\) for \(300, 3\)"),
    (lambda: fb.metrics.mae(1.0, 2.0), r"mae needs y_true of the shape \(rows,\) or \(rows, outputs\), got \(\)"),
    (lambda: fb.metrics.accuracy(LABELS[:5], SCORES), r"accuracy needs a class a row .*, got \(5,\) for \(300, 7\)"),
    (lambda: fb.metrics.accuracy(LABELS + 1, SCORES), "accuracy needs labels 0 to 6 as y_true, got others"),
    (lambda: fb.metrics.accuracy(LABELS, CHANCE), "accuracy needs classes as y_true, of one output 0 and 1"),
    (lambda: fb.metrics.auc(VALUES, GUESSES), "auc needs classes as y_true"),
    (lambda: fb.metrics.auc(LABELS, SCORES[:, :6]), "auc needs labels 0 to 5 as y_true"),
    (lambda: fb.metrics.auc(np.eye(7)[LABELS], CHANCE), r"auc needs classes as y_true, got \(300, 7\) for \(300,\)"),
    (lambda: fb.metrics.top_k_accuracy(7)(LABELS, SCORES), "top_k_accuracy needs more outputs than k=7, got 7"),
    (lambda: fb.metrics.top_k_accuracy(0), "k must be at least 1, got 0"),
    (lambda: fb.metrics.confusion_matrix(["a"] * 300, SCORES), "confusion_matrix needs labels 0 to 6 as y_true"),
    (lambda: fb.metrics.confusion_matrix(LABELS, TWO[:9]), "confusion_matrix needs a class a row"),
    (lambda: fb.metrics.confusion_matrix(["a"] * 300, TWO), "labels of one kind, numbers or texts, got <U1 for int64"),
    (
        lambda: fb.metrics.precision_recall_fscore_support(LABELS, TWO[:9]),
        "precision_recall_fscore_support needs a class a row",
    ),
]


@pytest.mark.parametrize(("call", "message"), ERRORS)
def test_arguments_that_do_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- in fit and evaluate ------------------------------------------------------------------------------


def shapes(y_true, y_pred):
    assert y_true.shape == (ROWS,) and y_true.dtype == np.int64 and (y_true == LABELS).all()
    assert y_pred.shape == (ROWS, 7) and y_pred.dtype == np.float32
    return y_pred.sum()


def test_fit_computes_them_on_the_validation_data():
    net, X = classifier()
    metrics = ["top_k_accuracy", "auc", "accuracy", shapes, fb.metrics.top_k_accuracy(2)]
    stop = fb.EarlyStopping("val_auc", 50)
    history = net.fit(X, LABELS, 4, validation_data=(X, LABELS), metrics=metrics, callbacks=stop, verbose=False).history
    names = ["top_k_accuracy", "auc", "shapes", "top_2_accuracy"]
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy", *(f"val_{name}" for name in names)]
    assert all(len(values) == 4 for values in history.values()) and stop.best == max(history["val_auc"])
    found = net.evaluate(X, LABELS, metrics=metrics)
    best = stop.best_epoch
    assert found == {name: history[f"val_{name}"][best] for name in ("loss", "accuracy", *names)}
    assert found["auc"] == fb.metrics.auc(LABELS, net.predict(X))


def test_weights_go_to_the_metrics_that_take_them():
    net = fb.Network([fb.Dense(3)], (4,), loss="mse", seed=0)
    X = RNG.standard_normal((ROWS, 4))
    seen = []

    def weighted(y_true, y_pred, sample_weight=None):
        seen.append(sample_weight)
        return 1

    def plain(y_true, y_pred):
        return np.float32(2)

    metrics = [weighted, plain, "rmse", sklearn_metrics.mean_absolute_error, max_of_differences]
    found = net.evaluate(X, VALUES, sample_weight=WEIGHT, metrics=metrics)
    guess = net.predict(X)
    np.testing.assert_allclose(seen[0], WEIGHT, rtol=1e-6)
    assert found["rmse"] == pytest.approx(fb.metrics.rmse(VALUES, guess, WEIGHT), rel=1e-5)
    theirs = sklearn_metrics.mean_absolute_error(VALUES, guess, sample_weight=WEIGHT)
    assert found["mean_absolute_error"] == pytest.approx(theirs, rel=1e-5) and found["plain"] == 2
    net.evaluate(X, VALUES, metrics=weighted)
    assert seen[1] is None
    net.fit(X, VALUES, sample_weight=WEIGHT, validation_split=0.5, metrics=weighted, verbose=False)
    np.testing.assert_allclose(seen[2], WEIGHT[150:], rtol=1e-6)


def max_of_differences(y_true, y_pred):
    return np.abs(y_true - y_pred).max()


def test_class_weights_are_not_the_metrics():
    net, X = classifier()
    seen = []

    def weighted(y_true, y_pred, sample_weight=None):
        seen.append(sample_weight)
        return 0

    net.evaluate(X, LABELS, class_weight="balanced", metrics=weighted)
    assert seen == [None]


def test_targets_of_one_output_have_the_shape_of_predictions():
    """(rows,) less (rows, 1) would be (rows, rows)."""
    net = fb.Network([fb.Dense(1)], (4,), loss="mse", seed=0)
    X = RNG.standard_normal((ROWS, 4))
    found = net.evaluate(X, VALUES[:, 0], metrics=[max_of_differences, "mae"])
    difference = np.abs(net.predict(X)[:, 0] - VALUES[:, 0])
    assert found["max_of_differences"] == pytest.approx(difference.max(), rel=1e-6)
    assert found["mae"] == pytest.approx(difference.mean(), rel=1e-6)


def test_accuracy_of_a_network_without_it():
    """Squared error on one-hot targets, and on one output of 0 and 1."""
    X = RNG.standard_normal((ROWS, 4))
    net = fb.Network([fb.Dense(2, "sigmoid")], (4,), loss="squared_error", seed=0)
    found = net.evaluate(X, np.eye(2)[TWO], metrics=["accuracy", "auc"])
    assert found["accuracy"] == (net.predict(X).argmax(axis=1) == TWO).mean()
    one = fb.Network([fb.Dense(1, "sigmoid")], (4,), loss="squared_error", seed=0)
    assert one.evaluate(X, TWO, metrics="accuracy")["accuracy"] == ((one.predict(X)[:, 0] > 0.5) == TWO).mean()


def test_metrics_that_do_not_suit_are_found_before_training():
    X = RNG.standard_normal((ROWS, 4))
    mse = fb.Network([fb.Dense(1)], (4,), loss="mse", seed=0)
    net, _ = classifier()
    for network, y, metrics, message in (
        (net, LABELS, "mae", "mae needs values"),
        (net, LABELS, fb.metrics.top_k_accuracy(7), "top_k_accuracy needs more outputs than k=7, got 7"),
        (mse, VALUES[:, 0], "accuracy", "accuracy needs classes as y_true"),
        (mse, VALUES[:, 0], "auc", "auc needs classes as y_true"),
    ):
        before = network.params.copy()
        with pytest.raises(ValueError, match=message):
            network.fit(X, y, validation_split=0.5, metrics=metrics, verbose=False)
        assert (network.params == before).all() and network.steps_trained == 0


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    net, X = classifier()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"the metric auc needs scikit-learn: pip install 'fastbp\[sklearn\]'"):
        net.fit(X, LABELS, validation_split=0.5, metrics="auc", verbose=False)
    assert net.steps_trained == 0
    names = ["accuracy", "top_k_accuracy"]
    net.fit(X, LABELS, validation_split=0.5, metrics=names, verbose=False)
    assert fb.metrics.confusion_matrix(LABELS, LABELS).sum() == ROWS


def test_a_metric_that_gives_no_number():
    net, X = classifier()
    for value in (np.ones(2), "good", None):
        with pytest.raises(TypeError, match="metrics: wrong must return a number, got"):
            net.evaluate(X, LABELS, metrics=wrong_metric(value))


def wrong_metric(value):
    def wrong(y_true, y_pred):
        return value

    return wrong


def test_labels_of_mixed_objects_are_refused():
    mixed = np.array([1, "a", 2], object)
    for y_true, y_pred in (
        (mixed, mixed),
        (mixed, np.array(["a", "b", "c"])),
        (np.array([1, None, 2], object), [1, 2, 3]),
    ):
        with pytest.raises(ValueError, match="labels of one kind, numbers or texts, got"):
            fb.metrics.confusion_matrix(y_true, y_pred)
