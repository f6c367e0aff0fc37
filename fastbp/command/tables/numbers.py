"""Numbers and missing values in texts, however people's files write them.

What a cell shows by itself:

    1234   -1.5   .5   1e-3      a number in any file; the mark before 1, 2, 4 or more digits is the decimal mark
    1,5   0,125   1234,5         a decimal comma: no group of thousands looks so
    4,293.77   8.000,00          two marks: the last one is the decimal mark, the other one separates thousands
    1,234,567   12,34,567        a mark that comes twice separates thousands, so that the other one is the decimal mark
    1 234,5   1'234.5   1 234    spaces and apostrophes separate thousands
    1,234   8.000                one mark before three digits is either: the cell is open
    20%   $5   -5 €              a number, if all cells of the column carry the same sign
    (61.22)   ($5)   96,70-      accountants' negative numbers
    $-   $ -   - €               accountants' zero

`notation` says what an open cell is taken for.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from decimal import Decimal
from typing import NamedTuple

DECIMALS = (".", ",")
THOUSANDS = (",", ".", "'", " ")
OTHER = {".": ",", ",": "."}
_SIGNS = "%‰$€£¥₹"
_CURRENCIES = "$€£¥₹"
FLAGS = {"true": 1, "false": 0}

_MISSING = {"?", "na", "n/a", "n.a.", "n. a.", "<na>", "nan", "nat", "null", "#n/a", "#n/a n/a", "#nv", "#n/d"}
_NEVER_TEXT = {"", r"\n", "(null)", "<null>", "[null]"}  # as databases write NULL, and no text
_MISSING_NUMBERS = {"none", "nil", "-", "--", "---", "–", "—", ".", "..", "...", "…"}  # texts may be named so
_SPREADSHEET_ERROR = re.compile(r"#¡?[^\W\d][^\s!?]*[!?]|err:\d+")  # "#DIV/0!", "#NAME?", in any language

_ALIKE = str.maketrans({"\u00a0": " ", "\u2009": " ", "\u202f": " ", "’": "'", "‘": "'", "ʼ": "'", "−": "-"})
_PLAIN = re.compile(r"[+-]?(?:\d+(?:([.,])\d+)?|([.,])\d+)(?:[eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}([.,' ])\d{3}(?:\1\d{3})*(?:([.,])\d*)?")
_INDIAN = re.compile(r"[+-]?[1-9]\d?(,)(?:\d\d,)+\d{3}(?:(\.)\d*)?")
_SHOWN = 40  # characters of a cell


def quoted(text: str) -> str:
    """A text in quotation marks as the file has it; what can't be seen, such as a line break, as Python writes it."""
    seen = [c if c.isprintable() or unicodedata.category(c) == "Zs" else repr(c)[1:-1] for c in text]
    mark = '"' if "'" in text and '"' not in text else "'"
    return f"{mark}{''.join(seen)}{mark}"


def shown(cell: str) -> str:
    """A cell for an error, cut off where it is long."""
    return quoted(cell if len(cell) <= _SHOWN else cell[:_SHOWN] + "…")


@functools.lru_cache(1 << 12)
def is_missing(text: str, number: bool) -> bool:
    """Whether a text says that a value is missing; number: in a column of numbers."""
    word = text.lower()
    return word in _MISSING or (number and word in _MISSING_NUMBERS) or is_never_text(word)


def is_never_text(text: str) -> bool:
    """Whether a cell is empty, a database's NULL or a spreadsheet's error, which no category is named."""
    word = text.lower()
    return word in _NEVER_TEXT or _SPREADSHEET_ERROR.fullmatch(word) is not None


def number(text: str) -> float:
    """The number that a text is for Python; NaN if it is none. Python itself would take "1_2" for 12."""
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan


class Cell(NamedTuple):
    """A number as it is written: its digits and marks, its sign such as %, and what is certain of its marks."""

    digits: str
    sign: str = ""
    decimal: str = ""
    thousands: str = ""
    open: str = ""  # the mark that may be either
    accounting: bool = False  # whether it is written as accountants write negative numbers and zeros

    def value(self, thousands: bool = False) -> float:
        """The number; thousands: what an open mark is taken for."""
        apart, decimal = (self.thousands, self.decimal) if not self.open else ("", self.open)
        if self.open and thousands:
            apart, decimal = self.open, ""
        text = self.digits.replace(apart, "") if apart else self.digits
        return float(text.replace(",", ".") if decimal == "," else text)


def cell_of(text: str) -> Cell | None:
    """How a text writes a number; None if it is none."""
    if not text.isascii():
        text = text.translate(_ALIKE)
    text, sign = _unsigned(text)
    if text == "-" and sign and sign in _CURRENCIES:
        return Cell("0", sign, accounting=True)
    if (positive := _accounted(text)) is not None:
        cell = cell_of(positive)
        if cell is None or cell.accounting or (cell.sign and sign) or not cell.digits[:1].isdecimal():
            return None
        return cell._replace(digits="-" + cell.digits, sign=cell.sign or sign, accounting=True)
    if match := _PLAIN.fullmatch(text):
        mark = match[1] or match[2] or ""
        if not (match[1] and _GROUPED.fullmatch(text)):
            return Cell(text, sign, decimal=mark)
        return Cell(text, sign, open=mark)
    if match := _GROUPED.fullmatch(text) or _INDIAN.fullmatch(text):
        apart, decimal = match[1], match[2] or OTHER.get(match[1], "")
        return None if apart == decimal else Cell(text, sign, decimal, apart)
    return None if math.isnan(number(text)) else Cell(text, sign)  # "inf", "5."


def _accounted(text: str) -> str | None:
    """What is inside "(61.22)" and before the minus of "96,70-"; None if the text is not written so."""
    if text[:1] == "(" and text[-1:] == ")":
        return text[1:-1].strip()
    return text[:-1].rstrip() if text[-1:] == "-" and text[-2:-1].strip() else None


def _unsigned(text: str) -> tuple[str, str]:
    """The text without a sign such as % at its end or $ at its beginning, and that sign."""
    if text[-1:] in _SIGNS:
        return text[:-1].rstrip(), text[-1:]
    minus = text[:1] if text[:1] in "+-" else ""
    rest = text[len(minus) :]
    if rest[:1] in _SIGNS:
        return minus + rest[1:].lstrip(), rest[:1]
    return text, ""


def is_number(text: str) -> bool:
    """Whether a text is a number in some way of writing them."""
    return cell_of(text) is not None


def plain_mark(mark: str) -> str:
    """A mark between thousands as THOUSANDS has it: a typographic apostrophe or space is taken for the plain one."""
    return mark.translate(_ALIKE)


_UNIT = re.compile(r"[+-]?\d[\d.,]*\s*[^\W\d_][^\d]*|[^\W\d_]{1,4}\.?\s+[+-]?\d[\d.,]*")  # "1.2 kg", "EUR 5"


def has_unit(text: str) -> bool:
    """Whether a text is a number with a unit in letters, behind it or before it."""
    return _UNIT.fullmatch(text) is not None


def is_open(text: str) -> bool:
    """Whether a number with one mark before three digits may be a fraction or thousands."""
    return _GROUPED.fullmatch(text) is not None


def exact(text: str) -> int | float | None:
    """The number that a text certainly is, integers of any size exactly, flags as 1 and 0; None if it is none."""
    if text.lower() in FLAGS:
        return FLAGS[text.lower()]
    cell = cell_of(text)
    if cell is None or cell.sign or cell.accounting or cell.open == ",":
        return None
    value = cell.value()
    if not value.is_integer():
        return value
    digits = cell.digits.replace(cell.thousands, "") if cell.thousands else cell.digits
    return int(value) if abs(value) < 2**53 else int(Decimal(digits.replace(",", "."))) if abs(value) < 1e30 else value
