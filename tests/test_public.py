"""What users see: dir() of modules, and activations as functions of arrays."""

import types

import numpy as np
import pytest
from cases import ACTIVATIONS, relative

import fastbp as fb

MODULES = {
    name: value for name, value in vars(fb).items() if name in fb.__all__ and isinstance(value, types.ModuleType)
}


def test_public_modules_are_known():
    wanted = "activations callbacks initializers jit layers losses metrics optimizers schedules"
    assert sorted(MODULES) == wanted.split()


@pytest.mark.parametrize("module", [fb, *MODULES.values()], ids=lambda module: module.__name__)
def test_dir_shows_public_names_alone(module):
    shown = dir(module)
    assert shown == sorted(
        {*module.__all__, *({"MLPClassifier", "MLPRegressor", "__version__"} if module is fb else ())}
    )
    for name in set(shown) - {"__version__"}:
        value = getattr(module, name)
        assert not name.startswith("_")
        owner = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", "fastbp")
        assert owner.partition(".")[0] == "fastbp", f"{name} is of {owner}"
    namespace = {}
    exec(f"from {module.__name__} import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(module.__all__)


def test_all_classes_of_parts_are_public():
    for module, kind in (
        (fb.losses, fb.losses.Loss),
        (fb.optimizers, fb.optimizers.Optimizer),
        (fb.schedules, fb.schedules.Schedule),
        (fb.initializers, fb.initializers.Initializer),
    ):
        there = {n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, kind)}
        assert there <= set(module.__all__)
    assert {*fb.activations.ACTIVATIONS, "swish"} <= set(fb.activations.__all__)
    assert {*fb.metrics.METRICS, "ClassScores", "precision_recall_fscore_support"} <= set(fb.metrics.__all__)
    assert "EMA" in fb.callbacks.__all__


# --- activations as functions -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_a_function_of_arrays(name, dtype):
    f = getattr(fb.activations, name)
    z = np.random.default_rng(0).standard_normal((3, 5, 7)).astype(dtype)
    kept = z.copy()
    net = fb.Network([fb.Activation(name)], (7,), loss="mse", dtype=dtype)
    want = net.forward(z.reshape(15, 7)).reshape(z.shape)
    got = f(z)
    assert got.dtype == z.dtype and got.shape == z.shape and not np.shares_memory(got, z) and (z == kept).all()
    assert (got == want).all()
    assert (f(np.asfortranarray(z)) == want).all() and (f(z[::2, :, ::-1]) == f(z[::2, :, ::-1].copy())).all()
    assert f(z[:0]).shape == (0, 5, 7)
    unaligned = np.frombuffer(b"x" + z.tobytes(), np.uint8)[1:].view(dtype).reshape(z.shape)
    assert (f(unaligned) == want).all()


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "softmax"])
def test_derivatives_of_activations(name):
    f = getattr(fb.activations, name)
    z = np.linspace(-4.03, 4.03, 100).reshape(2, 50)
    h = 1e-6
    assert relative(f.derivative(z), (f(z + h) - f(z - h)) / (2 * h)) < 1e-8
    assert f.derivative(z.astype(np.float32)).dtype == np.float32
    value = f(0.5)
    assert isinstance(value, np.float64) and value == f(np.array([0.5]))[0] and f.derivative(0.5).shape == ()
    assert f(2).dtype == f(np.array([1, 2])).dtype == f(np.float16(1)).dtype == np.float64
    assert (f([[1, 2]]) == f(np.array([[1.0, 2.0]]))).all()


def test_softmax_is_along_the_last_axis():
    z = np.random.default_rng(0).standard_normal((4, 3, 5))
    e = np.exp(z)
    np.testing.assert_allclose(fb.activations.softmax(z), e / e.sum(axis=-1, keepdims=True), rtol=1e-14)
    assert fb.activations.softmax(z[0, 0]).sum() == pytest.approx(1, rel=1e-14)
    with pytest.raises(ValueError, match="z must have at least one axis for softmax, got a single number"):
        fb.activations.softmax(3.0)
    with pytest.raises(ValueError, match="the derivative of softmax is no function of single elements"):
        fb.activations.softmax.derivative(z)


def test_an_activation_of_ones_own_is_a_function_too():
    own = fb.CustomActivation(lambda z: z * z, lambda z: 2 * z, name="square")
    z = np.array([-1.5, 2.0])
    assert (own(z) == z * z).all() and (own.derivative(z) == 2 * z).all() and own(3) == 9


@pytest.mark.parametrize("z", ["text", None, 1j, [object()]])
def test_what_is_no_number(z):
    with pytest.raises(TypeError, match="z must hold real numbers, got "):
        fb.activations.tanh(z)


def test_swish_is_silu():
    assert fb.activations.swish is fb.activations.silu
