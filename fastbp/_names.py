"""What dir() shows of the modules that users see: the names that `__all__` has, and no others."""

from collections.abc import Callable, Sequence


def shown(names: Sequence[str]) -> Callable[[], list[str]]:
    """A module's `__dir__`, for its `__all__`."""
    return lambda: sorted(names)
