"""A network as one C99 file: weights and forward pass, with no dependencies and no allocation."""

from __future__ import annotations

import math
import os
import re

import numpy as np

from ..display import summaries
from ..errors import brief, check_path
from ..layers.base import write_layer
from ..model import Model
from ..program.c_source import CSource
from .files import replacing


def export_c(net: Model, path: str | os.PathLike, name: str) -> None:
    """Write the file. See Network.export_c."""
    check_path("path", path)
    if not isinstance(name, str):
        raise TypeError(f"name must be a name in C, got {brief(name)}")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"name must be a name in C: letters, digits and _, no digit first, got {name!r}")
    with net.lock:
        text = _text(net, name)
    with replacing(path) as file:
        file.write(text.encode())


def _text(net: Model, name: str) -> str:
    source = CSource(net.dtype, net.input_shape)
    inputs, outputs = source.size, math.prod(net.output_shape)
    for bound, runs in zip(net.layers, net.emitters(), strict=True):
        write_layer(source, bound.name, runs.layer, {**bound.weights, **bound.statistics})
    if net.loss.link is not None:
        net.loss.link.write_c(source, "the loss")

    real = "float" if net.dtype == np.float32 else "double"
    prototype = f"void {name}_predict(const {real} x[{inputs}], {real} y[{outputs}])"
    about = "\n   ".join(line.rstrip() for line in summaries.text(net).splitlines())
    arrays = ", ".join(f"{array}[{size}]" for array, size in source.arrays.items())
    stack = sum(source.arrays.values()) * net.dtype.itemsize
    steps = "\n    ".join(source.steps)
    return f"""/* A neural network, written by fastbp. It predicts one row: y of x.

   {about}

   Its values take {stack:,} bytes of the stack. Where that is too much, compile with -D{name}_scratch=static:
   then they have memory of their own, and one thread at a time may predict. */

#include <math.h>

#ifndef {name}_scratch
#define {name}_scratch
#endif

typedef {real} real;

enum {{ {name}_inputs = {inputs}, {name}_outputs = {outputs} }};

{prototype};
{"".join(source.functions.values())}{"".join(source.constants)}
{prototype}
{{
    {name}_scratch real {arrays};
    for (int i = 0; i < {inputs}; i++)
        v0[i] = x[i];
    {steps}
    for (int i = 0; i < {outputs}; i++)
        y[i] = {source.now}[i];
}}
"""
