"""The layers: shapes, parameters, initial values, and the kernels that each runs."""

from .._names import shown
from .activation import Activation
from .base import Layer, Parameter, WeightedLayer
from .conv import Conv1D, Conv2D
from .dense import Dense
from .dropout import Dropout
from .normalization import BatchNorm, LayerNorm
from .pooling import AvgPool1D, AvgPool2D, GlobalAvgPool1D, GlobalAvgPool2D, MaxPool1D, MaxPool2D
from .residual import Residual
from .shaping import Flatten

LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (
        *(Activation, AvgPool1D, AvgPool2D, BatchNorm, Conv1D, Conv2D, Dense, Dropout, Flatten),
        *(GlobalAvgPool1D, GlobalAvgPool2D, LayerNorm, MaxPool1D, MaxPool2D, Residual),
    )
}

__all__ = [
    "LAYERS",
    "Activation",
    "AvgPool1D",
    "AvgPool2D",
    "BatchNorm",
    "Conv1D",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "Layer",
    "LayerNorm",
    "MaxPool1D",
    "MaxPool2D",
    "Parameter",
    "Residual",
    "WeightedLayer",
]
__dir__ = shown(__all__)
