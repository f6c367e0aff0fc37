"""Pictures of a training, with matplotlib, of which pyplot and its open figures are left alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from .reports import check_axes, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_FEW, _LONG = 10, 10.0  # epochs that get a marker; from here on a range is shown on a log scale


class Recorded(Protocol):
    """What a picture is made of: see History."""

    history: dict[str, list[float]]
    epoch: list[int]


def plot_history(history: Recorded, title: str | None = None, loss: str = "loss", *, ax: Axes | None = None) -> Figure:
    """The numbers of a training over its epochs, from 1: losses in one panel, the others, if any, in a second.

    A learning rate gets a panel of its own. title: above all; loss: what the loss is called; ax: see History.plot.
    Raises TypeError if ax is no Axes, ValueError if there is no epoch, ImportError without matplotlib.
    """
    if not history.epoch:
        raise ValueError("history must have at least one epoch to be plotted, got none")
    panels, epochs = _panels(history.history, loss), [epoch + 1 for epoch in history.epoch]
    if ax is not None:
        _draw(check_axes(ax), epochs, loss, panels.get(loss, {}))
        if title is not None:
            ax.set_title(title)
        return cast("Figure", ax.get_figure())
    figure = new_figure(1 + 4.6 * len(panels), 4.2)
    for axes, (label, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _draw(axes, epochs, label, lines)
    if title is not None:
        figure.suptitle(title)
    return figure


def _panels(numbers: Mapping[str, Sequence[float]], loss: str) -> dict[str, dict[str, Sequence[float]]]:
    """What is drawn in each panel, by the panel's label and the line's name."""
    losses = {name: values for name, values in numbers.items() if name in ("loss", "val_loss")}
    rates = {name: values for name, values in numbers.items() if name == "learning_rate"}
    others = {name: values for name, values in numbers.items() if name not in losses and name not in rates}
    kinds = {name.removeprefix("val_") for name in others}
    panels = {loss: losses, kinds.pop() if len(kinds) == 1 else "metrics": others, "learning rate": rates}
    return {label: _names(lines) for label, lines in panels.items() if lines}


def _names(lines: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    """The lines as a legend calls them: if all are of one kind, by the rows that they are of."""
    if len({name.removeprefix("val_") for name in lines}) > 1:
        return dict(lines)
    return {"validation" if name.startswith("val_") else "training": values for name, values in lines.items()}


def _draw(axes: Any, epochs: Sequence[int], label: str, lines: Mapping[str, Sequence[float]]) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator

    marker = "o" if len(epochs) <= _FEW else None
    others = len(axes.lines)  # of another history, say
    for name, values in lines.items():
        axes.plot(epochs, values, label=name, linewidth=1.8, marker=marker, markersize=4, clip_on=False)
    values = [value for line in lines.values() for value in line if math.isfinite(value)]
    if label != "metrics" and values and min(values) > 0 and max(values) > _LONG * min(values):
        axes.set_yscale("log")
    if len(epochs) > 1:
        low, high = axes.get_xlim() if others else (epochs[0], epochs[-1])
        axes.set_xlim(min(low, epochs[0]), max(high, epochs[-1]))
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True) if len(epochs) > 1 else FixedLocator(epochs))
    style(axes)
    if len(lines) > 1 or others:
        axes.legend(frameon=False)
