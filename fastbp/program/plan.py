"""Plan: the programs of a network, from its layers, its loss and its optimizer.

A plan ties three parts together: layers call an Emitter (emitter.py), which records their ops; fusions (fusion.py) join
some of these; Programs (programs.py) makes groups of what is left. It knows nothing of how many rows a batch has: a
Workspace (workspace.py) has memory for batches of up to `capacity` rows, and its programs have the addresses in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .emitter import Emitter
from .fusion import FUSIONS, Fusion
from .programs import Programs
from .records import Buffer, Group, Op, Shape


class Plan:
    """The programs of a network.

    layers      bound layers in order; each is asked to `emit(emitter, x)`
    loss        a loss: it says which kernel it runs
    optimizer   an optimizer: it says which kernels it runs
    seed        of the random numbers in it
    in_step     what else there is in a training step, such as what changes its inputs: each is asked to `emit(emitter)`
    keep        whether every value is kept for those who look at it: what goes into an activation beside what
                comes out, and likewise for gradients. It costs memory, and fusions.
    fusions     what is joined, if nothing is to be kept

    emitter     what the layers have called
    least_batch  the fewest rows that a training step may have
    flops       of the forward and the backward pass, for a row
    x, output   what goes into the first layer, and what comes out of the last
    outputs     the output of each layer
    traces      what goes into activations, by the buffer of what comes out
    """

    def __init__(
        self,
        layers: Sequence[Any],
        input_shape: Shape,
        loss: Any,
        optimizer: Any,
        num_params: int,
        seed: int = 0,
        *,
        keep: bool = False,
        in_step: Sequence[Any] = (),
        fusions: Sequence[Fusion] = FUSIONS,
    ):
        self.least_batch = max((layer.layer.least_batch(layer.input_shape) for layer in layers), default=1)
        self.emitter = Emitter(input_shape, seed)
        self.emitter.emit_layers(layers)
        for part in in_step:
            part.emit(self.emitter)
        recording, self._rooms = self.emitter.recording, self.emitter.rooms
        for fuse in () if keep else fusions:
            fuse(recording)
        recording.rename(self._rooms.close_gaps(recording.places()))
        self.x, self.output, self.outputs, self.traces = (
            *(recording.x, recording.output),
            *(recording.outputs, recording.traces),
        )
        frozen = {number for number, layer in enumerate(layers) if not layer.trainable}
        noise_keys = [self.emitter.key() for _ in recording.blocks] if optimizer.gradient_noise else []
        parts = recording, self._rooms, loss, optimizer, num_params, frozen, self.emitter.grain, noise_keys
        self._programs = Programs(*parts)
        self.flops = self._programs.flops

    def program(self, name: str, target: str, few: bool) -> tuple[list[Group], int]:
        """The groups of a program, and the number of the first that belongs to the update.

        name    "forward": outputs to `out`; "predict": the same through the loss's inverse link;
                "evaluate": loss and right answers to `totals`; "gradient": grads too; "train": an update too;
                "apply": an update with what is in `grads` already, on no rows;
                "input_gradient": the gradient with respect to the input to `out`;
                "jacobian": the derivative of output number r mod outputs of row r by the parameters to `out`, in
                batches of one row; "input_jacobian": the same by the inputs, in batches of any size
        target  which kind of target the loss gets: a key of the loss's `kernels`
        few     whether batches have so few rows that it doesn't pay to prepare weights for them
        """
        return self._programs.program(name, target, few)

    def writer(self, value: Buffer) -> Op | None:
        """The op of the forward pass whose field `y` that is."""
        return next((one for one in self.emitter.recording.forward if one.field("y") == value), None)

    def arena_size(self, arena: str, capacity: int) -> int:
        """Elements of the arena `work` or `totals` for batches of `capacity` rows."""
        return self._rooms.size(arena, capacity)
