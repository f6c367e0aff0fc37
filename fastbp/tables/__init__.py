"""Tables of data: read from files into named columns, and prepared for a network."""

from .preparation import Parts, Preparation, guess_task, prepare
from .reading import BUNDLED, read, read_to_predict, stem
from .table import CLASSIFICATION, REGRESSION, Table, TableError, places_in

__all__ = [
    "BUNDLED",
    "CLASSIFICATION",
    "REGRESSION",
    "Parts",
    "Preparation",
    "Table",
    "TableError",
    "guess_task",
    "places_in",
    "prepare",
    "read",
    "read_to_predict",
    "stem",
]
