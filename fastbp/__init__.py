"""fastbp: backpropagation, compiled. See Network."""

from typing import TYPE_CHECKING, Any

from . import activations, callbacks, initializers, jit, layers, losses, metrics, optimizers, schedules
from ._names import shown
from .augmentation import Flip, Noise, Shift
from .averaging import EMA
from .callbacks import Checkpoint, CSVLogger, EarlyStopping, ReduceOnPlateau, StopAtLoss, TimeBudget
from .custom import CustomActivation, CustomLoss
from .diagnosis.explanation import Explanation
from .diagnosis.gradients import GradientCheck, check_gradients
from .diagnosis.rates import LearningRateTest, find_learning_rate
from .diagnosis.report import Diagnosis
from .embedding.capi import get_include
from .ensemble import Ensemble
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
from .losses import BinaryCrossEntropy, CrossEntropy, GaussianNLL, Huber, Quantile
from .network import Network, load
from .optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, Lion, Nadam, RMSprop, Rprop
from .runtime.threads import get_num_threads, set_num_threads
from .schedules import CosineDecay, ExponentialDecay, InverseScaling, OneCycle, PiecewiseConstant, StepDecay, Warmup
from .training.history import History

if TYPE_CHECKING:
    from .sklearn.estimators import MLPClassifier as MLPClassifier
    from .sklearn.estimators import MLPRegressor as MLPRegressor

__version__ = "0.1.0"

__all__ = [
    "EMA",
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
    "Diagnosis",
    "DivergedError",
    "Dropout",
    "EarlyStopping",
    "Ensemble",
    "Explanation",
    "ExponentialDecay",
    "FileFormatError",
    "Flatten",
    "Flip",
    "GaussianNLL",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GradientCheck",
    "History",
    "Huber",
    "InverseScaling",
    "LayerNorm",
    "LearningRateTest",
    "Lion",
    "MaxPool1D",
    "MaxPool2D",
    "Nadam",
    "Network",
    "Noise",
    "OneCycle",
    "PiecewiseConstant",
    "Quantile",
    "RMSprop",
    "ReduceOnPlateau",
    "Residual",
    "Rprop",
    "Shift",
    "StepDecay",
    "StopAtLoss",
    "TimeBudget",
    "Warmup",
    "activations",
    "callbacks",
    "check_gradients",
    "find_learning_rate",
    "get_include",
    "get_num_threads",
    "initializers",
    "jit",
    "layers",
    "load",
    "losses",
    "metrics",
    "optimizers",
    "schedules",
    "set_num_threads",
]

# What needs scikit-learn, and is imported when it is first asked for. Not in __all__: `import *` works without.
_ESTIMATORS = ("MLPClassifier", "MLPRegressor")


def __getattr__(name: str) -> Any:
    if name in _ESTIMATORS:
        from .sklearn import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__dir__ = shown([*__all__, *_ESTIMATORS, "__version__"])
