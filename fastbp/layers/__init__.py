"""The layers: shapes, parameters, initial values, and the kernels that each runs."""

from .activation import Activation
from .base import Layer, Parameter, WeightedLayer
from .dense import Dense
from .dropout import Dropout
from .shaping import Flatten

LAYERS: dict[str, type[Layer]] = {kind.__name__: kind for kind in (Activation, Dense, Dropout, Flatten)}

__all__ = ["LAYERS", "Activation", "Dense", "Dropout", "Flatten", "Layer", "Parameter", "WeightedLayer"]
