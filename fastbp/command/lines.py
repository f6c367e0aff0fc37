"""Lines of results, on standard output, and of warnings, on standard error."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from .tables import Table, TableError
from .tables.table import note_on_names


def say(label: str, text: str) -> None:
    """Print a line of results."""
    print(f"{label:<15} {text}", flush=True)


def warn(text: str) -> None:
    """Print a line that is no result."""
    print(f"fastbp: {text}", file=sys.stderr, flush=True)


def warn_of_header(table: Table) -> None:
    """Say so where the header line may have been data."""
    for note in note_on_names(table.source, table.numbers_as_names()):
        warn(note)


@contextlib.contextmanager
def notes_told() -> Iterator[None]:
    """Say what was assumed of a file before what was found wrong with it."""
    try:
        yield
    except TableError as error:
        for note in error.notes:
            warn(note)
        raise


class Leavable(io.TextIOBase):
    """A stream to write to whose reader may leave, as `head` does: what comes then goes nowhere, and work goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def write(self, text: str) -> int:
        """Write, if the reader is still there; returns how many characters there were."""
        with self._leaving():
            if self._stream is not None:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if the reader is still there."""
        with self._leaving():
            if self._stream is not None:
                self._stream.flush()

    @contextlib.contextmanager
    def _leaving(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            assert self._stream is not None
            forget_reader(self._stream)
            self._stream = None


def forget_reader(stream: TextIO) -> None:
    """Let what is left to write to a stream go nowhere, or Python complains when it flushes at its end."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def warn_of_notes(table: Table) -> None:
    """Say what was assumed of the file."""
    for note in table.notes:
        warn(note)


def counted(number: int, thing: str) -> str:
    """A number of things: "1 row", "2,000 rows"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
