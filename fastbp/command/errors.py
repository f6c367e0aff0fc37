"""What is said of a command that can't be done as it was given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class CommandError(ValueError):
    """The command can't be done as it was given; the message is one line."""


@contextlib.contextmanager
def blaming(option: str) -> Iterator[None]:
    """A ValueError within is that option's fault."""
    try:
        yield
    except ValueError as error:
        raise CommandError(f"{option}: {error}") from None
