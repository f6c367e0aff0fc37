"""The cache of compiled code: found again, made anew after an edit, shared, moved, turned off."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fastbp
from fastbp import _jit

# Kernels that take little time to compile, and the engine.
RUN = """
import numpy as np
import fastbp as fb
net = fb.Network([fb.Activation("tanh")], (2,), loss="mse", seed=0)
print(net.evaluate(np.ones((4, 2)), np.zeros((4, 2)))["loss"], fb._jit.cache_folder())
"""
TOLD = "fastbp: compiling kernels for this machine"


def copy_package(folder: Path) -> Path:
    """A copy of the package without its cache."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(fastbp.__file__).parent, folder / "fastbp", ignore=ignore)
    return folder / "fastbp"


def start(home: Path, code: str = RUN, **environment: str) -> subprocess.Popen:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_CACHE", "FASTBP_", "XDG_"))}
    env |= {"PYTHONPATH": str(home), "HOME": str(home / "home"), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=home
    )


def finish(process: subprocess.Popen) -> tuple[str, Path, bool]:
    """(the loss, the cache's folder, whether it compiled)."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    loss, folder = out.split()
    return loss, Path(folder), TOLD in err


def run(home: Path, **environment: str) -> tuple[str, Path, bool]:
    return finish(start(home, **environment))


def test_second_start_compiles_nothing_and_an_edit_compiles_again(tmp_path):
    package = copy_package(tmp_path)
    loss, folder, compiled = run(tmp_path)
    assert compiled and folder.is_relative_to(package)
    files = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert run(tmp_path) == (loss, folder, False)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == files
    # an edit of a file that the kernel uses, not of the kernel's own
    source = package / "simd" / "vectors.py"
    source.write_text(source.read_text() + "\n# edited\n")
    assert run(tmp_path)[2]
    kernel = package / "kernels" / "losses.py"
    text = kernel.read_text()
    assert "loss, right, i = 0.0," in text
    kernel.write_text(text.replace("loss, right, i = 0.0,", "loss, right, i = 400.0,"))
    edited, _, compiled = run(tmp_path)
    assert compiled and float(edited) > float(loss) + 20


def test_every_source_of_compiled_code_counts():
    """A module that defines compiled functions is one whose edit makes the cache anew."""
    counted = {path.name if path.parent == _jit._PACKAGE else path.parent.name for path in _jit._sources()}
    for path in _jit._PACKAGE.rglob("*.py"):
        compiles = re.search(
            r"^(@inner|@kernel|@njit|@entry_point|@intrinsic|@overload)", path.read_text(), re.MULTILINE
        )
        if compiles:
            assert path in _jit._sources(), path
    assert counted == {"_jit.py", "engine.py", "jit.py", "capi.py", "simd", "kernels"}


def test_a_folder_that_cannot_be_written_falls_back_to_the_users(tmp_path):
    package = copy_package(tmp_path)
    (package / "__pycache__").write_text("a file where the folder would be: root may write into any folder")
    loss, folder, compiled = run(tmp_path)
    assert compiled and folder.is_relative_to(tmp_path / "home" / ".cache" / "fastbp")
    assert run(tmp_path) == (loss, folder, False)
    elsewhere = {"XDG_CACHE_HOME": str(tmp_path / "xdg")}
    assert run(tmp_path, **elsewhere)[1].is_relative_to(tmp_path / "xdg")
    (tmp_path / "home" / ".cache").rename(tmp_path / "moved")
    (tmp_path / "home" / ".cache").write_text("")
    code = RUN.replace("fb._jit.cache_folder()", "str(fb._jit.cache_folder())")
    assert finish(start(tmp_path, code))[1:] == (Path("None"), True)


def test_one_variable_turns_it_off_and_numbas_own_moves_it(tmp_path):
    package = copy_package(tmp_path)
    _, folder, compiled = run(tmp_path, FASTBP_CACHE="0")
    assert compiled and folder == Path("None") and not list(package.rglob("*.nbi"))
    moved = run(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "other"))
    assert moved[1].is_relative_to(tmp_path / "other") and not list(package.rglob("*.nbi"))


@pytest.mark.parametrize("processes", [4])
def test_processes_that_start_at_once_on_an_empty_cache(tmp_path, processes):
    copy_package(tmp_path)
    codes = [RUN if i % 2 == 0 else RUN.replace("seed=0)", "seed=0, dtype='float64')") for i in range(processes)]
    results = [finish(process) for process in [start(tmp_path, code) for code in codes]]
    assert len({loss for loss, *_ in results[::2]}) == len({loss for loss, *_ in results[1::2]}) == 1
    for code, (loss, folder, _) in zip(codes[:2], results[:2], strict=True):
        assert finish(start(tmp_path, code)) == (loss, folder, False)


def test_old_versions_are_forgotten(tmp_path, monkeypatch):
    for i in range(12):
        (tmp_path / f"version{i}").mkdir()
        os.utime(tmp_path / f"version{i}", (time.time() - 1000 + i,) * 2)
    _jit._forget_old(tmp_path, tmp_path / "version0")
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"version0", *(f"version{i}" for i in range(5, 12))}
