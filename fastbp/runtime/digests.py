"""A hash of all that the compiled code of a user's own function depends on."""

from __future__ import annotations

import hashlib
import types as python_types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numba.core.dispatcher import Dispatcher

_KNOWN_MODULES = ("math", "cmath", "operator", "builtins", "numpy", "numba")


def digest(*functions: Callable) -> str | None:
    """A hash of all that the compiled code of these functions depends on: their code, and what it refers to.

    None if it refers to something that has no such hash.
    """
    found = hashlib.sha256()
    return found.hexdigest()[:16] if _feed(functions, found.update, {}) else None


def _feed(value: Any, update: Callable[[bytes], None], seen: dict[int, int]) -> bool:
    """Give the hash all that `value` is; False if that is not known."""
    if isinstance(value, Dispatcher):
        update(repr(sorted(value.targetoptions.items(), key=str)).encode())
        value = value.py_func
    if isinstance(value, python_types.FunctionType):
        if id(value) in seen:  # which one it is, and nothing more
            update(f"function {seen[id(value)]}".encode())
            return True
        seen[id(value)] = len(seen)
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        parts = [value.__code__, value.__defaults__, *cells, *_globals(value.__code__, value.__globals__)]
        return _feed(tuple(parts), update, seen)
    if isinstance(value, python_types.CodeType):
        update(value.co_code + repr((value.co_names, value.co_varnames, value.co_argcount)).encode())
        return _feed(value.co_consts, update, seen)
    if isinstance(value, tuple):
        update(f"{type(value)}{len(value)}".encode())
        return all(_feed(part, update, seen) for part in value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
        return True
    if isinstance(value, (bool, int, float, complex, str, bytes, type(None), np.generic)):
        update(f"{type(value)}{value!r}".encode())
        return True
    module = value.__name__ if isinstance(value, python_types.ModuleType) else getattr(value, "__module__", None) or ""
    name = getattr(value, "__qualname__", getattr(value, "__name__", ""))
    update(f"{module}.{name}".encode())
    return isinstance(value, np.ufunc) or (bool(name) and module.split(".")[0] in _KNOWN_MODULES)


def _globals(code: python_types.CodeType, space: dict[str, Any]) -> Iterator[Any]:
    """What the names in the code refer to, as far as they are global, or attributes of a module that is."""
    for inside in code.co_consts:
        if isinstance(inside, python_types.CodeType):
            yield from _globals(inside, space)
    for name in code.co_names:
        value = space.get(name)
        if name not in space:
            continue
        if isinstance(value, python_types.ModuleType) and value.__name__.split(".")[0] not in _KNOWN_MODULES:
            yield from (getattr(value, attribute) for attribute in code.co_names if hasattr(value, attribute))
        else:
            yield value
