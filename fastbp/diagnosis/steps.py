"""The steps of the optimizers in formulas, for an explanation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, Lion, Nadam, Optimizer, RMSprop, Rprop


class Step(NamedTuple):
    """A step by formulas with {w} for the parameter, {g} for its gradient, {g2} for that squared, {eta} for the rate,
    {in_brackets} for that in brackets if it is a product, {factor} for the layer's factor of it.

    before, after  what is done to the optimizer's state before the step and behind it: formulas and names of state
    change         what is added to the parameter; k is the number of the step
    symbols        of hyperparameters, with their names; only those that are not 0 are shown
    """

    before: tuple[tuple[str, str], ...]
    change: str
    after: tuple[tuple[str, str], ...] = ()
    symbols: tuple[tuple[str, str], ...] = ()


def _sgd(o: SGD) -> Step:
    if not o.momentum:
        return Step((), "-{eta} {g}", symbols=(("λ", "weight_decay"),))
    change = "-{eta} ({g} + μ v)" if o.nesterov else "-{eta} v"
    return Step((("v ← μ v + {g}", "velocity"),), change, symbols=(("μ", "momentum"), ("λ", "weight_decay")))


_MOMENTS = ("m ← β₁ m + (1 - β₁) {g}", "m"), ("v ← β₂ v + (1 - β₂) {g2}", "v")
_ADAM = ("β₁", "beta1"), ("β₂", "beta2"), ("ε", "epsilon"), ("λ", "weight_decay")


def _adam(o: Adam) -> Step:
    decay = "-{eta} λ {w} - " if isinstance(o, AdamW) and o.weight_decay else "-"
    return Step(_MOMENTS, decay + "{eta} / (1 - β₁ᵏ) · m / (√v / √(1 - β₂ᵏ) + ε)", symbols=_ADAM)


def _nadam(o: Nadam) -> Step:
    change = "-{eta} ((1 - μₖ) / (1 - Mₖ) {g} + μₖ₊₁ / (1 - Mₖ₊₁) m) / (√v / √(1 - β₂ᵏ) + ε)"
    return Step(_MOMENTS, change, symbols=_ADAM)


def _momentums(o: Nadam, k: int) -> list[str]:
    """μₖ = β₁ (1 - ½ 0.96^(k ψ)) and Mₖ = μ₁ μ₂ … μₖ, of this step and the next."""
    mu = o.beta1 * (1 - 0.5 * 0.96 ** (np.arange(1, k + 2) * o.momentum_decay))
    products = np.cumprod(mu)
    values = {"μₖ": mu[-2], "μₖ₊₁": mu[-1], "Mₖ": products[-2], "Mₖ₊₁": products[-1]}
    return [f"{symbol} = {value:.6g}" for symbol, value in values.items()]


def _rmsprop(o: RMSprop) -> Step:
    before = [("s ← ρ s + (1 - ρ) {g2}", "square")]
    root = "√(s - m²)" if o.centered else "√s"
    if o.centered:
        before.append(("m ← ρ m + (1 - ρ) {g}", "mean"))
    if o.momentum:
        before.append((f"v ← μ v + {{g}} / ({root} + ε)", "velocity"))
    change = "-{eta} v" if o.momentum else f"-{{eta}} {{g}} / ({root} + ε)"
    symbols = ("ρ", "rho"), ("μ", "momentum"), ("ε", "epsilon"), ("λ", "weight_decay")
    return Step(tuple(before), change, symbols=symbols)


def _adagrad(o: Adagrad) -> Step:
    rate = "{eta} / (1 + (k - 1) d) ·" if o.rate_decay else "{eta}"
    symbols = ("d", "rate_decay"), ("ε", "epsilon"), ("λ", "weight_decay")
    return Step((("s ← s + {g2}", "square"),), f"-{rate} {{g}} / (√s + ε)", symbols=symbols)


def _adadelta(o: Adadelta) -> Step:
    symbols = ("ρ", "rho"), ("ε", "epsilon"), ("λ", "weight_decay")
    change = "-{eta} √(u + ε) / √(s + ε) {g}"
    after = (("u ← ρ u + (1 - ρ) (Δ{w} / {in_brackets})²", "moved"),)
    return Step((("s ← ρ s + (1 - ρ) {g2}", "square"),), change, after, symbols)


def _lion(o: Lion) -> Step:
    decay = "-{eta} λ {w} - " if o.weight_decay else "-"
    symbols = ("β₁", "beta1"), ("β₂", "beta2"), ("λ", "weight_decay")
    change = decay + "{eta} sign(β₁ m + (1 - β₁) {g})"
    return Step((), change, (("m ← β₂ m + (1 - β₂) {g}", "m"),), symbols)


def _rprop(o: Rprop) -> Step:
    size = f"s ← {o.grow:g} s where {{g}} keeps its sign, {o.shrink:g} s where it changes"
    return Step(((size, "step"),), "-{factor}s sign({g}), 0 where the sign changes")


_STEPS: dict[type[Optimizer], Callable[[Any], Step]] = {
    SGD: _sgd,
    Adam: _adam,
    AdamW: _adam,
    Nadam: _nadam,
    RMSprop: _rmsprop,
    Adagrad: _adagrad,
    Adadelta: _adadelta,
    Lion: _lion,
    Rprop: _rprop,
}


def step_of(optimizer: Optimizer) -> Step | None:
    """None for an optimizer whose formulas are not known here."""
    make = _STEPS.get(type(optimizer))
    return None if make is None else make(optimizer)


def coupled_decay(optimizer: Optimizer) -> float:
    """λ, where λ w is a part of the gradient."""
    return 0.0 if isinstance(optimizer, (AdamW, Lion)) else getattr(optimizer, "weight_decay", 0.0)


def constants_of(optimizer: Optimizer, rate: float, k: int) -> str:
    """What the formulas' symbols stand for: ", η = 0.1, μ = 0.9"."""
    step = step_of(optimizer)
    if step is None:
        return ""
    values = [] if isinstance(optimizer, Rprop) else [f"η = {rate:.6g}"]
    values += [
        f"{symbol} = {getattr(optimizer, name):.6g}" for symbol, name in step.symbols if getattr(optimizer, name)
    ]
    formulas = step.change + "".join(formula for formula, _ in step.before)
    if "ᵏ" in formulas or "k - 1" in formulas:
        values.append(f"k = {k}")
    if isinstance(optimizer, Nadam):
        values += _momentums(optimizer, k)
    return "".join(f", {value}" for value in values)
