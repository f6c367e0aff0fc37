"""The settings of scikit-learn's MLPs and those of fastbp's own: checked, and the networks that they describe."""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from .. import activations
from ..activations import ActivationFunction
from ..errors import brief, check_bool, check_choice, check_integer, check_number, check_object, check_share
from ..initializers import Uniform
from ..layers import Dense, Dropout, Layer
from ..losses import Loss
from ..network import Network
from ..optimizers import OPTIMIZERS, SGD, Adam, Optimizer
from ..runtime.functions import DTYPES

_ACTIVATIONS = activations.NAMED | {"identity": activations.linear, "logistic": activations.sigmoid}
_OPTIMIZERS: dict[str, Any] = {name.lower(): kind for name, kind in OPTIMIZERS.items()}


class InvalidSettingError(ValueError, TypeError):
    """A setting is not what it must be: an error of both classes, as scikit-learn's is."""


def _in_words_of_scikit_learn(kind: str, text: str) -> str:
    """`NAME must be THIS, got THAT` as scikit-learn says it, since programs look for its words."""
    name, must, rest = text.partition(" must be ")
    wanted, got, given = rest.rpartition(", got ")
    return f"The {name!r} parameter of {kind} must be {wanted}. Got {given} instead." if must and got else text


def _for_each(name: str, value: Any, layers: int) -> list[Any]:
    """A setting for each hidden layer, from one for all or a sequence of that length."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value] * layers
    values = list(value)
    if len(values) != layers:
        raise ValueError(
            f"{name} must be one for all or one for each of the {layers} hidden layers, got {brief(value)}"
        )
    return values


@dataclass(eq=False, repr=False)
class Settings(BaseEstimator, ABC):
    """The arguments of MLPRegressor, and most of MLPClassifier's: see there."""

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

    @abstractmethod
    def _check_loss(self) -> None:
        """Raise TypeError or ValueError if `loss` is not what it must be."""

    @abstractmethod
    def _network_loss(self) -> Loss:
        """The loss that the network minimises."""

    def _check_settings(self) -> None:
        """Raise InvalidSettingError, naming the argument, for a setting that is not what it must be."""
        try:
            self._check_each_setting()
        except InvalidSettingError:
            raise
        except (TypeError, ValueError) as error:
            raise InvalidSettingError(_in_words_of_scikit_learn(type(self).__name__, str(error))) from None

    def _check_each_setting(self) -> None:
        for name in ("alpha", "power_t", "tol"):
            check_number(name, getattr(self, name), low=0)
        for name in ("learning_rate_init", "epsilon"):
            check_number(name, getattr(self, name), low=0, open_low=True)
        for name in ("validation_fraction", "beta_1", "beta_2"):
            check_share(name, getattr(self, name))
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
        check_object("solver", self.solver, Optimizer)
        if not isinstance(self.solver, Optimizer):
            check_choice("solver", self.solver, ("lbfgs", *_OPTIMIZERS))
        self._check_loss()
        self._dtype()
        dropped = any(rate for _, _, rate in self._hidden())
        if self.solver == "lbfgs" and dropped:
            raise ValueError(f"dropout must be 0 with solver='lbfgs', got {brief(self.dropout)}")
        if self.solver == "lbfgs" and self._callbacks():
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
        raise ValueError(f"dtype must be 'float32', 'float64' or None, got {brief(self.dtype)}")

    def _hidden(self) -> list[tuple[int, ActivationFunction, float]]:
        """Units, activation and dropout of each hidden layer."""
        sizes: Any = self.hidden_layer_sizes
        if isinstance(sizes, Iterable) and not isinstance(sizes, (str, bytes)) and getattr(sizes, "ndim", 1) != 0:
            sizes = list(sizes)
            if any(isinstance(units, numbers.Integral) and units <= 0 for units in sizes):
                raise InvalidSettingError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        else:
            sizes = [sizes]
        functions = _for_each("activation", self.activation, len(sizes))
        rates = _for_each("dropout", self.dropout, len(sizes))
        hidden = []
        for units, function, rate in zip(sizes, functions, rates, strict=True):
            units = check_integer("hidden_layer_sizes", units, low=1)
            check_object("activation", function, ActivationFunction)
            if not isinstance(function, ActivationFunction):
                function = check_choice("activation", function, _ACTIVATIONS)
            hidden.append((units, function, check_share("dropout", rate)))
        return hidden

    def _callbacks(self) -> tuple[Any, ...]:
        return tuple(self.callbacks) if isinstance(self.callbacks, Iterable) else (self.callbacks,)

    def _optimizer(self) -> Optimizer:
        if isinstance(self.solver, Optimizer):
            return self.solver
        rate = self.learning_rate_init
        if self.solver in ("adam", "lbfgs"):  # L-BFGS needs none
            return Adam(rate, self.beta_1, self.beta_2, self.epsilon)
        if self.solver == "sgd":
            momentum = min(self.momentum, np.nextafter(1, 0))  # scikit-learn takes 1 too
            return SGD(rate, momentum, nesterov=self.nesterovs_momentum and momentum > 0)
        return _OPTIMIZERS[self.solver](rate)

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
