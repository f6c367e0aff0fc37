"""The activation functions, as small objects that name their kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._names import shown
from .errors import brief, check_choice, check_object
from .kernels import activations as kernels
from .program.engine import run_kernel
from .runtime.functions import DTYPES, Kernel

if TYPE_CHECKING:
    from .program.plan import Plan, Tensor

__all__ = [
    "ACTIVATIONS",
    "ActivationFunction",
    "elu",
    "exponential",
    "gelu",
    "get",
    "hard_sigmoid",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "mish",
    "relu",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "swish",
    "tanh",
]
__dir__ = shown(__all__)


@dataclass(frozen=True)
class ActivationFunction:
    """An activation a = f(z); an object `f` is also the function, of NumPy arrays: f(z) and f.derivative(z).

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
        from .program.plan import ELEMENTWISE

        features, layout = x.size, self.layout(x.blocked)
        plan.forward(self.forward, ELEMENTWISE * features, None, y=y.value, x=x.value, features=features, **layout)
        read = {"y": y.value} if "y" in self.backward.fields else {"x": x.value}
        slope = 4 if "y" in self.backward.fields else ELEMENTWISE
        plan.backward(self.backward, slope * features, dx=x.grad, dy=y.grad, **read, features=features, **layout)


def _as_floats(activation: ActivationFunction, z: Any) -> np.ndarray:
    """z as a contiguous array of a dtype that kernels know. Raises TypeError or ValueError."""
    array = np.asarray(z)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"z must hold real numbers, got {brief(z)}")
    if not activation.elementwise and array.ndim == 0:
        raise ValueError(f"z must have at least one axis for {activation.name}, got a single number")
    return np.require(array, array.dtype if array.dtype in DTYPES else np.float64, ["C_CONTIGUOUS", "ALIGNED"])


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
