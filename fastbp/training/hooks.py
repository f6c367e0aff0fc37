"""Hooks: what methods a callback has, which training calls, and how callbacks are checked before it."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Sequence
from typing import Any

from ..errors import brief, check_object

HOOKS = {
    "on_train_begin": ("net",),
    "on_chunk_end": ("net",),
    "on_epoch_end": ("net", "epoch", "logs"),
    "on_epoch_recorded": ("net", "history", "callbacks"),
    "on_train_end": ("net",),
}
_OF_STATE: dict[str, tuple[str, ...]] = {"state": (), "restore": ("net", "state")}


def check_callbacks(callbacks: Any, logged: Sequence[str]) -> tuple[Any, ...]:
    """The callbacks as a tuple.

    logged: the names that training logs.
    Raises TypeError if one has no hook, or one with other arguments, or a method on_… that is no hook, ValueError if
    it is known that one monitors what is not logged.
    """
    if callbacks is None or is_callback(callbacks):
        callbacks = () if callbacks is None else (callbacks,)
    try:
        callbacks = tuple(callbacks)
    except TypeError:
        raise TypeError(f"callbacks must be a sequence of callbacks, got {brief(callbacks)}") from None
    for callback in callbacks:
        _check_names(callback)
        if not _has_hook(callback):
            methods = "on_epoch_end(net, epoch, logs), on_chunk_end(net), on_train_begin(net) or on_train_end(net)"
            raise TypeError(f"callbacks must have a method {methods}, got {brief(callback)}")
        check_object("callbacks", callback, object)
        _check_methods(callback)
    _check_logs(callbacks, list(logged))
    return callbacks


def is_callback(thing: Any) -> bool:
    """Whether it is one callback, be its methods the right ones or not, and no sequence of some."""
    return _has_hook(thing) or bool(_unknown_hooks(thing))


def _has_hook(callback: Any) -> bool:
    return any(callable(getattr(callback, hook, None)) for hook in HOOKS)


def _unknown_hooks(callback: Any) -> list[str]:
    """Methods of an object that have names as hooks have, but which training never calls."""
    if isinstance(callback, type):
        return []
    names = (name for name in dir(callback) if name.startswith("on_") and name not in HOOKS)
    return [name for name in names if callable(getattr(callback, name, None))]


def _check_names(callback: Any) -> None:
    """Raise TypeError if a callback has a method on_… that training never calls."""
    unknown = _unknown_hooks(callback)
    if not unknown:
        return
    name = unknown[0]
    if "batch" in name or "step" in name:
        instead = "on_chunk_end, as many batches run in one compiled call, and fb.EMA averages parameters by step"
    else:
        close = difflib.get_close_matches(name, HOOKS, 1, 0.0)
        instead = close[0]
    hooks = ", ".join(f"{hook}({', '.join(arguments)})" for hook, arguments in HOOKS.items())
    raise TypeError(
        f"callbacks: {type(callback).__name__}.{name} would never be called; the nearest hook is {instead};"
        f" methods on_… must be among {hooks}"
    )


def _check_methods(callback: Any) -> None:
    """Raise TypeError if a user's callback has a method that can't be called as training calls it."""
    if _is_own(callback):
        return
    methods: dict[str, tuple[str, ...]] = {**HOOKS, "epochs_at_once": ("net",), "outcome": ()}
    methods |= _OF_STATE if has_state(callback) else {}
    for name, arguments in methods.items():
        if not hasattr(callback, name):
            continue
        try:
            inspect.signature(getattr(callback, name)).bind(*arguments)
        except ValueError:
            pass  # what is written in C may have none to look at
        except TypeError as error:
            method = f"{type(callback).__name__}.{name}"
            raise TypeError(f"callbacks: {method} must take ({', '.join(arguments)}), but: {error}") from None


def _is_own(callback: Any) -> bool:
    """Whether a callback is of a class of this package, and not of a user's."""
    return type(callback).__module__.partition(".")[0] == __name__.partition(".")[0]


def _check_logs(callbacks: Sequence[Any], logged: list[str]) -> None:
    """Raise ValueError if a callback wants a number that is not logged, so far as one can know.

    Those of this package that say so have a method check_logs(logged), which adds to the names what the callback logs.
    """
    for callback in callbacks:
        if not _is_own(callback) or not hasattr(callback, "check_logs"):
            return  # a user's own may add anything to the logs
        callback.check_logs(logged)


def has_state(callback: Any) -> bool:
    """Whether a callback has something that a checkpoint must hold."""
    methods = callable(getattr(callback, "state", None)) and callable(getattr(callback, "restore", None))
    return methods and bool(getattr(callback, "has_state", True))
