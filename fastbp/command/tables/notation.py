"""Columns of texts into numbers: how a file writes them, and what is certain of that.

A column is one of numbers if at least half of the cells that aren't missing are numbers, however they are written.

What an open cell such as 1,234 is taken for, by the first line that holds:

    another cell of the file has the same mark between thousands, or --thousands names it    thousands
    the same mark is the decimal mark of the column or the file, or --decimal names it       a fraction
    the other mark is the decimal mark of the column or the file                             thousands; a note says so
    its mark is the point, and commas separate the cells                                     a fraction
    none                                                                                     nothing: an error names it
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .numbers import FLAGS, OTHER, Cell, cell_of, is_missing, quoted, shown

_NAMES = {".": "point", ",": "comma"}
_MANY = 10  # times as many different numbers as other texts make a column one of numbers


@dataclass(frozen=True)
class Notation:
    """How the numbers of a file are written, as far as it is given or certain.

    decimal    the decimal mark; "" if nothing shows it, or if columns differ
    thousands  the marks that separate thousands
    given      what of "decimal" and "thousands" the user said: then nothing else is read
    commas     whether commas separate the cells
    """

    decimal: str = ""
    thousands: frozenset[str] = frozenset()
    given: frozenset[str] = frozenset()
    commas: bool = True


@dataclass
class Marks:
    """What the cells of a column show."""

    filled: int = 0
    numbers: int = 0
    plain: int = 0  # numbers that are not written as accountants write them
    decimals: Counter[str] = field(default_factory=Counter)  # how many cells
    thousands: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    signs: Counter[str] = field(default_factory=Counter)
    different: list[int] = field(default_factory=lambda: [0, 0])  # texts that are no numbers, and numbers
    alike: _Alike | None = None  # of those that end with a digit

    def add(self, cell: Cell | None, count: int) -> None:
        self.filled += count
        self.different[cell is not None] += 1
        if cell is None:
            return
        self.numbers += count
        self.plain += 0 if cell.accounting else count
        self.signs[cell.sign] += count
        if cell.decimal:
            self.decimals[cell.decimal] += count
        if cell.thousands:
            self.thousands.add(cell.thousands)
        if cell.open:
            self.open.add(cell.open)

    def add_alike(self, alike: _Alike) -> None:
        count = len(alike.values)
        self.filled, self.numbers, self.plain, self.different = count, count, count, [0, alike.different]
        self.signs[""] = self.decimals[alike.decimal] = count
        for kind, found in (("thousands", self.thousands), ("open decimal", self.open), ("open thousands", self.open)):
            if alike.examples[kind]:
                found.add(alike.decimal if kind == "open decimal" else alike.thousands)

    @property
    def of_numbers(self) -> bool:
        """Whether at least half of the filled cells are numbers, or nearly all different texts are.

        The second tells a word that stands for missing values, in most rows perhaps, from a category. One number at
        least is written plainly: "(1)", "(2)", … alone are no negative numbers.
        """
        others, numbers = self.different
        return self.plain > 0 and (2 * self.numbers >= self.filled or numbers > _MANY * others)


def survey(texts: Sequence[str]) -> Marks:
    """What the cells of a column show."""
    marks = Marks()
    marks.alike = _alike([text for text in texts if text[-1:].isdecimal()])
    if marks.alike is not None:
        marks.add_alike(marks.alike)
        texts = [text for text in texts if not text[-1:].isdecimal()]
    for text, count in Counter(texts).items():
        if text[-1:].isdecimal() or not is_missing(text, True):
            marks.add(cell_of(text), count)
    return marks


@dataclass
class _Alike:
    """Many numbers that are written alike, with one certain decimal mark: cell by cell they would take far longer.

    decimal    the decimal mark of all that have one
    thousands  the other mark, which separates thousands wherever it is
    different  how many are different
    values     what they are, read so
    examples   the first with each of the patterns that _alike names
    """

    decimal: str
    thousands: str
    different: int
    values: np.ndarray
    examples: dict[str, str]

    def value(self, text: str) -> float:
        return float(text.replace(self.thousands, "").replace(self.decimal, "."))


def _alike(texts: Sequence[str]) -> _Alike | None:
    """The texts, if they are such numbers."""
    joined = "".join(f"{text}\n" for text in texts)
    if not set(joined) <= set("+-0123456789.,\n"):
        return None

    def first(pattern: str) -> str:
        match = re.search(pattern.replace("D", decimal).replace("T", thousands), joined, re.MULTILINE)
        if match is None:
            return ""
        return joined[joined.rfind("\n", 0, match.start()) + 1 : joined.index("\n", match.start())]

    for mark, other in OTHER.items():
        decimal, thousands = re.escape(mark), re.escape(other)
        certain = first(r"D(?!\d{3}$)|^[+-]?0*D|\d{4}D|T\d{3}D")
        if not certain or first(r"T(?!\d{3}[TD\n])|^[+-]?0\d*T|(?<!\d)T|\d{4}T|D\d*T|D(?!\d)"):
            continue
        try:
            values = np.array(list(map(float, joined.replace(other, "").replace(mark, ".").split("\n")[:-1])))
        except ValueError:
            continue
        examples = {
            "decimal": certain,
            "thousands": first(r"T\d{3}(?!\n)"),
            "open decimal": first(r"^[+-]?[1-9]\d{0,2}D\d{3}$"),
            "open thousands": first(r"^[+-]?[1-9]\d{0,2}T\d{3}$"),
        }
        return _Alike(mark, other, len(set(texts)), values, examples)
    return None


def agree(columns: Iterable[Marks], given: Notation) -> Notation:
    """What is certain of a file, by its columns of numbers, where it was not given."""
    columns = [marks for marks in columns if marks.of_numbers]
    decimals = {mark for marks in columns for mark in marks.decimals}
    decimal, thousands = given.decimal, given.thousands
    if not decimal and len(decimals) == 1:
        decimal = decimals.pop()
    if not thousands:
        thousands = frozenset(mark for marks in columns for mark in marks.thousands) - {decimal}
    return Notation(decimal, thousands, given.given, given.commas)


@dataclass
class Parsed:
    """A column of texts, taken for numbers.

    values      (rows,) float64, NaN where one is missing or wrong
    wrong       the rows where a text is neither a number nor missing
    of_numbers  whether it is a column of numbers, wrong ones aside
    problem     what is wrong with such a text
    notes       what was assumed
    sign        what the numbers carry, such as %; "" for nothing
    """

    values: np.ndarray
    wrong: np.ndarray
    of_numbers: bool
    problem: Callable[[str], str]
    notes: list[str]
    sign: str = ""


def parse(texts: Sequence[str], notation: Notation, marks: Marks | None = None) -> Parsed:
    """The numbers of a column; flags are 1 and 0. marks: what survey gave for it, if it is known."""
    marks = survey(texts) if marks is None else marks
    reading = _Reading(marks, notation)
    values = np.full(len(texts), math.nan)
    ending = np.array([marks.alike is not None and text[-1:].isdecimal() for text in texts])
    if marks.alike is not None and reading.reads(marks.alike):
        values[ending] = marks.alike.values
    else:
        ending[:] = False
    others = np.flatnonzero(~ending).tolist()
    read = {text: reading.value(text) for text in dict.fromkeys(texts[row] for row in others)}
    values[others] = [read[texts[row]] for row in others]  # None becomes NaN
    wrong = np.array([row for row in others if read[texts[row]] is None], np.int64)
    return Parsed(values, wrong, marks.of_numbers, reading.problem, reading.notes(), reading.sign)


class _Reading:
    """How the cells of one column are read."""

    def __init__(self, marks: Marks, notation: Notation) -> None:
        self.notation = notation
        self.decimal = notation.decimal
        if "decimal" not in notation.given and marks.decimals:
            self.decimal = marks.decimals.most_common(1)[0][0]
        self.thousands = notation.thousands
        if "thousands" not in notation.given:
            self.thousands = (self.thousands | marks.thousands) - {self.decimal}
        self.sign = marks.signs.most_common(1)[0][0] if marks.signs else ""
        self.signed = self.comma = self.group = self.negative = self.zero = ""  # the first cells that deserve a note

    def reads(self, alike: _Alike) -> bool:
        """Whether the cells that are written alike are read so; one of each kind counts for notes."""
        examples = [text for text in alike.examples.values() if text]
        return [self.value(text) for text in examples] == [alike.value(text) for text in examples]

    def value(self, text: str) -> float | None:
        """The number; None for what is none."""
        if is_missing(text, True):
            return math.nan
        if text.lower() in FLAGS:
            return FLAGS[text.lower()]
        cell = cell_of(text)
        if cell is None or cell.sign != self.sign or (cell.decimal and self.decimal not in ("", cell.decimal)):
            return None
        if cell.thousands and "thousands" in self.notation.given and cell.thousands not in self.thousands:
            return None
        apart = self._separates_thousands(cell.open, text) if cell.open else False
        if apart is None:
            return None
        if cell.accounting and cell.digits == "0":
            self.zero = self.zero or text
        elif cell.accounting:
            self.negative = self.negative or text
        if self.sign and not cell.accounting:
            self.signed = self.signed or text
        if "," in (cell.decimal, cell.open) and not (apart or self.thousands or self.notation.given):
            self.comma = self.comma or text
        return cell.value(apart)

    def _separates_thousands(self, mark: str, text: str) -> bool | None:
        """What an open mark is: see the table at this file's head. None if that can't be told."""
        if mark in self.thousands:
            return True
        if mark == self.decimal:
            return False
        if "thousands" in self.notation.given:
            return False if not self.decimal else None
        if self.decimal:
            if "decimal" not in self.notation.given:
                self.group = self.group or text
            return True
        return False if mark == "." and self.notation.commas else None

    def problem(self, text: str) -> str:
        """What is wrong with a text, and what may help."""
        cell, this = cell_of(text), shown(text)
        if cell is None:
            return f"{this} is not a number"
        if cell.sign != self.sign:
            has = f"has a {cell.sign}, which" if cell.sign else f"lacks the {self.sign} that"
            return f"{this} {has} most cells of the column {'lack' if cell.sign else 'have'}"
        if cell.open and not self.decimal and "thousands" not in self.notation.given:
            name = _NAMES[cell.open]
            fraction, whole = f"{cell.value():.10g}", f"{cell.value(True):.0f}"
            either = f"--decimal {cell.open} or --thousands {cell.open} says which"
            return f"{this} may be {fraction} or {whole}, since its {name} may be a decimal {name} or not: {either}"
        if (cell.decimal or cell.open or self.decimal) != self.decimal:
            mark = _NAMES[self.decimal]
            if "decimal" in self.notation.given:
                return f"{this} is not a number with a decimal {mark}, as --decimal or --thousands asks for"
            return f"{this} is not a number with a decimal {mark}, as others of the column are"
        return f"{this} is not a number whose thousands are separated as --thousands says"

    def notes(self) -> list[str]:
        """What was assumed of the cells that value() was asked for."""
        notes = []
        if self.negative:
            notes.append(f"cells such as {quoted(self.negative)} are read as negative numbers")
        if self.zero:
            notes.append(f"cells such as {quoted(self.zero)} are read as 0, as accountants write it")
        if self.signed:
            notes.append(f"cells such as {quoted(self.signed)} are read as numbers, without the {self.sign}")
        if self.comma and self.notation.commas:
            notes.append(
                f"cells such as {quoted(self.comma)} are read with a decimal comma (--text takes them for names)"
            )
        if self.group:
            cell = cell_of(self.group)
            assert cell is not None
            why = f"as {cell.value(True):.0f}, since other numbers of the file have a decimal {_NAMES[self.decimal]}"
            notes.append(f"cells such as {quoted(self.group)} are read {why}")
        return notes
