"""Columns of a table to predict that go along with the predictions, such as identifiers."""

from __future__ import annotations

from collections.abc import Sequence

from .table import Table, TableError, listed, quoted


def kept_columns(table: Table, columns: Sequence[str]) -> dict[str, list[str]]:
    """The columns as texts, one a row, spelled as the file has them, by their names.

    columns: names, or numbers from 1; of an NPZ file, names of arrays.
    Raises TableError if one is not there, or can't be text.
    """
    names = list(dict.fromkeys(_name(table, column) for column in columns))  # once each
    texts_of = table.carried or table.spelled
    if texts_of is None:
        return {name: table.texts(name).tolist() for name in names}
    texts = texts_of(names) if names else {}
    return {name: texts[name].tolist() for name in names}


def _name(table: Table, column: str) -> str:
    if column in table.others:
        return column
    if table.named or table.guessed:
        return table.find(column, "--keep")
    there = [*table.columns, *table.others]
    if column not in there:
        raise TableError(f"{table.source} has no array {quoted(column)} for --keep; it has {listed(there)}")
    return column
