"""The networks that are benchmarked: the dense ones of `fastbp bench`, which the reference can check."""

from fastbp.bench import NETWORKS as ALL_NETWORKS
from fastbp.bench import Spec, build, make_data

NETWORKS = {name: spec for name, spec in ALL_NETWORKS.items() if not spec.maps}

__all__ = ["NETWORKS", "Spec", "build", "make_data"]
