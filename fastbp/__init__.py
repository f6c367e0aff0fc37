"""fastbp: backpropagation, compiled. See Network."""

from . import jit, metrics
from ._jit import get_num_threads, set_num_threads
from .callbacks import Checkpoint, CSVLogger, EarlyStopping, ReduceOnPlateau, StopAtLoss, TimeBudget
from .errors import DivergedError, FileFormatError
from .layers import Activation, Dense
from .network import Network, load
from .optimizers import SGD, Adam
from .training import History

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Activation",
    "Adam",
    "CSVLogger",
    "Checkpoint",
    "Dense",
    "DivergedError",
    "EarlyStopping",
    "FileFormatError",
    "History",
    "Network",
    "ReduceOnPlateau",
    "StopAtLoss",
    "TimeBudget",
    "get_num_threads",
    "jit",
    "load",
    "metrics",
    "set_num_threads",
]
