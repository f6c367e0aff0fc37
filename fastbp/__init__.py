"""fastbp: backpropagation, compiled. See Network."""

from . import activations, initializers, jit, losses, optimizers, schedules
from ._jit import get_num_threads, set_num_threads
from .custom import CustomActivation, CustomLoss
from .diagnosis.explanation import Explanation
from .diagnosis.gradients import GradientCheck, check_gradients
from .diagnosis.rates import LearningRateTest, find_learning_rate
from .diagnosis.symptoms import Diagnosis
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
from .training import History, StopAtLoss

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Activation",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "BinaryCrossEntropy",
    "CosineDecay",
    "CrossEntropy",
    "CustomActivation",
    "CustomLoss",
    "Dense",
    "Diagnosis",
    "DivergedError",
    "Dropout",
    "Explanation",
    "ExponentialDecay",
    "FileFormatError",
    "Flatten",
    "GradientCheck",
    "History",
    "Huber",
    "InverseScaling",
    "LearningRateTest",
    "Lion",
    "Nadam",
    "Network",
    "OneCycle",
    "PiecewiseConstant",
    "RMSprop",
    "Rprop",
    "StepDecay",
    "StopAtLoss",
    "Warmup",
    "activations",
    "check_gradients",
    "find_learning_rate",
    "get_num_threads",
    "initializers",
    "jit",
    "load",
    "losses",
    "optimizers",
    "schedules",
    "set_num_threads",
]
