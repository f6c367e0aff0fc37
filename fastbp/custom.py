"""Activations and losses from a user's own functions, which become kernels like the built-in ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError

from . import activations
from .activations import ActivationFunction
from .errors import brief, check_bool
from .kernels import custom as kernels
from .losses import Loss
from .parts import Custom
from .runtime.digests import digest
from .runtime.functions import OPTIONS

# Where derivatives are compared: across the range where activations bend, and far out.
_POINTS = (*np.linspace(-6.0, 6.0, 241) + 0.0137, -40.0, -20.0, -11.0, 11.0, 20.0, 40.0)
_TARGETS = (0.0, 1.0, 0.3, -1.0, 2.0)
_numbers = itertools.count()


def _to_compile(name: str, function: Any) -> Callable:
    """The function, to be compiled as kernels are. Raises TypeError if it is no function of Python's or Numba's."""
    if isinstance(function, Dispatcher):
        function = function.py_func
    if not callable(function) or not hasattr(function, "__code__"):
        raise TypeError(f"{name} must be a function that is written in Python, @njit or not, got {brief(function)}")
    return njit(**OPTIONS)(function)


class _Compiled(NamedTuple):
    """Two functions, compiled by Numba and compared with each other, and the kernels around them."""

    f: Callable
    derivative: Callable
    kernels: Any


# By what makes the kernels, and the digest of the functions. It only grows: what is compiled is never let go anyway.
_known: dict[tuple[Callable, str], _Compiled] = {}


def _compile(make: Callable, name: str, f: Callable, derivative: Callable, check: Callable | None) -> _Compiled:
    """The functions, checked by `check`, and what `make` makes of them: what there is already, if they are equal.

    name: what names of kernels begin with; they end with the digest, which says all that their code depends on, so that
    they can be kept on disk, or with a number.
    """
    found = digest(f, derivative)
    if found is not None and (make, found) in _known:
        return _known[make, found]
    if check is not None:
        check(f, derivative)
    made = _Compiled(f, derivative, make(f, derivative, f"{name}_{found or next(_numbers)}", cached=found is not None))
    return made if found is None else _known.setdefault((make, found), made)


def _call(name: str, function: Callable, *arguments: float) -> float:
    count = len(arguments)
    numbers = f"{count} number{'s' * (count > 1)}"
    try:
        return float(function(*arguments))
    except NumbaError as error:
        raise TypeError(f"{name} must be a function that Numba compiles for {numbers}: {_reason(error)}") from error
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must take {numbers} and return one: {error}") from error


def _check_derivative(others: tuple[tuple[float, ...], ...], letters: str, f: Callable, derivative: Callable) -> None:
    """Raise ValueError where `derivative` is not that of f by its first argument.

    Left out are points where f is not finite, or has a kink or a jump: where the slopes on both sides differ.
    """
    compared = 0
    for z in _POINTS:
        for rest in others:
            h = 1e-5 * max(1.0, abs(z))
            here, above, below = (_call("f", f, at, *rest) for at in (z, z + h, z - h))
            left, right, slope = (here - below) / h, (above - here) / h, (above - below) / (2 * h)
            size = max(abs(left), abs(right))
            if not math.isfinite(left + right) or abs(left - right) > 1e-3 * max(size, 1e-3):
                continue
            compared += 1
            got = _call("derivative", derivative, z, *rest)
            if not abs(got - slope) <= 1e-4 * size + 1e-7 * (1 + abs(here)):
                at = ", ".join(f"{letter} = {value:.6g}" for letter, value in zip(letters, (z, *rest), strict=True))
                raise ValueError(f"derivative must be that of f: at {at} the slope of f is {slope:.6g}, got {got:.6g}")
    if not compared:
        raise ValueError(
            "f must be differentiable at some point of -40 to 40, got values that are not finite, or jumps"
        )


class CustomActivation(Custom, ActivationFunction):
    """An activation a = f(z) from two functions of a number, which may be @njit functions.

    Arguments:
        f: z -> a. It is compiled with Numba, must not raise, and division by 0 gives infinity there.
        derivative: z -> f'(z), compared with differences of f at points from -40 to 40 when this is made.
        name: what files know it by; by default f's own.

    Kernels are kept in the cache on disk, if what the functions refer to are numbers, arrays and functions.
    Raises TypeError if they are no such functions, ValueError where the derivative is wrong, and says where.
    """

    def __init__(self, f: Callable, derivative: Callable, *, name: str | None = None):
        functions = _to_compile("f", f), _to_compile("derivative", derivative)
        name = _check_name(name, f)
        made = _compile(kernels.activation_kernels, name, *functions, partial(_check_derivative, ((),), "z"))
        super().__init__(name, *made.kernels)
        object.__setattr__(self, "_arguments", (f, derivative, name))

    def __repr__(self) -> str:
        return f"CustomActivation({self.name!r})"

    def __reduce__(self):
        f, derivative, name = self._arguments  # type: ignore[attr-defined]
        return _again, (CustomActivation, (f, derivative), {"name": name})


class CustomLoss(Custom, Loss):
    """A loss from two functions, which may be @njit functions.

    Arguments:
        f: (y, t) -> loss of an output y with target t: the loss is the mean over rows and outputs. With whole_row: of
            the vectors y, t (outputs,) of a row, the mean over rows.
        derivative: (y, t) -> ∂f/∂y; with whole_row (y, t, dy), and it writes the vector dy. It is compared with
            differences of f when this is made; with whole_row when a network is made, which knows how many outputs
            there are.
        whole_row: see f.
        link: name of the activation that `predict` puts on the outputs, or None. As the activation of the last layer it
            is then part of the loss: f gets what goes into it.
        name: what files know it by; by default f's own.

    Raises TypeError if they are no such functions, ValueError where the derivative is wrong, and says where.
    """

    def __init__(
        self,
        f: Callable,
        derivative: Callable,
        *,
        whole_row: bool = False,
        link: str | None = None,
        name: str | None = None,
    ):
        functions = _to_compile("f", f), _to_compile("derivative", derivative)
        check_bool("whole_row", whole_row)
        name, inverse = _check_name(name, f), None if link is None else activations.get(link)
        if whole_row:
            made = _compile(kernels.row_loss, name, *functions, None)
        else:
            check = partial(_check_derivative, tuple((t,) for t in _TARGETS), "yt")
            made = _compile(kernels.elementwise_loss, name, *functions, check)
        options = {"whole_row": whole_row, "link": link, "name": name}
        again = (f, derivative), options
        self._store(name=name, link=inverse, kernel=made.kernels, _functions=(made.f, made.derivative), _again=again)

    def __repr__(self) -> str:
        return f"CustomLoss({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def check(self, outputs: int) -> None:
        if not self._again[1]["whole_row"]:  # type: ignore[attr-defined]
            return
        f, derivative = self._functions  # type: ignore[attr-defined]
        _check_row_derivative(f, derivative, outputs)

    def __reduce__(self):
        return _again, (CustomLoss, *self._again)  # type: ignore[attr-defined]


def _check_row_derivative(f: Callable, derivative: Callable, outputs: int) -> None:
    """As _check_derivative, for functions of vectors: by each output, at random points."""
    generator, compared = np.random.default_rng(0), 0
    for kind in range(8):
        y = generator.normal(size=outputs)
        t = np.eye(outputs)[kind % outputs] if kind % 2 else generator.uniform(0, 1, outputs)
        dy = np.full(outputs, np.nan)
        try:
            here = float(f(y, t))
            derivative(y, t, dy)
        except (NumbaError, TypeError, ValueError, IndexError) as error:
            what = f"f must take (y, t) and derivative (y, t, dy), vectors of {outputs}"
            raise TypeError(f"{what}: {_reason(error)}") from error
        for j in range(outputs):
            h = np.zeros(outputs)
            h[j] = 1e-5
            above, below = float(f(y + h, t)), float(f(y - h, t))
            left, right, slope = (here - below) / 1e-5, (above - here) / 1e-5, (above - below) / 2e-5
            size = max(abs(left), abs(right))
            if not math.isfinite(left + right) or abs(left - right) > 1e-3 * max(size, 1e-3):
                continue
            compared += 1
            if not abs(dy[j] - slope) <= 1e-4 * size + 1e-7 * (1 + abs(here)):
                where = f"y = {y.round(4)}, t = {t.round(4)}"
                raise ValueError(
                    f"derivative must be that of f: at {where} the slope of f by y[{j}] is {slope:.6g}, got {dy[j]:.6g}"
                )
    if not compared:
        raise ValueError("f must be differentiable at some points, got values that are not finite, or jumps")


def _reason(error: Exception) -> str:
    """The line of an error of Numba's that says what is wrong, behind those that say where it was found."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith(("Failed in", "During:"))), type(error).__name__)


def _check_name(name: Any, f: Callable) -> str:
    if name is None:
        name = f.__name__
        return name if name.isidentifier() else "custom"  # a lambda
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"name must be a word of letters, digits and _, got {brief(name)}")
    return name


def _again(kind: type, functions: tuple, options: dict[str, Any]) -> Any:
    """Make a part again in another process, or for a copy."""
    return kind(*functions, **options)
