"""fastbp: backpropagation, compiled. See Network."""

from . import activations, initializers, jit, losses, metrics, optimizers, schedules
from ._jit import get_num_threads, set_num_threads
from .callbacks import Checkpoint, CSVLogger, EarlyStopping, ReduceOnPlateau, StopAtLoss, TimeBudget
from .capi import get_include
from .custom import CustomActivation, CustomLoss
from .ensemble import Ensemble
from .errors import DivergedError, FileFormatError
from .layers import Activation, Dense, Dropout, Flatten
from .losses import BinaryCrossEntropy, CrossEntropy, Huber
from .network import Network, load
from .optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, Lion, Nadam, RMSprop, Rprop
from .schedules import (
    CosineDecay,
    ExponentialDecay,
    InverseScaling,
    OneCycle,
    PiecewiseConstant,
    StepDecay,
    Warmup,
)
from .training import History

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Activation",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "BinaryCrossEntropy",
    "CSVLogger",
    "Checkpoint",
    "CosineDecay",
    "CrossEntropy",
    "CustomActivation",
    "CustomLoss",
    "Dense",
    "DivergedError",
    "Dropout",
    "EarlyStopping",
    "Ensemble",
    "ExponentialDecay",
    "FileFormatError",
    "Flatten",
    "History",
    "Huber",
    "InverseScaling",
    "Lion",
    "Nadam",
    "Network",
    "OneCycle",
    "PiecewiseConstant",
    "RMSprop",
    "ReduceOnPlateau",
    "Rprop",
    "StepDecay",
    "StopAtLoss",
    "TimeBudget",
    "Warmup",
    "activations",
    "get_include",
    "get_num_threads",
    "initializers",
    "jit",
    "load",
    "losses",
    "metrics",
    "optimizers",
    "schedules",
    "set_num_threads",
]
