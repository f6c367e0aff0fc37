"""The exceptions of fastbp's own, and the checks of arguments that several modules share."""

from __future__ import annotations

import math
import numbers
import os
from typing import Any


class DivergedError(ArithmeticError):
    """The loss turned NaN or infinite in training; the parameters are those of the last good epoch."""


class FileFormatError(ValueError):
    """The file is not a whole, valid fastbp model."""


def check_number(
    name: str, value: Any, *, low: float = -math.inf, high: float = math.inf, open_low: bool = False
) -> float:
    """`value` as a float from low to high (above low, with open_low; below infinity always).

    Raises TypeError if it is not a real number, ValueError if it is NaN, infinite or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number = float(value)
    if not math.isfinite(number) or number < low or number > high or (open_low and number == low):
        bounds = []
        if low > -math.inf:
            bounds.append(f"{'greater than' if open_low else 'at least'} {low:g}")
        if high < math.inf:
            bounds.append(f"at most {high:g}")
        raise ValueError(f"{name} must be a finite number{' ' * bool(bounds)}{' and '.join(bounds)}, got {value!r}")
    return number


def check_integer(name: str, value: Any, *, low: int) -> int:
    """`value` as an int, low or more. Raises TypeError if it is no integer, ValueError if it is too small."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {value!r}")
    return int(value)


def check_bool(name: str, value: Any) -> bool:
    """`value` as a bool; numpy's too. Raises TypeError for anything else."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_choice(name: str, value: Any, choices: Any) -> Any:
    """`value`, if it is a key of `choices`. Raises TypeError if it is no string, ValueError if it is unknown."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return choices[value] if isinstance(choices, dict) else value


def check_path(name: str, value: Any) -> str | os.PathLike:
    """`value`, if it is a path of a file. Raises TypeError for anything else."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path of a file, got {value!r}")
    return value


def check_verbose(value: Any) -> bool:
    """`value` as a bool; 0, 1 and 2, which Keras has, are taken too. Raises TypeError for anything else."""
    return check_bool("verbose", bool(value) if type(value) is int and value in (0, 1, 2) else value)
