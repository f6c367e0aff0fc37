"""Activations a = f(z) and their backward passes, written with f' as a function of a where that is possible.

All whose backward pass reads y work in place as well: y may be x; and dx may be dy for all.
"""

from __future__ import annotations

from ..runtime.functions import Kernel, inner, kernel
from ..simd.entry import Array, Size
from ..simd.memory import offset
from ..simd.vectors import (
    absolute,
    constant,
    first_lanes,
    fma,
    lanes,
    load_first,
    max_lanes,
    maximum,
    minimum,
    select,
    splat,
    store_first,
    sum_lanes,
)
from . import maths
from .elementwise import binary, product, span, unary
from .maths import one, zero

_two = constant(2.0, 2.0)


def elementwise(name, f, slope, reads="y"):
    """The kernels of y = f(x) and of dx = slope(dy, a), where a is y or x, as `reads` says: a vector at a time."""

    def forward(y: Array, x: Array, features: Size, blocked: Size, dtype, rows, lo, hi):
        """Writes y (rows, features). Reads x (rows, features). Both plain or both in blocks."""
        first, last = span(lo, hi, features, blocked, dtype)
        unary(f, y, x, first, last, dtype)

    def backward_of_y(dx: Array, dy: Array, y: Array, features: Size, blocked: Size, dtype, rows, lo, hi):
        """Writes dx (rows, features). Reads dy, y (rows, features). All plain or all in blocks."""
        first, last = span(lo, hi, features, blocked, dtype)
        binary(slope, dx, dy, y, first, last, dtype)

    def backward_of_x(dx: Array, dy: Array, x: Array, features: Size, blocked: Size, dtype, rows, lo, hi):
        """Writes dx (rows, features). Reads dy, x (rows, features). All plain or all in blocks."""
        first, last = span(lo, hi, features, blocked, dtype)
        binary(slope, dx, dy, x, first, last, dtype)

    backward = backward_of_y if reads == "y" else backward_of_x
    return Kernel(forward, f"{name}_forward"), Kernel(backward, f"{name}_backward")


# --- sigmoid: y = 1 / (1 + exp(-x)), dx = dy y (1 - y)


@inner
def _sigmoid_backward(dy, y):
    return dy * (y * (one(y) - y))


sigmoid_forward, sigmoid_backward = elementwise("sigmoid", maths.sigmoid, _sigmoid_backward)


# --- tanh: dx = dy (1 - y²)


@inner
def _tanh_backward(dy, y):
    return dy * (one(y) - y * y)


tanh_forward, tanh_backward = elementwise("tanh", maths.tanh, _tanh_backward)


# --- relu: y = max(x, 0), where NaN stays NaN; dx = dy where y > 0, else 0


@inner
def _relu(x):
    return select(x < zero(x), zero(x), x)


@inner
def _relu_backward(dy, y):
    return select(y > zero(y), dy, zero(y))


relu_forward, relu_backward = elementwise("relu", _relu, _relu_backward)


# --- leaky_relu: y = x where x > 0, else x / 100


_leak = constant(0.01, 0.01)


@inner
def _leaky_relu(x):
    return select(x > zero(x), x, x * _leak(x))


@inner
def _leaky_relu_backward(dy, y):
    return select(y > zero(y), dy, dy * _leak(y))


leaky_relu_forward, leaky_relu_backward = elementwise("leaky_relu", _leaky_relu, _leaky_relu_backward)


# --- elu: y = x where x > 0, else exp(x) - 1; dx = dy there, else dy (y + 1). Clevert et al. 2016, α = 1


@inner
def _elu(x):
    return select(x > zero(x), x, maths.expm1(minimum(x, zero(x))))


@inner
def _elu_backward(dy, y):
    return select(y > zero(y), dy, dy * (y + one(y)))


elu_forward, elu_backward = elementwise("elu", _elu, _elu_backward)


# --- selu: y = λ x where x > 0, else λ α (exp(x) - 1). Klambauer et al. 2017, eq. 2


_selu_scale = constant(1.0507009873554804934, 1.0507009873554804934)
_selu_both = constant(1.7580993408473768599, 1.7580993408473768599)  # λ α


@inner
def _selu(x):
    return select(x > zero(x), x * _selu_scale(x), maths.expm1(minimum(x, zero(x))) * _selu_both(x))


@inner
def _selu_backward(dy, y):
    return dy * select(y > zero(y), _selu_scale(y), y + _selu_both(y))


selu_forward, selu_backward = elementwise("selu", _selu, _selu_backward)


# --- gelu: y = x Φ(x), dx = dy (Φ(x) + x φ(x)), where Φ is the normal distribution. Hendrycks & Gimpel 2016, exact


@inner
def _gelu(x):
    return x * maths.normal_cdf(x)


@inner
def _gelu_backward(dy, x):
    function, density = maths.normal(x)
    return dy * fma(x, density, function)


gelu_forward, gelu_backward = elementwise("gelu", _gelu, _gelu_backward, reads="x")


# --- silu: y = x σ(x), dx = dy σ(x) (1 + x (1 - σ(x))). Elfwing et al. 2018


@inner
def _silu(x):
    return x * maths.sigmoid(x)


@inner
def _silu_backward(dy, x):
    s = maths.sigmoid(x)
    return dy * (s * fma(x, one(x) - s, one(x)))


silu_forward, silu_backward = elementwise("silu", _silu, _silu_backward, reads="x")


# --- mish: y = x tanh(softplus(x)). Misra 2019
# With e = exp(x) and n = e (e + 2): tanh(softplus(x)) = n / (n + 2), its derivative 4 e (e + 1) / (n + 2)².
# From x = 20 on the first is 1 and the second 0 in float64 too.


_mish_most = constant(20.0, 20.0)


@inner
def _mish_powers(x):
    e = maths.exp(minimum(x, _mish_most(x)))
    return e, e * (e + _two(x))


@inner
def _mish(x):
    _, n = _mish_powers(x)
    return x * (n / (n + _two(x)))


@inner
def _mish_backward(dy, x):
    e, n = _mish_powers(x)
    d = n + _two(x)
    slope = _two(x) * e / d * (_two(x) * (e + one(x)) / d)
    return dy * fma(x, slope, n / d)


mish_forward, mish_backward = elementwise("mish", _mish, _mish_backward, reads="x")


# --- softplus: y = log(1 + exp(x)), dx = dy (1 - exp(-y))


@inner
def _softplus(x):
    return select(x < zero(x), zero(x), x) + maths.softplus_minus(x)


@inner
def _softplus_backward(dy, y):
    return zero(y) - dy * maths.expm1(zero(y) - y)


softplus_forward, softplus_backward = elementwise("softplus", _softplus, _softplus_backward)


# --- softsign: y = x / (1 + |x|), dx = dy (1 - |y|)²


@inner
def _softsign(x):
    return x / (one(x) + absolute(x))


@inner
def _softsign_backward(dy, y):
    rest = one(y) - absolute(y)
    return dy * (rest * rest)


softsign_forward, softsign_backward = elementwise("softsign", _softsign, _softsign_backward)


# --- hard_sigmoid: y = (x + 3) / 6, cut to 0 … 1; dx = dy / 6 where 0 < y < 1, else 0. Howard et al. 2019


_three, _six = constant(3.0, 3.0), constant(6.0, 6.0)


@inner
def _cut(x, low, high):
    return select(x < low, low, select(x > high, high, x))


@inner
def _hard_sigmoid(x):
    return _cut(x + _three(x), zero(x), _six(x)) / _six(x)


@inner
def _hard_sigmoid_backward(dy, y):
    return select(y > zero(y), select(y < one(y), dy / _six(y), zero(y)), zero(y))


hard_sigmoid_forward, hard_sigmoid_backward = elementwise("hard_sigmoid", _hard_sigmoid, _hard_sigmoid_backward)


# --- hard_tanh: y = x, cut to -1 … 1; dx = dy where -1 < y < 1, else 0


@inner
def _hard_tanh(x):
    return _cut(x, zero(x) - one(x), one(x))


@inner
def _hard_tanh_backward(dy, y):
    return select(absolute(y) < one(y), dy, zero(y))


hard_tanh_forward, hard_tanh_backward = elementwise("hard_tanh", _hard_tanh, _hard_tanh_backward)


# --- exponential: y = exp(x), dx = dy y


exponential_forward, exponential_backward = elementwise("exponential", maths.exp, product)


# --- softmax


@inner
def row_max(x, n, dtype):
    """The largest of x[0] … x[n - 1]; a NaN that is not x[0] does not count."""
    first = splat(x[0])
    top, i = first, 0
    while i < n:
        v = load_first(x, i, n - i)
        top = maximum(top, select(first_lanes(v, n - i), v, first))
        i += lanes(dtype)
    return max_lanes(top)


@inner
def row_exp(y, x, n, top, dtype):
    """y[j] = exp(x[j] - top), for j < n; returns their sum."""
    total, shift, i = splat(dtype(0)), splat(top), 0
    while i < n:
        e = maths.exp(load_first(x, i, n - i) - shift)
        store_first(y, i, e, n - i)
        total = total + select(first_lanes(e, n - i), e, zero(e))
        i += lanes(dtype)
    return sum_lanes(total)


@kernel
def softmax_forward(y: Array, x: Array, features: Size, dtype, rows, lo, hi):
    """y = exp(x - max x) / Σ exp(x - max x), over each row.

    Writes y (rows, features). Reads x (rows, features).
    """
    for r in range(lo, hi):
        a, out = offset(x, r * features), offset(y, r * features)
        total = splat(row_exp(out, a, features, row_max(a, features, dtype), dtype))
        i = 0
        while i < features:
            store_first(out, i, load_first(out, i, features - i) / total, features - i)
            i += lanes(dtype)


@kernel
def softmax_backward(dx: Array, dy: Array, y: Array, features: Size, dtype, rows, lo, hi):
    """dx = y (dy - Σ dy y), over each row.

    Writes dx (rows, features). Reads dy, y (rows, features).
    """
    for r in range(lo, hi):
        at = r * features
        total, i = splat(dtype(0)), 0
        while i < features:
            total = total + load_first(dy, at + i, features - i) * load_first(y, at + i, features - i)
            i += lanes(dtype)
        total = splat(sum_lanes(total))
        i = 0
        while i < features:
            d, a = load_first(dy, at + i, features - i), load_first(y, at + i, features - i)
            store_first(dx, at + i, a * (d - total), features - i)
            i += lanes(dtype)


# --- mean and variance: y = x in the first half of a row, exp(x) in the second


@kernel
def mean_variance_forward(y: Array, x: Array, features: Size, dtype, rows, lo, hi):
    """y = x for the first features // 2 of each row, exp(x) for the others.

    Writes y (rows, features). Reads x (rows, features).
    """
    for r in range(lo, hi):
        at = r * features
        for i in range(features // 2):
            y[at + i] = x[at + i]
        i = features // 2
        while i < features:
            store_first(y, at + i, maths.exp(load_first(x, at + i, features - i)), features - i)
            i += lanes(dtype)


@kernel
def mean_variance_backward(dx: Array, dy: Array, y: Array, features: Size, dtype, rows, lo, hi):
    """dx = dy for the first features // 2 of each row, dy y for the others.

    Writes dx (rows, features). Reads dy, y (rows, features).
    """
    for r in range(lo, hi):
        for i in range(r * features, (r + 1) * features):
            dx[i] = dy[i] * (y[i] if i >= r * features + features // 2 else dtype(1.0))
