"""Compiled code on disk: in which folders it lies, whom they are safe from, how much of it is kept, and since when.

It is loaded from every folder that is safe, and saved in the first of them that can be written to: a container image
may bring compiled code in a folder of root's.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import llvmlite
import numba
import numpy as np
import platformdirs

_PACKAGE = Path(__file__).parent.parent

MOST_BYTES = 512_000_000
MOST_VERSIONS = 8
_TIDY_EVERY = 16  # files that a process keeps
_TRIES = 20  # to keep a file that other processes remove
_HOUR = 3600.0  # how exactly it is known when a file was last used

# What lies in a root: a folder for each version, and in it a file for each kernel, or what is left of one whose writing
# was cut off. Earlier versions wrote files of Numba's own format, with an index (.nbi) beside each.
_FOLDER = re.compile(r"[0-9a-f]{16}")
_FILE = re.compile(r".+\.nb[ci](\.tmp\.\w+)?")


def enabled() -> bool:
    """False when FASTBP_CACHE is 0, off, no or false."""
    return os.environ.get("FASTBP_CACHE", "1").lower() not in ("0", "off", "no", "false")


# --- versions -----------------------------------------------------------------------------------------

# Settings of Numba's that change the code it makes.
_SETTINGS = ("OPT", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "USING_SVML")


# The files that compiled code comes from, beside those in simd/ and kernels/.
_ALONE = ("runtime/functions.py", "runtime/cache.py", "program/engine.py", "embedding/handles.py", "embedding/capi.py")


def _sources() -> list[Path]:
    """The files that compiled code comes from."""
    files = [_PACKAGE / path for path in _ALONE]
    return files + [path for folder in ("simd", "kernels") for path in sorted((_PACKAGE / folder).glob("*.py"))]


def _version() -> str:
    """A hash of all that compiled code depends on but Python, which the files' names tell: the installs share it."""
    found = hashlib.sha256()
    for path in _sources():
        found.update(path.relative_to(_PACKAGE).as_posix().encode())
        found.update(path.read_bytes())
    compilers = numba.__version__, llvmlite.__version__, np.__version__
    settings = [getattr(numba.config, name, None) for name in _SETTINGS]
    codegen = numba.core.registry.cpu_target.target_context.codegen()
    found.update(repr((compilers, settings, codegen.magic_tuple())).encode())
    return found.hexdigest()[:16]


# --- the folder ---------------------------------------------------------------------------------------


class _Unusable(Exception):
    """Compiled code must not, or can't, be kept in that folder; the message says why."""


class _Root(NamedTuple):
    """A folder that the versions' folders may lie in."""

    path: Path
    what: str
    may_be_link: bool = True


def _roots() -> Iterator[_Root]:
    """The roots, best first."""
    if os.environ.get("FASTBP_CACHE_DIR"):
        yield _Root(Path(os.path.expanduser(os.environ["FASTBP_CACHE_DIR"])).absolute(), "FASTBP_CACHE_DIR")
    if numba.config.CACHE_DIR:
        yield _Root(Path(numba.config.CACHE_DIR).absolute() / "fastbp", "NUMBA_CACHE_DIR")
    yield _Root(_user_cache(), "the user's cache folder")
    with contextlib.suppress(OSError):  # there is no folder for temporary files
        name = f"fastbp-{os.geteuid()}" if hasattr(os, "geteuid") else "fastbp"
        # Others may have made a link of that name.
        yield _Root(Path(tempfile.gettempdir()) / name, "the folder for temporary files", may_be_link=False)


def _user_cache() -> Path:
    try:
        return platformdirs.user_cache_path("fastbp", appauthor=False)
    except RuntimeError:  # there is no home: older versions of platformdirs return a path that is not absolute
        return Path("~", ".cache", "fastbp")


def _make(folder: Path) -> None:
    """Make the folder and those above it, for the user alone."""
    if not folder.is_dir():
        _make(folder.parent)
        with contextlib.suppress(FileExistsError):  # another process was faster, or it is no folder
            folder.mkdir(0o700)


def _danger(status: os.stat_result) -> str:
    """How others could have put code there for us to load; empty if they can't."""
    if os.name != "posix":  # Windows keeps a user's folders from others
        return ""
    if status.st_uid not in (os.geteuid(), 0):
        return f"another user owns it (uid {status.st_uid})"
    return "others can write to it" if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""


def _judge(folder: Path, status: os.stat_result) -> None:
    """Raise _Unusable where others could write to a folder that code is loaded from.

    Judged are our own folders and, when it is read, each file in them. Folders above are not: many systems give each
    user a group of their own, and make ~/.cache writable to it. Who can write there can put another folder in the
    place of ours, but none that belongs to us, and no file that does.
    """
    if not stat.S_ISDIR(status.st_mode):
        raise _Unusable("it is not a folder")
    danger = _danger(status)
    if danger and status.st_uid == os.geteuid() and not status.st_mode & stat.S_ISVTX:
        danger += f" (`chmod go-w {folder}` cures that)"
    if danger:
        raise _Unusable(danger)


def _folders(root: _Root, version: str) -> tuple[Path, Path]:
    """The two that are ours: the root and, in it, the version's. Raises _Unusable."""
    if not root.path.is_absolute():
        raise _Unusable("there is no home folder")
    return root.path, root.path / version


def _status(root: _Root, folder: Path) -> os.stat_result:
    return folder.stat() if root.may_be_link else folder.lstat()


def _to_save(root: _Root, version: str) -> Path:
    """The version's folder in that root, made if it is not there, to save code in. Raises _Unusable."""
    folders = _folders(root, version)
    try:
        for each in folders:
            _make(each)
            _judge(each, _status(root, each))
        with tempfile.TemporaryFile(dir=folders[-1]):
            return folders[-1]
    except OSError as error:
        raise _Unusable(error.strerror or str(error)) from None


def _to_load(root: _Root, version: str) -> Path | None:
    """The version's folder in that root, to load code from; None if it is not there or is not safe."""
    try:
        for each in _folders(root, version):
            _judge(each, _status(root, each))
    except (OSError, _Unusable):
        return None
    return each


def _to_report(root: _Root, version: str) -> Path:
    """As _to_save, but nothing is made: it may not be there yet. Raises _Unusable."""
    folders = _folders(root, version)
    try:
        for each in folders:
            if os.path.lexists(each):
                _judge(each, _status(root, each))
        nearest = next(path for path in (folders[-1], *folders[-1].parents) if os.path.lexists(path))
        if not nearest.is_dir():
            raise _Unusable(os.strerror(errno.ENOTDIR))
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise _Unusable(os.strerror(errno.EACCES))
    except OSError as error:
        raise _Unusable(error.strerror or str(error)) from None
    return folders[-1]


def _find(open_in: Callable[[_Root, str], Path]) -> Path | None:
    """The version's folder in the first root that can be used; where others come before it, prints why they can't."""
    refused = []
    found: Path | None = None
    for root in _roots():
        try:
            found = open_in(root, _current())
            break
        except _Unusable as error:
            refused.append(f"in {root.path} ({root.what}): {error}")
    if refused:
        instead = (
            "it is not kept, and compiled anew by each process" if found is None else f"it is kept in {found.parent}"
        )
        _print_once(
            f"fastbp: compiled code can't be kept {', nor '.join(refused)}; {instead}."
            " Set FASTBP_CACHE_DIR to a folder that only you can write to."
        )
    return found


_printed: set[str] = set()


def _print_once(text: str) -> None:
    """Print a line to standard error, once in a process."""
    if text not in _printed:
        _printed.add(text)
        print(text, file=sys.stderr, flush=True)


_this: str | None = None
_found: tuple[Path | None] | None = None


def _current() -> str:
    """This version."""
    global _this
    if _this is None:
        _this = _version()
    return _this


def folder() -> Path | None:
    """The folder that this version's compiled code is saved in; None when the cache is off or no folder can be used.

    The first call makes it, and prints which folders can't be used.
    """
    global _found
    if not enabled():
        return None
    if _found is None:
        _found = (_find(_to_save),)
    return _found[0]


def place() -> Path | None:
    """What `folder` gives if the cache is on, whether it is or not; makes nothing. None if no folder can be used."""
    return _find(_to_report) if _found is None else _found[0]


def sources() -> list[Path]:
    """The folders that this version's compiled code is loaded from, best first; none when the cache is off."""
    found = [_to_load(root, _current()) for root in _roots()] if enabled() else []
    return [folder for folder in found if folder is not None]


# --- files --------------------------------------------------------------------------------------------

_HASH = hashlib.sha256().digest_size
_saved = 0


def find(name: str) -> memoryview | None:
    """What was saved under that name, from the first folder that has it; None if none has."""
    loaded = (load(folder, name) for folder in sources())
    return next((content for content in loaded if content is not None), None)


def load(folder: Path, name: str) -> memoryview | None:
    """What was saved under that name; None if there is no such file, or it is damaged, or may be somebody else's."""
    path = folder / f"{name}.nbc"
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if _danger(status):
                return None
            content = memoryview(file.read())
    except OSError:
        return None
    if hashlib.sha256(content[_HASH:]).digest() != content[:_HASH]:
        return None
    if time.time() - max(status.st_atime, status.st_mtime) > _HOUR:
        with contextlib.suppress(OSError):
            os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))
    return content[_HASH:]


def save(folder: Path, name: str, content: bytes) -> None:
    """Keep the content under that name: whole or not at all. Raises OSError."""
    global _saved
    for tries in range(_TRIES):
        try:
            _make(folder)
            _write(folder / f"{name}.nbc", hashlib.sha256(content).digest() + content)
            break
        except FileNotFoundError:  # another process has just cleared or tidied the cache
            if tries == _TRIES - 1:
                raise
        except PermissionError:
            if os.name != "nt":  # where no file is replaced while another process reads it, which says the same
                raise
            return
    if _saved % _TIDY_EVERY == 0:
        tidy(folder)
    _saved += 1


def _write(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f"{path.name}.tmp.", dir=path.parent)  # for the user alone
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


# --- how much there is --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A file of the cache."""

    path: Path
    size: int
    made: float
    used: float

    def remove(self) -> int:
        """The bytes that this frees; 0 if it is another process that does."""
        try:
            self.path.unlink()
        except OSError:
            return 0
        return self.size


def _entries(root: Path) -> dict[Path, list[Entry]]:
    """The files that are ours, by the version's folder; the version that was used last comes last."""
    found = {}
    for folder in _listed(root):
        if _FOLDER.fullmatch(folder.name) and folder.is_dir(follow_symlinks=False):
            entries = [_entry(file) for file in _listed(folder.path) if _FILE.fullmatch(file.name)]
            found[Path(folder.path)] = [entry for entry in entries if entry is not None]
    return dict(sorted(found.items(), key=_last_used))


def _last_used(version: tuple[Path, list[Entry]]) -> float:
    folder, entries = version
    if entries:
        return max(entry.used for entry in entries)
    try:
        return folder.stat().st_mtime
    except OSError:  # another process has removed it
        return 0.0


def _entry(file: os.DirEntry[str]) -> Entry | None:
    """None if it is no file, or is there no longer."""
    try:
        status = file.stat(follow_symlinks=False)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return Entry(Path(file.path), status.st_size, status.st_mtime, max(status.st_atime, status.st_mtime))


def _listed(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def tidy(current: Path) -> None:
    """Bound what lies beside and in that version's folder: MOST_VERSIONS, and MOST_BYTES of the files used last.

    A process needs a file only once, to load it, and compiles what another has removed.
    """
    versions = _entries(current.parent)
    others = [folder for folder in versions if folder != current]
    for folder in others[: max(0, len(others) - MOST_VERSIONS + 1)]:
        _remove(folder, versions.pop(folder))
    entries = sorted((entry for files in versions.values() for entry in files), key=lambda entry: entry.used)
    excess = sum(entry.size for entry in entries) - MOST_BYTES
    for entry in entries:
        if excess <= 0:
            break
        entry.remove()
        excess -= entry.size
    # Where earlier versions kept it. pip leaves a folder that it did not make, and Python takes that for a package.
    shutil.rmtree(_PACKAGE / "__pycache__" / "compiled", ignore_errors=True)


def _remove(folder: Path, entries: list[Entry]) -> tuple[int, int]:
    """Remove these files, and the folder if that leaves it empty; how many kernels and bytes that frees."""
    kernels = freed = 0
    for entry in entries:
        size = entry.remove()
        freed += size
        kernels += size > 0 and entry.path.suffix == ".nbc"
    with contextlib.suppress(OSError):
        folder.rmdir()
    return kernels, freed


def clear() -> str:
    """Remove all versions' files, and no others; says what that frees."""
    current = place()
    if current is None:
        return "nothing: no folder can be used"
    removed = [_remove(folder, entries) for folder, entries in _entries(current.parent).items()]
    kernels, freed = (sum(numbers) for numbers in zip(*removed, strict=True)) if removed else (0, 0)
    return f"{_megabytes(freed)}: {_kernels(kernels)} in {current.parent}"


def report() -> Iterator[tuple[str, str]]:
    """What `fastbp cache` prints: labels and texts."""
    current = place()
    if current is None:
        yield "cache folder", "none: no folder can be used"
        return
    yield "cache folder", f"{current.parent}{'' if enabled() else ' (switched off by FASTBP_CACHE)'}"
    versions = _entries(current.parent)
    everything = [entry for entries in versions.values() for entry in entries]
    yield "in all", f"{_amount(everything)}, of at most {_megabytes(MOST_BYTES)}"
    for folder in sources():
        if folder != current:
            yield "also loaded", f"from {folder.parent}"
    for folder in reversed(versions):
        label = "this version" if folder == current else "another version"
        yield label, f"{folder.name}: {_amount(versions[folder])}{_age(versions[folder])}"


def _amount(entries: list[Entry]) -> str:
    kernels = sum(entry.path.suffix == ".nbc" for entry in entries)
    return f"{_kernels(kernels)}, {_megabytes(sum(entry.size for entry in entries))}"


def _kernels(number: int) -> str:
    return f"{number} kernel{'' if number == 1 else 's'}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _age(entries: list[Entry]) -> str:
    if not entries:
        return ""
    made, used = [entry.made for entry in entries], [entry.used for entry in entries]
    return f", compiled {_date(min(made))} to {_date(max(made))}, last used {_date(max(used))}"


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
