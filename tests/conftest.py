"""Fixtures that several test files share."""

import numpy as np
import pytest

from fastbp.training import loop


@pytest.fixture(autouse=True)
def _no_interrupt_before(monkeypatch):
    """No test's Ctrl-C is the second one of another's."""
    monkeypatch.setattr(loop, "_interrupted", [-loop.AGAIN_SECONDS])


@pytest.fixture(autouse=True)
def _numpy_errors_are_errors():
    """A NaN or overflow that NumPy's part of the library makes is a mistake."""
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        yield
