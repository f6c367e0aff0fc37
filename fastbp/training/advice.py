"""What may help a training whose numbers became infinite or NaN, as its error says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..model import Model

if TYPE_CHECKING:
    from .feeds import Feed

_LARGE = 30.0  # a number that scaled data hardly has
_LOOKED_AT = 10_000  # rows


def advice(net: Model, feed: Feed | None = None) -> str:
    """A sentence: a smaller learning rate, and inputs or targets scaled, where those of `feed` are large."""
    slower = f"A smaller learning_rate than {net.learning_rate:g} may help"
    found = [] if feed is None else [_of_targets(feed), _of_inputs(feed)]
    causes = [cause for cause in found if cause]
    if not causes:
        return f"{slower}, or inputs scaled to about -1 to 1."
    return f"Scale {' and '.join(causes)}. {slower} too."


def _of_inputs(feed: Feed) -> str:
    most = _largest(feed.x)
    return f"the inputs, which reach {most:.4g}, to about -1 to 1" if most > _LARGE else ""


def _of_targets(feed: Feed) -> str:
    most = 0.0 if feed.y is None or feed.kind != "values" else _largest(feed.y)
    return f"the targets, which reach {most:.4g}, as (y - y.mean()) / y.std()" if most > _LARGE else ""


def _largest(array: np.ndarray) -> float:
    some = array[:_LOOKED_AT]
    return max(abs(float(some.min())), abs(float(some.max()))) if some.size else 0.0
