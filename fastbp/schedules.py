"""Learning-rate schedules, as small declarative objects; their formulas are in kernels/schedules.py.

A schedule stands where an optimizer takes its `learning_rate`. The compiled loop evaluates it before each step, with
t = the number of steps done (0 for the first). `schedule(t)` is the same rate in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from ._names import shown
from .errors import check_integer, check_number, check_object
from .kernels import schedules as kernels
from .parts import Part, Registry
from .runtime.functions import Kernel


def check_rate(name: str, rate: Any) -> float:
    return check_number(name, rate, low=0, open_low=True)


@dataclass(frozen=True, repr=False)
class Schedule(Part):
    """What all schedules have.

    kernel     with the fields scalars, constants, shift
    formula    the same as a function (t, constants)
    constants  what the kernel finds at `constants`
    """

    @property
    def kernel(self) -> Kernel:
        raise TypeError(f"{type(self).__name__} is no schedule of its own")

    @property
    def formula(self) -> Any:
        raise TypeError(f"{type(self).__name__} is no schedule of its own")

    @property
    def constants(self) -> tuple[float, ...]:
        return ()

    @property
    def parts(self) -> tuple[tuple[Kernel, tuple[float, ...], dict[str, int]], ...]:
        """The kernels to run one after the other, their constants, and what more their records hold."""
        return ((self.kernel, self.constants, {"shift": 0}),)

    def __call__(self, step: int) -> float:
        """The learning rate after `step` steps, 0 or more."""
        return float(self.formula.py_func(float(check_integer("step", step, low=0)), self.constants))


SCHEDULES: Registry[Schedule] = Registry()


@SCHEDULES.register
@dataclass(frozen=True, repr=False)
class StepDecay(Schedule):
    """learning_rate · factor^⌊t / steps⌋.

    Arguments:
        learning_rate: the initial rate, greater than 0.
        steps: steps between two drops, 1 or more.
        factor: greater than 0.

    Raises TypeError or ValueError for other values. Source: PyTorch's StepLR, by step.
    """

    learning_rate: float
    steps: int
    factor: float = 0.1
    kernel, formula = kernels.step_decay_schedule, kernels.step_decay  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self._store(
            learning_rate=check_rate("learning_rate", self.learning_rate),
            steps=check_integer("steps", self.steps, low=1),
            factor=check_number("factor", self.factor, low=0, open_low=True),
        )

    @property
    def constants(self) -> tuple[float, ...]:
        return self.learning_rate, self.factor, float(self.steps)


@SCHEDULES.register
@dataclass(frozen=True, repr=False)
class ExponentialDecay(Schedule):
    """learning_rate · factor^(t / steps).

    Arguments:
        learning_rate: the initial rate, greater than 0.
        factor: greater than 0.
        steps: steps in which the rate changes by `factor`, 1 or more.

    Raises TypeError or ValueError for other values. Source: PyTorch's ExponentialLR (steps = 1), Keras's
    ExponentialDecay.
    """

    learning_rate: float
    factor: float
    steps: int = 1
    kernel, formula = kernels.exponential_decay_schedule, kernels.exponential_decay  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self._store(
            learning_rate=check_rate("learning_rate", self.learning_rate),
            factor=check_number("factor", self.factor, low=0, open_low=True),
            steps=check_integer("steps", self.steps, low=1),
        )

    @property
    def constants(self) -> tuple[float, ...]:
        return self.learning_rate, self.factor, float(self.steps)


@SCHEDULES.register
@dataclass(frozen=True, repr=False)
class CosineDecay(Schedule):
    """final + (learning_rate - final) (1 + cos(π t / steps)) / 2 up to t = steps, then final.

    Arguments:
        learning_rate: the initial rate, greater than 0.
        steps: 1 or more.
        final: 0 or more.

    Raises TypeError or ValueError for other values. Source: Loshchilov & Hutter 2017, eq. 5, without restarts.
    """

    learning_rate: float
    steps: int
    final: float = 0.0
    kernel, formula = kernels.cosine_decay_schedule, kernels.cosine_decay  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self._store(
            learning_rate=check_rate("learning_rate", self.learning_rate),
            steps=check_integer("steps", self.steps, low=1),
            final=check_number("final", self.final, low=0),
        )

    @property
    def constants(self) -> tuple[float, ...]:
        return self.learning_rate, float(self.steps), self.final


@SCHEDULES.register
@dataclass(frozen=True, repr=False)
class OneCycle(Schedule):
    """Half a cosine wave up from max / div_factor to the max, and another down to max / div_factor / final_div_factor.

    The top is at t = pct_start · steps - 1, the end at t = steps - 1; the momentum stays as it is.

    Arguments:
        max_learning_rate: the highest rate, greater than 0.
        steps: of the whole cycle, 2 or more.
        pct_start: the share of the steps that rise, 0 < pct_start < 1.
        div_factor, final_div_factor: greater than 0.

    Raises TypeError or ValueError for other values. Source: Smith & Topin 2019, in PyTorch's form (OneCycleLR, cosine).
    """

    max_learning_rate: float
    steps: int
    _: KW_ONLY
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    kernel, formula = kernels.one_cycle_schedule, kernels.one_cycle  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self._store(
            max_learning_rate=check_rate("max_learning_rate", self.max_learning_rate),
            steps=check_integer("steps", self.steps, low=2),
            pct_start=check_number("pct_start", self.pct_start, low=0, high=1, open_low=True),
            div_factor=check_number("div_factor", self.div_factor, low=0, open_low=True),
            final_div_factor=check_number("final_div_factor", self.final_div_factor, low=0, open_low=True),
        )
        if self.pct_start == 1:
            raise ValueError("pct_start must be less than 1, got 1")

    @property
    def constants(self) -> tuple[float, ...]:
        first = self.max_learning_rate / self.div_factor
        top = max(self.pct_start * self.steps - 1, 0.0)
        return first, self.max_learning_rate, first / self.final_div_factor, top, self.steps - 1.0


@SCHEDULES.register
@dataclass(frozen=True, repr=False)
class PiecewiseConstant(Schedule):
    """values[0] for t < boundaries[0], values[1] from there to t < boundaries[1], …; the last value for the rest.

    Arguments:
        boundaries: numbers of steps, 1 or more, increasing.
        values: rates greater than 0, one more than boundaries.

    Raises TypeError or ValueError for other values. Source: PyTorch's MultiStepLR, with the rates given.
    """

    boundaries: Sequence[int]
    values: Sequence[float]
    kernel, formula = kernels.piecewise_constant_schedule, kernels.piecewise_constant  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name in ("boundaries", "values"):
            if isinstance(getattr(self, name), str) or not hasattr(getattr(self, name), "__len__"):
                raise TypeError(f"{name} must be a sequence of numbers, got {getattr(self, name)!r}")
        self._store(
            boundaries=tuple(check_integer("boundaries", b, low=1) for b in self.boundaries),
            values=tuple(check_rate("values", v) for v in self.values),
        )
        if any(a >= b for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"boundaries must increase, got {self.boundaries}")
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"values must be one more than the {len(self.boundaries)} boundaries, got {len(self.values)}"
            )

    @property
    def constants(self) -> tuple[float, ...]:
        return float(len(self.boundaries)), *map(float, self.boundaries), *self.values


@SCHEDULES.register
@dataclass(frozen=True, repr=False)
class InverseScaling(Schedule):
    """learning_rate / (1 + t)^power.

    Arguments:
        learning_rate: the initial rate, greater than 0.
        power: 0 or more.

    Raises TypeError or ValueError for other values. Source: Robbins & Monro 1951 for ½ < power ≤ 1.
    """

    learning_rate: float
    power: float = 0.5
    kernel, formula = kernels.inverse_scaling_schedule, kernels.inverse_scaling  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self._store(
            learning_rate=check_rate("learning_rate", self.learning_rate),
            power=check_number("power", self.power, low=0),
        )

    @property
    def constants(self) -> tuple[float, ...]:
        return self.learning_rate, self.power


@SCHEDULES.register
@dataclass(frozen=True, repr=False)
class Warmup(Schedule):
    """A linear rise of the rate before a schedule: schedule(0) · (s + (1 - s) t / steps), then schedule(t - steps).

    Arguments:
        schedule: a rate greater than 0, or a schedule (no Warmup).
        steps: of the rise, 1 or more.
        start: s, the share of the rate at which it begins, 0 to 1.

    Raises TypeError or ValueError for other values. Source: Goyal et al. 2017, section 2.2 (gradual warmup).
    """

    schedule: float | Schedule
    steps: int
    start: float = 0.0

    def __post_init__(self) -> None:
        schedule = self.schedule
        if isinstance(schedule, Warmup):
            raise TypeError(f"schedule must be a rate or a schedule other than Warmup, got {schedule!r}")
        check_object("schedule", schedule, Schedule)
        self._store(
            schedule=schedule if isinstance(schedule, Schedule) else check_rate("schedule", schedule),
            steps=check_integer("steps", self.steps, low=1),
            start=check_number("start", self.start, low=0, high=1),
        )

    @property
    def _after(self) -> Schedule:
        return self.schedule if isinstance(self.schedule, Schedule) else InverseScaling(self.schedule, 0.0)

    @property
    def parts(self) -> tuple[tuple[Kernel, tuple[float, ...], dict[str, int]], ...]:
        after, ramp = self._after, (float(self.steps), self.start)
        return (after.kernel, after.constants, {"shift": self.steps}), (kernels.warmup_schedule, ramp, {})

    def __call__(self, step: int) -> float:
        step = check_integer("step", step, low=0)
        factor = kernels.warmup_factor.py_func(float(step), (float(self.steps), self.start))
        return self._after(max(step - self.steps, 0)) * factor


__all__ = ["SCHEDULES", "Schedule", *SCHEDULES]
__dir__ = shown(__all__)
