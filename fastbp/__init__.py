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
from .layers import Activation as Activation
from .layers import AvgPool1D as AvgPool1D
from .layers import AvgPool2D as AvgPool2D
from .layers import BatchNorm as BatchNorm
from .layers import Conv1D as Conv1D
from .layers import Conv2D as Conv2D
from .layers import Dense as Dense
from .layers import Dropout as Dropout
from .layers import Flatten as Flatten
from .layers import GlobalAvgPool1D as GlobalAvgPool1D
from .layers import GlobalAvgPool2D as GlobalAvgPool2D
from .layers import LayerNorm as LayerNorm
from .layers import MaxPool1D as MaxPool1D
from .layers import MaxPool2D as MaxPool2D
from .layers import Residual as Residual
from .losses import BinaryCrossEntropy, CrossEntropy, GaussianNLL, Huber, Quantile
from .network import Network, load
from .optimizers import SGD as SGD
from .optimizers import Adadelta as Adadelta
from .optimizers import Adagrad as Adagrad
from .optimizers import Adam as Adam
from .optimizers import AdamW as AdamW
from .optimizers import Lion as Lion
from .optimizers import Nadam as Nadam
from .optimizers import RMSprop as RMSprop
from .optimizers import Rprop as Rprop
from .runtime.threads import get_num_threads, set_num_threads
from .schedules import CosineDecay as CosineDecay
from .schedules import ExponentialDecay as ExponentialDecay
from .schedules import InverseScaling as InverseScaling
from .schedules import OneCycle as OneCycle
from .schedules import PiecewiseConstant as PiecewiseConstant
from .schedules import StepDecay as StepDecay
from .schedules import Warmup as Warmup
from .training.history import History

if TYPE_CHECKING:
    from .sklearn.estimators import MLPClassifier as MLPClassifier
    from .sklearn.estimators import MLPRegressor as MLPRegressor

__version__ = "0.1.0"

__all__ = [
    "EMA",
    "BinaryCrossEntropy",
    "CSVLogger",
    "Checkpoint",
    "CrossEntropy",
    "CustomActivation",
    "CustomLoss",
    "Diagnosis",
    "DivergedError",
    "EarlyStopping",
    "Ensemble",
    "Explanation",
    "FileFormatError",
    "Flip",
    "GaussianNLL",
    "GradientCheck",
    "History",
    "Huber",
    "LearningRateTest",
    "Network",
    "Noise",
    "Quantile",
    "ReduceOnPlateau",
    "Shift",
    "StopAtLoss",
    "TimeBudget",
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
    *layers.LAYERS,
    *optimizers.OPTIMIZERS,
    *schedules.SCHEDULES,
]

# What needs scikit-learn, and is imported when it is first asked for. Not in __all__: `import *` works without.
_ESTIMATORS = ("MLPClassifier", "MLPRegressor")


def __getattr__(name: str) -> Any:
    if name in _ESTIMATORS:
        from .sklearn import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__dir__ = shown([*__all__, *_ESTIMATORS, "__version__"])
