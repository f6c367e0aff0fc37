"""The bytes of a CSV file into lines of cells: its encoding, its separator, and where its table begins."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from .numbers import is_missing, is_number
from .table import TableError

SEPARATORS = ";\t|,"
_MARKS = [  # of byte order; the longer ones first
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
_OTHER_FILES = {
    b"PK\x03\x04": "an Excel or zip file: save its sheet as CSV, or unpack it",
    b"\xd0\xcf\x11\xe0": "an old Excel file: save its sheet as CSV",
    b"PAR1": "a Parquet file: its name must end in .parquet",
    b"%PDF": "a PDF file",
    b"\x93NUMPY": "a NumPy file of one array: save arrays X and y with np.savez",
    b"[{": "a JSON file",
    b'{"': "a JSON file",
    b"<": "an HTML or XML file",
}
_GZIP = b"\x1f\x8b"
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x19\x1b-\x1f]")  # control characters that no text holds
_SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_SAMPLE = 200  # records
_MOST_TITLES = 50  # lines above a header
_COMMON = ("cp1252", "mac-roman", "utf-16", "utf-8")  # encodings, for advice
_FALLBACK = "cp1252"  # what Excel writes on Windows in Western Europe and America


@dataclass(frozen=True)
class CSVFormat:
    """How a CSV file is written; what is None is found out from the file.

    encoding    a name that Python knows
    decimal     the decimal mark, "." or ","
    thousands   the mark that separates thousands, one of THOUSANDS
    skip_lines  how many lines are above the header or, without a header, above the data
    """

    encoding: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    skip_lines: int | None = None

    def check(self) -> None:
        """Raise TableError if that can't be."""
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, ValueError):
                known = "such as utf-8, cp1252, cp1250, mac-roman or utf-16"
                text = f"--encoding must be one that Python knows, {known}, got {self.encoding!r}"
                raise TableError(text) from None
        if self.decimal is not None and self.decimal == self.thousands:
            raise TableError(f"--decimal and --thousands must differ, got {self.decimal!r} for both")

    def given(self) -> list[str]:
        """The options that say so."""
        given = [name for name, value in vars(self).items() if value is not None]
        return [f"--{name.replace('_', '-')}" for name in given]


@dataclass(frozen=True)
class Lines:
    """A CSV file, line by line.

    path       of the file, for errors
    data       its bytes
    encoding   of them
    skipped    how many lines at its beginning are no part of the table
    separator  of the cells; runs of it count as one if it is a space
    notes      what was assumed
    """

    path: str
    data: bytes
    encoding: str
    skipped: int = 0
    separator: str = ","
    notes: list[str] = field(default_factory=list)

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """The number of its first line and the cells of each record that isn't a blank line. Raises TableError."""
        lines = io.TextIOWrapper(io.BytesIO(self.data), encoding=self.encoding, newline="")
        for _ in range(self.skipped):
            lines.readline()
        # strict: a quotation mark that is never closed would else swallow the rest of the file in silence
        spaced = self.separator == " "
        reader = csv.reader(lines, delimiter=self.separator, strict=True, skipinitialspace=not spaced)
        before = 0
        try:
            for cells in reader:
                line, before = self.skipped + before + 1, reader.line_num
                cells = [cell.strip() for cell in cells]
                if spaced:
                    cells = [cell for cell in cells if cell]
                if len(cells) > 1 or (cells and cells[0]):
                    yield line, cells
        except csv.Error as error:
            raise TableError(f"{self.path}, line {self.skipped + before + 1}: {_explained(str(error))}") from None


def _explained(error: str) -> str:
    """The csv module's words, and what they mean."""
    if error.startswith("unexpected end"):
        return f"{error}: a quotation mark is opened here and never closed"
    if "expected after" in error:
        return f"{error}: a quotation mark inside of a quoted cell must be doubled"
    return error


def open_lines(path: str, form: CSVFormat, header: bool) -> Lines:
    """The lines of a CSV file; header: whether there may be a header line, and a title above it.

    Raises TableError if it is no text, or none in its encoding; OSError if it can't be read.
    """
    form.check()
    data = _bytes(path)
    return _begin(_decoded(path, data, form.encoding), form.skip_lines, header)


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        data = file.read()
    try:
        return gzip.decompress(data) if path.endswith(".gz") or data.startswith(_GZIP) else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TableError(f"{path} is not a whole gzip file: {error}") from None


# --- encodings ----------------------------------------------------------------------------------------


def _decoded(path: str, data: bytes, given: str | None) -> Lines:
    """The file with its encoding: the one given, the one of its byte-order mark, UTF-8, or what Windows writes."""
    for magic, kind in _OTHER_FILES.items():
        if data.startswith(magic):
            raise TableError(f"{path} is {kind}: DATA must be a CSV, NPZ or Parquet file")
    marked = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    if given is not None:
        same = marked is not None and codecs.lookup(given).name.startswith(marked.removesuffix("-sig"))
        return _checked(Lines(path, data, marked if same and marked else given))
    if marked is not None:
        return _checked(Lines(path, data, marked))
    if (wide := _wide(data)) is not None:
        return _checked(Lines(path, data, wide, notes=[f"{path} is read as {wide} (--encoding names another)"]))
    if b"\0" in data:
        where = f"line {_line(data[: data.index(0)], 'latin-1')} holds a zero byte"
        raise TableError(f"{path} is not text: {where}: DATA must be a CSV, NPZ or Parquet file")
    if _is_windows(data):
        windows = f"{_FALLBACK}, as Windows writes in Western Europe and America"
        note = f"{path} is not in UTF-8 and is read as {windows} (--encoding names another)"
        return _checked(Lines(path, data, _FALLBACK, notes=[note]))
    return _checked(Lines(path, data, "utf-8"))


def _wide(data: bytes) -> str | None:
    """UTF-16 without a byte-order mark: every other byte of most Western text is zero."""
    start = data[: 1 << 12]
    first, second = start[::2].count(0), start[1::2].count(0)
    if min(first, second) == 0 and 2 * max(first, second) > len(start) // 2:
        return "utf-16-le" if second else "utf-16-be"
    return None


def _is_windows(data: bytes) -> bool:
    """Whether the bytes are no UTF-8, not even in part, and all of them are text in the fallback."""
    try:
        data.decode()
        return False
    except UnicodeDecodeError:
        pass
    if _NO_TEXT.search(data) or any(byte in data for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D)):
        return False
    return not set(data.decode(errors="replace")) - {"\ufffd", *map(chr, range(128))}


def _checked(lines: Lines) -> Lines:
    """The same. Raises TableError at the first byte that is no text."""
    try:
        lines.data.decode(lines.encoding)
    except UnicodeError as error:
        start, end = (error.start, error.end) if isinstance(error, UnicodeDecodeError) else (0, 1)
        where = f"{lines.path}, line {_line(lines.data[:start], lines.encoding)}"
        given = f"the bytes {lines.data[start:end].hex(' ')} are not text in {lines.encoding.removesuffix('-sig')}"
        used = codecs.lookup(lines.encoding).name.removesuffix("-sig")
        others = [name for name in _COMMON if codecs.lookup(name).name != used][:3]
        cure = f"--encoding names another, such as {', '.join(others[:-1])} or {others[-1]}"
        if used == "utf-8" and (line := _line_of_utf8(lines.data)):
            joined = f"while others, such as those of line {line}, are: two files seem to be joined"
            raise TableError(
                f"{where}: {given}, {joined}: split the file there, or name one --encoding for all of it"
            ) from None
        raise TableError(f"{where}: {given}: {cure}") from None
    return lines


def _line_of_utf8(data: bytes) -> int:
    """The number of the first line with UTF-8 beyond ASCII, in bytes that hold something else as well; 0 if none."""
    text = data.decode(errors="replace")
    match = re.search(r"[^\x00-\x7f\ufffd\ufeff]", text)
    return 1 + len(re.findall(r"\r\n?|\n", text[: match.start()])) if match else 0


def _line(before: bytes, encoding: str) -> int:
    """The number of the line that is behind those bytes."""
    return 1 + before.decode(encoding, "ignore").replace("\r\n", "\n").replace("\r", "\n").count("\n")


# --- where the table begins, and what separates its cells ---------------------------------------------


def _begin(lines: Lines, skip: int | None, header: bool) -> Lines:
    """The same with its separator, behind a line such as sep=; and the title."""
    first = io.TextIOWrapper(io.BytesIO(lines.data), encoding=lines.encoding, newline="").readline()
    match = _SEP_LINE.fullmatch(first)
    lines = replace(lines, skipped=max(skip or 0, match is not None))
    lines = replace(lines, separator=match[1] if match else _separator(lines))
    if not header or skip is not None:
        return lines
    records, _ = _sample(lines)
    if (titles := _titles([cells for _, cells in records])) == 0:
        return lines
    skipped = records[titles][0] - 1
    above = f"the first {skipped} lines of {lines.path} are" if skipped > 1 else f"the first line of {lines.path} is"
    note = f"{above} above the header and left out (--skip-lines 0 reads all lines)"
    return replace(lines, skipped=skipped, notes=[*lines.notes, note])


def _sample(lines: Lines) -> tuple[list[tuple[int, list[str]]], bool]:
    """The first records, and whether one behind them is wrong."""
    records: list[tuple[int, list[str]]] = []
    try:
        for record in itertools.islice(lines.records(), _SAMPLE):
            records.append(record)
    except TableError:
        return records, True
    return records, False


def _separator(lines: Lines) -> str:
    """What parts most records into equally many cells, and more of these into numbers; spaces if nothing else does.

    Commas come last, since texts and numbers hold them, too.
    """
    scores = {mark: _score(replace(lines, separator=mark)) for mark in SEPARATORS}
    best = max(SEPARATORS, key=lambda mark: scores[mark])  # the first of equal ones
    if scores[best].alike > 0:
        return best
    spaces = _score(replace(lines, separator=" "))
    return " " if spaces.alike > 0.9 and spaces.numbers > 0 else ","


class _Score(NamedTuple):
    """How well a separator fits a file; what counts for more comes first.

    alike    the share of records with the commonest number of cells, 0 if it is 1, in tenths
    first    whether the first record is one of them; it isn't counted where it has one cell fewer, as R's headers have
    numbers  how many cells of the others, on average, are numbers, or words for missing ones
    """

    alike: float = 0.0
    first: bool = False
    numbers: float = 0.0


def _score(lines: Lines) -> _Score:
    records, wrong = _sample(lines)
    rows = [cells for _, cells in records]
    width, _ = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
    if len(rows) == 2:
        width = max(map(len, rows))
    if width < 2:
        return _Score()
    first = len(rows[0]) == width
    if len(rows[0]) == width - 1:
        rows = rows[1:]
    alike = [cells for cells in rows if len(cells) == width]
    body = alike[1:] or alike
    cells = [cell for row in body for cell in row if cell]
    numbers = sum(is_number(cell) or is_missing(cell, True) for cell in cells) / len(body)
    share = max(0.1, round(len(alike) / (len(rows) + wrong), 1))
    return _Score(share, first, numbers)


def _titles(rows: Sequence[list[str]]) -> int:
    """How many records are above the header: they have fewer cells than it, and each of its cells is a name.

    Without numbers below, names and texts look alike: then each record above must have one cell alone.
    """
    if not rows:
        return 0
    usual, _ = Counter(map(len, rows)).most_common(1)[0]
    ends = [max((place for place, cell in enumerate(row, 1) if cell), default=0) for row in rows]
    width = max(end for end, row in zip(ends, rows, strict=True) if len(row) == usual)
    titles = next(place for place, end in enumerate(ends) if end >= width)
    if not 0 < titles < min(_MOST_TITLES, len(rows) - 1):
        return 0
    head, below = rows[titles][:width], rows[titles + 1 :]
    names = [cell for place, cell in enumerate(head) if cell or place]  # an index may have none
    if any(is_number(name) or is_missing(name, True) for name in names) or len(names) < len(head) - 1:
        return 0
    alone = all(sum(map(bool, row)) <= 1 for row in rows[:titles])
    columns = [[row[place] for row in below if place < len(row) and row[place]] for place in range(width)]
    return titles if alone or any(column and all(map(is_number, column)) for column in columns) else 0
