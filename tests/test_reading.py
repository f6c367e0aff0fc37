"""CSV files as spreadsheets, pandas, R and databases write them: what is read, what is noted, and what is refused."""

import gzip
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from commands import line_of_error, read_predictions, write_csv

import fastbp as fb
from fastbp.command import cli, tables
from fastbp.command.tables import CSVFormat, TableError, delimited, numbers
from fastbp.command.tables.counting import row_number_kind
from fastbp.command.tables.notation import Notation, parse
from fastbp.command.tables.table import check_names
from fastbp.formats import files

FAST = ["--hidden", "4", "--epochs", "1", "--no-plot", "--quiet"]
NAN = float("nan")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(data, **options):
    """The columns, as lists, and the notes without the file's name."""
    form = CSVFormat(**{name: options.pop(name) for name in list(options) if name in CSVFormat.__dataclass_fields__})
    Path("t.csv").write_bytes(data if isinstance(data, bytes) else data.encode())
    table = tables.read_to_train("t.csv", form=form, **options)
    columns = {name: column.tolist() for name, column in table.columns.items()}
    return columns, [note.removeprefix("t.csv").lstrip(":, ") for note in table.notes]


def train(*argv):
    assert cli.main(["train", *argv, *FAST, "--save", "m.npz"]) == 0
    return tables.Preparation(**files.read("m.npz")[0]["extra"]["preparation"])


# --- whole files ---------------------------------------------------------------------------------------

CP1252 = (
    "is not in UTF-8 and is read as cp1252, as Windows writes in Western Europe and America (--encoding names another)"
)
INDEX = "column 1 has no name of its own and is left out: give it one to train on it"
TITLE = "the first {} t.csv {} above the header and left out (--skip-lines 0 reads all lines)"
R_NAMES = (
    "the header of t.csv has one name fewer than the rows have cells:"
    " the first cell of each row is taken for the row's name, as R writes it"
)

FILES = {
    "German Excel": (
        'Länge;Ort;Preis\r\n1,5;Köln;8.000,00\r\n2;"Bonn; Süd";12.500,50\r\n;;\r\n;;\r\n'.encode("cp1252"),
        {"Länge": [1.5, 2], "Ort": ["Köln", "Bonn; Süd"], "Preis": [8000, 12500.5]},
        [CP1252],
    ),
    "Excel, CSV UTF-8": (
        "\ufeffGröße;y\r\n1,5;2\r\n2,5;3\r\n".encode(),
        {"Größe": [1.5, 2.5], "y": [2, 3]},
        [],
    ),
    "Excel, Unicode text": (
        'Größe\tOrt\ty\r\n1,5\t"a\tb"\t1\r\n2,5\tЛьвів\t2\r\n'.encode("utf-16"),
        {"Größe": [1.5, 2.5], "Ort": ["a\tb", "Львів"], "y": [1, 2]},
        [],
    ),
    "UTF-16, big end first": ("a,y\n1,2\n".encode("utf-16-be").join([b"\xfe\xff", b""]), {"a": [1], "y": [2]}, []),
    "UTF-32": ("a,y\n1,2\n".encode("utf-32"), {"a": [1], "y": [2]}, []),
    "UTF-16 without a mark": (
        "a,y\n1,2\n".encode("utf-16-le"),
        {"a": [1], "y": [2]},
        ["is read as utf-16-le (--encoding names another)"],
    ),
    "Excel's sep line": (b"sep=;\r\na;b;y\r\n1,5;2;3\r\n2,5;3;4\r\n", {"a": [1.5, 2.5], "b": [2, 3], "y": [3, 4]}, []),
    "a sep line of one column of texts": (b'"sep=|"\na|y\nx,z|1\n', {"a": ["x,z"], "y": [1]}, []),
    "separators in quoted names": (
        b'"Length, mm";"Width, mm";"Price, EUR"\n1.5;2.5;7.0\n2.5;3.5;8.0\n',
        {"Length, mm": [1.5, 2.5], "Width, mm": [2.5, 3.5], "Price, EUR": [7, 8]},
        [],
    ),
    "decimal commas without a header": (b"1,5;2,5\n2,5;3,5\n", {"1": [1.5, 2.5], "2": [2.5, 3.5]}, []),
    "as many commas as semicolons": (
        "Länge, mm;Ort\n1,5;Köln\n2,25;Bonn\n".encode(),
        {"Länge, mm": [1.5, 2.25], "Ort": ["Köln", "Bonn"]},
        [],
    ),
    "more commas than semicolons": (
        b"size, mm;width, mm\n1,5;2,25\n2,5;3,5\n",
        {"size, mm": [1.5, 2.5], "width, mm": [2.25, 3.5]},
        [],
    ),
    "commas in texts between bars": (
        b'name|"size, mm"|x\nDoe, J.|1,5|NA\nRoe, R.|2,5|A1\n',
        {"name": ["Doe, J.", "Roe, R."], "size, mm": [1.5, 2.5], "x": ["", "A1"]},
        [],
    ),
    "semicolons in cells": (b"a,b,y\n1,p;q,3\n2,r;s,4\n", {"a": [1, 2], "b": ["p;q", "r;s"], "y": [3, 4]}, []),
    "LibreOffice": (
        b'"name","when","y"\n"Smith, J.","2024-01-02",1\n"O""Hara","2024-01-03",2\n',
        {"name": ["Smith, J.", 'O"Hara'], "when": ["2024-01-02", "2024-01-03"], "y": [1, 2]},
        [],
    ),
    "pandas with its index": (b",x,y\n0,1.5,a\n1,2.5,b\n", {"x": [1.5, 2.5], "y": ["a", "b"]}, [INDEX]),
    "pandas with its index twice": (
        b"Unnamed: 0.1,Unnamed: 0,x,y\n0,7,1.5,a\n1,9,2.5,b\n",
        {"x": [1.5, 2.5], "y": ["a", "b"]},
        [INDEX, INDEX.replace("1", "2", 1)],
    ),
    "columns that only look like pandas' index": (
        b"x,Unnamed: 1,Unnamed: 2,y\n1.5,7,inf,1\n2.5,7,2,2\n",
        {"x": [1.5, 2.5], "Unnamed: 1": [7, 7], "Unnamed: 2": [float("inf"), 2], "y": [1, 2]},
        [],
    ),
    "pandas without names": (
        b",0,1,2\n0,1.5,3,a\n1,2.5,4,b\n",
        {"0": [1.5, 2.5], "1": [3, 4], "2": ["a", "b"]},
        [INDEX],
    ),
    "R, write.csv": (b'"","x","y"\n"1",1.5,"a"\n"2",NA,"b"\n', {"x": [1.5, NAN], "y": ["a", "b"]}, [INDEX]),
    "R, write.table": (
        b'"x" "name" "y"\n"1" 1.5 "New York" "a"\n"2" NA "Bern" "b"\n',
        {"x": [1.5, NAN], "name": ["New York", "Bern"], "y": ["a", "b"]},
        [R_NAMES, INDEX],
    ),
    "columns in spaces": (
        b"  a   b   y\n  1.5 2   3\n 10.5 20 30\n",
        {"a": [1.5, 10.5], "b": [2, 20], "y": [3, 30]},
        [],
    ),
    "SQL": (
        b"id|v|y\n7|NULL|2.5\n9|(null)|4.5\n8|3|1\n",
        {"id": [7, 9, 8], "v": [NAN, NAN, 3], "y": [2.5, 4.5, 1]},
        [],
    ),
    "a title, padded": (
        b"Sales 2024;;\n;;\ncity;x;y\nBonn;1,5;2\nBern;2,5;3\n",
        {"city": ["Bonn", "Bern"], "x": [1.5, 2.5], "y": [2, 3]},
        [TITLE.format("2 lines of", "are")],
    ),
    "a title with a line break": (
        b'"Sales\n2024"\na,y\n1,2\n',
        {"a": [1], "y": [2]},
        [TITLE.format("2 lines of", "are")],
    ),
    "lines above the header": (
        b"By,Max\nDate,2024-01-02\n\na,b,y\n1,2,3\n3,4,5\n",
        {"a": [1, 3], "b": [2, 4], "y": [3, 5]},
        [TITLE.format("3 lines of", "are")],
    ),
    "a comment": (b"# made by a tool\na,y\n1,2\n", {"a": [1], "y": [2]}, [TITLE.format("line of", "is")]),
    "a title and an index": (
        b"Sales\n,a,y\n0,1,2\n1,3,4\n",
        {"a": [1, 3], "y": [2, 4]},
        [TITLE.format("line of", "is"), INDEX],
    ),
    "separators at the ends": (b"a;b;y;;\n1;2;3;;\n2;3;4;;\n", {"a": [1, 2], "b": [2, 3], "y": [3, 4]}, []),
    "a separator behind each row": (b"a,b,y\n1,2,3,\n2,3,4,\n", {"a": [1, 2], "b": [2, 3], "y": [3, 4]}, []),
    "separators at the ends, no header": (b"1;2;3;;\n2;3;4;;\n", {"1": [1, 2], "2": [2, 3], "3": [3, 4]}, []),
    "an empty column that pandas named": (b"a,y,Unnamed: 2\n1,2,\n3,4,\n", {"a": [1, 3], "y": [2, 4]}, []),
    "a row without content": (
        b"a;y\n1;2\n;\n\n3;4\n;\n",
        {"a": [1, 3], "y": [2, 4]},
        ["1 line with separators alone left out, such as line 3"],
    ),
    "old Mac line ends": (b"a,y\r1,2\r3,4\r", {"a": [1, 3], "y": [2, 4]}, []),
    "spaces behind separators": (b'a, y\n1, "p, q"\n3, "r"\n', {"a": [1, 3], "y": ["p, q", "r"]}, []),
    "gzip, whatever its name": (gzip.compress(b"a,y\n1,2\n"), {"a": [1], "y": [2]}, []),
    "percent": (
        b"p,y\n20%,1\n4.5 %,2\n",
        {"p": [20, 4.5], "y": [1, 2]},
        ["column 'p': cells such as '20%' are read as numbers, without the %"],
    ),
    "dollars": (
        b'p,y\n"$1,234.50",1\n-$3.00,2\n',
        {"p": [1234.5, -3], "y": [1, 2]},
        ["column 'p': cells such as '$1,234.50' are read as numbers, without the $"],
    ),
    "euros": (
        "p;y\n1.234,50 €;1\n3,00 €;2\n".encode(),
        {"p": [1234.5, 3], "y": [1, 2]},
        ["column 'p': cells such as '1.234,50 €' are read as numbers, without the €"],
    ),
    "US thousands": (b'a,y\n1,"4,293.77"\n2,"1,234"\n3,999\n', {"a": [1, 2, 3], "y": [4293.77, 1234, 999]}, []),
    "thousands that another column makes certain": (
        b'a,b,y\n"1,234",2,"4,293.77"\n999,3,1.5\n',
        {"a": [1234, 999], "b": [2, 3], "y": [4293.77, 1.5]},
        [],
    ),
    "thousands by the decimal point of others": (
        b'a,y\n1.5,"1,234"\n2.5,999\n',
        {"a": [1.5, 2.5], "y": [1234, 999]},
        ["column 'y': cells such as '1,234' are read as 1234, since other numbers of the file have a decimal point"],
    ),
    "thousands by the decimal comma of others": (
        b"a;y\n1,5;8.000\n2,5;999\n",
        {"a": [1.5, 2.5], "y": [8000, 999]},
        ["column 'y': cells such as '8.000' are read as 8000, since other numbers of the file have a decimal comma"],
    ),
    "points that are decimal points elsewhere": (b"a;y\n1.25;8.000\n2;9.125\n", {"a": [1.25, 2], "y": [8, 9.125]}, []),
    "Swiss thousands": (b"a;y\n1'234.50;1\n12'345.00;2\n", {"a": [1234.5, 12345], "y": [1, 2]}, []),
    "French thousands": (
        "a;y\n1 234,5;1\n12\u202f345;2\n−3;3\n".encode(),
        {"a": [1234.5, 12345, -3], "y": [1, 2, 3]},
        [],
    ),
    "decimal commas between commas": (
        b'a,y\n"1,5",1\n"2,25",2\n',
        {"a": [1.5, 2.25], "y": [1, 2]},
        ["column 'a': cells such as '1,5' are read with a decimal comma (--text takes them for names)"],
    ),
    "columns that differ": (
        b"a;y\n1,5;2.5\n2,5;3.5\n",
        {"a": [1.5, 2.5], "y": [2.5, 3.5]},
        ["the column 'a' is read with a decimal comma, 'y' with a decimal point, as their cells are written"],
    ),
    "missing in many words": (
        "a,y\n"
        + "".join(
            f"{word},{i}.5\n"
            for i, word in enumerate(
                ["#N/A", "#DIV/0!", "#WERT!", "None", "-", "n.a.", "NULL", "<NA>", "Err:502", "1.5"]
            )
        ),
        {"a": [NAN] * 9 + [1.5], "y": [i + 0.5 for i in range(10)]},
        [],
    ),
    "words that stand for missing texts, and a text": (
        b"s,y\nNone,1\n-,2\nNA,3\n#N/A,4\nfew,5\n?,6\nNone,7\n",
        {"s": ["None", "-", "", "", "few", "", "None"], "y": [1, 2, 3, 4, 5, 6, 7]},
        [],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_people_have(name):
    data, columns, notes = FILES[name]
    found, found_notes = read(data)
    assert found_notes == notes
    assert list(found) == list(columns)
    for column, cells in columns.items():
        np.testing.assert_array_equal(found[column], cells)


@pytest.mark.parametrize(
    ("data", "options", "columns"),
    [
        ("Größe,y\nMünze,2\n".encode("mac-roman"), dict(encoding="mac-roman"), {"Größe": ["Münze"], "y": [2]}),
        ("Größe,y\n1,2\n".encode("utf-8-sig"), dict(encoding="utf-8"), {"Größe": [1], "y": [2]}),
        ("Größe,y\n1,2\n".encode("utf-16"), dict(encoding="UTF-16LE"), {"Größe": [1], "y": [2]}),
        (b'a,y\n1,"1,234"\n', dict(decimal=","), {"a": [1], "y": [1.234]}),
        (b'a,y\n1,"1,234"\n', dict(thousands=","), {"a": [1], "y": [1234]}),
        (b'a,y\n1,"1,234"\n', dict(decimal="."), {"a": [1], "y": [1234]}),
        (b"a;y\n1;8.000\n", dict(thousands="."), {"a": [1], "y": [8000]}),
        (b"a;y\n1;8.000\n", dict(decimal=","), {"a": [1], "y": [8000]}),
        (b"a;y\n1;8.000\n", dict(decimal="."), {"a": [1], "y": [8]}),
        (b"a;y\n1;8.000\n", dict(thousands=" "), {"a": [1], "y": [8]}),
        (b"a;y\n1;8,000\n", dict(thousands="'"), {"a": [1], "y": [8]}),
        (b"a,y\n1.5,2\n3.25,4\n", dict(decimal="."), {"a": [1.5, 3.25], "y": [2, 4]}),
        (b"not a table\nat all, no\na,y\n1,2\n", dict(skip_lines=2), {"a": [1], "y": [2]}),
        (b"by,me\n1,2\n3,4\n", dict(skip_lines=1, header=False), {"1": [1, 3], "2": [2, 4]}),
        (b"sep=;\nSales\na;y\n1;2\n", dict(skip_lines=2), {"a": [1], "y": [2]}),
        (b"Sales;\na;y\nb;x\nb;x\n", dict(skip_lines=0), {"Sales": ["a", "b", "b"], "2": ["y", "x", "x"]}),
    ],
)
def test_options(data, options, columns):
    found, notes = read(data, **options)
    assert list(found) == list(columns) and notes == []
    for column, cells in columns.items():
        np.testing.assert_array_equal(found[column], cells)


MOSTLY = "a,b,y\n" + "".join(f"{i},{i}.5,{i}\n" for i in range(8))


@pytest.mark.parametrize(
    ("data", "options", "phrases"),
    [
        (
            MOSTLY + "8,many,8\n",
            "",
            ["line 10, column 'b': 'many' is not a number (correct the cell or delete its line", "--drop b"],
        ),
        (MOSTLY.replace(",0.5,", ",20%,"), "", ["line 2, column 'b': '20%' has a %, which most cells", "lack"]),
        (MOSTLY.replace(".5,", "%,") + "8,8,8\n", "", ["line 10, column 'b': '8' lacks the % that most", "have"]),
        (MOSTLY + '8,"8,5",8\n', "", ["line 10, column 'b': '8,5' is not a number with a decimal point, as others"]),
        (
            "a;b\n1,5;2\n1,5;2\n1.5;2\n",
            "",
            ["line 4, column 'a': '1.5' is not a number with a decimal comma"],
        ),
        ("a;b\n1,5;2\n2,5;2\n", "--decimal .", ["line 2, column 'a': '1,5' is not", "decimal point", "--decimal"]),
        ("a;b\n1.5;2\n2.5;2\n", "--decimal ,", ["line 2, column 'a': '1.5' is not", "decimal comma", "--decimal"]),
        ("a;b\n1.5;2\n2.5;2\n", "--thousands .", ["line 2, column 'a': '1.5' is not", "decimal comma", "--thousands"]),
        ("a;b\n1.234,5;2\n3,5;2\n", "--thousands ' '", ["line 2, column 'a': '1.234,5' is not", "as --thousands says"]),
        (
            'a,b\n1,"1,234"\n2,"2,345"\n',
            "",
            ["line 2, column 'b': '1,234' may be 1.234 or 1234", "--decimal , or --thousands , says which"],
        ),
        (
            "a;b\n1;8.000\n2;999\n",
            "",
            ["line 2, column 'b': '8.000' may be 8 or 8000", "--decimal . or --thousands . says which"],
        ),
        ("a;b\n1,5;2.5\n2;8.000\n3;x\n4;1\n", "", ["line 4, column 'b': 'x' is not a number"]),
        ('"x\ny",a\n\n"p\nq",3\n"p",oops\n"r",3\n', "", ["line 6, column 'a': 'oops'"]),
        ("Sales\n\na,b\n1,2\n3,oops\n4,5\n6,7\n", "", ["t.csv, line 5, column 'b': 'oops'"]),
        ("sep=;\na;b\n1;2\n3;4\n5;6;7\n", "", ["t.csv, line 5: expected 2 cells, found 3"]),
        ("x\ny\na,b\n1,2\n3\n", "--skip-lines 2", ["t.csv, line 5: expected 2 cells, found 1"]),
        ('a,b\n1,"2\n3,4\n', "", ["t.csv, line 2: ", "a quotation mark is opened here and never closed"]),
        ('a,b\n1,2\n"3" x,4\n', "", ["t.csv, line 3: ", "a quotation mark inside of a quoted cell must be doubled"]),
        (
            "a,ö\n1,2\n".encode() + b"caf\xe9,3\n",
            "",
            ["t.csv, line 3: the bytes e9 are not text in utf-8, while", "line 1, are: two files", "--encoding"],
        ),
        (b"a,b\r1,2\rcaf\x81,3\r", "", ["t.csv, line 3: the bytes 81 are not text in utf-8: --encoding names another"]),
        (b"a,b\n1,2\ncaf\x81,3\n", "--encoding cp1252", ["t.csv, line 3: the bytes 81 are not text in cp1252"]),
        (b"a,b\n1,22\n", "--encoding utf-16", ["t.csv, line 1: ", "not text in utf-16"]),
        (b"a,b\n1,\x002\n", "", ["t.csv is not text: line 2 holds a zero byte"]),
        (b"PK\x03\x04 etc", "", ["t.csv is an Excel or zip file: save its sheet as CSV"]),
        (b"<!DOCTYPE html>\n<p>", "", ["t.csv is an HTML or XML file: DATA must be"]),
        (b'[{"a": 1, "b": 2}]', "", ["t.csv is a JSON file"]),
        (
            b"a,y\n" + b"1,2.5\n3,4.5\n" * 30 + b"\nSource: an office\n",
            "",
            ["line 63: expected 2 cells, found 1: complete what was cut off, or delete lines that are no rows"],
        ),
        (
            "a,y\n" + "".join(f"1,{i}.5\n" for i in range(60)) + "Sum,9 in all\n",
            "",
            ["line 62, column 'a': 'Sum'", "delete its line"],
        ),
        (
            "a,y\n" + "".join(f"1,{i}.5\n" for i in range(60)) + "1,9 in all\n",
            "",
            ["line 62, column 'y'", "number (correct the cell or delete its line)"],
        ),
        (b"PAR1 etc", "", ["t.csv is a Parquet file: its name must end in .parquet"]),
        (MOSTLY, "--encoding latin-7", ["--encoding must be one that Python knows, such as utf-8", "'latin-7'"]),
        (MOSTLY, "--encoding base64", ["--encoding must be one that Python knows", "'base64'"]),
        (MOSTLY, "--decimal , --thousands ,", ["--decimal and --thousands must differ, got ',' for both"]),
        (MOSTLY, "--decimal ;", ["--decimal", "';'", "','"]),
        (MOSTLY, "--thousands _", ["--thousands", "'_'"]),
        (MOSTLY, "--skip-lines -1", ["--skip-lines", "0 or more", "'-1'"]),
        (MOSTLY, "--skip-lines 99", ["t.csv is empty"]),
        ("a,b,y\n" + "1,,2\n3,,4\n5,,6\n" * 9, "--impute", ["t.csv: the column 'b' is empty: --drop b"]),
        ("a,b\nx,1\nx,1\n" + "".join(f"{i},2\n" for i in range(9)), "", ["line 2, column 'a': 'x' is not a number"]),
        (
            "a,b\n" + "unknown,1\n" * 70 + "".join(f"{i}.5,2\n" for i in range(30)),
            "",
            ["line 2, column 'a': 'unknown' is not a number"],
        ),
        (
            "a;b\n" + "".join(f"{i}.000,00;1\n" for i in range(1, 30)) + "#N/A;2\n" * 35 + "None;3\n-;3\n" * 18,
            "",
            ["line 31, column 'a': the value is missing (--impute"],
        ),
    ],
)
def test_files_that_are_refused(data, options, phrases, capsys):
    Path("t.csv").write_bytes(data if isinstance(data, bytes) else data.encode())
    line = line_of_error(capsys, 2, ["train", "t.csv", *shlex.split(options)])
    for phrase in phrases:
        assert phrase in line


def test_options_are_for_csv(capsys):
    np.savez("t.npz", X=np.ones((9, 2)), y=np.arange(9))
    Path("t.parquet").write_bytes(b"PAR1")
    for name in ("t.npz", "t.parquet", "iris"):
        line = line_of_error(capsys, 2, ["train", name, "--encoding", "cp1252"])
        assert f"--encoding is for CSV files, and {name} is none" in line


# --- numbers -------------------------------------------------------------------------------------------


CERTAIN = {
    1234: "1234|1234.0|01234|1 234|1'234|1’234|1\u00a0234|1\u2009234|1234,0|+1234|1.234e3",
    1.5: "1.5|1,5|+1.5|01,5|1,50|15e-1|0,15E1",
    0.125: ".125|,125|0.125|0,125",
    -8000: "-8000|-8.000,00|-8,000.00|−8000|-8e3",
    1234567: "1234567|1,234,567|1.234.567|12,34,567|1 234 567|1.234.567,0",
    4293.77: "4293.77|4,293.77|4.293,77|4 293,77|4'293.77",
    1.234: "1.234|1.2340",
    1234.567: "1234,567|1234.567",
    2**53 + 1: "9007199254740993|9007199254740993.0|9,007,199,254,740,993",
    1: "1|TRUE|true|1.",
    0: "0|False|-0",
    float("inf"): "inf|Infinity",
    None: "1,234|1_000|1.2.3|1,23,4|1.234.5|0.123.456|1,2345,678|127.0.0.1|2024-01-02|12:30|20%|$5|%|1 23|a||-|0x10"
    "|1e|--5|nan",
}


@pytest.mark.parametrize("value", CERTAIN)
def test_what_texts_are_for_certain(value):
    for text in CERTAIN[value].split("|"):
        assert numbers.exact(text) == value, text


def cell_by_cell(texts, notation):
    """What `parse` gives for a column whose cells it can't read at once."""
    parsed = parse([*texts, "x1"], notation)
    return parsed.values[:-1], parsed.notes


@pytest.mark.parametrize("decimal", [",", "."])
@pytest.mark.parametrize("places", [0, 1, 2, 3])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("file_decimal", ["", ",", "."])
def test_columns_read_at_once_are_read_as_cell_by_cell(decimal, places, grouped, file_decimal):
    values = np.random.default_rng(0).normal(scale=30_000, size=200)
    thousands = "." if decimal == "," else ","
    marks = str.maketrans({".": decimal, ",": thousands})
    texts = [f"{value:{',' * grouped}.{places}f}".translate(marks) for value in values]
    texts += ["NA", "", "0"]
    notation = Notation(file_decimal, commas=False)
    parsed, (expected, notes) = parse(texts, notation), cell_by_cell(texts, notation)
    np.testing.assert_array_equal(parsed.values, expected)
    assert sorted(parsed.notes) == sorted(notes)
    if places in (1, 2):
        assert parsed.values[:200].tolist() == [float(f"{value:.{places}f}") for value in values]


# --- names, classes and row numbers ----------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet", "npz"])
def test_classes_keep_what_the_file_has(ending, capsys):
    names = {"csv": ["007", "042"], "parquet": [2**53 + 1, 2**53 + 2], "npz": [2**53 + 1, 2**63 + 1]}[ending]
    y = [names[i % 2] for i in range(60)]
    path = f"t.{ending}"
    if ending == "npz":
        np.savez(path, X=np.arange(60.0) % 2, y=np.array(y, np.uint64))
    elif ending == "csv":
        write_csv(path, ["x", "y"], [[i % 2, name] for i, name in enumerate(y)])
    else:
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"x": [i % 2 for i in range(60)], "y": y}), path)
    assert train(path).classes == [str(name) for name in names]
    assert cli.main(["train", path, "--no-plot", "--quiet", "--save", "m.npz"]) == 0
    capsys.readouterr()
    assert cli.main(["predict", "m.npz", path]) == 0
    out, err = capsys.readouterr()
    assert [row["prediction"] for row in read_predictions(out)] == [str(name) for name in y]
    assert err.startswith("fastbp: accuracy 1.0000 (60 of 60 rows)\n")


def test_classes_are_numbers_in_their_order_however_they_are_written(capsys):
    write_csv("t.csv", ["x", "y"], [[i, ["10", "9.0", "1,5", "07", "7"][i % 5]] for i in range(80)], delimiter=";")
    assert train("t.csv", "--task", "classification").classes == ["1,5", "07", "9.0", "10"]
    note = "t.csv, column 'y': '07' and '7' are taken for one class (--text y keeps them apart)"
    assert capsys.readouterr().err == f"fastbp: {note}\n"
    assert train("t.csv", "--task", "classification", "--text", "y").classes == ["1,5", "07", "7", "9.0", "10"]


def test_classes_that_are_codes_are_no_numbers():
    write_csv("t.csv", ["x", "y"], [[i, ["1E2", "100", "2B", "x"][i % 4]] for i in range(40)])
    assert train("t.csv", "--task", "classification").classes == ["100", "1E2", "2B", "x"]


def test_categories_keep_what_the_file_has():
    rows = [[["01067", "10115", "1067"][i % 3], i, i + 0.5] for i in range(60)]
    preparation = train(write_csv("t.csv", ["zip", "x", "y"], rows), "--text", "zip")
    assert preparation.categories[0] == [
        "01067",
        "10115",
        "1067",
    ]


@pytest.mark.parametrize("word", ["", "NA", "#N/A", "?"])
def test_a_missing_target_to_predict(word, capsys):
    train(write_csv("t.csv", ["x", "y"], [[i, ["yes", "no"][i % 2]] for i in range(40)]))
    capsys.readouterr()
    assert cli.main(["predict", "m.npz", write_csv("new.csv", ["x", "y"], [[1, "yes"], [2, word]])]) == 0
    assert capsys.readouterr().err.startswith("fastbp: the scores are of 1 of 2 rows: the others have no target\n")


def test_a_missing_word_that_is_a_category_of_the_model_stays_one(capsys):
    """Models of older versions took such words for categories."""
    train(write_csv("t.csv", ["s", "y"], [[["few", "many", "maybe"][i % 3], i + 0.5] for i in range(60)]))
    net, extra = fb.load("m.npz"), files.read("m.npz")[0]["extra"]
    extra["preparation"]["categories"] = [["few", "many", "NA"]]
    net.save("m.npz", extra=extra)
    capsys.readouterr()
    assert cli.main(["predict", "m.npz", write_csv("new.csv", ["s"], [["few"], ["NA"]])]) == 0
    out, err = capsys.readouterr()
    assert len(read_predictions(out)) == 2 and err == ""


def test_row_numbers_are_named(capsys):
    rng = np.random.default_rng(0)
    order = rng.permutation(50)
    rows = [[i + 1, order[i], i % 7, i + 0.5, 2 * i, i % 3] for i in range(50)]
    assert cli.main(["train", write_csv("t.csv", ["id", "my key", "a", "b", "c", "y"], rows), *FAST, "--no-save"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("row numbers")]
    assert lines == [
        "row numbers     'id' numbers the rows: --drop id leaves it out",
        "row numbers     'my key' numbers the rows: --drop 'my key' leaves it out",
        "row numbers     'c' rises with the rows: --drop c leaves it out",
    ]


@pytest.mark.parametrize(
    ("number", "options", "kind"),
    [
        (lambda i: i + 1, [], "numbers"),
        (lambda i: i + 1 + i // 100, [], "rises with"),
        (lambda i: "" if i == 7 else i + 1, ["--impute"], "rises with"),
        (lambda i: 1_000_000 + 10 * i, [], "rises with"),
        (lambda i: f"{i + 1:,}", [], "numbers"),
        (lambda i: 5000 - 3 * i, [], "falls with"),
        (lambda i: 2 * (i // 2), [], None),  # each twice
        (lambda i: i + 0.5, [], None),
        (lambda i: (7 * i) % 331 * 2, [], None),  # with gaps and in no order
    ],
)
@pytest.mark.parametrize("missing", [(), (5, 200)], ids=["whole", "skipped"])
def test_columns_that_rise_with_the_rows_are_named_before_rows_are_skipped(number, options, kind, missing, capsys):
    """A file sorted by its target."""
    rng = np.random.default_rng(0)
    rows = [[number(i), rng.normal(), "" if i in missing else ["no", "yes"][i // 150]] for i in range(300)]
    path = write_csv("t.csv", ["id", "a", "y"], rows)
    options = [*options, "--skip-missing-target"]
    assert cli.main(["train", path, *FAST, "--no-save", *options]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("row numbers")]
    assert lines == ([f"row numbers     'id' {kind} the rows: --drop id leaves it out"] if kind else [])


def test_few_rows_in_order_are_no_row_numbers():
    ordered = np.arange(9.0) * 2
    assert row_number_kind(ordered) == "" and row_number_kind(np.arange(10.0) * 2) == "rises with"
    assert row_number_kind(np.array(["1", "2"], object)) == row_number_kind(np.full(20, np.nan)) == ""
    assert row_number_kind(np.zeros((20, 2))) == "" and row_number_kind(np.arange(3)) == "numbers"


def test_columns_of_text_are_read_at_once(monkeypatch):
    passes, texts = [], delimited._Rows.texts

    def counted(rows, places):
        if places:
            passes.append(places)
        return texts(rows, places)

    monkeypatch.setattr(delimited._Rows, "texts", counted)
    path = write_csv("t.csv", [*"abcdefy"], [[i % 3, i % 4, i % 5, i % 3, i % 4, i % 5, i + 0.5] for i in range(60)])
    table = tables.read_to_train(path, text=list("abcdef"))
    assert [place for places in passes for place in places] == list(range(6)) and len(passes) == 1
    assert table.columns["c"].tolist()[:6] == ["0", "1", "2", "3", "4", "0"]


@pytest.mark.parametrize("lines", [["# a; b", "x;y"], ["# one", "# two; words", "x;y"], ["x;y", "mm;EUR"]])
def test_lines_above_the_names_and_units_below_them(lines):
    """The advice of each error leads to a table."""
    Path("t.csv").write_text("\n".join([*lines, *(f"{i}.5;{i}" for i in range(30))]) + "\n")
    skip = None
    for _ in range(3):
        try:
            table = tables.read_to_train("t.csv", form=CSVFormat(skip_lines=skip))
            break
        except TableError as error:
            found = re.search(r"if the columns' names are in line (\d+), --skip-lines (\d+) leaves out", str(error))
            assert found and int(found[1]) == int(found[2]) + 1
            skip = int(found[2])
    assert list(table.columns) == lines[-1].split(";") and len(table) == 30
    Path("t.csv").write_text("x;y\n" + "\n".join(f"{i}.5;{'oops' if i == 0 else i}" for i in range(30)))
    with pytest.raises(TableError, match=r"^(?!.*skip-lines).*'oops' is not a number"):
        tables.read_to_train("t.csv")


def test_columns_that_are_left_out_or_text():
    path = write_csv("t.csv", [*"aby"], [[i % 3, i % 4, "pqr"[i % 3]] for i in range(30)])
    with pytest.raises(TableError, match="only 'y' is left of the columns a, b, y: a feature besides the target must"):
        tables.read_to_train(path, drop=["a", "b"])
    with pytest.raises(TableError, match="no column is left of"):
        tables.read_to_train(path, drop=["a", "b", "y"])
    with pytest.raises(TableError, match="the column 'a' can't be both dropped and text"):
        tables.read_to_train(path, drop=["a"], text=["1"])
    wanted = "line 2, column 'y': 'p' is not a number .--task classification takes texts for names of classes"
    with pytest.raises(TableError, match=wanted):
        tables.read_to_train(path, task="regression")


def test_names_of_many_columns_are_compared_once():
    class Name(str):
        compared = 0

        def __eq__(self, other):
            Name.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    names = [Name(i) for i in range(2000)]
    check_names("t.csv", names)
    assert Name.compared < 4000
    with pytest.raises(TableError, match="two columns have the name '7'"):
        check_names("t.csv", [*names, "7"])


def test_an_index_teaches_nothing_and_may_be_missing(capsys):
    """A file sorted by its target."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(200, 2)).tolist()
    rows = [[i, *noise[i], "ab"[i // 100]] for i in range(200)]
    write_csv("t.csv", ["", "x", "z", "y"], rows)
    preparation = train("t.csv")
    assert preparation.features == ["x", "z"] and INDEX in capsys.readouterr().err
    assert cli.main(["predict", "m.npz", "t.csv"]) == 0
    whole = capsys.readouterr()
    assert "column 1" not in whole.err
    assert cli.main(["predict", "m.npz", write_csv("new.csv", ["z", "x"], [[b, a] for a, b in noise])]) == 0
    assert capsys.readouterr().out == whole.out


def test_an_index_is_no_feature_of_a_model_without_names(capsys):
    net = fb.Network([fb.Dense(1)], (2,), loss="mse", seed=0)
    net.save("m.npz")
    for header, rows in [(["a", "b"], [[1, 2], [3, 4]]), (["", "a", "b"], [[0, 1, 2], [1, 3, 4]])]:
        capsys.readouterr()
        assert cli.main(["predict", "m.npz", write_csv("t.csv", header, rows)]) == 0
        found = [float(row["prediction"]) for row in read_predictions(capsys.readouterr().out)]
        np.testing.assert_allclose(found, net.predict(np.array([[1.0, 2], [3, 4]]))[:, 0], rtol=1e-5)


def test_an_index_that_is_asked_for_is_there():
    rows = [[i % 4, i, i + 0.5] for i in range(40)]
    path = write_csv("t.csv", ["", "x", "y"], rows)
    assert train(path, "--target", "1").target == "1"
    assert train(path, "--text", "1").categories[0] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("name", ["__index_level_0__", "Unnamed: 0"])
def test_an_index_in_parquet(name, capsys):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    columns = {"x": list(range(5, 45)), name: list(range(40)), "y": [i % 7 + 0.5 for i in range(40)]}
    pq.write_table(pa.table(columns), "t.parquet")
    assert train("t.parquet").features == ["x"]
    assert "t.parquet: column 2 has no name of its own and is left out" in capsys.readouterr().err


def test_a_file_to_predict_may_be_written_otherwise(capsys):
    rows = [[f"{i % 9}.25", ["Köln", "Bonn"][i % 2], 1000.5 * i] for i in range(60)]
    train(write_csv("t.csv", ["x", "Straße", "y"], rows))
    texts = ["", "Straße;x;y", *(f"{town};{x.replace('.', ',')};{y:,.2f}" for x, town, y in rows)]
    swapped = [text.translate(str.maketrans(",.", ".,")) if i > 1 else text for i, text in enumerate(texts)]
    german = "sep=;\r\n" + "\r\n".join(swapped[1:]).replace(".25", ",25") + "\r\n;;\r\n"
    outs = []
    for data in (Path("t.csv").read_bytes(), german.encode("cp1252"), german.encode("utf-16")):
        Path("new.csv").write_bytes(data)
        capsys.readouterr()
        assert cli.main(["predict", "m.npz", "new.csv"]) == 0
        out, err = capsys.readouterr()
        outs.append((out, err[err.index("fastbp: R²") :]))
    assert outs[0] == outs[1] == outs[2]
