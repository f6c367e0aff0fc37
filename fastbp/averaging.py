"""EMA: a running average of the parameters over the training steps, in compiled code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import check_share, warn_caller
from .model import Model, convert_params
from .program.emitter import Emitter
from .runtime.locks import interrupts_later
from .training.instep import InStep

_MOST_OF_THE_BEGINNING = 0.5


@dataclass(repr=False)
class EMA(InStep):
    """Callback: an exponential moving average of the parameters, which the network has whenever no step is under way.

        average ← decay · average + (1 - decay) · params, behind each training step

    Arguments:
        decay: 0 or more, less than 1: 0.999 averages over some 1,000 steps; fewer steps want a smaller one.

    The average begins as the parameters that training begins with. Training itself goes on from its own parameters, and
    is what it would be without the average. After each epoch, net.params is the average: validation, callbacks'
    on_epoch_end (so EarlyStopping, and what they save) and checkpoints get that, and so does what comes behind fit. A
    callback that writes into net.params there changes the average alone, and training goes on as if it had not. The
    training loss in the history is that of training's own parameters; on_chunk_end sees them, too. Another fit goes on
    from the average. Statistics (BatchNorm's) are not averaged: they stay those of training.

    A RuntimeWarning says so where the first fit of a network had so few steps that more than half of the average is
    still what training began with.

    A checkpoint holds both, and a run that goes on from it ends with the same bits; fb.load gives the average.
    Raises TypeError or ValueError for other arguments; in fit ValueError if there are two of them.
    Source: Polyak & Juditsky 1992, with exponential weights; as torch.optim.swa_utils.get_ema_multi_avg_fn.
    """

    decay: float = 0.999
    # The average while steps are under way, training's own parameters when not.
    _aside: np.ndarray | None = field(init=False, default=None, compare=False)
    _shown: bool = field(init=False, default=True, compare=False)  # whether net.params is the average
    _first_step: int = field(init=False, default=0, compare=False)  # that the network had done when training began

    def __post_init__(self) -> None:
        self.decay = check_share("decay", self.decay)

    def __repr__(self) -> str:
        return f"EMA({self.decay})"

    def check(self, net: Model, callbacks: Sequence[Any]) -> None:
        """Raise ValueError if there is more than one EMA, as a network has one average, or one that another fit has."""
        averages = [other for other in (*callbacks, *net.in_step) if isinstance(other, EMA)]
        if len(averages) > 1:
            raise ValueError(f"callbacks must hold at most one EMA, got {len(averages)}")
        if self._aside is not None:
            raise ValueError("callbacks must hold an EMA of their own, got one that another network's fit is using")

    def emit(self, plan: Emitter) -> None:
        plan.average(1 - self.decay)

    def arenas(self) -> dict[str, np.ndarray]:
        assert self._aside is not None
        return {"average": self._aside}

    def on_train_begin(self, net: Model) -> None:
        """Begin with the parameters that there are."""
        self._begin(net, net.params.copy())

    def _begin(self, net: Model, aside: np.ndarray) -> None:
        self._aside, self._shown, self._first_step = aside, True, net.steps_trained
        super().on_train_begin(net)
        with net.lock:
            if net.under_way:  # another thread's steps are under way
                self.before_steps(net)

    def on_train_end(self, net: Model) -> None:
        """Leave the average in the network."""
        self.behind_steps(net)
        super().on_train_end(net)
        self._aside = None
        steps = net.steps_trained
        left = self.decay**steps
        if self._first_step == 0 < steps and left > _MOST_OF_THE_BEGINNING:
            better = f"EMA({1 - 10 / max(steps, 20):.2g}) averages over fewer steps"
            text = f"{self!r} after {steps} steps: {left:.0%} of the average is what training began with; {better}"
            warn_caller(text, RuntimeWarning)

    def before_steps(self, net: Model) -> None:
        """Give the network training's own parameters."""
        self._show(net, average=False)

    def behind_steps(self, net: Model) -> None:
        """Give it the average."""
        self._show(net, average=True)

    def _show(self, net: Model, *, average: bool) -> None:
        with net.lock, interrupts_later():
            if self._aside is not None and self._shown != average:
                shown = net.params.copy()
                net.params[:], self._aside[:] = self._aside, shown
                self._shown = average

    def state(self) -> dict[str, Any]:
        """Training's own parameters: the network has the average."""
        assert self._aside is not None
        return {"params": self._aside}

    def restore(self, net: Model, state: Mapping[str, Any]) -> None:
        """Go on with the parameters that `state` gave."""
        self._begin(net, convert_params("params", state["params"], net.params.shape, net.dtype))
