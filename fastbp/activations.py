"""The activation functions, as small objects that name their kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._jit import Kernel
from .errors import check_choice
from .kernels import activations as kernels

if TYPE_CHECKING:
    from .plan import Plan, Tensor


@dataclass(frozen=True)
class ActivationFunction:
    """An activation a = f(z).

    forward   kernel with the fields y, x, features; None for the identity
    backward  kernel with the fields dx, dy, y, features, where y = f(x)
    """

    name: str
    forward: Kernel | None
    backward: Kernel | None

    def __repr__(self) -> str:
        return repr(self.name)

    def emit(self, plan: Plan, x: Tensor, y: Tensor) -> None:
        """Add y = f(x) and its backward pass to a plan; x and y may be one tensor."""
        if self.forward is None or self.backward is None:
            return
        from .plan import ELEMENTWISE

        features = x.size
        plan.forward(self.forward, ELEMENTWISE * features, y=y.value, x=x.value, features=features)
        plan.backward(self.backward, 4 * features, dx=x.grad, dy=y.grad, y=y.value, features=features)


linear = ActivationFunction("linear", None, None)
sigmoid = ActivationFunction("sigmoid", kernels.sigmoid_forward, kernels.sigmoid_backward)
tanh = ActivationFunction("tanh", kernels.tanh_forward, kernels.tanh_backward)
relu = ActivationFunction("relu", kernels.relu_forward, kernels.relu_backward)
softmax = ActivationFunction("softmax", kernels.softmax_forward, kernels.softmax_backward)

ACTIVATIONS = {a.name: a for a in (linear, sigmoid, tanh, relu, softmax)}


def get(activation: str | ActivationFunction | None) -> ActivationFunction:
    """The activation of that name; None means "linear".

    Raises TypeError if it is neither a name nor an activation, ValueError if the name is unknown.
    """
    if activation is None:
        return linear
    if isinstance(activation, ActivationFunction):
        return activation
    return check_choice("activation", activation, ACTIVATIONS)
