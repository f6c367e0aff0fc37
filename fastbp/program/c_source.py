"""C source of a forward pass: what layers and activations write it with. formats/export.py makes it a file."""

from __future__ import annotations

import math
import re

import numpy as np

_PER_LINE = 8  # numbers


class CSource:
    """C99 source that grows layer by layer.

    In C, `real` is the type of the network's dtype. A layer reads the values of a row in one array and writes its own
    to another, or changes them in place.

    dtype   the network's
    now     name of the array in which the values are
    shape   theirs, without rows
    functions, constants, steps   what has been written: definitions by name, texts, and the body's statements
    arrays  names of the arrays for values, and how many each holds
    """

    def __init__(self, dtype: np.dtype, shape: tuple[int, ...]):
        self.dtype, self.shape = dtype, shape
        self.functions: dict[str, str] = {}
        self.constants: list[str] = []
        self.steps: list[str] = []
        self.arrays: dict[str, int] = {}
        self._free: list[str] = []
        self.now = self.take(self.size)

    @property
    def size(self) -> int:
        """How many values a row has now."""
        return math.prod(self.shape)

    @property
    def suffix(self) -> str:
        """The end of the names of math.h's functions for the dtype: expf, exp."""
        return "f" if self.dtype == np.float32 else ""

    def number(self, value: float) -> str:
        """The number exactly, as C99 writes it."""
        return re.sub(r"\.?0*p", "p", value.hex()) + self.suffix

    def define(self, name: str, text: str) -> None:
        """Define a function or type, once; {f} in the text stands for `suffix`."""
        self.functions[name] = text.replace("{f}", self.suffix)

    def constant(self, name: str, values: np.ndarray) -> str:
        """Define a constant array; returns its name in C. Raises ValueError if a value is not finite."""
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite to be written as C")
        numbers = [self.number(float(value)) for value in values.ravel()]
        lines = [", ".join(numbers[i : i + _PER_LINE]) for i in range(0, len(numbers), _PER_LINE)]
        body = ",\n    ".join(lines)
        return self.declare("real", name, f"{{\n    {body}\n}}", f"[{len(numbers)}]")

    def declare(self, type_: str, name: str, value: str, sizes: str = "") -> str:
        """Define a constant of a type, whose sizes stand behind its name; returns its name in C."""
        name = name.replace(".", "_")
        self.constants.append(f"\nstatic const {type_} {name}{sizes} = {value};\n")
        return name

    def take(self, size: int) -> str:
        """The name of an array for `size` values that nobody uses."""
        name = self._free.pop() if self._free else f"v{len(self.arrays)}"
        self.arrays[name] = max(self.arrays.get(name, 0), size)
        return name

    def release(self, name: str) -> None:
        """Give an array back, whose values nobody reads any more."""
        self._free.append(name)

    def add(self, statement: str) -> None:
        """Add a statement."""
        self.steps.append(statement)

    def call(self, function: str, arguments: str, shape: tuple[int, ...]) -> str:
        """Add a call function(y, x, arguments) that writes values of a shape to another array, where they are now.

        Returns the name of the array where they were: whoever needs that no longer gives it back.
        """
        x, self.shape = self.now, shape
        self.now = self.take(self.size)
        self.add(f"{function}({self.now}, {x}, {arguments});")
        return x

    def replace(self, function: str, arguments: str, shape: tuple[int, ...]) -> None:
        """As `call`, where nobody needs the values from before."""
        self.release(self.call(function, arguments, shape))

    def for_each(self, expression: str, first: int = 0) -> None:
        """Add a loop that puts `expression`, of the value {x}, in the place of each value from number `first` on."""
        value = f"{self.now}[i]"
        loop = f"for (int i = {first}; i < {self.size}; i++)"
        self.add(f"{loop}\n        {value} = {expression.replace('{x}', value)};")
