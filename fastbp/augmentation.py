"""Data augmentation: callbacks that change the inputs of each training step at random, in compiled code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .errors import check_number
from .kernels import augment as kernels
from .layers.windows import Size, check_size, each
from .model import Model
from .program.plan import ELEMENTWISE, MOVE, Plan, Shape
from .training.instep import InStep


class Augmentation(InStep):
    """A callback that changes the rows of a training step, after they have been converted to the network's dtype.

    Several are applied in the order that fit got them in. What happens to a row depends on the network's seed, the
    step and its place in the batch alone: not on threads, and a run that goes on from a checkpoint gets the same.
    Validation, evaluate, predict and value_and_grad see the rows as they are.
    """


def _check_maps(name: str, input_shape: Shape) -> None:
    if len(input_shape) not in (2, 3):
        shapes = "(channels, height, width) or (channels, length)"
        raise ValueError(f"{name} takes rows of shape {shapes}, got {input_shape}")


@dataclass(frozen=True, repr=False)
class Shift(Augmentation):
    """Callback: move each row's maps at random, all by the same, up to `pixels` in every direction.

    Arguments:
        pixels: the most, 0 or more and less than the size of the maps: a number, or (down, across).
        fill: what comes in from outside.

    All moves are equally likely, and none is one of them. Rows are (channels, height, width) or (channels, length).
    Raises TypeError or ValueError for other arguments; in fit ValueError for rows of another shape.
    """

    pixels: Size
    fill: float = 0.0

    def __post_init__(self) -> None:
        dims = len(self.pixels) if isinstance(self.pixels, (tuple, list)) and len(self.pixels) == 1 else 2
        self._store(pixels=check_size("pixels", self.pixels, dims, low=0), fill=check_number("fill", self.fill))

    def check(self, net: Model, callbacks: Sequence[Any]) -> None:
        _check_maps("Shift", net.input_shape)
        axes = net.input_shape[1:]
        most = check_size("pixels", self.pixels, len(axes), low=0)
        if any(p >= size for p, size in zip(each(most, len(axes)), axes, strict=True)):
            raise ValueError(f"pixels must be less than the sizes of the maps, {axes}, got {self.pixels!r}")

    def emit(self, plan: Plan) -> None:
        maps, *axes = plan.x.shape
        most = each(self.pixels, len(axes))
        high, wide = (1, *axes)[-2:], (0, *most)[-2:]
        sizes = dict(maps=maps, height=high[0], width=high[1], most_down=wide[0], most_right=wide[1])
        plan.augment(kernels.shift_maps, MOVE * plan.x.size, **sizes, fill=self.fill)


@dataclass(frozen=True, repr=False)
class Flip(Augmentation):
    """Callback: turn each row's maps round from left to right with probability p, all of a row's together.

    Arguments:
        p: from 0 to 1.

    Rows are (channels, height, width) or (channels, length).
    Raises TypeError or ValueError for other arguments; in fit ValueError for rows of another shape.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        self._store(p=check_number("p", self.p, low=0, high=1))

    def check(self, net: Model, callbacks: Sequence[Any]) -> None:
        _check_maps("Flip", net.input_shape)

    def emit(self, plan: Plan) -> None:
        width = plan.x.shape[-1]
        plan.augment(kernels.flip_maps, MOVE * plan.x.size, lines=plan.x.size // width, width=width, p=self.p)


@dataclass(frozen=True, repr=False)
class Noise(Augmentation):
    """Callback: add normal noise of mean 0 to each element.

    Arguments:
        std: its standard deviation, 0 or more, in the units of X.

    Rows may have any shape. The noise reaches to 5.4 standard deviations.
    Raises TypeError or ValueError for other arguments.
    """

    std: float

    def __post_init__(self) -> None:
        self._store(std=check_number("std", self.std, low=0))

    def emit(self, plan: Plan) -> None:
        plan.augment(kernels.add_noise, ELEMENTWISE * plan.x.size, features=plan.x.size, deviation=self.std)
