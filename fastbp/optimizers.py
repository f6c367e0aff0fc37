"""The optimizers, as small declarative objects; their arithmetic is in kernels/updates.py."""

from __future__ import annotations

from dataclasses import dataclass

from ._jit import Kernel
from .errors import check_bool, check_choice, check_number
from .kernels import updates as kernels


def _check_rate(rate: float) -> float:
    return check_number("learning_rate", rate, low=0, open_low=True)


def _check_fraction(name: str, value: float) -> float:
    """A decay factor: 0 or more, less than 1."""
    number = check_number(name, value, low=0)
    if number >= 1:
        raise ValueError(f"{name} must be at least 0 and less than 1, got {value!r}")
    return number


@dataclass(frozen=True)
class Optimizer:
    """What all optimizers have.

    begin      kernel that counts the step and computes what depends on its number
    update     kernel with the fields w, the state's names, dw, scalars, width
    state      names of the buffers that it keeps, each as large as the parameters
    constants  what the kernels find in `scalars` behind the step count
    """

    learning_rate: float

    def _store(self, **checked: float | bool) -> None:
        """Put the checked values, as Python's own types, in place of what was given."""
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def begin(self) -> Kernel:
        return kernels.count_step

    @property
    def update(self) -> Kernel:
        raise TypeError(f"{type(self).__name__} is no optimizer of its own")

    @property
    def state(self) -> tuple[str, ...]:
        return ()

    @property
    def constants(self) -> tuple[float, ...]:
        return (self.learning_rate,)


@dataclass(frozen=True)
class SGD(Optimizer):
    """(Stochastic) gradient descent, with momentum and Nesterov's variant.

        g = ∂E/∂w + λ w;   v ← μ v + g;   w ← w - η v,   or   w ← w - η (g + μ v) with nesterov

    Arguments:
        learning_rate: η, greater than 0.
        momentum: μ, 0 ≤ μ < 1; 0 is plain gradient descent and keeps no v.
        nesterov: Nesterov's variant; needs a momentum.
        weight_decay: λ, 0 or more.

    Raises TypeError or ValueError for other values.
    Source: Sutskever et al. 2013, in PyTorch's form: η outside v, λ coupled, no dampening.
    """

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self._store(
            learning_rate=_check_rate(self.learning_rate),
            momentum=_check_fraction("momentum", self.momentum),
            nesterov=check_bool("nesterov", self.nesterov),
            weight_decay=check_number("weight_decay", self.weight_decay, low=0),
        )
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov must be False unless momentum is greater than 0, got True with momentum 0")

    @property
    def update(self) -> Kernel:
        return kernels.momentum_update if self.momentum else kernels.sgd_update

    @property
    def state(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    @property
    def constants(self) -> tuple[float, ...]:
        return self.learning_rate, self.momentum, self.weight_decay, float(self.nesterov)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam: steps by the running mean of the gradient over the root of that of its square.

        m ← β₁ m + (1 - β₁) g;   v ← β₂ v + (1 - β₂) g²
        w ← w - η / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε)

    Arguments:
        learning_rate: η, greater than 0.
        beta1, beta2: β₁, β₂, 0 ≤ β < 1.
        epsilon: ε, greater than 0, outside the root.

    Raises TypeError or ValueError for other values.
    Source: Kingma & Ba 2015, algorithm 1, with ε where PyTorch has it (their section 2, last paragraph, has it
    scaled by the bias correction).
    """

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        self._store(
            learning_rate=_check_rate(self.learning_rate),
            beta1=_check_fraction("beta1", self.beta1),
            beta2=_check_fraction("beta2", self.beta2),
            epsilon=check_number("epsilon", self.epsilon, low=0, open_low=True),
        )

    @property
    def begin(self) -> Kernel:
        return kernels.adam_count_step

    @property
    def update(self) -> Kernel:
        return kernels.adam_update

    @property
    def state(self) -> tuple[str, ...]:
        return "m", "v"

    @property
    def constants(self) -> tuple[float, ...]:
        return self.learning_rate, self.beta1, self.beta2, self.epsilon, 0.0, 0.0


OPTIMIZERS: dict[str, type[Optimizer]] = {"SGD": SGD, "Adam": Adam}


def get(optimizer: Optimizer | str | None) -> Optimizer:
    """The optimizer; a name ("adam", "sgd") means its default settings (sgd: learning rate 0.01), None Adam(1e-3).

    Raises TypeError if it is neither an optimizer nor a name, ValueError if the name is unknown.
    """
    if optimizer is None:
        return Adam()
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str):
        return check_choice("optimizer", optimizer.lower(), {"adam": Adam(), "sgd": SGD(0.01)})
    raise TypeError(f"optimizer must be an optimizer such as Adam(1e-3), or a name, got {optimizer!r}")
