"""How the estimators' solvers begin, go on, stop and fail, beside scikit-learn's."""

import math
import re
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn import neural_network
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning

import fastbp as fb

PEERS = {fb.MLPClassifier: neural_network.MLPClassifier, fb.MLPRegressor: neural_network.MLPRegressor}
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning"),  # of an older scikit-learn
]


def pair(kind, X, y, **settings):
    """Our estimator and scikit-learn's with the same weights and settings, before their first step."""
    theirs = PEERS[kind](hidden_layer_sizes=8, shuffle=False, random_state=0, **settings)
    start = theirs.set_params(max_iter=1).fit(X, y)
    ours = kind.from_sklearn(start, **settings)
    return ours, ours.to_sklearn()


def rate(model):
    """The learning rate of the next step."""
    return model.network_.learning_rate if hasattr(model, "network_") else model._optimizer.learning_rate


def assert_in_step(ours, theirs):
    assert ours.loss_curve_ == pytest.approx(theirs.loss_curve_, rel=1e-6)
    assert (ours.n_iter_, ours.t_, ours._no_improvement_count) == (
        theirs.n_iter_,
        theirs.t_,
        theirs._no_improvement_count,
    )
    if ours.solver == "sgd":  # Adam's rate there is what the moments' corrections make of it
        assert rate(ours) == pytest.approx(rate(theirs))


# --- going on -----------------------------------------------------------------------------------------

STREAMS = [
    dict(epsilon=1e-20),
    dict(epsilon=1e-20, tol=10.0, n_iter_no_change=2),
    dict(epsilon=1e-20, n_iter_no_change=math.inf),
    *(dict(solver="sgd", tol=10.0, n_iter_no_change=3, learning_rate=name) for name in ("constant", "invscaling")),
    dict(solver="sgd", tol=10.0, n_iter_no_change=3, learning_rate="adaptive", learning_rate_init=1e-3),
]


@pytest.mark.parametrize("settings", STREAMS)
@pytest.mark.parametrize("kind", PEERS)
def test_a_stream_goes_on_for_as_long_as_it_comes(kind, settings):
    X, y = load_digits(return_X_y=True)
    X = X / 16
    ours, theirs = pair(kind, X[:500], y[:500], **settings)
    for call in range(120):
        rows = slice(call * 32 % 1760, call * 32 % 1760 + 32)
        ours.partial_fit(X[rows], y[rows])
        theirs.partial_fit(X[rows], y[rows])
    assert_in_step(ours, theirs)
    if settings.get("tol") == 10.0 and settings.get("learning_rate") != "adaptive":
        assert ours._no_improvement_count > 100  # it would have stopped long ago


@pytest.mark.parametrize("settings", STREAMS)
def test_a_warm_start_goes_on_after_training_has_converged(settings):
    X, y = load_iris(return_X_y=True)
    ours, theirs = pair(fb.MLPClassifier, X, y, warm_start=True, **settings)
    for model in (ours, theirs):
        model.set_params(max_iter=30)
    for _ in range(3):
        ours.fit(X, y)
        theirs.fit(X, y)
        assert_in_step(ours, theirs)
    assert ours.n_iter_ == 1 or settings.get("tol") != 10.0 or settings.get("learning_rate") == "adaptive"


def test_learning_rates_are_those_of_scikit_learn():
    X, y = load_iris(return_X_y=True)
    for learning_rate in ("constant", "invscaling", "adaptive"):
        settings = dict(solver="sgd", learning_rate=learning_rate, power_t=0.25, tol=0.5, warm_start=True)
        ours, theirs = pair(fb.MLPClassifier, X, y, n_iter_no_change=2, **settings)
        for epochs in (1, 1, 40, 300):
            ours.set_params(max_iter=epochs).fit(X, y)
            theirs.set_params(max_iter=epochs).fit(X, y)
            assert_in_step(ours, theirs)
        assert learning_rate != "adaptive" or (rate(ours) < 1e-6 and ours.n_iter_ < 300)


def test_partial_fit_goes_on_with_the_optimizer_that_has_made_steps():
    X, y = load_iris(return_X_y=True)
    invscaling, adam = dict(solver="sgd", learning_rate="invscaling"), dict(solver="adam", epsilon=1e-20)
    for first, then in ((adam, invscaling), (dict(solver="sgd"), adam)):
        ours, theirs = pair(fb.MLPClassifier, X, y, tol=10.0, n_iter_no_change=2, **first)
        for settings in ({}, then):
            for model in (ours, theirs):
                model.set_params(**settings).partial_fit(X, y).partial_fit(X, y)
        assert ours.loss_curve_ == pytest.approx(theirs.loss_curve_, rel=1e-6)
        assert type(ours.network_.optimizer) is (fb.Adam if first is adam else fb.SGD)
    for solver in ("lbfgs", "adam"):  # which have made none, or none here
        theirs = neural_network.MLPClassifier(solver=solver, random_state=0).fit(X, y)
        ours = fb.MLPClassifier.from_sklearn(theirs).set_params(**invscaling, power_t=0.25)
        before = ours.network_.params.copy()
        ours.partial_fit(X, y)
        assert rate(ours) == pytest.approx(0.001 / (ours.t_ + 1) ** 0.25)
        assert 0 < np.abs(ours.network_.params - before).max() < 0.1


@pytest.mark.parametrize("settings", [{}, {"early_stopping": True}, {"solver": "sgd", "learning_rate": "adaptive"}])
@pytest.mark.parametrize("patience", [math.inf, np.float64(np.inf), 10**30, 50])
def test_patience_beyond_the_last_iteration(patience, settings):
    X, y = load_iris(return_X_y=True)
    model = fb.MLPClassifier(tol=1e9, max_iter=20, n_iter_no_change=patience, random_state=0, **settings)
    text = r"Stochastic Optimizer: Maximum iterations \(20\) reached and the optimization hasn't converged yet."
    with pytest.warns(ConvergenceWarning, match=text):
        model.fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == 20 and model._no_improvement_count == 19


# --- failing ------------------------------------------------------------------------------------------

WILD = dict(solver="sgd", activation="identity", learning_rate_init=1.0, max_iter=20, random_state=0)


def wild(kind, data, **settings):
    """An estimator that diverges, and rows for it."""
    X, y = load_iris(return_X_y=True)
    X, y = X * 30, y if kind is fb.MLPClassifier else y * 30.0
    return kind(**{**WILD, **settings}), X, y, {"validation_data": (X[::5], y[::5])} if data else {}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("data", [False, True], ids=["held back", "given"])
@pytest.mark.parametrize("kind", PEERS)
def test_divergence_with_early_stopping_ends_with_the_best_weights(kind, data, dtype):
    rate = {fb.MLPRegressor: 1.0, fb.MLPClassifier: 1e30 if dtype == "float32" else 1e200}[kind]
    model, X, y, extra = wild(kind, data, dtype=dtype, early_stopping=True, learning_rate_init=rate)
    text = r"Stochastic Optimizer: the loss became infinite or NaN in iteration \d+ and the optimization hasn't"
    with pytest.warns(ConvergenceWarning, match=text) as caught:
        model.fit(X, y, **extra)
    assert caught[0].filename == __file__
    scores = model.validation_scores_
    assert len(scores) == len(model.loss_curve_) == len(model.validation_loss_curve_) == model.n_iter_ <= 20
    assert all(type(score) is float for score in scores)
    assert math.isnan(scores[-1]) and math.isnan(model.loss_) and model.n_iter_ < 20
    assert np.array_equal(model.network_.params, model._best_params) and np.isfinite(model.network_.params).all()
    assert np.isfinite(model.predict(X)).all()
    good = [score for score in scores if not math.isnan(score)]
    assert model.best_validation_score_ == max(good, default=-math.inf)


def test_divergence_in_the_first_iteration_ends_with_the_first_weights():
    model, X, y, _ = wild(fb.MLPRegressor, False, early_stopping=True, learning_rate_init=1e300, batch_size=2)
    model.fit(X, y)
    start, _, _, _ = wild(fb.MLPRegressor, False, early_stopping=True, learning_rate_init=1e-300)
    assert model.n_iter_ == 1 and np.array_equal(model.coefs_[0], start.fit(X, y).coefs_[0])


def test_divergence_of_a_warm_start_ends_with_the_weights_before():
    X, y = load_iris(return_X_y=True)
    model = fb.MLPRegressor(max_iter=20, warm_start=True, random_state=0).fit(X, y)
    before = model.network_.params.copy()
    model.set_params(**WILD, early_stopping=True).set_params(learning_rate_init=1e300, activation="relu", batch_size=2)
    model.fit(X, y)
    assert math.isnan(model.loss_) and np.array_equal(model.network_.params, before)


@pytest.mark.parametrize("data", [False, True], ids=["none", "validation_data"])
def test_divergence_without_early_stopping_is_an_error(data):
    model, X, y, extra = wild(fb.MLPRegressor, data)
    text = "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
    with pytest.raises(fb.DivergedError, match=re.escape(text)) as error:
        model.fit(X, y, **extra)
    assert isinstance(error.value, ValueError) and np.isfinite(model.network_.params).all()
    with pytest.raises(ValueError, match=re.escape(text)):
        model.partial_fit(X * 1e200, y)
    assert np.isfinite(model.network_.params).all()


def test_ctrl_c_in_lbfgs_leaves_the_last_iteration(monkeypatch):
    X, y = load_iris(return_X_y=True)
    settings = dict(hidden_layer_sizes=5, activation="tanh", solver="lbfgs", random_state=0)
    value_and_grad, calls = fb.Network.value_and_grad, []

    def interrupted(net, *rows):
        calls.append(1)
        if len(calls) == 15:
            net.params[:] = np.nan  # what the search tried last
            raise KeyboardInterrupt
        return value_and_grad(net, *rows)

    monkeypatch.setattr(fb.Network, "value_and_grad", interrupted)
    model = fb.MLPRegressor(**settings)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    monkeypatch.undo()
    assert model.score(X, y) > 0.5


# --- what is taken and refused ------------------------------------------------------------------------

CANDIDATES = [
    *(None, 0, 1, 2, -1, 0.0, 0.5, 1.0, 1.5, -0.5, 1e-300, 1e300, math.inf, -math.inf, math.nan, 10**30),
    *(np.True_, np.float32(0.5), np.float64(0), np.float64(np.inf), np.int64(3), np.int8(1)),
    *("auto", "sgd", "adam", "lbfgs", "ADAM", "relu", "identity", "logistic", "tanh", "constant", "invscaling"),
    *("adaptive", "squared_error", "poisson", "", "3", {}, [], [3], (3, 4), (), np.array([3]), range(2, 4), object()),
]


@pytest.mark.parametrize("kind", PEERS)
def test_settings_are_taken_and_refused_as_by_scikit_learn(kind):
    """But True is no number here."""
    X, y = load_iris(return_X_y=True)
    for name in PEERS[kind]().get_params():
        for value in CANDIDATES:
            if name == "random_state":
                continue  # both give it to check_random_state
            try:
                PEERS[kind](**{name: value})._validate_params()
            except ValueError as error:
                text = re.match(rf"The '{name}' parameter of {kind.__name__} must be ", str(error))[0]
                with pytest.raises((ValueError, TypeError), match=rf"{text}.* Got .* instead\.") as raised:
                    kind(**{name: value}).fit(X, y)
                assert isinstance(raised.value, ValueError) and isinstance(raised.value, TypeError)
            else:
                kind(**{name: value})._check_settings()


def test_one_sample_weight_is_that_of_all_rows():
    X, y = load_iris(return_X_y=True)
    settings = dict(max_iter=2, alpha=0, random_state=0)  # a penalty is relative to the sum of the weights
    plain = fb.MLPClassifier(**settings).fit(X, y)
    for weight in (3.0, np.full(150, 3.0), np.full((150, 1), 3.0)):
        weighed = fb.MLPClassifier(**settings).fit(X, y, weight)
        np.testing.assert_allclose(weighed.coefs_[0], plain.coefs_[0], rtol=1e-12)
    with pytest.raises(ValueError, match="Sample weights must be 1D array or scalar"):
        plain.fit(X, y, np.ones((150, 2)))


def test_no_warning_where_training_has_converged():
    X, y = load_iris(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fb.MLPClassifier(tol=0.1, n_iter_no_change=2, random_state=0).fit(X, y)
        model.partial_fit(X, y).partial_fit(X, y)


def test_log_probabilities_have_the_order_of_probabilities():
    X, _ = load_iris(return_X_y=True)
    y = np.column_stack([X[:, 0] > 3, X[:, 1] > 1, X[:, 2] > 3])
    model = fb.MLPClassifier(max_iter=300, learning_rate_init=0.1, random_state=0).fit(X, y)
    p, log_p = model.predict_proba(X), model.predict_log_proba(X)
    assert (p == 1).sum(axis=1).max() > 1  # they round to 1
    np.testing.assert_array_equal(p.argmax(axis=1), log_p.argmax(axis=1))
    np.testing.assert_allclose(np.exp(log_p), p, rtol=1e-12)
