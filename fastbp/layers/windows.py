"""Windows that move over maps: sizes, steps and borders, as convolutions and pooling take them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..errors import brief, check_choice, check_integer
from ..program.c_source import CSource
from ..program.records import Shape

Size = int | tuple[int, ...]
PADDINGS = ("valid", "same")


class Axis(NamedTuple):
    """A window along one axis: `before` and `after` are the borders, `size` the axis without them, `steps` outputs."""

    kernel: int
    stride: int
    dilation: int
    size: int
    before: int
    after: int
    steps: int


def check_size(name: str, value: Any, dims: int, *, low: int) -> Size:
    """A number for all axes, or a tuple of one for each. Raises TypeError or ValueError, naming the argument."""
    if not isinstance(value, (tuple, list)):
        return check_integer(name, value, low=low)
    if len(value) != dims:
        what = "a number" if dims == 1 else f"a number or {dims} of them"
        raise ValueError(f"{name} must be {what}, got {brief(value)}")
    return tuple(check_integer(name, size, low=low) for size in value)


def check_padding(value: Any, dims: int) -> str | Size:
    """ "valid", "same", or a size. Raises TypeError or ValueError."""
    if isinstance(value, str):
        check_choice("padding", value, PADDINGS)
        return value
    return check_size("padding", value, dims, low=0)


def each(value: Size, dims: int) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,) * dims


def check_maps(kind: str, input_shape: Shape, dims: int) -> None:
    """Raise ValueError if the input has not `dims` axes behind its channels."""
    if len(input_shape) != dims + 1:
        want = "(channels, length)" if dims == 1 else "(channels, height, width)"
        hint = f"; with one channel that is {(1, *input_shape)}" if len(input_shape) == dims else ""
        side = math.isqrt(input_shape[0])
        if len(input_shape) == 1 and dims == 2 and side**2 == input_shape[0] > 1:
            hint = f"; for images of one channel, X.reshape(-1, 1, {side}, {side}) and input_shape=(1, {side}, {side})"
        raise ValueError(f"{kind} takes rows of shape {want}, got {input_shape}{hint}")


def windows(
    what: str, input_shape: Shape, kernel: Size, stride: Size, dilation: Size, padding: str | Size
) -> list[Axis]:
    """The window along each axis of maps (channels, …); `what` names it in errors.

    "same": as many outputs as inputs / stride, rounded up; of an odd border, the larger part is behind.
    Raises ValueError if the window is larger than the input with its border.
    """
    dims = len(input_shape) - 1
    borders = (0,) * dims if isinstance(padding, str) else each(padding, dims)
    axes = []
    sizes = zip(input_shape[1:], each(kernel, dims), each(stride, dims), each(dilation, dims), borders, strict=True)
    for size, k, s, d, border in sizes:
        reach = (k - 1) * d + 1
        before = after = border
        if padding == "same":
            missing = max((-(-size // s) - 1) * s + reach - size, 0)
            before, after = missing // 2, missing - missing // 2
        axes.append(Axis(k, s, d, size, before, after, (size + before + after - reach) // s + 1))
    if min(axis.steps for axis in axes) < 1:
        hints = _border(axes) + _channels_last(input_shape)
        raise ValueError(f"{what} {each(kernel, dims)} does not fit into input {input_shape}{hints}")
    return axes


def _channels_last(input_shape: Shape) -> str:
    """What the message says of a shape whose last axis looks like that of the channels."""
    if len(input_shape) < 3 or input_shape[-1] not in (1, 3, 4) or input_shape[0] <= 4:
        return ""
    first = (input_shape[-1], *input_shape[:-1])
    return f"; channels come first: np.moveaxis(X, -1, 1) and input_shape={first}"


def _border(axes: list[Axis]) -> str:
    """What the message says of dilation and padding, if there is any."""
    parts = []
    if any(axis.dilation > 1 for axis in axes):
        parts.append(f"dilation {tuple(axis.dilation for axis in axes)}")
    if any(axis.before or axis.after for axis in axes):
        parts.append(f"padding {tuple(axis.before for axis in axes)}")
    return f" with {' and '.join(parts)}" if parts else ""


def in_2d(axes: list[Axis]) -> tuple[Axis, Axis]:
    """The axes of maps of height and width: what has one axis only is one high."""
    return (Axis(1, 1, 1, 1, 0, 0, 1), axes[0]) if len(axes) == 1 else (axes[0], axes[1])


def c_windows(source: CSource, name: str, axes: list[Axis]) -> str:
    """Define the sizes of a layer's window in C; returns their address."""
    source.define("windows", _WINDOWS)
    high, wide = in_2d(axes)
    pairs = ((high.size, wide.size), (high.steps, wide.steps), *zip(high[:3], wide[:3], strict=True))
    sizes = ", ".join(str(size) for pair in (*pairs, (high.before, wide.before)) for size in pair)
    return f"&{source.declare('struct windows', f'{name}_window', f'{{{sizes}}}')}"


_WINDOWS = """
/* A window that moves over maps, and the width of the border of zeros above and left of them. */
struct windows {
    int in_h, in_w, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left;
};
"""

# A C function for sums over windows.
ADD_TAP = """
/* One element of the window, at h, w: y (out_h, out_w) += weight times what lies there of x (in_h, in_w) */
static void add_tap(real *y, const real *x, real weight, int h, int w, const struct windows *s)
{
    for (int i = 0; i < s->out_h; i++) {
        const int row = i * s->stride_h + h * s->dilation_h - s->top;
        if (row < 0 || row >= s->in_h)
            continue;
        for (int j = 0; j < s->out_w; j++) {
            const int column = j * s->stride_w + w * s->dilation_w - s->left;
            if (column >= 0 && column < s->in_w)
                y[i * s->out_w + j] += weight * x[row * s->in_w + column];
        }
    }
}
"""
