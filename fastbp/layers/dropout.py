"""Dropout: random zeros in training."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from ..errors import check_bool, check_share
from ..kernels import dropout as kernels
from ..program.c_source import CSource
from ..program.emitter import IN_PLACE, Emitter
from ..program.records import ELEMENTWISE, Record, Tensor
from .base import LAYERS, Layer, Weights


@LAYERS.register
@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """In training, sets each element to 0 with probability `rate` and divides the others by 1 - rate.

    Everywhere else (predict, evaluate, value_and_grad, input_gradient) it does nothing.

    Arguments:
        rate: 0 ≤ rate < 1.
        maps: whether the elements of a map (a channel of a row) are dropped together.

    Which elements, depends on the network's seed, the layer, the step and the place in the batch alone.
    Raises TypeError or ValueError for another rate. Source: Srivastava et al. 2014, in its inverted form.
    """

    rate: float
    _: KW_ONLY
    maps: bool = False

    def __post_init__(self) -> None:
        self._store(rate=check_share("rate", self.rate), maps=check_bool("maps", self.maps))

    def emit(self, plan: Emitter, x: Tensor, *weights: Tensor) -> Tensor:
        if self.rate == 0:
            return x
        y, mask = plan.tensor(x.shape, x.blocked), plan.buffer(x.size, x.blocked)
        sizes: Record = dict(features=x.size, pixels=x.size // x.shape[0] if self.maps else 1, blocked=x.blocked)
        record: Record = dict(y=y.value, mask=mask, x=x.value, **sizes, rate=self.rate, key=plan.key())
        plan.forward(kernels.dropout_forward, ELEMENTWISE * x.size, **record, **plan.clock())
        layout: Record = dict(features=x.size, blocked=x.blocked)
        plan.backward(kernels.dropout_backward, 4 * x.size, IN_PLACE, dx=x.grad, dy=y.grad, mask=mask, **layout)
        return y

    def write_c(self, source: CSource, name: str, weights: Weights) -> None:
        """Nothing: predictions are not changed."""
