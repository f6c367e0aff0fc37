"""The pages in docs/ say what is so: a layer is added by following its page, and the picture is that of the code."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastbp.layers import LAYERS

PROJECT = Path(__file__).parent.parent
# How a page says where a block of code goes: `file`, and then one of these.
STEP = re.compile(r"^`(?P<file>[^`]+)`, (?P<how>[^\n]+):\n\n```\w+\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
PLACE = re.compile(r"(?:(?P<where>after|before) the line `(?P<line>[^`]+)`|in place of `` (?P<old>.+) ``)$")


def apply(page: str, folder: Path) -> list[str]:
    """Take the steps of a page in a copy of the project; the files that it names."""
    files = []
    for step in STEP.finditer(page):
        path, how, code = folder / step["file"], step["how"], step["code"]
        files.append(step["file"])
        if how == "a new file":
            assert not path.exists(), path
            path.write_text(code)
            continue
        text = path.read_text()
        if how == "at the end":
            path.write_text(f"{text}\n\n{code}")
            continue
        place = PLACE.fullmatch(how)
        assert place is not None, how
        old = place["old"] or f"{place['line']}\n"
        assert text.count(old) == 1, f"{step['file']} has {old!r} {text.count(old)} times"
        new = {"after": old + code, "before": f"{code}\n\n{old}", None: code.rstrip("\n")}[place["where"]]
        path.write_text(text.replace(old, new))
    return files


def copy_project(folder: Path) -> None:
    """What a contributor has: the files without what is made of them."""
    for name in ("fastbp", "tests", "README.md", "pyproject.toml"):
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=env, cwd=folder, timeout=900)


@pytest.mark.slow
def test_the_page_adds_a_layer(tmp_path):
    """Its code goes into a copy of the project, where its tests pass; in five places, as it says."""
    page = (PROJECT / "docs" / "adding-a-layer.md").read_text()
    copy_project(tmp_path)
    files = apply(page, tmp_path)
    tables = {"tests/test_kernels.py": "tables", "tests/cases.py": "tables", "fastbp/layers/__init__.py": "layer"}
    tables |= {"fastbp/__init__.py": "layer", "fastbp/layers/scale.py": "layer"}
    assert len({tables.get(file, file) for file in files}) == 5
    (selection,) = re.findall(r'^pytest -k "(.+)"$', page, re.MULTILINE)
    done = run(tmp_path, "-m", "pytest", "-p", "no:cacheprovider", "-k", selection)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None and int(passed[1]) >= 12
    for check in (["ruff", "check"], ["ruff", "format", "--check"]):
        if shutil.which("ruff"):
            done = subprocess.run([*check, "."], capture_output=True, text=True, cwd=tmp_path)
            assert done.returncode == 0, done.stdout


def test_the_readme_names_every_layer():
    (row,) = re.findall(r"^\| layers \| .*$", (PROJECT / "README.md").read_text(), re.MULTILINE)
    assert {name for name in LAYERS if f"`{name.removesuffix('1D').removesuffix('2D')}" not in row} == set()


def load_picture():
    """docs/picture.py as a module."""
    spec = importlib.util.spec_from_file_location("picture", PROJECT / "docs" / "picture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_has_the_rooms_of_the_code_and_who_imports_from_whom():
    """Where the boxes stand is not compared."""
    drawn = dict(re.findall(r"<title>(\w+) imports (.+?)</title>", (PROJECT / "docs" / "architecture.svg").read_text()))
    rooms = {room: ", ".join(sorted(others)) or "nothing" for room, others in load_picture().rooms().items()}
    assert drawn == rooms, "run python docs/picture.py"
    assert len(rooms) > 10 and rooms["simd"] == "nothing" and rooms["kernels"] == "runtime, simd"


def test_the_list_of_files_is_that_of_the_code():
    text = (PROJECT / "docs" / "architecture.md").read_text()
    assert load_picture().page(text) == text, "run python docs/picture.py"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/adding-a-layer.md"])
def test_files_and_names_that_a_page_speaks_of_exist(page):
    text = (PROJECT / page).read_text()
    told = set(re.findall(r"`((?:fastbp|tests|docs|benchmarks|examples)/[\w/.-]*)`", text))
    told |= {str(Path(page).parent / link) for link in re.findall(r"\]\(([\w./-]+)\)", text)}
    made = {step["file"] for step in STEP.finditer(text) if step["how"] == "a new file"}
    assert told and {path for path in told - made if not (PROJECT / path).exists()} == set()


def needs_pytorch(tree: ast.AST) -> bool:
    """Whether pytest.importorskip("torch") is called in it."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(ast.unparse(call).startswith("pytest.importorskip('torch'") for call in calls)


def test_tests_that_need_pytorch_are_marked():
    """So that `pytest -m oracle` runs all of them."""
    for path in sorted((PROJECT / "tests").glob("test_*.py")):
        body = ast.parse(path.read_text()).body
        functions = [node for node in body if isinstance(node, ast.FunctionDef)]
        if any(needs_pytorch(node) for node in body if node not in functions):
            assert "pytestmark = pytest.mark.oracle" in map(ast.unparse, body), path
        for function in filter(needs_pytorch, functions):
            assert "pytest.mark.oracle" in map(ast.unparse, function.decorator_list), f"{path}: {function.name}"


def test_the_checks_before_a_commit_are_of_the_versions_of_the_extra_dev():
    extra = re.search(r"^dev = \[\n(.+?)^\]", (PROJECT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    pinned = set(re.findall(r"[\w-]+==[\w.]+", extra[1]))
    used = set(re.findall(r"[\w-]+==[\w.]+", (PROJECT / ".pre-commit-config.yaml").read_text()))
    assert {pin.partition("==")[0] for pin in used} == {"ruff", "mypy", "types-tqdm"} and used < pinned
