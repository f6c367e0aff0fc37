"""fastbp: backpropagation, compiled. See Network."""

from . import activations, initializers, jit, losses, metrics, optimizers, schedules
from ._jit import get_num_threads, set_num_threads
from .callbacks import Checkpoint, CSVLogger, EarlyStopping, ReduceOnPlateau, StopAtLoss, TimeBudget
from .custom import CustomActivation, CustomLoss
from .errors import DivergedError, FileFormatError
from .layers import (
    Activation,
    AvgPool1D,
    AvgPool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool1D,
    GlobalAvgPool2D,
    LayerNorm,
    MaxPool1D,
    MaxPool2D,
    Residual,
)
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
    "AvgPool1D",
    "AvgPool2D",
    "BatchNorm",
    "BinaryCrossEntropy",
    "CSVLogger",
    "Checkpoint",
    "Conv1D",
    "Conv2D",
    "CosineDecay",
    "CrossEntropy",
    "CustomActivation",
    "CustomLoss",
    "Dense",
    "DivergedError",
    "Dropout",
    "EarlyStopping",
    "ExponentialDecay",
    "FileFormatError",
    "Flatten",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "History",
    "Huber",
    "InverseScaling",
    "LayerNorm",
    "Lion",
    "MaxPool1D",
    "MaxPool2D",
    "Nadam",
    "Network",
    "OneCycle",
    "PiecewiseConstant",
    "RMSprop",
    "ReduceOnPlateau",
    "Residual",
    "Rprop",
    "StepDecay",
    "StopAtLoss",
    "TimeBudget",
    "Warmup",
    "activations",
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
