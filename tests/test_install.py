"""pip installs the package, also in place of another install, and uninstalls all of it: what ran leaves nothing."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
FIT = """
import numpy as np
import fastbp as fb
net = fb.Network([fb.Activation("tanh"), fb.Dense(1)], (2,), loss="mse", seed=0)
net.fit(np.ones((4, 2)), np.zeros(4), epochs=1, batch_size=2, verbose=False)
print(fb.__file__)
"""
TOLD = "fastbp: compiling kernels for this machine"
NEEDED = ("numba", "llvmlite", "numpy", "platformdirs", "tqdm", "setuptools", "pip")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="there is no pip"),
]


class Environment:
    """A virtual environment with a copy of the project beside it; what the package needs is this environment's own."""

    def __init__(self, folder: Path):
        self.folder, self.clone = folder, folder / "clone"
        self.clone.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(PROJECT / name, self.clone)
        shutil.copytree(PROJECT / "fastbp", self.clone / "fastbp", ignore=shutil.ignore_patterns("__pycache__"))
        venv.create(folder / "venv", with_pip=False)
        self._bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        (self.packages,) = (folder / "venv").rglob("site-packages")
        needed = {str(importlib.metadata.distribution(name).locate_file("")) for name in NEEDED}
        (self.packages / "needed.pth").write_text("\n".join(sorted(needed)))

    def run(self, *command: str) -> subprocess.CompletedProcess:
        ours = ("FASTBP_", "NUMBA_CACHE", "PYTHON", "PIP_", "XDG_")
        env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        env |= {"HOME": str(self.folder / "home"), "FASTBP_CACHE_DIR": str(self.folder / "kept")}
        program = [str(self._bin / "python"), *command]
        done = subprocess.run(program, capture_output=True, text=True, env=env, cwd=self.folder, timeout=300)
        assert done.returncode == 0, done.stderr
        return done

    def install(self, *options: str) -> None:
        alone = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
        self.run("-m", "pip", "install", "-q", *alone, *options, str(self.clone))

    def uninstall(self) -> None:
        self.run("-m", "pip", "uninstall", "-q", "-y", "fastbp")

    def fit(self) -> tuple[Path, bool]:
        """Train; the folder of the package that did so, and whether it compiled."""
        done = self.run("-c", FIT)
        return Path(done.stdout.strip()).parent, TOLD in done.stderr

    def installed(self) -> set[str]:
        """The package's files in site-packages."""
        return files_of(self.packages / "fastbp")


def files_of(package: Path) -> set[str]:
    """What is in that folder, but for what Python compiles of modules."""
    paths = [path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()]
    return {path for path in paths if not path.endswith(".pyc")}


def test_regular_editable_regular_and_nothing_is_left(tmp_path):
    environment = Environment(tmp_path)
    empty = set(environment.packages.iterdir())
    source, regular = environment.clone / "fastbp", environment.packages / "fastbp"
    environment.install()
    assert environment.installed() == files_of(PROJECT / "fastbp")
    assert environment.fit() == (regular, True)
    assert environment.installed() == files_of(PROJECT / "fastbp") and list((tmp_path / "kept").rglob("*.nbc"))
    environment.install("-e")
    assert environment.fit() == (source, False)
    environment.install()
    assert environment.fit() == (regular, False)
    environment.uninstall()
    assert set(environment.packages.iterdir()) == empty
    environment.install("-e")
    environment.uninstall()
    assert {path for path in environment.packages.iterdir() if path.name != "__pycache__"} == empty
    assert not list(environment.packages.rglob("*fastbp*"))


def test_a_folder_that_something_left_there_does_not_hide_the_package(tmp_path):
    """As earlier versions did, which kept compiled code there."""
    environment = Environment(tmp_path)
    left = environment.packages / "fastbp" / "__pycache__" / "compiled" / "0123456789abcdef"
    left.mkdir(parents=True)
    (left / "tanh_forward-float32.py311.nbi").write_bytes(b"index")
    environment.install("-e")
    where = environment.run("-c", "import fastbp; print(fastbp.__version__, fastbp.__file__)").stdout.split()[1]
    assert Path(where).parent == environment.clone / "fastbp"
    environment.install()
    where = environment.run("-c", "import fastbp; print(fastbp.__version__, fastbp.__file__)").stdout.split()[1]
    assert Path(where).parent == environment.packages / "fastbp"
