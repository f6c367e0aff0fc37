"""exp, expm1, log, tanh, sigmoid, softplus and the normal distribution of a vector: range reduction and polynomials.

At most 2 ulp from the true value in float32 and 4 in float64 (Φ on a CPU without fma: 3 and 4), over the whole range,
subnormal results included where the thread does not flush them (tests/test_maths.py). NaN gives NaN. The polynomials
are Chebyshev fits in 60 digits on the reduced ranges, the quotient for Φ is Remez's: their own error is below 1/4 ulp.
"""

from __future__ import annotations

from ..runtime.functions import inner
from ..simd.vectors import (
    absolute,
    constant,
    copy_sign,
    exponent,
    fma,
    maximum,
    minimum,
    minus_product,
    nearest,
    polynomial,
    power_of_two,
    select,
    times_power_of_two,
)

zero, one, _two, half = constant(0, 0), constant(1, 1), constant(2, 2), constant(0.5, 0.5)
_infinity, _nan = constant(float("inf"), float("inf")), constant(float("nan"), float("nan"))
_log2_e = constant(1.4426950408889634, 1.4426950408889634)
# log 2 in two parts, the first so short that its product with an exponent is exact
_log_2_high = constant(0.6923828125, 0.6931471803691238)
_log_2_low = constant(7.6436805994530941723e-4, 1.9082149292705878161e-10)

# (exp r - 1 - r) / r² for |r| ≤ ½ log 2
_exp_tail = polynomial(
    (1.392692661402190648e-3, 8.3637738744055734983e-3, 4.1666550110305124444e-2, 0.16666573381900846023, 0.5),
    (
        2.0915442297780115216e-9,
        2.5106274733573294687e-8,
        2.7557271810219799569e-7,
        2.7557252833516909748e-6,
        2.4801587327007186731e-5,
        1.9841269876864354929e-4,
        1.3888888888883326674e-3,
        8.3333333333255446996e-3,
        4.1666666666666670074e-2,
        0.16666666666666671438,
        0.5,
    ),
)
# (log((1 + s) / (1 - s)) - 2s) / s³ as a function of s², for |s| ≤ (√2 - 1) / (√2 + 1)
_log_tail = polynomial(
    (0.23341943388714560866, 0.28550396959618013579, 0.40000125594554367087, 0.6666666654988317655),
    (
        0.14630031364122860468,
        0.15330617306743304885,
        0.18182922513515941633,
        0.22222210674238515246,
        0.28571428628810995598,
        0.39999999999893221763,
        0.6666666666666669907,
    ),
)
# Beyond these, exp is 0 or infinite, and tanh is 1.
_exp_least, _exp_most = constant(-104.0, -746.0), constant(89.0, 710.0)
# Below this, expm1 is -1.
_expm1_least = constant(-20.0, -40.0)
# (tanh x - x) / x³ as a function of x², for |x| < 9/16
_tanh_near = constant(0.5625, 0.5625)
_tanh_tail = polynomial(
    (
        -6.5255721689981483556e-3,
        2.1263353447151622097e-2,
        -5.3901753164581233464e-2,
        0.13333073813501169266,
        -0.3333333169526054732,
    ),
    (
        -2.0026740085317684745e-5,
        8.426522203958066102e-5,
        -2.3410556936772797301e-4,
        5.8875371118348039075e-4,
        -1.4556239774192677815e-3,
        3.5921055321327687723e-3,
        -8.8632340215295135964e-3,
        2.1869488476962561362e-2,
        -5.3968253967059396515e-2,
        0.13333333333332390931,
        -0.33333333333333332102,
    ),
)
_tanh_most = constant(9.2, 19.2)
# Beyond this, Φ is 0 or 1, and φ is 0.
_normal_most = constant(14.5, 38.7)
_density_at_0 = constant(0.3989423, 0.3989422804014327)
# (Φ(x) - ½) / x as a function of -x²/2, for |x| < 0.8 (0.6)
_normal_near = constant(0.8, 0.6)
_normal_slope = polynomial(
    (0.0016219945, 0.009437044, 0.039887443, 0.13298059, 0.3989423),
    (
        4.875245277443613e-6,
        4.2506155181144284e-5,
        0.0003022114699633791,
        0.0018469535284321343,
        0.009498625656491212,
        0.03989422803862994,
        0.13298076013379787,
        0.39894228040143265,
    ),
)
# V and U of Φ(-a) = φ(a) V(a) / (a V(a) + U(a)) for the other a: the errors of V in the two places nearly cancel.
# Fitted to φ with the rounded φ(0), and scaled in float32 for the least sum of rounding errors.
_mills_v = polynomial(
    (0.02044333, 0.15693799, 0.609762, 1.2828416, 1.2621974),
    (
        5.1362276549696145e-6,
        0.00012282763117394153,
        0.0014780406195818467,
        0.011432610460429735,
        0.06186150160441866,
        0.24128623308521602,
        0.6770458826573703,
        1.3207900886177688,
        1.6377119283614041,
        1.0,
    ),
)
_mills_u = polynomial(
    (0.020439388, 0.15712762, 0.5652603, 1.0070193),
    (
        5.136227656029595e-6,
        0.00012282763098575488,
        0.0014677681792680279,
        0.011186954482063248,
        0.05895680574899417,
        0.21964874935667297,
        0.5677326953090004,
        0.9433248346934668,
        0.7978845608354675,
    ),
)
# s and 2⁻ˢ of 2ⁿ = 2ⁿ⁺ˢ 2⁻ˢ: for every n of φ both factors are normal
_shift, _shift_back = constant(64.0, 512.0), constant(2.0**-64, 2.0**-512)
_least_normal = constant(2.0**-126, 2.0**-1022)
_lift, _lifted = constant(2.0**25, 2.0**54), constant(25.0, 54.0)


@inner
def _reduce(x):
    """n and r of x = n log 2 + r."""
    n = nearest(x * _log2_e(x))
    return n, fma(n, zero(x) - _log_2_low(x), fma(n, zero(x) - _log_2_high(x), x))


@inner
def _exp_near(r):
    """eʳ = 1 + r + r² P(r) in two parts: 1 + r rounded, and the rest with what rounding lost."""
    t = one(r) + r
    return t, fma(r * r, _exp_tail(r), r - (t - one(r)))


@inner
def sign(x):
    """-1, 0 or 1."""
    return select(x == zero(x), zero(x), copy_sign(one(x), x))


@inner
def exp(x):
    """eˣ = 2ⁿ eʳ for x = n log 2 + r."""
    n, r = _reduce(maximum(minimum(x, _exp_most(x)), _exp_least(x)))
    t, rest = _exp_near(r)
    return times_power_of_two(t + rest, n)


@inner
def expm1(x):
    """eˣ - 1 = 2ⁿ (eʳ - 1) + 2ⁿ - 1 for x = n log 2 + r, by halves: 2ⁿ itself may overflow."""
    n, r = _reduce(maximum(minimum(x, _exp_most(x)), _expm1_least(x)))
    s = power_of_two(n - one(x))
    y = fma(s, r * r * _exp_tail(r), fma(s, r, s - half(x)))
    return copy_sign(y + y, x)


@inner
def tanh(x):
    """tanh x = 1 - 2 / (e²ˣ + 1), and x + x³ Q(x²) for small x."""
    a = minimum(absolute(x), _tanh_most(x))
    z = a * a
    near = fma(a * z, _tanh_tail(z), a)
    far = one(x) - _two(x) / (exp(a + a) + one(x))
    return copy_sign(select(a < _tanh_near(x), near, far), x)


@inner
def sigmoid(x):
    """1 / (1 + e⁻ˣ), as e⁻|ˣ| / (1 + e⁻|ˣ|) for negative x."""
    e = exp(zero(x) - absolute(x))
    d = one(x) + e
    lost = e - (d - one(x))
    negative = x < zero(x)
    y = select(negative, e, one(x)) / d
    # what was lost in rounding d is put back to first order: 1 / d is y, or 1 - y for negative x
    return fma(y * select(negative, y - one(x), zero(x) - y), lost, y)


@inner
def _log_normal(x):
    """log x for a normal x > 0: with n and f of x = 2ⁿ (1 + f), s = f / (2 + f), log(1 + f) = 2s + s³ R(s²)."""
    n = exponent(x)
    f = times_power_of_two(x, zero(x) - n) - one(x)
    s = f / (_two(x) + f)
    z = s * s
    half_square = half(x) * f * f
    # 2s = f - s f, and s f = f²/2 - s f²/2: small terms first, f last
    rest = fma(s, fma(z, _log_tail(z), half_square), n * _log_2_low(x)) - half_square
    return fma(n, _log_2_high(x), f + rest)


@inner
def log(x):
    """Natural logarithm: -∞ at 0, NaN below."""
    small = x < _least_normal(x)
    y = _log_normal(select(small, x * _lift(x), x))
    y = select(small, y - _lifted(x) * (_log_2_high(x) + _log_2_low(x)), y)
    y = select(x == _infinity(x), x, y)
    y = select(x == zero(x), zero(x) - _infinity(x), y)
    y = select(x < zero(x), _nan(x), y)
    return select(x == x, y, x)


@inner
def softplus_minus(x):
    """log(1 + e⁻|ˣ|)."""
    u = exp(zero(x) - absolute(x))
    w = one(x) + u
    # what is lost in rounding w is put back to first order
    return _log_normal(w) + (u - (w - one(x))) / w


@inner
def _normal_parts(a):
    """n, y, lost and h of φ(a) = 2ⁿ (y + lost), of which y is rounded, and h = -a²/2."""
    m = (zero(a) - half(a)) * a
    h = m * a
    n = nearest(h * _log2_e(a))
    # what is lost in rounding h is put back: e^h would magnify it
    low = fma(n, _log_2_low(a), minus_product(h, m, a))
    t, rest = _exp_near(fma(n, zero(a) - _log_2_high(a), h) - low)
    c = _density_at_0(a)
    rest = rest * c
    y = fma(t, c, rest)
    return n, y, rest - minus_product(y, t, c), h


@inner
def _scaled(y, n):
    """y 2ⁿ for the n of _normal_parts: times_power_of_two for a narrower range, at half its cost."""
    return y * power_of_two(n + _shift(n)) * _shift_back(n)


@inner
def normal(x):
    """Φ(x) and φ(x), the standard normal distribution's function and its density φ(x) = exp(-x²/2) / √(2π).

    Φ(x) = ½ + x P(-x²/2) for small x, else Φ(-a) = φ(a) V(a) / (a V(a) + U(a)) and Φ(a) = 1 - Φ(-a).
    """
    a = minimum(absolute(x), _normal_most(x))
    n, y, y_lost, h = _normal_parts(a)
    v = _mills_v(a)
    d = fma(a, v, _mills_u(a))
    inverse = one(x) / d
    ratio = v * inverse
    ratio_lost = minus_product(v, ratio, d) * inverse
    # φ(a) and the ratio, each rounded, with what is lost of both put back to first order
    tail = _scaled(fma(y, ratio, fma(y_lost, ratio, y * ratio_lost)), n)
    near = fma(x, _normal_slope(h), half(x))
    far = select(x < zero(x), tail, one(x) - tail)
    return select(a < _normal_near(x), near, far), _scaled(y, n)


@inner
def normal_cdf(x):
    """Φ(x) alone."""
    return normal(x)[0]
