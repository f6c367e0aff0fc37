"""What tests of the command line share: files to give it, and what it answers."""

import csv
import gzip
import io

from fastbp.command import cli


def write_csv(path, header, rows, delimiter=","):
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        if header:
            writer.writerow(header)
        writer.writerows(rows)
    return str(path)


def line_of_error(capsys, status, argv):
    """The line of the error, the last one that the command writes to stderr; those before it are notes."""
    capsys.readouterr()
    assert cli.main(argv) == status
    out, err = capsys.readouterr()
    assert out == ""
    *notes, line = err.splitlines(keepends=True)
    assert line.startswith("fastbp: error: ") and line.endswith("\n")
    assert all(note.startswith("fastbp: ") and not note.startswith("fastbp: error") for note in notes)
    return line


def read_predictions(text):
    return list(csv.DictReader(io.StringIO(text)))
