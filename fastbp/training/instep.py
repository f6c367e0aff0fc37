"""Callbacks that are a part of the compiled training step while fit runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..model import Model
from ..parts import Part
from ..program.emitter import Emitter


class InStep(Part):
    """A callback that adds ops to the training program, and memory that they work on."""

    def check(self, net: Model, callbacks: Sequence[Any]) -> None:
        """Raise ValueError if the callback is not for that network, or not for a fit with all these callbacks."""

    def check_logs(self, logged: list[str]) -> None:
        """It wants no number, and adds none."""

    def emit(self, plan: Emitter) -> None:
        """Add the ops to a plan."""
        raise TypeError(f"{type(self).__name__} must define emit")

    def arenas(self) -> dict[str, np.ndarray]:
        """The arenas that the ops need beside the network's own, by name."""
        return {}

    def before_steps(self, net: Model) -> None:
        """Called before training steps are done, be they one or an epoch of them; also if others are under way."""

    def behind_steps(self, net: Model) -> None:
        """Called behind them, whatever has happened, when no others are under way."""

    def on_train_begin(self, net: Model) -> None:
        """Become a part of the network's training step."""
        try:
            net.put_in_step((*net.in_step, self))
        except BaseException:  # Ctrl-C too: on_train_end is for callbacks that have begun
            self.on_train_end(net)
            raise

    def on_train_end(self, net: Model) -> None:
        """Leave it again."""
        net.put_in_step(tuple(other for other in net.in_step if other is not self))
