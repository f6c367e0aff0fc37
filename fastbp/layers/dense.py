"""Dense: every output is a weighted sum of every input."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace

from .. import activations, initializers
from ..activations import ActivationFunction
from ..errors import check_bool, check_integer
from ..initializers import Initializer
from ..kernels import dense as kernels
from ..plan import Plan, Shape, Tensor, Weight
from .base import Layer, Parameter


@dataclass(frozen=True)
class Dense(Layer):
    """a = f(x @ weight + bias).

    Arguments:
        units: outputs, 1 or more.
        activation: f: a name, an activation object, or None for linear.
        bias: whether there is one.
        kernel_init: initial weights: "zeros", "glorot_uniform", "glorot_normal", "he_uniform", "he_normal"; by
            default "he_uniform" for relu, "glorot_uniform" for the others.
        bias_init: initial biases, likewise.

    Shapes: x (rows, inputs), weight (inputs, units), bias (units,), a (rows, units).
    Raises TypeError or ValueError for other arguments.
    """

    units: int
    activation: str | ActivationFunction | None = None
    _: KW_ONLY
    bias: bool = True
    kernel_init: str | Initializer | None = None
    bias_init: str | Initializer = "zeros"

    def __post_init__(self) -> None:
        activation = activations.get(self.activation)
        default = "he_uniform" if activation is activations.relu else "glorot_uniform"
        fields = {
            "units": check_integer("units", self.units, low=1),
            "activation": activation,
            "bias": check_bool("bias", self.bias),
            "kernel_init": initializers.get("kernel_init", self.kernel_init or default),
            "bias_init": initializers.get("bias_init", self.bias_init),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @property
    def ends_with(self) -> ActivationFunction:
        return activations.get(self.activation)

    def without_activation(self) -> Layer:
        return replace(self, activation=activations.linear)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ValueError(f"Dense takes rows of shape (inputs,), got {input_shape}")
        return (self.units,)

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        fans = input_shape[0], self.units
        weight = Parameter("weight", fans, initializers.get("kernel_init", self.kernel_init or "zeros"), *fans)
        bias = Parameter("bias", (self.units,), initializers.get("bias_init", self.bias_init), *fans)
        return (weight, bias) if self.bias else (weight,)

    def emit(self, plan: Plan, x: Tensor, *weights: Weight) -> Tensor:
        weight, fan_in, fan_out = weights[0], x.size, self.units
        y = plan.tensor((fan_out,))
        sizes = dict(fan_in=fan_in, fan_out=fan_out)
        flops = 2 * fan_in * fan_out
        bias = weights[1].value if self.bias else 0
        plan.forward(kernels.dense_forward, flops, y=y.value, x=x.value, weight=weight.value, bias=bias, **sizes)
        plan.backward(kernels.dense_backward_input, flops, dx=x.grad, dy=y.grad, weight=weight.value, **sizes)
        items = fan_in + self.bias
        plan.gradient(
            kernels.dense_backward_weight, flops, weight, items, dweight=weight.grad, x=x.value, dy=y.grad, **sizes
        )
        self.ends_with.emit(plan, y, y)
        return y
