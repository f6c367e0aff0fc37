"""Dense: every output is a weighted sum of every input."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .. import activations
from ..activations import ActivationFunction
from ..errors import check_integer
from ..kernels import dense as kernels
from ..program.c_source import CSource
from ..program.emitter import Emitter
from ..program.records import Record, Shape, Tensor, op
from .base import LAYERS, AffineLayer, Layer, Parameter, Weights

# From so many weights on they are packed for the caches before each step: half of an L2 cache, in float32.
LARGE_WEIGHTS = 1 << 17


@LAYERS.register
@dataclass(frozen=True, repr=False)
class Dense(AffineLayer):
    """a = f(x @ weight + bias).

    Arguments:
        units: outputs, 1 or more.
        activation: f: a name, an activation object, or None for linear.
        bias: whether there is one.
        kernel_init: initial weights: a name ("zeros", "ones", "uniform", "normal", "glorot_uniform", "glorot_normal",
            "he_uniform", "he_normal", "lecun_uniform", "lecun_normal", "orthogonal"), an initializer, a number, or an
            array (inputs, units); by default "he_uniform" for relu, "glorot_uniform" for the others.
        bias_init: initial biases, likewise.
        l1, l2: factors, 0 or more, of Σ|weight| and Σ weight², which are added to the loss; not for the bias.
        trainable, learning_rate: see WeightedLayer.

    Shapes: x (rows, inputs), weight (inputs, units), bias (units,), a (rows, units).
    Raises TypeError or ValueError for other arguments.
    """

    units: int
    activation: str | ActivationFunction | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._store(units=check_integer("units", self.units, low=1))

    @property
    def ends_with(self) -> ActivationFunction:
        return activations.get(self.activation)

    def without_activation(self) -> Layer:
        return replace(self, activation=activations.linear)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ValueError(f"Dense takes rows of shape (inputs,), got {input_shape}: put Flatten() before it")
        return (self.units,)

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        fans = input_shape[0], self.units
        return self._weight_and_bias(fans, self.units, *fans)

    def emit(self, plan: Emitter, x: Tensor, *weights: Tensor) -> Tensor:
        x = plan.plain(x)
        weight, fan_in, fan_out = weights[0], x.size, self.units
        y = plan.tensor((fan_out,))
        sizes: Record = dict(fan_in=fan_in, fan_out=fan_out)
        flops = 2 * fan_in * fan_out
        large = min(fan_in, fan_out) > 1 and fan_in * fan_out >= LARGE_WEIGHTS

        forward: Record = dict(y=y.value, x=x.value, weight=weight.value, bias=weights[1].value if self.bias else 0)
        ending: Record = dict(**sizes, relu=0)
        few = None
        if large:
            packed = plan.fixed(-(-fan_out // kernels.PANEL) * kernels.PANEL * fan_in)
            record: Record = dict(packed=packed, x=weight.value, features=fan_out, width=0, capacity=fan_in)
            plan.prepare(kernels.dense_pack_rows, 8 * fan_in * fan_out, fan_in, **record)
            few = op(kernels.dense_forward, flops, **forward, **ending, packed=0)
            forward["weight"] = packed
        plan.forward(kernels.dense_forward, flops, False, few, **forward, **ending, packed=large)

        transposed = weight.value
        if fan_out > 1:
            panels = -(-fan_in // kernels.PANEL)
            transposed = plan.fixed(panels * kernels.PANEL * fan_out)
            record = dict(packed=transposed, weight=weight.value)
            plan.prepare(kernels.dense_pack_transposed, 8 * fan_in * fan_out, panels, **record, **sizes)
        plan.backward(kernels.dense_backward_input, flops, dx=x.grad, dy=y.grad, packed=transposed, y=0, **sizes)

        gradient: Record = dict(x=x.value, dy=y.grad)
        if large:
            gradient = {
                name: plan.packed_rows(kernels.dense_pack_rows, place, size, width)
                for name, place, size, width in (("x", x.value, fan_in, kernels.WIDE), ("dy", y.grad, fan_out, 0))
            }
        items, fields = fan_in + self.bias, gradient | sizes
        plan.gradient(kernels.dense_backward_weight, flops, weight, items, fan_out, fields, large=large)
        plan.penalty(weight, self.l1, self.l2)
        return self.ends_with.emit(plan, y)

    def write_c(self, source: CSource, name: str, weights: Weights) -> None:
        source.define("dense", _DENSE)
        arguments = f"{self._c_weight_and_bias(source, name, weights)}, {source.size}, {self.units}"
        source.replace("dense", arguments, self.output_shape(source.shape))
        self.ends_with.write_c(source, name)


_DENSE = """
/* y = x weight + bias: weight (inputs, outputs), bias (outputs,) */
static void dense(real *y, const real *x, const real *weight, const real *bias, int inputs, int outputs)
{
    for (int j = 0; j < outputs; j++)
        y[j] = bias ? bias[j] : 0;
    for (int i = 0; i < inputs; i++)
        for (int j = 0; j < outputs; j++)
            y[j] += x[i] * weight[i * outputs + j];
}
"""
