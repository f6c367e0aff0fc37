"""Tables of data: read from files into named columns, and prepared for a network."""

from .choice import read_to_predict, read_to_train, row_numbers
from .dialect import CSVFormat
from .filled import filled
from .numbers import DECIMALS, THOUSANDS, plain_mark
from .preparation import Parts, Preparation, guess_task, prepare
from .reading import BUNDLED, stem
from .table import CLASSIFICATION, REGRESSION, Table, TableError, places_in
from .targets import with_targets

__all__ = [
    "BUNDLED",
    "CLASSIFICATION",
    "DECIMALS",
    "REGRESSION",
    "THOUSANDS",
    "CSVFormat",
    "Parts",
    "Preparation",
    "Table",
    "TableError",
    "filled",
    "guess_task",
    "places_in",
    "plain_mark",
    "prepare",
    "read_to_predict",
    "read_to_train",
    "row_numbers",
    "stem",
    "with_targets",
]
