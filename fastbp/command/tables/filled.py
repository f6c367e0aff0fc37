"""What stands in for missing values, column by column, and the words that said that they are missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from .preparation import Preparation
from .table import Table, quoted, shown

_MOST_WORDS = 4


def filled(table: Table, preparation: Preparation) -> Iterator[str]:
    """A line for each feature of which values are missing; preparation: of the model that takes them."""
    categories = preparation.categories or [None] * len(table.features)
    medians = iter(preparation.fill or [])
    if not (table.named or table.guessed):
        missing = int(sum(np.isnan(table.columns[name]).sum() for name in table.features if _floats(table, name)))
        if missing:
            yield f"{missing:,} missing value{'s' * (missing > 1)} with the medians of the rows to train on"
        return
    for name, names in zip(table.features, categories, strict=True):
        column, median = table.columns[name], None if names is not None else next(medians, None)
        missing = column == "" if column.dtype == object else np.isnan(column)
        count = int(np.count_nonzero(missing))
        if count:
            by = f"with the median {median:.6g}" if median is not None else "as a category of their own"
            if names is not None and "" not in names:
                by = "as no category, since none is missing in the rows to train on"
            cells = f"{count:,} cell{'s' * (count > 1)}"
            yield f"{quoted(name)}: {cells} {by}{_words(table, name, missing)}"


def _floats(table: Table, name: str) -> bool:
    return table.columns[name].dtype.kind == "f"


def _words(table: Table, name: str, missing: np.ndarray) -> str:
    """The words in those cells, and how often each is there; nothing if all are empty."""
    cells = table.cells(name)
    words = Counter(word for word in ([] if cells is None else cells[missing].tolist()) if word)
    if not words:
        return ""
    more = ", …" if len(words) > _MOST_WORDS else ""
    return f" (of them {', '.join(f'{count:,} {shown(word)}' for word, count in words.most_common(_MOST_WORDS))}{more})"
