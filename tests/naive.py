"""The oracle: one slow, obvious NumPy function for each kernel, of the same name. float64 in, float64 out."""

import itertools
import math
from statistics import NormalDist

import numpy as np


def load_rows(source, order, start, rows):
    rows_of = np.arange(len(source)) if order is None else order
    return np.array([source[rows_of[start + r]] for r in range(rows)], dtype=np.float64)


def store_rows(x, target, start):
    out = target.copy()
    out[start : start + len(x)] = x
    return out


def one_hot_rows(start, rows, features):
    return np.array([np.eye(features)[(start + r) % features] for r in range(rows)])


def dense_forward(x, weight, bias, relu):
    y = np.zeros((len(x), weight.shape[1]))
    for r in range(len(x)):
        for j in range(weight.shape[1]):
            y[r, j] = sum(x[r, i] * weight[i, j] for i in range(len(weight))) + bias[j]
    return relu_forward(y) if relu else y


def dense_pack_rows(x, width):
    """(panels, rows, width), 0 beyond the last column."""
    panels = -(-x.shape[1] // width)
    packed = np.zeros((panels, len(x), width))
    for j in range(x.shape[1]):
        packed[j // width, :, j % width] = x[:, j]
    return packed


def dense_pack_transposed(weight, width):
    """(panels, fan_out, width), for enough panels for a multiple of 32 columns."""
    fan_in, fan_out = weight.shape
    packed = np.zeros((-(-fan_in // 32) * 32 // width, fan_out, width))
    for i in range(fan_in):
        packed[i // width, :, i % width] = weight[i]
    return packed


def dense_backward_input(dy, weight, y):
    dx = np.zeros((len(dy), len(weight)))
    for r in range(len(dy)):
        for i in range(len(weight)):
            dx[r, i] = sum(dy[r, j] * weight[i, j] for j in range(weight.shape[1]))
    return dx if y is None else relu_backward(dx, y)


def dense_backward_weight(x, dy):
    """(fan_in + 1, fan_out): the last row is the gradient of the bias."""
    dweight = np.zeros((x.shape[1] + 1, dy.shape[1]))
    for j in range(dy.shape[1]):
        for i in range(x.shape[1]):
            dweight[i, j] = sum(x[r, i] * dy[r, j] for r in range(len(x)))
        dweight[-1, j] = sum(dy[r, j] for r in range(len(x)))
    return dweight


def add_partial(partial):
    return sum(partial)


ALL = slice(None)


def block_rows(x, lanes):
    """(blocks, features, lanes), the last row again in lanes without one."""
    y = np.zeros((-(-len(x) // lanes), x.shape[1], lanes))
    for r in range(len(y) * lanes):
        y[r // lanes, :, r % lanes] = x[min(r, len(x) - 1)]
    return y


def block_gradients(dy, lanes):
    """(blocks, features, lanes), 0 in lanes without a row."""
    dx = np.zeros((-(-len(dy) // lanes), dy.shape[1], lanes))
    for r in range(len(dy)):
        dx[r // lanes, :, r % lanes] = dy[r]
    return dx


def unblock_rows(x, rows):
    return np.array([x[r // x.shape[2], :, r % x.shape[2]] for r in range(rows)])


def pad_maps(x, out_h, out_w, top, left):
    y = np.zeros((*x.shape[:2], out_h, out_w))
    y[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
    return y


def crop_maps(dy, in_h, in_w, top, left):
    return dy[:, :, top : top + in_h, left : left + in_w]


def _under(tap, out, stride, dilation):
    """The part of a map that a tap of the kernel is multiplied with, as two slices."""
    return tuple(
        slice(t * d, t * d + (n - 1) * s + 1, s) for t, n, s, d in zip(tap, out, stride, dilation, strict=True)
    )


def _products(channels, weight_shape, groups, out, stride, dilation):
    """All (filter, channel of the group, tap, channel, part of the channel's map) of a convolution."""
    filters, own, *kernel = weight_shape
    for f, c, tap in itertools.product(range(filters), range(own), np.ndindex(*kernel)):
        yield f, c, tap, f // (filters // groups) * own + c, _under(tap, out, stride, dilation)


def conv_forward(x, weight, bias, relu, groups, stride, dilation):
    reach = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    out = [(n - r) // s + 1 for n, r, s in zip(x.shape[2:], reach, stride, strict=True)]
    y = np.zeros((len(x), len(weight), *out)) + bias[:, None, None]
    for f, c, tap, channel, part in _products(x.shape[1], weight.shape, groups, out, stride, dilation):
        y[:, f] += weight[(f, c, *tap)] * x[(ALL, channel, *part)]
    return relu_forward(y) if relu else y


def conv_pack(weight):
    """(taps, filters, channels)."""
    return np.moveaxis(weight.reshape(*weight.shape[:2], -1), 2, 0)


def conv_backward_input(dy, weight, groups, stride, dilation, shape):
    dx = np.zeros(shape)
    for f, c, tap, channel, part in _products(shape[1], weight.shape, groups, dy.shape[2:], stride, dilation):
        dx[(ALL, channel, *part)] += weight[(f, c, *tap)] * dy[:, f]
    return dx


def conv_backward_weight(x, dy, groups, stride, dilation, shape):
    dweight = np.zeros(shape)
    for f, c, tap, channel, part in _products(x.shape[1], shape, groups, dy.shape[2:], stride, dilation):
        dweight[(f, c, *tap)] = (dy[:, f] * x[(ALL, channel, *part)]).sum()
    return dweight


def conv_backward_bias(dy):
    return dy.sum(axis=(0, 2))


def _windows(size, window, stride, border):
    """(place of the output, part of the map) for each window of a pooling."""
    out = [(n + 2 * b - w) // s + 1 for n, w, s, b in zip(size, window, stride, border, strict=True)]
    for place in np.ndindex(*out):
        first = [i * s - b for i, s, b in zip(place, stride, border, strict=True)]
        yield place, tuple(slice(max(f, 0), min(f + w, n)) for f, w, n in zip(first, window, size, strict=True))


def _pool(x, of, window, stride, border):
    parts = {place: of(x[(ALL, ALL, *part)]) for place, part in _windows(x.shape[2:], window, stride, border)}
    y = np.zeros((*x.shape[:2], *(n + 1 for n in max(parts))))
    for place, value in parts.items():
        y[(ALL, ALL, *place)] = value
    return y


def max_pool_forward(x, window, stride, border):
    return _pool(x, lambda part: part.max(axis=(2, 3)), window, stride, border)


def average_pool_forward(x, window, stride, border):
    return _pool(x, lambda part: part.sum(axis=(2, 3)) / np.prod(window), window, stride, border)


def max_pool_backward(dy, x, relu, window, stride, border):
    dx = np.zeros(x.shape)
    for place, part in _windows(x.shape[2:], window, stride, border):
        for r, c in np.ndindex(*x.shape[:2]):
            of = x[r, c][part]
            first = np.unravel_index(of.argmax(), of.shape)
            if not relu or of.max() > 0:
                dx[r, c][part][first] += dy[(r, c, *place)]
    return dx


def average_pool_backward(dy, shape, window, stride, border):
    dx = np.zeros(shape)
    for place, part in _windows(shape[2:], window, stride, border):
        dx[(ALL, ALL, *part)] += dy[(ALL, ALL, *place)][:, :, None, None] / np.prod(window)
    return dx


def copy(x):
    return x


def add(x, y):
    return x + y


# Batch normalisation of x (rows, maps, pixels). Statistics are (mean, variance, 1 / √(variance + epsilon)) of each map.


def batch_norm_sums(x):
    mean = x.mean(axis=(0, 2))
    return np.array([mean, ((x - mean[:, None]) ** 2).sum(axis=(0, 2))])


def batch_norm_statistics(x, running, epsilon):
    """x is None: the running ones."""
    mean, variance = running if x is None else (x.mean(axis=(0, 2)), x.var(axis=(0, 2)))
    return np.array([mean, variance, 1 / np.sqrt(variance + epsilon)])


def batch_norm_update(running, statistics, count, momentum):
    unbiased = statistics[:2] * np.array([[1], [count / max(count - 1, 1)]])
    return (1 - momentum) * running + momentum * unbiased


def _normalised(x, statistics):
    return (x - statistics[0][:, None]) * statistics[2][:, None]


def batch_norm_forward(x, statistics, gain, bias, relu):
    y = gain[:, None] * _normalised(x, statistics) + bias[:, None]
    return np.maximum(y, 0) if relu else y


def batch_norm_backward_sums(dy, x, statistics, gain, bias, relu):
    if relu:
        dy = dy * (batch_norm_forward(x, statistics, gain, bias, relu) > 0)
    return np.array([(dy * _normalised(x, statistics)).sum(axis=(0, 2)), dy.sum(axis=(0, 2))])


def batch_norm_backward_add(sums):
    return sums.sum(axis=0)


def batch_norm_backward(dy, x, statistics, gain, bias, dparams, training, relu):
    count = x[:, 0].size
    if relu:
        dy = dy * (batch_norm_forward(x, statistics, gain, bias, relu) > 0)
    if training:
        dy = dy - (dparams[1][:, None] + _normalised(x, statistics) * dparams[0][:, None]) / count
    return (gain * statistics[2])[:, None] * dy


def copy_gradient(source):
    return source


# Layer normalisation of x (rows, groups, size).


def layer_norm_forward(x, gain, bias, epsilon):
    """(y, mean, rstd)."""
    mean, rstd = x.mean(axis=2), 1 / np.sqrt(x.var(axis=2) + epsilon)
    return gain * (x - mean[:, :, None]) * rstd[:, :, None] + bias, mean, rstd


def layer_norm_backward(dy, x, mean, rstd, gain):
    normalised, g = (x - mean[:, :, None]) * rstd[:, :, None], gain * dy
    centred = g - g.mean(axis=2, keepdims=True) - normalised * (g * normalised).mean(axis=2, keepdims=True)
    return rstd[:, :, None] * centred


def layer_norm_backward_params(dy, x, mean, rstd):
    normalised = (x - mean[:, :, None]) * rstd[:, :, None]
    return np.array([(dy * normalised).sum(axis=(0, 1)), dy.sum(axis=(0, 1))])


def sigmoid_forward(x):
    return 1 / (1 + np.exp(-x))


def sigmoid_backward(dy, y):
    return dy * y * (1 - y)


def tanh_forward(x):
    return np.tanh(x)


def tanh_backward(dy, y):
    return dy * (1 - y**2)


def relu_forward(x):
    return np.where(x > 0, x, 0.0)


def relu_backward(dy, y):
    return np.where(y > 0, dy, 0.0)


def leaky_relu_forward(x):
    return np.where(x > 0, x, x / 100)


def leaky_relu_backward(dy, y):
    return dy * np.where(y > 0, 1.0, 0.01)


def elu_forward(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def elu_backward(dy, y):
    return dy * np.where(y > 0, 1.0, y + 1)


SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def selu_forward(x):
    return SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0)))


def selu_backward(dy, y):
    return dy * np.where(y > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA)


def normal_cdf(x):
    return np.vectorize(lambda z: 0.5 * math.erfc(-z / math.sqrt(2)))(x)


def gelu_forward(x):
    return x * normal_cdf(x)


def gelu_backward(dy, x):
    return dy * (normal_cdf(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi))


def silu_forward(x):
    return x * sigmoid_forward(x)


def silu_backward(dy, x):
    s = sigmoid_forward(x)
    return dy * (s + x * s * (1 - s))


def mish_forward(x):
    return x * np.tanh(np.log1p(np.exp(x)))


def mish_backward(dy, x):
    t = np.tanh(np.log1p(np.exp(x)))
    return dy * (t + x * (1 - t**2) * sigmoid_forward(x))


def softplus_forward(x):
    return np.log1p(np.exp(x))


def softplus_backward(dy, y):
    return dy * (1 - np.exp(-y))


def softsign_forward(x):
    return x / (1 + np.abs(x))


def softsign_backward(dy, y):
    return dy * (1 - np.abs(y)) ** 2


def hard_sigmoid_forward(x):
    return np.clip((x + 3) / 6, 0, 1)


def hard_sigmoid_backward(dy, y):
    return np.where((y > 0) & (y < 1), dy / 6, 0.0)


def hard_tanh_forward(x):
    return np.clip(x, -1, 1)


def hard_tanh_backward(dy, y):
    return np.where(np.abs(y) < 1, dy, 0.0)


def exponential_forward(x):
    return np.exp(x)


def exponential_backward(dy, y):
    return dy * y


def softmax_forward(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_backward(dy, y):
    dx = np.zeros_like(y)
    for r in range(len(y)):
        jacobian = np.diag(y[r]) - np.outer(y[r], y[r])
        dx[r] = jacobian @ dy[r]
    return dx


def mean_variance_forward(x):
    half = x.shape[1] // 2
    return np.concatenate([x[:, :half], np.exp(x[:, half:])], axis=1)


def mean_variance_backward(dy, y):
    half = y.shape[1] // 2
    return np.concatenate([dy[:, :half], dy[:, half:] * y[:, half:]], axis=1)


# The losses return (dy, Σ weight · row loss, Σ right answers), for lo .. hi = all rows.


def mse_loss(y, target, weight):
    e = y - target
    dy = 2 * e * weight[:, None] / e.size
    return dy, (weight * (e**2).mean(axis=1)).sum(), 0.0


def squared_error_loss(y, target, weight):
    e = y - target
    dy = e * weight[:, None] / len(y)
    return dy, (weight * 0.5 * (e**2).sum(axis=1)).sum(), 0.0


def mae_loss(y, target, weight):
    e = y - target
    return np.sign(e) * weight[:, None] / e.size, (weight * np.abs(e).mean(axis=1)).sum(), 0.0


def huber_loss(y, target, weight, delta):
    e = y - target
    row = np.where(np.abs(e) <= delta, 0.5 * e**2, delta * (np.abs(e) - 0.5 * delta)).mean(axis=1)
    return np.clip(e, -delta, delta) * weight[:, None] / e.size, (weight * row).sum(), 0.0


def quantile_loss(y, target, weight, quantiles):
    e = target - y
    row = np.maximum(quantiles * e, (np.asarray(quantiles) - 1) * e).mean(axis=1)
    dy = np.where(e == 0, 0, np.where(e > 0, -np.asarray(quantiles), 1 - np.asarray(quantiles)))
    return dy * weight[:, None] / e.size, (weight * row).sum(), 0.0


def gaussian_nll_loss(y, target, weight, least):
    mean, spread = np.split(y, 2, axis=1)
    v, e = np.maximum(np.exp(spread), np.exp(least)), mean - target
    dmean, dv = e / v, 0.5 * (1 / v - (e / v) ** 2)
    row = 0.5 * (np.log(v) + e**2 / v).mean(axis=1)
    dy = np.concatenate([dmean, dv * np.exp(spread)], axis=1) * weight[:, None] / target.size
    return dy, (weight * row).sum(), 0.0


def poisson_loss(y, target, weight):
    row = (np.exp(y) - target * y).mean(axis=1)
    return (np.exp(y) - target) * weight[:, None] / y.size, (weight * row).sum(), 0.0


def hinge_loss(y, target, weight):
    target = np.where(target > 0, 1.0, -1.0)
    margin = 1 - target * y
    dy = np.where(margin > 0, -target, 0.0) * weight[:, None] / y.size
    return dy, (weight * np.maximum(margin, 0).mean(axis=1)).sum(), ((y > 0) == (target > 0)).mean(axis=1).sum()


def kl_divergence_loss(y, target, weight, least):
    p = np.maximum(y, least)
    row = (target * (np.log(np.maximum(target, least)) - np.log(p))).sum(axis=1)
    dy = np.where(y < least, 0.0, -target / p) * weight[:, None] / len(y)
    return dy, (weight * row).sum(), 0.0


def binary_cross_entropy_loss(y, target, weight, smoothing=0.0):
    right = ((y > 0) == (target > 0.5)).mean(axis=1)
    target = target * (1 - smoothing) + smoothing / 2
    p = 1 / (1 + np.exp(-y))
    row = -(target * np.log(p) + (1 - target) * np.log1p(-p)).mean(axis=1)
    dy = (p - target) * weight[:, None] / y.size
    return dy, (weight * row).sum(), right.sum()


def cross_entropy_probabilities_loss(y, target, weight, smoothing=0.0):
    target = target * (1 - smoothing) + smoothing / y.shape[1]
    p = softmax_forward(y)
    row = -(target * np.log(p)).sum(axis=1)
    dy = (p * target.sum(axis=1, keepdims=True) - target) * weight[:, None] / len(y)
    return dy, (weight * row).sum(), (y.argmax(axis=1) == target.argmax(axis=1)).sum()


def cross_entropy_labels_loss(y, target, weight):
    onehot = np.eye(y.shape[1])[target.astype(int).ravel()]
    return cross_entropy_probabilities_loss(y, onehot, weight)


def cross_entropy_smoothed_loss(y, target, weight, smoothing):
    onehot = np.eye(y.shape[1])[target.astype(int).ravel()]
    dy, loss, _ = cross_entropy_probabilities_loss(y, onehot * (1 - smoothing) + smoothing / y.shape[1], weight)
    return dy, loss, (y.argmax(axis=1) == target.ravel()).sum()


def add_sums(totals, sums, rows):
    loss, right = sums[:, 0].sum(), sums[:, 1].sum()
    return np.array([loss / rows, totals[1] + loss, totals[2] + right])


# Steps get and return `scalars` by their names; the names are those of kernels/updates.py, in lower case.


def count_step(step, **scalars):
    return {"step": step + 1}


def adam_count_step(step, rate, beta1, beta2, **scalars):
    t = step + 1
    return {"step": t, "step_size": rate / (1 - beta1**t), "root": np.sqrt(1 - beta2**t)}


def nadam_count_step(step, rate, beta1, beta2, momentum_decay, product, **scalars):
    t = step + 1
    mu, following = (beta1 * (1 - 0.5 * 0.96 ** (s * momentum_decay)) for s in (t, t + 1))
    product = product * mu
    of_gradient, of_mean = rate * (1 - mu) / (1 - product), rate * following / (1 - product * following)
    root = np.sqrt(1 - beta2**t)
    return {"step": t, "product": product, "of_gradient": of_gradient, "of_mean": of_mean, "root": root}


def adagrad_count_step(step, rate, rate_decay, **scalars):
    return {"step": step + 1, "decayed_rate": rate / (1 + step * rate_decay)}


def sgd_update(w, dw, factor, rate, decay, **scalars):
    return {"w": w - rate * factor * (dw + decay * w)}


def momentum_update(w, velocity, dw, factor, rate, decay, momentum, nesterov, **scalars):
    g = dw + decay * w
    v = momentum * velocity + g
    return {"w": w - rate * factor * (g + momentum * v if nesterov else v), "velocity": v}


def adam_update(w, m, v, dw, factor, rate, decay, beta1, beta2, epsilon, decoupled, step_size, root, **scalars):
    g = dw if decoupled else dw + decay * w
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    kept = 1 - rate * factor * decay if decoupled else 1
    return {"w": w * kept - step_size * factor * m / (np.sqrt(v) / root + epsilon), "m": m, "v": v}


def nadam_update(w, m, v, dw, factor, decay, beta1, beta2, epsilon, root, of_gradient, of_mean, **scalars):
    g = dw + decay * w
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    return {"w": w - factor * (of_gradient * g + of_mean * m) / (np.sqrt(v) / root + epsilon), "m": m, "v": v}


def rmsprop_update(w, square, mean, velocity, dw, factor, rate, decay, rho, rms_epsilon, rms_momentum, **scalars):
    g = dw + decay * w
    square = rho * square + (1 - rho) * g**2
    out, deviation = {"square": square}, np.sqrt(square)
    if mean is not None:
        out["mean"] = rho * mean + (1 - rho) * g
        deviation = np.sqrt(square - out["mean"] ** 2)
    move = g / (deviation + rms_epsilon)
    if velocity is not None:
        move = out["velocity"] = rms_momentum * velocity + move
    return {"w": w - rate * factor * move, **out}


def adagrad_update(w, square, dw, factor, decay, adagrad_epsilon, decayed_rate, **scalars):
    g = dw + decay * w
    square = square + g**2
    return {"w": w - decayed_rate * factor * g / (np.sqrt(square) + adagrad_epsilon), "square": square}


def adadelta_update(w, square, moved, dw, factor, rate, decay, rho, rms_epsilon, **scalars):
    g = dw + decay * w
    square = rho * square + (1 - rho) * g**2
    delta = np.sqrt(moved + rms_epsilon) / np.sqrt(square + rms_epsilon) * g
    return {"w": w - rate * factor * delta, "square": square, "moved": rho * moved + (1 - rho) * delta**2}


def lion_update(w, m, dw, factor, rate, decay, beta1, beta2, **scalars):
    move = np.sign(beta1 * m + (1 - beta1) * dw)
    return {"w": w * (1 - rate * factor * decay) - rate * factor * move, "m": beta2 * m + (1 - beta2) * dw}


def rprop_update(w, previous, step, dw, factor, shrink, grow, least, most, **scalars):
    agree = np.sign(dw) * np.sign(previous)
    size = np.clip(step * np.where(agree > 0, grow, np.where(agree < 0, shrink, 1.0)), least, most)
    g = np.where(agree < 0, 0.0, dw)
    return {"w": w - factor * size * np.sign(g), "previous": g, "step": size}


def add_penalty_gradient(dw, w, l1, l2):
    return dw + l1 * np.sign(w) + 2 * l2 * w


def penalty_sums(w, l1, l2):
    return (l1 * np.abs(w) + l2 * w**2).sum()


def add_penalties(totals, sums, rows):
    return np.array([totals[0] + sums.sum(), totals[1] + rows * sums.sum(), totals[2]])


def clip_values(dw, most):
    return np.clip(dw, -most, most)


def square_sums(dw):
    return (dw**2).sum()


def clip_ratio(sums, most):
    return min(1.0, most / (np.sqrt(sums.sum()) + 1e-6))


def scale_gradient(dw, ratio):
    return ratio * dw


def move_average(average, w, share):
    return (1 - share) * average + share * w


MASK = (1 << 64) - 1


def random_bits(counter):
    z = counter * 0x9E3779B97F4A7C15 & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def shuffled(rows, key, epoch, part):
    """The numbers of the rows in the order of an epoch; key: an int of 64 bits."""
    stream, order = random_bits(random_bits(key ^ random_bits(epoch)) ^ random_bits(part)), list(range(rows))
    for i in range(rows - 1, 0, -1):
        j = random_bits(stream + i & MASK) * (i + 1) >> 64
        order[i], order[j] = order[j], order[i]
    return order


def dropout_forward(x, rate, key, step, pixels):
    """(y, mask); key: an int of 64 bits; pixels: of a map, which is dropped as a whole."""
    base = random_bits(key ^ random_bits(step))
    mask = np.empty(x.size)
    for i in range(x.size):
        mask[i] = 0.0 if random_bits(base + i // pixels & MASK) < int(rate * 2**64) else 1 / (1 - rate)
    mask = mask.reshape(x.shape)
    return mask * x, mask


def dropout_backward(dy, mask):
    return mask * dy


# Augmentation of x (rows, maps, height, width): key: an int of 64 bits.


def _bits_of(row, key, step):
    return random_bits(random_bits(key ^ random_bits(step)) + row & MASK)


def shift_maps(x, most_down, most_right, fill, key, step):
    y = np.full(x.shape, fill, x.dtype)
    _, _, height, width = x.shape
    for r in range(len(x)):
        bits = _bits_of(r, key, step)
        down = ((bits >> 32) * (2 * most_down + 1) >> 32) - most_down
        right = ((bits & 0xFFFFFFFF) * (2 * most_right + 1) >> 32) - most_right
        for h in range(max(down, 0), min(height + down, height)):
            for w in range(max(right, 0), min(width + right, width)):
                y[r, :, h, w] = x[r, :, h - down, w - right]
    return y


def flip_maps(x, p, key, step):
    return np.array([row[..., ::-1] if (_bits_of(r, key, step) >> 11) / 2**53 < p else row for r, row in enumerate(x)])


def add_noise(x, deviation, key, step):
    uniform = [((_bits_of(i, key, step) >> 40) + 0.5) / 2**24 for i in range(x.size)]
    noise = [NormalDist().inv_cdf(u) for u in uniform]
    return x + deviation * np.reshape(noise, x.shape)


def add_gradient_noise(dw, level, key, step):
    """step: the number of this one, from 1."""
    return add_noise(dw, math.sqrt(level / step**0.55), key, step)


# Schedules: the rate before the step that follows t steps, from the constants by their names.


def step_decay_schedule(t, initial, factor, steps):
    return initial * factor ** (t // steps)


def exponential_decay_schedule(t, initial, factor, steps):
    return initial * factor ** (t / steps)


def cosine_decay_schedule(t, initial, steps, final):
    return final + (initial - final) * (1 + np.cos(np.pi * min(t, steps) / steps)) / 2


def one_cycle_schedule(t, first, most, last, top, end):
    start, stop, share = (first, most, t / top) if t <= top else (most, last, min((t - top) / (end - top), 1))
    return stop + (start - stop) * (1 + np.cos(np.pi * share)) / 2


def piecewise_constant_schedule(t, n, *constants):
    boundaries, values = constants[:2], constants[2:]
    return values[sum(t >= b for b in boundaries)]


def inverse_scaling_schedule(t, initial, power):
    return initial / (1 + t) ** power


def warmup_schedule(t, steps, start):
    return start + (1 - start) * min(t / steps, 1)
