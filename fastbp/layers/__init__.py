"""The layers: shapes, parameters, initial values, the kernels that each runs, and the C that each writes."""

from .._names import shown
from .activation import Activation as Activation
from .base import LAYERS, Layer, Parameter, WeightedLayer
from .conv import Conv1D as Conv1D
from .conv import Conv2D as Conv2D
from .dense import Dense as Dense
from .dropout import Dropout as Dropout
from .normalization import BatchNorm as BatchNorm
from .normalization import LayerNorm as LayerNorm
from .pooling import AvgPool1D as AvgPool1D
from .pooling import AvgPool2D as AvgPool2D
from .pooling import GlobalAvgPool1D as GlobalAvgPool1D
from .pooling import GlobalAvgPool2D as GlobalAvgPool2D
from .pooling import MaxPool1D as MaxPool1D
from .pooling import MaxPool2D as MaxPool2D
from .residual import Residual as Residual
from .shaping import Flatten as Flatten

__all__ = ["LAYERS", "Layer", "Parameter", "WeightedLayer", *LAYERS]
__dir__ = shown(__all__)
