"""Fixtures that several test files share."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _numpy_errors_are_errors():
    """A NaN or overflow that NumPy's part of the library makes is a mistake."""
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        yield
