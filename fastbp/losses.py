"""The losses, as small declarative objects that name their kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from . import activations
from ._names import shown
from .activations import ActivationFunction
from .errors import brief, check_choice, check_number, check_object, check_share
from .kernels import losses as kernels
from .parts import Part, Registry
from .runtime.functions import Kernel


@dataclass(frozen=True, repr=False)
class Loss(Part):
    """A loss, the mean over the rows of a batch.

    name      the word for it
    link      the inverse link: the activation that `predict` puts on the outputs. As the activation of the
              last layer it is part of the loss, and is not applied twice.
    accuracy  whether right answers are counted
    range     what targets must be within
    kernel    what it runs, where targets can be of one kind only
    """

    name: ClassVar[str]
    link: ClassVar[ActivationFunction | None] = None
    accuracy: ClassVar[bool] = False
    range: ClassVar[tuple[float, float]] = (-np.inf, np.inf)
    kernel: ClassVar[Kernel]

    @property
    def shares_target(self) -> bool:
        """Whether targets (rows,) are those of each of several outputs."""
        return False

    def __repr__(self) -> str:
        return repr(self.name) if self == LOSSES.get(self.name) else super().__repr__()

    @property
    def kernels(self) -> Mapping[str, Kernel]:
        """A kernel for each kind of target: "values", "probabilities" (rows, outputs), "labels" (rows,)."""
        return {"values": self.kernel}

    @property
    def record(self) -> dict[str, Any]:
        """What the kernels' records hold behind what all losses' do; see program.records.Field."""
        return {}

    def check(self, outputs: int) -> None:
        """Raise ValueError if a network with so many outputs can't have this loss."""

    def targets(self, outputs: int) -> int:
        """How many numbers a row of "values" or "probabilities" has, for a network with so many outputs."""
        return outputs

    def outputs(self, targets: int) -> int:
        """How many outputs a network needs, for so many targets a row."""
        return targets

    def point(self, predictions: np.ndarray) -> np.ndarray:
        """The part (rows, targets) of predictions (rows, outputs) that stands for the targets: what metrics get."""
        return predictions

    def check_values(self, values: np.ndarray, name: str) -> None:
        """Raise ValueError for targets (rows, outputs) that are within `range`, but not what they must be."""


LOSS_CLASSES: Registry[Loss] = Registry()


@LOSS_CLASSES.register
@dataclass(frozen=True, repr=False)
class MSE(Loss):
    """Mean squared error: the mean over rows and outputs of (y - t)²."""

    name = "mse"
    kernel = kernels.mse_loss


@LOSS_CLASSES.register
@dataclass(frozen=True, repr=False)
class SquaredError(Loss):
    """½ Σ over outputs of (t - y)², the mean over rows: the error of classical backpropagation."""

    name = "squared_error"
    kernel = kernels.squared_error_loss


@LOSS_CLASSES.register
@dataclass(frozen=True, repr=False)
class MAE(Loss):
    """Mean absolute error: the mean over rows and outputs of |y - t|; its derivative counts as 0 where y = t."""

    name = "mae"
    kernel = kernels.mae_loss


@LOSS_CLASSES.register
@dataclass(frozen=True, repr=False)
class Huber(Loss):
    """The mean over rows and outputs of ½ e² where |e| ≤ δ, else δ (|e| - ½ δ), for e = y - t.

    Arguments:
        delta: δ, greater than 0.

    Raises TypeError or ValueError for anything else. Source: Huber 1964.
    """

    delta: float = 1.0
    name = "huber"
    kernel = kernels.huber_loss

    def __post_init__(self) -> None:
        self._store(delta=check_number("delta", self.delta, low=0, open_low=True))

    @property
    def record(self) -> dict[str, Any]:
        return {"delta": self.delta}


def _check_quantile(value: Any) -> float:
    q = check_number("q", value)
    if not 0 < q < 1:
        raise ValueError(f"q must be greater than 0 and less than 1, got {value!r}")
    return q


@LOSS_CLASSES.register
@dataclass(frozen=True, repr=False)
class Quantile(Loss):
    """The mean over rows and outputs of q e where e ≥ 0, else (q - 1) e, for e = t - y: the pinball loss.

    Its minimum is where y is the quantile q of the targets: above a share q of them. Its derivative counts as 0 where
    y = t.

    Arguments:
        q: greater than 0 and less than 1, for all outputs; or a list of one for each output. With a list, targets may
            have the shape (rows,) or (rows, 1): each output is then another quantile of the same target.

    Raises TypeError or ValueError for anything else. Source: Koenker & Bassett 1978.
    """

    q: float | Sequence[float] = 0.5
    name = "quantile"
    kernel = kernels.quantile_loss

    def __post_init__(self) -> None:
        one = isinstance(self.q, str) or getattr(self.q, "ndim", 1) == 0
        if one or not isinstance(self.q, (Sequence, np.ndarray)):
            self._store(q=_check_quantile(self.q))
            return
        if len(self.q) == 0:
            raise ValueError("q must hold at least one quantile, got none")
        self._store(q=tuple(_check_quantile(q) for q in self.q))

    @property
    def _quantiles(self) -> tuple[float, ...]:
        return self.q if isinstance(self.q, tuple) else (self.q,)  # type: ignore[return-value]

    @property
    def shares_target(self) -> bool:
        return isinstance(self.q, tuple)

    @property
    def record(self) -> dict[str, Any]:
        return {"quantiles": self._quantiles, "count": len(self._quantiles)}

    def check(self, outputs: int) -> None:
        if isinstance(self.q, tuple) and len(self.q) != outputs:
            raise ValueError(f"loss must have one q for each output of the network, which has {outputs}, got {self!r}")

    def outputs(self, targets: int) -> int:
        if not isinstance(self.q, tuple):
            return targets
        if targets not in (1, len(self.q)):
            raise ValueError(f"loss must have one q for each target of a row, which are {targets}, got {self!r}")
        return len(self.q)


@LOSS_CLASSES.register
@dataclass(frozen=True, repr=False)
class GaussianNLL(Loss):
    """½ (log v + (t - μ)² / v), the mean over rows and targets: the negative log likelihood of t, less ½ log 2π, where
    the network gives the mean μ and the variance v of a normal distribution.

    A network has two outputs for each target: first the means of all targets, and behind them the logarithms of their
    variances. `predict` gives the means and, behind them, the variances. Metrics compare the targets with the means.

    Arguments:
        epsilon: greater than 0: in the loss, a smaller variance counts as this one, which then gets the gradient that
            it would have in full.

    Targets have the shape (rows, targets), or (rows,) where the network has 2 outputs.
    Raises TypeError or ValueError for anything else. Source: Nix & Weigend 1994; PyTorch, GaussianNLLLoss, with
    var = exp of the second half of the outputs.
    """

    epsilon: float = 1e-6
    name, link = "gaussian_nll", activations.mean_variance
    kernel = kernels.gaussian_nll_loss

    def __post_init__(self) -> None:
        self._store(epsilon=check_number("epsilon", self.epsilon, low=0, open_low=True))

    @property
    def record(self) -> dict[str, Any]:
        return {"least": math.log(self.epsilon)}

    def check(self, outputs: int) -> None:
        if outputs % 2:
            what = "a mean and the logarithm of a variance for each target"
            raise ValueError(
                f"loss 'gaussian_nll' needs a network with an even number of outputs, {what}, got {outputs}"
            )

    def targets(self, outputs: int) -> int:
        return outputs // 2

    def outputs(self, targets: int) -> int:
        return 2 * targets

    def point(self, predictions: np.ndarray) -> np.ndarray:
        flat = predictions.reshape(len(predictions), -1)
        return flat[:, : flat.shape[1] // 2]


def _check_sums(values: np.ndarray, name: str, loss: str) -> None:
    """Raise ValueError if a row is not of probabilities; a hundredth is left to rounding, in float16 say."""
    sums = values.sum(axis=1, dtype=np.float64)
    bad = np.abs(sums - 1) > 0.01
    if bad.any():
        got = f"got a row whose sum is {sums[bad][0]:g}"
        raise ValueError(f"{name} must hold probabilities for {loss}, which sum to 1 in each row, {got}")


@LOSS_CLASSES.register
@dataclass(frozen=True, repr=False)
class CrossEntropy(Loss):
    """-Σ t log p, where p = softmax(y), the mean over rows; for targets that are labels or probabilities.

    Arguments:
        label_smoothing: s, 0 ≤ s < 1: (1 - s) t + s / outputs stands for t. Source: Szegedy et al. 2016, section 7.

    Raises TypeError or ValueError for anything else.
    """

    label_smoothing: float = 0.0
    name, link, accuracy, range = "cross_entropy", activations.softmax, True, (0.0, 1.0)

    def __post_init__(self) -> None:
        self._store(label_smoothing=check_share("label_smoothing", self.label_smoothing))

    def check(self, outputs: int) -> None:
        if outputs < 2:
            raise ValueError(
                "loss must not be 'cross_entropy' for a network with 1 output: use 'binary_cross_entropy', or 2 outputs"
            )

    def check_values(self, values: np.ndarray, name: str) -> None:
        _check_sums(values, name, self.name)

    @property
    def kernels(self) -> Mapping[str, Kernel]:
        of_labels = kernels.cross_entropy_smoothed_loss if self.label_smoothing else kernels.cross_entropy_labels_loss
        return {"labels": of_labels, "probabilities": kernels.cross_entropy_probabilities_loss}

    @property
    def record(self) -> dict[str, Any]:
        return {"smoothing": self.label_smoothing}


@LOSS_CLASSES.register
@dataclass(frozen=True, repr=False)
class BinaryCrossEntropy(Loss):
    """-t log p - (1 - t) log(1 - p), where p = sigmoid(y), the mean over rows and outputs; t is 0 to 1.

    Arguments:
        label_smoothing: s, 0 ≤ s < 1: (1 - s) t + s / 2 stands for t.

    Raises TypeError or ValueError for anything else.
    """

    label_smoothing: float = 0.0
    name, link, accuracy, range = "binary_cross_entropy", activations.sigmoid, True, (0.0, 1.0)
    kernel = kernels.binary_cross_entropy_loss

    def __post_init__(self) -> None:
        self._store(label_smoothing=check_share("label_smoothing", self.label_smoothing))

    @property
    def record(self) -> dict[str, Any]:
        return {"smoothing": self.label_smoothing}


@LOSS_CLASSES.register
@dataclass(frozen=True, repr=False)
class Poisson(Loss):
    """exp(y) - t y, the mean over rows and outputs: counts t ≥ 0 of the rate exp(y), without the term log t!."""

    name, link, range = "poisson", activations.exponential, (0.0, np.inf)
    kernel = kernels.poisson_loss


@LOSS_CLASSES.register
@dataclass(frozen=True, repr=False)
class Hinge(Loss):
    """max(0, 1 - t y), the mean over rows and outputs, for t = -1 or 1; targets 0 and 1 mean those too."""

    name, accuracy, range = "hinge", True, (-1.0, 1.0)
    kernel = kernels.hinge_loss

    def check_values(self, values: np.ndarray, name: str) -> None:
        low = -1 if (values < 0).any() else 0
        bad = (values != 1) & (values != low)
        if bad.any():
            raise ValueError(f"{name} must hold -1 and 1, or 0 and 1, for hinge, got {values[bad][0]:g}")


@LOSS_CLASSES.register
@dataclass(frozen=True, repr=False)
class KLDivergence(Loss):
    """Σ t (log t - log y) over outputs, the mean over rows, for probabilities t and y (end with a softmax).

    Both count as 10⁻⁷ where they are less.
    """

    name, range = "kl_divergence", (0.0, 1.0)
    kernel = kernels.kl_divergence_loss

    def check_values(self, values: np.ndarray, name: str) -> None:
        _check_sums(values, name, self.name)

    @property
    def record(self) -> dict[str, Any]:
        return {"least": 1e-7}


LOSSES: dict[str, Loss] = {kind.name: kind() for kind in LOSS_CLASSES.values()}


def get(loss: str | Loss) -> Loss:
    """The loss of that name.

    Raises TypeError if it is neither a name nor a loss, ValueError if the name is unknown.
    """
    check_object("loss", loss, Loss)
    if callable(loss) and not isinstance(loss, type):
        raise TypeError(f"loss must be fb.CustomLoss(f, derivative) for a function of your own, got {brief(loss)}")
    return loss if isinstance(loss, Loss) else check_choice("loss", loss, LOSSES)


__all__ = ["LOSSES", "Loss", "get", *LOSS_CLASSES]
__dir__ = shown(__all__)
