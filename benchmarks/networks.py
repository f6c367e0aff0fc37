"""The networks that are benchmarked: those of `fastbp bench`, dense ones and convolutional ones."""

from fastbp.command.bench import NETWORKS as ALL_NETWORKS
from fastbp.command.bench import Spec, build, make_data

NETWORKS = {name: spec for name, spec in ALL_NETWORKS.items() if not spec.maps}

CONVOLUTIONS = {name: spec for name, spec in ALL_NETWORKS.items() if spec.maps}

__all__ = ["CONVOLUTIONS", "NETWORKS", "Spec", "build", "make_data"]
