"""Summaries of a network: its layers, output shapes and numbers of parameters, as text and as HTML."""

from __future__ import annotations

from ..model import Model
from . import reports

_HEAD = ("layer", "output shape", "parameters")


def text(net: Model) -> str:
    """See Network.summary."""
    rows = [_HEAD, *_rows(net)]
    wide = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c:>{wide[2]}}" for a, b, c in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], _about(net)])


def html(net: Model) -> str:
    """The same for notebooks."""
    return reports.html_table(list(_HEAD), _rows(net), _about(net))


def _rows(net: Model) -> list[tuple[str, str, str]]:
    """The input, the layers and the total."""
    rows = [("input", str(net.input_shape), "0")]
    for layer in net.layers:
        activation = layer.layer.ends_with
        ending = "" if activation is None or activation.forward is None else f" {activation.name}"
        size = sum(view.size for view in layer.weights.values())
        rows.append((layer.name + ending, str(layer.output_shape), f"{size:,}"))
    return [*rows, ("total", "", f"{net.num_params:,}")]


def _about(net: Model) -> str:
    return f"loss {net.loss.name}, {net.optimizer!r}, {net.dtype}"
