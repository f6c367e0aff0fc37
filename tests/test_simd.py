"""Vectors and tiles by themselves: every operation against NumPy, element for element and bit for bit."""

import operator
from fractions import Fraction

import numpy as np
import pytest
from numba import njit, types
from support import DTYPES, Guarded, run_python, seed_of

import fastbp as fb
from fastbp.simd import cpu, memory, tiles, vectors

NUMBA = {np.dtype(np.float32): types.float32, np.dtype(np.float64): types.float64}
BITS = {np.dtype(np.float32): np.uint32, np.dtype(np.float64): np.uint64}


def apply(dtype, function, arguments):
    """function of the vectors that lie in `arguments`, as an array of one vector's length."""
    float_type, n = NUMBA[dtype], cpu.lanes_of(NUMBA[dtype])
    out = Guarded(None, dtype, (n,))
    addresses = np.array([a.ctypes.data for a in (out.array, *arguments)])
    if len(arguments) == 1:

        @njit
        def run(p):
            vectors.store(
                memory.pointer(p[0], float_type), 0, function(vectors.load(memory.pointer(p[1], float_type), 0))
            )

    elif len(arguments) == 2:

        @njit
        def run(p):
            a, b = vectors.load(memory.pointer(p[1], float_type), 0), vectors.load(memory.pointer(p[2], float_type), 0)
            vectors.store(memory.pointer(p[0], float_type), 0, function(a, b))

    else:

        @njit
        def run(p):
            a, b = vectors.load(memory.pointer(p[1], float_type), 0), vectors.load(memory.pointer(p[2], float_type), 0)
            c = vectors.load(memory.pointer(p[3], float_type), 0)
            vectors.store(memory.pointer(p[0], float_type), 0, function(a, b, c))

    run(addresses)
    assert out.intact()
    return out.array


def numbers(dtype, name, count=1):
    n = cpu.lanes_of(NUMBA[dtype])
    rng = np.random.default_rng(seed_of(name, str(dtype)))
    return [(10 * rng.standard_normal(n)).astype(dtype) for _ in range(count)]


def same(a, b):
    kind = BITS[a.dtype]
    return ((a.view(kind) == b.view(kind)) | (np.isnan(a) & np.isnan(b))).all()


@njit
def _add(a, b):
    return a + b


@njit
def _sub(a, b):
    return a - b


@njit
def _mul(a, b):
    return a * b


@njit
def _div(a, b):
    return a / b


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("function", "want"),
    [
        (_add, operator.add),
        (_sub, operator.sub),
        (_mul, operator.mul),
        (_div, operator.truediv),
        (vectors.minimum, np.fmin),
        (vectors.maximum, np.fmax),
        (vectors.copy_sign, np.copysign),
        (vectors.absolute, np.abs),
        (vectors.nearest, np.rint),
    ],
)
def test_elementwise(function, want, dtype):
    if want in (np.abs, np.rint):
        arguments, call = numbers(dtype, str(want)), njit(lambda a: function(a))
    else:
        arguments, call = numbers(dtype, str(want), 2), njit(lambda a, b: function(a, b))
    assert same(apply(dtype, call, arguments), want(*arguments))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_minimum_and_maximum_keep_a_first_nan(dtype):
    a, b = numbers(dtype, "nan", 2)
    a[0], b[1] = np.nan, np.nan
    for function in (vectors.minimum, vectors.maximum):
        got = apply(dtype, njit(lambda a, b: function(a, b)), [a, b])  # noqa: B023
        assert np.isnan(got[0]) and got[1] == a[1]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_square_root_select_and_comparisons(dtype):
    a, b = numbers(dtype, "select", 2)
    b[0] = a[0]
    assert same(apply(dtype, njit(lambda a: vectors.square_root(vectors.absolute(a))), [a]), np.sqrt(np.abs(a)))
    assert same(apply(dtype, njit(lambda a, b: vectors.select(a < b, a, b)), [a, b]), np.where(a < b, a, b))
    assert same(apply(dtype, njit(lambda a, b: vectors.select(a > b, a, b)), [a, b]), np.where(a > b, a, b))
    assert same(apply(dtype, njit(lambda a, b: vectors.select(a == b, a, b - b)), [a, b]), np.where(a == b, a, b - b))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_powers_of_two_and_exponents(dtype):
    info = np.finfo(dtype)
    n = cpu.lanes_of(NUMBA[dtype])
    powers = np.resize([0, 1, -1, 5, info.maxexp - 1, info.minexp, info.minexp - info.nmant, -7], n).astype(dtype)
    ones = np.ones(n, dtype)
    got = apply(dtype, njit(lambda a, m: vectors.times_power_of_two(a, m)), [ones, powers])
    assert same(got, np.ldexp(ones, powers.astype(int)))
    powers = np.clip(powers, info.minexp, info.maxexp - 1)
    assert same(apply(dtype, njit(lambda m: vectors.power_of_two(m)), [powers]), np.ldexp(ones, powers.astype(int)))
    a = np.abs(numbers(dtype, "exponent")[0]) + dtype.type(0.01)
    exponent = apply(dtype, njit(lambda a: vectors.exponent(a)), [a])
    rest = np.ldexp(a, -exponent.astype(int))
    assert (rest >= np.sqrt(0.5) * (1 - info.eps)).all() and (rest <= np.sqrt(2) * (1 + info.eps)).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_minus_product_is_what_rounding_lost(dtype):
    a, b = numbers(dtype, "product", 2)
    p = a * b
    p[::2] = np.nextafter(p[::2], dtype.type(np.inf))
    got = apply(dtype, njit(lambda p, a, b: vectors.minus_product(p, a, b)), [p, a, b])
    want = [
        float(Fraction(float(r)) - Fraction(float(x)) * Fraction(float(y))) for r, x, y in zip(p, a, b, strict=True)
    ]
    assert np.count_nonzero(want) > 1
    np.testing.assert_allclose(got, np.array(want, dtype), rtol=4 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_masked_loads_and_stores_touch_only_their_lanes(dtype):
    float_type, n = NUMBA[dtype], cpu.lanes_of(NUMBA[dtype])

    @njit
    def move(p, k):
        v = vectors.load_first(memory.pointer(p[1], float_type), 1, k)
        vectors.store_first(memory.pointer(p[0], float_type), 1, v, k)
        vectors.store(memory.pointer(p[2], float_type), 0, v)

    x = np.arange(1, n + 2).astype(dtype)
    for k in (-3, 0, 1, n // 2, n - 1, n, n + 5):
        y, whole = np.full(n + 2, -1, dtype), np.empty(n, dtype)
        move(np.array([y.ctypes.data, x.ctypes.data, whole.ctypes.data]), k)
        inside = np.arange(n) < k
        assert (whole == np.where(inside, x[1:], 0)).all()
        assert (y[1:-1] == np.where(inside, x[1:], -1)).all() and y[0] == y[-1] == -1


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_reductions_have_one_order(dtype):
    (a,) = numbers(dtype, "sum")

    def halves(x):
        while len(x) > 1:
            x = x[: len(x) // 2] + x[len(x) // 2 :]
        return x[0]

    assert same(apply(dtype, njit(lambda a: vectors.splat(vectors.sum_lanes(a))), [a]), np.full_like(a, halves(a)))
    assert same(apply(dtype, njit(lambda a: vectors.splat(vectors.max_lanes(a))), [a]), np.full_like(a, a.max()))

    total = np.zeros(1)
    float_type = NUMBA[dtype]

    @njit
    def run(p):
        memory.pointer(p[0], types.float64)[0] = vectors.sum_lanes_double(
            vectors.load(memory.pointer(p[1], float_type), 0)
        )

    run(np.array([total.ctypes.data, a.ctypes.data]))
    assert total[0] == halves(a.astype(np.float64))


@pytest.mark.parametrize("size", ["LARGE", "MEDIUM", "SMALL"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tile(dtype, size):
    """Three outer products, with the row added, and each way to store."""
    float_type, which = NUMBA[dtype], getattr(tiles, size)

    @njit
    def run(p, n, ending):
        c, a = memory.pointer(p[0], float_type), memory.pointer(p[1], float_type)
        b, y = memory.pointer(p[2], float_type), memory.pointer(p[3], float_type)
        t = tiles.tile(float_type, which, 2)
        stride = 2 * vectors.lanes(float_type) + 3
        for k in range(3):
            t = tiles.tile_add_outer_first(t, memory.offset(a, k), 3, memory.offset(b, k * stride), n)
        if ending == 0:
            tiles.tile_store(t, c, stride, n)
        elif ending == 1:
            tiles.tile_store_relu(tiles.tile_add_row(t, y, n), c, stride, n, 1)
        else:
            tiles.tile_store_where(t, c, stride, n, y)
        return tiles.rows_of(t)

    width = 2 * cpu.lanes_of(float_type)
    rng = np.random.default_rng(seed_of(size, str(dtype)))
    for n in (1, width // 2, width // 2 + 1, width - 1, width):
        for ending in range(3):
            a, b = rng.standard_normal((12, 3)).astype(dtype), rng.standard_normal((3, width + 3)).astype(dtype)
            c, y = Guarded(None, dtype, (12, width + 3)), rng.standard_normal((12, width + 3)).astype(dtype)
            rows = run(np.array([q.ctypes.data for q in (c.array, a, b, y)]), n, ending)
            assert c.intact()
            want = a[:rows].astype(np.float64) @ b[:, :n].astype(np.float64)
            if ending == 1:
                want = np.maximum(want + y[0, :n], 0)
            elif ending == 2:
                want = np.where(y[:rows, :n] > 0, want, 0)
            np.testing.assert_allclose(c.array[:rows, :n], want, rtol=0, atol=40 * np.finfo(dtype).eps)
            assert np.isnan(c.array[:rows, n:]).all() and np.isnan(c.array[rows:]).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_transpose_block(dtype):
    float_type, n = NUMBA[dtype], cpu.lanes_of(NUMBA[dtype])

    @njit
    def run(p):
        tiles.transpose_block(memory.pointer(p[0], float_type), n + 1, memory.pointer(p[1], float_type), n + 2)

    x, y = np.arange(n * (n + 2)).astype(dtype).reshape(n, n + 2), np.full((n, n + 1), -1, dtype)
    run(np.array([y.ctypes.data, x.ctypes.data]))
    assert (y[:, :n] == x[:, :n].T).all() and (y[:, n] == -1).all()


def test_subnormals_are_flushed_only_inside():
    tiny = np.array([np.finfo(np.float64).tiny])

    @njit
    def halves(x):
        outside = x[0] / 2
        state = cpu.flush_subnormals()
        inside = x[0] / 2
        cpu.restore_subnormals(state)
        return outside, inside, x[0] / 2

    before, inside, after = halves(tiny)
    assert before == after == tiny[0] / 2 > 0
    assert inside == 0 or not cpu.is_x86()
    # and after a call of the engine, on this thread and on the workers
    X = np.ones((4096, 64))
    fb.Network([fb.Dense(64)], (64,), loss="mse", dtype="float64", seed=0).fit(X, X, batch_size=4096, verbose=False)
    assert tiny[0] / 2 > 0


@pytest.mark.skipif(not cpu.is_x86(), reason="names of x86 CPUs")
@pytest.mark.parametrize(("cpu", "width", "rows"), [("skylake-avx512", 64, 12), ("haswell", 32, 6), ("generic", 16, 4)])
def test_width_is_the_cpus(cpu, width, rows):
    code = "from fastbp.simd import cpu; print(cpu.vector_bytes(), cpu.tile_rows())"
    features = "+avx512f,+avx512dq,+avx512vl" if width == 64 else ""
    result = run_python(code, NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES=features)
    assert result.stdout.split() == [str(width), str(rows)], result.stderr


@pytest.mark.slow
@pytest.mark.skipif(not cpu.is_x86(), reason="names of x86 CPUs")
@pytest.mark.parametrize("cpu", ["haswell", "generic"])
def test_gradients_with_narrower_vectors(cpu):
    """A network with layers of each kind, on this CPU but with the vectors of an older one."""
    code = """
import numpy as np, fastbp as fb
net = fb.Network([fb.Dense(400, "relu"), fb.Dense(350, "tanh"), fb.Dense(1)], (5,), loss="mse", seed=0, dtype="float64")
X = np.random.default_rng(0).standard_normal((70, 5))
loss, gradient = net.value_and_grad(X, X[:, 0])
print(loss, np.abs(gradient).sum(), gradient @ gradient)
"""
    want = run_python(code).stdout.split()
    # without this, Numba takes the features of the CPU at hand
    got = run_python(code, NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES="").stdout.split()
    np.testing.assert_allclose(np.array(got, float), np.array(want, float), rtol=1e-11)
