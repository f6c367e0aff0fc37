"""The networks that are benchmarked: those of `fastbp bench`."""

from fastbp.bench import NETWORKS, Spec, build, make_data

__all__ = ["NETWORKS", "Spec", "build", "make_data"]
