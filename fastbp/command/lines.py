"""Lines of results, on standard output, and of warnings, on standard error."""

from __future__ import annotations

import sys

from .tables import Table


def say(label: str, text: str) -> None:
    """Print a line of results."""
    print(f"{label:<15} {text}", flush=True)


def warn(text: str) -> None:
    """Print a line that is no result."""
    print(f"fastbp: {text}", file=sys.stderr, flush=True)


def warn_of_header(table: Table) -> None:
    """Say so where the header line may have been data."""
    numbers = table.numbers_as_names()
    if numbers:
        taken = f"the first line of {table.source} is taken for names, such as {numbers[0]!r}"
        warn(f"{taken}: --no-header takes it for data")


def warn_of_notes(table: Table) -> None:
    """Say what was assumed of the file."""
    for note in table.notes:
        warn(note)


def counted(number: int, thing: str) -> str:
    """A number of things: "1 row", "2,000 rows"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
