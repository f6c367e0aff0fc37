"""Networks in files: what a file of a network holds, and the network that it gives back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from ..errors import FileFormatError, brief, check_path
from ..model import Model, are_finite
from ..parts import Custom
from . import files

MEMBERS = "members"  # in the header of an ensemble's file: those of its networks

_M = TypeVar("_M", bound=Model)


def content(net: Model, extra: Any = None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of its file, for which its lock is held; extra: see Network.save.

    Raises TypeError for another `extra`, ValueError if an array is not finite.
    """
    if extra is not None and not isinstance(extra, dict):
        raise TypeError(f"extra must be a dict or None, got {brief(extra)}")
    arrays = net.arrays()
    _check_finite(arrays)
    return {**net.header(), **({} if extra is None else {"extra": extra})}, arrays


def write(
    path: str | os.PathLike,
    net: Model,
    extra: Any = None,
    *,
    header: Mapping[str, Any] | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a network to a file; header, arrays: what else is in it. See Network.save."""
    check_path("path", path)
    with net.lock:
        own, its = content(net, extra)
        files.write(path, {**own, **(header or {})}, {**its, **(arrays or {})})


def read(
    path: str | os.PathLike, custom: dict[str, Any], kind: type[_M]
) -> tuple[_M, dict[str, Any], dict[str, np.ndarray]]:
    """The network in a file, the file's header and its arrays; kind: the class of it. See fb.load."""
    header, arrays = files.read(path)
    if MEMBERS in header:
        raise ValueError(f"{os.fspath(path)} holds an ensemble: fb.Ensemble.load gives it back")
    return rebuilt(path, header, arrays, custom, kind), header, arrays


def rebuilt(
    path: str | os.PathLike,
    header: dict[str, Any],
    arrays: dict[str, np.ndarray],
    custom: dict[str, Any],
    kind: type[_M],
) -> _M:
    """The network that a header and arrays of the file `path` describe. See fb.load."""
    try:
        names = _custom_names([header["layers"], header["loss"]])
        missing = sorted(set(names) - set(custom))
        if not missing:
            net = kind.restored(header, arrays, custom)
            _check_finite(net.arrays())
            return net
    except MemoryError:
        raise
    except Exception as error:  # whatever a header that is none can lead to
        raise FileFormatError(f"{os.fspath(path)} is not a valid fastbp model: {error}") from error
    wanted = ", ".join(f"{name!r}: ..." for name in missing)
    raise ValueError(
        f"custom_objects must hold the parts of one's own in {os.fspath(path)}: {{{wanted}}}, got {custom}"
    )


def check_custom(custom_objects: Any) -> dict[str, Any]:
    """The user's own parts by their names. Raises TypeError for anything else."""
    if custom_objects is not None and not isinstance(custom_objects, Mapping):
        raise TypeError(f"custom_objects must be a mapping from names to parts, got {brief(custom_objects)}")
    for name, part in (custom_objects or {}).items():
        if not isinstance(part, Custom):
            got = f"got {brief(part)} for {name!r}"
            raise TypeError(f"custom_objects must hold CustomActivations and CustomLosses, {got}")
    return dict(custom_objects or {})


def _check_finite(arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if not are_finite([array]):
            raise ValueError(f"{name} must be finite, got NaN or infinity")


def _custom_names(description: Any) -> Iterator[str]:
    """The names of the user's own parts in a header."""
    if isinstance(description, dict):
        if isinstance(description.get("custom"), str):
            yield description["custom"]
        description = list(description.values())
    for part in description if isinstance(description, list) else ():
        yield from _custom_names(part)
