"""What a file is, in plain words, by its first and last bytes: for errors on files that are not what they should be."""

from __future__ import annotations

import codecs
import zipfile
from typing import IO

SEAL = b"fastbp sha256 "  # begins the last bytes of a model file, before the digits of its SHA-256
_SEAL_SIZE = len(SEAL) + 64
_SAMPLE = 1 << 12  # bytes

_BEGINNINGS = {
    b"\x89PNG": "it is a picture (PNG)",
    b"\xff\xd8\xff": "it is a picture (JPEG)",
    b"GIF8": "it is a picture (GIF)",
    b"%PDF": "it is a PDF file",
    b"PAR1": "it is a Parquet file, a table of data",
    b"\x93NUMPY": "it is a NumPy file of one array",
    b"\x89HDF": "it is an HDF5 file, such as Keras writes",
    b"\xd0\xcf\x11\xe0": "it is an old Excel file",
    b"\x1f\x8b": "it is a gzip file",
    b"\x80": "it is a file of pickled Python objects",
}
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def is_model(path: str) -> bool:
    """Whether a file ends as a model file does; False if it can't be read."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _SEAL_SIZE))
            return file.read().startswith(SEAL)
    except OSError:
        return False


def kind_of(file: IO[bytes]) -> str:
    """What an open file is, in words such as "it is a text file, such as CSV"."""
    file.seek(0)
    start = file.read(_SAMPLE)
    if not start:
        return "it is empty"
    if start.startswith(b"PK"):
        return _kind_of_zip(file)
    for beginning, kind in _BEGINNINGS.items():
        if start.startswith(beginning):
            return kind
    if start.startswith(_MARKS) or not any(byte < 9 or 13 < byte < 27 for byte in start):
        return "it is a text file, such as CSV"
    return "it is of no kind that is known here"


def _kind_of_zip(file: IO[bytes]) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return "it is a zip or NPZ file that was cut off"
    if "header.npy" in names:
        return "it is a fastbp model that another program wrote anew, or that was damaged"
    if names and all(name.endswith(".npy") for name in names):
        arrays = ", ".join(name.removesuffix(".npy") for name in names[:3])
        return f"it is an NPZ file of arrays ({arrays}{', …' if len(names) > 3 else ''})"
    if any(name.startswith("xl/") for name in names):
        return "it is an Excel file"
    if any(name.endswith("data.pkl") for name in names):
        return "it is a PyTorch file"
    return "it is a zip file"
