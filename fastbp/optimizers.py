"""The optimizers, as small declarative objects; their arithmetic is in kernels/updates.py."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

import numpy as np

from ._names import shown
from .errors import brief, check_bool, check_choice, check_number, check_object, check_share
from .kernels import updates as kernels
from .parts import Part, Registry
from .runtime.functions import Kernel
from .schedules import Schedule, check_rate


@dataclass(frozen=True, repr=False)
class Optimizer(Part):
    """What all optimizers have.

    begin      kernel that counts the step and computes what depends on its number
    update     kernel with the fields w, names of state (0 where `state` lacks it), dw, scalars, factor, width
    state      the buffers that it keeps, each as large as the parameters: names, and what they begin with
    constants  what the kernels find in `scalars` behind the step count and the rate

    Arguments of all:
        learning_rate: η, greater than 0, or a schedule.
        clip_value: gradients are cut to ± this, greater than 0.
        clip_norm: then all gradients are scaled so that their common 2-norm is at most this, greater than 0.
        gradient_noise: then normal noise of variance gradient_noise / (1 + t)^0.55 is added to them, in the step behind
            t others; 0 for none. Source: Neelakantan et al. 2015, who take 0.01 to 1.
    """

    learning_rate: float | Schedule
    _: KW_ONLY
    clip_norm: float | None = None
    clip_value: float | None = None
    gradient_noise: float = 0.0

    def __post_init__(self) -> None:
        """Put checked arguments, as Python's own types, in place of what was given."""
        for field in fields(self):
            self._store(**{field.name: _CHECKS[field.name](field.name, getattr(self, field.name))})

    @property
    def begin(self) -> Kernel:
        return kernels.count_step

    @property
    def update(self) -> Kernel:
        raise TypeError(f"{type(self).__name__} is no optimizer of its own")

    @property
    def state(self) -> dict[str, float]:
        return {}

    @property
    def constants(self) -> tuple[float, ...]:
        return ()

    @property
    def rate_parts(self) -> tuple[tuple[Kernel, tuple[float, ...], dict[str, int]], ...]:
        """What sets the learning rate before each step, as Schedule.parts; nothing for a constant rate."""
        return self.learning_rate.parts if isinstance(self.learning_rate, Schedule) else ()

    @property
    def initial_rate(self) -> float:
        """The learning rate of the first step."""
        return self.learning_rate(0) if isinstance(self.learning_rate, Schedule) else self.learning_rate


OPTIMIZERS: Registry[Optimizer] = Registry()


def _rate(name: str, value: Any) -> float | Schedule:
    if isinstance(value, Schedule):
        return value
    if not isinstance(value, (bool, str)) and callable(value):
        raise TypeError(
            f"{name} must be a number or a schedule such as CosineDecay(0.1, steps=1000), got {brief(value)}"
        )
    return check_rate(name, value)


def _not_negative(name: str, value: Any) -> float:
    return check_number(name, value, low=0)


def _positive(name: str, value: Any) -> float:
    return check_number(name, value, low=0, open_low=True)


def _positive_or_none(name: str, value: Any) -> float | None:
    return None if value is None else _positive(name, value)


_CHECKS = {
    "learning_rate": _rate,
    **dict.fromkeys(("clip_norm", "clip_value"), _positive_or_none),
    **dict.fromkeys(("momentum", "beta1", "beta2", "rho"), check_share),
    **dict.fromkeys(("weight_decay", "rate_decay", "momentum_decay", "gradient_noise"), _not_negative),
    **dict.fromkeys(("epsilon", "shrink", "grow", "min_step", "max_step"), _positive),
    **dict.fromkeys(("nesterov", "centered"), check_bool),
}


@OPTIMIZERS.register
@dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """(Stochastic) gradient descent, with momentum and Nesterov's variant.

        g = ∂E/∂w + λ w;   v ← μ v + g;   w ← w - η v,   or   w ← w - η (g + μ v) with nesterov

    Arguments:
        learning_rate: η, greater than 0, or a schedule.
        momentum: μ, 0 ≤ μ < 1; 0 is plain gradient descent and keeps no v.
        nesterov: Nesterov's variant; needs a momentum.
        weight_decay: λ, 0 or more.
        clip_norm, clip_value, gradient_noise: see Optimizer.

    Raises TypeError or ValueError for other values.
    Source: Sutskever et al. 2013, in PyTorch's form: η outside v, λ coupled, no dampening.
    """

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov must be False unless momentum is greater than 0, got True with momentum 0")

    @property
    def update(self) -> Kernel:
        return kernels.momentum_update if self.momentum else kernels.sgd_update

    @property
    def state(self) -> dict[str, float]:
        return {"velocity": 0.0} if self.momentum else {}

    @property
    def constants(self) -> tuple[float, ...]:
        return self.weight_decay, self.momentum, float(self.nesterov)


@OPTIMIZERS.register
@dataclass(frozen=True, repr=False)
class Adam(Optimizer):
    """Adam: steps by the running mean of the gradient over the root of that of its square.

        g = ∂E/∂w + λ w;   m ← β₁ m + (1 - β₁) g;   v ← β₂ v + (1 - β₂) g²
        w ← w - η / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε)

    Arguments:
        learning_rate: η, greater than 0, or a schedule.
        beta1, beta2: β₁, β₂, 0 ≤ β < 1.
        epsilon: ε, greater than 0, outside the root.
        weight_decay: λ, 0 or more, coupled: part of the gradient. AdamW has it decoupled.
        clip_norm, clip_value, gradient_noise: see Optimizer.

    Raises TypeError or ValueError for other values.
    Source: Kingma & Ba 2015, algorithm 1, with ε where PyTorch has it (their section 2, last paragraph, has it
    scaled by the bias correction).
    """

    learning_rate: float | Schedule = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    _decoupled = False

    @property
    def begin(self) -> Kernel:
        return kernels.adam_count_step

    @property
    def update(self) -> Kernel:
        return kernels.adam_update

    @property
    def state(self) -> dict[str, float]:
        return {"m": 0.0, "v": 0.0}

    @property
    def constants(self) -> tuple[float, ...]:
        return self.weight_decay, self.beta1, self.beta2, self.epsilon, float(self._decoupled), 0.0, 0.0


@OPTIMIZERS.register
@dataclass(frozen=True, repr=False)
class AdamW(Adam):
    """Adam with decoupled weight decay: w ← (1 - η λ) w before each step, and g = ∂E/∂w.

    Arguments as for Adam; weight_decay: λ, 0.01 by default.
    Source: Loshchilov & Hutter 2019, algorithm 2, with λ scaled by the learning rate as in PyTorch.
    """

    weight_decay: float = 0.01
    _decoupled = True


@OPTIMIZERS.register
@dataclass(frozen=True, repr=False)
class Nadam(Adam):
    """Adam with Nesterov's momentum.

        μₜ = β₁ (1 - ½ 0.96^(t ψ));   Mₜ = μ₁ μ₂ … μₜ;   g, m, v as in Adam
        w ← w - η ((1 - μₜ) / (1 - Mₜ) g + μₜ₊₁ / (1 - Mₜ₊₁) m) / (√v / √(1 - β₂ᵗ) + ε)

    Arguments as for Adam; momentum_decay: ψ, 0 or more.
    Source: Dozat 2016, in PyTorch's form (NAdam).
    """

    learning_rate: float | Schedule = 2e-3
    momentum_decay: float = 4e-3

    @property
    def begin(self) -> Kernel:
        return kernels.nadam_count_step

    @property
    def update(self) -> Kernel:
        return kernels.nadam_update

    @property
    def constants(self) -> tuple[float, ...]:
        return *super().constants, self.momentum_decay, 1.0, 0.0, 0.0


@OPTIMIZERS.register
@dataclass(frozen=True, repr=False)
class RMSprop(Optimizer):
    """Steps by the gradient over the root of the running mean of its square.

        g = ∂E/∂w + λ w;   s ← ρ s + (1 - ρ) g²;   w ← w - η g / (√s + ε)

    Arguments:
        learning_rate: η, greater than 0, or a schedule.
        rho: ρ, 0 ≤ ρ < 1.
        momentum: μ, 0 ≤ μ < 1: v ← μ v + g / (√s + ε); w ← w - η v.
        epsilon: ε, greater than 0.
        centered: √(s - m²) in place of √s, where m ← ρ m + (1 - ρ) g.
        weight_decay: λ, 0 or more.
        clip_norm, clip_value, gradient_noise: see Optimizer.

    Raises TypeError or ValueError for other values.
    Source: Hinton, Neural Networks for Machine Learning (2012), lecture 6e; centered: Graves 2013; PyTorch's form.
    """

    learning_rate: float | Schedule = 0.01
    rho: float = 0.99
    momentum: float = 0.0
    epsilon: float = 1e-8
    centered: bool = False
    weight_decay: float = 0.0

    @property
    def update(self) -> Kernel:
        return kernels.rmsprop_update

    @property
    def state(self) -> dict[str, float]:
        more = {"mean": self.centered, "velocity": self.momentum > 0}
        return {"square": 0.0, **{name: 0.0 for name, wanted in more.items() if wanted}}

    @property
    def constants(self) -> tuple[float, ...]:
        return self.weight_decay, self.rho, self.epsilon, self.momentum


@OPTIMIZERS.register
@dataclass(frozen=True, repr=False)
class Adagrad(Optimizer):
    """Steps by the gradient over the root of the sum of all its squares.

        g = ∂E/∂w + λ w;   s ← s + g²;   w ← w - η / (1 + (t - 1) δ) · g / (√s + ε)

    Arguments:
        learning_rate: η, greater than 0, or a schedule.
        rate_decay: δ, 0 or more.
        epsilon: ε, greater than 0.
        weight_decay: λ, 0 or more.
        clip_norm, clip_value, gradient_noise: see Optimizer.

    Raises TypeError or ValueError for other values.
    Source: Duchi, Hazan & Singer 2011, in PyTorch's form.
    """

    learning_rate: float | Schedule = 0.01
    rate_decay: float = 0.0
    epsilon: float = 1e-10
    weight_decay: float = 0.0

    @property
    def begin(self) -> Kernel:
        return kernels.adagrad_count_step

    @property
    def update(self) -> Kernel:
        return kernels.adagrad_update

    @property
    def state(self) -> dict[str, float]:
        return {"square": 0.0}

    @property
    def constants(self) -> tuple[float, ...]:
        return self.weight_decay, self.rate_decay, self.epsilon, 0.0


@OPTIMIZERS.register
@dataclass(frozen=True, repr=False)
class Adadelta(Optimizer):
    """Steps as large as the running mean of the last ones.

        g = ∂E/∂w + λ w;   s ← ρ s + (1 - ρ) g²;   Δ = √(u + ε) / √(s + ε) g;   u ← ρ u + (1 - ρ) Δ²;   w ← w - η Δ

    Arguments:
        learning_rate: η, greater than 0, or a schedule.
        rho: ρ, 0 ≤ ρ < 1.
        epsilon: ε, greater than 0, inside the roots.
        weight_decay: λ, 0 or more.
        clip_norm, clip_value, gradient_noise: see Optimizer.

    Raises TypeError or ValueError for other values.
    Source: Zeiler 2012, algorithm 1, with PyTorch's η.
    """

    learning_rate: float | Schedule = 1.0
    rho: float = 0.9
    epsilon: float = 1e-6
    weight_decay: float = 0.0

    @property
    def update(self) -> Kernel:
        return kernels.adadelta_update

    @property
    def state(self) -> dict[str, float]:
        return {"square": 0.0, "moved": 0.0}

    @property
    def constants(self) -> tuple[float, ...]:
        return self.weight_decay, self.rho, self.epsilon


@OPTIMIZERS.register
@dataclass(frozen=True, repr=False)
class Lion(Optimizer):
    """Steps by the sign of a momentum.

        w ← (1 - η λ) w - η sign(β₁ m + (1 - β₁) g);   m ← β₂ m + (1 - β₂) g,   where g = ∂E/∂w

    Arguments:
        learning_rate: η, greater than 0, or a schedule.
        beta1, beta2: β₁, β₂, 0 ≤ β < 1.
        weight_decay: λ, 0 or more, decoupled.
        clip_norm, clip_value, gradient_noise: see Optimizer.

    Raises TypeError or ValueError for other values.
    Source: Chen et al. 2023, algorithm 2.
    """

    learning_rate: float | Schedule = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0

    @property
    def update(self) -> Kernel:
        return kernels.lion_update

    @property
    def state(self) -> dict[str, float]:
        return {"m": 0.0}

    @property
    def constants(self) -> tuple[float, ...]:
        return self.weight_decay, self.beta1, self.beta2


@OPTIMIZERS.register
@dataclass(frozen=True, repr=False)
class Rprop(Optimizer):
    """Steps by the gradient's sign alone, of a size of its own for each parameter; for whole batches.

    A size grows where the gradient keeps its sign and shrinks where it changes; there, no step is made.

    Arguments:
        learning_rate: the first size of the steps, greater than 0.
        shrink, grow: factors of the sizes, 0 < shrink < 1 < grow.
        min_step, max_step: bounds of the sizes, 0 < min_step ≤ max_step.
        clip_norm, clip_value, gradient_noise: see Optimizer.

    Raises TypeError or ValueError for other values.
    Source: Riedmiller & Braun 1993; the variant without weight backtracking (Rprop-) of PyTorch.
    """

    learning_rate: float | Schedule = 0.01
    shrink: float = 0.5
    grow: float = 1.2
    min_step: float = 1e-6
    max_step: float = 50.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.learning_rate, Schedule):
            raise TypeError(f"learning_rate must be a number for Rprop, got {self.learning_rate!r}")
        if not self.shrink < 1 < self.grow:
            raise ValueError(f"shrink must be less than 1 and grow more, got {self.shrink} and {self.grow}")
        if self.min_step > self.max_step:
            raise ValueError(f"min_step must be at most max_step, got {self.min_step} and {self.max_step}")

    @property
    def update(self) -> Kernel:
        return kernels.rprop_update

    @property
    def state(self) -> dict[str, float]:
        return {"previous": 0.0, "step": self.initial_rate}

    @property
    def constants(self) -> tuple[float, ...]:
        return self.shrink, self.grow, self.min_step, self.max_step


_BY_NAME = {"sgd": SGD(0.01)} | {name.lower(): kind() for name, kind in OPTIMIZERS.items() if kind is not SGD}  # type: ignore[call-arg]


def get(optimizer: Optimizer | str | None) -> Optimizer:
    """The optimizer; a name ("adam", …) means its default settings (sgd: learning rate 0.01), None Adam(1e-3).

    Raises TypeError if it is neither an optimizer nor a name, ValueError if the name is unknown.
    """
    if optimizer is None:
        return Adam()
    if isinstance(optimizer, Optimizer):
        return optimizer
    check_object("optimizer", optimizer, Optimizer)
    if isinstance(optimizer, str):
        return check_choice("optimizer", optimizer.lower(), _BY_NAME)
    raise TypeError(f"optimizer must be an optimizer such as Adam(1e-3), or a name, got {brief(optimizer)}")


def check_constants(optimizer: Optimizer, dtype: np.dtype) -> None:
    """Raise ValueError for a hyperparameter that becomes 0 or infinite in `dtype`."""
    for field in fields(optimizer):
        given = getattr(optimizer, field.name)
        if given is None or isinstance(given, Schedule):
            continue
        value = float(given)
        with np.errstate(over="ignore", under="ignore"):
            rounded = float(dtype.type(value))
        if (rounded == 0) != (value == 0) or not np.isfinite(rounded):
            raise ValueError(f"optimizer: {field.name} must be a number that {dtype} has, got {value!r}")


__all__ = ["OPTIMIZERS", "Optimizer", "get", *OPTIMIZERS]
__dir__ = shown(__all__)
