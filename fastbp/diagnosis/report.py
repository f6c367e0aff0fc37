"""What diagnose found: a table, sentences and a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..display import reports
from .case import LARGE_STEP
from .measures import LayerDiagnosis
from .speed import SMALL_STEP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEAD = ("layer", "activation", "‖a‖", "spread of a", "‖δ‖", "spread of δ", "‖∂E/∂w‖", "‖Δw‖/‖w‖", "saturated", "dead")


@dataclass(frozen=True)
class Diagnosis:
    """What a training step shows of each layer, and what is wrong. See Network.diagnose.

    layers    a LayerDiagnosis for each
    warnings  sentences: what is wrong, where, and what may help; empty if nothing is
    loss      of the rows that were looked at; `rows` is how many
    """

    layers: list[LayerDiagnosis]
    warnings: list[str]
    loss: float
    rows: int

    def _about(self) -> str:
        return f"one training step on {self.rows:,} row{'s' * (self.rows != 1)}, loss {self.loss:.4g}"

    def _table(self) -> list[tuple[str, ...]]:
        return [
            (
                layer.name,
                layer.activation or "-",
                reports.number(layer.activation_norm),
                reports.number(layer.activation_spread),
                reports.number(layer.gradient_norm),
                reports.number(layer.gradient_spread),
                reports.number(layer.weight_gradient_norm),
                reports.number(layer.update_ratio),
                reports.share(layer.saturated),
                reports.share(layer.dead),
            )
            for layer in self.layers
        ]

    def __str__(self) -> str:
        found = [f"- {warning}" for warning in self.warnings] or ["Nothing wrong is seen."]
        return "\n".join([self._about(), "", reports.text_table(_HEAD, self._table()), "", *found])

    def __repr__(self) -> str:
        return f"<Diagnosis: {self._about()}, {len(self.warnings)} warning{'s' * (len(self.warnings) != 1)}>"

    def _repr_html_(self) -> str:
        return (
            f"<p>{self._about()}</p>{reports.html_table(_HEAD, self._table())}"
            f"{reports.html_list(self.warnings) or '<p>Nothing wrong is seen.</p>'}"
        )

    def plot(self) -> Figure:
        """The numbers by layer, the first layer on top, as a matplotlib Figure; a cross on the left is 0.

        Raises ImportError without matplotlib.
        """
        figure = reports.new_figure(11, 1.8 + 0.32 * len(self.layers))
        panels = figure.subplots(1, 4, sharey=True)
        _draw_numbers(panels[0], "spread of activations", [layer.activation_spread for layer in self.layers])
        _draw_numbers(panels[1], "norm of the gradient δ", [layer.gradient_norm for layer in self.layers])
        _draw_shares(panels[2], self.layers)
        _draw_numbers(panels[3], "step / weights", [layer.update_ratio for layer in self.layers])
        panels[3].axvspan(SMALL_STEP, LARGE_STEP, color="tab:green", alpha=0.12, linewidth=0, zorder=0)
        panels[0].set_yticks(range(len(self.layers)), [layer.name for layer in self.layers])
        panels[0].set_ylim(len(self.layers) - 0.5, -0.5)
        figure.suptitle(self._about())
        return figure


def _draw_numbers(axes: Any, title: str, values: Sequence[float | None]) -> None:
    """Points on a log scale of whole decades, joined; what is not finite is left out."""
    known = [(value, y) for y, value in enumerate(values) if value is not None and math.isfinite(value)]
    points = [(value, y) for value, y in known if value > 0]
    exponents = [math.log10(value) for value, _ in points] or [0.0]
    low, high = max(math.floor(min(exponents)), -300), min(math.ceil(max(exponents)), 300)
    if high - low < 2:
        low, high = low - 1, max(high, low + 1)
    if points:
        axes.plot(*zip(*points, strict=True), marker="o", markersize=5, linewidth=1.4, clip_on=False)
    zeros = [y for value, y in known if value == 0]
    if zeros:
        left = [10.0**low] * len(zeros)
        axes.plot(left, zeros, "x", color="tab:red", markersize=8, markeredgewidth=2, clip_on=False)
    axes.set_xscale("log")
    axes.set_xlim(10.0**low, 10.0**high)
    axes.minorticks_off()
    axes.set_title(title, fontsize="medium")
    reports.style(axes)


def _draw_shares(axes: Any, layers: Sequence[LayerDiagnosis]) -> None:
    """Bars that end in a point, which shows a share of 0 too: a layer has saturated units or dead ones, not both."""
    drawn = []
    for label, color, values in (
        ("saturated", "tab:orange", [layer.saturated for layer in layers]),
        ("dead", "tab:red", [layer.dead for layer in layers]),
    ):
        places = [y for y, value in enumerate(values) if value is not None]
        if places:
            shares = [value for value in values if value is not None]
            axes.barh(places, shares, height=0.6, color=color, label=label, zorder=2)
            points = [color if share > 0 else "tab:gray" for share in shares]  # no alarm
            axes.scatter(shares, places, s=25, c=points, clip_on=False, zorder=3)
            drawn.append(label)
    if len(drawn) > 1:
        axes.legend(frameon=False)
    axes.set_xlim(0, 1)
    axes.set_title(f"share of {' or '.join(drawn) or 'dead or saturated'} units", fontsize="medium")
    reports.style(axes)
