"""MLPClassifier and MLPRegressor: scikit-learn's estimators of these names, on a Network."""

from __future__ import annotations

import contextlib
import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

try:
    from sklearn import neural_network
except ImportError as error:
    raise ImportError("MLPClassifier and MLPRegressor need scikit-learn: pip install 'fastbp[sklearn]'") from error

from scipy import sparse
from scipy.special import log_expit, log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from .. import losses
from ..averaging import EMA
from ..errors import DivergedError, check_choice, check_object
from ..layers import Dense
from ..losses import BinaryCrossEntropy, CrossEntropy, GaussianNLL, Hinge, Loss
from ..network import Network
from ..runtime.threads import threads_here
from ..training.data import convert_weights
from . import exchange, solvers
from .exchange import draw_seed
from .settings import Settings
from .solvers import Rows

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # scikit-learn before 1.6

    def validate_data(estimator, *args, **kwargs):
        return estimator._validate_data(*args, **kwargs)  # noqa: SLF001, scikit-learn's own name for it then


def _is_stochastic(model: _MLP) -> bool:
    """Whether there is partial_fit. Raises AttributeError if not."""
    if model.solver == "lbfgs":
        raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
    return True


def _write(name: str, views: list[np.ndarray], values: Sequence[Any]) -> None:
    """Write values into views of the same shapes."""
    wanted, got = [view.shape for view in views], [np.shape(value) for value in values]
    if wanted != got:
        raise ValueError(f"{name} must have the shapes {wanted}, got {got}")
    for view, value in zip(views, values, strict=True):
        view[...] = value


def _checked_weight(sample_weight: Any, X: Any) -> np.ndarray | None:
    """The weight of each row, float64; one number is that of all."""
    if sample_weight is None:
        return None
    if getattr(sample_weight, "shape", None) == (X.shape[0], 1):
        sample_weight = np.ravel(sample_weight)
    weight = convert_weights(_check_sample_weight(sample_weight, X, dtype=np.float64), np.dtype(np.float64))
    if not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number: sample_weight is 0 for all rows")
    return weight


def _columns(outputs: np.ndarray) -> np.ndarray:
    """(rows,) of one output, else (rows, outputs)."""
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs


@contextlib.contextmanager
def _unchanged_by_errors(model: BaseEstimator) -> Iterator[None]:
    """Where an argument turns out to be bad, put back what was fitted before."""
    before = dict(vars(model))
    try:
        yield
    except DivergedError:  # the weights of the last good iteration stay
        raise
    except (TypeError, ValueError):
        vars(model).clear()
        vars(model).update(before)
        raise


class _MLP(Settings):
    """What MLPClassifier and MLPRegressor have in common."""

    _peer: ClassVar[Any]  # scikit-learn's class of the same name
    _numeric: ClassVar[bool]  # whether y holds numbers
    network_: Network
    n_outputs_: int
    _no_improvement_count: int  # as solvers.Patience has it, for the next fit
    _best_params: np.ndarray

    # --- what users call ---

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: tuple | None = None) -> Any:
        """Train, from new initial weights unless warm_start is True.

        Arguments:
            X: (rows, features), dense or sparse; what would take more than 256 MB is made dense batch by batch, but
                for rows that are held back for validation.
            y: (rows,), or (rows, outputs) for several labels a row or several targets.
            sample_weight: (rows,), 0 or more: factors of the rows' losses, relative to their mean.
            validation_data: (X, y) or (X, y, sample_weight), looked at after each iteration; early_stopping then
                takes these rows, and all rows of X are trained on.

        Returns the estimator. Ctrl-C ends training, and what was learnt stays; with lbfgs it is raised.
        Raises TypeError or ValueError, naming the argument; an error that is both a DivergedError and a ValueError if
        the loss turns NaN or infinite: the weights are then those before that iteration. With early_stopping that is a
        ConvergenceWarning, and the weights are the best.
        """
        return self._fit(X, y, sample_weight, validation_data)

    @property
    def coefs_(self) -> list[np.ndarray]:
        """The weights (inputs, outputs) of each layer, live: writing into them changes the estimator."""
        return [layer.weight for layer in self._dense_layers()]

    @coefs_.setter
    def coefs_(self, values: Sequence[Any]) -> None:
        _write("coefs_", self.coefs_, values)

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """The biases (outputs,) of each layer, live: writing into them changes the estimator."""
        return [layer.bias for layer in self._dense_layers()]

    @intercepts_.setter
    def intercepts_(self, values: Sequence[Any]) -> None:
        _write("intercepts_", self.intercepts_, values)

    def _dense_layers(self) -> list[Any]:
        return [layer for layer in self.network_.layers if isinstance(layer.layer, Dense)]

    @classmethod
    def from_sklearn(cls, fitted: Any, **settings: Any) -> Any:
        """An estimator with the settings, weights and record of scikit-learn's, which predicts the same.

        fitted: a fitted estimator of scikit-learn's class of this name.
        settings: arguments in place of its own; dtype is that of the weights unless it is one of them.

        Training can go on, by partial_fit or warm_start, with an optimizer that begins anew.
        Raises TypeError if it is of another class, sklearn.exceptions.NotFittedError if it isn't fitted.
        """
        model = exchange.unfitted_from_sklearn(cls, cls._peer, fitted, settings)
        cls._go_on_from(model, fitted)
        return model

    def _go_on_from(self, fitted: Any) -> None:
        """Become what scikit-learn's fitted estimator is, whose settings this one has."""
        self._check_settings()
        exchange.carry_record(fitted, self)
        dtype = self._dtype() or fitted.coefs_[0].dtype
        seed = draw_seed(check_random_state(self.random_state))
        self.network_ = self._new_network(seed, self.n_features_in_, self.n_outputs_, dtype, 0.0)
        self.coefs_, self.intercepts_ = fitted.coefs_, fitted.intercepts_
        self._best_params = self.network_.params.copy()

    def to_sklearn(self) -> Any:
        """scikit-learn's estimator of this name with the same weights and record, which predicts the same.

        Settings that it doesn't have (dropout, say, or an optimizer of fastbp's) are left at its defaults.
        Raises ValueError if it can't predict the same, sklearn.exceptions.NotFittedError if this isn't fitted.
        """
        return exchange.to_sklearn(self, self._peer, self._sklearn_loss, self._hidden)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # --- what MLPClassifier and MLPRegressor define ---

    @abstractmethod
    def _encoded(self, y: Any) -> np.ndarray:
        """y as the network takes it: labels (rows,), or values (rows, outputs)."""

    @abstractmethod
    def _outputs_for(self, targets: np.ndarray) -> int:
        """How many outputs the network has for such encoded targets."""

    @abstractmethod
    def _metric(self) -> Callable[..., float]:
        """The function `score` of encoded targets, predictions of the network, and weights."""

    @abstractmethod
    def _sklearn_loss(self) -> str:
        """scikit-learn's loss with the same predictions. Raises ValueError if there is none."""

    def _learn_classes(self, y: Any, first: bool, incremental: bool, classes: Any) -> None:
        """Keep the classes that there are, or check them."""

    def _class_weights(self, y: Any, incremental: bool) -> np.ndarray | None:
        """The weight of each row by its class, or None."""
        return None

    def _strata(self, targets: np.ndarray) -> np.ndarray | None:
        """What early_stopping's split has in the same shares on both sides, or None."""
        return None

    # --- training ---

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation_data: tuple | None = None,
        *,
        incremental: bool = False,
        classes: Any = None,
    ) -> Any:
        """See fit; incremental: an epoch of partial_fit, and classes: its argument."""
        self._check_settings()
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        if incremental and any(isinstance(callback, EMA) for callback in self._callbacks()):
            what = "callbacks must hold no EMA for partial_fit, as each call would begin with the average of the last"
            raise ValueError(f"{what}: give it to fit, or train a fastbp.Network batch by batch in one fit")
        first = not hasattr(self, "network_") or not (self.warm_start or incremental)
        with _unchanged_by_errors(self), threads_here(self.n_threads):
            # without a wish, float32 stays and all else becomes float64
            dtype = (self._dtype() or (np.float64, np.float32)) if first else self.network_.dtype
            X, y = self._validated(X, y, dtype, reset=first)
            weight = _checked_weight(sample_weight, X)
            self._learn_classes(y, first, incremental, classes)
            rows, of_class = Rows(X, self._encoded(y), weight), self._class_weights(y, incremental)
            validation = None if validation_data is None else self._validation_rows(validation_data, X.dtype)
            random = check_random_state(self.random_state)
            seed = draw_seed(random)
            if self.early_stopping and validation is None and self.solver != "lbfgs":
                kept, held = self._split(rows.y, random)
                validation, rows, of_class = rows[held], rows[kept], None if of_class is None else of_class[kept]
            self._train(rows.weighed(of_class), validation, seed, first, incremental)
        return self

    def _train(self, rows: Rows, validation: Rows | None, seed: int, first: bool, incremental: bool) -> None:
        batch_size = len(rows) if self.solver == "lbfgs" else self._batch_rows(len(rows))
        self._prepare(rows, seed, solvers.penalty(self.alpha, rows, batch_size), first, incremental)
        if self.solver == "lbfgs":
            solvers.fit_lbfgs(self, rows)
            return
        self._begin_record(first, validation is not None)
        epochs = 1 if incremental else self.max_iter
        patience = solvers.Patience(self._no_improvement_count, self._best_params)
        try:
            solvers.fit_stochastic(
                self,
                rows,
                validation,
                batch_size,
                patience,
                metrics=() if validation is None else (self._metric(),),
                callbacks=self._callbacks(),
                epochs=epochs,
                warn=not incremental,
            )
        finally:
            self._no_improvement_count, self._best_params = patience.count, patience.best_params

    def _validated(self, X: Any, y: Any, dtype: Any, *, reset: bool) -> tuple[Any, Any]:
        """X and y as arrays, or CSR where they are sparse, checked as scikit-learn does."""
        checks = dict(accept_sparse="csr", multi_output=True, y_numeric=self._numeric, reset=reset)
        X, y = validate_data(self, X, y, dtype=dtype, **checks)
        return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _validation_rows(self, given: Any, dtype: np.dtype) -> Rows:
        if self.solver == "lbfgs":
            raise ValueError("validation_data must be None with solver='lbfgs', got some")
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            raise TypeError(f"validation_data must be (X, y) or (X, y, sample_weight), got a {type(given).__name__}")
        X, y, sample_weight = (*given, None)[:3]
        X, y = self._validated(X, y, dtype, reset=False)
        weight = _checked_weight(sample_weight, X)
        self._learn_classes(y, False, True, None)
        return Rows(X, self._encoded(y), weight)

    def _split(self, targets: np.ndarray, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the rows to train on, and of those that early_stopping looks at."""
        settings = dict(test_size=self.validation_fraction, random_state=random, stratify=self._strata(targets))
        kept, held = train_test_split(np.arange(len(targets)), **settings)
        if len(held) < 2:
            text = "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            got = f"{self.validation_fraction!r} of {len(targets)} rows"
            raise ValueError(f"{text} At least 2 rows must be held back, got {got}.")
        return kept, held

    def _batch_rows(self, rows: int) -> int:
        if isinstance(self.batch_size, str):  # "auto"
            return min(200, rows)
        if self.batch_size > rows:
            text = "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
            warnings.warn(f"{text} from {self.batch_size} to {rows} rows", stacklevel=5)
        return min(self.batch_size, rows)

    def _prepare(self, rows: Rows, seed: int, l2: float, first: bool, incremental: bool) -> None:
        """Have a network to train: a new one, one with the weights of the last, or the last.

        An optimizer that has made steps goes on in partial_fit, whatever the solver is by now, as in scikit-learn.
        """
        if incremental and not first and self.network_.steps_trained:
            for layer in self._dense_layers():
                if layer.layer.l2 != l2:
                    layer.replace(l2=l2)
            return
        outputs = self._outputs_for(rows.y)
        net = self._new_network(seed, rows.x.shape[1], outputs, rows.x.dtype, l2)
        if first:
            self.n_layers_, self.n_outputs_ = len(self._hidden()) + 2, outputs
            link = "linear" if net.loss.link is None else net.loss.link.name
            self.out_activation_ = exchange.SKLEARN_NAMES.get(link, link)
            self.n_iter_ = self.t_ = 0
            self._best_params = net.params.copy()
        else:
            wanted = [layer.weight.shape for layer in net.layers if isinstance(layer.layer, Dense)]
            had = [weight.shape for weight in self.coefs_]
            if wanted != had:
                raise ValueError(f"hidden_layer_sizes must be as before with warm_start: weights {had}, got {wanted}")
            net.params, net.epochs_trained = self.network_.params, self.network_.epochs_trained
        self.network_ = net

    def _begin_record(self, first: bool, validates: bool) -> None:
        """Empty what is recorded epoch by epoch; with warm_start and partial_fit, go on with it."""
        self.n_iter_ = 0
        if first or not hasattr(self, "loss_curve_"):
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            self.best_loss_: float | None = None
            self.best_validation_score_: float | None = None
            self.validation_scores_: list[float] | None = None
        if first or not hasattr(self, "validation_loss_curve_"):
            self.validation_loss_curve_: list[float] | None = None
        if self.early_stopping:
            self.best_loss_ = None
        elif self.best_loss_ is None:
            self.best_loss_ = math.inf
        if validates and self.validation_scores_ is None:
            self.validation_scores_, self.best_validation_score_ = [], -math.inf
            self._best_params = self.network_.params.copy()
        if validates and self.validation_loss_curve_ is None:
            self.validation_loss_curve_ = []

    # --- inference ---

    def _infer(self, program: str, X: Any) -> np.ndarray:
        """What the network's method of that name gives (rows, outputs)."""
        with contextlib.nullcontext() if self.n_threads is None else threads_here(self.n_threads):
            if self._takes(X):
                try:
                    return getattr(self.network_, program)(X)
                except ValueError:  # a number that is not finite, which scikit-learn has its own words for
                    pass
            check_is_fitted(self)
            infer = getattr(self.network_, program)
            X = validate_data(self, X, accept_sparse="csr", dtype=self.network_.dtype, reset=False)
            if not sparse.issparse(X):
                return infer(X)
            return np.concatenate([infer(piece) for piece in solvers.dense_pieces(X)])

    def _takes(self, X: Any) -> bool:
        """Whether X is a plain array in which scikit-learn's checks could find no fault, but for NaN and infinity.

        These checks take several times as long as a prediction for one row.
        """
        fitted = vars(self)
        return (
            type(X) is np.ndarray
            and "network_" in fitted
            and "feature_names_in_" not in fitted
            and X.dtype.kind in "fiub"  # the network converts these as NumPy does
            and X.ndim == 2
            and X.shape[1] == self.n_features_in_
            and len(X) > 0
        )


@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, _MLP):
    """scikit-learn's classifier of this name, with a network of fastbp's.

    Arguments that scikit-learn's has, with the same defaults and meaning:
        hidden_layer_sizes: units of each hidden layer, or one number for one layer.
        activation: of the hidden layers: "identity", "logistic", "tanh", "relu"; any other of fastbp.activations;
            or a sequence with one for each hidden layer.
        solver: "adam", "sgd", "lbfgs"; an optimizer such as fastbp.AdamW(1e-3); or the name of one in lower case,
            which gets learning_rate_init and, for the rest, its own defaults.
        alpha: factor, 0 or more, of ½ ‖weights‖² / rows of the batch in the loss; biases don't count.
        batch_size: rows in a step; "auto" is 200, or all if they are fewer. lbfgs takes all.
        learning_rate: of sgd: "constant"; "invscaling": learning_rate_init / (rows seen + 1)^power_t, set after each
            iteration; "adaptive": divided by 5 where training would stop, until it is 1e-6 or less.
        learning_rate_init, power_t: see learning_rate.
        max_iter: the most iterations: epochs, or steps of lbfgs.
        shuffle: whether each epoch takes the rows in another order.
        random_state: an integer makes results reproducible, bit for bit on any number of threads; the bits are not
            scikit-learn's.
        tol, n_iter_no_change: training stops when more than n_iter_no_change iterations (math.inf: never) have not made
            the loss (with early_stopping: the score) better than the best by tol; lbfgs, when the gradient is within
            ±tol.
        verbose: whether a line is printed for each iteration.
        warm_start: whether fit goes on from the weights that there are.
        momentum, nesterovs_momentum: of sgd.
        early_stopping, validation_fraction: whether a score decides when to stop and which weights are kept, and the
            share of the rows, of each class where possible, that is held back for it.
        beta_1, beta_2, epsilon: of adam; epsilon stands where fastbp.Adam has it.
        max_fun: how often lbfgs may compute the loss.

    Arguments of fastbp's own:
        loss: "log_loss" or "hinge"; fastbp.CrossEntropy(label_smoothing) for a smoothed "log_loss".
        class_weight: factors for the rows of a class in training: a mapping from label to weight, "balanced", or for
            several labels a row a list of mappings.
        dropout: the share, less than 1, of the hidden layers' outputs that a step leaves out; or one for each layer.
        dtype: "float32", which is faster, or "float64"; None: that of X, float32 only if X is.
        n_threads: the most threads that fit and predict use; None: see fastbp.set_num_threads.
        callbacks: objects with hooks (see fastbp.callbacks), which get `network_`. With fastbp.EMA the weights are the
            average: fit with warm_start goes on from that, and partial_fit is an error.

    Fitted attributes: those of scikit-learn's, of which coefs_ and intercepts_ are live views; network_, a Network;
    and validation_loss_curve_, the validation rows' loss after each iteration, or None. There are validation_scores_
    whenever there are such rows, by early_stopping or as validation_data.

    It differs from scikit-learn's in that weights of rows count relative to their mean over all rows, not over each
    batch, and in that alpha counts as on average where the last batch of an epoch is smaller.
    """

    loss: str | Loss = field(default="log_loss", kw_only=True)
    class_weight: Any = field(default=None, kw_only=True)

    _peer = neural_network.MLPClassifier
    _numeric = False

    @available_if(_is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> MLPClassifier:
        """One epoch over these rows.

        classes: all classes that there will be, for the first call, unless rows have several labels. Other arguments
            and errors as for fit.
        """
        return self._fit(X, y, sample_weight, incremental=True, classes=classes)

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each row (rows,); or 0 and 1 for each label (rows, labels)."""
        answers = self._answers(self._infer("predict", X))
        if self._has_several():
            return self.classes_[answers]
        binarizer = self._label_binarizer
        if self.n_outputs_ == 1 and len(self.classes_) == 2:
            return self.classes_[answers[:, 0]]
        if binarizer.y_type_ == "multilabel-indicator" and not binarizer.sparse_input_:
            return answers
        return binarizer.inverse_transform(answers)

    def _has_probabilities(self) -> bool:
        """Whether there is predict_proba. Raises AttributeError if not."""
        if self._is_hinge():
            raise AttributeError("there are no probabilities with loss='hinge'")
        return True

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class (rows, classes), in the order of classes_; or of each label (rows, labels)."""
        p = self._infer("predict", X)
        return np.concatenate([1 - p, p], axis=1) if self.n_outputs_ == 1 else p

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of predict_proba, finite where a probability is too small for its dtype."""
        z = self._infer("forward", X)
        if self._has_several():
            return log_softmax(z, axis=1)
        log_p, p = log_expit(z), self.predict_proba(X)
        if self.n_outputs_ == 1:
            log_p = np.hstack([log_expit(-z), log_p])
        return np.log(p, out=log_p, where=p > 0.5)  # so that the order is that of probabilities which round to 1

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _more_tags(self) -> dict[str, Any]:  # scikit-learn before 1.6
        return {"multilabel": True}

    def _is_hinge(self) -> bool:
        return isinstance(self.loss, Hinge) or (isinstance(self.loss, str) and self.loss == "hinge")

    def _has_several(self) -> bool:
        """Whether a row is of one of three or more classes."""
        return self._label_binarizer.y_type_ == "multiclass"

    def _check_loss(self) -> None:
        kinds = (CrossEntropy, BinaryCrossEntropy, Hinge)
        check_object("loss", self.loss, kinds)
        if not isinstance(self.loss, kinds):
            check_choice("loss", self.loss, ("log_loss", "hinge"))

    def _network_loss(self) -> Loss:
        if self._is_hinge():
            return Hinge()
        smoothing = getattr(self.loss, "label_smoothing", 0.0)
        return CrossEntropy(smoothing) if self._has_several() else BinaryCrossEntropy(smoothing)

    def _sklearn_loss(self) -> str:
        if self._is_hinge():
            raise ValueError("loss must be 'log_loss' for scikit-learn, got 'hinge'")
        return "log_loss"

    def _learn_classes(self, y: Any, first: bool, incremental: bool, classes: Any) -> None:
        check_classification_targets(y)
        if first and not incremental:
            self._set_classes(y)
            return
        if first:
            if type_of_target(y).startswith("multilabel"):
                classes = y
            elif classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._set_classes(classes)
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            was = f"was: {self.classes_!r}"
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, {was}")
        found = unique_labels(y)
        if not incremental and set(found) != set(self.classes_):
            text = "warm_start can only be used where `y` has the same classes as in the previous call to fit."
            raise ValueError(f"{text} Previously got {self.classes_}, `y` has {found}")
        if len(np.setdiff1d(found, self.classes_)):
            text = "`y` has classes not in `self.classes_`."
            raise ValueError(f"{text} `self.classes_` has {self.classes_}. 'y' has {found}.")

    def _set_classes(self, y: Any) -> None:
        self._label_binarizer = LabelBinarizer().fit(y)
        self.classes_ = self._label_binarizer.classes_

    def _encoded(self, y: Any) -> np.ndarray:
        labels = self._has_several() and not self._is_hinge()
        return np.searchsorted(self.classes_, y) if labels else self._label_binarizer.transform(y)

    def _outputs_for(self, targets: np.ndarray) -> int:
        return len(self.classes_) if targets.ndim == 1 else targets.shape[1]

    def _class_weights(self, y: Any, incremental: bool) -> np.ndarray | None:
        if self.class_weight is None:
            return None
        if incremental and isinstance(self.class_weight, str):
            raise ValueError(f"class_weight must be a mapping or None for partial_fit, got {self.class_weight!r}")
        weight = compute_sample_weight(self.class_weight, y)
        if not (np.isfinite(weight).all() and weight.min() >= 0):
            raise ValueError(f"class_weight must hold finite numbers of 0 or more, got {self.class_weight!r}")
        return weight

    def _strata(self, targets: np.ndarray) -> np.ndarray | None:
        labels = self._answers(targets) if targets.ndim == 2 else targets
        if self._outputs_for(targets) == 1:  # a class that can't be on both sides is an error, as in scikit-learn
            return labels.astype(bool)
        if labels.ndim == 2:
            return None
        _, counts = np.unique(labels, return_counts=True)
        held = math.ceil(self.validation_fraction * len(labels))
        possible = counts.min() > 1 and len(counts) <= min(held, len(labels) - held)
        return labels if possible else None

    def _answers(self, outputs: np.ndarray) -> np.ndarray:
        """The answers in outputs, or targets, of the network: labels (rows,), or 0 and 1 (rows, outputs)."""
        if self._has_several():
            return outputs.argmax(axis=1)
        return (outputs > (0.0 if self._is_hinge() else 0.5)).astype(np.int64)

    def _metric(self) -> Callable[..., float]:
        def score(y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
            if not np.isfinite(y_pred).all():
                return math.nan
            right = self._answers(y_pred) == (y_true if y_true.ndim == 1 else self._answers(y_true))
            return float(np.average(right if right.ndim == 1 else right.all(axis=1), weights=sample_weight))

        return score


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, _MLP):
    """scikit-learn's regressor of this name, with a network of fastbp's.

    Arguments and attributes as for MLPClassifier, without class_weight and classes_, and with another loss:
        loss: "squared_error"; "poisson", the deviance, for targets of 0 or more, where predictions are exp(outputs);
            any other of fastbp.losses for real targets, such as "mae" or fastbp.Huber(1.0). fastbp.Quantile(0.9)
            predicts a quantile, fastbp.Quantile([0.1, 0.5, 0.9]) several quantiles of one target (rows, quantiles);
            "gaussian_nll" a mean, and a standard deviation with predict(X, return_std=True).

    For several targets the gradient is that of ½ Σ (t - y)² over them, and loss_ their mean, as in scikit-learn;
    lbfgs minimises the former.
    """

    _peer = neural_network.MLPRegressor
    _numeric = True

    @available_if(_is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """One epoch over these rows. Arguments and errors as for fit."""
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The predictions (rows,), or (rows, outputs) for several targets.

        return_std: whether to return (predictions, standard deviations), both of that shape, which the loss
            "gaussian_nll" has learnt. Raises ValueError with other losses.
        """
        outputs, loss = self._infer("predict", X), self.network_.loss
        if return_std and not isinstance(loss, GaussianNLL):
            raise ValueError(f"return_std must be False unless loss='gaussian_nll', got True with loss={self.loss!r}")
        mean = loss.point(outputs)
        if return_std:
            return tuple(_columns(part) for part in (mean, np.sqrt(outputs[:, mean.shape[1] :])))
        return _columns(mean)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R² of predict(X); of several quantiles of one target, the mean of theirs. Arguments as in scikit-learn."""
        predicted = self.predict(X)
        if np.ndim(predicted) == 2 and np.size(y) == len(predicted):
            y = np.broadcast_to(np.reshape(y, (-1, 1)), predicted.shape)
        return float(r2_score(y, predicted, sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _more_tags(self) -> dict[str, Any]:  # scikit-learn before 1.6
        return {"multioutput": True}

    def _check_loss(self) -> None:
        known = [name for name, loss in losses.LOSSES.items() if "labels" not in loss.kernels]
        check_object("loss", self.loss, Loss)
        if not isinstance(self.loss, Loss):
            check_choice("loss", self.loss, known)
        elif "labels" in self.loss.kernels:
            raise ValueError(f"loss must be one for real targets, such as {known}, got {self.loss!r}")

    def _network_loss(self) -> Loss:
        return losses.get(self.loss)

    def _sklearn_loss(self) -> str:
        found = {"identity": "squared_error", "exp": "poisson"}.get(self.out_activation_)
        if found is None:
            raise ValueError(f"loss must be one whose predictions scikit-learn can make, got {self.loss!r}")
        return found

    def _encoded(self, y: Any) -> np.ndarray:
        return y.reshape(len(y), -1)

    def _outputs_for(self, targets: np.ndarray) -> int:
        return self._network_loss().outputs(targets.shape[1])

    def _metric(self) -> Callable[..., float]:
        def score(y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
            if not np.isfinite(y_pred).all():
                return math.nan
            with np.errstate(over="ignore", invalid="ignore"):  # of squares of predictions that are far too large
                return float(r2_score(y_true, y_pred, sample_weight=sample_weight))

        return score
