"""The cache of compiled code: where it lies, from whom it is safe, found again, made anew, shared, bounded, cleared."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numba
import pytest

import fastbp
from fastbp.command import cli
from fastbp.runtime import cache, functions

# Kernels that take little time to compile, and the engine.
RUN = """
import numpy as np
import fastbp as fb
net = fb.Network([fb.Activation("tanh")], (2,), loss="mse", seed=0)
print(net.evaluate(np.ones((4, 2)), np.zeros((4, 2)))["loss"], fb.runtime.cache.folder())
"""
TOLD = "fastbp: compiling kernels for this machine"
PACKAGE = Path(fastbp.__file__).parent
OTHER_USER = 54321


def copy_package(folder: Path) -> Path:
    """A copy of the package without what Python compiled of it."""
    shutil.copytree(PACKAGE, folder / "fastbp", ignore=shutil.ignore_patterns("__pycache__"))
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


# --- found again, made anew, shared ---


@pytest.mark.slow
def test_second_start_compiles_nothing_and_an_edit_compiles_again(tmp_path):
    package = copy_package(tmp_path)
    before = set(package.rglob("*"))
    loss, folder, compiled = run(tmp_path)
    assert compiled and folder.parent == tmp_path / "home" / ".cache" / "fastbp"
    assert set(package.rglob("*")) == before
    files = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(files) >= 4 and {path.suffix for path in files} == {".nbc"}
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


@pytest.mark.slow
def test_equal_packages_share_it_and_what_earlier_versions_left_in_one_is_removed(tmp_path):
    copies = [tmp_path / name for name in ("one", "two")]
    left = copy_package(copies[0]) / "__pycache__" / "compiled"
    (left / "0123456789abcdef").mkdir(parents=True)
    copy_package(copies[1])
    environment = {"HOME": str(tmp_path), "FASTBP_CACHE_DIR": str(tmp_path / "kept")}
    loss, folder, compiled = run(copies[0], **environment)
    assert compiled and not left.exists()
    assert run(copies[1], **environment) == (loss, folder, False)


def test_every_source_of_compiled_code_counts():
    """A module that defines compiled functions is one whose edit makes the cache anew."""
    for path in PACKAGE.rglob("*.py"):
        compiles = re.search(
            r"^(@inner|@kernel|@njit|@entry_point|@intrinsic|@overload)", path.read_text(), re.MULTILINE
        )
        if compiles:
            assert path in cache._sources(), path
    assert {path for path in cache._sources() if path.parent.name not in ("simd", "kernels")} == {
        PACKAGE / name for name in cache._ALONE
    }


@pytest.mark.parametrize("name", ["__version__", "llvmlite.__version__", "np.__version__", *cache._SETTINGS])
def test_what_else_compiled_code_depends_on_counts(monkeypatch, name):
    before = cache._version()
    assert cache._version() == before
    if name in cache._SETTINGS:
        assert hasattr(numba.config, name)
        monkeypatch.setattr(numba.config, name, "another")
    else:
        owner, attribute = name.split(".") if "." in name else ("numba", name)
        monkeypatch.setattr(getattr(cache, owner), attribute, "another")
    assert cache._version() != before


@pytest.mark.slow
@pytest.mark.parametrize("processes", [4])
def test_processes_that_start_at_once_on_an_empty_cache(tmp_path, processes):
    copy_package(tmp_path)
    codes = [RUN if i % 2 == 0 else RUN.replace("seed=0)", "seed=0, dtype='float64')") for i in range(processes)]
    results = [finish(process) for process in [start(tmp_path, code) for code in codes]]
    assert len({loss for loss, *_ in results[::2]}) == len({loss for loss, *_ in results[1::2]}) == 1
    for code, (loss, folder, _) in zip(codes[:2], results[:2], strict=True):
        assert finish(start(tmp_path, code)) == (loss, folder, False)


@pytest.mark.slow
def test_a_home_that_cannot_be_written_falls_back_to_temporary_files_and_says_so_once(tmp_path):
    copy_package(tmp_path)
    (tmp_path / "home").write_text("a file where the folder would be: root may write into any folder")
    (tmp_path / "tmp").mkdir()
    results = []
    for _ in range(2):
        process = start(tmp_path, RUN, TMPDIR=str(tmp_path / "tmp"))
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert err.count("can't be kept") == 1 and err.count("Set FASTBP_CACHE_DIR to a folder that only you") == 1
        results.append((out, TOLD in err))
    assert [compiled for _, compiled in results] == [True, False] and results[0][0] == results[1][0]
    (root,) = (tmp_path / "tmp").iterdir()
    assert Path(results[0][0].split()[1]).parent == root and stat.S_IMODE(root.stat().st_mode) == 0o700


# --- where it lies, and from whom it is safe ---


@pytest.fixture
def _fresh(tmp_path, monkeypatch):
    """As a process that has not looked for the folder yet; the folders that it may find are below tmp_path."""
    for name in ("FASTBP_CACHE", "FASTBP_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(cache, "_found", None)
    monkeypatch.setattr(cache, "_printed", set())
    monkeypatch.setattr(cache, "_this", None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cache, "_version", lambda: "0123456789abcdef")


def found_root(monkeypatch) -> Path | None:
    """Where a process that starts now keeps compiled code."""
    monkeypatch.setattr(cache, "_found", None)
    folder = cache.folder()
    assert folder is None or folder.name == "0123456789abcdef"
    return folder and folder.parent


@pytest.mark.usefixtures("_fresh")
def test_variables_say_where(tmp_path, monkeypatch, capsys):
    assert found_root(monkeypatch) == tmp_path / "home" / ".cache" / "fastbp"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert found_root(monkeypatch) == tmp_path / "xdg" / "fastbp"
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "numba"))
    assert found_root(monkeypatch) == tmp_path / "numba" / "fastbp"
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "own" / "place"))
    assert found_root(monkeypatch) == tmp_path / "own" / "place"
    monkeypatch.setenv("FASTBP_CACHE_DIR", "~/mine")
    assert found_root(monkeypatch) == tmp_path / "home" / "mine"
    monkeypatch.setenv("FASTBP_CACHE_DIR", "relative")
    assert found_root(monkeypatch) == tmp_path / "relative"
    monkeypatch.chdir(tmp_path / "tmp")
    assert cache.folder().parent == tmp_path / "relative"
    monkeypatch.setenv("FASTBP_CACHE", "0")
    assert cache.folder() is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("_fresh")
def test_folders_and_files_are_the_users_own_whatever_the_umask(tmp_path, monkeypatch):
    before = os.umask(0o002)
    try:
        folder = found_root(monkeypatch) / "0123456789abcdef"
        cache.save(folder, "kernel", b"code")
    finally:
        os.umask(before)
    made = [folder, *folder.relative_to(tmp_path).parents][:-1]
    assert len(made) == 4
    assert {stat.S_IMODE((tmp_path / path).stat().st_mode) for path in made} == {0o700}
    assert stat.S_IMODE((folder / "kernel.nbc").stat().st_mode) == 0o600


@pytest.mark.usefixtures("_fresh")
def test_one_that_cannot_be_written_is_named_and_the_next_is_taken(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    temporary = tmp_path / "tmp" / f"fastbp-{os.geteuid()}"
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "file" / "own"))
    assert found_root(monkeypatch) == tmp_path / "home" / ".cache" / "fastbp"
    err = capsys.readouterr().err
    assert (
        f"in {tmp_path / 'file' / 'own'} (FASTBP_CACHE_DIR): Not a directory; it is kept in {tmp_path / 'home'}" in err
    )
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert found_root(monkeypatch) == temporary
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and f"; it is kept in {temporary}." in err
    for what in ("(FASTBP_CACHE_DIR)", "(NUMBA_CACHE_DIR)", "(the user's cache folder)"):
        assert f"{what}: Not a directory" in err
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    assert found_root(monkeypatch) is None and cache.folder() is None
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "it is not kept, and compiled anew by each process. Set FASTBP_CACHE_DIR to" in err

    def no_home(*args, **options):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(cache.platformdirs, "user_cache_path", no_home)
    assert found_root(monkeypatch) is None
    assert "(the user's cache folder): there is no home folder" in capsys.readouterr().err


posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no modes")


@posix
@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
@pytest.mark.parametrize("inner", [False, True], ids=["root", "version"])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path, monkeypatch, capsys, mode, inner):
    root = tmp_path / "own"
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(root))
    wide = found_root(monkeypatch) / "0123456789abcdef" if inner else found_root(monkeypatch)
    wide.chmod(mode)
    assert capsys.readouterr().err == ""
    assert found_root(monkeypatch) == tmp_path / "home" / ".cache" / "fastbp"
    err = capsys.readouterr().err
    assert f"in {root} (FASTBP_CACHE_DIR): others can write to it (`chmod go-w {wide}` cures that)" in err
    subprocess.run(["chmod", "go-w", str(wide)], check=True)
    assert found_root(monkeypatch) == root


@posix
@pytest.mark.usefixtures("_fresh")
def test_folders_of_others_are_refused(tmp_path, monkeypatch, capsys):
    root = tmp_path / "own"
    root.mkdir(mode=0o700)
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(root))
    if os.geteuid() == 0:
        os.chown(root, OTHER_USER, -1)
        owner = OTHER_USER
    else:
        owner = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: OTHER_USER)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(root))  # a folder of ours in one of another's
    found_root(monkeypatch)
    err = capsys.readouterr().err
    assert f"in {root} (FASTBP_CACHE_DIR): another user owns it (uid {owner})" in err and "chmod" not in err
    # for all, as /tmp is: its mode is as it must be
    root.chmod(0o1777)
    found_root(monkeypatch)
    assert "chmod" not in capsys.readouterr().err


@posix
@pytest.mark.usefixtures("_fresh")
def test_a_folder_for_all_is_refused_without_telling_to_change_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "all").mkdir()
    (tmp_path / "all").chmod(0o1777)
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "all"))
    assert found_root(monkeypatch) == tmp_path / "home" / ".cache" / "fastbp"
    err = capsys.readouterr().err
    assert "(FASTBP_CACHE_DIR): others can write to it; it is kept in" in err
    assert not list((tmp_path / "all").iterdir())


@posix
@pytest.mark.usefixtures("_fresh")
def test_only_our_own_folders_are_judged(tmp_path, monkeypatch, capsys):
    """~/.cache is writable to the user's own group on many systems; a link to a larger disk is the user's choice."""
    (tmp_path / "home" / ".cache").mkdir(parents=True)
    (tmp_path / "home" / ".cache").chmod(0o775)
    assert found_root(monkeypatch) == tmp_path / "home" / ".cache" / "fastbp"
    (tmp_path / "disk").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "link"))
    assert found_root(monkeypatch) == tmp_path / "link"
    assert capsys.readouterr().err == ""


@posix
@pytest.mark.usefixtures("_fresh")
def test_among_temporary_files_a_link_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", "/dev/null")
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "tmp" / f"fastbp-{os.geteuid()}").symlink_to(tmp_path / "elsewhere")
    assert found_root(monkeypatch) is None
    assert "(the folder for temporary files): it is not a folder; it is not kept" in capsys.readouterr().err
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize("switch", ["0", "1"])
def test_a_report_makes_nothing(tmp_path, monkeypatch, capsys, switch):
    monkeypatch.setenv("FASTBP_CACHE", switch)
    root = tmp_path / "home" / ".cache" / "fastbp"
    for command in (["cache"], ["cache", "--clear"], ["info"]):
        assert cli.main(command) == 0
        assert not (tmp_path / "home").exists()
        assert (str(root) in capsys.readouterr().out) == (switch == "1" or command[0] == "cache")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "file" / "own"))
    assert cli.main(["cache"]) == 0
    out, err = capsys.readouterr()
    assert f"cache folder    {root}" in out and "(FASTBP_CACHE_DIR): Not a directory; it is kept in" in err


@pytest.mark.usefixtures("_fresh")
def test_code_is_loaded_from_every_safe_folder_and_saved_in_the_first_that_can_be_written(
    tmp_path, monkeypatch, capsys
):
    home = found_root(monkeypatch) / "0123456789abcdef"
    cache.save(home, "kernel", b"code")
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "own"))
    assert cache.find("kernel") == b"code" and cache.find("other") is None and not (tmp_path / "own").exists()
    own = found_root(monkeypatch) / "0123456789abcdef"
    cache.save(own, "kernel", b"newer")
    assert cache.find("kernel") == b"newer" and cache.sources() == [own, home]
    assert cli.main(["cache"]) == 0
    assert f"also loaded     from {home.parent}\n" in capsys.readouterr().out
    if os.name == "posix":
        own.chmod(0o777)
        assert cache.find("kernel") == b"code" and cache.sources() == [home]
    monkeypatch.setenv("FASTBP_CACHE", "0")
    assert cache.sources() == [] and cache.find("kernel") is None


@pytest.fixture
def folder_for_all():
    """Which other users can get to, as those of pytest's they can't."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


# What is imported comes first: the other user may not be able to read Python's own files.
AS_ANOTHER_USER = """
import os, random, sys, tempfile
from fastbp.runtime import cache
cache._current()
os.setgid({user})
os.setuid({user})
print(bytes(cache.find("kernel")), cache.find("other"), sep=";", flush=True)
print("before saving", file=sys.stderr, flush=True)
cache.save(cache.folder(), "other", b"more")
print(bytes(cache.find("kernel")), bytes(cache.find("other")), cache.folder().parent, sep=";")
"""


@posix
def test_a_cache_that_can_only_be_read_is_used_without_a_warning(folder_for_all):
    """As root's in a container image, for a user who has no home; what is compiled besides is kept elsewhere."""
    if os.geteuid() != 0:
        pytest.skip("only root can run code as another user")
    warm, temporary = folder_for_all / "warm", folder_for_all / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)
    copy_package(folder_for_all)
    environment = {"FASTBP_CACHE_DIR": str(warm), "TMPDIR": str(temporary), "HOME": "/dev/null"}
    warmed = start(folder_for_all, 'from fastbp.runtime import cache; cache.save(cache.folder(), "kernel", b"code")')
    _, err = warmed.communicate(timeout=300)
    assert warmed.returncode == 0, err
    (folder_for_all / "home" / ".cache" / "fastbp").rename(warm)
    subprocess.run(["chmod", "-R", "a+rX", str(warm)], check=True)
    user = start(folder_for_all, AS_ANOTHER_USER.format(user=OTHER_USER), **environment)
    out, err = user.communicate(timeout=300)
    assert user.returncode == 0, err
    kept = temporary / f"fastbp-{OTHER_USER}"
    assert out.splitlines() == ["b'code';None", f"b'code';b'more';{kept}"]
    before, told = err.split("before saving\n")
    assert before == ""
    assert f"in {warm} (FASTBP_CACHE_DIR): Permission denied" in told and f"it is kept in {kept}" in told


@pytest.mark.usefixtures("_fresh")
def test_kernels_are_loaded_where_they_can_only_be_read(tmp_path, monkeypatch, capsys):
    """The same without another user: a kernel that is found asks for no folder to save in."""
    first = found_root(monkeypatch) / "0123456789abcdef"
    add = functions.Kernel(lambda dtype, rows, lo, hi: None, "nothing")
    assert add.address(functions.np.dtype("float32"))
    assert [path.suffix for path in first.iterdir()] == [".nbc"]
    monkeypatch.setattr(cache, "_found", None)
    monkeypatch.setattr(cache, "_find", lambda open_in: pytest.fail("a folder to save in was looked for"))
    again = functions.Kernel(lambda dtype, rows, lo, hi: None, "nothing")
    assert again.address(functions.np.dtype("float32"))


# --- files ---


def test_what_is_kept_is_found_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "0123456789abcdef"
    assert cache.load(folder, "kernel") is None
    for content in (b"", b"code" * 1000):
        cache.save(folder, "kernel", content)
        assert cache.load(folder, "kernel") == content
    path = folder / "kernel.nbc"
    whole = path.read_bytes()
    for damaged in (b"", whole[:20], whole[:-1], whole + b"x", bytes(len(whole)), whole[:-1] + b"x", b"x" + whole[1:]):
        path.write_bytes(damaged)
        assert cache.load(folder, "kernel") is None
    cache.save(folder, "kernel", b"again")
    assert cache.load(folder, "kernel") == b"again" and list(folder.iterdir()) == [path]


@posix
def test_files_that_others_can_write_or_own_are_not_loaded(tmp_path, monkeypatch):
    cache.save(tmp_path, "kernel", b"code")
    path = tmp_path / "kernel.nbc"
    for mode in (0o660, 0o602):
        path.chmod(mode)
        assert cache.load(tmp_path, "kernel") is None
    path.chmod(0o600)
    assert cache.load(tmp_path, "kernel") == b"code"
    if os.geteuid() == 0:
        os.chown(path, OTHER_USER, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: OTHER_USER)
    assert cache.load(tmp_path, "kernel") is None


@pytest.mark.slow
def test_damaged_code_is_compiled_again(tmp_path):
    copy_package(tmp_path)
    loss, folder, _ = run(tmp_path)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    assert run(tmp_path) == (loss, folder, True)
    assert run(tmp_path) == (loss, folder, False)


def test_a_full_disk_is_a_warning(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_write", full)
    monkeypatch.setattr(cache, "_found", (tmp_path,))
    monkeypatch.delenv("FASTBP_CACHE", raising=False)
    add = functions.Kernel(lambda dtype, rows, lo, hi: None, "nothing")
    with pytest.warns(UserWarning, match="can't keep compiled code in .*No space left"):
        assert add.address(functions.np.dtype("float32"))


@pytest.mark.slow
def test_files_may_be_removed_at_any_moment(tmp_path):
    """By another process that clears the cache, say."""
    folder, done = tmp_path / "0123456789abcdef", threading.Event()

    def remove():
        while not done.is_set():
            for path, entries in cache._entries(tmp_path).items():
                cache._remove(path, entries)
            time.sleep(0.001)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        for number in range(300):
            name = f"kernel{number % 3}"
            cache.save(folder, name, b"code" * number)
            assert cache.load(folder, name) in (None, b"code" * number)
    finally:
        done.set()
        thread.join()


# --- how much there is ---


def keep(folder: Path, name: str, size: int, age: float) -> Path:
    """A file of the cache that was last used `age` seconds ago, and made a day before."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py311.nbc"
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age, time.time() - age - 86400))
    return path


def test_the_versions_used_last_are_kept(tmp_path):
    for number in range(12):
        keep(tmp_path / f"{number:016x}", "kernel", 10, 1000 - number)
    foreign = tmp_path / "0123456789abcdef 2"
    foreign.mkdir()
    (tmp_path / f"{5:016x}" / "notes.txt").write_text("the user's own")
    (tmp_path / f"{1:016x}" / "notes.txt").write_text("the user's own")
    cache.tidy(tmp_path / f"{0:016x}")
    kept = {int(path.parent.name, 16) for path in tmp_path.rglob("*.nbc")}
    assert kept == {0, *range(5, 12)} and cache.MOST_VERSIONS == 8
    assert len(list(tmp_path.rglob("notes.txt"))) == 2
    assert {path.name for path in tmp_path.iterdir()} == {foreign.name, *(f"{n:016x}" for n in (1, *kept))}


def test_few_versions_all_stay(tmp_path):
    """Also one whose process has only just made the folder."""
    for number in range(8):
        keep(tmp_path / f"{number:016x}", "kernel", 10, 1000 - number)
    cache.tidy(tmp_path / f"{0:016x}")
    assert len(list(tmp_path.iterdir())) == 8
    (tmp_path / "0123456789abcdef").mkdir()
    cache.tidy(tmp_path / f"{0:016x}")
    assert {int(path.name, 16) for path in tmp_path.iterdir()} == {0, *range(2, 8), 0x0123456789ABCDEF}


def test_files_used_last_are_kept_in_all_versions(tmp_path, monkeypatch):
    """One process can make kernels without end, from functions of the user's own."""
    monkeypatch.setattr(cache, "MOST_BYTES", 10_000)
    current, other = tmp_path / f"{0:016x}", tmp_path / f"{1:016x}"
    paths = {age: keep(current if age % 2 else other, f"kernel{age}", 1000, 100.0 * age) for age in range(1, 21)}
    leftover = other / "kernel.nbc.tmp.abc_1"
    leftover.write_bytes(bytes(500))
    os.utime(leftover, (1.0, 1.0))
    cache.tidy(current)
    assert not leftover.exists()
    assert [age for age, path in paths.items() if path.exists()] == list(range(1, 11))


def test_what_one_process_keeps_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "MOST_BYTES", 10_000)
    monkeypatch.setattr(cache, "_saved", 0)
    folder = tmp_path / f"{0:016x}"
    for number in range(200):
        cache.save(folder, f"kernel{number}", bytes(1000 - cache._HASH))
        assert len(list(folder.iterdir())) < 10 + cache._TIDY_EVERY
    assert cache.load(folder, "kernel199") is not None and cache.load(folder, "kernel0") is None


def test_a_file_knows_when_it_was_made_and_last_used(tmp_path):
    cache.save(tmp_path, "kernel", b"code")
    path, day = tmp_path / "kernel.nbc", 86400
    os.utime(path, (time.time() - 2 * day, time.time() - 5 * day))
    made = path.stat().st_mtime_ns
    assert cache.load(tmp_path, "kernel") == b"code"
    status = path.stat()
    assert status.st_mtime_ns == made and time.time() - status.st_atime < 600


# --- the command ---


@pytest.mark.usefixtures("_fresh")
def test_the_command_shows_and_clears_what_is_ours_alone(tmp_path, monkeypatch, capsys):
    root = tmp_path / "own"
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(root))
    current = found_root(monkeypatch) / "0123456789abcdef"
    foreign = [root / "notes.txt", root / "data" / "x.nbc", current / "notes.txt", root / "0123456789abcdeg" / "x.nbc"]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("the user's own")
    day = 86400.0
    keep(current, "one", 1_500_000, 0), keep(current, "two", 500_000, 2 * day)
    other = keep(root / f"{1:016x}", "three", 1_000_000, 9 * day)
    (other.parent / "three.py311.nbi").write_bytes(bytes(1_000_000))  # as earlier versions wrote it
    (other.parent / "four.py311.nbc.tmp.a_1").write_bytes(bytes(1_000_000))
    for path in other.parent.iterdir():
        os.utime(path, (time.time() - 9 * day, time.time() - 10 * day))

    def date(days):
        return time.strftime("%Y-%m-%d", time.localtime(time.time() - days * day))

    assert cli.main(["cache"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["cache", "folder", str(root)]
    assert lines[1].split(maxsplit=2)[2] == "3 kernels, 5.0 MB, of at most 512.0 MB"
    this, another = lines[2:]
    assert this.startswith("this version    0123456789abcdef: 2 kernels, 2.0 MB, compiled ")
    assert re.findall(r"\d{4}-\d\d-\d\d", this) == [date(3), date(1), date(0)]
    assert another.startswith(f"another version {1:016x}: 1 kernel, 3.0 MB, compiled ")
    assert re.findall(r"\d{4}-\d\d-\d\d", another) == [date(10), date(10), date(9)]

    assert cli.main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out == f"freed           5.0 MB: 3 kernels in {root}\n"
    assert sorted(path for path in root.rglob("*") if path.is_file()) == sorted(foreign)
    assert current.exists() and not other.parent.exists()
    assert cli.main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out == f"freed           0.0 MB: 0 kernels in {root}\n"
    monkeypatch.setenv("FASTBP_CACHE", "off")
    assert cli.main(["cache"]) == 0
    assert f"{root} (switched off by FASTBP_CACHE)\n" in capsys.readouterr().out


@pytest.mark.usefixtures("_fresh")
def test_the_command_without_a_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    assert cli.main(["cache"]) == cli.main(["cache", "--clear"]) == 0
    out, err = capsys.readouterr()
    assert out == "cache folder    none: no folder can be used\nfreed           nothing: no folder can be used\n"
    assert err.count("can't be kept") == 1
