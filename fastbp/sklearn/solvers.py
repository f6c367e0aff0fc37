"""Trains a network as scikit-learn's estimators train theirs: their solvers, record, stopping rule and weights."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import xlogy
from sklearn.exceptions import ConvergenceWarning

from ..errors import DivergedError
from ..losses import BinaryCrossEntropy, Poisson, SquaredError
from ..network import Network
from ..optimizers import SGD
from ..training.feeds import Shuffle

_DENSE_AT_ONCE = 1 << 28  # bytes: sparse rows that take more are made dense batch by batch
_ROWS_AT_ONCE = 4096  # for a gradient of L-BFGS
_LEAST_RATE = 1e-6  # "adaptive" divides no smaller one
# scikit-learn's words, which programs look for; they stand at the beginning of ours.
_NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


@dataclass(frozen=True)
class Rows:
    """Rows to train on or to validate with.

    x       (rows, features) of the network's dtype, dense or CSR
    y       labels (rows,) or values (rows, outputs), as the network takes them
    weight  (rows,) float64, or None for weights of 1
    """

    x: Any
    y: np.ndarray
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return self.x.shape[0]

    def __getitem__(self, rows: Any) -> Rows:
        return Rows(self.x[rows], self.y[rows], None if self.weight is None else self.weight[rows])

    def dense(self) -> tuple[np.ndarray, ...]:
        """(x, y), or (x, y, weight) where there are weights, with x dense."""
        x = self.x.toarray() if sparse.issparse(self.x) else self.x
        return (x, self.y) if self.weight is None else (x, self.y, self.weight)

    def weighed(self, weight: np.ndarray | None) -> Rows:
        """With these weights (rows,) as further factors."""
        if weight is None:
            return self
        return replace(self, weight=weight if self.weight is None else self.weight * weight)

    def mean_weight(self) -> float:
        """Raises ValueError if all weights are zero."""
        mean = 1.0 if self.weight is None else float(self.weight.mean())
        if mean == 0:
            what = "sample_weight, times class_weight, must not be zero"
            raise ValueError(f"{what} for all rows to train on, or for all to validate with")
        return mean

    def scaled(self, mean: float) -> Rows:
        """With weights whose mean is `mean`. Raises ValueError if all are zero."""
        if self.weight is None:
            return self if mean == 1 else replace(self, weight=np.full(len(self), float(mean)))
        return replace(self, weight=self.weight * (mean / self.mean_weight()))


def _rows_at_once(x: Any) -> int:
    """So many rows of x are made dense at once."""
    return max(1, _DENSE_AT_ONCE // max(1, x.shape[1] * x.dtype.itemsize))


def dense_pieces(x: Any) -> Iterator[np.ndarray]:
    """Sparse rows as dense ones, as many at once as memory is spent on."""
    step = _rows_at_once(x)
    for start in range(0, x.shape[0], step):
        yield x[start : start + step].toarray()


class NonFiniteWeightsError(DivergedError, ValueError):
    """A solver has diverged; a ValueError too, as scikit-learn's is."""


class _SparseBatches:
    """Sparse rows as an iterable of dense batches, in the orders that the network draws for dense rows."""

    def __init__(self, rows: Rows, batch_size: int, net: Network, shuffle: bool):
        self._rows, self._batch_size, self._net, self._shuffle = rows, batch_size, net, shuffle

    def __iter__(self) -> Iterator[tuple]:
        net, count = self._net, len(self._rows)
        order = np.arange(count)
        if self._shuffle:
            order = Shuffle(net.shuffle_key(), net.epochs_trained).order(count)
        for start in range(0, count, self._batch_size):
            yield self._rows[order[start : start + self._batch_size]].dense()


def penalty(alpha: float, rows: Rows, batch_size: int) -> float:
    """The l2 of a dense layer that stands for scikit-learn's ½ alpha ‖weight‖² / (sum of the weights in the batch).

    Where the last batch of an epoch is smaller, it is the mean over the batches: the weights decay as far.
    """
    whole, rest = divmod(len(rows), batch_size)
    inverse = (whole / batch_size + (1 / rest if rest else 0)) / (whole + (rest > 0))
    return alpha / 2 * inverse / rows.mean_weight()


def _weight_of_loss(net: Network) -> int:
    """What row losses are multiplied with: scikit-learn sums these over the outputs, where the network takes a mean."""
    return net.output_shape[0] if isinstance(net.loss, (BinaryCrossEntropy, Poisson)) else 1


@dataclass(frozen=True)
class _Scale:
    """scikit-learn's loss from the network's: loss / outputs + offset, for the rows that it is the loss of."""

    outputs: int
    offset: float

    @classmethod
    def of(cls, net: Network, rows: Rows) -> _Scale:
        """The scale for these rows.

        Squared errors are a mean over outputs there, though their gradient is that of the sum; the Poisson loss is half
        the deviance, which is 0 for perfect predictions.
        """
        outputs = net.output_shape[0] if isinstance(net.loss, SquaredError) else 1
        if not isinstance(net.loss, Poisson):
            return cls(outputs, 0.0)
        return cls(outputs, float(np.average((xlogy(rows.y, rows.y) - rows.y).sum(axis=1), weights=rows.weight)))

    def __call__(self, loss: float) -> float:
        return loss / self.outputs + self.offset


# --- adam, sgd and the like ---------------------------------------------------------------------------


@dataclass
class Patience:
    """What stopping depends on from one fit to the next.

    count        epochs in a row that were not better than the best
    best_params  of the network, after the epoch with the best validation score
    """

    count: int
    best_params: np.ndarray


def fit_stochastic(
    model: Any,
    rows: Rows,
    validation: Rows | None,
    batch_size: int,
    patience: Patience,
    *,
    metrics: Sequence[Any],
    callbacks: Sequence[Any],
    epochs: int,
    warn: bool,
) -> None:
    """Train model.network_ for some epochs, or until nothing becomes better; keeps the record in the model.

    metrics, callbacks: see Network.fit; warn: whether it is worth a ConvergenceWarning that `epochs` were not enough.
    Raises NonFiniteWeightsError if the loss turns NaN or infinite, unless early_stopping has kept the best weights.
    """
    net, factor = model.network_, _weight_of_loss(model.network_)
    watch = _Watch(model, rows, validation, patience)
    source: dict[str, Any] = {}
    train, given = rows.scaled(factor), None if validation is None else validation.scaled(factor).dense()
    if sparse.issparse(train.x) and len(train) > _rows_at_once(train.x):
        source = {"X": _SparseBatches(train, batch_size, net, model.shuffle)}
    else:
        source = dict(zip(("X", "y", "sample_weight"), train.dense(), strict=False))
    try:
        stopped = net.fit(
            **source,
            epochs=epochs,
            batch_size=batch_size,
            shuffle=model.shuffle,
            validation_data=given,
            metrics=metrics,
            callbacks=(watch, *callbacks),
            verbose=False,
        ).stopped
    except DivergedError as error:
        if not model.early_stopping:
            raise NonFiniteWeightsError(f"{_NON_FINITE} {error}") from error
        watch.record_divergence()
        stopped = "diverged"
    if model.early_stopping:
        net.params[:] = patience.best_params
    _warn(stopped, model, epochs if warn else None)


def _warn(stopped: str, model: Any, most: int | None) -> None:
    """Warn if training has ended otherwise than by convergence; most: the iterations that were to be enough."""
    if stopped == "interrupted":
        warnings.warn("Training interrupted by user.", stacklevel=6)
    if stopped == "diverged":
        text = (
            f"Stochastic Optimizer: the loss became infinite or NaN in iteration {model.n_iter_} and the optimization"
        )
        cure = "a smaller learning_rate_init may help, or inputs scaled to about -1 to 1"
        text += f" hasn't converged yet. The weights are those with the best validation score so far; {cure}."
        warnings.warn(text, ConvergenceWarning, stacklevel=6)
    if stopped == "epochs" and most is not None:
        text = f"Stochastic Optimizer: Maximum iterations ({most}) reached and the optimization hasn't converged yet."
        warnings.warn(f"{text} Increase max_iter, or scale the inputs.", ConvergenceWarning, stacklevel=6)


class _Watch:
    """Callback: keeps scikit-learn's record of training, changes the learning rate and stops as it does."""

    def __init__(self, model: Any, rows: Rows, validation: Rows | None, patience: Patience):
        self._model, self._rows, self._patience, net = model, len(rows), patience, model.network_
        self._scale = _Scale.of(net, rows)
        self._validation_scale = None if validation is None else _Scale.of(net, validation)

    def on_epoch_end(self, net: Network, epoch: int, logs: dict[str, float]) -> None:
        model = self._model
        score = logs.get("val_score", math.nan)
        self._record(self._scale(logs["loss"]), logs.get("val_loss", math.nan), score)
        self._say(f"Iteration {model.n_iter_}, loss = {model.loss_:.8f}")
        if self._validation_scale is not None:
            self._say(f"Validation score: {score:.6f}, loss = {model.validation_loss_curve_[-1]:.8f}")
        self._patience.count = self._patience.count + 1 if self._is_worse(net) else 0
        if self._follows(net, "invscaling"):
            _change_rate(net, model.learning_rate_init / (model.t_ + 1) ** model.power_t)
        if self._patience.count > model.n_iter_no_change:
            self._stop(net)

    def record_divergence(self) -> None:
        """Record the iteration whose numbers were not finite any more."""
        self._record(math.nan, math.nan, math.nan)
        self._say(f"Iteration {self._model.n_iter_}, loss = nan")

    def _record(self, loss: float, validation_loss: float, score: float) -> None:
        model = self._model
        model.n_iter_ += 1
        model.t_ += self._rows
        model.loss_ = loss
        model.loss_curve_.append(loss)
        if self._validation_scale is not None:
            model.validation_loss_curve_.append(self._validation_scale(validation_loss))
            model.validation_scores_.append(score)

    def epochs_at_once(self, net: Network) -> int:
        """The epochs before training can stop or the learning rate change."""
        model = self._model
        if self._follows(net, "invscaling"):
            return 1
        if model.n_iter_no_change == math.inf:
            return model.max_iter
        # an earlier fit, or partial_fit, may have left a count at which training stops as soon as it is worse
        return max(1, int(model.n_iter_no_change) + 1 - self._patience.count)

    def _is_worse(self, net: Network) -> bool:
        """Whether this epoch is not better than the best by tol; and record the best."""
        model = self._model
        if not model.early_stopping:
            worse = model.loss_ > model.best_loss_ - model.tol
            model.best_loss_ = min(model.best_loss_, model.loss_)
        if self._validation_scale is not None:
            score = model.validation_scores_[-1]
            if model.early_stopping:
                worse = score < model.best_validation_score_ + model.tol
            if score > model.best_validation_score_:
                model.best_validation_score_, self._patience.best_params = score, net.params.copy()
        return worse

    def _stop(self, net: Network) -> None:
        """Stop, or go on with a fifth of the learning rate if it is adaptive."""
        model = self._model
        what = "Validation score" if model.early_stopping else "Training loss"
        count = f"{model.n_iter_no_change} consecutive epochs"
        text = f"{what} did not improve more than tol={model.tol:f} for {count}."
        if self._follows(net, "adaptive") and net.learning_rate > _LEAST_RATE:
            _change_rate(net, net.learning_rate / 5)
            self._patience.count = 0
            self._say(f"{text} Setting learning rate to {net.learning_rate:f}")
        else:
            net.stop_training = True
            self._say(f"{text} Stopping.")

    def _follows(self, net: Network, learning_rate: str) -> bool:
        """Whether the rate is changed so; partial_fit may go on with the optimizer of an earlier solver."""
        named = self._model.solver == "sgd" and self._model.learning_rate == learning_rate
        return named and isinstance(net.optimizer, SGD)

    def _say(self, text: str) -> None:
        if self._model.verbose:
            print(text)


def _change_rate(net: Network, rate: float) -> None:
    """Change SGD's learning rate; scikit-learn's velocity, which is ours times minus the rate, stays as it is."""
    net.state[...] *= net.learning_rate / rate
    net.learning_rate = rate


# --- L-BFGS -------------------------------------------------------------------------------------------


def fit_lbfgs(model: Any, rows: Rows) -> None:
    """Minimise the loss over all rows with SciPy's L-BFGS-B from where model.network_ stands.

    It works in float64 whatever the network's dtype: its line search takes rounding errors of float32 for the loss.
    """
    net = model.network_
    if net.dtype != np.float64:
        net = net.twin(dtype=np.dtype(np.float64))
    train, scale = rows.scaled(_weight_of_loss(net)), _Scale.of(net, rows)
    step = min(_ROWS_AT_ONCE, _rows_at_once(rows.x))
    loss, done, reached = math.nan, 0, net.params.copy()

    def objective(params: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal loss
        net.params[:] = params  # any: a search may try what is not finite
        loss, gradient = 0.0, np.zeros(net.num_params)
        for start in range(0, len(train), step):
            piece = train[start : start + step]
            of_piece, slope = net.value_and_grad(*piece.dense())
            loss += of_piece * len(piece) / len(train)
            gradient += slope * (len(piece) / len(train))
        return loss, gradient

    def say(params: np.ndarray) -> None:
        nonlocal done, reached
        done, reached = done + 1, params.copy()
        if model.verbose:
            print(f"Iteration {done}, loss = {scale(loss):.8f}")

    options = {"maxiter": model.max_iter, "maxfun": model.max_fun, "gtol": model.tol}
    try:
        result = minimize(objective, reached, method="L-BFGS-B", jac=True, options=options, callback=say)
        with np.errstate(over="ignore"):
            found = result.x.astype(model.network_.dtype)
        if not (np.isfinite(found).all() and math.isfinite(result.fun)):
            raise NonFiniteWeightsError(f"{_NON_FINITE} Scaling the inputs to about -1 to 1 may help.")
    except BaseException:  # Ctrl-C too: not what a search has tried last
        model.network_.params = reached
        raise
    model.network_.params = found
    model.loss_, model.n_iter_ = scale(float(result.fun)), min(int(result.nit), model.max_iter)
    if result.status != 0:
        text = (
            f"lbfgs failed to converge after {model.n_iter_} iteration(s) (status={result.status}):\n{result.message}"
        )
        cure = "Increase the number of iterations (max_iter), or max_fun, or scale the inputs."
        warnings.warn(f"{text}\n{cure}", ConvergenceWarning, stacklevel=5)
