"""The exceptions of fastbp's own, and the checks of arguments that several modules share."""

from __future__ import annotations

import difflib
import math
import numbers
import os
import reprlib
import sys
import warnings
from typing import Any

import numpy as np

_LONGEST = 100  # characters of a value in a message


class DivergedError(ArithmeticError):
    """The loss turned NaN or infinite in training; the parameters are those of the last good epoch."""


class FileFormatError(ValueError):
    """The file is not a whole, valid fastbp model."""


class _Brief(reprlib.Repr):
    """Reprs of a line at most; an array's is its shape."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 2, _LONGEST, _LONGEST

    def repr_instance(self, value: Any, level: int) -> str:
        if isinstance(value, type):
            return f"the class {value.__name__}"
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple) and shape:
            kind = "an array" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
            return f"{kind} of shape {tuple(shape)}"
        return " ".join(super().repr_instance(value, level).split())


_repr = _Brief().repr


def brief(value: Any) -> str:
    """A value as messages show it: its repr if that is short, else the beginning of it; of an array the shape."""
    text = _repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def warn_caller(text: str, category: type[Warning]) -> None:
    """A warning that shows the line that called this package."""
    frame, level = sys._getframe(1), 1  # noqa: SLF001, it is documented
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level + 1)


def check_number(
    name: str, value: Any, *, low: float = -math.inf, high: float = math.inf, open_low: bool = False
) -> float:
    """`value` as a float from low to high (above low, with open_low; below infinity always).

    Raises TypeError if it is not a real number, ValueError if it is NaN, infinite or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {brief(value)}")
    number = float(value)
    if not math.isfinite(number) or number < low or number > high or (open_low and number == low):
        bounds = []
        if low > -math.inf:
            bounds.append(f"{'greater than' if open_low else 'at least'} {low:g}")
        if high < math.inf:
            bounds.append(f"at most {high:g}")
        raise ValueError(
            f"{name} must be a finite number{' ' * bool(bounds)}{' and '.join(bounds)}, got {brief(value)}"
        )
    return number


def check_share(name: str, value: Any) -> float:
    """`value` as a float, 0 or more and less than 1. Raises TypeError or ValueError for anything else."""
    number = check_number(name, value, low=0)
    if number >= 1:
        raise ValueError(f"{name} must be at least 0 and less than 1, got {brief(value)}")
    return number


def check_integer(name: str, value: Any, *, low: int) -> int:
    """`value` as an int, low or more. Raises TypeError if it is no integer, ValueError if it is too small."""
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, numbers.Integral)):
        raise TypeError(f"{name} must be an integer, got {brief(value)}")
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {brief(value)}")
    return int(value)


def check_bool(name: str, value: Any) -> bool:
    """`value` as a bool; numpy's too. Raises TypeError for anything else."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"{name} must be True or False, got {brief(value)}")
    return bool(value)


def check_choice(name: str, value: Any, choices: Any) -> Any:
    """`value`, if it is a key of `choices`. Raises TypeError if it is no string, ValueError if it is unknown."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(map(repr, choices))}, got {brief(value)}")
    if value not in choices:
        meant = [choice for choice in choices if str(choice).lower() == value.lower()]
        meant = meant or difflib.get_close_matches(value, map(str, choices), 1)
        hint = f"; did you mean {meant[0]!r}?" if meant else ""
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {brief(value)}{hint}")
    return choices[value] if isinstance(choices, dict) else value


def check_object(name: str, value: Any, kind: type | tuple[type, ...]) -> None:
    """Raise TypeError if `value` is a class of objects of `kind`, whose parentheses were left out."""
    if isinstance(value, type) and issubclass(value, kind):
        raise TypeError(f"{name} must be an object such as {value.__name__}(), got the class")


def check_path(name: str, value: Any) -> str | os.PathLike:
    """`value`, if it is a path of a file. Raises TypeError for anything else, ValueError if it is empty."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path of a file, got {brief(value)}")
    if not os.fspath(value):
        raise ValueError(f"{name} must be a path of a file, got an empty one")
    return value


def check_verbose(value: Any) -> bool:
    """`value` as a bool; 0, 1 and 2, which Keras has, are taken too. Raises TypeError for anything else."""
    return check_bool("verbose", bool(value) if type(value) is int and value in (0, 1, 2) else value)
