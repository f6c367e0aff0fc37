"""The losses, as small declarative objects that name their kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from . import activations
from ._jit import Kernel
from .activations import ActivationFunction
from .errors import brief, check_choice, check_number, check_object
from .kernels import losses as kernels
from .parts import Part


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

    def __repr__(self) -> str:
        return repr(self.name) if self == LOSSES.get(self.name) else super().__repr__()

    @property
    def kernels(self) -> Mapping[str, Kernel]:
        """A kernel for each kind of target: "values", "probabilities" (rows, outputs), "labels" (rows,)."""
        return {"values": self.kernel}

    @property
    def record(self) -> dict[str, float]:
        """What the kernels' records hold behind what all losses' do."""
        return {}

    def check(self, outputs: int) -> None:
        """Raise ValueError if a network with so many outputs can't have this loss."""

    def check_values(self, values: np.ndarray, name: str) -> None:
        """Raise ValueError for targets (rows, outputs) that are within `range`, but not what they must be."""


@dataclass(frozen=True, repr=False)
class MSE(Loss):
    """Mean squared error: the mean over rows and outputs of (y - t)²."""

    name = "mse"
    kernel = kernels.mse_loss


@dataclass(frozen=True, repr=False)
class SquaredError(Loss):
    """½ Σ over outputs of (t - y)², the mean over rows: the error of classical backpropagation."""

    name = "squared_error"
    kernel = kernels.squared_error_loss


@dataclass(frozen=True, repr=False)
class MAE(Loss):
    """Mean absolute error: the mean over rows and outputs of |y - t|; its derivative counts as 0 where y = t."""

    name = "mae"
    kernel = kernels.mae_loss


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
    def record(self) -> dict[str, float]:
        return {"delta": self.delta}


def _check_smoothing(value: Any) -> float:
    smoothing = check_number("label_smoothing", value, low=0)
    if smoothing >= 1:
        raise ValueError(f"label_smoothing must be at least 0 and less than 1, got {value!r}")
    return smoothing


def _check_sums(values: np.ndarray, name: str, loss: str) -> None:
    """Raise ValueError if a row is not of probabilities; a hundredth is left to rounding, in float16 say."""
    sums = values.sum(axis=1, dtype=np.float64)
    bad = np.abs(sums - 1) > 0.01
    if bad.any():
        got = f"got a row whose sum is {sums[bad][0]:g}"
        raise ValueError(f"{name} must hold probabilities for {loss}, which sum to 1 in each row, {got}")


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
        self._store(label_smoothing=_check_smoothing(self.label_smoothing))

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
    def record(self) -> dict[str, float]:
        return {"smoothing": self.label_smoothing}


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
        self._store(label_smoothing=_check_smoothing(self.label_smoothing))

    @property
    def record(self) -> dict[str, float]:
        return {"smoothing": self.label_smoothing}


@dataclass(frozen=True, repr=False)
class Poisson(Loss):
    """exp(y) - t y, the mean over rows and outputs: counts t ≥ 0 of the rate exp(y), without the term log t!."""

    name, link, range = "poisson", activations.exponential, (0.0, np.inf)
    kernel = kernels.poisson_loss


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
    def record(self) -> dict[str, float]:
        return {"least": 1e-7}


_KINDS: tuple[Any, ...] = (
    MSE,
    SquaredError,
    MAE,
    Huber,
    CrossEntropy,
    BinaryCrossEntropy,
    Poisson,
    Hinge,
    KLDivergence,
)
LOSS_CLASSES: dict[str, type[Loss]] = {kind.__name__: kind for kind in _KINDS}
LOSSES: dict[str, Loss] = {kind.name: kind() for kind in _KINDS}


def get(loss: str | Loss) -> Loss:
    """The loss of that name.

    Raises TypeError if it is neither a name nor a loss, ValueError if the name is unknown.
    """
    check_object("loss", loss, Loss)
    if callable(loss) and not isinstance(loss, type):
        raise TypeError(f"loss must be fb.CustomLoss(f, derivative) for a function of your own, got {brief(loss)}")
    return loss if isinstance(loss, Loss) else check_choice("loss", loss, LOSSES)
