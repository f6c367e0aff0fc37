"""History: what training recorded, epoch by epoch."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ..display import plots, reports
from ..errors import brief

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = 10  # epochs in a notebook's table


class History:
    """What training recorded.

    history  dict of lists, one number an epoch: "loss" (the mean over the epoch's rows, each before its step),
             "accuracy" for classification; with validation data "val_loss", "val_accuracy" and "val_" with the name
             of each metric; and what callbacks added to their logs (NaN for an epoch without)
    epoch    the numbers of the epochs, from 0
    seconds  how long it took
    stopped  why it ended: "epochs", "callback" or "interrupted"

    `history["loss"]` is `history.history["loss"]`; `"val_loss" in history` tells whether there is one, and
    `list(history)` gives the names.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.seconds = 0.0
        self.stopped = "epochs"

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.history:
            raise KeyError(f"history has {', '.join(map(repr, self.history)) or 'no numbers'}, got {name!r}")
        return self.history[name]

    def __contains__(self, name: object) -> bool:
        return name in self.history

    def __iter__(self) -> Iterator[str]:
        return iter(self.history)

    def keys(self) -> Iterable[str]:
        """The names of the numbers; `dict(history)` is a dict of lists."""
        return self.history.keys()

    def add(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Take in an epoch's numbers. Raises TypeError if one is no number."""
        for name, value in logs.items():
            if not isinstance(value, numbers.Real):
                raise TypeError(f"logs must hold numbers, got {brief(value)} for {name!r}")
            if name not in self.history:
                self.history[name] = [math.nan] * len(self.epoch)
        for name, values in self.history.items():
            values.append(float(logs.get(name, math.nan)))
        self.epoch.append(epoch)

    def cut(self) -> None:
        """Take away what an interrupted `add` has added."""
        for values in self.history.values():
            del values[len(self.epoch) :]

    def plot(self, title: str | None = None, *, ax: Axes | None = None) -> Figure:
        """A picture of the numbers over the epochs: the losses, and beside them all the others.

        title: above it.
        ax: matplotlib Axes to draw the losses into, and nothing else; None makes a new figure.

        Returns the matplotlib Figure; of a new one pyplot doesn't know: `history.plot().savefig("history.png")`.
        Raises TypeError if ax is no Axes, ValueError if there is no epoch, ImportError without matplotlib (the extra
        `plot`).
        """
        return plots.plot_history(self, title, ax=ax)

    def _about(self) -> str:
        return f"{len(self.epoch)} epoch{'' if len(self.epoch) == 1 else 's'} in {self.seconds:.3g} s"

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items())
        return f"<History: {self._about()}{': ' if last else ''}{last}>"

    def _repr_html_(self) -> str:
        """For notebooks: the numbers of the last epochs."""
        begin = max(0, len(self.epoch) - _SHOWN)
        rows = [
            [str(self.epoch[i] + 1), *(f"{values[i]:.4g}" for values in self.history.values())]
            for i in range(begin, len(self.epoch))
        ]
        about = f"{self._about()}, stopped by: {self.stopped}" + (f"; the last {_SHOWN}" if begin else "")
        return reports.html_table(["epoch", *self.history], rows, about)
