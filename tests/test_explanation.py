"""net.explain: its numbers against hand computations, and what it says."""

import math
import re

import numpy as np
import pytest
from cases import OPTIMIZERS
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
            "a = z | 0.625",
            "δ = ∂E/∂z = a - t | 0.625 - 0.5 = 0.125",
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
    custom = fb.CustomLoss(squares, one_of_two, name="mine")
    steps = fb.Network([fb.Dense(2)], (2,), loss=custom, seed=0).explain([1, 2], [0, 1]).steps
    assert steps["Error"][-1][1] == "E = mine(t, a)" and steps["Backward"][0][1] == "δ = ∂E/∂z"


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
    rate, before = net.learning_rate, [array.copy() for array in (*net.arrays().values(), net.grads)]
    found = net.explain([0.05, 0.1], [0.01, 0.99])
    assert all(np.array_equal(a, b) for a, b in zip(before, (*net.arrays().values(), net.grads), strict=True))
    assert found.rate == pytest.approx(rate, rel=1e-12)
    net.train_on_batch([[0.05, 0.1]], [[0.01, 0.99]])
    for layer, bound in zip(found.layers, net.layers, strict=True):
        for name, view in bound.weights.items():
            np.testing.assert_array_equal(layer.after[name], view)
    np.testing.assert_array_equal(
        np.concatenate([g.ravel() for layer in found.layers for g in layer.gradients.values()]), net.grads
    )
    said = str(found)
    assert f"4 Update: {optimizer!r}" in said and ("W ← W + ΔW" in said) == (optimizer.clip_norm is None)
    assert "∂E/∂W = xᵀ δ" in said


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
    assert "E = ½ (t - a)² + 0.1 ΣW² of Dense_2" in str(found) and "∂E/∂W = xᵀ δ + 0.2 W" in str(found)
    assert "E = ½ (t - a)² + 0.1 ΣW² of Dense_1" in str(neuron(l2=0.1).explain([1, 2], 1))  # as arrays
    both = str(two_layers("mse").explain([0.05, 0.1], [0.01, 0.99]))
    assert "E = mean of (t - a)²  =" in both
    penalised = fb.Network([fb.Dense(2, l1=0.3, l2=0.1)], (2,), loss="mse", seed=0).explain([1, 2], [0, 1])
    assert "E = (mean of (t - a)²) + 0.3 Σ|W| of Dense_1 + 0.1 ΣW² of Dense_1" in str(penalised)
    assert "∂E/∂W = xᵀ δ + 0.3 sign(W) + 0.2 W" in str(penalised)


def test_other_layers_and_large_arrays():
    layers = [
        fb.Flatten(),
        fb.Dense(60, "relu"),
        fb.Dropout(0.5),
        fb.Dense(5),
        fb.Activation("tanh"),
        fb.Dense(3, "softmax"),
    ]
    net = fb.Network(layers, (4, 5), loss="cross_entropy", optimizer=fb.SGD(0.1), seed=0)
    found = net.explain(np.linspace(0, 1, 20).reshape(4, 5), 2)
    assert found.layers[1].before["weight"].shape == (20, 60) and found.layers[0].delta is None
    dropped = found.layers[2].a
    assert (
        set(np.unique(dropped[found.layers[1].a == 0])) == {0} and (dropped == 0).sum() > (found.layers[1].a == 0).sum()
    )
    np.testing.assert_array_equal(found.layers[4].z, found.layers[3].a)
    text = str(found)
    assert "..." in text and max(map(len, text.splitlines())) < 160 and len(text.splitlines()) < 100
    assert "a = tanh(z)" in text and "∂E/∂b = δ of Activation_1" in text
    assert "δ = ∂E/∂z = (δ Wᵀ of Dense_3) ∘ (1 - a²)" in text


def test_each_delta_is_shown_once():
    layers = [fb.Conv1D(2, 2), fb.Flatten(), fb.Activation("tanh"), fb.Dense(2), fb.Activation("softmax")]
    found = fb.Network(layers, (1, 4), loss="cross_entropy", seed=0).explain([[1, 2, 3, 4]], 1)
    backward = [(layer, formula) for layer, formula, _ in found.steps["Backward"]]
    assert backward == [
        ("Activation_2", "δ = ∂E/∂z = a - (1 at t, else 0)"),
        ("Dense_1", "∂E/∂W = xᵀ δ of Activation_2"),
        ("", "∂E/∂b = δ of Activation_2"),
        ("Activation_1", "δ = ∂E/∂z = (δ of Activation_2 Wᵀ of Dense_1) ∘ (1 - a²)"),
        ("Conv1D_1", "∂E/∂W"),
        ("", "∂E/∂b"),
    ]
    assert [layer for layer, _, _ in found.steps["Forward"] if layer] == [
        "Conv1D_1",
        "Activation_1",
        "Dense_1",
        "Activation_2",
    ]


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


def squares(y, t):
    return (y - t) ** 2


def one_of_two(y, t):
    return 2 * (y - t)


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


# --- every formula gives the numbers beside it ---

NAMES = str.maketrans(
    {"₁": "1", "₂": "2", "₊": "p", "ₖ": "k", "η": "eta", "μ": "mu", "λ": "lam", "β": "beta", "ε": "eps", "ρ": "rho"}
)
SYMBOLS = {"velocity": "v", "v": "v", "m": "m", "mean": "m", "square": "s", "moved": "u"}  # of an optimizer's state
TOKEN = re.compile(r"∂E/∂\w+|Δ\w+|\d+(?:\.\d+)?(?:e-?\d+)?|\*\*|[^\W\d]\w*|\S")


def value_of(formula, values):
    """What a formula of the explanation gives: as Python, with its products written out."""
    text = re.sub(r"\(([^()]*), cut to ±([\d.e-]+)\)", r"clip(\1 ; \2)", formula)
    text = re.sub(r"\|([^|]*)\|", r"abs(\1)", text).replace("[", "(").replace("]", ")").replace("≤", "<=")
    text = text.replace("²", "**2").replace("ᵏ", "**k").replace("½", "0.5 ").replace("·", "*").replace("∘", "*")
    text = re.sub(r"√(\w+)", r"√(\1)", text.translate(NAMES))
    text = re.sub(r"Σ(\w+)", r"sum(\1)", text).replace("√", " sqrt").replace("σ(", " sigmoid(")
    functions = {"clip", "abs", "sqrt", "sign", "sigmoid", "sum", "tanh"}
    code, before = "", ""
    for token in TOKEN.findall(text.replace("<=", "≤")):
        operand, behind_operand = re.match(r"[\w∂Δ(]", token), re.match(r"[\w∂Δ)]", before)
        code += "*" if operand and behind_operand and before not in functions else ""
        code += {"≤": "<=", ";": ","}.get(token, f"v[{token!r}]" if token in values else token)
        before = token
    arithmetic = {"clip": lambda x, c: np.clip(x, -c, c), "sigmoid": lambda z: 1 / (1 + np.exp(-z))}
    arithmetic |= {name: getattr(np, name) for name in ("abs", "sqrt", "sign", "sum", "tanh")}
    return eval(code, {"__builtins__": {}, "v": values, **arithmetic})


def numbers_of(text):
    """A printed array, or the number behind the last =."""
    text = text.split("=")[-1]
    if "[" not in text:
        return float(text)
    return np.array(eval(re.sub(r"(?<=[\d.\]])\s+(?=[-\d.\[])", ",", re.sub(r"\[\s+", "[", text)).replace(" ]", "]")))


@pytest.mark.parametrize("penalties", [{}, {"l1": 0.01, "l2": 0.1, "learning_rate": 2.0}])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_formula_of_a_step_gives_the_numbers_beside_it(name, penalties):
    rng = np.random.default_rng(0)
    layers = [fb.Dense(3, "tanh", **penalties), fb.Dense(2, **penalties)]
    net = fb.Network(layers, (4,), loss="mse", optimizer=OPTIMIZERS[name], dtype="float64", seed=0)
    for _ in range(2):
        net.train_on_batch(rng.standard_normal((5, 4)), rng.standard_normal((5, 2)))
    found = net.explain(rng.standard_normal(4), rng.standard_normal(2))
    title, lines = list(found.steps.items())[-1]
    constants = {symbol.translate(NAMES): float(value) for symbol, value in re.findall(r", (\S+) = ([^,]+)", title)}
    lines = iter(lines)
    if net.optimizer.clip_norm is not None:
        _, formula, numbers = next(lines)
        gradients = np.concatenate([g.ravel() for layer in found.layers for g in layer.derivatives.values()])
        cut = np.clip(gradients, *(np.array([-1, 1]) * (net.optimizer.clip_value or np.inf)))
        constants["r"] = min(1.0, net.optimizer.clip_norm / (np.linalg.norm(cut) + 1e-6))
        assert formula.startswith("r = min(1, ") and numbers_of(numbers) == pytest.approx(constants["r"], rel=1e-5)
    for layer in found.layers:
        for name, w in (("weight", "W"), ("bias", "b")):
            values = constants | {SYMBOLS[kind]: array[name] for kind, array in layer.state.items() if kind in SYMBOLS}
            values |= {"W": layer.before["weight"], "b": layer.before["bias"], f"∂E/∂{w}": layer.derivatives[name]}
            left = ""
            while left != w:
                label, formula, numbers = next(lines)
                assert label == (layer.name if (name, left) == ("weight", "") else "")
                left, right = re.split(r" ← | = ", formula, maxsplit=1)
                shown = numbers_of(numbers)
                if isinstance(net.optimizer, fb.Rprop) and left != w:
                    got = rprop(left, layer, name)
                else:
                    got = value_of(right, values)
                np.testing.assert_allclose(shown, got, rtol=1e-5, atol=1e-5 * np.abs(got).max())
                values[left] = got
            np.testing.assert_allclose(layer.after[name], got, rtol=1e-5)
    assert next(lines, None) is None


def rprop(left, layer, name):
    """The size of the steps, and the steps."""
    turned = layer.state["previous"][name] * layer.derivatives[name]
    size = layer.state["step"][name] * np.where(turned > 0, 1.2, np.where(turned < 0, 0.5, 1))
    factor = round(abs(layer.after[name] - layer.before[name]).max() / layer.new_state["step"][name].max())
    return size if left == "s" else -factor * size * np.sign(layer.derivatives[name]) * (turned >= 0)


def softmax(z):
    return np.exp(z) / np.exp(z).sum()


LOSSES = {  # loss, last activation, target: ∂E/∂z by NumPy, from z and a = f(z), and E
    "mse": ("mse", "tanh", [0.5, -0.5, 2.0], lambda z, a, t: (2 / 3 * (a - t) * (1 - a**2), ((t - a) ** 2).mean())),
    "squared error": (
        "squared_error", "sigmoid", [0.5, 0.1, 1.0],
        lambda z, a, t: ((a - t) * a * (1 - a), 0.5 * ((t - a) ** 2).sum()),
    ),
    "mae": ("mae", None, [0.5, -5.0, 2.0], lambda z, a, t: (np.sign(a - t) / 3, np.abs(a - t).mean())),
    "quantile": (
        fb.Quantile(0.3), "tanh", [0.5, -5.0, 2.0],
        lambda z, a, t: (
            np.where(a > t, 0.7, -0.3) / 3 * (1 - a**2), np.where(t > a, 0.3 * (t - a), 0.7 * (a - t)).mean(),
        ),
    ),
    "quantiles": (
        fb.Quantile([0.1, 0.5, 0.9]), None, [0.5, -5.0, 2.0],
        lambda z, a, t: (
            ((a > t) - np.array([0.1, 0.5, 0.9])) / 3,
            ((t - a) * (np.array([0.1, 0.5, 0.9]) - (a > t))).mean(),
        ),
    ),
    "Huber": (
        fb.Huber(0.5), "softplus", [0.5, -5.0, 2.0],
        lambda z, a, t: (
            np.clip(a - t, -0.5, 0.5) / 3 / (1 + np.exp(-z)),
            np.where(np.abs(a - t) <= 0.5, 0.5 * (a - t) ** 2, 0.5 * (np.abs(a - t) - 0.25)).mean(),
        ),
    ),
    "Poisson": ("poisson", None, [3.0, 0.0, 1.0], lambda z, a, t: ((a - t) / 3, (a - t * np.log(a)).mean())),
    "hinge": (
        "hinge", "elu", [1.0, -1.0, -1.0],
        lambda z, a, t: (-t * (t * a < 1) / 3 * np.where(z > 0, 1, a + 1), np.maximum(0, 1 - t * a).mean()),
    ),
    "hinge of 0 and 1": (
        "hinge", "silu", [1.0, 0.0, 1.0],
        lambda z, a, t: (
            -(2 * t - 1) * ((2 * t - 1) * a < 1) / 3 * (a / z + a * (1 - a / z)),
            np.maximum(0, 1 - (2 * t - 1) * a).mean(),
        ),
    ),
    "binary": (
        "binary_cross_entropy", "sigmoid", [1.0, 0.0, 0.25],
        lambda z, a, t: ((a - t) / 3, (-t * np.log(a) - (1 - t) * np.log(1 - a)).mean()),
    ),
    "binary, smoothed": (
        fb.BinaryCrossEntropy(0.2), None, [1.0, 0.0, 0.25],
        lambda z, a, t: (
            (a - (0.8 * t + 0.1)) / 3,
            (-(0.8 * t + 0.1) * np.log(a) - (0.9 - 0.8 * t) * np.log(1 - a)).mean(),
        ),
    ),
    "cross-entropy": (
        "cross_entropy", None, [0.25, 0.25, 0.5], lambda z, a, t: (a - t, -(t * np.log(a)).sum())
    ),
    "cross-entropy, sum 0.995": (
        "cross_entropy", "softmax", [0.25, 0.25, 0.495], lambda z, a, t: (a * t.sum() - t, -(t * np.log(a)).sum())
    ),
    "divergence": (
        "kl_divergence", "softmax", [0.25, 0.25, 0.5], lambda z, a, t: (a - t, (t * np.log(t / a)).sum())
    ),
    "divergence of softplus": (
        "kl_divergence", "softplus", [0.25, 0.25, 0.5],
        lambda z, a, t: (-t / a / (1 + np.exp(-z)), (t * np.log(t / a)).sum()),
    ),
    "cross-entropy, smoothed": (
        fb.CrossEntropy(0.3), None, [0.0, 1.0, 0.0],
        lambda z, a, t: (a - (0.7 * t + 0.1), -((0.7 * t + 0.1) * np.log(a)).sum()),
    ),
}  # fmt: skip


ERRORS = {
    "mse": "mean of (t - a)²",
    "squared error": "½ Σ (t - a)²",
    "mae": "mean of |a - t|",
    "quantile": "mean of (q (t - a) where t ≥ a, else (1 - q) (a - t)), q = 0.3",
    "quantiles": "mean of (q (t - a) where t ≥ a, else (1 - q) (a - t)), q = (0.1, 0.5, 0.9)",
    "Huber": "mean of (½ (t - a)² where |t - a| ≤ 0.5, else 0.5 (|t - a| - 0.25))",
    "Poisson": "mean of a - t ln(a)",
    "hinge": "mean of max(0, 1 - t a)",
    "hinge of 0 and 1": "mean of max(0, 1 - t a)",
    "binary": "mean of -t ln(a) - (1 - t) ln(1 - a)",
    "binary, smoothed": "mean of -t ln(a) - (1 - t) ln(1 - a)",
    "cross-entropy": "-Σ t ln(a)",
    "divergence": "Σ t (ln(t) - ln(a))",
    "divergence of softplus": "Σ t (ln(t) - ln(a))",
    "cross-entropy, sum 0.995": "-Σ t ln(a)",
    "cross-entropy, smoothed": "-Σ t ln(a)",
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_formula_of_the_loss_and_of_its_gradient_give_the_numbers_beside_them(name):
    loss, last, target, by_hand = LOSSES[name]
    net = fb.Network([fb.Dense(4, "tanh"), fb.Dense(3, last)], (2,), loss=loss, dtype="float64", seed=3)
    found = net.explain([0.5, -1.0], target)
    layer = found.layers[-1]
    delta, error = by_hand(layer.z, found.output, np.array(target))
    np.testing.assert_allclose(layer.delta, delta, rtol=1e-10)
    assert found.loss == pytest.approx(error, rel=1e-10)

    values = {"z": layer.z, "a": found.output, "t": np.array(target), "y": np.array(target)}
    values["q"] = np.array(getattr(net.loss, "q", 0.0))
    for _, formula, numbers in found.steps["Error"][1:-1]:
        left, right = formula.split(" = ", 1)
        if left == "t":
            values["t"] = value_of(right, values) if "for" not in right else 2 * values["y"] - 1
            np.testing.assert_allclose(numbers_of(numbers), values["t"], rtol=1e-6)
    _, formula, numbers = found.steps["Backward"][0]
    left, right = formula.removeprefix("δ = "), formula.split(" = ")[-1]
    assert left.startswith("∂E/∂z = ")
    np.testing.assert_allclose(value_of(right, values), layer.delta, rtol=1e-10)
    np.testing.assert_allclose(numbers_of(numbers), layer.delta, rtol=1e-5, atol=1e-6)  # of six digits
    assert found.steps["Error"][-1][1:] == (f"E = {ERRORS[name]}", f"{found.loss:.6g}")


@pytest.mark.parametrize(("targets", "over"), [([1.0], ""), ([1.0, -2.0], " / 2")])
def test_gaussian_nll(targets, over):
    t = np.array(targets)
    net = fb.Network([fb.Dense(2 * len(t))], (2,), loss="gaussian_nll", dtype="float64", seed=3)
    found = net.explain([0.5, -1.0], t)
    mean, log_variance = np.split(found.layers[0].z, 2)
    v = np.exp(log_variance)
    np.testing.assert_allclose(found.output, np.concatenate([mean, v]), rtol=1e-12)
    assert found.loss == pytest.approx((0.5 * (np.log(v) + (t - mean) ** 2 / v)).mean(), rel=1e-12)
    delta = np.concatenate([(mean - t) / v, 0.5 * (1 - (t - mean) ** 2 / v)]) / len(t)
    np.testing.assert_allclose(found.layers[0].delta, delta, rtol=1e-10)
    formulas = [formula for lines in found.steps.values() for _, formula, _ in lines]
    assert "a = (μ, v) = (z, exp(z)) of the two halves of z" in formulas
    assert f"E = {'mean of ' if over else ''}½ (ln(v) + (t - μ)² / v), v at least 1e-06" in formulas
    assert f"δ = ∂E/∂z = ((μ - t) / v, ½ (1 - (t - μ)² / v)){over}" in formulas


def test_dropout_shows_its_mask():
    layers = [fb.Dense(40, "tanh"), fb.Dropout(0.25), fb.Dense(3)]
    net = fb.Network(layers, (2,), loss="cross_entropy", dtype="float64", seed=0)
    found = net.explain([0.5, -1.0], 1)
    first, dropout, _ = found.layers
    assert set(dropout.mask) == {0, 4 / 3} and first.mask is None
    np.testing.assert_allclose(dropout.a, first.a * dropout.mask, rtol=1e-12)
    np.testing.assert_allclose(first.delta, dropout.delta * dropout.mask * (1 - first.a**2), rtol=1e-12)
    formulas = [formula for lines in found.steps.values() for _, formula, _ in lines]
    assert "mask: 0 with probability 0.25, else 1 / (1 - 0.25)" in formulas and "a = x ∘ mask" in formulas
    assert "δ = ∂E/∂z = (δ of Dropout_1 ∘ mask) ∘ (1 - a²)" in formulas
    off = fb.Network([fb.Dense(4), fb.Dropout(0.0), fb.Dense(3)], (2,), loss="mse", seed=0).explain(
        [0.5, 1.0], np.ones(3)
    )
    assert off.layers[1].mask is None and "mask" not in str(off)


def test_the_layers_of_a_convolutional_network_are_the_same_forward_and_backward():
    layers = [fb.Conv2D(2, 3, activation="relu"), fb.MaxPool2D(2), fb.Flatten(), fb.Dense(3)]
    found = fb.Network(layers, (1, 6, 6), loss="cross_entropy", seed=0).explain(np.ones((1, 6, 6)), 1)
    forward, backward = ([name for name, _, _ in found.steps[part] if name] for part in ("Forward", "Backward"))
    assert forward == backward[::-1] == ["Conv2D_1", "MaxPool2D_1", "Flatten_1", "Dense_1"]
    text = str(found)
    assert "a = x in one row" in text and "δ = δ of Flatten_1, in the shape of a" in text


def test_a_step_of_one_row_that_fit_refuses_is_not_explained():
    net = fb.Network([fb.Dense(4), fb.BatchNorm(), fb.Dense(1)], (2,), loss="mse", seed=0)
    message = "net must have layers that can train on one row, .* got BatchNorm_1, which normalises over the rows"
    unchanged(net, lambda: net.explain([1.0, 2.0], 1.0), ValueError, message)
    frozen = fb.Network([fb.Dense(4), fb.BatchNorm(trainable=False), fb.Dense(1)], (2,), loss="mse", seed=0)
    maps = fb.Network([fb.BatchNorm(), fb.Flatten(), fb.Dense(1)], (2, 3, 3), loss="mse", seed=0)
    assert frozen.explain([1.0, 2.0], 1.0).step == 1 and maps.explain(np.ones((2, 3, 3)), 1.0).step == 1


# --- steps worked out by hand ---


def gradient_by_hand(w, b, x, t):
    """Of ½ Σ (x w + b - t)²."""
    delta = x @ w + b - t
    return np.outer(x, delta), delta


def steps_by_hand(optimizer, l2=0.0):
    """Three steps of a dense layer, each as explain has it: (explanation, w, b, ∂E/∂w, ∂E/∂b), with the penalty."""
    x, t = np.array([0.5, -1.0]), np.array([1.0, 2.0])
    start = np.array([[0.3, -0.2], [0.1, 0.4]])
    layer = fb.Dense(2, kernel_init=start, bias_init=0.25, l2=l2)
    net = fb.Network([layer], (2,), loss="squared_error", optimizer=optimizer, dtype="float64", seed=0)
    w, b = start, np.full(2, 0.25)
    for _ in range(3):
        found = net.explain(x, t)
        dw, db = gradient_by_hand(w, b, x, t)
        yield found, w, b, dw + 2 * l2 * w, db
        net.train_on_batch([x], [t])
        w, b = found.layers[0].after["weight"], found.layers[0].after["bias"]


def said_of(found, start):
    """The numbers beside the formulas that begin so, in the update."""
    return [numbers_of(numbers) for _, formula, numbers in list(found.steps.values())[-1] if formula.startswith(start)]


def test_momentum_by_hand():
    v_w = v_b = 0
    for number, (found, w, b, dw, db) in enumerate(steps_by_hand(fb.SGD(0.1, momentum=0.9)), 1):
        v_w, v_b = 0.9 * v_w + dw, 0.9 * v_b + db
        layer = found.layers[0]
        assert found.step == number
        np.testing.assert_allclose(layer.new_state["velocity"]["weight"], v_w, rtol=1e-12)
        np.testing.assert_allclose(layer.after["weight"], w - 0.1 * v_w, rtol=1e-12)
        np.testing.assert_allclose(layer.after["bias"], b - 0.1 * v_b, rtol=1e-12)
        np.testing.assert_allclose(said_of(found, "v ←")[0], v_w, rtol=1e-5)
        np.testing.assert_allclose(said_of(found, "ΔW = -η v")[0], -0.1 * v_w, rtol=1e-5)
        np.testing.assert_allclose(said_of(found, "Δb = -η v")[0], -0.1 * v_b, rtol=1e-5)


@pytest.mark.parametrize("decay", [0.0, 0.05])
@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("kind", [fb.Adam, fb.AdamW])
def test_adam_by_hand(kind, l2, decay):
    m = v = 0
    for t, (found, w, _, dw, _) in enumerate(steps_by_hand(kind(0.01, weight_decay=decay), l2), 1):
        g = dw + decay * w * (kind is fb.Adam)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        change = -0.01 * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        change = change - 0.01 * decay * w * (kind is fb.AdamW)
        layer = found.layers[0]
        np.testing.assert_allclose(layer.derivatives["weight"], dw, rtol=1e-12)
        np.testing.assert_allclose(layer.new_state["m"]["weight"], m, rtol=1e-12)
        np.testing.assert_allclose(layer.new_state["v"]["weight"], v, rtol=1e-12)
        np.testing.assert_allclose(layer.after["weight"] - w, change, rtol=1e-10)
        np.testing.assert_allclose(said_of(found, "ΔW = ")[0], change, rtol=1e-5)
        assert f"k = {t}" in str(found) and ("+ 0.2 W" in str(found)) == (l2 > 0)
        assert ("g = ∂E/∂W + λ W" in str(found)) == (decay > 0 and kind is fb.Adam)


def test_clipping_by_hand():
    for found, w, b, dw, db in steps_by_hand(fb.SGD(0.5, clip_norm=1.0, clip_value=0.8)):
        layer = found.layers[0]
        np.testing.assert_allclose(layer.derivatives["weight"], dw, rtol=1e-12)
        cut = [np.clip(array, -0.8, 0.8) for array in (dw, db)]
        ratio = min(1, 1.0 / (np.sqrt(sum((array**2).sum() for array in cut)) + 1e-6))
        assert said_of(found, "r = ") == [pytest.approx(ratio, rel=1e-5)] and ratio < 1
        np.testing.assert_allclose(layer.gradients["weight"], ratio * cut[0], rtol=1e-12)
        np.testing.assert_allclose(layer.after["weight"], w - 0.5 * ratio * cut[0], rtol=1e-12)
        np.testing.assert_allclose(layer.after["bias"], b - 0.5 * ratio * cut[1], rtol=1e-12)


def test_noise_and_an_optimizer_of_unknown_formulas_are_told_plainly():
    noisy = neuron(optimizer=fb.SGD(0.1, gradient_noise=0.3)).explain([1.0, 2.0], 1)
    assert "g = ∂E/∂W + noise" in str(noisy) and "W ← W - η g" in str(noisy)

    class Own(fb.SGD):
        pass

    own = neuron(optimizer=Own(0.1, momentum=0.5)).explain([1.0, 2.0], 1)
    assert "ΔW, by Own" in str(own) and "W ← W + ΔW" in str(own)


def test_formulas_are_as_short_as_they_can_be_and_as_long_as_they_must():
    rng = np.random.default_rng(0)

    def told(outputs, loss="mse", optimizer=None, l2=0.0):
        net = fb.Network([fb.Dense(outputs, l2=l2)], (2,), loss=loss, optimizer=optimizer, dtype="float64", seed=0)
        return str(net.explain([1.0, -2.0], rng.standard_normal(outputs)))

    for outputs, slope in ((2, "= a - t"), (3, "= 2/3 (a - t)"), (4, "= (a - t) / 2"), (6, "= (a - t) / 3")):
        assert f"δ = ∂E/∂z {slope}  " in told(outputs)
    assert "E = (mean of (t - a)²) + 0.1 ΣW²" in told(2, l2=0.1)
    assert "E = |a - t| + 0.1 ΣW²" in told(1, "mae", l2=0.1)
    assert "E = (½ (t - a)² where |t - a| ≤ 1, else (|t - a| - 0.5)) + 0.1 ΣW²" in told(1, "huber", l2=0.1)
    clipped = told(2, optimizer=fb.SGD(0.1, clip_norm=0.1, momentum=0.9))
    formula = re.escape("r = min(1, 0.1 / (‖∂E/∂w‖ of all layers + 10⁻⁶))")
    found = re.search(formula + r" +=\s+min\(1, 0.1 / \((\S+) \+ 10⁻⁶\)\) = (\S+)", clipped)
    assert found and float(found[2]) == pytest.approx(0.1 / (float(found[1]) + 1e-6), rel=2e-5)
