"""Layers of maps in PyTorch, from the descriptions of ours; and random networks of them."""

import numpy as np
import torch

import fastbp as fb

functional = torch.nn.functional
RATE = 0.01  # of all: the steps of random networks shall not diverge
FUNCTIONS = {
    "linear": lambda z: z,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "silu": functional.silu,
    "softplus": lambda z: functional.softplus(z, threshold=100),
}


def _dims(value, dims):
    return tuple(value) if isinstance(value, tuple) else (value,) * dims


def _border(layer, x, kernel, stride, dilation, value):
    """x in the border that `padding` means."""
    if layer.padding == "valid":
        return x
    pairs = []
    for i in range(layer.dims):
        if layer.padding == "same":
            size = x.shape[2 + i]
            outputs = -(-size // stride[i])
            missing = max((outputs - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1 - size, 0)
            pairs.append((missing // 2, missing - missing // 2))
        else:
            pairs.append((_dims(layer.padding, layer.dims)[i],) * 2)
    return functional.pad(x, [side for pair in reversed(pairs) for side in pair], value=value)


def _convolution(layer, x, weight, bias=None):
    kernel, stride, dilation = (_dims(v, layer.dims) for v in (layer.kernel_size, layer.stride, layer.dilation))
    convolve = functional.conv1d if layer.dims == 1 else functional.conv2d
    x = _border(layer, x, kernel, stride, dilation, 0.0)
    return convolve(x, weight, bias, stride, 0, dilation, layer.groups)


def _pool(layer, x):
    size, stride = _dims(layer.size, layer.dims), _dims(layer.stride, layer.dims)
    x = _border(layer, x, size, stride, (1, 1), -torch.inf if layer.largest else 0.0)
    pools = {
        (1, True): functional.max_pool1d,
        (1, False): functional.avg_pool1d,
        (2, True): functional.max_pool2d,
        (2, False): functional.avg_pool2d,
    }
    return pools[layer.dims, layer.largest](x, size, stride)


def apply(layer, weights, statistics, x, training):
    """The output of a layer, by PyTorch; weights and statistics are its own, by name."""
    if isinstance(layer, (fb.Conv1D, fb.Conv2D)):
        x = _convolution(layer, x, *weights.values())
    elif isinstance(layer, (fb.MaxPool1D, fb.MaxPool2D, fb.AvgPool1D, fb.AvgPool2D)):
        x = _pool(layer, x)
    elif isinstance(layer, (fb.GlobalAvgPool1D, fb.GlobalAvgPool2D)):
        x = x.flatten(2).mean(dim=2)
    elif isinstance(layer, fb.Flatten):
        x = x.flatten(1)
    elif isinstance(layer, fb.Dense):
        x = functional.linear(x, weights["weight"].T, weights.get("bias"))
    elif isinstance(layer, fb.BatchNorm):
        counts = training and layer.trainable
        options = weights["gain"], weights["bias"], counts, layer.momentum, layer.epsilon
        x = functional.batch_norm(x, statistics["running_mean"], statistics["running_variance"], *options)
    elif isinstance(layer, fb.LayerNorm):
        x = functional.layer_norm(x, weights["gain"].shape, weights["gain"], weights["bias"], layer.epsilon)
    elif isinstance(layer, fb.Residual):
        x = _residual(layer, weights, statistics, x, training)
    else:
        assert isinstance(layer, fb.Activation), layer
    return FUNCTIONS[layer.ends_with.name](x) if layer.ends_with is not None else x


def _inside(prefix, views):
    return {name.removeprefix(prefix): view for name, view in views.items() if name.startswith(prefix)}


def _residual(layer, weights, statistics, x, training):
    z, counts = x, {}
    for inner in layer.layers:
        kind = type(inner).__name__
        counts[kind] = counts.get(kind, 0) + 1
        prefix = f"{kind}_{counts[kind]}."
        own, counted = (_inside(prefix, views) for views in (weights, statistics))
        z = apply(inner, own, counted, z, training)
    if "projection.weight" not in weights:
        return z + x
    projection = weights["projection.weight"]
    if x.dim() == 2:
        return z + x @ projection
    for axis in range(2, x.dim()):  # the stride of a kernel of 1: every so many elements
        n, m = x.shape[axis], z.shape[axis]
        stride = next(s for s in range(1, n + 1) if -(-n // s) == m)
        x = x[(slice(None),) * axis + (slice(None, None, stride),)]
    return z + torch.einsum("bc...,oc->bo...", x, projection.flatten(1))


class MapTwin:
    """A network in PyTorch, with copies of its weights and statistics."""

    def __init__(self, net):
        self.net = net
        self.weights, self.statistics = [], []
        for layer in net.layers:
            self.weights.append({n: torch.tensor(v.copy(), requires_grad=True) for n, v in layer.weights.items()})
            self.statistics.append({n: torch.tensor(v.copy()) for n, v in layer.statistics.items()})
        self.flat_weights = [w for own in self.weights for w in own.values()]

    def forward(self, x, training=False):
        for bound, own, counted in zip(self.net.layers, self.weights, self.statistics, strict=True):
            x = apply(bound.layer, own, counted, x, training)
        return x

    def flat(self, of=lambda w: w):
        return np.concatenate([of(w).detach().numpy().ravel() for w in self.flat_weights] or [np.zeros(0)])

    def flat_statistics(self):
        return np.concatenate([v.numpy() for own in self.statistics for v in own.values()])


def _choice(rng, *values):
    return values[rng.integers(len(values))]


def _sizes(rng, dims, low, high):
    """A number for all axes, or one for each."""
    if rng.random() < 0.3:
        return int(rng.integers(low, high))
    return tuple(int(n) for n in rng.integers(low, high, dims))


def _random_layer(rng, shape):
    """A layer that may or may not fit."""
    dims, channels = len(shape) - 1, shape[0]
    most = min(max(shape[1:]), 6) + 1
    kind = rng.random()
    if kind < 0.55:
        groups = int(_choice(rng, 1, 1, 1, channels, *(g for g in (2, 3) if channels % g == 0)))
        make = fb.Conv1D if dims == 1 else fb.Conv2D
        return make(
            groups * int(rng.integers(1, 14 if groups == 1 else 4)),
            _choice(rng, _sizes(rng, dims, 1, most), shape[1:]),
            _sizes(rng, dims, 1, 4),
            _choice(rng, "same", "valid", _sizes(rng, dims, 0, 3)),
            _sizes(rng, dims, 1, 3),
            groups,
            activation=_choice(rng, "linear", "relu", "relu", "tanh", "silu"),
            bias=bool(rng.random() < 0.8),
            bias_init="uniform",
        )
    if kind < 0.85:
        size = _choice(rng, _sizes(rng, dims, 1, most), shape[1:])
        half = tuple(int(rng.integers(0, n // 2 + 1)) for n in _dims(size, dims))
        kinds = {1: (fb.MaxPool1D, fb.AvgPool1D), 2: (fb.MaxPool2D, fb.AvgPool2D)}[dims]
        return _choice(rng, *kinds)(size, _choice(rng, None, _sizes(rng, dims, 1, 4)), _choice(rng, "same", 0, half))
    if kind < 0.9:
        axes = int(rng.integers(1, dims + 2))
        few = np.prod(shape[-axes:]) < 4  # then its gradient is little but what rounding leaves
        return fb.BatchNorm(momentum=0.3) if few or rng.random() < 0.7 else fb.LayerNorm(axes)
    if kind < 0.95:
        return _random_residual(rng, shape)
    return fb.Activation(_choice(rng, "relu", "tanh", "softplus"))


def _random_residual(rng, shape):
    """One layer or two with a way around them, of the same shape or another."""
    make, filters = (fb.Conv1D, fb.Conv2D)[len(shape) - 2], int(_choice(rng, shape[0], rng.integers(1, 9)))
    first = make(filters, 3, int(rng.integers(1, 3)), "same", activation=_choice(rng, "relu", "tanh"))
    return fb.Residual([first, *_choice(rng, [], [fb.BatchNorm()], [make(shape[0], 1), fb.Activation("relu")])])


def random_network(rng):
    """A network of one to four random layers on maps, and what makes vectors of them; float64."""
    dims = int(rng.integers(1, 3))
    input_shape = (int(rng.integers(1, 6)), *(int(n) for n in rng.integers(1, 13, dims)))
    layers, wanted = [], int(rng.integers(1, 5))
    while len(layers) < wanted:
        shape = fb.Network(layers, input_shape, loss="mse").output_shape if layers else input_shape
        try:
            net = fb.Network([*layers, _random_layer(rng, shape)], input_shape, loss="mse")
        except ValueError as error:
            assert "does not fit into" in str(error), error
            continue
        layers = [layer.layer for layer in net.layers]
    if rng.random() < 0.7:
        layers += [(fb.GlobalAvgPool1D, fb.GlobalAvgPool2D)[dims - 1]() if rng.random() < 0.3 else fb.Flatten()]
        layers += [fb.Dense(int(rng.integers(1, 9)), _choice(rng, None, "relu"), bias_init="uniform")]
    optimizer, seed = fb.SGD(RATE, momentum=0.9), int(rng.integers(99))
    net = fb.Network(layers, input_shape, loss="mse", optimizer=optimizer, dtype="float64", seed=seed)
    # biases of norms too: a relu of what is 0 but for rounding would be on here and off there
    net.params[:] += rng.uniform(-0.2, 0.2, net.num_params)
    return net
