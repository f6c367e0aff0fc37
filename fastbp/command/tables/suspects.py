"""Columns of texts that may be meant otherwise: numbers with units, names that differ only in case, stray cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from .numbers import has_unit, is_number, shown

_MOST_SHOWN = 3


def note_on_units(texts: Sequence[str]) -> str:
    """A line if most of the texts that aren't empty are numbers with a unit in letters; else nothing."""
    filled = [text for text in texts if text]
    first = [text for text in dict.fromkeys(filled) if has_unit(text)]
    if len(first) < 2 or 2 * sum(has_unit(text) for text in filled) <= len(filled):
        return ""
    several = " and ".join(shown(text) for text in first[:2])
    return f"cells such as {several} are names of categories: for numbers, write all in one unit and leave it out"


def note_on_spellings(texts: Sequence[str], kind: str) -> str:
    """A line if some texts differ only in case or spaces; else nothing. kind: what the texts name."""
    alike: dict[str, list[str]] = {}
    for text in Counter(texts):
        alike.setdefault("".join(text.casefold().split()), []).append(text)
    several = [names for names in alike.values() if len(names) > 1]
    if not several:
        return ""
    names = "; ".join(" and ".join(shown(name) for name in names) for names in several[:_MOST_SHOWN])
    return f"{names} differ only in case or spaces, and each is a {kind} of its own"


def stray_cells(texts: Sequence[str]) -> Iterator[int]:
    """The rows of the texts that keep a column from being numbers, each text once, or of all if none is a number."""
    rows = {text: row for row, text in reversed(list(enumerate(texts))) if text}
    numbers = {text for text in rows if is_number(text)}
    return iter(sorted(row for text, row in rows.items() if text not in numbers))
