"""fastbp: backpropagation, compiled. See Network."""

from . import jit
from ._jit import get_num_threads, set_num_threads
from .errors import DivergedError, FileFormatError
from .layers import Activation, Dense
from .network import Network, load
from .optimizers import SGD, Adam
from .training import History, StopAtLoss

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Activation",
    "Adam",
    "Dense",
    "DivergedError",
    "FileFormatError",
    "History",
    "Network",
    "StopAtLoss",
    "get_num_threads",
    "jit",
    "load",
    "set_num_threads",
]
