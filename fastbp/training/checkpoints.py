"""What a checkpoint holds beside the network: the history of a run of fit, and the states of its callbacks."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import FileFormatError, check_number, check_path
from ..formats import networks
from ..model import Model
from .history import History
from .hooks import has_state

_KEY = "run"  # in a file's header
State = dict[str, Any]


def write(path: str | os.PathLike, net: Model, history: History, callbacks: Sequence[Any]) -> None:
    """Save a network and where the run that trains it stands. Raises as Network.save does."""
    arrays = {"history": np.array(list(history.history.values()), np.float64)}
    states = []
    for number, callback in enumerate(filter(has_state, callbacks)):
        state = callback.state()
        names = [name for name, value in state.items() if isinstance(value, np.ndarray)]
        arrays |= {_place(number, name): state[name] for name in names}
        values = {name: value for name, value in state.items() if name not in names}
        states.append({"class": type(callback).__name__, "values": values, "arrays": names})
    run = {"seconds": history.seconds, "history": list(history.history), "callbacks": states}
    networks.write(path, net, header={_KEY: run}, arrays=arrays)


def _place(number: int, name: str) -> str:
    """Where an array of a callback's state is in the file."""
    return f"callback{number}.{name}"


@dataclass(frozen=True)
class Resumed:
    """A run that goes on.

    path     of the checkpoint
    net      the network as it was
    history  of the epochs so far
    states   of the run's callbacks, in their order; None for one that has none
    """

    path: str
    net: Model
    history: History
    states: Sequence[State | None]

    def restore(self, net: Model, number: int, callback: Any) -> bool:
        """Give a callback its state back; False if it has none. Raises FileFormatError if it can't be its state."""
        state = self.states[number]
        if state is None:
            return False
        try:
            callback.restore(net, state)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            name = type(callback).__name__
            raise FileFormatError(f"{self.path} has no valid state of {name}: {error!r}") from error
        return True


def parse(
    path: str | os.PathLike,
    net: Model,
    header: Mapping[str, Any],
    arrays: Mapping[str, Any],
    callbacks: Sequence[Any],
) -> Resumed:
    """The run in the file `path`, in which `net`, `header` and `arrays` are.

    Raises ValueError if there is none, or one with other callbacks, FileFormatError if it is not valid.
    """
    place = os.fspath(path)
    if _KEY not in header:
        raise ValueError(f"resume_from must be a file that a Checkpoint wrote, got {place}, which is of Network.save")
    try:
        run = header[_KEY]
        history = _history(run, arrays["history"])
        names = [str(state["class"]) for state in run["callbacks"]]
        states = [_state(number, state, arrays) for number, state in enumerate(run["callbacks"])]
    except Exception as error:  # whatever a header that is none can lead to
        raise FileFormatError(f"{place} is not a valid checkpoint: {error!r}") from error
    got = [type(callback).__name__ for callback in filter(has_state, callbacks)]
    if names != got:
        wanted = ", ".join(names) or "none"
        raise ValueError(f"callbacks with a state must be those of {place}: {wanted}, got {', '.join(got) or 'none'}")
    left = iter(states)
    return Resumed(place, net, history, [next(left) if has_state(callback) else None for callback in callbacks])


def _history(run: Mapping[str, Any], values: np.ndarray) -> History:
    names = run["history"]
    if values.dtype != np.float64 or values.ndim != 2 or not names or len({*map(str, names)}) != len(values):
        raise ValueError(f"history must be of {names}, got {values.dtype} of shape {values.shape}")
    history = History()
    history.history = {str(name): row for name, row in zip(names, values.tolist(), strict=True)}
    history.epoch = list(range(values.shape[1]))
    history.seconds = check_number("seconds", run["seconds"], low=0)
    return history


def _state(number: int, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> State:
    return {**state["values"], **{name: arrays[_place(number, name)] for name in state["arrays"]}}


def resume(net: Model, path: Any, callbacks: Sequence[Any], *, verbose: bool) -> Resumed | None:
    """The run in a checkpoint of this network; None if there is no such file yet. See Network.fit.

    verbose: whether a line says where it goes on. Raises as Network.fit does.
    """
    path = os.fspath(check_path("resume_from", path))
    try:
        saved, header, arrays = networks.read(path, net.custom_parts(), type(net))
    except FileNotFoundError:
        _tell(verbose, f"there is no {path} yet: beginning with the first epoch")
        return None
    except FileFormatError:
        raise
    except ValueError as error:  # it lacks parts of the user's own
        raise ValueError(f"resume_from must be of a network like this one: {error}") from error
    its = saved.architecture()
    for name, mine in net.architecture().items():
        if mine != its[name]:
            shown = [[b.layer for b in one.layers] if name == "layers" else getattr(one, name) for one in (net, saved)]
            raise ValueError(f"resume_from must be of a network with {name} {shown[0]}, got {shown[1]} in {path}")
    resumed = parse(path, saved, header, arrays, callbacks)
    _tell(verbose, f"going on from {path}, epoch {len(resumed.history.epoch)}")
    return resumed


def _tell(verbose: bool, text: str) -> None:
    if verbose and sys.stderr is not None:
        print(f"fastbp: {text}", file=sys.stderr, flush=True)
