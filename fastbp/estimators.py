"""MLPClassifier and MLPRegressor: scikit-learn's estimators of these names, on a Network."""

from __future__ import annotations

import inspect
import math
import numbers
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import KW_ONLY, dataclass, field
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
from sklearn.utils.validation import check_is_fitted

from . import activations, losses, solvers
from ._jit import DTYPES, threads_here
from .activations import ActivationFunction
from .data import check_weights, convert_weights
from .errors import check_bool, check_choice, check_integer, check_number
from .initializers import Uniform
from .layers import Dense, Dropout, Layer
from .losses import BinaryCrossEntropy, CrossEntropy, Hinge, Loss
from .network import Network
from .optimizers import OPTIMIZERS, SGD, Adam, Optimizer
from .solvers import Rows

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # scikit-learn before 1.6

    def validate_data(estimator, *args, **kwargs):
        return estimator._validate_data(*args, **kwargs)


_SKLEARN_NAMES = {"linear": "identity", "sigmoid": "logistic", "exponential": "exp"}
_ACTIVATIONS = {
    **activations.ACTIVATIONS,
    "identity": activations.linear,
    "logistic": activations.sigmoid,
    "swish": activations.silu,
}
_SOLVERS = {"lbfgs": Adam, **{name.lower(): kind for name, kind in OPTIMIZERS.items()}}  # L-BFGS needs none
# What a fitted estimator has beside its weights, here and in scikit-learn.
_RECORD = (
    *("classes_", "feature_names_in_", "n_features_in_", "n_layers_", "n_outputs_", "out_activation_"),
    *("n_iter_", "t_", "loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"),
    *("_label_binarizer", "_no_improvement_count"),
)


def _is_stochastic(model: _MLP) -> bool:
    """Whether there is partial_fit. Raises AttributeError if not."""
    if model._is("lbfgs"):
        raise AttributeError("partial_fit is for the other solvers, not for lbfgs, which wants all rows at once")
    return True


def _has_probabilities(model: MLPClassifier) -> bool:
    """Whether there is predict_proba. Raises AttributeError if not."""
    if model._is_hinge():
        raise AttributeError("there are no probabilities with loss='hinge'")
    return True


def _check_share(name: str, value: Any) -> float:
    """`value` as a float, 0 or more and less than 1."""
    number = check_number(name, value, low=0)
    if number >= 1:
        raise ValueError(f"{name} must be at least 0 and less than 1, got {value!r}")
    return number


def _for_each(name: str, value: Any, layers: int) -> list[Any]:
    """A setting for each hidden layer, from one for all or a sequence of that length."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value] * layers
    values = list(value)
    if len(values) != layers:
        raise ValueError(f"{name} must be one for all or one for each of the {layers} hidden layers, got {value!r}")
    return values


def _write(name: str, views: list[np.ndarray], values: Sequence[Any]) -> None:
    """Write values into views of the same shapes."""
    wanted, got = [view.shape for view in views], [np.shape(value) for value in values]
    if wanted != got:
        raise ValueError(f"{name} must have the shapes {wanted}, got {got}")
    for view, value in zip(views, values, strict=True):
        view[...] = value


def _carry(source: Any, target: Any) -> None:
    for name in _RECORD:
        if hasattr(source, name):
            setattr(target, name, copy(getattr(source, name)))


def _settings_for(kind: type, model: BaseEstimator) -> dict[str, Any]:
    """The settings of `model` that the class `kind` has too."""
    names = inspect.signature(kind).parameters
    return {name: value for name, value in model.get_params(deep=False).items() if name in names}


@dataclass(eq=False, repr=False)
class _MLP(BaseEstimator):
    """What MLPClassifier and MLPRegressor have in common."""

    loss: str | Loss = "squared_error"
    hidden_layer_sizes: int | Sequence[int] = (100,)
    activation: str | ActivationFunction | Sequence[str | ActivationFunction] = "relu"
    _: KW_ONLY
    solver: str | Optimizer = "adam"
    alpha: float = 0.0001
    batch_size: int | str = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: bool | int = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    max_fun: int = 15000
    dropout: float | Sequence[float] = 0.0
    dtype: Any = None
    n_threads: int | None = None
    callbacks: Any = ()

    _peer: ClassVar[type]  # scikit-learn's class of the same name

    # --- what users call ---

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: tuple | None = None) -> Any:
        """Train, from new initial weights unless warm_start is True.

        Arguments:
            X: (rows, features), dense or sparse; what would take more than 256 MB is made dense batch by batch.
            y: (rows,), or (rows, outputs) for several labels a row or several targets.
            sample_weight: (rows,), 0 or more: factors of the rows' losses, relative to their mean.
            validation_data: (X, y) or (X, y, sample_weight), looked at after each iteration; early_stopping then
                takes these rows, and all rows of X are trained on.

        Returns the estimator. Ctrl-C ends training, and what was learnt stays.
        Raises TypeError or ValueError, naming the argument; DivergedError if the loss turns NaN or infinite.
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
        if not isinstance(fitted, cls._peer):
            raise TypeError(f"fitted must be scikit-learn's {cls._peer.__name__}, got {fitted!r}")
        check_is_fitted(fitted)
        dtype = str(fitted.coefs_[0].dtype)
        model = cls(**{**_settings_for(cls, fitted), "dtype": dtype, **settings})
        model._check_settings()
        _carry(fitted, model)
        model.validation_loss_curve_ = None
        seed = model._draw_seed(check_random_state(model.random_state))
        model.network_ = model._new_network(seed, model.n_features_in_, model.n_outputs_, model._dtype() or dtype, 0.0)
        model.coefs_, model.intercepts_ = fitted.coefs_, fitted.intercepts_
        model._best_params = model.network_.params.copy()
        return model

    def to_sklearn(self) -> Any:
        """scikit-learn's estimator of this name with the same weights and record, which predicts the same.

        Settings that it doesn't have (dropout, say, or an optimizer of fastbp's) are left at its defaults.
        Raises ValueError if it can't predict the same, sklearn.exceptions.NotFittedError if this isn't fitted.
        """
        check_is_fitted(self)
        settings = _settings_for(self._peer, self)
        hidden = {_SKLEARN_NAMES.get(function.name, function.name) for _, function, _ in self._hidden()} or {"relu"}
        if len(hidden) > 1 or not hidden <= {"identity", "logistic", "tanh", "relu"}:
            raise ValueError(f"activation must be one of scikit-learn's for all layers, got {self.activation!r}")
        settings["activation"] = hidden.pop()
        if not any(map(self._is, ("lbfgs", "sgd", "adam"))):
            del settings["solver"]
        settings.pop("loss", None)
        model = self._peer(**settings, **self._loss_for_sklearn())
        _carry(self, model)
        model.coefs_ = [weight.copy() for weight in self.coefs_]
        model.intercepts_ = [bias.copy() for bias in self.intercepts_]
        model._best_coefs, model._best_intercepts = list(model.coefs_), list(model.intercepts_)
        return model

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # --- for MLPClassifier and MLPRegressor to define ---

    def _check_loss(self) -> None:
        """Raise TypeError or ValueError if `loss` is not what it must be."""
        raise NotImplementedError

    def _network_loss(self) -> Loss:
        raise NotImplementedError

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """X and y as arrays, checked as scikit-learn does."""
        raise NotImplementedError

    def _encoded(self, y: Any) -> np.ndarray:
        """y as the network takes it: labels (rows,), or values (rows, outputs)."""
        raise NotImplementedError

    def _outputs_for(self, targets: np.ndarray) -> int:
        """How many outputs the network has for these encoded targets."""
        raise NotImplementedError

    def _metric(self) -> Callable[..., float]:
        """A function `score` of encoded targets, predictions of the network, and weights."""
        raise NotImplementedError

    def _class_weights(self, y: Any) -> np.ndarray | None:
        return None

    def _strata(self, targets: np.ndarray) -> np.ndarray | None:
        """What early_stopping's split shall have in the same shares on both sides."""
        return None

    def _learn_classes(self, y: Any, first: bool, incremental: bool, classes: Any) -> None:
        """Keep the classes that there are, or check them."""

    def _loss_for_sklearn(self) -> dict[str, Any]:
        """The argument `loss` of scikit-learn's estimator. Raises ValueError if there is none."""
        raise NotImplementedError

    # --- settings ---

    def _is(self, solver: str) -> bool:
        return isinstance(self.solver, str) and self.solver == solver

    def _check_settings(self) -> None:
        """Raise TypeError or ValueError, naming the argument, for a setting that is not what it must be."""
        for name in ("alpha", "power_t", "tol"):
            check_number(name, getattr(self, name), low=0)
        for name in ("learning_rate_init", "epsilon"):
            check_number(name, getattr(self, name), low=0, open_low=True)
        for name in ("validation_fraction", "beta_1", "beta_2"):
            _check_share(name, getattr(self, name))
        for name in ("max_iter", "max_fun"):
            check_integer(name, getattr(self, name), low=1)
        for name in ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping"):
            check_bool(name, getattr(self, name))
        check_number("momentum", self.momentum, low=0, high=1)
        check_choice("learning_rate", self.learning_rate, ("constant", "invscaling", "adaptive"))
        if not isinstance(self.verbose, (bool, np.bool_)):
            check_integer("verbose", self.verbose, low=0)
        if not isinstance(self.batch_size, str) or self.batch_size != "auto":
            check_integer("batch_size", self.batch_size, low=1)
        if self.n_iter_no_change != math.inf:
            check_integer("n_iter_no_change", self.n_iter_no_change, low=1)
        if self.n_threads is not None:
            check_integer("n_threads", self.n_threads, low=1)
        if not isinstance(self.solver, Optimizer):
            check_choice("solver", self.solver, _SOLVERS)
        self._check_loss()
        self._dtype()
        dropped = any(rate for _, _, rate in self._hidden())
        if self._is("lbfgs") and dropped:
            raise ValueError(f"dropout must be 0 with solver='lbfgs', got {self.dropout!r}")
        if self._is("lbfgs") and self._callbacks():
            raise ValueError(f"callbacks must be () with solver='lbfgs', got {self.callbacks!r}")

    def _dtype(self) -> np.dtype | None:
        """The dtype that was asked for; None: that of X."""
        if self.dtype is None:
            return None
        try:
            if np.dtype(self.dtype) in DTYPES:
                return np.dtype(self.dtype)
        except TypeError:
            pass  # NumPy doesn't know it either
        raise ValueError(f"dtype must be 'float32', 'float64' or None, got {self.dtype!r}")

    def _hidden(self) -> list[tuple[int, ActivationFunction, float]]:
        """Units, activation and dropout of each hidden layer."""
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if isinstance(sizes, Iterable) and not isinstance(sizes, str) else [sizes]
        functions = _for_each("activation", self.activation, len(sizes))
        rates = _for_each("dropout", self.dropout, len(sizes))
        hidden = []
        for units, function, rate in zip(sizes, functions, rates, strict=True):
            units = check_integer("hidden_layer_sizes", units, low=1)
            if not isinstance(function, ActivationFunction):
                function = check_choice("activation", function, _ACTIVATIONS)
            hidden.append((units, function, _check_share("dropout", rate)))
        return hidden

    def _callbacks(self) -> tuple[Any, ...]:
        return tuple(self.callbacks) if isinstance(self.callbacks, Iterable) else (self.callbacks,)

    def _optimizer(self) -> Optimizer:
        if isinstance(self.solver, Optimizer):
            return self.solver
        rate = self.learning_rate_init
        if self.solver == "adam":
            return Adam(rate, self.beta_1, self.beta_2, self.epsilon)
        if self.solver == "sgd":
            momentum = min(self.momentum, np.nextafter(1, 0))  # scikit-learn takes 1 too
            return SGD(rate, momentum, nesterov=self.nesterovs_momentum and momentum > 0)
        return _SOLVERS[self.solver](rate)

    def _layers(self, inputs: int, outputs: int, l2: float) -> Iterator[Layer]:
        """The layers; weights and biases begin uniform within ±√(6 / (inputs + units)), for sigmoids √2 in place of √6.

        Source: Glorot & Bengio 2010, eq. 16, as scikit-learn has it.
        """
        factor = 6.0
        for units, activation, rate in [*self._hidden(), (outputs, None, 0.0)]:
            if activation is not None:
                factor = 2.0 if activation is activations.sigmoid else 6.0
            bound = math.sqrt(factor / (inputs + units))
            initial = Uniform(-bound, bound)
            yield Dense(units, activation, kernel_init=initial, bias_init=initial, l2=l2)
            if rate:
                yield Dropout(rate)
            inputs = units

    def _new_network(self, seed: int, inputs: int, outputs: int, dtype: Any, l2: float) -> Network:
        layers = list(self._layers(inputs, outputs, l2))
        settings = dict(loss=self._network_loss(), optimizer=self._optimizer(), dtype=dtype, seed=seed)
        return Network(layers, (inputs,), **settings)

    def _draw_seed(self, random: np.random.RandomState) -> int:
        return int(random.randint(np.iinfo(np.int32).max))

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
        self._check_settings()
        if incremental and self.early_stopping:
            raise ValueError("early_stopping must be False for partial_fit, got True")
        if validation_data is not None:
            self._check_validation_data(validation_data)
        first = not hasattr(self, "network_") or not (self.warm_start or incremental)
        X, y = self._validated(X, y, reset=first)
        weight = _checked_weight(sample_weight, X.shape[0])
        self._learn_classes(y, first, incremental, classes)
        rows, of_class = Rows(X, self._encoded(y), weight), self._class_weights(y)
        validation = None if validation_data is None else self._validation_rows(*validation_data)

        random = check_random_state(self.random_state)
        seed = self._draw_seed(random)
        if self.early_stopping and validation is None and not self._is("lbfgs"):
            kept, held = self._split(rows.y, random)
            validation, rows, of_class = rows[held], rows[kept], None if of_class is None else of_class[kept]
        rows = rows.weighed(of_class)
        batch_size = len(rows) if self._is("lbfgs") else self._batch_rows(len(rows))
        l2 = solvers.penalty(self.alpha, rows, batch_size)
        self._prepare(rows, seed, l2, first, incremental)
        with threads_here(self.n_threads):
            if self._is("lbfgs"):
                solvers.fit_lbfgs(self, rows)
            else:
                self._begin_record(first, validation is not None)
                epochs = 1 if incremental else self.max_iter
                solvers.fit_stochastic(self, rows, validation, batch_size, epochs=epochs, warn=not incremental)
        return self

    def _check_validation_data(self, given: Any) -> None:
        if self._is("lbfgs"):
            raise ValueError("validation_data must be None with solver='lbfgs', got some")
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            raise TypeError(f"validation_data must be (X, y) or (X, y, sample_weight), got a {type(given).__name__}")

    def _validation_rows(self, X: Any, y: Any, sample_weight: Any = None) -> Rows:
        X, y = self._validated(X, y, reset=False)
        weight = _checked_weight(sample_weight, X.shape[0])
        self._learn_classes(y, False, True, None)
        return Rows(X, self._encoded(y), weight)

    def _split(self, targets: np.ndarray, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the rows to train on, and of those that early_stopping looks at."""
        numbers_of_rows = np.arange(len(targets))
        strata = self._strata(targets)
        share = dict(test_size=self.validation_fraction, random_state=random)
        kept, held = train_test_split(numbers_of_rows, stratify=strata, **share)
        if len(held) < 2:
            got = f"{self.validation_fraction!r} of {len(targets)} rows"
            raise ValueError(f"validation_fraction must leave at least 2 rows for validation, got {got}")
        return kept, held

    def _batch_rows(self, rows: int) -> int:
        if self.batch_size == "auto":
            return min(200, rows)
        if self.batch_size > rows:
            warnings.warn(f"batch_size is {self.batch_size}, but there are only {rows} rows", stacklevel=4)
        return min(self.batch_size, rows)

    def _prepare(self, rows: Rows, seed: int, l2: float, first: bool, incremental: bool) -> None:
        """Have a network to train: a new one, one with the weights of the last, or the last."""
        if incremental and not first:
            for layer in self._dense_layers():
                if layer.layer.l2 != l2:
                    layer._replace(l2=l2)
            return
        outputs = self._outputs_for(rows.y)
        net = self._new_network(seed, rows.x.shape[1], outputs, rows.x.dtype, l2)
        if first:
            self.n_layers_, self.n_outputs_ = len(self._hidden()) + 2, outputs
            link = "linear" if net.loss.link is None else net.loss.link.name
            self.out_activation_ = _SKLEARN_NAMES.get(link, link)
            self.n_iter_ = self.t_ = 0
            self._best_params = net.params.copy()
        else:
            shapes = [weight.shape for weight in self.coefs_]
            wanted = [layer.weight.shape for layer in net.layers if isinstance(layer.layer, Dense)]
            if shapes != wanted:
                raise ValueError(f"hidden_layer_sizes must be as before with warm_start: {wanted} weights, had {shapes}")
            net.params, net.epochs_trained = self.network_.params, self.network_.epochs_trained
        self.network_ = net

    def _begin_record(self, first: bool, validates: bool) -> None:
        """Empty what is recorded epoch by epoch; with warm_start and partial_fit, go on with it."""
        self.n_iter_ = 0
        if first or not hasattr(self, "loss_curve_"):
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            self.best_loss_: float | None = None
            self.validation_scores_ = self.validation_loss_curve_ = self.best_validation_score_ = None
        if self.early_stopping:
            self.best_loss_ = None
        elif self.best_loss_ is None:
            self.best_loss_ = math.inf
        if validates and self.validation_scores_ is None:
            self.validation_scores_, self.validation_loss_curve_ = [], []
            self.best_validation_score_ = -math.inf

    # --- inference ---

    def _infer(self, program: str, X: Any) -> np.ndarray:
        """What the network's method of that name gives (rows, outputs)."""
        check_is_fitted(self)
        net = self.network_
        X = validate_data(self, X, accept_sparse="csr", dtype=net.dtype, reset=False)
        with threads_here(self.n_threads):
            if not sparse.issparse(X):
                return getattr(net, program)(X)
            return np.concatenate([getattr(net, program)(piece) for piece in solvers.dense_pieces(X)])


def _validated(model: _MLP, X: Any, y: Any, reset: bool, y_numeric: bool = False) -> tuple[Any, Any]:
    """X and y as arrays, or CSR where they are sparse, checked as scikit-learn does."""
    dtype = model._dtype() or (np.float64, np.float32)  # float32 stays, the others become float64
    if not reset:
        dtype = model.network_.dtype
    checks = dict(accept_sparse="csr", dtype=dtype, multi_output=True, y_numeric=y_numeric, reset=reset)
    X, y = validate_data(model, X, y, **checks)
    return X, (column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y)


def _checked_weight(sample_weight: Any, rows: int) -> np.ndarray | None:
    weight = check_weights(sample_weight, rows)
    if weight is None:
        return None
    weight = convert_weights(weight, np.dtype(np.float64))
    if not weight.any():
        raise ValueError("sample_weight must not be zero for all rows")
    return weight


@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, _MLP):
    """scikit-learn's classifier of this name, with a network of fastbp's.

    Arguments that scikit-learn's has, with the same defaults and meaning:
        hidden_layer_sizes: units of each hidden layer, or one number for one layer.
        activation: of the hidden layers: "identity", "logistic", "tanh", "relu"; any other of fastbp.activations;
            or a sequence with one for each hidden layer.
        solver: "adam", "sgd", "lbfgs"; an optimizer such as fastbp.AdamW(1e-3); or the name of one in lower case, which
            gets learning_rate_init and, for the rest, its own defaults.
        alpha: factor, 0 or more, of ½ ‖weights‖² / rows of the batch in the loss; biases don't count.
        batch_size: rows in a step; "auto" is 200, or all if they are fewer. lbfgs takes all.
        learning_rate: of sgd: "constant"; "invscaling": learning_rate_init / (rows seen + 1)^power_t, changed after
            each iteration; "adaptive": divided by 5 where training would stop, and not below 1e-6.
        learning_rate_init, power_t: see learning_rate.
        max_iter: the most iterations: epochs, or steps of lbfgs.
        shuffle: whether each epoch takes the rows in another order.
        random_state: an integer makes results reproducible, bit for bit on any number of threads; the bits are not
            scikit-learn's.
        tol, n_iter_no_change: training stops when more than n_iter_no_change iterations have not made the loss (with
            early_stopping: the score) better than the best by tol; lbfgs, when the gradient is within ±tol.
        verbose: whether a line is printed for each iteration.
        warm_start: whether fit goes on from the weights that there are.
        momentum, nesterovs_momentum: of sgd.
        early_stopping, validation_fraction: whether a score decides when to stop and which weights are kept, and the
            share of the rows, of each class where possible, that is held back for it.
        beta_1, beta_2, epsilon: of adam.
        max_fun: how often lbfgs may compute the loss.

    Arguments of fastbp's own:
        loss: "log_loss" or "hinge"; fastbp.CrossEntropy(label_smoothing) for a smoothed "log_loss".
        class_weight: factors for the rows of a class in training: a mapping from label to weight, "balanced", or for
            several labels a row a list of mappings.
        dropout: share, less than 1, of the hidden layers' outputs that each step leaves out; or one for each layer.
        dtype: "float32" or "float64"; None: that of X, float32 only if X is. "float32" is about twice as fast.
        n_threads: the most threads that fit and predict use; None: see fastbp.set_num_threads.
        callbacks: objects with hooks (see fastbp.callbacks), which get `network_`.

    Fitted attributes: those of scikit-learn's, where coefs_ and intercepts_ are live views; network_, a Network; and
    validation_loss_curve_, the loss of the validation rows after each iteration, if there are any.

    Weights of rows count relative to their mean over all rows, where scikit-learn takes the mean over each batch.
    """

    loss: str | Loss = field(default="log_loss", kw_only=True)
    class_weight: Any = field(default=None, kw_only=True)

    _peer = neural_network.MLPClassifier

    @available_if(_is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> MLPClassifier:
        """One epoch over these rows.

        classes: all classes that there will be, for the first call; other arguments and errors as for fit.
        """
        return self._fit(X, y, sample_weight, incremental=True, classes=classes)

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each row (rows,); or 0 and 1 for each label (rows, labels)."""
        answers = self._answers(self._infer("predict", X))
        if self._label_binarizer.y_type_ == "multiclass":
            return self.classes_[answers]
        return self._label_binarizer.inverse_transform(answers)

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class (rows, classes), in the order of classes_; of each label (rows, labels)."""
        p = self._infer("predict", X)
        return np.hstack([1 - p, p]) if self.n_outputs_ == 1 else p

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of predict_proba, finite where a probability is too small for its dtype."""
        z = self._infer("forward", X)
        if self._label_binarizer.y_type_ == "multiclass":
            return log_softmax(z, axis=1)
        return np.hstack([log_expit(-z), log_expit(z)]) if self.n_outputs_ == 1 else log_expit(z)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _more_tags(self) -> dict[str, Any]:  # scikit-learn before 1.6
        return {"multilabel": True}

    def _is_hinge(self) -> bool:
        return isinstance(self.loss, Hinge) or (isinstance(self.loss, str) and self.loss == "hinge")

    def _check_loss(self) -> None:
        if not isinstance(self.loss, (CrossEntropy, BinaryCrossEntropy, Hinge)):
            check_choice("loss", self.loss, ("log_loss", "hinge"))

    def _network_loss(self) -> Loss:
        if self._is_hinge():
            return Hinge()
        smoothing = getattr(self.loss, "label_smoothing", 0.0)
        several = self._label_binarizer.y_type_ == "multiclass"
        return CrossEntropy(smoothing) if several else BinaryCrossEntropy(smoothing)

    def _loss_for_sklearn(self) -> dict[str, Any]:
        if self._is_hinge():
            raise ValueError("loss must be 'log_loss' for scikit-learn, got 'hinge'")
        return {}

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        return _validated(self, X, y, reset)

    def _learn_classes(self, y: Any, first: bool, incremental: bool, classes: Any) -> None:
        check_classification_targets(y)
        if first:
            if incremental and classes is None:
                raise ValueError("classes must be given in the first call of partial_fit")
            several_labels = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(classes if incremental and not several_labels else y)
            self.classes_ = self._label_binarizer.classes_
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(f"classes must be what they were in the first call, {self.classes_}, got {classes}")
        found = unique_labels(y)
        if len(np.setdiff1d(found, self.classes_)):
            raise ValueError(f"y must hold classes that are known, {self.classes_}, got {found}")
        if not first and not incremental and len(found) != len(self.classes_):
            raise ValueError(f"y must hold the classes of the last fit with warm_start, {self.classes_}, got {found}")

    def _encoded(self, y: Any) -> np.ndarray:
        if self._label_binarizer.y_type_ == "multiclass" and not self._is_hinge():
            return np.searchsorted(self.classes_, y)
        return self._label_binarizer.transform(y)

    def _outputs_for(self, targets: np.ndarray) -> int:
        return len(self.classes_) if targets.ndim == 1 else targets.shape[1]

    def _class_weights(self, y: Any) -> np.ndarray | None:
        return None if self.class_weight is None else compute_sample_weight(self.class_weight, y)

    def _strata(self, targets: np.ndarray) -> np.ndarray | None:
        labels = targets.argmax(axis=1) if targets.ndim == 2 and self._label_binarizer.y_type_ == "multiclass" else targets
        if labels.ndim == 2 and labels.shape[1] > 1:
            return None
        labels = labels.reshape(-1)
        _, counts = np.unique(labels, return_counts=True)
        held = math.ceil(self.validation_fraction * len(labels))
        fits = counts.min() > 1 and len(counts) <= min(held, len(labels) - held)
        return labels if fits else None

    def _answers(self, outputs: np.ndarray) -> np.ndarray:
        """What outputs of the network, or targets, mean: labels (rows,) of several classes, else 0 and 1 (rows, outputs)."""
        if self._label_binarizer.y_type_ == "multiclass":
            return outputs.argmax(axis=1)
        return (outputs > (0.0 if self._is_hinge() else 0.5)).astype(np.int64)

    def _metric(self) -> Callable[..., float]:
        def score(y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
            right = self._answers(y_pred) == (y_true if y_true.ndim == 1 else self._answers(y_true))
            return float(np.average(right if right.ndim == 1 else right.all(axis=1), weights=sample_weight))

        return score


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, _MLP):
    """scikit-learn's regressor of this name, with a network of fastbp's.

    Arguments as for MLPClassifier, without class_weight, and:
        loss: "squared_error", "poisson" (deviance; predictions are exp of the outputs, y is 0 or more); also any other
            of fastbp.losses for real targets, such as "mae" or fastbp.Huber(1.0).

    The gradient is that of the squared errors' sum over outputs, the reported loss their mean, as in scikit-learn.
    """

    _peer = neural_network.MLPRegressor

    @available_if(_is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """One epoch over these rows. Arguments and errors as for fit."""
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> np.ndarray:
        """The predictions (rows,), or (rows, outputs) for several targets."""
        outputs = self._infer("predict", X)
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _more_tags(self) -> dict[str, Any]:  # scikit-learn before 1.6
        return {"multioutput": True}

    def _check_loss(self) -> None:
        known = [name for name, loss in losses.LOSSES.items() if "labels" not in loss.kernels]
        if not isinstance(self.loss, Loss):
            check_choice("loss", self.loss, known)
        elif "labels" in self.loss.kernels:
            raise ValueError(f"loss must be one for real targets, such as {known}, got {self.loss!r}")

    def _network_loss(self) -> Loss:
        return losses.get(self.loss)

    def _loss_for_sklearn(self) -> dict[str, Any]:
        if self.out_activation_ == "identity":
            wanted = "squared_error"
        elif self.out_activation_ == "exp":
            wanted = "poisson"
        else:
            raise ValueError(f"loss must be one whose outputs scikit-learn has, got {self.loss!r}")
        if "loss" in inspect.signature(self._peer).parameters:
            return {"loss": wanted}
        if wanted != "squared_error":  # before 1.7
            raise ValueError(f"loss must be 'squared_error' for this version of scikit-learn, got {self.loss!r}")
        return {}

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        return _validated(self, X, y, reset, y_numeric=True)

    def _encoded(self, y: Any) -> np.ndarray:
        return y.reshape(len(y), -1)

    def _outputs_for(self, targets: np.ndarray) -> int:
        return targets.shape[1]

    def _metric(self) -> Callable[..., float]:
        def score(y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
            return float(r2_score(y_true, y_pred, sample_weight=sample_weight))

        return score
