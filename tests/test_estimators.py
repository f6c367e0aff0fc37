"""MLPClassifier and MLPRegressor: scikit-learn's checks, its numbers, its tools, and what they have beyond."""

import copy
import functools
import inspect
import os
import pickle
import re
import runpy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest
from support import run_python

pytest.importorskip("sklearn")

import joblib
from scipy import sparse
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

import fastbp as fb
from fastbp.sklearn import estimators, solvers
from fastbp.sklearn.estimators import validate_data

PEERS = {fb.MLPClassifier: neural_network.MLPClassifier, fb.MLPRegressor: neural_network.MLPRegressor}
NEW = "sample_weight" in inspect.signature(neural_network.MLPClassifier.fit).parameters  # scikit-learn 1.7

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
pytestmark = quiet  # where it matters, tests ask for it


@functools.cache
def data():
    """X (120, 8) and targets of every kind by name, read-only."""
    X, three = make_classification(120, 8, n_informative=5, n_classes=3, random_state=0)
    _, labels = make_multilabel_classification(120, 8, n_classes=4, random_state=1)
    real = np.sin(X[:, 0]) + 0.1 * X[:, 1]
    count = np.exp(0.5 * X[:, 0]).round()
    targets = {
        "three": three,
        "two": (three > 0).astype(int),
        "words": np.array(["a", "b", "cc"], object)[three],
        "labels": labels,
        "real": real,
        "reals": np.column_stack([real, X[:, 2] ** 2, X[:, 3]]),
        "count": count,
        "counts": np.column_stack([count, count**2]),
    }
    for array in (X, *targets.values()):
        array.flags.writeable = False
    return X, targets


def kind_for(target):
    return fb.MLPRegressor if target in ("real", "reals", "count", "counts") else fb.MLPClassifier


def same(a, b):
    """Whether two fitted estimators have the same bits."""
    return all(np.array_equal(x, y) for x, y in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True))


# --- scikit-learn's own checks ------------------------------------------------------------------------


def checks_of(estimator):
    """What check_estimator runs: (estimator, check)."""
    if hasattr(estimator_checks, "estimator_checks_generator"):
        return list(estimator_checks.estimator_checks_generator(estimator))
    return list(estimator_checks.check_estimator(estimator, generate_only=True))


def names_of_checks(estimator):
    return [check.func.__name__ for _, check in checks_of(estimator)]


CHECKS = [pair for kind in PEERS for pair in checks_of(kind())]
# Weighted rows and repeated rows shall give the same to 1e-7 after 200 iterations, and predictions shall be float64.
BEYOND_FLOAT32 = (
    "check_sample_weight_equivalence",
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
    "check_sample_weights_invariance",
    "check_regressor_multioutput",
)


def id_of(part):
    return part.func.__name__ if isinstance(part, functools.partial) else type(part).__name__


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [None, "float32"])
@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=id_of)
def test_check_estimator(estimator, check, dtype):
    if dtype == "float32" and check.func.__name__ in BEYOND_FLOAT32:
        pytest.skip("asks for more than float32 can tell")
    check(clone(estimator).set_params(dtype=dtype))


@pytest.mark.parametrize("kind", PEERS)
def test_no_check_is_left_out(kind):
    assert set(names_of_checks(PEERS[kind]())) <= set(names_of_checks(kind()))


@pytest.mark.parametrize("kind", PEERS)
def test_arguments_are_those_of_scikit_learn(kind):
    ours, theirs = inspect.signature(kind).parameters, inspect.signature(PEERS[kind]).parameters
    assert {name: p.default for name, p in theirs.items()}.items() <= {
        name: p.default for name, p in ours.items()
    }.items()
    if NEW:  # before, the regressor's first argument was another
        positional = [[n for n, p in f.items() if p.kind is p.POSITIONAL_OR_KEYWORD] for f in (ours, theirs)]
        assert positional[0] == positional[1]


@pytest.mark.parametrize("kind", PEERS)
@pytest.mark.parametrize("settings", [{}, {"early_stopping": True}, {"solver": "lbfgs"}])
def test_attributes_are_those_of_scikit_learn(kind, settings):
    X, targets = data()
    y = targets["two" if kind is fb.MLPClassifier else "real"]
    ours, theirs = (cls(max_iter=2, **settings).fit(X, y) for cls in (kind, PEERS[kind]))
    public = {name for name in dir(theirs) if not name.startswith("_")}
    if settings.get("solver") == "lbfgs":
        public -= {"partial_fit"}  # scikit-learn's regressor has it for lbfgs too, its classifier hasn't
    assert public <= set(dir(ours))
    for name in vars(theirs):
        if name.endswith("_") and name not in ("coefs_", "intercepts_"):
            a, b = getattr(ours, name), getattr(theirs, name)
            assert type(a) is type(b) or isinstance(b, float), name
            assert np.shape(a) == np.shape(b), name
    assert [w.shape for w in ours.coefs_ + ours.intercepts_] == [w.shape for w in theirs.coefs_ + theirs.intercepts_]
    assert (ours.out_activation_, ours.t_) == (theirs.out_activation_, theirs.t_)


# --- the same numbers ---------------------------------------------------------------------------------

# Adam's epsilon stands elsewhere: with a tiny one, nothing else does.
ADAM = dict(epsilon=1e-20)
SGD = dict(solver="sgd", learning_rate_init=0.1, tol=0.02, n_iter_no_change=2)
CASES = [
    *((target, ADAM) for target in ("three", "two", "labels", "real", "words")),
    ("reals", dict(ADAM, alpha=0.0)),
    *((target, dict(ADAM, loss="poisson")) for target in ("count", "counts")),
    *(("three", dict(ADAM, activation=name)) for name in ("identity", "logistic", "tanh")),
    ("three", dict(ADAM, hidden_layer_sizes=())),
    ("three", dict(ADAM, batch_size="auto", tol=0.01, beta_1=0.5, beta_2=0.9)),
    *(("three", dict(SGD, learning_rate=name)) for name in ("constant", "invscaling", "adaptive")),
    *(("three", dict(SGD, learning_rate=name, momentum=0)) for name in ("constant", "invscaling", "adaptive")),
    *(("three", dict(SGD, learning_rate=name, nesterovs_momentum=False)) for name in ("invscaling", "adaptive")),
    ("two", dict(SGD, learning_rate="invscaling", power_t=0.1)),
    ("two", dict(solver="sgd", momentum=1.0)),
    *((target, dict(solver="lbfgs")) for target in ("three", "two", "labels", "real", "count")),
]


def in_step(target, settings, weight=None):
    """Our estimator and scikit-learn's, trained from the same weights without shuffling."""
    if not NEW and (weight is not None or settings.get("loss") == "poisson"):
        pytest.skip("scikit-learn is too old")
    X, targets = data()
    weights = () if weight is None else (weight,)
    common = dict(hidden_layer_sizes=(9, 5), batch_size=40, alpha=0.1, shuffle=False, warm_start=True, random_state=3)
    ours = kind_for(target)(**{**common, **settings, "max_iter": 1}).fit(X, targets[target], *weights)
    theirs = ours.to_sklearn()
    for model in (ours, theirs):
        model.set_params(max_iter=40).fit(X, targets[target], *weights)
    return ours, theirs


def assert_in_step(ours, theirs, rel=1e-9):
    assert ours.n_iter_ == theirs.n_iter_ and ours.t_ == theirs.t_
    assert getattr(ours, "loss_curve_", ours.loss_) == pytest.approx(
        getattr(theirs, "loss_curve_", theirs.loss_), rel=rel
    )
    for a, b in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=rel, atol=rel)


@pytest.mark.parametrize(("target", "settings"), CASES)
def test_training_is_that_of_scikit_learn(target, settings):
    ours, theirs = in_step(target, settings)
    # L-BFGS amplifies rounding; the others don't
    assert_in_step(ours, theirs, rel=1e-6 if ours.solver == "lbfgs" else 1e-9)
    if ours.solver != "lbfgs":
        assert ours.best_loss_ == pytest.approx(theirs.best_loss_)
        assert ours._no_improvement_count == theirs._no_improvement_count


@pytest.mark.parametrize(
    ("target", "settings"),
    [("three", dict(ADAM, batch_size=120)), ("real", dict(SGD, batch_size=120)), ("two", dict(solver="lbfgs"))],
)
def test_weights_are_those_of_scikit_learn_in_whole_batches(target, settings):
    weight = np.random.default_rng(0).uniform(0.5, 2, 120)
    ours, theirs = in_step(target, settings, weight)
    assert_in_step(ours, theirs, rel=1e-6)


def test_alpha_is_that_of_scikit_learn_where_the_last_batch_is_smaller():
    """The mean over the batches of an epoch: 50, 50 and 20 rows."""
    ours, theirs = in_step("three", dict(solver="sgd", alpha=1.0, batch_size=50, momentum=0))
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-3, atol=1e-5)


def test_default_epsilon_makes_no_difference_that_counts():
    ours, theirs = in_step("three", {})
    assert_in_step(ours, theirs, rel=1e-4)


@pytest.mark.parametrize(("activation", "factor"), [("relu", 6), ("identity", 6), ("tanh", 6), ("logistic", 2)])
def test_initial_weights_have_the_law_of_scikit_learn(activation, factor):
    X, targets = data()
    frozen = dict(solver="sgd", momentum=0, learning_rate_init=1e-30, alpha=0, max_iter=1)
    model = fb.MLPClassifier((400, 300), activation, random_state=0, **frozen).fit(X, targets["three"])
    for weight, bias in zip(model.coefs_, model.intercepts_, strict=True):
        bound = np.sqrt(factor / sum(weight.shape))
        assert 0.99 * bound < np.abs(weight).max() <= bound and abs(weight.mean()) < 0.05 * bound
        assert weight.var() == pytest.approx(bound**2 / 3, rel=0.05)
        assert np.abs(bias).max() <= bound and (len(bias) < 100 or np.abs(bias).max() > 0.9 * bound)


SCORED = [
    *((name, {}) for name in ("wine", "breast_cancer", "diabetes", "digits")),
    ("adult", {"max_iter": 3}),
    ("california_housing", {"max_iter": 8}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings"), SCORED)
def test_scores_are_those_of_scikit_learn(name, settings):
    """Mean scores over five seeds differ by less than three standard errors of the difference, and a row."""
    benchmark = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "estimators.py"))
    folder = os.environ.get("FASTBP_DATA", "")
    if name not in benchmark["SHIPPED"] and not (Path(folder) / f"{name}.npz").is_file():
        pytest.skip(f"FASTBP_DATA names no folder with {name}.npz")
    X, X_test, y, y_test = benchmark["load"](name, folder)
    kind = fb.MLPRegressor if name in benchmark["REGRESSION"] else fb.MLPClassifier
    scores = []
    with threadpool_limits(1):
        for cls in (kind, PEERS[kind]):
            models = [cls(random_state=seed, **settings).fit(X, y) for seed in range(5)]
            scores.append([model.score(X_test, y_test) for model in models])
    error = np.sqrt((np.var(scores[0], ddof=1) + np.var(scores[1], ddof=1)) / 5)
    assert np.mean(scores[0]) == pytest.approx(np.mean(scores[1]), abs=3 * error + 1 / len(y_test))


# --- weights to and from scikit-learn -----------------------------------------------------------------

CARRIED = [
    *((target, {}) for target in ("three", "two", "words", "labels", "real", "reals")),
    ("three", {"activation": "logistic", "hidden_layer_sizes": (7, 5, 3)}),
    ("real", {"hidden_layer_sizes": 6, "early_stopping": True, "activation": "tanh"}),
    ("two", {"solver": "lbfgs"}),
    *([("counts", {"loss": "poisson"})] if NEW else []),
]


def assert_predicts_the_same(a, b, rtol):
    X, _ = data()
    for method in ("predict_proba", "predict"):
        if hasattr(a, method):
            want, got = getattr(a, method)(X), getattr(b, method)(X)
            if want.dtype.kind == "f":
                np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)
            else:
                np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("target", "settings"), CARRIED)
def test_weights_go_to_scikit_learn_and_come_back(target, settings):
    X, targets = data()
    kind = kind_for(target)
    theirs = PEERS[kind](random_state=0, max_iter=15, **settings).fit(X, targets[target])
    ours = kind.from_sklearn(theirs)
    assert_predicts_the_same(theirs, ours, rtol=1e-12)
    back = ours.to_sklearn()
    assert all(np.array_equal(a, b) for a, b in zip(back.coefs_, theirs.coefs_, strict=True))
    assert_predicts_the_same(theirs, back, rtol=0)
    assert {**back.get_params(), "hidden_layer_sizes": 0} == {**theirs.get_params(), "hidden_layer_sizes": 0}
    for name in ("n_iter_", "t_", "loss_", "n_features_in_", "n_layers_", "n_outputs_", "out_activation_"):
        assert getattr(back, name) == getattr(ours, name) == getattr(theirs, name)
    single = kind.from_sklearn(theirs, dtype="float32")
    assert single.coefs_[0].dtype == np.float32
    assert_predicts_the_same(theirs, single, rtol=1e-4)
    for model in (ours, single):  # training goes on
        model.set_params(early_stopping=False, solver="adam").partial_fit(X, targets[target])
        assert model.t_ == theirs.t_ + 120 and model.loss_ < 1.1 * theirs.loss_
    if not settings.get("early_stopping") and settings.get("solver") != "lbfgs":
        rel = 1e-4 if target == "reals" else 1e-6  # the mean over targets is of the penalty too
        assert back.partial_fit(X, targets[target]).loss_curve_ == pytest.approx(ours.loss_curve_, rel=rel)


def test_to_sklearn_of_what_it_lacks():
    X, targets = data()
    model = fb.MLPRegressor(
        hidden_layer_sizes=8, activation="tanh", solver="lion", dropout=0.1, loss="huber", max_iter=3
    ).fit(X, targets["real"])
    theirs = model.to_sklearn()
    assert theirs.solver == "adam" and theirs.activation == "tanh"
    assert_predicts_the_same(theirs, model, rtol=1e-6)
    for bad, name in (({"activation": "gelu"}, "activation"), ({"activation": ["relu", "tanh"]}, "activation")):
        model = fb.MLPRegressor(hidden_layer_sizes=(4, 4), max_iter=1, **bad).fit(X, targets["real"])
        with pytest.raises(ValueError, match=name):
            model.to_sklearn()
    with pytest.raises(ValueError, match="loss must be 'log_loss'"):
        fb.MLPClassifier(loss="hinge", max_iter=1).fit(X, targets["two"]).to_sklearn()
    with pytest.raises(ValueError, match="loss must be one whose predictions"):
        fb.MLPRegressor(loss="binary_cross_entropy", max_iter=1).fit(X, targets["two"]).to_sklearn()


def test_from_sklearn_of_something_else():
    with pytest.raises(TypeError, match="fitted must be scikit-learn's MLPClassifier, got MLPRegressor"):
        fb.MLPClassifier.from_sklearn(neural_network.MLPRegressor())
    with pytest.raises(NotFittedError):
        fb.MLPClassifier.from_sklearn(neural_network.MLPClassifier())
    with pytest.raises(NotFittedError):
        fb.MLPClassifier().to_sklearn()


def test_coefs_are_live():
    X, targets = data()
    model = fb.MLPRegressor(hidden_layer_sizes=5, max_iter=2).fit(X, targets["real"])
    before = model.predict(X)
    model.intercepts_[-1][:] += 1
    np.testing.assert_allclose(model.predict(X), before + 1)
    model.coefs_ = [0 * weight for weight in model.coefs_]
    assert np.ptp(model.predict(X)) == 0 and not model.network_.layers[0].weight.any()
    with pytest.raises(
        ValueError, match=r"coefs_ must have the shapes \[\(8, 5\), \(5, 1\)\], got \[\(8, 4\), \(5, 1\)\]"
    ):
        model.coefs_ = [np.zeros((8, 4)), np.zeros((5, 1))]
    with pytest.raises(AttributeError):
        fb.MLPRegressor().coefs_  # noqa: B018


# --- fit, partial_fit, warm_start, early stopping -----------------------------------------------------


@pytest.mark.parametrize("target", ["three", "real", "labels"])
def test_partial_fit_is_fit_epoch_by_epoch(target):
    X, targets = data()
    kind, y = kind_for(target), targets[target]
    whole = kind(random_state=0, batch_size=50, max_iter=4).fit(X, y)
    parts = kind(random_state=0, batch_size=50)
    first = {"classes": np.unique(y)} if target == "three" else {}
    parts.partial_fit(X, y, **first)
    for _ in range(3):
        parts.partial_fit(X, y)
    assert same(whole, parts)
    assert whole.loss_curve_ == parts.loss_curve_ and parts.n_iter_ == 1 and parts.t_ == 480


def test_partial_fit_scales_alpha_by_the_rows_it_gets():
    X, targets = data()
    model = fb.MLPRegressor(hidden_layer_sizes=4, alpha=6.0, random_state=0)
    for rows in (120, 30):
        model.partial_fit(X[:rows], targets["real"][:rows])
        assert [layer.layer.l2 for layer in model.network_.layers] == [3.0 / rows] * 2


def test_partial_fit_learns_classes_at_first():
    X, targets = data()
    y = targets["three"]
    model = fb.MLPClassifier(random_state=0)
    with pytest.raises(ValueError, match=r"classes must be passed on the first call to partial_fit\."):
        model.partial_fit(X, y)
    model.partial_fit(X[y < 2], y[y < 2], classes=[2, 1, 0])
    assert model.classes_.tolist() == [0, 1, 2] and model.predict_proba(X).shape == (120, 3)
    model.partial_fit(X, y).partial_fit(X, y, classes=[0, 1, 2])
    again = r"`classes=\[0, 1\]` is not the same as on last call to partial_fit, was: array\(\[0, 1, 2\]\)"
    with pytest.raises(ValueError, match=again):
        model.partial_fit(X, y, classes=[0, 1])
    unknown = r"`y` has classes not in `self.classes_`. `self.classes_` has \[0 1 2\]. 'y' has \[1 2 3\]."
    with pytest.raises(ValueError, match=unknown):
        model.partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        model.set_params(early_stopping=True).partial_fit(X, y)
    with pytest.raises(ValueError, match="class_weight must be a mapping or None for partial_fit, got 'balanced'"):
        model.set_params(early_stopping=False, class_weight="balanced").partial_fit(X, y)
    assert not hasattr(fb.MLPClassifier(solver="lbfgs"), "partial_fit")
    assert not hasattr(fb.MLPRegressor(solver="lbfgs"), "partial_fit")


def test_warm_start_goes_on():
    X, targets = data()
    model = fb.MLPClassifier(max_iter=5, warm_start=True, random_state=0).fit(X, targets["three"])
    loss, network = model.loss_, model.network_
    model.set_params(learning_rate_init=0.01, solver="sgd").fit(X, targets["three"])
    assert model.network_ is not network and len(model.loss_curve_) == 10 and model.n_iter_ == 5 and model.t_ == 1200
    assert model.loss_ < loss and isinstance(model.network_.optimizer, fb.SGD)
    for other, shown in ((targets["two"], "[0 1]"), (targets["three"] + 1, "[1 2 3]")):
        text = "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously"
        with pytest.raises(ValueError, match=re.escape(f"{text} got [0 1 2], `y` has {shown}")):
            model.fit(X, other)
    with pytest.raises(ValueError, match="hidden_layer_sizes must be as before with warm_start"):
        model.set_params(hidden_layer_sizes=7).fit(X, targets["three"])
    again = fb.MLPClassifier(max_iter=5, random_state=0).fit(X, targets["three"])
    assert same(again, again.fit(X, targets["three"])) and len(again.loss_curve_) == 5


@pytest.mark.parametrize("target", ["three", "two", "labels", "real", "reals"])
def test_early_stopping_keeps_the_best_weights(target):
    X, targets = data()
    y = targets[target]
    kind = kind_for(target)
    settings = dict(max_iter=60, early_stopping=True, n_iter_no_change=3, learning_rate_init=0.02, random_state=0)
    held_back = kind(**settings).fit(X, y)
    assert held_back.t_ == 108 * held_back.n_iter_ and held_back.best_loss_ is None
    model = kind(**settings).fit(X[:90], y[:90], validation_data=(X[90:], y[90:]))
    assert model.t_ == 90 * model.n_iter_
    for fitted in (held_back, model):
        scores = fitted.validation_scores_
        assert len(scores) == len(fitted.validation_loss_curve_) == len(fitted.loss_curve_) == fitted.n_iter_
        assert fitted.best_validation_score_ == max(scores)
    assert model.score(X[90:], y[90:]) == pytest.approx(max(model.validation_scores_))


def test_early_stopping_splits_each_class_alike():
    X, targets = data()
    y = targets["three"]
    model = fb.MLPClassifier(early_stopping=True, max_iter=1).fit(X, y)
    kept, held = model._split(y, np.random.RandomState(0))
    assert np.bincount(y[held]).tolist() == [4, 4, 4] and not set(kept) & set(held) and len(kept) == 108
    lonely = np.where(np.arange(120) == 7, 3, y)  # a class with one row can't be on both sides
    assert fb.MLPClassifier(early_stopping=True, max_iter=1).fit(X, lonely).n_iter_ == 1
    small = (
        "The validation set is too small. Increase 'validation_fraction' or the size of your dataset. At least 2 rows"
    )
    with pytest.raises(ValueError, match=small):
        fb.MLPRegressor(early_stopping=True).fit(X[:5], y[:5])
    with pytest.raises(ValueError, match=r"The least populated class(es)? in y ha(ve|s) only 1 member"):
        fb.MLPClassifier(early_stopping=True).fit(X, np.arange(120) == 7)


def test_validation_data_without_early_stopping():
    X, targets = data()
    weight = np.linspace(0.5, 2, 40)
    model = fb.MLPClassifier(max_iter=6, alpha=0, random_state=0)
    model.fit(X[:80], targets["three"][:80], validation_data=(X[80:], targets["three"][80:], weight))
    assert len(model.validation_loss_curve_) == 6 and model.t_ == 480 and model.best_loss_ == min(model.loss_curve_)
    want = log_loss(targets["three"][80:], model.predict_proba(X[80:]), sample_weight=weight)
    assert model.validation_loss_curve_[-1] == pytest.approx(want)
    assert model.validation_scores_[-1] == pytest.approx(model.score(X[80:], targets["three"][80:], weight))
    assert fb.MLPClassifier(max_iter=1).fit(X, targets["three"]).validation_loss_curve_ is None


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_convergence_warnings():
    X, targets = data()
    text = r"Stochastic Optimizer: Maximum iterations \(3\) reached and the optimization hasn't converged yet."
    with pytest.warns(ConvergenceWarning, match=text) as caught:
        fb.MLPClassifier(max_iter=3).fit(X, targets["two"])
    assert caught[0].filename == __file__
    with pytest.warns(ConvergenceWarning, match=r"lbfgs failed to converge after 3 iteration\(s\) \(status=1\):"):
        fb.MLPClassifier(max_iter=3, solver="lbfgs").fit(X, targets["two"])
    model = fb.MLPClassifier(tol=1e-2, max_iter=300, n_iter_no_change=2, random_state=0).fit(X, targets["two"])
    assert 3 < model.n_iter_ < 300
    assert fb.MLPRegressor(solver="lbfgs", max_iter=500, tol=1e-2).fit(X, targets["real"]).n_iter_ < 500
    fb.MLPRegressor(max_iter=5, callbacks=fb.StopAtLoss(10.0)).fit(X, targets["real"])
    fb.MLPRegressor(max_iter=1).partial_fit(X, targets["real"])
    text = "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped from 500 to 120 rows"
    with pytest.warns(UserWarning, match=text) as caught:
        fb.MLPRegressor(batch_size=500).partial_fit(X, targets["real"])
    assert caught[0].filename == __file__


def test_ctrl_c_ends_training():
    class Interrupt:
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 4:
                raise KeyboardInterrupt

    X, targets = data()
    model = fb.MLPClassifier(early_stopping=True, callbacks=[Interrupt()], random_state=0)
    with pytest.warns(UserWarning, match="Training interrupted by user.") as caught:
        model.fit(X, targets["two"])
    assert caught[0].filename == __file__
    assert model.n_iter_ == 5
    assert np.array_equal(model.network_.params, model._best_params)


def test_verbose(capsys):
    X, targets = data()
    fb.MLPClassifier(max_iter=2, verbose=True).fit(X, targets["two"], validation_data=(X, targets["two"]))
    lines = capsys.readouterr().out.splitlines()
    assert all(re.fullmatch(rf"Iteration {k}, loss = \d\.\d{{8}}", lines[2 * k - 2]) for k in (1, 2))
    assert all(re.fullmatch(r"Validation score: \d\.\d{6}, loss = \d\.\d{8}", line) for line in lines[1::2])
    adaptive = dict(solver="sgd", learning_rate="adaptive", learning_rate_init=2e-6, tol=1.0, n_iter_no_change=1)
    fb.MLPClassifier(verbose=1, **adaptive).fit(X, targets["two"])
    out = capsys.readouterr().out
    text = "Training loss did not improve more than tol=1.000000 for 1 consecutive epochs."
    assert f"{text} Setting learning rate to 0.000000\n" in out and out.endswith(f"{text} Stopping.\n")
    fb.MLPClassifier(max_iter=3, solver="lbfgs", verbose=True).fit(X, targets["two"])
    assert capsys.readouterr().out.count("Iteration") == 3
    fb.MLPClassifier(max_iter=2).fit(X, targets["two"])
    assert capsys.readouterr().out == ""


def test_lbfgs():
    X, targets = data()
    y = targets["three"]
    settings = dict(solver="lbfgs", max_iter=500, tol=1e-3, alpha=1.0, random_state=0)
    model = fb.MLPClassifier(8, "tanh", **settings).fit(X, y)
    loss, gradient = model.network_.value_and_grad(X, y)
    assert loss == pytest.approx(model.loss_) and np.abs(gradient).max() <= 1e-3 and not hasattr(model, "loss_curve_")
    single = clone(model).set_params(dtype="float32").fit(X, y)
    assert single.coefs_[0].dtype == np.float32 and single.predict_proba(X).dtype == np.float32
    assert np.abs(single.network_.value_and_grad(X, y)[1]).max() <= 1.1e-3  # it works in float64
    assert fb.MLPClassifier(8, solver="lbfgs", max_fun=5).fit(X, y).n_iter_ <= 5


def test_lbfgs_takes_rows_in_pieces(monkeypatch):
    X, targets = data()
    weight = np.random.default_rng(0).uniform(0, 2, 120)
    for target in ("labels", "reals"):
        model = kind_for(target)(hidden_layer_sizes=6, solver="lbfgs", max_iter=10, random_state=0)
        whole = clone(model).fit(X, targets[target], weight)
        with monkeypatch.context() as patch:
            patch.setattr(solvers, "_ROWS_AT_ONCE", 50)
            pieces = model.fit(sparse.csr_matrix(X), targets[target], weight)
        np.testing.assert_allclose(pieces.coefs_[0], whole.coefs_[0], rtol=1e-6)


# --- inputs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("at_once", [1, 1 << 28])
@pytest.mark.parametrize("target", ["three", "reals"])
def test_sparse_rows_give_the_bits_of_dense_ones(monkeypatch, target, at_once, shuffle):
    monkeypatch.setattr(solvers, "_DENSE_AT_ONCE", at_once)
    X, targets = data()
    X = np.where(X > 0, X, 0)
    y, weight = targets[target], np.linspace(0, 2, 120)
    dense = kind_for(target)(max_iter=3, batch_size=50, shuffle=shuffle, random_state=0, early_stopping=True)
    dense.fit(X, y, weight)
    for convert in (sparse.csr_matrix, sparse.csc_matrix):
        model = clone(dense).fit(convert(X), y, weight)
        assert same(model, dense) and model.validation_scores_ == dense.validation_scores_
        np.testing.assert_allclose(model.predict(convert(X)), dense.predict(X), rtol=1e-12)
    parts = clone(dense).set_params(early_stopping=False)
    assert same(parts.fit(sparse.csr_matrix(X), y), clone(parts).fit(X, y))


METHODS = ("predict", "predict_proba", "predict_log_proba")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", ["two", "three", "words", "labels", "real", "reals"])
def test_plain_arrays_need_no_checks_of_scikit_learn(monkeypatch, target, dtype):
    X, targets = data()
    X = X.astype(dtype)
    model = kind_for(target)(max_iter=3, random_state=0).fit(X, targets[target])
    methods = [getattr(model, name) for name in METHODS if hasattr(model, name)]
    whole = (4 * X).astype(np.int64)
    rows = [X, X[:1], X[::-2], np.asfortranarray(X), X[:, ::-1][:, ::-1]]
    rows += [X.astype(kind) for kind in ("f4", "f8", ">f8", "f2")]
    rows += [whole, whole.astype(np.int16), np.abs(whole).astype(np.uint8), whole > 0]
    with monkeypatch.context() as patch:
        patch.setattr(estimators, "validate_data", None)
        plain = [[method(x) for x in rows] for method in methods]
    checks = []
    monkeypatch.setattr(estimators, "validate_data", lambda *a, **k: checks.append(1) or validate_data(*a, **k))
    for method, found in zip(methods, plain, strict=True):
        for x, values in zip(rows, found, strict=True):
            for other in (x.tolist(), sparse.csr_matrix(x.astype("f8"))):
                checked = method(other)
                assert np.array_equal(checked, values) and checked.dtype == values.dtype
    assert len(checks) >= len(methods) * len(rows) * 2


@pytest.mark.parametrize("method", METHODS)
def test_what_is_wrong_with_plain_arrays_is_said_by_scikit_learn(method):
    pandas = pytest.importorskip("pandas")
    X, targets = data()
    ours = fb.MLPClassifier(max_iter=3, random_state=0).fit(X, targets["three"])
    theirs = neural_network.MLPClassifier(max_iter=3, random_state=0).fit(X, targets["three"])
    nan, infinite = (np.where(np.arange(8) == 2, value, X) for value in (np.nan, np.inf))
    for bad in (nan, infinite, X[:, :5], X[0], X[:0], np.float64(3.0), X.astype(complex), X[np.newaxis]):
        with pytest.raises(ValueError) as error:
            getattr(theirs, method)(bad)
        with pytest.raises(ValueError, match=re.escape(str(error.value))):
            getattr(ours, method)(bad)
    with pytest.raises(NotFittedError):
        getattr(fb.MLPClassifier(), method)(X)
    named = fb.MLPClassifier(max_iter=3, random_state=0).fit(pandas.DataFrame(X).add_prefix("x"), targets["three"])
    with pytest.warns(UserWarning, match="X does not have valid feature names, but MLPClassifier was fitted with"):
        assert np.array_equal(getattr(named, method)(X), getattr(ours, method)(X))


def test_threads_predict_with_one_estimator():
    X, targets = data()
    model = fb.MLPClassifier(max_iter=3, random_state=0).fit(X, targets["three"])
    want = [model.predict_proba(X[i : i + 1]) for i in range(len(X))]

    def predict(number):
        rows = [(number * 7 + i) % len(X) for i in range(500)]
        return all(np.array_equal(model.predict_proba(X[row : row + 1]), want[row]) for row in rows)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(predict, range(8)))
    again = pickle.loads(pickle.dumps(model))
    again.coefs_ = [0 * weight for weight in again.coefs_]
    assert np.ptp(again.predict_proba(X), axis=0).max() == 0 and np.array_equal(model.predict_proba(X[:1]), want[0])


def test_labels_of_all_kinds():
    X, targets = data()
    for labels in (["no", "yes"], [False, True], [-1.0, 4.0], ["a", "b"]):
        y = np.array(labels)[targets["two"]]
        model = fb.MLPClassifier(max_iter=60, learning_rate_init=0.01, random_state=0).fit(X, y)
        assert model.classes_.tolist() == sorted(labels) and model.predict(X).dtype == y.dtype
        assert model.predict_proba(X).shape == (120, 2) and model.score(X, y) > 0.9
    model.fit(X, targets["words"])
    assert set(model.predict(X)) == {"a", "b", "cc"} and model.score(X, targets["words"]) > 0.8
    model.fit(X, targets["labels"])
    assert model.predict_proba(X).shape == model.predict(X).shape == (120, 4) and model.out_activation_ == "logistic"
    assert set(np.unique(model.predict(X))) == {0, 1}
    model.fit(X, sparse.csr_matrix(targets["labels"]))
    assert sparse.issparse(model.predict(X))
    model.fit(X, np.ones(120))  # one class
    assert (model.predict(X) == 1).all()


def test_targets_of_all_kinds():
    X, targets = data()
    model = fb.MLPRegressor(max_iter=50, learning_rate_init=0.01, random_state=0)
    assert model.fit(X, targets["real"]).predict(X).shape == (120,) and model.score(X, targets["real"]) > 0.8
    assert model.fit(X, targets["reals"]).predict(X).shape == (120, 3) and model.n_outputs_ == 3
    model.set_params(loss="poisson").fit(X, targets["count"])
    assert model.predict(X).min() > 0 and model.out_activation_ == "exp"
    assert (model.loss_curve_[-1] > 0) and model.score(X, targets["count"]) > 0.5


def test_log_probabilities_of_sure_answers_are_finite():
    X, targets = data()
    for target in ("three", "two", "labels"):
        model = fb.MLPClassifier(max_iter=20, random_state=0, dtype="float32").fit(X, targets[target])
        np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X), rtol=1e-4)
        model.coefs_[-1][:] *= 1e4
        assert np.isfinite(model.predict_log_proba(X)).all() and (model.predict_proba(X) == 0).any()


@pytest.mark.parametrize(("target", "weights"), [("three", {0: 5.0, 2: 0.5}), ("words", {"a": 2, "cc": 0.1})])
def test_class_weight(target, weights):
    X, targets = data()
    y = targets[target]
    own = np.linspace(1, 2, 120)
    for class_weight in (weights, "balanced"):
        model = fb.MLPClassifier(max_iter=5, class_weight=class_weight, random_state=0)
        by_hand = clone(model).set_params(class_weight=None).fit(X, y, own * compute_sample_weight(class_weight, y))
        assert same(clone(model).fit(X, y, own), by_hand)
        assert not same(model.fit(X, y), by_hand)


# --- what goes beyond scikit-learn --------------------------------------------------------------------


def test_layers_as_they_are_asked_for():
    X, targets = data()
    model = fb.MLPClassifier((8, 6), ["gelu", fb.activations.tanh], dropout=[0.2, 0], max_iter=2, random_state=0)
    layers = [layer.layer for layer in model.fit(X, targets["three"]).network_.layers]
    assert [type(layer) for layer in layers] == [fb.Dense, fb.Dropout, fb.Dense, fb.Dense]
    assert [str(layer.ends_with) for layer in layers if isinstance(layer, fb.Dense)] == ["'gelu'", "'tanh'", "'linear'"]
    assert len(fb.MLPClassifier((8, 6), dropout=0.5, max_iter=1).fit(X, targets["three"]).network_.layers) == 5
    plain = fb.MLPClassifier((8, 6), max_iter=2, random_state=0).fit(X, targets["three"])
    assert not same(clone(plain).set_params(dropout=0.3).fit(X, targets["three"]), plain)


def test_activations_are_the_same_objects_after_copies():
    X, targets = data()
    for functions in ([fb.activations.sigmoid, fb.activations.relu], fb.activations.sigmoid):
        model = fb.MLPClassifier((8, 6), functions, max_iter=2, random_state=0).fit(X, targets["three"])
        assert same(clone(model).fit(X, targets["three"]), model)
        twin = pickle.loads(pickle.dumps(model))
        assert twin.activation == functions and same(twin, model)
    own = fb.CustomActivation(lambda z: z * z, lambda z: 2 * z, name="square")
    model = fb.MLPClassifier(8, own, max_iter=2, random_state=0).fit(X, targets["three"])
    assert same(clone(model).fit(X, targets["three"]), model)
    assert copy.deepcopy(fb.activations.relu) is fb.activations.relu


@pytest.mark.parametrize("solver", ["adamw", "nadam", "rmsprop", "adagrad", "adadelta", "lion", "rprop", fb.SGD(0.1)])
def test_optimizers(solver):
    X, targets = data()
    model = fb.MLPClassifier(solver=solver, learning_rate_init=0.01, max_iter=10, random_state=0).fit(X, targets["two"])
    assert model.loss_ < model.loss_curve_[0]
    if isinstance(solver, str):
        assert type(model.network_.optimizer).__name__.lower() == solver
        assert model.network_.optimizer.learning_rate == 0.01
    else:
        assert model.network_.optimizer is solver


@pytest.mark.parametrize(
    ("target", "loss"),
    [
        *(("real", name) for name in ("mse", "mae", "huber", fb.Huber(0.5))),
        *((target, "hinge") for target in ("two", "three", "labels")),
        *((target, fb.CrossEntropy(0.1)) for target in ("two", "three", "labels")),
        ("two", fb.BinaryCrossEntropy(0.1)),
    ],
)
def test_losses(target, loss):
    X, targets = data()
    y = targets[target]
    settings = dict(loss=loss, max_iter=80, learning_rate_init=0.01, early_stopping=True, random_state=0)
    model = kind_for(target)(**settings).fit(X, y, validation_data=(X, y))
    assert model.loss_ < model.loss_curve_[0] and model.score(X, y) > 0.5
    assert model.score(X, y) == pytest.approx(model.best_validation_score_)
    assert hasattr(model, "predict_proba") == (target != "real" and loss != "hinge")
    assert hasattr(model, "predict_log_proba") == hasattr(model, "predict_proba")


def test_smoothed_labels():
    X, targets = data()
    model = fb.MLPClassifier(loss=fb.CrossEntropy(0.2), max_iter=300, learning_rate_init=0.01, alpha=0, random_state=0)
    for target, most in (("three", 1 - 0.2 * 2 / 3), ("two", 0.9)):
        assert 0.9 * most < np.median(model.fit(X, targets[target]).predict_proba(X).max(axis=1)) < 1.02 * most


def test_callbacks():
    class Watch:
        def on_epoch_end(self, net, epoch, logs):
            self.net, self.names = net, sorted(logs)

    X, targets = data()
    watch, stop = Watch(), fb.EarlyStopping("val_loss", patience=3)
    model = fb.MLPClassifier(callbacks=[watch, stop], learning_rate_init=0.1, random_state=0)
    model.fit(X[:80], targets["two"][:80], validation_data=(X[80:], targets["two"][80:]))
    assert watch.net is model.network_ and model.n_iter_ == stop.best_epoch + 4 < 200
    assert watch.names == ["accuracy", "loss", "val_accuracy", "val_loss", "val_score"]
    assert min(model.validation_loss_curve_) == pytest.approx(stop.best)


@pytest.mark.parametrize("kind", PEERS)
def test_dtype(kind):
    X, targets = data()
    y = targets["three" if kind is fb.MLPClassifier else "real"]
    for dtype, inputs, want in (
        (None, np.float64, np.float64),
        (None, np.float32, np.float32),
        (None, np.int16, np.float64),
        ("float32", np.float64, np.float32),
        (np.float64, np.float32, np.float64),
    ):
        model = kind(dtype=dtype, max_iter=2).fit((4 * X).astype(inputs), y)
        assert {w.dtype for w in model.coefs_ + model.intercepts_} == {np.dtype(want)}
        outputs = model.predict_proba(X) if kind is fb.MLPClassifier else model.predict(X)
        assert outputs.dtype == want


def test_threads_are_limited_inside_alone():
    class Threads:
        def on_epoch_end(self, net, epoch, logs):
            self.seen = fb.get_num_threads()

    X, targets = data()
    before, watch = fb.get_num_threads(), Threads()
    models = []
    for n_threads in (1, 10_000, None):
        model = fb.MLPClassifier(
            (50, 50), batch_size=120, n_threads=n_threads, callbacks=[watch], max_iter=3, random_state=0
        )
        models.append(model.fit(X, targets["three"]))
        most = before if n_threads is None else n_threads
        assert watch.seen == min(most, numba.config.NUMBA_NUM_THREADS) and fb.get_num_threads() == before
    assert same(models[0], models[1]) and same(models[0], models[2])
    with pytest.raises(ValueError, match="y must be"):
        fb.MLPRegressor(n_threads=1, loss="poisson").fit(X, -np.abs(targets["real"]))
    assert fb.get_num_threads() == before


# --- scikit-learn's tools -----------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_grid_search(backend):
    X, y = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), fb.MLPClassifier(20, max_iter=40, random_state=0))
    grid = {"mlpclassifier__alpha": [1e-4, 1.0], "mlpclassifier__learning_rate_init": [1e-4, 0.02]}
    with joblib.parallel_backend(backend, n_jobs=2):
        found = GridSearchCV(model, grid, cv=3, error_score="raise").fit(X, y)
    assert found.best_params_["mlpclassifier__learning_rate_init"] == 0.02 and found.best_score_ > 0.9
    serial = GridSearchCV(model, grid, cv=3).fit(X, y)
    assert np.array_equal(found.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"])


def test_cross_validation_and_names_of_features():
    pandas = pytest.importorskip("pandas")
    X, y = load_iris(return_X_y=True, as_frame=True)
    model = make_pipeline(StandardScaler(), fb.MLPClassifier(learning_rate_init=0.02, max_iter=40, random_state=0))
    model.set_output(transform="pandas")
    assert cross_val_score(model, X, y, cv=3).mean() > 0.9
    assert model.fit(X, y)[-1].feature_names_in_.tolist() == X.columns.tolist()
    with pytest.raises(ValueError, match="feature names"):
        model[-1].predict(pandas.DataFrame(X.to_numpy(), columns=list("abcd")))


@pytest.mark.parametrize("target", ["words", "labels", "reals"])
@pytest.mark.parametrize("how", ["pickle", "joblib", "deepcopy"])
def test_copies_predict_and_go_on_with_the_same_bits(how, target, tmp_path):
    X, targets = data()
    y = targets[target]
    model = kind_for(target)(batch_size=30, max_iter=3, dropout=0.1, random_state=0).fit(X, y)
    if how == "pickle":
        twin = pickle.loads(pickle.dumps(model))
    elif how == "deepcopy":
        twin = copy.deepcopy(model)
    else:
        joblib.dump(model, tmp_path / "model.joblib")
        twin = joblib.load(tmp_path / "model.joblib")
    assert np.array_equal(twin.predict(X), model.predict(X)) and twin.loss_curve_ == model.loss_curve_
    assert same(model.partial_fit(X, y), twin.partial_fit(X, y))
    twin.coefs_[0][:] = 0
    assert model.coefs_[0].any()


def test_seeds():
    X, targets = data()
    y = targets["two"]
    model = fb.MLPClassifier(max_iter=3, early_stopping=True, random_state=5)
    assert same(clone(model).fit(X, y), clone(model).fit(X, y))
    assert not same(clone(model).fit(X, y), clone(model).set_params(random_state=6).fit(X, y))
    state = np.random.RandomState(0)
    model.set_params(random_state=state)
    assert same(clone(model).fit(X, y), clone(model).fit(X, y))  # clone copies the state
    assert not same(copy.deepcopy(model.fit(X, y)), model.fit(X, y))
    assert not same(*(fb.MLPClassifier(max_iter=3).fit(X, y) for _ in range(2)))


def test_repr_and_parameters():
    model = fb.MLPClassifier((5, 5), dropout=0.1)
    assert repr(model) == "MLPClassifier(dropout=0.1, hidden_layer_sizes=(5, 5))"
    assert model.set_params(alpha=0.5).get_params()["alpha"] == 0.5 and clone(model).get_params() == model.get_params()
    assert model._repr_html_().startswith("<")


# --- errors -------------------------------------------------------------------------------------------

BAD = [
    *((name, -1.0, ValueError, "at least 0") for name in ("alpha", "power_t", "tol", "momentum")),
    *((name, 1.0, ValueError, "less than 1") for name in ("beta_1", "beta_2", "validation_fraction", "dropout")),
    *((name, 0.0, ValueError, "greater than 0") for name in ("learning_rate_init", "epsilon")),
    *((name, 0, ValueError, "at least 1") for name in ("max_iter", "max_fun", "batch_size", "n_iter_no_change")),
    *((name, 1.5, TypeError, "an integer") for name in ("max_iter", "batch_size", "n_threads", "verbose")),
    *((name, 1, TypeError, "True or False") for name in ("shuffle", "warm_start", "early_stopping")),
    ("nesterovs_momentum", "yes", TypeError, "True or False"),
    ("momentum", 1.1, ValueError, "at most 1"),
    ("n_threads", 0, ValueError, "at least 1"),
    ("batch_size", "all", TypeError, "an integer"),
    ("n_iter_no_change", 2.5, TypeError, "an integer"),
    ("learning_rate", "fast", ValueError, "'constant', 'invscaling', 'adaptive'. Got 'fast' instead."),
    ("solver", "newton", ValueError, "'lbfgs', 'sgd'.*Got 'newton' instead"),
    ("solver", fb.SGD, TypeError, r"an object such as SGD\(\). Got the class"),
    ("activation", "step", ValueError, "'identity', 'logistic'.*Got 'step'"),
    ("activation", ["relu"], ValueError, r"each of the 2 hidden layers. Got \['relu'\]"),
    ("activation", 3, TypeError, "one of 'linear'"),
    ("dropout", [0.1], ValueError, "each of the 2 hidden layers"),
    ("dropout", "half", TypeError, "a number"),
    ("hidden_layer_sizes", (5, 0), ValueError, r"hidden_layer_sizes must be > 0, got \[5, 0\]\."),
    ("hidden_layer_sizes", 0, ValueError, r"at least 1. Got 0 instead"),
    ("hidden_layer_sizes", (5.0, 5), TypeError, "an integer. Got 5.0 instead"),
    ("hidden_layer_sizes", np.array(5), TypeError, "an integer. Got"),
    ("hidden_layer_sizes", "5", TypeError, "an integer. Got '5' instead"),
    ("hidden_layer_sizes", b"5", TypeError, "an integer. Got b'5' instead"),
    ("dtype", "float16", ValueError, "'float32', 'float64' or None. Got 'float16' instead"),
    ("dtype", "number", ValueError, "'float32', 'float64' or None. Got 'number' instead"),
    ("loss", "absolute", ValueError, "one of"),
    ("loss", fb.losses.MSE, TypeError, "Got the class"),
    ("callbacks", [3], TypeError, "on_epoch_end"),
    ("callbacks", fb.EarlyStopping("val_loss"), ValueError, "monitor"),
    ("random_state", "seed", ValueError, "RandomState"),
]


@pytest.mark.parametrize(("name", "value", "error", "message"), BAD)
@pytest.mark.parametrize("kind", PEERS)
def test_bad_settings_leave_what_was_fitted(kind, name, value, error, message):
    X, targets = data()
    y = targets["three" if kind is fb.MLPClassifier else "real"]
    model = kind(hidden_layer_sizes=(5, 5), max_iter=2).fit(X, y)
    before, predicted = dict(vars(model)), model.predict(X)
    model.set_params(**{name: value})
    with pytest.raises(error, match=message) as raised:
        model.fit(X[:50, :4], y[:50])
    assert name in str(raised.value) or name in ("callbacks", "random_state")
    model.set_params(**{name: before[name]})
    assert {n: v for n, v in vars(model).items() if v is not before.get(n)} == {}
    assert np.array_equal(model.predict(X), predicted)


@pytest.mark.parametrize(
    ("kind", "settings", "arguments", "error", "message"),
    [
        (
            fb.MLPClassifier,
            {"class_weight": {0: -1}},
            {},
            ValueError,
            "class_weight must hold finite numbers of 0 or more",
        ),
        (fb.MLPClassifier, {"class_weight": {0: 0, 1: 0, 2: 0}}, {}, ValueError, "must not be zero for all rows"),
        (fb.MLPClassifier, {"class_weight": "even"}, {}, ValueError, "class_weight"),
        (
            fb.MLPClassifier,
            {"loss": fb.Huber()},
            {},
            TypeError,
            "must be one of 'log_loss', 'hinge'. Got 'huber' instead",
        ),
        (
            fb.MLPRegressor,
            {"loss": "cross_entropy"},
            {},
            ValueError,
            "The 'loss' parameter of MLPRegressor must be one of",
        ),
        (fb.MLPRegressor, {"loss": fb.CrossEntropy()}, {}, ValueError, "must be one for real targets"),
        (
            fb.MLPRegressor,
            {"loss": fb.Huber},
            {},
            TypeError,
            r"must be an object such as Huber\(\). Got the class",
        ),
        (fb.MLPRegressor, {"loss": "poisson"}, {"y": -np.ones(120)}, ValueError, "y must be 0 or more for poisson"),
        (fb.MLPRegressor, {}, {"sample_weight": -np.ones(120)}, ValueError, "sample_weight must be 0 or more"),
        (
            fb.MLPRegressor,
            {},
            {"sample_weight": np.zeros(120)},
            ValueError,
            "Sample weights must contain at least one non-zero number",
        ),
        (
            fb.MLPRegressor,
            {},
            {"sample_weight": np.ones(3)},
            ValueError,
            r"sample_weight.shape == \(3,\), expected \(120,\)!",
        ),
        (fb.MLPRegressor, {}, {"validation_data": 3}, TypeError, r"validation_data must be \(X, y\) or .*, got a int"),
        (fb.MLPRegressor, {}, {"validation_data": (np.ones((3, 2)), np.ones(3))}, ValueError, "features"),
        (fb.MLPClassifier, {}, {"validation_data": (np.ones((3, 8)), [0, 1, 7])}, ValueError, "`y` has classes not in"),
        (
            fb.MLPRegressor,
            {"solver": "lbfgs"},
            {"validation_data": ([[0] * 8], [1])},
            ValueError,
            "validation_data must be None",
        ),
        (
            fb.MLPRegressor,
            {"solver": "lbfgs", "dropout": 0.5},
            {},
            ValueError,
            "'dropout' .* must be 0 with solver='lbfgs'. Got",
        ),
        (
            fb.MLPRegressor,
            {"solver": "lbfgs", "callbacks": [fb.StopAtLoss(0)]},
            {},
            ValueError,
            r"'callbacks' parameter of MLPRegressor must be \(\) with",
        ),
    ],
)
def test_bad_arguments_leave_nothing_fitted(kind, settings, arguments, error, message):
    X, targets = data()
    model = kind(**settings)
    before = dict(vars(model))
    with pytest.raises(error, match=message):
        model.fit(**{"X": X, "y": targets["three" if kind is fb.MLPClassifier else "real"], **arguments})
    assert vars(model) == before


NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


def test_divergence():
    X, targets = data()
    model = fb.MLPRegressor(solver="sgd", learning_rate_init=1e6, dtype="float32")
    with pytest.raises(fb.DivergedError, match=re.escape(NON_FINITE) + ".*learning_rate") as error:
        model.fit(X, targets["real"])
    assert isinstance(error.value, ValueError) and np.isfinite(model.network_.params).all()


def test_importing_fastbp_leaves_scikit_learn_alone():
    done = run_python(
        "import sys, fastbp\n"
        "from fastbp import *\n"
        "assert not any(name in sys.modules for name in ('sklearn', 'fastbp.sklearn.estimators'))\n"
        "assert 'MLPClassifier' in dir(fastbp)\n"
        "assert fastbp.MLPClassifier.__module__ == 'fastbp.sklearn.estimators' and 'sklearn' in sys.modules\n"
    )
    assert done.returncode == 0, done.stderr
    done = run_python(
        "import sys; sys.modules['sklearn'] = None\nimport fastbp\nfrom fastbp import *\nfastbp.MLPRegressor"
    )
    assert "ImportError: MLPClassifier and MLPRegressor need scikit-learn: pip install 'fastbp[sklearn]'" in done.stderr
    with pytest.raises(AttributeError, match="module 'fastbp' has no attribute 'MLPTransformer'"):
        fb.MLPTransformer  # noqa: B018


@pytest.mark.parametrize("scales", [(1e150, 1.0), (1.0, 1e160)], ids=["inputs", "targets"])
def test_lbfgs_that_finds_nothing_finite_says_so(scales):
    X = np.random.default_rng(0).standard_normal((50, 3))
    model = fb.MLPRegressor(hidden_layer_sizes=(5,), solver="lbfgs", max_iter=30, random_state=0)
    with pytest.raises(fb.DivergedError, match=re.escape(NON_FINITE)) as error:
        model.fit(X * scales[0], X[:, 0] * scales[1])
    assert isinstance(error.value, ValueError) and np.isfinite(model.network_.params).all()


def test_early_stopping_goes_back_to_the_best_of_an_earlier_fit_too():
    """Its scores go on from a fit that had validation_data and did not stop early: so do the weights kept."""
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(100)  # two classes that are easy to tell apart
    X, y = X[order], y[order]
    held, model = (X[70:], y[70:]), fb.MLPClassifier(16, learning_rate_init=0.01, random_state=0, max_iter=200)
    model.fit(X[:70], y[:70], validation_data=held)
    assert model.best_validation_score_ == max(model.validation_scores_) == 1  # the next can't be better
    model.set_params(early_stopping=True, warm_start=True).fit(X[:70], y[:70], validation_data=held)
    assert model.score(*held) == model.best_validation_score_ == max(model.validation_scores_)


def test_an_average_is_not_for_partial_fit():
    X, targets = data()
    model = fb.MLPRegressor(callbacks=[fb.EMA(0.1)], random_state=0, max_iter=2).fit(X, targets["real"])
    before = model.network_.params.copy()
    with pytest.raises(ValueError, match=r"callbacks must hold no EMA for partial_fit.*: give it to fit"):
        model.partial_fit(X, targets["real"])
    assert (model.network_.params == before).all()
    model.set_params(callbacks=()).partial_fit(X, targets["real"])
    assert (model.network_.params != before).any()
