"""The activation functions, as small objects that name their kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._jit import Kernel
from .errors import brief, check_choice, check_object
from .kernels import activations as kernels

if TYPE_CHECKING:
    from .plan import Plan, Tensor


@dataclass(frozen=True)
class ActivationFunction:
    """An activation a = f(z).

    forward   kernel with the fields y, x, features, blocked; None for the identity
    backward  kernel with the fields dx, dy, y, features, blocked, where y = f(x); or x in the place of y: f then can't
              work in place

    Kernels that don't work element by element have no field `blocked`.
    """

    name: str
    forward: Kernel | None
    backward: Kernel | None

    def __repr__(self) -> str:
        return repr(self.name)

    def described(self) -> Any:
        return self.name

    def __reduce__(self) -> Any:
        return get, (self.name,)  # a copy is the same object: some are recognised by that

    @property
    def elementwise(self) -> bool:
        """Whether it works on each element by itself."""
        return self.forward is None or "blocked" in self.forward.fields

    def layout(self, blocked: bool) -> dict[str, bool]:
        """The field of its kernels that says how rows lie, if they have it."""
        return {"blocked": blocked} if self.elementwise else {}

    def input_of(self, plan: Plan, y: Tensor) -> Tensor:
        """Where a layer writes the x of y = f(x): y itself, if f works in place and the plan doesn't keep x."""
        if self.forward is None or self.backward is None:
            return y
        in_place = y if "y" in self.backward.fields else y._replace(value=plan.buffer(y.size, y.blocked))
        x = plan.tensor(y.shape, y.blocked) if plan.keep else in_place
        plan.trace(x, y)
        return x

    def emit(self, plan: Plan, x: Tensor, y: Tensor) -> None:
        """Add y = f(x) and its backward pass to a plan; x and y may be one tensor, as input_of says."""
        if self.forward is None or self.backward is None:
            return
        from .plan import ELEMENTWISE

        features, layout = x.size, self.layout(x.blocked)
        plan.forward(self.forward, ELEMENTWISE * features, None, y=y.value, x=x.value, features=features, **layout)
        read = {"y": y.value} if "y" in self.backward.fields else {"x": x.value}
        slope = 4 if "y" in self.backward.fields else ELEMENTWISE
        plan.backward(self.backward, slope * features, dx=x.grad, dy=y.grad, **read, features=features, **layout)


linear = ActivationFunction("linear", None, None)
sigmoid = ActivationFunction("sigmoid", kernels.sigmoid_forward, kernels.sigmoid_backward)
tanh = ActivationFunction("tanh", kernels.tanh_forward, kernels.tanh_backward)
relu = ActivationFunction("relu", kernels.relu_forward, kernels.relu_backward)
leaky_relu = ActivationFunction("leaky_relu", kernels.leaky_relu_forward, kernels.leaky_relu_backward)
elu = ActivationFunction("elu", kernels.elu_forward, kernels.elu_backward)
selu = ActivationFunction("selu", kernels.selu_forward, kernels.selu_backward)
gelu = ActivationFunction("gelu", kernels.gelu_forward, kernels.gelu_backward)
silu = ActivationFunction("silu", kernels.silu_forward, kernels.silu_backward)
mish = ActivationFunction("mish", kernels.mish_forward, kernels.mish_backward)
softplus = ActivationFunction("softplus", kernels.softplus_forward, kernels.softplus_backward)
softsign = ActivationFunction("softsign", kernels.softsign_forward, kernels.softsign_backward)
hard_sigmoid = ActivationFunction("hard_sigmoid", kernels.hard_sigmoid_forward, kernels.hard_sigmoid_backward)
hard_tanh = ActivationFunction("hard_tanh", kernels.hard_tanh_forward, kernels.hard_tanh_backward)
exponential = ActivationFunction("exponential", kernels.exponential_forward, kernels.exponential_backward)
softmax = ActivationFunction("softmax", kernels.softmax_forward, kernels.softmax_backward)
# What the loss gaussian_nll makes of outputs; no layer's.
mean_variance = ActivationFunction("mean_variance", kernels.mean_variance_forward, kernels.mean_variance_backward)

ACTIVATIONS = {
    a.name: a
    for a in (
        linear,
        sigmoid,
        tanh,
        relu,
        leaky_relu,
        elu,
        selu,
        gelu,
        silu,
        mish,
        softplus,
        softsign,
        hard_sigmoid,
        hard_tanh,
        exponential,
        softmax,
    )
}
_ALIASES = {"swish": silu}


def get(activation: str | ActivationFunction | None) -> ActivationFunction:
    """The activation of that name ("swish" is "silu"); None means "linear".

    Raises TypeError if it is neither a name nor an activation, ValueError if the name is unknown.
    """
    if activation is None:
        return linear
    if isinstance(activation, ActivationFunction):
        return activation
    check_object("activation", activation, ActivationFunction)
    if callable(activation) and not isinstance(activation, type):
        raise TypeError(
            f"activation must be fb.CustomActivation(f, derivative) for a function of your own, got {brief(activation)}"
        )
    return check_choice("activation", activation, ACTIVATIONS | _ALIASES)
