"""Activations and losses in formulas, for an explanation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import activations
from ..losses import (
    MAE,
    MSE,
    BinaryCrossEntropy,
    CrossEntropy,
    GaussianNLL,
    Hinge,
    Huber,
    KLDivergence,
    Loss,
    Poisson,
    Quantile,
    SquaredError,
)


class Formula(NamedTuple):
    """A function and its slope in words, and the same to put numbers in: {(a)} is a in brackets if it is negative."""

    value: str
    slope: str
    value_of: str
    slope_of: str
    with_sigmoid: bool = False  # of a loss: the slope is by z, where a = σ(z)


FUNCTIONS = {  # a, by z
    activations.linear: Formula("z", "", "", ""),
    activations.sigmoid: Formula("σ(z)", "a (1 - a)", "σ({z})", "{a} · (1 - {a})"),
    activations.tanh: Formula("tanh(z)", "(1 - a²)", "tanh({z})", "(1 - {(a)}²)"),
    activations.relu: Formula("max(z, 0)", "[z > 0]", "max({z}, 0)", "[{z} > 0]"),
}
SLOPES = {  # of the others that have a short one, by z
    activations.leaky_relu: "([z > 0] + 0.01 [z ≤ 0])",
    activations.elu: "([z > 0] + (a + 1) [z ≤ 0])",
    activations.softplus: "σ(z)",
    activations.softsign: "(1 - |a|)²",
    activations.silu: "(σ(z) + a (1 - σ(z)))",
    activations.hard_tanh: "[|z| < 1]",
    activations.exponential: "a",
}
SLOPES |= {function: formula.slope for function, formula in FUNCTIONS.items()}
NEURON_LOSSES: dict[type[Loss], Formula] = {  # E of one output, by a
    SquaredError: Formula("½ (t - a)²", "(a - t)", "½ ({t} - {(a)})²", "({a} - {(t)})"),
    MSE: Formula("(t - a)²", "2 (a - t)", "({t} - {(a)})²", "2 · ({a} - {(t)})"),
    BinaryCrossEntropy: Formula(
        "-t ln(a) - (1 - t) ln(1 - a)",
        "a - t",
        "-{t} · ln({a}) - (1 - {t}) · ln(1 - {a})",
        "{a} - {t}",
        with_sigmoid=True,
    ),
}


class LossFormulas(NamedTuple):
    """E and its derivative in formulas, for one row.

    target  what stands for t if it is not y as it was given: a formula, and its numbers
    error   E
    slope   ∂E/∂z where the activation is a part of the loss, else ∂E/∂a; None where it has no short formula
    by_z    whether it is ∂E/∂z
    """

    target: tuple[str, np.ndarray] | None
    error: str
    slope: str | None
    by_z: bool = False


def loss_formulas(loss: Loss, t: np.ndarray, outputs: int, *, through_link: bool) -> LossFormulas:
    """t: the target as the loss gets it; through_link: whether a = link(z) is all between z and the output."""
    mean, over = ("mean of ", f" / {outputs}") if outputs > 1 else ("", "")
    if isinstance(loss, SquaredError):
        return LossFormulas(None, f"½ {'Σ ' if outputs > 1 else ''}(t - a)²", "(a - t)")
    if isinstance(loss, MSE):
        return LossFormulas(None, f"{mean}(t - a)²", _two_over(outputs, "(a - t)"))
    if isinstance(loss, MAE):
        return LossFormulas(None, f"{mean}|a - t|", f"sign(a - t){over}")
    if isinstance(loss, Huber):
        d, times = f"{loss.delta:g}", "" if loss.delta == 1 else f"{loss.delta:g} "
        error = f"½ (t - a)² where |t - a| ≤ {d}, else {times}(|t - a| - {loss.delta / 2:g})"
        return LossFormulas(None, f"{mean}({error})" if mean else error, f"(a - t, cut to ±{d}){over}")
    if isinstance(loss, Hinge):
        signs = np.where(t > 0, 1.0, -1.0)
        given = None if np.array_equal(signs, t) else ("t = 1 for y > 0, else -1", signs)
        return LossFormulas(given, f"{mean}max(0, 1 - t a)", f"-t [t a < 1]{over}")
    if isinstance(loss, Quantile):
        q = f", q = {loss.q:g}" if isinstance(loss.q, float) else f", q = ({', '.join(f'{q:g}' for q in loss.q)})"
        error = "q (t - a) where t ≥ a, else (1 - q) (a - t)"
        return LossFormulas(None, (f"{mean}({error})" if mean else error) + q, f"((1 - q) [a > t] - q [a < t]){over}")
    if isinstance(loss, KLDivergence):
        return LossFormulas(None, "Σ t (ln(t) - ln(a))", "-t / a")
    difference = f"(a - t){over}" if over else "a - t"
    if isinstance(loss, BinaryCrossEntropy):
        s = loss.label_smoothing
        given = (f"t = {1 - s:g} y + {s / 2:g}", (1 - s) * t + s / 2) if s else None
        found = LossFormulas(given, f"{mean}-t ln(a) - (1 - t) ln(1 - a)", difference, by_z=True)
    elif isinstance(loss, CrossEntropy):
        found = _cross_entropy(loss, t, outputs)
    elif isinstance(loss, Poisson):
        found = LossFormulas(None, f"{mean}a - t ln(a)", difference, by_z=True)
    elif isinstance(loss, GaussianNLL):
        found = _gaussian(loss, outputs // 2)
    else:
        return LossFormulas(None, f"{loss.name}(t, a)", None)
    return found if through_link else found._replace(slope=None)


def _gaussian(loss: GaussianNLL, targets: int) -> LossFormulas:
    mean, over = ("mean of ", f" / {targets}") if targets > 1 else ("", "")
    least = f", v at least {loss.epsilon:g}"
    error = f"{mean}½ (ln(v) + (t - μ)² / v){least}"
    return LossFormulas(None, error, f"((μ - t) / v, ½ (1 - (t - μ)² / v)){over}", by_z=True)


def _two_over(number: int, term: str) -> str:
    """2 / number × the term, shortened."""
    if number % 2:
        return f"2{'' if number == 1 else f'/{number}'} {term}"
    return term if number == 2 else f"{term} / {number // 2}"


def _cross_entropy(loss: CrossEntropy, t: np.ndarray, outputs: int) -> LossFormulas:
    is_label, s = t.size != outputs, loss.label_smoothing
    if is_label and not s:
        return LossFormulas(None, "-ln(a[t])", "a - (1 at t, else 0)", by_z=True)
    given = None
    if s:
        full = np.eye(outputs)[int(t[0])] if is_label else t
        y = "(1 at y, else 0)" if is_label else "y"
        t = (1 - s) * full + s / outputs
        given = (f"t = {1 - s:g} {y} + {s / outputs:g}", t)
    slope = "a - t" if np.isclose(t.sum(), 1) else "a Σt - t"
    return LossFormulas(given, "-Σ t ln(a)", slope, by_z=True)
