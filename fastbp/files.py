"""Model files: one .npz of plain arrays and a JSON header, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from .errors import FileFormatError

FORMAT = "fastbp model"
VERSION = 1


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """A file to write to that becomes `path` when all has gone well; if not, an old file there stays.

    It is a temporary file beside it, flushed to the disk and renamed. Raises OSError if that can't be done.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:  # the user knows of `path` only
        raise type(error)(error.errno, error.strerror, str(path)) from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode(path))
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write(path: str | os.PathLike, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a model file to `path`, over any file there, whole or not at all.

    header: what json can write. Raises OSError if it can't be written; the old file then stays.
    """
    text = json.dumps({"format": FORMAT, "version": VERSION, **header})
    contents: dict[str, Any] = {"header": np.array(text), **arrays}
    with replacing(path) as file:
        np.savez(file, **contents)


def _mode(path: Path) -> int:
    """The permissions of the file that is replaced, or those that a new file gets."""
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def read(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of a model file.

    Raises FileNotFoundError if there is none, FileFormatError if it is not a whole model file of a known version.
    """
    try:
        # np.load leaves a file open that it can't read, if it is given a path
        with open(path, "rb") as stream:
            if not zipfile.is_zipfile(stream):
                raise FileFormatError("it is no .npz archive")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        if "header" not in arrays:
            raise FileFormatError("it has no header")
        header = json.loads(str(arrays.pop("header")[()]))
        kind, version = header["format"], header["version"]
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # whatever zipfile, NumPy and json find in a file that is none of theirs
        raise FileFormatError(f"{os.fspath(path)} is not a whole fastbp model file: {error}") from error
    if kind != FORMAT or version != VERSION:
        raise FileFormatError(
            f"{os.fspath(path)} must be a {FORMAT} of version {VERSION}, got {kind!r} of version {version!r}"
        )
    return header, arrays
