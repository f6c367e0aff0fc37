"""A table: columns of numbers or texts, and errors that say where in it something is wrong."""

from __future__ import annotations

import contextlib
import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .notation import Marks, Notation, Parsed, parse, survey
from .numbers import exact, is_missing, is_never_text, number
from .numbers import quoted as quoted
from .numbers import shown as shown

CLASSIFICATION, REGRESSION = "classification", "regression"
_LISTED = 12


class TableError(ValueError):
    """The data can't be used; the message is one line that says where and why.

    notes: what was assumed of the file before that was found, one line each.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.notes: list[str] = []


@contextlib.contextmanager
def notes_before_errors(notes: Sequence[str], names: Sequence[str], source: str) -> Iterator[None]:
    """A TableError within gets the notes, and one on names from a first line that may be data."""
    try:
        yield
    except TableError as error:
        error.notes = error.notes or [*notes, *note_on_names(source, numbers_among(names))]
        raise


def numbers_among(names: Sequence[str]) -> list[str]:
    """The names that are numbers."""
    return [name for name in names if not math.isnan(number(name))]


def note_on_names(source: str, numbers: Sequence[str]) -> list[str]:
    """A line where the header line may have been data, since some of its names are numbers."""
    if not numbers:
        return []
    taken = f"the first line of {source} is taken for names, such as {quoted(numbers[0])}"
    return [f"{taken}: --no-header takes it for data"]


def listed(names: Sequence[str]) -> str:
    """Names for an error, cut off where there are many."""
    more = f", … ({len(names)} in all)" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def label(value: float) -> str:
    """A number as a name: "3" for 3.0, "" for NaN."""
    if math.isfinite(value) and value == int(value):
        return str(int(value))
    return "" if math.isnan(value) else repr(float(value))


def labels(values: np.ndarray) -> np.ndarray:
    """Numbers as names, "" for NaN."""
    distinct, inverse = np.unique(values, return_inverse=True)
    return np.array([label(value) for value in distinct.tolist()], object)[inverse]


def check_names(source: str, names: Sequence[str], advice: str = "") -> None:
    """Raise TableError if two columns have one name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise TableError(f"{source}: two columns have the name {quoted(name)}: rename one{advice}")
        seen.add(name)


def places_in(names: Sequence[str], texts: np.ndarray) -> np.ndarray:
    """Where each text stands in `names`, -1 if nowhere, however numbers and flags are written."""
    places: dict[Any, int] = {_plain(name): place for place, name in enumerate(names)}
    places |= {name: place for place, name in enumerate(names)}
    distinct, inverse = np.unique(texts, return_inverse=True)
    found = [places.get(text, places.get(_plain(text), -1)) for text in distinct.tolist()]
    return np.array(found, np.int64)[inverse]


def _plain(text: str) -> Any:
    """The same for all texts that are one number, as "1", "1.0" and "True" are."""
    value = exact(text)
    return text if value is None else value


def in_order(names: Sequence[str]) -> list[str]:
    """Names in their order: by value if all are numbers, else by letters."""
    values = {name: exact(name) for name in names}
    if None in values.values():
        return sorted(names)
    return sorted(sorted(names), key=lambda name: values[name] or 0)


def one_spelling(texts: np.ndarray) -> np.ndarray:
    """Numbers, each as the first one that is equal is written: "007" for "007", "7" and "7.0".

    Texts stay as they are if one of them is neither a number nor missing.
    """
    first: dict[int | float, str] = {}
    spelling = {"": ""}
    for text in dict.fromkeys(texts.tolist()):
        value = exact(text)
        if value is not None:
            spelling[text] = first.setdefault(value, text)
        elif text:
            return texts
    return np.array([spelling[text] for text in texts.tolist()], object)


@dataclass(frozen=True)
class Table:
    """Columns of one length, one of which may be the target.

    source     what it was read from, for errors
    columns    by name: numbers (rows,) float64, NaN where one is missing, or texts (rows,) of dtype object, "" where
               one is missing; an array of an NPZ file is one column (rows, ...) of any real dtype; a column that is
               neither numbers nor text is the name of its type
    numbering  (rows,), the number of each row for errors
    named      whether the names came with the data; else columns go by position
    guessed    whether it is a CSV file, in which columns of numbers are guessed, and rows are lines
    target     the name of the column that is to be predicted; None if there is none
    position   of the target among a file's columns, from 1; None if it is no table
    dropped    positions of the columns that were left out
    others     names of what a file has besides the columns: pandas' index, other arrays
    carried    gives columns and others of the whole file as texts, by name; None if `spelled` does
    kept       texts of columns and others by name, which go along with predictions
    test       a test set, where the data comes with one
    left_out   columns that are left out unless they are asked for, such as an index
    notation   how texts write numbers
    marks      what is known of the texts in columns, if anything, for `parse`
    spelled    gives columns of numbers as the file writes them, texts (rows,) by name; None if no file does
    notes      what was assumed of the file, and isn't certain: one line each
    header     whether the file may have a header line
    units      what numbers carry in a CSV file, such as "%", by the column's name
    """

    source: str
    columns: dict[str, Any]
    numbering: np.ndarray
    named: bool = True
    guessed: bool = False
    target: str | None = None
    position: int | None = None
    dropped: list[int] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    carried: Callable[[Sequence[str]], dict[str, np.ndarray]] | None = field(default=None, repr=False)
    kept: dict[str, list[str]] = field(default_factory=dict)
    test: Table | None = None
    left_out: list[str] = field(default_factory=list)
    notation: Notation = field(default_factory=Notation)
    marks: dict[str, Marks] = field(default_factory=dict, repr=False)
    spelled: Callable[[Sequence[str]], dict[str, np.ndarray]] | None = field(default=None, repr=False)
    notes: list[str] = field(default_factory=list)
    header: bool = True
    units: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbering)

    @property
    def features(self) -> list[str]:
        return [name for name in self.columns if name != self.target]

    @property
    def y(self) -> np.ndarray | None:
        return None if self.target is None else self.columns[self.target]

    @property
    def unit(self) -> str:
        """What `numbering` counts, for errors."""
        return "line" if self.guessed else "row"

    def where(self, name: str) -> str:
        """A column for errors: "column 'price'", or "array 'y'"."""
        return f"{'column' if self.named or self.guessed else 'array'} {quoted(name)}"

    def numbers_as_names(self) -> list[str]:
        """Names from a CSV file's first line that are numbers: it may be no header."""
        names = [name for name in self.columns if name not in self.left_out]
        return numbers_among(names) if self.guessed and self.named else []

    def find(self, column: str, option: str) -> str:
        """The name of the column with that name, or that number from 1."""
        names = list(self.columns)
        if column in names:
            return column
        if column.isdecimal() and 1 <= int(column) <= len(names):
            return names[int(column) - 1]
        alike = [name for name in names if name.split() == column.split()]  # line breaks are hard to type
        if len(alike) == 1:
            return alike[0]
        raise TableError(f"{self.source} has no column {quoted(column)} for {option}; it has {listed(names)}")

    def select(self, features: Sequence[str], target: str | None) -> Table:
        """The table of those columns. Raises TableError if one is neither numbers nor text."""
        columns = {name: self.columns[name] for name in (*features, target) if name is not None}
        for name, column in columns.items():
            if isinstance(column, str):
                advice = f"make it either, or leave it out with --drop {shlex.quote(name)}"
                raise TableError(
                    f"{self.source}: the column {quoted(name)} of {column} is neither numbers nor text: {advice}"
                )
        return replace(self, columns=columns, target=target)

    def take(self, rows: np.ndarray) -> Table:
        """The table of those rows."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        spelled = self.spelled
        there = spelled and (lambda names: {name: texts[rows] for name, texts in spelled(names).items()})
        return replace(self, columns=columns, numbering=self.numbering[rows], test=None, spelled=there, marks={})

    def error(self, name: str, row: Any, problem: str, element: Any = None) -> TableError:
        """What is wrong with a cell; element: the place in the row's array, where the column is one of arrays."""
        inside = "" if element is None else f", feature {element + 1}"
        return TableError(f"{self.source}, {self.unit} {self.numbering[row]}, {self.where(name)}{inside}: {problem}")

    def numbers(self, name: str, cure: str = "") -> np.ndarray:
        """The column as numbers, flags being 0 and 1.

        Raises TableError, with the cure, at the first text that is none.
        """
        column = self.columns[name]
        if column.dtype != object:
            return column
        parsed = self.parse(name)
        if len(parsed.wrong):
            raise self.error(name, parsed.wrong[0], parsed.problem(column[parsed.wrong[0]]) + cure)
        return self.accept(name, parsed)

    def parse(self, name: str) -> Parsed:
        """A column of texts, taken for numbers."""
        return parse(self.columns[name].tolist(), self.notation, self.marks.get(name))

    def accept(self, name: str, parsed: Parsed) -> np.ndarray:
        """The numbers of a column of texts; what was assumed becomes a note."""
        notes = [f"{self.source}, column {quoted(name)}: {note}" for note in parsed.notes]
        self.notes.extend(note for note in notes if note not in self.notes)
        if parsed.sign:
            self.units[name] = parsed.sign
        return parsed.values

    def texts(self, name: str) -> np.ndarray:
        """The column as texts, numbers as the file writes them. Raises TableError for a column of arrays."""
        column = self.columns[name]
        if column.dtype == object:
            return column
        if column.ndim > 1:
            raise TableError(f"{self.source}: {quoted(name)} holds arrays of numbers, which can't be text")
        return labels(column) if self.spelled is None else self.spelled([name])[name]

    def spell(self, names: Sequence[str]) -> None:
        """Make those columns texts that are not yet, as `texts` gives them, reading the file once for all."""
        if self.spelled is not None:
            self.columns.update(self.spelled([name for name in names if self.columns[name].dtype != object]))

    def cells(self, name: str) -> np.ndarray | None:
        """The column (rows,) as the file writes it, words for missing values included; None if nothing gives it."""
        if not self.named and not self.guessed:
            return None
        if self.carried is not None:
            return self.carried([name])[name][self.numbering - 1]
        return None if self.spelled is None else self.spelled([name])[name]

    def names(self, name: str, known: Sequence[str] = (), *, words: bool = False) -> np.ndarray:
        """The column as names, "" where one is missing, though some word says so that is none of the known names.

        words: whether words such as NA are names, and only what no name can be is missing.
        """
        texts = self.texts(name).tolist()
        if words:
            return np.array(["" if text not in known and is_never_text(text) else text for text in texts], object)
        numbers = self.columns[name].dtype != object or (self.marks.get(name) or survey(texts)).of_numbers
        missing = {text for text in set(texts) if text not in known and is_missing(text, numbers)}
        return np.array(["" if text in missing else text for text in texts], object)

    def check(self, name: str, advice: str | None, on_words: str = "") -> None:
        """Raise TableError if a value of the column is infinite or, unless advice is None, missing.

        advice: what the error says on that; on_words: what it adds where a word such as NA says that it is missing.
        """
        column = self.columns[name].reshape(len(self), -1)
        if column.dtype == object:
            bad = (column == "") & (advice is not None)
        elif column.dtype.kind == "f":
            bad = np.isinf(column) if advice is None else ~np.isfinite(column)
        else:
            return
        if bad.any():
            row, element = np.unravel_index(np.argmax(bad), bad.shape)
            value = column[row, element]
            missing = value == "" or value != value
            problem = f"the value is missing{advice}" if missing else f"{value} is not a finite number"
            if missing and self.columns[name].ndim == 1:
                problem += self.word_at(name, row, on_words)
            raise self.error(name, row, problem, element if self.columns[name].ndim > 1 else None)

    def word_at(self, name: str, row: Any, on_words: str = "") -> str:
        """What an error adds on a missing value whose cell isn't empty: what the cell holds, and what may be done."""
        cells = self.cells(name)
        if cells is None or not cells[row]:
            return ""
        advice = "" if is_never_text(cells[row]) else on_words
        return f": the cell holds {shown(cells[row])}{advice}"
