"""Networks called from C, through the structs of fastbp.h: the same bits as in Python."""

import copy
import ctypes
import pickle
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy
import scipy.integrate
from support import compile_c

import fastbp as fb
from fastbp.embedding import handles

INCLUDE = f"-I{fb.get_include()}"
HEADER = Path(fb.get_include()) / "fastbp.h"

TRAIN = """
#include <fastbp.h>

/* Epochs of batches in order, then predictions; the sum of all losses, or less than 0 for an error. */
double train(const NETWORK *net, const REAL *x, const LABEL *y, int64_t rows, int64_t y_width, int epochs, REAL *out)
{
    double total = 0.0, loss;
    for (int e = 0; e < epochs; e++)
        for (int64_t r = 0; r < rows; r += net->rows) {
            int64_t n = rows - r < net->rows ? rows - r : net->rows;
            if (net->train_step(net->handle, x + r * net->inputs, y + r * y_width, n, &loss) != FASTBP_DONE)
                return -1.0;
            total += loss;
        }
    return net->predict(net->handle, x, rows, out) == FASTBP_DONE ? total : -1.0;
}
"""


def make(dtype="float32", loss="cross_entropy", outputs=3):
    return fb.Network([fb.Dense(9, "tanh"), fb.Dense(outputs)], (5,), loss=loss, dtype=dtype, seed=0)


def data(dtype, loss, rows=50):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, 5)).astype(dtype)
    return X, rng.integers(0, 3, rows) if loss == "cross_entropy" else rng.standard_normal((rows, 3)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_a_c_program_trains(loss, dtype, tmp_path):
    real = "float" if dtype == "float32" else "double"
    label = "int64_t" if loss == "cross_entropy" else real
    names = f"-DREAL={real}", f"-DLABEL={label}", f"-DNETWORK=fastbp_f{dtype[-2:]}"
    check_training(compile_c(TRAIN, tmp_path, INCLUDE, *names).train, dtype, loss)


ACCUMULATE = """
#include <fastbp.h>
#include <stdlib.h>

/* A step with the mean gradient of n batches of net->rows rows; the mean loss, or less than 0 for an error. */
double step(const fastbp_f64 *net, const double *x, const int64_t *y, int n)
{
    double total = 0.0, loss;
    double *sum = calloc((size_t)net->num_params, sizeof(double));
    double *gradient = malloc((size_t)net->num_params * sizeof(double));
    for (int b = 0; b < n; b++) {
        if (net->value_and_grad(net->handle, x, y, net->rows, &loss, gradient) != FASTBP_DONE)
            return -1.0;
        for (int64_t i = 0; i < net->num_params; i++)
            sum[i] += gradient[i] / n;
        total += loss / n;
        x += net->rows * net->inputs;
        y += net->rows;
    }
    int32_t status = net->apply_gradients(net->handle, sum);
    free(sum);
    free(gradient);
    return status == FASTBP_DONE ? total : -1.0;
}
"""


def test_a_c_program_accumulates_gradients(tmp_path):
    step = compile_c(ACCUMULATE, tmp_path, INCLUDE).step
    step.restype = ctypes.c_double
    (X, y), net, twin = data("float64", "cross_entropy", 48), make("float64"), make("float64")
    pointers = net.c_pointers(rows=12)
    for _ in range(5):
        loss = step(ctypes.byref(pointers), X.ctypes, y.ctypes, ctypes.c_int(4))
        assert loss == pytest.approx(twin.train_on_batch(X, y), rel=1e-12)
    np.testing.assert_allclose(net.params, twin.params, rtol=1e-9, atol=1e-12)


def check_training(train, dtype, loss):
    """That a compiled function as in TRAIN does what train_on_batch and predict do."""
    train.restype = ctypes.c_double

    (X, y), net, twin = data(dtype, loss), make(dtype, loss), make(dtype, loss)
    out, pointers = np.full((50, 3), np.nan, dtype), net.c_pointers(rows=16)
    sizes = ctypes.c_int64(50), ctypes.c_int64(y[0].size), ctypes.c_int(3)
    total = train(ctypes.byref(pointers), X.ctypes, y.ctypes, *sizes, out.ctypes)
    batches = [slice(r, r + 16) for r in range(0, 50, 16)]
    assert total == sum(twin.train_on_batch(X[b], y[b]) for _ in range(3) for b in batches)
    assert (net.params == twin.params).all() and (out == twin.predict(X)).all() and net.steps_trained == 12


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_each_function_through_ctypes(loss, dtype):
    (X, y), net = data(dtype, loss, 7), make(dtype, loss)
    p, found = net.c_pointers(rows=7), ctypes.c_double()
    assert (p.rows, p.inputs, p.outputs, p.num_params) == (7, 5, 3, net.num_params)
    assert p.params[3] == net.params[3]

    def filled(call, *shape):
        out = np.full(shape, np.nan, dtype)
        assert call(out) == handles.DONE
        return out

    assert (filled(lambda out: p.predict(p.handle, X, 7, out), 7, 3) == net.predict(X)).all()
    assert (filled(lambda out: p.forward(p.handle, X, 7, out), 7, 3) == net.forward(X)).all()
    assert (filled(lambda out: p.input_jacobian(p.handle, X, 7, out), 7, 3, 5) == net.input_jacobian(X)).all()
    value, gradient = net.value_and_grad(X, y)
    out = filled(lambda out: p.value_and_grad(p.handle, X, y, 7, found, out), net.num_params)
    assert found.value == value and (out == gradient).all()
    found.value = 0
    out = filled(lambda out: p.input_gradient(p.handle, X, y, 7, found, out), 7, 5)
    assert found.value == value and (out == net.input_gradient(X, y)).all()
    twin = make(dtype, loss)
    twin.train_on_batch(X, y)
    assert p.apply_gradients(p.handle, gradient) == handles.DONE and (net.params == twin.params).all()
    assert net.steps_trained == 1


def address(p, field):
    """Of a C function in the struct."""
    return ctypes.c_void_p.from_address(p.address + getattr(type(p), field).offset).value


def test_statuses():
    (X, y), net = data("float32", "cross_entropy", 4), make()
    p, loss, before, out = net.c_pointers(rows=3), ctypes.c_double(-1), net.params.copy(), np.empty((4, 3), np.float32)
    assert p.train_step(p.handle, X, y, 4, loss) == p.train_step(p.handle, X, y, 0, loss) == handles.BAD_ROWS
    for rows in (-1, 2**62, 2**62 + 1, 2**63 - 1):  # three outputs of so many rows are no int64
        assert p.predict(p.handle, X, rows, out) == p.train_step(p.handle, X, y, rows, loss) == handles.BAD_ROWS
    assert p.train_step(p.handle, X, np.array([0, 3]), 2, loss) == handles.BAD_LABEL
    for field in ("predict", "forward", "input_jacobian"):
        function = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 4)(address(p, field))
        given = p.handle, X.ctypes, 2, out.ctypes
        for place in (0, 1, 3):
            assert function(*given[:place], None, *given[place + 1 :]) == handles.IS_NULL
    step = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 5)(address(p, "train_step"))
    given = p.handle, X.ctypes, y.ctypes, 2, ctypes.addressof(loss)
    for place in (0, 1, 2, 4):
        assert step(*given[:place], None, *given[place + 1 :]) == handles.IS_NULL
    assert np.isnan(p.value(5, (ctypes.c_double * 5)(), None)) and np.isnan(p.value(5, None, p.handle))
    apply = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2)(address(p, "apply_gradients"))
    gradient = np.ones(net.num_params, np.float32)
    assert apply(None, gradient.ctypes) == apply(p.handle, None) == handles.IS_NULL
    gradient[-1] = np.inf
    assert p.apply_gradients(p.handle, gradient) == handles.BAD_GRADIENT
    p._handle.record[handles.BUSY] = 1
    out[:] = 7
    assert p.predict(p.handle, X, 4, out) == p.apply_gradients(p.handle, gradient) == handles.IN_USE
    assert (out == 7).all()  # C reads what is returned
    p._handle.record[handles.BUSY] = 0
    only = net.c_pointers(rows=3, training=False)
    assert only.train_step(only.handle, X, y, 3, loss) == only.apply_gradients(only.handle, gradient) == handles.UNABLE
    assert only.predict(only.handle, X, 4, out) == p.predict(p.handle, X, 0, out) == handles.DONE
    assert loss.value == -1 and (net.params == before).all()


def test_ctypes_refuses_arrays_of_other_types():
    p, X, out = make().c_pointers(), np.ones((2, 5), np.float32), np.empty((2, 3), np.float32)
    for x in (X.astype(np.float64), np.asfortranarray(X), X.tolist()):
        with pytest.raises(ctypes.ArgumentError):
            p.predict(p.handle, x, 2, out)


def test_the_struct_keeps_its_memory_and_is_not_copied():
    net = make()
    want, p = net.predict(np.ones((1, 5))), net.c_pointers()
    del net
    out = np.empty((1, 3), np.float32)
    assert p.predict(p.handle, np.ones((1, 5), np.float32), 1, out) == handles.DONE and (out == want).all()
    for copying in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="a handle can't be copied or pickled"):
            copying(p)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scipy_integrates_a_network(dtype):
    net = fb.Network([fb.Dense(9, "tanh"), fb.Dense(1)], (2,), loss="mse", dtype=dtype, seed=0)
    p = net.c_pointers(training=False)
    function = scipy.LowLevelCallable(p.value, ctypes.c_void_p(p.handle))
    found, _ = scipy.integrate.nquad(function, [(0, 1), (-1, 1)], opts={"epsabs": 1e-6, "epsrel": 1e-6})
    nodes, weights = np.polynomial.legendre.leggauss(20)
    points = np.array([[(a + 1) / 2, b] for a in nodes for b in nodes])
    want = (np.outer(weights, weights).ravel() / 2) @ net.predict(points)[:, 0].astype(float)
    assert found == pytest.approx(want, rel=1e-5)
    x = (ctypes.c_double * 2)(0.5, 0.25)
    assert p.value(2, x, p.handle) == net.predict([[0.5, 0.25]])[0, 0]
    assert np.isnan(p.value(1, x, p.handle))
    p = make().c_pointers()
    assert np.isnan(p.value(5, (ctypes.c_double * 5)(), p.handle))  # three outputs


def test_the_header_is_that_of_the_package(tmp_path):
    """The same numbers, names and places as in Python; C++ takes it as well."""
    text = HEADER.read_text()
    numbers = {name: int(value) for name, value in re.findall(r"FASTBP_(\w+) = (\d+)", text)}
    ours = {"DONE": handles.DONE, "IN_USE": handles.IN_USE, "UNABLE": handles.UNABLE, "BAD_ROWS": handles.BAD_ROWS}
    more = {"BAD_LABEL": handles.BAD_LABEL, "IS_NULL": handles.IS_NULL, "BAD_GRADIENT": handles.BAD_GRADIENT}
    assert numbers == {**ours, **more, "ONE_ROW": handles.ONE_ROW}
    for dtype in ("float32", "float64"):
        struct, name = type(make(dtype).c_pointers()), f"fastbp_f{dtype[-2:]}"
        fields = [field for field, _ in struct._fields_]
        body = text.split(f"typedef struct {name} {{")[1].split("}")[0]
        code = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
        assert re.findall(r"\(\*(\w+)\)|(?:\w+ \*?)(\w+);", code) == [
            (field, "") if field in fields[6:] else ("", field) for field in fields
        ]
        places = ", ".join(f"offsetof({name}, {field})" for field in fields)
        count = len(fields)
        source = f"#include <stddef.h>\n#include <fastbp.h>\nsize_t at[{count}] = {{{places}}};\n"
        found = (ctypes.c_size_t * count).in_dll(compile_c(source, tmp_path, INCLUDE), "at")
        assert list(found) == [getattr(struct, field).offset for field in fields]


FORTRAN = """
! As TRAIN; in a row of y, `width` labels (one) or reals.
function train(net, x, y, rows, width, epochs, out) result(total) bind(c)
  use fastbp
  implicit none
  type(fastbp_network), intent(in) :: net
  integer(c_int64_t), value :: rows, width
  integer(c_int), value :: epochs
  real(KIND), intent(in) :: x(net%inputs, rows)
  TYPE, intent(in) :: y(width, rows)
  real(KIND), intent(out) :: out(net%outputs, rows)
  real(c_double) :: total, loss
  integer(c_int64_t) :: first, n
  integer :: epoch
  procedure(fastbp_step_SIZE), pointer :: step
  procedure(fastbp_outputs_SIZE), pointer :: predict

  call c_f_procpointer(net%train_step, step)
  call c_f_procpointer(net%predict, predict)
  total = 0
  do epoch = 1, epochs
    do first = 1, rows, net%rows
      n = min(net%rows, rows - first + 1)
      if (step(net%handle, x(:, first:), y(:, first:), n, loss) /= fastbp_done) error stop
      total = total + loss
    end do
  end do
  if (predict(net%handle, x, rows, out) /= fastbp_done) error stop
end function
"""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_a_fortran_program_trains(loss, dtype, tmp_path):
    compiler = shutil.which("gfortran")
    if compiler is None:
        pytest.skip("there is no gfortran")
    kind = "c_float" if dtype == "float32" else "c_double"
    label = "integer(c_int64_t)" if loss == "cross_entropy" else f"real({kind})"
    code, library = tmp_path / "train.f90", tmp_path / "train.so"
    code.write_text(FORTRAN.replace("KIND", kind).replace("TYPE", label).replace("SIZE", f"f{dtype[-2:]}"))
    flags = ["-std=f2018", "-O2", "-Wall", "-Wextra", "-pedantic", "-Werror", "-shared", "-fPIC", f"-J{tmp_path}"]
    module = str(HEADER.with_suffix(".f90"))
    done = subprocess.run([compiler, *flags, module, str(code), "-o", str(library)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    check_training(ctypes.CDLL(str(library)).train, dtype, loss)


def test_the_fortran_module_has_what_the_header_has():
    """The numbers and the fields, in their order."""
    text = HEADER.with_suffix(".f90").read_text()
    numbers = {name.upper(): int(value) for name, value in re.findall(r"fastbp_(\w+) = (\d+)", text)}
    assert numbers == {name: int(value) for name, value in re.findall(r"FASTBP_(\w+) = (\d+)", HEADER.read_text())}
    body = re.search(r"bind\(c\) :: fastbp_network(.*?)end type", text, re.DOTALL)[1]
    fields = [name for names in re.findall(r":: (.*)", body) for name in names.split(", ")]
    assert fields == [field for field, _ in type(make().c_pointers())._fields_]


def test_cffi():
    cffi = pytest.importorskip("cffi")
    ffi = cffi.FFI()
    body = re.search(r"typedef struct fastbp_f32.*?} fastbp_f32;", HEADER.read_text(), re.DOTALL)
    ffi.cdef(re.sub(r"/\*.*?\*/", "", body[0], flags=re.DOTALL))
    net, X, out = make(), np.ones((2, 5), np.float32), np.empty((2, 3), np.float32)
    p = net.c_pointers()
    c = ffi.cast("fastbp_f32 *", p.address)
    assert c.predict(c.handle, ffi.from_buffer("float[]", X), 2, ffi.from_buffer("float[]", out)) == handles.DONE
    assert (out == net.predict(X)).all()
