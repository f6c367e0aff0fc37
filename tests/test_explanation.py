"""net.explain: its numbers against hand computations, and what it says."""

import math

import numpy as np
import pytest
from test_diagnosis import parsed
from test_errors import unchanged

import fastbp as fb


def neuron(activation="sigmoid", loss="squared_error", optimizer=None, *, dtype="float64", **more):
    """w = (0.5, -0.25), b = 0.125."""
    start = dict(kernel_init=[[0.5], [-0.25]], bias_init=0.125)
    return fb.Network(
        [fb.Dense(1, activation, **(start | more))],
        (2,),
        loss=loss,
        optimizer=optimizer or fb.SGD(0.5),
        dtype=dtype,
        seed=0,
    )


def two_layers(loss="squared_error", last="sigmoid", optimizer=None):
    """The worked example of Mazur 2015, A Step by Step Backpropagation Example."""
    layers = [
        fb.Dense(2, "sigmoid", kernel_init=[[0.15, 0.25], [0.2, 0.3]], bias_init=0.35),
        fb.Dense(2, last, kernel_init=[[0.4, 0.5], [0.45, 0.55]], bias_init=0.6),
    ]
    return fb.Network(layers, (2,), loss=loss, optimizer=optimizer or fb.SGD(0.5), dtype="float64", seed=0)


def test_a_neuron_reads_like_the_textbook():
    assert str(neuron().explain([1.0, 2.5], 1)).splitlines() == [
        "1 Forward",
        "  Dense_1  z = w₁ x₁ + w₂ x₂ + b  = 0.5 · 1 + (-0.25) · 2.5 + 0.125 = 0",
        "           a = σ(z)               = σ(0) = 0.5",
        "",
        "2 Error",
        "    E = ½ (t - a)²  = ½ (1 - 0.5)² = 0.125",
        "",
        "3 Backward",
        "  Dense_1  δ = ∂E/∂z = (a - t) a (1 - a)  = (0.5 - 1) · 0.5 · (1 - 0.5) = -0.125",
        "           ∂E/∂w₁ = δ x₁                  = (-0.125) · 1 = -0.125",
        "           ∂E/∂w₂ = δ x₂                  = (-0.125) · 2.5 = -0.3125",
        "           ∂E/∂b = δ                      = -0.125",
        "",
        "4 Update: SGD(0.5), η = 0.5",
        "  Dense_1  w₁ ← w₁ - η ∂E/∂w₁  = 0.5 - 0.5 · (-0.125) = 0.5625",
        "           w₂ ← w₂ - η ∂E/∂w₂  = -0.25 - 0.5 · (-0.3125) = -0.09375",
        "           b ← b - η ∂E/∂b     = 0.125 - 0.5 · (-0.125) = 0.1875",
    ]


TANH, SIGMOID = math.tanh(0.625), 1 / (1 + math.exp(-0.625))  # of z = 0.5 + 0.125


@pytest.mark.parametrize(
    ("activation", "loss", "t", "lines"),
    [
        ("tanh", "mse", -1.0, (
            f"a = tanh(z) | tanh(0.625) = {TANH:.6g}",
            f"E = (t - a)² | (-1 - {TANH:.6g})² = {(TANH + 1) ** 2:.6g}",
            f"δ = ∂E/∂z = 2 (a - t) (1 - a²) | 2 · ({TANH:.6g} - (-1)) · (1 - {TANH:.6g}²)"
            f" = {2 * (TANH + 1) * (1 - TANH**2):.6g}",
        )),
        ("relu", "squared_error", 0.5, (
            "a = max(z, 0) | max(0.625, 0) = 0.625",
            "E = ½ (t - a)² | ½ (0.5 - 0.625)² = 0.0078125",
            "δ = ∂E/∂z = (a - t) [z > 0] | (0.625 - 0.5) · [0.625 > 0] = 0.125",
        )),
        (None, "squared_error", 0.5, (
            "a = z | 0.625 = 0.625",
            "δ = ∂E/∂z = (a - t) | (0.625 - 0.5) = 0.125",
        )),
        ("sigmoid", "binary_cross_entropy", 1.0, (
            f"a = σ(z) | σ(0.625) = {SIGMOID:.6g}",
            f"E = -t ln(a) - (1 - t) ln(1 - a) | -1 · ln({SIGMOID:.6g}) - (1 - 1) · ln(1 - {SIGMOID:.6g})"
            f" = {-math.log(SIGMOID):.6g}",
            f"δ = ∂E/∂z = a - t | {SIGMOID:.6g} - 1 = {SIGMOID - 1:.6g}",
        )),
    ],
)  # fmt: skip
def test_a_neuron_of_another_kind(activation, loss, t, lines):
    found = neuron(activation, loss).explain([1.0, 0.0], t)
    said = [f"{formula} | {numbers}" for step in found.steps.values() for _, formula, numbers in step]
    assert set(lines) <= set(said)
    if loss == "binary_cross_entropy":  # written with or without its sigmoid, it is one network
        assert str(neuron(None, loss).explain([1.0, 0.0], t)) == str(found)


def test_a_neuron_without_bias_at_another_rate():
    text = str(neuron(bias=False, learning_rate=2.0).explain([1.0, 2.0], 1))
    assert "z = w₁ x₁ + w₂ x₂  = 0.5 · 1 + (-0.25) · 2 = 0" in text and "∂E/∂b" not in text
    assert "w₁ ← w₁ - 2 η ∂E/∂w₁  = 0.5 - 1 · (-0.125) = 0.625" in text


def test_two_layers_as_worked_out_by_hand():
    found = two_layers().explain([0.05, 0.1], [0.01, 0.99])
    first, last = found.layers
    np.testing.assert_allclose(first.z, [0.3775, 0.3925], rtol=1e-12)
    np.testing.assert_allclose(first.a, [0.593269992, 0.596884378], rtol=1e-8)
    np.testing.assert_allclose(found.output, [0.75136507, 0.772928465], rtol=1e-8)
    np.testing.assert_array_equal(found.output, last.a)
    assert found.loss == pytest.approx(0.298371109, rel=1e-8) and found.rate == 0.5
    np.testing.assert_allclose(last.delta, [0.13849856, -0.03809824], rtol=1e-6)
    np.testing.assert_allclose(last.gradients["weight"][0, 0], 0.082167041, rtol=1e-7)
    np.testing.assert_allclose(first.gradients["weight"][0, 0], 0.000438568, rtol=1e-5)
    np.testing.assert_allclose(last.after["weight"], [[0.35891648, 0.511301270], [0.408666186, 0.561370121]], rtol=1e-8)
    np.testing.assert_allclose(first.after["weight"], [[0.149780716, 0.24975114], [0.19956143, 0.29950229]], rtol=1e-7)
    # the rest of the chain rule
    delta = last.delta @ last.before["weight"].T * first.a * (1 - first.a)
    np.testing.assert_allclose(first.delta, delta, rtol=1e-12)
    np.testing.assert_allclose(first.gradients["weight"], np.outer([0.05, 0.1], delta), rtol=1e-12)
    np.testing.assert_allclose(first.gradients["bias"], delta, rtol=1e-12)
    np.testing.assert_array_equal(last.x, first.a)
    np.testing.assert_array_equal(first.x, [0.05, 0.1])
    formulas = [formula for lines in found.steps.values() for _, formula, _ in lines]
    for formula in (
        "z = x W + b",
        "a = σ(z)",
        "E = ½ Σ (t - a)²",
        "δ = ∂E/∂z = (a - t) ∘ a (1 - a)",
        "δ = ∂E/∂z = (δ Wᵀ of Dense_2) ∘ a (1 - a)",
        "∂E/∂W = xᵀ δ",
        "∂E/∂b = δ",
        "W ← W - η ∂E/∂W",
    ):
        assert formula in formulas


@pytest.mark.parametrize("target", [1, [0.0, 1.0]])
@pytest.mark.parametrize("last", [None, "softmax"])
def test_cross_entropy(target, last):
    found = two_layers("cross_entropy", last).explain([0.05, 0.1], target)
    z = found.layers[1].z
    p = np.exp(z) / np.exp(z).sum()
    np.testing.assert_allclose(found.output, p, rtol=1e-12)
    np.testing.assert_array_equal(found.layers[1].a, found.output if last else z)
    np.testing.assert_allclose(found.layers[1].delta, p - [0, 1], rtol=1e-12)
    assert found.loss == pytest.approx(-math.log(p[1]), rel=1e-12)
    said = str(found)
    assert "a = softmax(z)" in said
    label = isinstance(target, int)
    assert ("E = -ln(a[t])" if label else "E = -Σ t ln(a)") in said
    assert ("δ = ∂E/∂z = a - (1 at t, else 0)" if label else "δ = ∂E/∂z = a - t ") in said


def test_what_has_no_short_formula_is_shown_without_one():
    odd = fb.Network([fb.Dense(3, "softmax"), fb.Dense(2, "tanh")], (2,), loss="binary_cross_entropy", seed=0)
    steps = odd.explain([1, 2], [0, 1]).steps
    errors, backward = ([formula for _, formula, _ in steps[title]] for title in ("Error", "Backward"))
    assert errors[1:] == ["a = sigmoid(a)", "E = mean of -t ln(a) - (1 - t) ln(1 - a)"]  # a sigmoid behind the tanh
    assert backward == ["δ = ∂E/∂z", "∂E/∂W = xᵀ δ", "∂E/∂b = δ"] * 2
    for loss in ("huber", fb.CrossEntropy(0.1)):
        steps = fb.Network([fb.Dense(2)], (2,), loss=loss, seed=0).explain([1, 2], [0, 1]).steps
        assert steps["Error"][-1][1] == f"E = {loss if loss == 'huber' else 'cross_entropy'}(t, a)"
        assert steps["Backward"][0][1] == "δ = ∂E/∂z"


@pytest.mark.parametrize(
    "optimizer",
    [
        fb.SGD(0.1, momentum=0.9),
        fb.SGD(0.1, clip_norm=1e-3),
        fb.Adam(fb.CosineDecay(0.1, steps=4)),
        fb.Rprop(0.01),
    ],
)
def test_the_update_is_the_optimizers(optimizer):
    net = two_layers(optimizer=optimizer)
    for _ in range(3):
        net.train_on_batch([[0.3, 0.4]], [[0.0, 1.0]])
    rate, before = net.learning_rate, [array.copy() for array in (*net._arrays().values(), net.grads)]
    found = net.explain([0.05, 0.1], [0.01, 0.99])
    assert all(np.array_equal(a, b) for a, b in zip(before, (*net._arrays().values(), net.grads), strict=True))
    assert found.rate == pytest.approx(rate, rel=1e-12)
    net.train_on_batch([[0.05, 0.1]], [[0.01, 0.99]])
    for layer, bound in zip(found.layers, net.layers, strict=True):
        for name, view in bound.weights.items():
            np.testing.assert_array_equal(layer.after[name], view)
    np.testing.assert_array_equal(
        np.concatenate([g.ravel() for layer in found.layers for g in layer.gradients.values()]), net.grads
    )
    said = str(found)
    assert f"4 Update: {optimizer!r}" in said and "W ← W + ΔW" in said and "η" not in said
    assert ("∂E/∂W = xᵀ δ" in said) == (optimizer.clip_norm is None)


def test_penalties_and_frozen_layers():
    layers = [fb.Dense(3, "tanh", trainable=False), fb.Dense(1, l2=0.1)]
    net = fb.Network(layers, (2,), loss="squared_error", optimizer=fb.SGD(0.1), dtype="float64", seed=0)
    found = net.explain([1.0, -1.0], 0.5)
    frozen, last = found.layers
    assert frozen.delta is None and frozen.gradients == {} and not found.steps["Backward"][-1][0].startswith("Dense_1")
    np.testing.assert_array_equal(frozen.before["weight"], frozen.after["weight"])
    error = 0.5 * (last.a[0] - 0.5) ** 2
    assert found.loss == pytest.approx(error + 0.1 * (last.before["weight"] ** 2).sum(), rel=1e-12)
    want = frozen.a[:, np.newaxis] * (last.a[0] - 0.5) + 0.2 * last.before["weight"]
    np.testing.assert_allclose(last.gradients["weight"], want, rtol=1e-12)
    assert "E = ½ Σ (t - a)² + penalties" in str(found) and "∂E/∂W  =" in str(found)
    assert "E = ½ Σ (t - a)² + penalties" in str(neuron(l2=0.1).explain([1, 2], 1))  # as arrays


def test_other_layers_and_large_arrays():
    layers = [
        fb.Flatten(),
        fb.Dense(60, "relu"),
        fb.Dropout(0.5),
        fb.Dense(5),
        fb.Activation("tanh"),
        fb.Dense(3, "softmax"),
    ]
    net = fb.Network(layers, (4, 5), loss="cross_entropy", seed=0)
    found = net.explain(np.linspace(0, 1, 20).reshape(4, 5), 2)
    assert found.layers[1].before["weight"].shape == (20, 60) and found.layers[0].delta is None
    dropped = found.layers[2].a
    assert (
        set(np.unique(dropped[found.layers[1].a == 0])) == {0} and (dropped == 0).sum() > (found.layers[1].a == 0).sum()
    )
    np.testing.assert_array_equal(found.layers[4].z, found.layers[3].a)
    text = str(found)
    assert "..." in text and max(map(len, text.splitlines())) < 160 and len(text.splitlines()) < 100
    assert "a = tanh(z)" in text and "δ = ∂E/∂z = δ Wᵀ of Dense_2" in text
    assert "δ = ∂E/∂z = (δ Wᵀ of Dense_3) ∘ (1 - a²)" in text


def test_html_and_repr():
    found = two_layers().explain([0.05, 0.1], [0.01, 0.99])
    cells = parsed(found._repr_html_())
    assert [cell for cell in cells if cell[0] in "1234" and cell[1] == " "] == [
        "1 Forward",
        "2 Error",
        "3 Backward",
        "4 Update: SGD(0.5), η = 0.5",
    ]
    assert "δ = ∂E/∂z = (δ Wᵀ of Dense_2) ∘ a (1 - a)" in cells and "[[0.15 0.25]\n [0.2  0.3 ]]" in cells
    assert "[z &gt; 0]" in neuron("relu").explain([1, 2], 1)._repr_html_()
    assert repr(found) == "<Explanation: one training step for one example, loss 0.2984>"


ARGUMENTS = [
    (([1.0], 1), ValueError, r"x must have shape \(2,\), as one example, got \(1,\)"),
    (([[1.0, 2.0]], 1), ValueError, r"x must have shape \(2,\), as one example, got \(1, 2\)"),
    ((None, 1), ValueError, r"x must have shape \(2,\), as one example, got \(\)"),
    (([[1.0], [1.0, 2.0]], 1), ValueError, "x and y must be numbers or arrays of numbers"),
    ((["a", "b"], 1), TypeError, "x must hold numbers"),
    (([1.0, np.nan], 1), ValueError, "x must be finite numbers"),
    (([1.0, 2.0], [1.0, 2.0]), ValueError, r"y must have shape \(rows, 1\)"),
    (([1.0, 2.0], "a"), TypeError, "y must hold numbers"),
    (([1.0, 2.0], np.inf), ValueError, "y must be finite numbers"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), ARGUMENTS)
def test_bad_arguments(arguments, error, message):
    net = neuron()
    unchanged(net, lambda: net.explain(*arguments), error, message)


def test_a_loss_that_is_not_finite():
    net = neuron(None, kernel_init=1e200)
    unchanged(net, lambda: net.explain([1.0, 1.0], 1), fb.DivergedError, "the loss is inf for this example")


def shifted(z):
    return z + 1.0


def one(z):
    return 1.0


def test_an_activation_of_ones_own_is_not_taken_for_the_one_of_its_name():
    custom = fb.CustomActivation(shifted, one, name="relu")
    found = neuron(custom).explain([1.0, 2.5], 1)
    assert found.layers[0].activation == "relu" and found.output == 1.0
    formulas = [formula for lines in found.steps.values() for _, formula, _ in lines]
    assert "a = relu(z)" in formulas and "δ = ∂E/∂z" in formulas
    assert neuron(custom).diagnose([[1.0, 2.5]], [1.0]).layers[0].dead is None
