"""Carries settings, weights and record between our estimators and scikit-learn's of the same names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..errors import brief

SKLEARN_NAMES = {"linear": "identity", "sigmoid": "logistic", "exponential": "exp"}  # of activations
# What a fitted estimator has beside its weights, here and in scikit-learn.
_RECORD = (
    *("classes_", "feature_names_in_", "n_features_in_", "n_layers_", "n_outputs_", "out_activation_"),
    *("n_iter_", "t_", "loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"),
    *("_label_binarizer", "_no_improvement_count"),
)


def draw_seed(random: np.random.RandomState) -> int:
    """A network's seed."""
    return int(random.randint(np.iinfo(np.int32).max))


def carry_record(source: Any, target: Any) -> None:
    """Copy what a fitted estimator has beside its weights to another one."""
    for name in _RECORD:
        if hasattr(source, name):
            setattr(target, name, copy(getattr(source, name)))


def _settings_for(kind: Any, model: BaseEstimator) -> dict[str, Any]:
    """The settings of `model` that the class `kind` has too."""
    names = inspect.signature(kind).parameters
    return {name: value for name, value in model.get_params(deep=False).items() if name in names}


def unfitted_from_sklearn(kind: Any, peer: Any, fitted: Any, settings: dict[str, Any]) -> Any:
    """An estimator of ours, of the class `kind`, with the settings of scikit-learn's `fitted`.

    Raises as MLPClassifier.from_sklearn does.
    """
    if not isinstance(fitted, peer):
        raise TypeError(f"fitted must be scikit-learn's {peer.__name__}, got {brief(fitted)}")
    check_is_fitted(fitted)
    return kind(**{**_settings_for(kind, fitted), "dtype": str(fitted.coefs_[0].dtype), **settings})


def to_sklearn(model: Any, peer: Any, loss_for_sklearn: Callable[[], str], hidden_layers: Callable[[], list]) -> Any:
    """scikit-learn's estimator, of the class `peer`, from ours. See MLPClassifier.to_sklearn.

    loss_for_sklearn: gives its loss with the same predictions. Raises ValueError if there is none.
    hidden_layers: gives (units, activation, dropout) of each.
    """
    check_is_fitted(model)
    settings, loss = _settings_for(peer, model), loss_for_sklearn()
    if "loss" in settings:
        settings["loss"] = loss
    elif loss == "poisson":
        raise ValueError("loss must be 'squared_error' for scikit-learn before 1.7, got 'poisson'")
    hidden = {SKLEARN_NAMES.get(function.name, function.name) for _, function, _ in hidden_layers()} or {"relu"}
    if len(hidden) > 1 or not hidden <= {"identity", "logistic", "tanh", "relu"}:
        raise ValueError(f"activation must be one of scikit-learn's for all layers, got {model.activation!r}")
    settings["activation"] = hidden.pop()
    if model.solver not in ("lbfgs", "sgd", "adam"):
        del settings["solver"]
    theirs = peer(**settings)
    carry_record(model, theirs)
    theirs.coefs_ = [weight.copy() for weight in model.coefs_]
    theirs.intercepts_ = [bias.copy() for bias in model.intercepts_]
    vars(theirs).update(_best_coefs=list(theirs.coefs_), _best_intercepts=list(theirs.intercepts_))
    return theirs
