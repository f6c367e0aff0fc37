"""The vector mathematics against extended precision: millions of points, and the edges."""

import numpy as np
import pytest
from numba import njit, types
from support import DTYPES, run_python

from fastbp.kernels import maths
from fastbp.simd import cpu
from fastbp.simd.memory import pointer
from fastbp.simd.vectors import lanes, load, store

pytestmark = pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than double here")

LIMITS = {np.dtype(np.float32): 2.0, np.dtype(np.float64): 4.0}  # ulp
# Without fma each step of the polynomials rounds twice: 2.95 ulp is the worst of all float32 numbers.
LIMITS_WITHOUT_FMA = {("normal_cdf", np.dtype(np.float32)): 3.0}
POINTS = 2_000_000


def compiled(function):
    """function on arrays, whose length is a multiple of the vector's."""

    def make(dtype):
        float_type = types.float32 if dtype == np.float32 else types.float64

        @njit(error_model="numpy")
        def run(y, x):
            yp, xp = pointer(y.ctypes.data, float_type), pointer(x.ctypes.data, float_type)
            for i in range(0, x.size, lanes(float_type)):
                store(yp, i, function(load(xp, i)))

        return run

    return {dtype: make(dtype) for dtype in DTYPES}


def long_sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def long_normal_pdf(x):
    """exp(-x²/2) / √(2π), of whose exponent nothing is lost in rounding x²."""
    x = np.clip(x, -50, 50)
    high = np.rint(16 * x) / 16  # its square is exact
    return np.exp(-high * high / 2) * np.exp((high - x) * (high + x) / 2) / np.sqrt(2 * np.arccos(np.longdouble(-1)))


def long_normal_cdf(x):
    """By the power series of (Φ(x) - ½) / φ(x) near 0, and Laplace's continued fraction of φ(a) / Φ(-a) elsewhere."""
    y = np.where(np.isnan(x), x, np.where(x < 0, 0, 1)).astype(np.longdouble)
    density = long_normal_pdf(x)
    near, far = np.abs(x) < 1.75, (np.abs(x) >= 1.75) & (np.abs(x) < 50)
    term = total = x[near]
    for k in range(3, 80, 2):
        term = term * x[near] ** 2 / k
        total = total + term
    y[near] = np.longdouble(0.5) + density[near] * total
    a = np.abs(x[far])
    fraction = a
    for k in range(200, 0, -1):
        fraction = a + k / fraction
    y[far] = np.where(x[far] < 0, density[far] / fraction, 1 - density[far] / fraction)
    return y


@njit
def normal_pdf(x):
    return maths.normal(x)[1]


FUNCTIONS = {
    "exp": (compiled(maths.exp), np.exp),
    "expm1": (compiled(maths.expm1), np.expm1),
    "log": (compiled(maths.log), np.log),
    "tanh": (compiled(maths.tanh), np.tanh),
    "sigmoid": (compiled(maths.sigmoid), long_sigmoid),
    "softplus_minus": (compiled(maths.softplus_minus), lambda x: np.log1p(np.exp(-np.abs(x)))),
    "normal_cdf": (compiled(maths.normal_cdf), long_normal_cdf),
    "normal_pdf": (compiled(normal_pdf), long_normal_pdf),
}


def evaluate(name, x):
    function, _ = FUNCTIONS[name]
    padded = np.resize(x, -(-x.size // 16) * 16)
    y = np.full_like(padded, np.nan)
    function[x.dtype](y, padded)
    return y[: x.size]


def limit(name, dtype):
    return LIMITS[dtype] if cpu.has_fma() else LIMITS_WITHOUT_FMA.get((name, dtype), LIMITS[dtype])


def points(name, dtype):
    """Points over the whole range: every exponent, and the interesting interval densely."""
    rng = np.random.default_rng(0)
    whole = np.uint32 if dtype == np.float32 else np.uint64
    bits = rng.integers(0, np.iinfo(whole).max, POINTS // 2, dtype=whole, endpoint=True).view(dtype)
    wide = 105.0 if dtype == np.float32 else 750.0
    wide = np.sqrt(2 * wide) if name.startswith("normal") else wide
    dense = rng.uniform(-wide, wide, POINTS // 4)
    near = rng.uniform(-3, 3, POINTS // 4)
    x = np.concatenate([bits[np.isfinite(bits)], dense.astype(dtype), near.astype(dtype)])
    return np.abs(x) if name == "log" else x


def ulps(got, want, dtype):
    """|got - want| in units of the last place of want, rounded to dtype; subnormals have the least normal's."""
    with np.errstate(all="ignore"):
        rounded = want.astype(dtype)
        unit = np.spacing(np.maximum(np.abs(rounded), np.finfo(dtype).tiny)).astype(np.longdouble)
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
        # a result just below overflow may be rounded up to infinity by its last ulp
        distance = np.abs(got.astype(np.longdouble) - want) / unit
    return np.where(same, np.where(np.isfinite(rounded), np.where(np.isfinite(distance), distance, 0), 0), distance)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_in_ulp(name, dtype):
    x = points(name, dtype)
    with np.errstate(all="ignore"):
        want = FUNCTIONS[name][1](x.astype(np.longdouble))
    error = ulps(evaluate(name, x), want, dtype)
    worst = int(np.argmax(error))
    assert error[worst] <= limit(name, dtype), f"{name}({x[worst]!r}): {error[worst]} ulp"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_edges(name, dtype):
    info = np.finfo(dtype)
    x = np.array(
        [
            0,
            -0.0,
            info.smallest_subnormal,
            -info.smallest_subnormal,
            info.tiny,
            info.max,
            -info.max,
            np.inf,
            -np.inf,
            np.nan,
            1,
            -1,
            88.72,
            88.73,
            -87.4,
            -103.9,
            -104.1,
            709.7,
            709.8,
            -745.1,
            -745.2,
            -13.1,
            -14.17,
            -14.18,
            -14.34,
            -38.48,
            -38.49,
            -38.58,
            0.6,
            -0.6,
            0.8,
            -0.8,
            info.eps,
            0.5,
            2,
        ]
    ).astype(dtype)
    with np.errstate(all="ignore"):
        want = FUNCTIONS[name][1](x.astype(np.longdouble))
    got = evaluate(name, x)
    bad = ulps(got, want, dtype) > limit(name, dtype)
    assert not bad.any(), [(float(a), float(g), float(w)) for a, g, w in zip(x[bad], got[bad], want[bad], strict=True)]
    if name in ("tanh", "expm1"):
        assert (np.signbit(got[:2]) == [False, True]).all()
    if name == "normal_cdf":
        assert (got[[0, 5, 6, 7, 8]] == [0.5, 1, 0, 1, 0]).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_normal_gives_the_bits_of_both(dtype):
    float_type = types.float32 if dtype == np.float32 else types.float64

    @njit(error_model="numpy")
    def run(cdf, pdf, x):
        for i in range(0, x.size, lanes(float_type)):
            both = maths.normal(load(pointer(x.ctypes.data, float_type), i))
            store(pointer(cdf.ctypes.data, float_type), i, both[0])
            store(pointer(pdf.ctypes.data, float_type), i, both[1])

    x = np.random.default_rng(0).uniform(-15, 15, 1600).astype(dtype)
    cdf, pdf = np.full_like(x, np.nan), np.full_like(x, np.nan)
    run(cdf, pdf, x)
    assert (cdf == evaluate("normal_cdf", x)).all() and (pdf == evaluate("normal_pdf", x)).all()


@pytest.mark.slow
@pytest.mark.skipif(not cpu.is_x86(), reason="names of x86 CPUs")
def test_error_without_fma():
    code = f"import sys, pytest; sys.exit(pytest.main([{__file__!r}, '-k', 'error_in_ulp and (normal or expm1)']))"
    result = run_python(code, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert result.returncode == 0 and "6 passed" in result.stdout, result.stdout + result.stderr
