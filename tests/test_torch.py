"""PyTorch as an oracle: the same weights in, the same losses and weights out for ten steps, in float64."""

import itertools

import numpy as np
import pytest
from cases import BUILDS, OPTIMIZERS, PAIRS, batch, network, relative
from support import seed_of

import fastbp as fb
from fastbp.optimizers import OPTIMIZERS as ALL_OPTIMIZERS
from fastbp.schedules import SCHEDULES as ALL_SCHEDULES

torch = pytest.importorskip("torch", reason="the oracle extra is not installed")
functional, lr = torch.nn.functional, torch.optim.lr_scheduler

FUNCTIONS = {
    "linear": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "selu": functional.selu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "mish": functional.mish,
    "softplus": lambda z: functional.softplus(z, threshold=100),
    "softsign": functional.softsign,
    "hard_sigmoid": lambda z: torch.clamp(z + 3, 0, 6) / 6,  # hardsigmoid's own derivative is rounded to float32
    "hard_tanh": functional.hardtanh,
    "exponential": torch.exp,
    "softmax": lambda z: torch.softmax(z, dim=1),
}


LOSSES = {
    "mse": functional.mse_loss,
    "squared_error": lambda z, y: 0.5 * ((z - y) ** 2).sum(dim=1).mean(),
    "mae": functional.l1_loss,
    "huber": functional.huber_loss,
    "cross_entropy": functional.cross_entropy,
    "binary_cross_entropy": functional.binary_cross_entropy_with_logits,
    "poisson": functional.poisson_nll_loss,
    "hinge": lambda z, y: torch.clamp(1 - y * z, min=0).mean(),
    "quantile": lambda z, y: torch.maximum(0.5 * (y - z), -0.5 * (y - z)).mean(),
    "gaussian_nll": lambda z, y: functional.gaussian_nll_loss(z[:, :2], y, torch.exp(z[:, 2:])),
    "kl_divergence": lambda z, y: functional.kl_div(torch.log(z), y, reduction="batchmean"),
}


@pytest.fixture(autouse=True)
def doubles():
    """PyTorch keeps scalars of optimizers (NAdam's product) in its default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Twin:
    """The network in PyTorch, with copies of its weights."""

    def __init__(self, net):
        self.net = net
        self.steps, self.weights = [], []
        for layer in net.layers:
            own = [torch.tensor(view.copy(), requires_grad=True) for view in layer.weights.values()]
            self.steps.append((own, FUNCTIONS[layer.layer.ends_with.name]))
            self.weights += own

    def forward(self, X):
        a = torch.tensor(X)
        for own, f in self.steps:
            if own:
                a = a @ own[0] + (own[1] if len(own) == 2 else 0)
            a = f(a)
        return a

    def flat(self, of=lambda w: w):
        return np.concatenate([of(w).detach().numpy().ravel() for w in self.weights])


class TorchLion(torch.optim.Optimizer):
    """Algorithm 2 of Chen et al. 2023, which PyTorch lacks."""

    def __init__(self, weights, lr, betas, weight_decay):
        super().__init__(weights, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for w in group["params"]:
                m = self.state[w].setdefault("m", torch.zeros_like(w))
                c = beta1 * m + (1 - beta1) * w.grad
                w -= group["lr"] * (torch.sign(c) + group["weight_decay"] * w)
                m.mul_(beta2).add_((1 - beta2) * w.grad)


def torch_optimizer(optimizer, weights):
    rate, decay = optimizer.learning_rate, {"weight_decay": getattr(optimizer, "weight_decay", 0)}
    if isinstance(optimizer, fb.SGD):
        return torch.optim.SGD(weights, rate, momentum=optimizer.momentum, nesterov=optimizer.nesterov, **decay)
    if isinstance(optimizer, fb.Adam):
        kind = {fb.Adam: torch.optim.Adam, fb.AdamW: torch.optim.AdamW, fb.Nadam: torch.optim.NAdam}[type(optimizer)]
        more = {"momentum_decay": optimizer.momentum_decay} if isinstance(optimizer, fb.Nadam) else {}
        return kind(weights, rate, (optimizer.beta1, optimizer.beta2), optimizer.epsilon, **decay, **more)
    if isinstance(optimizer, fb.RMSprop):
        options = dict(alpha=optimizer.rho, eps=optimizer.epsilon, momentum=optimizer.momentum)
        return torch.optim.RMSprop(weights, rate, **options, centered=optimizer.centered, **decay)
    if isinstance(optimizer, fb.Adagrad):
        return torch.optim.Adagrad(weights, rate, optimizer.rate_decay, eps=optimizer.epsilon, **decay)
    if isinstance(optimizer, fb.Adadelta):
        return torch.optim.Adadelta(weights, rate, optimizer.rho, optimizer.epsilon, **decay)
    if isinstance(optimizer, fb.Lion):
        return TorchLion(weights, rate, (optimizer.beta1, optimizer.beta2), **decay)
    etas, sizes = (optimizer.shrink, optimizer.grow), (optimizer.min_step, optimizer.max_step)
    return torch.optim.Rprop(weights, rate, etas, sizes)


def torch_clip(optimizer, weights):
    if optimizer.clip_value is not None:
        torch.nn.utils.clip_grad_value_(weights, optimizer.clip_value)
    if optimizer.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(weights, optimizer.clip_norm)


def test_the_table_has_every_optimizer():
    assert {type(o).__name__ for o in OPTIMIZERS.values()} == set(ALL_OPTIMIZERS)


def check_steps(net, loss, rng, *, smoothing=0.0):
    """Twenty steps of a network and its twin: outputs, losses, gradients and parameters."""
    twin, optimizer = Twin(net), net.optimizer
    theirs = torch_optimizer(optimizer, twin.weights)
    for step in range(20):
        X, y = batch(loss, rng, 9, probabilities=step % 2 == 1)
        theirs.zero_grad()
        z, t = twin.forward(X), torch.tensor(y)
        more = {"label_smoothing": smoothing} if smoothing else {}
        want = LOSSES[loss](z, t, **more)
        want.backward()
        assert relative(net.forward(X), z.detach().numpy()) < 1e-9
        assert net.train_on_batch(X, y) == pytest.approx(want.item(), rel=1e-9)
        torch_clip(optimizer, twin.weights)
        assert relative(net.grads, twin.flat(lambda w: w.grad)) < 1e-9
        theirs.step()
        assert relative(net.params, twin.flat()) < 1e-9


@pytest.mark.parametrize(("activation", "loss"), PAIRS)
def test_twenty_steps_of_each_activation_and_loss(activation, loss):
    for build in BUILDS:
        rng = np.random.default_rng(seed_of(build, activation, loss))
        check_steps(network(build, activation, loss, fb.Adam(0.01)), loss, rng)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_twenty_steps_of_each_optimizer(optimizer):
    for build, (activation, loss) in itertools.product(BUILDS, (("tanh", "cross_entropy"), ("relu", "mse"))):
        rng = np.random.default_rng(seed_of(optimizer, build, activation, loss))
        check_steps(network(build, activation, loss, OPTIMIZERS[optimizer]), loss, rng)


def test_label_smoothing():
    for build in BUILDS:
        net = network(build, "tanh", fb.CrossEntropy(label_smoothing=0.1), fb.Adam(0.01))
        check_steps(net, "cross_entropy", np.random.default_rng(seed_of(build)), smoothing=0.1)


SCHEDULES = {
    "StepDecay": (fb.StepDecay(0.1, 3, 0.5), lambda o: lr.StepLR(o, 3, 0.5)),
    "ExponentialDecay": (fb.ExponentialDecay(0.1, 0.9), lambda o: lr.ExponentialLR(o, 0.9)),
    "ExponentialDecay steps": (fb.ExponentialDecay(0.1, 0.5, 4), lambda o: lr.LambdaLR(o, lambda t: 0.5 ** (t / 4))),
    "CosineDecay": (fb.CosineDecay(0.1, 20, 0.01), lambda o: lr.CosineAnnealingLR(o, 20, 0.01)),
    "OneCycle": (fb.OneCycle(0.1, 20), lambda o: lr.OneCycleLR(o, 0.1, 20, cycle_momentum=False)),
    "PiecewiseConstant": (fb.PiecewiseConstant([4, 9], [0.1, 0.05, 0.025]), lambda o: lr.MultiStepLR(o, [4, 9], 0.5)),
    "InverseScaling": (fb.InverseScaling(0.1, 0.5), lambda o: lr.LambdaLR(o, lambda t: (1 + t) ** -0.5)),
    "Warmup": (fb.Warmup(0.1, 5, 0.2), lambda o: lr.LinearLR(o, 0.2, total_iters=5)),
    "Warmup, then": (
        fb.Warmup(fb.ExponentialDecay(0.1, 0.9), 5, 0.2),
        lambda o: lr.SequentialLR(o, [lr.LinearLR(o, 0.2, total_iters=5), lr.ExponentialLR(o, 0.9)], [5]),
    ),
}


def test_the_table_has_every_schedule():
    assert {type(ours).__name__ for ours, _ in SCHEDULES.values()} == set(ALL_SCHEDULES)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.filterwarnings("ignore:The epoch parameter")  # PyTorch's SequentialLR, about itself
def test_twenty_steps_of_each_schedule(name):
    schedule, make = SCHEDULES[name]
    rng = np.random.default_rng(seed_of(name))
    net = network("two", "tanh", "mse", fb.SGD(schedule))
    twin = Twin(net)
    theirs = torch.optim.SGD(twin.weights, 0.1)
    steps = make(theirs)
    for step in range(20):
        X, y = batch("mse", rng, 9)
        theirs.zero_grad()
        functional.mse_loss(twin.forward(X), torch.tensor(y)).backward()
        assert net.learning_rate == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9)
        net.train_on_batch(X, y)
        assert net.scalars[1] == pytest.approx(schedule(step), rel=1e-12)
        theirs.step()
        steps.step()
        assert relative(net.params, twin.flat()) < 1e-9


def test_penalties_rates_of_layers_and_frozen_layers():
    """L1 and L2, factors of the learning rate, and layers that don't learn: parameter groups and terms of the loss."""
    rng = np.random.default_rng(0)
    layers = [
        fb.Dense(7, "tanh", l1=0.01, bias_init="glorot_normal"),
        fb.Dense(6, "relu", trainable=False, l2=0.1),
        fb.Dense(5, "gelu", learning_rate=0.3, l1=0.02, l2=0.03),
        fb.Dense(3, l2=0.05),
    ]
    for optimizer in (fb.SGD(0.1), fb.Adam(0.01), fb.SGD(0.1, clip_norm=0.5), fb.AdamW(0.01), fb.Lion(0.01)):
        net = fb.Network(layers, (6,), loss="cross_entropy", optimizer=optimizer, dtype="float64", seed=0)
        twin = Twin(net)
        frozen = twin.weights[2:4]
        for weight in frozen:
            weight.requires_grad = False
        groups = [
            {"params": twin.weights[i : i + 2], "lr": optimizer.learning_rate * layers[i // 2].learning_rate}
            for i in (0, 4, 6)
        ]
        theirs = torch_optimizer(optimizer, groups)
        for _ in range(20):
            X, y = batch("cross_entropy", rng, 9)
            theirs.zero_grad()
            want = functional.cross_entropy(twin.forward(X), torch.tensor(y))
            for weight, layer in zip(twin.weights[::2], layers, strict=True):
                want = want + layer.l1 * weight.abs().sum() + layer.l2 * (weight**2).sum()
            want.backward()
            assert net.evaluate(X, y)["loss"] == pytest.approx(want.item(), rel=1e-9)
            assert net.train_on_batch(X, y) == pytest.approx(want.item(), rel=1e-9)
            torch_clip(optimizer, [w for group in groups for w in group["params"]])
            theirs.step()
            assert relative(net.params, twin.flat()) < 1e-9


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_a_last_activation_that_is_the_losss_own_is_not_applied_twice(loss):
    link = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}[loss]
    X, y = batch(loss, np.random.default_rng(0), 20)
    plain = fb.Network([fb.Dense(4, "tanh"), fb.Dense(3)], (6,), loss=loss, dtype="float64", seed=0)
    fused = fb.Network([fb.Dense(4, "tanh"), fb.Dense(3, link)], (6,), loss=loss, dtype="float64", seed=0)
    apart = fb.Network(
        [fb.Dense(4, "tanh"), fb.Dense(3), fb.Activation(link)], (6,), loss=loss, dtype="float64", seed=0
    )
    for net in (fused, apart):
        assert (net.forward(X) == plain.forward(X)).all()
        assert (net.predict(X) == plain.predict(X)).all()
        assert (net.value_and_grad(X, y)[1] == plain.value_and_grad(X, y)[1]).all()
    np.testing.assert_allclose(plain.predict(X), FUNCTIONS[link](torch.tensor(plain.forward(X))), rtol=1e-12)


def test_twenty_epochs_of_mini_batches_with_a_smaller_last_one():
    rng = np.random.default_rng(0)
    X, y = batch("cross_entropy", rng, 50)
    net = network("three", "relu", "cross_entropy", fb.Adam(0.01))
    twin = Twin(net)
    theirs = torch_optimizer(net.optimizer, twin.weights)
    history = net.fit(X, y, epochs=20, batch_size=16, shuffle=False, verbose=False).history
    for epoch in range(20):
        total = 0.0
        for start in range(0, 50, 16):
            rows = slice(start, start + 16)
            theirs.zero_grad()
            loss = functional.cross_entropy(twin.forward(X[rows]), torch.tensor(y[rows]))
            loss.backward()
            theirs.step()
            total += loss.item() * len(y[rows])
        assert history["loss"][epoch] == pytest.approx(total / 50, rel=1e-9)
    assert relative(net.params, twin.flat()) < 1e-9
