"""CSV files into tables: their header, and which of their columns hold numbers."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .counting import is_counting
from .dialect import CSVFormat, Lines, open_lines
from .notation import Marks, Notation, agree, survey
from .numbers import OTHER, is_missing, is_number, is_open, number, quoted
from .table import Table, TableError, notes_before_errors

_MOST_BAD_LINES = 3  # in an error
_UNNAMED = re.compile(r"Unnamed: \d+(\.\d+)*|__index_level_\d+__")  # pandas' names for what has none
_SAMPLE = 200  # rows
_SHARED = 1 << 16  # different texts


def read_csv(path: str, form: CSVFormat, header: bool, known: Sequence[str]) -> Table:
    """The table of a CSV file.

    Arguments:
        form: how it is written.
        header: whether it may have a header line; without one the columns' names are their numbers, from 1.
        known: names that together make a first line the header, whatever they look like.

    Columns that hold a text are texts, which are read in a second pass; numbers take a tenth of their memory.
    """
    rows, first = _rows(open_lines(path, form, header), header, known)
    notes = list(rows.lines.notes)
    if rows.width > len(first):
        missing = "the first cell of each row is taken for the row's name, as R writes it"
        notes.append(f"the header of {path} has one name fewer than the rows have cells: {missing}")
        first = ["", *first]
    first_names = _names(first, rows.named)
    names = _told_apart(first_names)
    if names != first_names:
        notes.append(_note_on_twins(path, first_names, names))
    with notes_before_errors(notes, (first if rows.named else []), path):
        values, numbering, texts = _numbers(rows)
    columns: list[Any] = list(values.T)
    marks = {place: survey(cells) for place, cells in texts.items()}
    given = _given(form, rows.lines.separator)
    points = _point_marks(rows, marks, given)
    notation = agree([*marks.values(), *points.values()], given)
    notes += _note_on_marks(path, names, {**points, **marks}, given)
    texts |= rows.texts(_unclear(points, notation))
    for place, cells in texts.items():
        columns[place] = np.array(cells, object)
    last = next((place for place in range(len(names), 1, -1) if not is_empty(columns[place - 1])), 1)
    if rows.named:  # what is empty behind it is of separators at the ends of lines
        last = max([last, *(place for place, cell in enumerate(first, 1) if cell)])
        names, columns = names[:last], columns[:last]
        unnamed = [name for name, cell in zip(names, first, strict=False) if not cell]
    else:
        unnamed = names[last:]
    places = {name: place for place, name in enumerate(names)}

    def spelled(wanted: Sequence[str]) -> dict[str, np.ndarray]:
        found = rows.texts([places[name] for name in wanted])
        return {name: np.array(found[places[name]], object) for name in wanted}

    return Table(
        path,
        dict(zip(names, columns, strict=True)),
        numbering,
        rows.named,
        guessed=True,
        left_out=left_out(names, columns, unnamed),
        notation=notation,
        marks={names[place]: found for place, found in marks.items()},
        spelled=spelled,
        notes=[*notes, *rows.note_on_empty(numbering)],
    )


def is_empty(column: np.ndarray) -> bool:
    """Whether no cell of a column holds a value."""
    return column.dtype.kind == "f" and bool(np.isnan(column).all())


def left_out(names: Sequence[str], columns: Sequence[Any], unnamed: Sequence[str] = ()) -> list[str]:
    """The columns that are an index, or empty: those without a name, or with one that pandas gives for want of any."""
    found = []
    for place, (name, column) in enumerate(zip(names, columns, strict=True)):
        given = _UNNAMED.fullmatch(name) is not None
        if isinstance(column, str) or not (given or name in unnamed):
            continue
        if place == 0 or name.startswith("__") or is_empty(column) or (given and is_counting(column, gaps=True)):
            found.append(name)
    return found


# --- rows ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """The rows of a CSV file.

    lines  of the file
    named  whether the first record is a header
    width  the number of cells in each row
    empty  gets the numbers of the lines that hold separators alone, and are left out
    first  the first record
    """

    lines: Lines
    named: bool
    width: int
    empty: set[int]
    first: list[str]

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """The number of its first line and the cells of each row."""
        headers = int(self.named)
        repeated = _repeats(self.first) if self.named else None
        records = self.lines.records()
        for line, cells in records:
            if repeated and not headers and repeated(cells):
                cure = (
                    "two files pasted together? Delete the line (or, if the first line is no header, say --no-header)"
                )
                raise TableError(f"{self.lines.path}, line {line} repeats the header: {cure}")
            if not any(cells):
                self.empty.add(line)
            elif headers:
                headers = 0
            elif len(cells) == self.width:
                yield line, cells
            elif len(cells) > self.width and not any(cells[self.width :]):
                yield line, cells[: self.width]
            else:
                raise self._error([(line, len(cells)), *self._misfits(records)])

    def _misfits(self, records: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, int]]:
        """The lines with another number of cells, and that number, as far as the records can be read."""
        with contextlib.suppress(TableError):
            for line, cells in records:
                if any(cells) and (len(cells) < self.width or any(cells[self.width :])):
                    yield line, len(cells)

    def _error(self, misfits: Sequence[tuple[int, int]]) -> TableError:
        """What is wrong with lines that have another number of cells."""
        shown = misfits[:_MOST_BAD_LINES]
        (line, count), *others = shown
        found = [f"line {line}: expected {self.width} cells, found {count}"]
        found += [f"line {line}: found {count}" for line, count in others]
        if len(misfits) > len(shown):
            found.append(f"and so on, {len(misfits):,} such lines in all")
        cures = []
        if any(count > self.width for _, count in misfits):
            cures.append(f"put cells that hold {self.lines.separator!r} in quotation marks")
        if any(count < self.width for _, count in misfits):
            cures.append("complete what was cut off")
        cures.append("delete lines that are no rows")
        return TableError(f"{self.lines.path}, {'; '.join(found)}: {', or '.join(cures)}")

    def texts(self, places: Sequence[int]) -> dict[int, list[str]]:
        """The cells of those columns."""
        columns: dict[int, list[str]] = {place: [] for place in places}
        once: dict[str, str] = {}  # equal cells share one object
        for _, cells in self if columns else ():
            share = once.setdefault if len(once) < _SHARED else once.get
            for place, column in columns.items():
                column.append(share(cells[place], cells[place]))
        return columns

    def note_on_empty(self, numbering: np.ndarray) -> list[str]:
        """A line on rows that hold nothing, where rows are behind them."""
        within = sorted(line for line in self.empty if len(numbering) and numbering[0] < line < numbering[-1])
        if not within:
            return []
        lines = f"{len(within):,} line{'' if len(within) == 1 else 's'} with separators alone left out"
        return [f"{self.lines.path}: {lines}, such as line {within[0]}"]


def _rows(lines: Lines, header: bool, known: Sequence[str]) -> tuple[_Rows, list[str]]:
    """The rows, and the first record, which is the header or a row."""
    every = (cells for _, cells in lines.records() if any(cells))
    first = next(every, [])
    if not first:
        raise TableError(f"{lines.path} is empty")
    named = header and _is_header(first, known)
    sample = list(itertools.islice(every, _SAMPLE)) if named else []
    wider = {len(cells) for cells in sample} == {len(first) + 1} and any(cells[-1] for cells in sample)
    return _Rows(lines, named, len(first) + wider, set(), first), first


def _is_header(first: Sequence[str], known: Sequence[str]) -> bool:
    """Whether the first record holds a text or all known names, or is 0, 1, 2, …, pandas' names for want of any."""
    index = first[0] == ""  # of pandas
    counting = first[index:] == [str(place) for place in range(len(first) - index)]
    if counting and len(first) > 1:
        return True
    return any(map(_is_text, first)) or (len(known) > 0 and set(known) <= set(first))


def _repeats(header: Sequence[str]) -> Callable[[Sequence[str]], bool] | None:
    """Whether cells are the header's; None if its names are no texts.

    Where two files in different encodings were joined, names with other letters differ: two that don't are enough.
    """
    if not any(map(_is_text, header)):
        return None
    plain = [place for place, name in enumerate(header) if name.isascii() and name]
    if len(plain) < 2:
        return lambda cells: list(cells) == list(header)
    names = [header[place] for place in plain]
    first, last = plain[0], plain[-1]
    return lambda cells: (
        len(cells) > last and cells[first] == header[first] and [cells[place] for place in plain] == names
    )


def _is_text(cell: str) -> bool:
    return not (is_missing(cell, True) or is_number(cell))


def _names(first: Sequence[str], named: bool) -> list[str]:
    """The columns' names: those of the header, numbers from 1 where there are none."""
    names = [(named and cell) or str(place) for place, cell in enumerate(first, 1)]
    if named and first[0] == "" and names[0] in first:
        names[0] = "Unnamed: 0"
    return names


def _told_apart(given: Sequence[str]) -> list[str]:
    """The names, those that were there before with a number behind them."""
    names, taken = list(given), set(given)
    for place, name in enumerate(given):
        if name in given[:place]:
            numbered = (f"{name}.{number}" for number in itertools.count(2))
            names[place] = next(other for other in numbered if other not in taken)
            taken.add(names[place])
    return names


def _note_on_twins(path: str, given: Sequence[str], names: Sequence[str]) -> str:
    """A line on the names that the header has more than once."""
    others = [place for place, name in enumerate(names) if name != given[place]]
    twins = "; ".join(
        f"columns {given.index(given[place]) + 1} and {place + 1} are both named {quoted(given[place])}:"
        f" the latter is read as {quoted(names[place])}"
        for place in others
    )
    return f"{path}: {twins} (with --no-header the first line is data)"


# --- columns ------------------------------------------------------------------------------------------


def _numbers(rows: _Rows) -> tuple[np.ndarray, np.ndarray, dict[int, list[str]]]:
    """What Python takes for numbers (rows, columns), NaN elsewhere; the lines' numbers; the other columns."""
    values, lines = array("d"), array("q")
    texts: set[int] = set()
    underscores = "_".encode(rows.lines.encoding)[-1:] in rows.lines.data
    for line, cells in rows:
        try:
            if underscores:  # float takes "1_2" for a number
                raise ValueError
            values.extend([float(cell) for cell in cells])
        except ValueError:
            found = [math.nan if place in texts else number(cell) for place, cell in enumerate(cells)]
            values.extend(found)
            texts.update(
                place
                for place, value in enumerate(found)
                if math.isnan(value) and place not in texts and not is_missing(cells[place], True)
            )
        lines.append(line)
    return np.asarray(values).reshape(-1, rows.width), np.asarray(lines), rows.texts(sorted(texts))


def _point_marks(rows: _Rows, marks: dict[int, Marks], given: Notation) -> dict[int, Marks]:
    """Columns that Python took for numbers, and that hold points: whether one of them is a decimal point for certain.

    They need not be looked at where points are decimal points: no comma, and nothing that was given, is against it.
    """
    if given.commas and not given.given and not any("," in found.decimals or found.open for found in marks.values()):
        return {}
    found: dict[int, Marks] = {}
    unclear = [place for place in range(rows.width) if place not in marks]
    for _, cells in rows:
        if not unclear:
            break
        for place in [place for place in unclear if "." in cells[place]]:
            certain = not is_open(cells[place])
            if certain:
                unclear.remove(place)
            if certain or place not in found:
                found[place] = survey([cells[place]])
    return found


def _unclear(points: dict[int, Marks], notation: Notation) -> list[int]:
    """Those of them that may be no fractions, or whose points may need a note."""
    if notation.decimal == ".":
        return []
    given = "decimal" in notation.given
    return [place for place, found in points.items() if given or not found.decimals]


def _note_on_marks(path: str, names: Sequence[str], marks: dict[int, Marks], given: Notation) -> list[str]:
    """A line where columns differ in their decimal marks."""
    first: dict[str, str] = {}
    for place, found in sorted(marks.items()):
        for mark in found.decimals if found.of_numbers and len(found.decimals) == 1 else ():
            first.setdefault(mark, names[place])
    if len(first) < 2 or given.decimal:
        return []
    comma, point = quoted(first[","]), quoted(first["."])
    columns = f"the column {comma} is read with a decimal comma, {point} with a decimal point"
    return [f"{path}: {columns}, as their cells are written"]


def _given(form: CSVFormat, separator: str) -> Notation:
    decimal, given = form.decimal, {name for name in ("decimal", "thousands") if getattr(form, name) is not None}
    if decimal is None and form.thousands in OTHER:
        decimal = OTHER[form.thousands]
        given.add("decimal")
    thousands = frozenset() if form.thousands is None else frozenset(form.thousands)
    return Notation(decimal or "", thousands, frozenset(given), commas=separator == ",")
