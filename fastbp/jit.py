"""Networks inside other people's @njit code: see embedding/handles.py, where these functions are."""

from ._names import shown
from .embedding.handles import (
    Handle,
    apply_gradients,
    forward,
    input_gradient,
    input_jacobian,
    jacobian,
    predict,
    train_epoch,
    train_step,
    value_and_grad,
)

__all__ = [
    "Handle",
    "apply_gradients",
    "forward",
    "input_gradient",
    "input_jacobian",
    "jacobian",
    "predict",
    "train_epoch",
    "train_step",
    "value_and_grad",
]

__dir__ = shown(__all__)
