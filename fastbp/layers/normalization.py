"""BatchNorm and LayerNorm: values of mean 0 and variance 1, times a gain, plus a bias."""

from __future__ import annotations

import math
import sys
from dataclasses import KW_ONLY, dataclass

import numpy as np

from ..errors import check_integer, check_number
from ..initializers import Constant
from ..kernels import norm as kernels
from ..program.c_source import CSource
from ..program.emitter import IN_PLACE, Emitter
from ..program.records import Record, Shape, Tensor
from .base import LAYERS, Parameter, WeightedLayer, Weights

# An element that is normalised, in operations of a matrix product.
NORM = 10


@LAYERS.register
@dataclass(frozen=True, repr=False)
class BatchNorm(WeightedLayer):
    """a = gain (x - mean) / √(variance + epsilon) + bias, for each map or feature over the batch.

    In training, mean and variance are those of the batch, and running ones follow them: running = (1 - momentum)
    running + momentum · the batch's, where the variance is the unbiased one. Everywhere else (predict, evaluate,
    value_and_grad, input_gradient), and in training too if trainable is False, the running ones are taken.
    A training step needs two values of each map or feature: one row of features has no variance, and is refused.

    Arguments:
        momentum: 0 to 1.
        epsilon: greater than 0.
        trainable, learning_rate: see WeightedLayer.

    Shapes: x and a (rows, maps, …), gain, bias, running_mean, running_variance (maps,); the last two are no parameters.
    Raises TypeError or ValueError for other arguments. Source: Ioffe & Szegedy 2015.
    """

    _: KW_ONLY
    momentum: float = 0.1
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        momentum = check_number("momentum", self.momentum, low=0, high=1)
        self._store(momentum=momentum, epsilon=check_number("epsilon", self.epsilon, low=0, open_low=True))

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        return _gain_and_bias(input_shape[:1])

    def statistics(self, input_shape: Shape) -> tuple[Parameter, ...]:
        maps = input_shape[0]
        return (
            Parameter("running_mean", (maps,), Constant(0.0), maps, maps),
            Parameter("running_variance", (maps,), Constant(1.0), maps, maps),
        )

    def least_batch(self, input_shape: Shape) -> int:
        return 2 if self.trainable and math.prod(input_shape[1:]) == 1 else 1

    def emit(self, plan: Emitter, x: Tensor, *weights: Tensor) -> Tensor:
        x = plan.blocked(x)
        gain, bias, running, _ = weights
        maps = x.shape[0]
        y = plan.tensor(x.shape, blocked=True)
        statistics, dparams = plan.fixed(3 * maps), plan.fixed(2 * maps)
        sizes: Record = dict(maps=maps, pixels=x.size // maps)
        training: Record = dict(training=plan.clock()["training"] if self.trainable else 0)
        flops = NORM * x.size

        sums = plan.task_sums(2 * maps)
        grain: Record = dict(grain=plan.grain)
        plan.forward(kernels.batch_norm_sums, flops, sums=sums, x=x.value, **sizes, **training)
        record: Record = dict(statistics=statistics, sums=sums, running=running.value, **sizes, **grain)
        plan.between(kernels.batch_norm_statistics, **record, **training, epsilon=self.epsilon)
        read: Record = dict(statistics=statistics, gain=gain.value, bias=bias.value)
        plan.forward(kernels.batch_norm_forward, flops, y=y.value, x=x.value, **read, **sizes, relu=0)
        if self.trainable:
            record = dict(running=running.value, statistics=statistics, **sizes, momentum=self.momentum)
            plan.after_step(kernels.batch_norm_update, **record)

        record = dict(dy=y.grad, x=x.value, **read, dparams=dparams, **sizes, **training, relu=0)
        plan.backward(kernels.batch_norm_backward, flops, IN_PLACE, dx=x.grad, **record)
        backward_sums = plan.task_sums(2 * maps)
        record = dict(dparams=dparams, sums=backward_sums, maps=maps, **grain)
        plan.between_backward(kernels.batch_norm_backward_add, **record)
        record = dict(dy=y.grad, x=x.value, **read, **sizes, relu=0)
        plan.backward(kernels.batch_norm_backward_sums, flops, sums=backward_sums, **record)
        plan.gradient(kernels.copy_gradient, 1, gain, 2, maps, dict(source=dparams, width=maps), small=0)
        return y

    def write_c(self, source: CSource, name: str, weights: Weights) -> None:
        source.define("batch_norm", _BATCH_NORM)
        with np.errstate(all="ignore"):  # what is not finite is refused by name
            scale = weights["gain"] / np.sqrt(weights["running_variance"].astype(np.float64) + self.epsilon)
            scale = scale.astype(source.dtype)
        arrays = {"running_mean": weights["running_mean"], "scale": scale, "bias": weights["bias"]}
        names = ", ".join(source.constant(f"{name}.{which}", values) for which, values in arrays.items())
        maps = source.shape[0]
        source.add(f"batch_norm({source.now}, {names}, {maps}, {source.size // maps});")


@LAYERS.register
@dataclass(frozen=True, repr=False)
class LayerNorm(WeightedLayer):
    """a = gain (x - mean) / √(variance + epsilon) + bias, over the last axes of each row.

    Arguments:
        axes: how many of the last axes of a row are normalised over together, 1 or more. Of maps (channels, height,
            width) 3 are all.
        epsilon: greater than 0.
        trainable, learning_rate: see WeightedLayer.

    Shapes: x and a (rows, …), gain and bias those of the last axes.
    Raises TypeError or ValueError for other arguments. Source: Ba, Kiros & Hinton 2016.
    """

    axes: int = 1
    _: KW_ONLY
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        epsilon = check_number("epsilon", self.epsilon, low=0, open_low=True)
        self._store(axes=check_integer("axes", self.axes, low=1), epsilon=epsilon)

    def _implied(self) -> tuple[str, ...]:
        return ("axes",) if self.axes == 1 else ()

    def output_shape(self, input_shape: Shape) -> Shape:
        if self.axes > len(input_shape):
            raise ValueError(f"axes must be at most {len(input_shape)} for input {input_shape}, got {self.axes}")
        return input_shape

    def parameters(self, input_shape: Shape) -> tuple[Parameter, ...]:
        return _gain_and_bias(input_shape[-self.axes :])

    def emit(self, plan: Emitter, x: Tensor, *weights: Tensor) -> Tensor:
        x = plan.blocked(x)
        gain, bias = weights
        groups, size = x.size // gain.size, gain.size
        y = plan.tensor(x.shape, blocked=True)
        mean, rstd = plan.buffer(groups, blocked=True), plan.buffer(groups, blocked=True)
        sizes: Record = dict(groups=groups, size=size)
        read: Record = dict(x=x.value, gain=gain.value, bias=bias.value)
        record: Record = dict(y=y.value, mean=mean, rstd=rstd, **read, **sizes, epsilon=self.epsilon)
        plan.forward(kernels.layer_norm_forward, NORM * x.size, **record)
        saved: Record = dict(dy=y.grad, x=x.value, mean=mean, rstd=rstd)
        plan.backward(kernels.layer_norm_backward, NORM * x.size, dx=x.grad, **saved, gain=gain.value, **sizes)
        fields = saved | sizes
        plan.gradient(kernels.layer_norm_backward_params, NORM * x.size, gain, 2, size, fields, small=sys.maxsize)
        return y

    def write_c(self, source: CSource, name: str, weights: Weights) -> None:
        source.define("layer_norm", _LAYER_NORM)
        names = ", ".join(source.constant(f"{name}.{which}", weights[which]) for which in ("gain", "bias"))
        size, epsilon = weights["gain"].size, source.number(float(source.dtype.type(self.epsilon)))
        source.add(f"layer_norm({source.now}, {names}, {source.size // size}, {size}, {epsilon});")


def _gain_and_bias(shape: Shape) -> tuple[Parameter, ...]:
    size = math.prod(shape)
    return Parameter("gain", shape, Constant(1.0), size, size), Parameter("bias", shape, Constant(0.0), size, size)


_BATCH_NORM = """
/* x (maps, pixels) = (x - mean) scale + bias, each of them (maps,) */
static void batch_norm(real *x, const real *mean, const real *scale, const real *bias, int maps, int pixels)
{
    for (int m = 0; m < maps; m++)
        for (int p = 0; p < pixels; p++, x++)
            *x = (*x - mean[m]) * scale[m] + bias[m];
}
"""

_LAYER_NORM = """
/* x (groups, size) = gain (x - mean) / sqrt(variance + epsilon) + bias: mean and variance of each group */
static void layer_norm(real *x, const real *gain, const real *bias, int groups, int size, real epsilon)
{
    for (int g = 0; g < groups; g++, x += size) {
        real mean = 0, variance = 0;
        for (int i = 0; i < size; i++)
            mean += x[i];
        mean /= (real)size;
        for (int i = 0; i < size; i++)
            variance += (x[i] - mean) * (x[i] - mean);
        variance /= (real)size;
        for (int i = 0; i < size; i++)
            x[i] = gain[i] * (x[i] - mean) / sqrt{f}(variance + epsilon) + bias[i];
    }
}
"""
