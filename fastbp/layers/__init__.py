"""The layers: shapes, parameters, initial values, and the kernels that each runs."""

from .activation import Activation
from .base import Layer, Parameter
from .dense import Dense

LAYERS: dict[str, type[Layer]] = {"Activation": Activation, "Dense": Dense}

__all__ = ["LAYERS", "Activation", "Dense", "Layer", "Parameter"]
