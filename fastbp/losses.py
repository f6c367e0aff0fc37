"""The losses, as small objects that name their kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import activations
from ._jit import Kernel
from .activations import ActivationFunction
from .errors import check_choice
from .kernels import losses as kernels


@dataclass(frozen=True)
class Loss:
    """A loss, the mean over the rows of a batch.

    kernels   a kernel for each kind of target: "values" (rows, outputs), "labels" (rows,),
              "probabilities" (rows, outputs)
    link      the inverse link: the activation that `predict` puts on the outputs. As the activation of the
              last layer it is part of the loss, and is not applied twice.
    accuracy  whether right answers are counted
    """

    name: str
    kernels: Mapping[str, Kernel]
    link: ActivationFunction | None = None
    accuracy: bool = False

    def __repr__(self) -> str:
        return repr(self.name)


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("mse", {"values": kernels.mse_loss}),
        Loss("squared_error", {"values": kernels.squared_error_loss}),
        Loss(
            "cross_entropy",
            {"labels": kernels.cross_entropy_labels_loss, "probabilities": kernels.cross_entropy_probabilities_loss},
            activations.softmax,
            accuracy=True,
        ),
        Loss("binary_cross_entropy", {"values": kernels.binary_cross_entropy_loss}, activations.sigmoid, accuracy=True),
    )
}


def get(loss: str | Loss) -> Loss:
    """The loss of that name.

    Raises TypeError if it is neither a name nor a loss, ValueError if the name is unknown.
    """
    return loss if isinstance(loss, Loss) else check_choice("loss", loss, LOSSES)
