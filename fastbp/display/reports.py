"""Tables for terminals and notebooks, and empty figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from ..errors import brief

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Sequence[str]
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def text_lines(rows: Sequence[Row], right: int | None = None) -> list[str]:
    """Rows as lines with aligned columns, from the column `right` on to the right; cells may have several lines."""
    cells = [[cell.split("\n") for cell in row] for row in rows]
    widths = [max(len(line) for cell in column for line in cell) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        for parts in zip_longest(*row, fillvalue=""):
            padded = [
                part.rjust(width) if right is not None and i >= right else part.ljust(width)
                for i, (part, width) in enumerate(zip(parts, widths, strict=True))
            ]
            lines.append("  ".join(padded).rstrip())
    return lines


def text_table(head: Row, rows: Sequence[Row]) -> str:
    """A table in plain text: titles, a rule, and rows whose cells stand to the right, but for the first."""
    title, *body = text_lines([head, *rows], right=1)
    return "\n".join([title, "-" * max(map(len, [title, *body])), *body])


def html_table(head: Row, rows: Sequence[Row], about: str = "") -> str:
    """A table as HTML, any text in it escaped, and a line below."""
    titles = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{_html_cell(cell)}</td>' for cell in row)}</tr>" for row in rows)
    below = f"<p>{escape(about)}</p>" if about else ""
    return f"<table>{f'<thead><tr>{titles}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>{below}"


def _html_cell(text: str) -> str:
    """Cells of several lines are aligned by spaces."""
    return f"<pre>{escape(text)}</pre>" if "\n" in text else escape(text)


def html_list(lines: Sequence[str]) -> str:
    """Sentences as an HTML list, escaped; nothing for none."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that pyplot knows nothing of. Raises ImportError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plotting needs matplotlib: pip install 'fastbp[plot]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def check_axes(ax: Any) -> Any:
    """ax, if it is a matplotlib Axes. Raises TypeError for anything else."""
    if not all(callable(getattr(ax, name, None)) for name in ("plot", "set_xlabel", "get_figure")):
        raise TypeError(f"ax must be a matplotlib Axes, such as plt.subplots() gives, got {brief(ax)}")
    return ax


def style(axes: Any) -> None:
    """The look of all panels."""
    axes.grid(True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def number(value: float | None) -> str:
    """A number of a table; "-" for None."""
    return "-" if value is None else f"{value:.3g}"


def share(value: float | None) -> str:
    """A share of a table, in percent; "-" for None."""
    return "-" if value is None else f"{100 * value:.0f} %"


def rounded(value: float) -> str:
    """Two digits of a large number: "340", "2.6·10⁵"."""
    if not 10_000 <= value < math.inf:
        return f"{value:,.0f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}·10{str(int(exponent)).translate(SUPERSCRIPTS)}"
