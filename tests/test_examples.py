"""Each example runs as it stands, and finds what it looks for."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def cartpole(numbers):
    assert numbers[3] >= 195  # the mean length of an episode


def ode(numbers):
    by_gradient, by_differences, before, after = numbers[:4]
    assert by_gradient == pytest.approx(by_differences, rel=1e-6) and after < 1e-4 < before
    assert max(numbers[6], numbers[8]) < 0.05


def surrogate(numbers):
    assert numbers[1] == pytest.approx(numbers[4], abs=2e-3)


def lbfgs(numbers):
    assert numbers[0] < 1e-3 < numbers[2]


def online(numbers):
    assert numbers[9] < 0.5 * numbers[0] and numbers[10] > 10_000


def textbook(numbers):
    before, after, steps, difference, literal, engine = numbers
    assert steps == 50 and after < 0.5 * before and difference < 1e-14
    assert literal > 0 and engine > 0  # microseconds


def parallel(numbers):
    walks, alone, together, different, refused = numbers[:5]
    assert walks > 1000 and alone == together > 0 and different == refused == 0


CHECKS = {check.__name__: check for check in (cartpole, ode, surrogate, lbfgs, online, textbook, parallel)}


def test_every_example_is_checked():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(CHECKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_example(name):
    if name == "surrogate" and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("there is no C compiler")
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[-+]\d+)?", done.stdout.replace("L-BFGS", ""))
    CHECKS[name]([float(number.replace(",", "")) for number in found])
