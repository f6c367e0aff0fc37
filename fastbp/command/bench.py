"""Side by side with the peers that are installed: time for one training step, in processes of their own, taking turns.

All do the same work: float32, Adam with the same settings, the same initial weights, the same batches in the same
order; the loss after CHECKED_STEPS steps shows it. Each figure is the median over rounds, in each of which every
contestant is timed once, so that a machine whose speed drifts treats all alike.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..formats.files import replacing
from ..program.plan import BATCH_LOSS

CHECKED_STEPS = 16


class Maps(NamedTuple):
    """A convolution, and what follows it: the activation, and then the largest of each window of `pool`.

    same  whether there is a border that keeps the size; norm: whether the batch is normalised before the activation,
    instead of a bias
    """

    filters: int
    kernel: int
    same: bool = False
    norm: bool = False
    pool: int = 1


@dataclass(frozen=True)
class Spec:
    """A network, and how it is trained: float32, Adam.

    sizes       of the dense layers: inputs, units of each hidden layer, outputs
    activation  of the hidden layers; the last layer is linear
    loss        "mse" or "cross_entropy"
    batch       rows in a step
    steps       steps in an epoch: so many that Python's part of the epoch does not count, and CHECKED_STEPS or more
    rate        learning rate
    maps        convolutions before the dense layers, of one axis or two
    shape       of a row, if there are any: (channels, …)
    """

    sizes: tuple[int, ...]
    activation: str
    loss: str
    batch: int
    steps: int
    rate: float = 1e-3
    maps: tuple[Maps, ...] = ()
    shape: tuple[int, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.shape or self.sizes[:1]

    @property
    def rows(self) -> int:
        """Rows in an epoch."""
        return self.batch * self.steps


NETWORKS = {
    "tiny": Spec((4, 32, 32, 1), "relu", "mse", 32, steps=5000),
    "chains": Spec((4, 32, 16, 4), "tanh", "mse", 10_000, steps=20),
    "digits": Spec((64, 64, 10), "relu", "cross_entropy", 64, steps=1000),
    "sigmoid": Spec((30, 100, 50, 2), "sigmoid", "cross_entropy", 100, steps=500),
    "mnist": Spec((784, 128, 10), "relu", "cross_entropy", 64, steps=200),
    "wide": Spec((784, 512, 512, 10), "relu", "cross_entropy", 128, steps=20),
    # Adam's first step moves each of a unit's 2048 weights by the whole rate: 1e-3 is too far.
    "big": Spec((1024, 2048, 2048, 10), "relu", "cross_entropy", 256, steps=16, rate=1e-4),
    "lenet": Spec(
        (256, 120, 84, 10),
        "relu",
        "cross_entropy",
        128,
        steps=20,
        maps=(Maps(6, 5, pool=2), Maps(16, 5, pool=2)),
        shape=(1, 28, 28),
    ),
    # As for big: a unit of the last layer has 12,544 weights.
    "conv wide": Spec(
        (12544, 10),
        "relu",
        "cross_entropy",
        64,
        steps=16,
        rate=1e-4,
        maps=(Maps(32, 3, same=True, norm=True), Maps(64, 3, same=True, norm=True, pool=2)),
        shape=(1, 28, 28),
    ),
    "conv 256": Spec(
        (12544, 10),
        "relu",
        "cross_entropy",
        32,
        steps=16,
        rate=1e-4,
        maps=(Maps(256, 3, same=True), Maps(256, 3, same=True)),
        shape=(256, 7, 7),
    ),
    "conv 1d": Spec((3968, 10), "relu", "cross_entropy", 64, steps=20, maps=(Maps(64, 9, pool=4),), shape=(8, 256)),
}


def make_data(spec: Spec, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """X (rows, *input_shape), and y: labels (rows,) for cross_entropy, values (rows, outputs) for mse.

    Both are the same each time. y depends on X through a random linear map: there is something to learn.
    """
    rng = np.random.default_rng(0)
    inputs, outputs = math.prod(spec.input_shape), spec.sizes[-1]
    teacher = rng.standard_normal((inputs, outputs), np.float32) / np.float32(np.sqrt(inputs))
    X = rng.standard_normal((rows, inputs), np.float32)
    y = X @ teacher
    X = X.reshape(rows, *spec.input_shape)
    return X, y.argmax(axis=1) if spec.loss == "cross_entropy" else np.tanh(y)


def make_weights(spec: Spec) -> list[tuple[np.ndarray, np.ndarray]]:
    """(weight (in, out), bias (out,)) of each layer: Glorot's uniform law and zeros, the same each time."""
    rng = np.random.default_rng(1)
    pairs = zip(spec.sizes[:-1], spec.sizes[1:], strict=True)
    return [
        (rng.uniform(-1, 1, (m, n)).astype(np.float32) * np.float32(np.sqrt(6 / (m + n))), np.zeros(n, np.float32))
        for m, n in pairs
    ]


def make_filters(spec: Spec) -> list[tuple[np.ndarray, np.ndarray]]:
    """(weight (filters, channels, *kernel), bias (filters,)) of each convolution, likewise."""
    rng, channels, found = np.random.default_rng(2), spec.shape[0] if spec.shape else 0, []
    for maps in spec.maps:
        shape = (maps.filters, channels, *(maps.kernel,) * (len(spec.shape) - 1))
        bound = np.sqrt(6 / ((maps.filters + channels) * math.prod(shape[2:])))
        found.append(((rng.uniform(-bound, bound, shape)).astype(np.float32), np.zeros(maps.filters, np.float32)))
        channels = maps.filters
    return found


# --- contestants: each is made from (spec, X, y, weights) and trains `steps` steps, returning the last loss ---

Train = Callable[[int], float]


def build(spec: Spec) -> Any:
    """The network in fastbp, with the same initial values each time."""
    import fastbp as fb

    *hidden, outputs = spec.sizes[1:]
    convolution, pool = (fb.Conv1D, fb.MaxPool1D) if len(spec.shape) == 2 else (fb.Conv2D, fb.MaxPool2D)
    layers: list[Any] = []
    for maps in spec.maps:
        padding = "same" if maps.same else 0
        layers.append(convolution(maps.filters, maps.kernel, padding=padding, bias=not maps.norm))
        layers += [fb.BatchNorm()] if maps.norm else []
        layers.append(fb.Activation(spec.activation))
        layers += [pool(maps.pool)] if maps.pool > 1 else []
    layers += [fb.Flatten()] if spec.maps else []
    layers += [fb.Dense(units, activation=spec.activation) for units in hidden]
    layers.append(fb.Dense(outputs))
    net = fb.Network(layers, spec.input_shape, loss=spec.loss, optimizer=fb.Adam(spec.rate), seed=0)
    weighted = [layer for layer in net.layers if "weight" in layer.weights]
    for layer, (weight, bias) in zip(weighted, [*make_filters(spec), *make_weights(spec)], strict=True):
        layer.weight[...] = weight
        if "bias" in layer.weights:
            layer.bias[...] = bias
    return net


def _fastbp(threads: int | None) -> Callable[..., Train]:
    def make(spec: Spec, X: np.ndarray, y: np.ndarray) -> Train:
        import fastbp as fb

        fb.set_num_threads(threads)
        net = build(spec)

        def train(steps: int) -> float:
            epochs, rest = divmod(steps, spec.steps)
            if epochs:
                net.fit(X, y, epochs=epochs, batch_size=spec.batch, shuffle=False, verbose=False)
            if rest:
                rows = rest * spec.batch
                net.fit(X[:rows], y[:rows], batch_size=spec.batch, shuffle=False, verbose=False)
            return float(net.workspace(1).totals[BATCH_LOSS])

        return train

    return make


def _batches(spec: Spec, steps: int) -> Iterator[slice]:
    for step in range(steps):
        start = step % spec.steps * spec.batch
        yield slice(start, start + spec.batch)


def _torch_maps(spec: Spec, activation: Any) -> list[Any]:
    """The modules before the dense layers."""
    from torch import nn, no_grad, tensor

    one = len(spec.shape) == 2
    convolution, norm, pool = (
        (nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d) if one else (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)
    )
    parts: list[Any] = []
    for maps, (weight, bias) in zip(spec.maps, make_filters(spec), strict=True):
        padding = "same" if maps.same else 0
        layer = convolution(weight.shape[1], maps.filters, maps.kernel, padding=padding, bias=not maps.norm)
        with no_grad():
            layer.weight.copy_(tensor(weight))
            if layer.bias is not None:
                layer.bias.copy_(tensor(bias))
        parts += [layer, *([norm(maps.filters)] if maps.norm else []), activation()]
        parts += [pool(maps.pool)] if maps.pool > 1 else []
    return [*parts, nn.Flatten()] if parts else []


def _torch(threads: int | None, compiled: bool) -> Callable[..., Train]:
    def make(spec: Spec, X: np.ndarray, y: np.ndarray) -> Train:
        import torch

        torch.set_num_threads(threads or os.cpu_count() or 1)
        activation = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid}[spec.activation]
        parts = _torch_maps(spec, activation)
        for weight, bias in make_weights(spec):
            layer = torch.nn.Linear(*weight.shape)
            with torch.no_grad():
                layer.weight.copy_(torch.tensor(weight.T))
                layer.bias.copy_(torch.tensor(bias))
            parts += [layer, activation()]
        model = torch.nn.Sequential(*parts[:-1])
        optimizer = torch.optim.Adam(model.parameters(), lr=spec.rate, fused=not compiled)
        measure = torch.nn.functional.mse_loss if spec.loss == "mse" else torch.nn.functional.cross_entropy
        inputs, targets = torch.tensor(X), torch.tensor(y)

        def loss_of(x, t):
            return measure(model(x), t)

        update = optimizer.step
        if compiled:
            loss_of, update = torch.compile(loss_of), torch.compile(optimizer.step)

        def train(steps: int) -> float:
            loss = torch.zeros(())
            for rows in _batches(spec, steps):
                optimizer.zero_grad()
                loss = loss_of(inputs[rows], targets[rows])
                loss.backward()
                update()
            return loss.item()

        return train

    return make


def _jax(spec: Spec, X: np.ndarray, y: np.ndarray) -> Train:
    import jax
    import jax.numpy as jnp

    activation = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}[spec.activation]
    shape = (spec.steps, spec.batch)
    inputs, targets = jnp.asarray(X.reshape(*shape, *spec.input_shape)), jnp.asarray(y.reshape(*shape, *y.shape[1:]))

    before = len(spec.maps)
    axes = tuple(range(2, 1 + len(spec.shape)))
    along = (-1, *(1,) * len(axes))  # of the channels

    def on_maps(weights, x):
        for maps, (weight, bias, *gain) in zip(spec.maps, weights, strict=True):
            steps, padding = (1,) * len(axes), "SAME" if maps.same else "VALID"
            x = jax.lax.conv_general_dilated(x, weight, steps, padding)
            if maps.norm:
                mean, variance = x.mean(axis=(0, *axes), keepdims=True), x.var(axis=(0, *axes), keepdims=True)
                x = (x - mean) / jnp.sqrt(variance + 1e-5) * gain[0].reshape(along)
            x = activation(x + bias.reshape(along))
            if maps.pool > 1:
                window = (1, 1, *(maps.pool,) * len(axes))
                x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
        return x.reshape(len(x), -1) if spec.maps else x

    def loss_of(weights, x, t):
        x = on_maps(weights[:before], x)
        for weight, bias in weights[before:-1]:
            x = activation(x @ weight + bias)
        z = x @ weights[-1][0] + weights[-1][1]
        if spec.loss == "mse":
            return jnp.mean((z - t) ** 2)
        return jnp.mean(jax.nn.logsumexp(z, axis=1) - jnp.take_along_axis(z, t[:, None], axis=1)[:, 0])

    def step(state, batch):
        weights, means, squares, t = state
        loss, grads = jax.value_and_grad(loss_of)(weights, *batch)
        t = t + 1
        size, root = spec.rate / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
        means = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, means, grads)
        squares = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, squares, grads)
        weights = jax.tree.map(lambda w, m, v: w - size * m / (jnp.sqrt(v) / root + 1e-8), weights, means, squares)
        return (weights, means, squares, t), loss

    run = jax.jit(lambda state, x, t: jax.lax.scan(step, state, (x, t)))
    filters = [
        (*pair, np.ones_like(pair[1])) if maps.norm else pair
        for maps, pair in zip(spec.maps, make_filters(spec), strict=True)
    ]
    weights = [tuple(jnp.asarray(array) for array in arrays) for arrays in [*filters, *make_weights(spec)]]
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = [(weights, zeros, zeros, jnp.float32(0))]

    def train(steps: int) -> float:
        loss = np.zeros(1)
        while steps > 0:
            n = min(steps, spec.steps)
            state[0], loss = run(state[0], inputs[:n], targets[:n])
            steps -= n
        return float(loss[-1])

    return train


def _sklearn(spec: Spec, X: np.ndarray, y: np.ndarray) -> Train:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    kind = MLPRegressor if spec.loss == "mse" else MLPClassifier
    activation = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}[spec.activation]
    net = kind(
        hidden_layer_sizes=spec.sizes[1:-1],
        activation=activation,
        alpha=0,
        batch_size=spec.batch,
        learning_rate_init=spec.rate,
    )
    two = spec.sizes[-1] == 2  # scikit-learn then has one output: less work, another loss
    more = {} if spec.loss == "mse" else {"classes": np.arange(spec.sizes[-1])}
    targets = y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
    # a first step makes the network and its optimizer, then both are put to the common start
    net.partial_fit(X[: spec.batch], targets[: spec.batch], **more)
    for i, (weight, bias) in enumerate(make_weights(spec)):
        if not (two and i == len(net.coefs_) - 1):
            net.coefs_[i][...], net.intercepts_[i][...] = weight, bias
    optimizer = net._optimizer  # noqa: SLF001, scikit-learn's, which has no other way to it
    for m in (*optimizer.ms, *optimizer.vs):
        m[...] = 0
    optimizer.t = 0

    def train(steps: int) -> float:
        for rows in _batches(spec, steps):
            net.partial_fit(X[rows], targets[rows])
        # its mse is half of the others'
        return float(net.loss_) * (2 if spec.loss == "mse" else 1)

    return train


CONTESTANTS: dict[str, tuple[str, Callable[..., Train]]] = {
    "fastbp, 1 thread": ("fastbp", _fastbp(1)),
    "fastbp": ("fastbp", _fastbp(None)),
    "PyTorch, 1 thread": ("torch", _torch(1, False)),
    "PyTorch": ("torch", _torch(None, False)),
    "torch.compile": ("torch", _torch(None, True)),
    "JAX": ("jax", _jax),
    "scikit-learn": ("sklearn", _sklearn),
}
OURS = ("fastbp, 1 thread", "fastbp")


# --- one contestant in its process: a line of JSON on standard output for each line on standard input ---


def contestant(name: str, network: str, seconds: float) -> None:
    """Train `network`: say the loss after CHECKED_STEPS steps, then time about `seconds` for each line of input."""
    spec = NETWORKS[network]
    X, y = make_data(spec, spec.rows)
    train = CONTESTANTS[name][1](spec, X, y)
    loss = train(CHECKED_STEPS)
    train(spec.steps)
    begin = time.perf_counter()
    train(spec.steps)
    each = (time.perf_counter() - begin) / spec.steps
    steps = spec.steps * max(1, round(seconds / each / spec.steps)) if each * spec.steps < seconds else spec.steps
    if each * steps > 10 * seconds:  # a whole epoch is too long
        steps = max(1, round(seconds / each))
        train(steps)
    print(json.dumps({"loss": loss}), flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        train(steps)
        print(json.dumps({"seconds": (time.perf_counter() - begin) / steps, "peak": _peak_memory()}), flush=True)


def _peak_memory() -> float:
    """The most memory that this process has had, in MB; 0 where that can't be asked (Windows)."""
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


class _Process:
    def __init__(self, name: str, network: str, seconds: float):
        self.name, self.error = name, ""
        self.times: list[float] = []
        self.peak = 0.0
        command = [sys.executable, "-m", "fastbp.command.bench", name, network, str(seconds)]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by close)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        answer = self._answer()
        self.loss = None if answer is None else answer["loss"]

    def _answer(self) -> dict[str, float] | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        self.error = lines[-1] if lines else f"exit status {self._process.returncode}"
        return None

    def turn(self) -> None:
        if self.error:
            return
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._answer()
        if answer is not None:
            self.times.append(answer["seconds"])
            self.peak = answer["peak"]

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()
        self._process.wait()


def installed(names: list[str] | None = None) -> list[str]:
    """The contestants whose packages are here."""
    return [n for n, (package, _) in CONTESTANTS.items() if (names is None or n in names) and _is_here(package)]


def able(names: list[str], network: str) -> list[str]:
    """Those of the contestants that have such layers."""
    return [name for name in names if not NETWORKS[network].maps or CONTESTANTS[name][0] != "sklearn"]


def _is_here(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def compare(network: str, names: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Time the contestants on a network: {name: {"seconds", "loss"} or {"error"}}."""
    processes = [_Process(name, network, seconds) for name in names]
    for _ in range(rounds):
        for process in processes:
            time.sleep(0.05)  # until the last one's threads have gone to sleep
            process.turn()
    for process in processes:
        process.close()
    return {
        p.name: {"error": p.error}
        if p.error
        else {"seconds": statistics.median(p.times), "loss": p.loss, "peak_mb": p.peak}
        for p in processes
    }


def best_ratio(result: dict[str, Any]) -> tuple[str, float] | None:
    """(the best peer, its time over ours); None without a peer."""
    times = {name: entry["seconds"] for name, entry in result.items() if "seconds" in entry}
    peers = {name: t for name, t in times.items() if name not in OURS}
    ours = min((t for name, t in times.items() if name in OURS), default=None)
    if not peers or ours is None:
        return None
    best = min(peers, key=lambda name: peers[name])
    return best, peers[best] / ours


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as a Markdown table: microseconds a step, and the ratio of the best peer to fastbp."""
    names = _names(results)
    lines = [f"| network | {' | '.join(names)} | best peer / fastbp |", f"|---|{'---:|' * (len(names) + 1)}"]
    for network, result in results.items():
        cells = ["" if n not in result else _time(result[n]) for n in names]
        best = best_ratio(result)
        cells.append("" if best is None else f"{best[1]:.1f} ({best[0]})")
        lines.append(f"| {network} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _names(results: dict[str, dict[str, Any]]) -> list[str]:
    """The contestants of any of the networks."""
    return list(dict.fromkeys(name for result in results.values() for name in result))


def _time(entry: dict[str, Any]) -> str:
    return f"{entry['seconds'] * 1e6:,.1f}" if "seconds" in entry else "failed"


def _by_contestant(title: str, results: dict[str, dict[str, Any]], cell: Callable[[dict[str, Any]], str]) -> str:
    """A Markdown table with a row for each network and a column for each contestant."""
    names = _names(results)
    lines = [f"| {title} | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for network, result in results.items():
        lines.append(f"| {network} | {' | '.join(cell(result[n]) if n in result else '' for n in names)} |")
    return "\n".join(lines)


def memory(results: dict[str, dict[str, Any]]) -> str:
    """The peak memory of the whole process, imports and data included, in MB, as a Markdown table."""
    return _by_contestant("peak memory, MB", results, lambda e: f"{e['peak_mb']:,.0f}" if "peak_mb" in e else "")


def losses(results: dict[str, dict[str, Any]]) -> str:
    """The losses after CHECKED_STEPS steps, or why there is none, as a Markdown table."""
    title = f"loss of step {CHECKED_STEPS}"
    return _by_contestant(title, results, lambda e: f"{e['loss']:.6f}" if "loss" in e else e["error"])


def plot(results: dict[str, dict[str, Any]], path: str) -> None:
    """Draw how many times longer than fastbp each peer takes, on a log scale."""
    from matplotlib.figure import Figure

    peers = [name for name in _names(results) if name not in OURS]
    figure = Figure(figsize=(1.5 + 1.3 * len(results), 4), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / max(len(peers), 1)
    for i, peer in enumerate(peers):
        ratios = []
        for result in results.values():
            ours = min(result[n]["seconds"] for n in OURS if "seconds" in result.get(n, {}))
            entry = result.get(peer, {})
            ratios.append(entry["seconds"] / ours if "seconds" in entry else float("nan"))
        axes.bar([x + (i - (len(peers) - 1) / 2) * width for x in range(len(results))], ratios, width, label=peer)
    axes.axhline(1, color="black", linewidth=1)
    axes.set_yscale("log")
    axes.set_xticks(range(len(results)), list(results))
    axes.set_ylabel("time of a training step / fastbp's")
    if peers:
        axes.legend(ncols=2, frameon=False, fontsize="small")
    with replacing(path) as file:
        figure.savefig(file, format=Path(path).suffix.lower().removeprefix(".") or "png", dpi=120)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    versions = {}
    for package in ("numba", "numpy", "torch", "jax", "scikit-learn"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"cpu": _cpu(), "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def run(networks: list[str], rounds: int, seconds: float, say: Callable[[str], None] = print) -> dict[str, Any]:
    """The whole comparison; `say` gets a line for each network as it is done."""
    names = installed()
    results = {}
    for network in networks:
        results[network] = compare(network, able(names, network), rounds, seconds)
        ratio = best_ratio(results[network])
        say(f"{network}: " + ("no peer" if ratio is None else f"{ratio[0]} takes {ratio[1]:.1f} times as long"))
    return {"machine": machine(), "rounds": rounds, "results": results}


# --- the command --------------------------------------------------------------------------------------


class BenchError(ValueError):
    """The comparison can't be done as it was asked for; the message is one line."""


def add_command(commands: Any) -> None:
    """Add `fastbp bench` to the command line."""
    about = "Time one training step beside the peers that are installed, and save the figures and a picture."
    bench = commands.add_parser("bench", help="compare with PyTorch, JAX and scikit-learn", description=about)
    bench.set_defaults(run=_command)
    names = ",".join(NETWORKS)
    bench.add_argument("--networks", metavar="NAMES", default=names, help=f"some of {names} (default: all)")
    bench.add_argument("--rounds", metavar="N", type=int, default=5, help="turns of each; medians count (default: 5)")
    bench.add_argument("--seconds", metavar="S", type=float, default=0.3, help="of a turn, about (default: 0.3)")
    bench.add_argument("--json", metavar="FILE", default="fastbp-bench.json", help="default: fastbp-bench.json")
    bench.add_argument("--plot", metavar="FILE", default="fastbp-bench.png", help="default: fastbp-bench.png")


def _command(args: Any) -> int:
    networks = [name.strip() for name in args.networks.split(",")]
    for name in networks:
        if name not in NETWORKS:
            raise BenchError(f"--networks must be some of {', '.join(NETWORKS)}, got {name!r}")
    if args.rounds < 1:
        raise BenchError(f"--rounds must be at least 1, got {args.rounds}")
    if not 0 < args.seconds < 3600:
        raise BenchError(f"--seconds must be greater than 0, got {args.seconds}")
    found = run(networks, args.rounds, args.seconds, lambda line: print(line, file=sys.stderr, flush=True))
    results = found["results"]
    print("Microseconds for one training step, " + ", ".join(f"{k} {v}" for k, v in found["machine"].items()))
    print(f"\n{table(results)}\n\n{losses(results)}\n\n{memory(results)}\n")
    with replacing(args.json) as file:
        file.write(json.dumps(found, indent=1).encode())
    print(f"figures  {args.json}")
    if _is_here("matplotlib"):
        plot(results, args.plot)
        print(f"picture  {args.plot}")
    return 0


if __name__ == "__main__":
    contestant(sys.argv[1], sys.argv[2], float(sys.argv[3]))
