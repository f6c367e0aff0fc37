"""The vector mathematics against extended precision: millions of points, and the edges."""

import numpy as np
import pytest
from numba import njit, types
from support import DTYPES

from fastbp.kernels import maths
from fastbp.simd import lanes, load, pointer, store

pytestmark = pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than double here")

LIMITS = {np.dtype(np.float32): 2.0, np.dtype(np.float64): 4.0}  # ulp
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


FUNCTIONS = {
    "exp": (compiled(maths.exp), np.exp),
    "log": (compiled(maths.log), np.log),
    "tanh": (compiled(maths.tanh), np.tanh),
    "sigmoid": (compiled(maths.sigmoid), long_sigmoid),
    "softplus_minus": (compiled(maths.softplus_minus), lambda x: np.log1p(np.exp(-np.abs(x)))),
}


def evaluate(name, x):
    function, _ = FUNCTIONS[name]
    padded = np.resize(x, -(-x.size // 16) * 16)
    y = np.full_like(padded, np.nan)
    function[x.dtype](y, padded)
    return y[: x.size]


def points(name, dtype):
    """Points over the whole range: every exponent, and the interesting interval densely."""
    rng = np.random.default_rng(0)
    whole = np.uint32 if dtype == np.float32 else np.uint64
    bits = rng.integers(0, np.iinfo(whole).max, POINTS // 2, dtype=whole, endpoint=True).view(dtype)
    wide = 105.0 if dtype == np.float32 else 750.0
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
    assert error[worst] <= LIMITS[dtype], f"{name}({x[worst]!r}): {error[worst]} ulp"


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
            info.eps,
            0.5,
            2,
        ]
    ).astype(dtype)
    with np.errstate(all="ignore"):
        want = FUNCTIONS[name][1](x.astype(np.longdouble))
    got = evaluate(name, x)
    bad = ulps(got, want, dtype) > LIMITS[dtype]
    assert not bad.any(), [(float(a), float(g), float(w)) for a, g, w in zip(x[bad], got[bad], want[bad], strict=True)]
    if name == "tanh":
        assert (np.signbit(got[:2]) == [False, True]).all()
