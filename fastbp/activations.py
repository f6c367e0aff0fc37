"""The activation functions, as small objects that name their kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._names import shown
from .errors import brief, check_choice, check_object
from .kernels import activations as kernels
from .program.c_source import CSource
from .program.emitter import IN_PLACE, Emitter
from .program.engine import run_kernel
from .program.records import ELEMENTWISE, Record, Tensor
from .runtime.functions import DTYPES, Kernel


@dataclass(frozen=True)
class ActivationFunction:
    """An activation a = f(z); an object `f` is also the function, of NumPy arrays: f(z) and f.derivative(z).

    forward   kernel with the fields y, x, features, blocked; None for the identity
    backward  kernel with the fields dx, dy, y, features, blocked, where y = f(x); or x in the place of y
    c         f(x) of one element as an expression of C in x, where {f} stands for the end of the names of functions in
              math.h; or a function that adds f, in place, to C source; None: networks with it can't be written as C

    Kernels that don't work element by element have no field `blocked`.
    """

    name: str
    forward: Kernel | None
    backward: Kernel | None
    c: str | Callable[[CSource], None] | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        return repr(self.name)

    def described(self) -> Any:
        return self.name

    def __reduce__(self) -> Any:
        return get, (self.name,)  # a copy is the same object: some are recognised by that

    def __call__(self, z: Any) -> Any:
        """f(z), by the kernel that networks run: of each element, or for softmax of each vector along the last axis.

        z: a number or an array of any shape, of real numbers: float32 and float64 stay, others become float64.
        Returns a new array of that shape, or a number. Raises TypeError or ValueError for anything else.
        """
        return self._run(self.forward, z)

    def derivative(self, z: Any) -> Any:
        """f'(z), likewise. Raises ValueError for softmax, of which each output depends on all inputs."""
        if not self.elementwise:
            raise ValueError(f"the derivative of {self.name} is no function of single elements")
        reads_output = self.backward is not None and "y" in self.backward.fields
        x = _as_floats(self, z)
        return self._run(self.backward, np.ones_like(x), self._run(self.forward, x) if reads_output else x)

    def _run(self, kernel: Kernel | None, *arrays: Any) -> Any:
        """What a kernel writes for these arrays, which it reads."""
        read = [_as_floats(self, array) for array in arrays]
        x = read[0]
        features = x.size if self.elementwise else x.shape[-1]
        if kernel is None or x.size == 0:
            return x.copy()[()]
        out = np.empty_like(x)
        sizes = [features, *self.layout(False).values()]
        record = np.array([out.ctypes.data, *(array.ctypes.data for array in read), *sizes], np.int64)
        rows = x.size // features
        run_kernel(kernel.address(x.dtype), record.ctypes.data, rows, 0, rows)
        return out[()]

    @property
    def elementwise(self) -> bool:
        """Whether it works on each element by itself."""
        return self.forward is None or "blocked" in self.forward.fields

    def layout(self, blocked: bool) -> dict[str, bool]:
        """The field of its kernels that says how rows lie, if they have it."""
        return {"blocked": blocked} if self.elementwise else {}

    def emit(self, plan: Emitter, x: Tensor) -> Tensor:
        """Add y = f(x) and its backward pass to a plan; returns y, or x for the identity."""
        if self.forward is None or self.backward is None:
            return x
        y = plan.tensor(x.shape, x.blocked)
        plan.trace(x, y)
        sizes: Record = dict(features=x.size, **self.layout(x.blocked))
        plan.forward(self.forward, ELEMENTWISE * x.size, IN_PLACE, y=y.value, x=x.value, **sizes)
        read: Record = {"y": y.value} if "y" in self.backward.fields else {"x": x.value}
        slope = 4 if "y" in self.backward.fields else ELEMENTWISE
        plan.backward(self.backward, slope * x.size, IN_PLACE, dx=x.grad, dy=y.grad, **read, **sizes)
        return y

    def write_c(self, source: CSource, owner: str) -> None:
        """Add a = f(x), in place, to C source. Raises ValueError, naming its owner, if it has no C."""
        if self.forward is None:
            return
        if self.c is None:
            raise ValueError(f"{owner} can't be written as C: {self!r} is no activation of fastbp's")
        if not isinstance(self.c, str):
            self.c(source)
            return
        name = f"{self.name}_of"  # math.h has a tanh
        source.define(name, f"\nstatic real {name}(real x)\n{{\n    return {self.c};\n}}\n")
        source.for_each(f"{name}({{x}})")


def _as_floats(activation: ActivationFunction, z: Any) -> np.ndarray:
    """z as a contiguous array of a dtype that kernels know. Raises TypeError or ValueError."""
    array = np.asarray(z)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"z must hold real numbers, got {brief(z)}")
    if not activation.elementwise and array.ndim == 0:
        raise ValueError(f"z must have at least one axis for {activation.name}, got a single number")
    return np.require(array, array.dtype if array.dtype in DTYPES else np.float64, ["C_CONTIGUOUS", "ALIGNED"])


_SOFTMAX = """
static void softmax(real *x, int n)
{
    real top = x[0], total = 0;
    for (int i = 1; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (int i = 0; i < n; i++) {
        x[i] = exp{f}(x[i] - top);
        total += x[i];
    }
    for (int i = 0; i < n; i++)
        x[i] /= total;
}
"""


def _write_softmax(source: CSource) -> None:
    source.define("softmax", _SOFTMAX)
    source.add(f"softmax({source.now}, {source.size});")


def _write_mean_variance(source: CSource) -> None:
    source.for_each(f"exp{source.suffix}({{x}})", first=source.size // 2)


ACTIVATIONS: dict[str, ActivationFunction] = {}


def _known(
    name: str, forward: Kernel | None, backward: Kernel | None, c: str | Callable[[CSource], None] | None = None
) -> ActivationFunction:
    """An activation that ACTIVATIONS has from now on."""
    ACTIVATIONS[name] = activation = ActivationFunction(name, forward, backward, c)
    return activation


# Of several expressions in C, the one is taken that loses no digits far out. The formulas' sources are in
# kernels/activations.py.
linear = _known("linear", None, None)
sigmoid = _known("sigmoid", kernels.sigmoid_forward, kernels.sigmoid_backward, "1 / (1 + exp{f}(-x))")
tanh = _known("tanh", kernels.tanh_forward, kernels.tanh_backward, "tanh{f}(x)")
relu = _known("relu", kernels.relu_forward, kernels.relu_backward, "x < 0 ? 0 : x")
leaky_relu = _known("leaky_relu", kernels.leaky_relu_forward, kernels.leaky_relu_backward, "x > 0 ? x : (real)0.01 * x")
elu = _known("elu", kernels.elu_forward, kernels.elu_backward, "x > 0 ? x : expm1{f}(x)")
selu = _known(
    "selu",
    kernels.selu_forward,
    kernels.selu_backward,
    "x > 0 ? (real)1.0507009873554804934 * x : (real)1.7580993408473768599 * expm1{f}(x)",
)
gelu = _known(
    "gelu", kernels.gelu_forward, kernels.gelu_backward, "(real)0.5 * x * erfc{f}(-x * (real)0.70710678118654752440)"
)
silu = _known("silu", kernels.silu_forward, kernels.silu_backward, "x / (1 + exp{f}(-x))")
mish = _known("mish", kernels.mish_forward, kernels.mish_backward, "x * tanh{f}(log1p{f}(exp{f}(x)))")
softplus = _known(
    "softplus", kernels.softplus_forward, kernels.softplus_backward, "(x > 0 ? x : 0) + log1p{f}(exp{f}(-fabs{f}(x)))"
)
softsign = _known("softsign", kernels.softsign_forward, kernels.softsign_backward, "x / (1 + fabs{f}(x))")
hard_sigmoid = _known(
    "hard_sigmoid", kernels.hard_sigmoid_forward, kernels.hard_sigmoid_backward, "x < -3 ? 0 : x > 3 ? 1 : (x + 3) / 6"
)
hard_tanh = _known("hard_tanh", kernels.hard_tanh_forward, kernels.hard_tanh_backward, "x < -1 ? -1 : x > 1 ? 1 : x")
exponential = _known("exponential", kernels.exponential_forward, kernels.exponential_backward, "exp{f}(x)")
softmax = _known("softmax", kernels.softmax_forward, kernels.softmax_backward, _write_softmax)
# What the loss gaussian_nll makes of outputs; no layer's.
mean_variance = ActivationFunction(
    "mean_variance", kernels.mean_variance_forward, kernels.mean_variance_backward, _write_mean_variance
)

swish = silu
NAMED = ACTIVATIONS | {"swish": silu}


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
    return check_choice("activation", activation, NAMED)


__all__ = ["ACTIVATIONS", "ActivationFunction", "get", "swish", *ACTIVATIONS]
__dir__ = shown(__all__)
