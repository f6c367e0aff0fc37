"""Model files: one .npz of plain arrays and a JSON header, written whole or not at all, and sealed.

The archive is not compressed, so that a file is as long as what it holds, and its comment, which is the last thing in
it, is the seal: a SHA-256 of all before. What is damaged is found before anything else is read; what somebody has made
up and sealed can't ask for more memory than the file is long.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import FileFormatError, brief
from . import kinds

try:
    import fcntl
except ImportError:  # on Windows, where nobody can remove or rename a file that is open
    fcntl = None  # type: ignore[assignment]

FORMAT = "fastbp model"
VERSION = 1

_SEAL = kinds.SEAL
_SEAL_SIZE = len(_SEAL) + 2 * hashlib.sha256().digest_size
_PIECE = 1 << 20  # bytes that are hashed at once
_ARRAY_HEADER = 1000  # characters of NumPy's own header of an array, at most


# --- writing ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """A file to write to that becomes `path` when all has gone well; if not, an old file there stays.

    It is a temporary file beside it, flushed to the disk and renamed; a process that is killed leaves it behind, and
    the next one that writes to `path` removes it. Raises OSError, with that path, if the file can't be written.
    """
    target = _target(path)
    try:
        handle, temporary = _temporary(target)
    except OSError as error:
        raise _of(path, error) from None
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.chmod(temporary, _mode(target))
            if fcntl is None:
                file.close()
            os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename in (None, temporary):
            raise _of(path, error) from None
        raise
    _flush_folder(target.parent)


def check_place(path: str | os.PathLike) -> None:
    """Raise OSError, with that path, if a file can't be made there."""
    target = _target(path)
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise _of(path, error) from None


def check_folder(path: str | os.PathLike) -> None:
    """Raise FileNotFoundError if the folder that the file shall be in is not there."""
    folder = _behind_links(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {folder}", os.fspath(path))


def _of(path: str | os.PathLike, error: OSError) -> OSError:
    """The error, with the path that the user knows of."""
    return type(error)(error.errno, error.strerror, os.fspath(path))


def write(path: str | os.PathLike, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a model file to `path`, over any file there, whole or not at all.

    header: what json can write, and NumPy's numbers. Raises TypeError for anything else, OSError if the file can't be
    written; the old file then stays.
    """
    text = json.dumps({"format": FORMAT, "version": VERSION, **header}, default=_plain)
    with replacing(path) as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.comment = bytes(_SEAL_SIZE)
            for name, array in {"header": np.array(text), **arrays}.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        sealed = file.seek(-_SEAL_SIZE, os.SEEK_END)
        seal = _seal(file, sealed)
        file.seek(sealed)
        file.write(seal)


def _plain(value: Any) -> Any:
    """One of NumPy's numbers as one of Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a file's header must hold numbers, texts, lists and dicts of them, got {brief(value)}")


def _seal(file: IO[bytes], size: int) -> bytes:
    """The seal of the first `size` bytes."""
    digest = hashlib.sha256()
    file.seek(0)
    while size > 0 and (piece := file.read(min(size, _PIECE))):
        digest.update(piece)
        size -= len(piece)
    return _SEAL + digest.hexdigest().encode()


def _behind_links(path: str | os.PathLike) -> Path:
    return Path(os.path.realpath(path) if os.path.islink(path) else path)


def _target(path: str | os.PathLike) -> Path:
    """The file that `path` means. Raises OSError if it is a folder or a device, or if its folder is not there."""
    target = _behind_links(path)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))
    check_folder(path)
    return target


def _affixes(target: Path) -> tuple[str, str]:
    """The end and the beginning of names of temporary files for `target`, as mkstemp takes them."""
    return ".tmp", f".{target.name}."


def _temporary(target: Path) -> tuple[int, str]:
    """A new file beside `target`, locked as long as it is open: its handle and its name."""
    _remove_left(target)
    while True:
        handle, name = tempfile.mkstemp(*_affixes(target), dir=target.parent)
        if fcntl is None:
            return handle, name
        with contextlib.suppress(OSError):  # a file system without locks: nobody removes it then
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(name):  # not taken for one that was left, before it was locked
            return handle, name
        os.close(handle)


def _remove_left(target: Path) -> None:
    """Remove temporary files for `target` whose writers were killed: those that no process holds open."""
    end, begin = _affixes(target)
    for left in target.parent.glob(f"{glob.escape(begin)}*{end}"):
        with contextlib.suppress(OSError):  # somebody holds it, or was faster
            if fcntl is None:
                left.unlink()
                continue
            with open(left, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()


def _mode(path: Path) -> int:
    """The permissions of the file that is replaced, or those that a new file gets."""
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _flush_folder(folder: Path) -> None:
    """Make a renaming survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# --- reading ------------------------------------------------------------------------------------------


def read(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of a model file.

    Raises OSError if it can't be read, FileFormatError if it is not a whole model file of a known version.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END) - _SEAL_SIZE
        if problem := _problem_of_seal(file, size):
            raise FileFormatError(f"{os.fspath(path)} is not a whole fastbp model file: {problem}")
        try:
            header, arrays = _read_members(file, size)
            kind, version = header["format"], header["version"]
        except MemoryError:
            raise
        except Exception as error:  # whatever zipfile, NumPy and json find in a file that is none of theirs
            raise FileFormatError(f"{os.fspath(path)} is not a whole fastbp model file: {error}") from error
    if kind != FORMAT or version != VERSION:
        raise FileFormatError(
            f"{os.fspath(path)} must be a {FORMAT} of version {VERSION}, got {kind!r} of version {version!r}"
        )
    return header, arrays


def _problem_of_seal(file: IO[bytes], size: int) -> str:
    """Why the file is not one that ends, behind `size` bytes, with their seal; nothing if it is."""
    if size < 0:
        return f"{kinds.kind_of(file)}, and too short to be one"
    file.seek(size)
    seal = file.read()
    if not seal.startswith(_SEAL):
        return f"{kinds.kind_of(file)}, and does not end as one does"
    return "" if seal == _seal(file, size) else "it was changed or damaged after it was written"


def _read_members(file: IO[bytes], size: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of a sealed file of `size` bytes, whoever sealed it. Raises some exception if bad."""
    arrays: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > size:
            raise ValueError("its arrays must lie in it side by side")
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                raise ValueError(f"{member.filename} must not be compressed")
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise ValueError(f"it has {name} twice")
            arrays[name] = _read_array(archive, member)
    if "header" not in arrays:
        raise ValueError("it has no header")
    header = json.loads(str(arrays.pop("header")[()]))
    if not isinstance(header, dict):
        raise ValueError("its header must be a dict")
    return header, arrays


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """A member's array, which takes no more memory than the member is long."""
    with archive.open(member) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{member.filename} must be an array in NumPy's format 1.0")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=_ARRAY_HEADER)
        if dtype.kind not in "biufU" or min(shape, default=0) < 0:
            raise ValueError(f"{member.filename} must hold numbers, got {dtype} of shape {shape}")
        if stream.tell() + dtype.itemsize * math.prod(shape) != member.file_size:
            raise ValueError(f"{member.filename} must hold {dtype} of shape {shape}, got {member.file_size} bytes")
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False, max_header_size=_ARRAY_HEADER)
