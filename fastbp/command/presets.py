"""Networks that have a name, for images."""

from __future__ import annotations

import math

from ..layers import Conv2D, Dense, Dropout, Flatten, Layer, MaxPool2D

SMALLEST = 12  # height and width that leave LeNet-5's second pooling something to pool


def image_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, height, width) of images that come as (height, width), (channels, height, width) or flat squares.

    Raises ValueError if they have another shape.
    """
    side = math.isqrt(math.prod(shape))
    if len(shape) == 1 and side**2 == shape[0]:
        return 1, side, side
    if len(shape) not in (2, 3):
        rows = f"(rows, {', '.join(map(str, shape))})" if shape else "(rows,)"
        forms = "(rows, height, width), (rows, channels, height, width) or (rows, pixels of a square)"
        raise ValueError(f"images must be an array {forms}, got {rows}")
    return (*(1,) * (3 - len(shape)), *shape)  # type: ignore[return-value]


def lenet(
    shape: tuple[int, ...], outputs: int, activation: str = "relu", dropout: float = 0.0, l2: float = 0.0
) -> list[Layer]:
    """LeNet-5: two convolutions 5 × 5 of 6 and 16 filters, each pooled 2 × 2, and dense layers of 120 and 84 units.

    Arguments:
        shape: (channels, height, width); below 32 × 32, the size that it was made for, the first convolution pads.
        outputs: of the last layer, which has no activation.
        activation: of all layers before.
        dropout: after each dense layer but the last, 0 ≤ dropout < 1.
        l2: of all weights.

    Raises ValueError if the images are too small.
    Source: LeCun, Bottou, Bengio & Haffner 1998, with max-pooling, and all filters seeing all maps.
    """
    channels, height, width = shape
    if min(height, width) < SMALLEST:
        hint = "; channels come first" if width <= 4 < channels else ""
        raise ValueError(
            f"lenet takes images of {SMALLEST} × {SMALLEST} pixels or more, got {channels} × {height} × {width}"
            f" (channels × height × width{hint})"
        )
    padding = "same" if min(height, width) < 32 else 0
    layers: list[Layer] = [
        Conv2D(6, 5, padding=padding, activation=activation, l2=l2),
        MaxPool2D(2),
        Conv2D(16, 5, activation=activation, l2=l2),
        MaxPool2D(2),
        Flatten(),
    ]
    for units in (120, 84):
        layers += [Dense(units, activation=activation, l2=l2), *([Dropout(dropout)] if dropout else [])]
    return [*layers, Dense(outputs, l2=l2)]
