"""What fastbp train and fastbp predict say of people's files: what they assumed, and what cures an error."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import line_of_error, read_predictions, write_csv

import fastbp as fb
from fastbp.command import cli, tables
from fastbp.command.tables import numbers
from fastbp.formats import files
from fastbp.runtime import functions

FAST = ["--hidden", "4", "--epochs", "1", "--no-plot", "--quiet"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(capsys, *argv):
    """The preparation, standard output and standard error."""
    capsys.readouterr()
    assert cli.main(["train", *argv, *FAST, "--save", "m.npz"]) == 0
    out, err = capsys.readouterr()
    return tables.Preparation(**files.read("m.npz")[0]["extra"]["preparation"]), out, err


def predict(capsys, *argv):
    capsys.readouterr()
    assert cli.main(["predict", "m.npz", *argv]) == 0
    out, err = capsys.readouterr()
    return read_predictions(out), err


# --- missing values ------------------------------------------------------------------------------------


def countries(word="NA"):
    return [[["CH", word, "DE", "FR"][i % 4], i % 9, i + 0.5] for i in range(40)]


@pytest.mark.parametrize("word", [r"\N", "(null)", "[NULL]", "NaT"])
def test_what_databases_write_for_null_is_missing(word, capsys):
    for column in (0, 1):
        rows = countries("IT")
        rows[3][column] = word
        path = write_csv("t.csv", ["country", "x", "y"], rows)
        line = line_of_error(capsys, 2, ["train", path])
        assert f"line 5, column '{['country', 'x'][column]}'" in line
        assert f"the value is missing (--impute fills in what is missing): the cell holds '{word}'" in line


def test_a_word_is_missing_or_asked_for_as_a_category(capsys):
    path = write_csv("t.csv", ["country", "x", "y"], countries())
    line = line_of_error(capsys, 2, ["train", path])
    assert "line 3, column 'country'" in line and "'NA' (--text country makes it a category)" in line
    preparation, out, _ = train(capsys, path, "--text", "country")
    assert preparation.categories[0] == ["CH", "DE", "FR", "NA"]
    assert "2 features (1 of text: 'country'), regression" in out
    predictions, err = predict(capsys, write_csv("new.csv", ["country", "x"], [["NA", 1]]))
    assert len(predictions) == 1 and err == ""
    rows = countries()
    rows[0][0] = ""
    write_csv("t.csv", ["country", "x", "y"], rows)
    assert "line 2, column 'country': the value is missing" in line_of_error(capsys, 2, ["train", path, "--text", "1"])


def test_a_class_may_be_named_na(capsys):
    path = write_csv("t.csv", ["x", "country"], [[i, country] for country, i, _ in countries()])
    assert "'NA' (--text country makes it a class's name)" in line_of_error(capsys, 2, ["train", path])
    assert train(capsys, path, "--text", "country")[0].classes == ["CH", "DE", "FR", "NA"]


def test_what_is_filled_in_is_said(capsys):
    rows = countries()
    rows[0][1], rows[4][1] = "n.a.", ""
    _, out, _ = train(capsys, write_csv("t.csv", ["country", "x", "y"], rows), "--impute")
    assert "filled in       'country': 10 cells as a category of their own (of them 10 'NA')\n" in out
    assert "filled in       'x': 2 cells with the median 4 (of them 1 'n.a.')\n" in out


def test_what_is_filled_in_of_other_files(capsys):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    country, x, y = zip(*countries(), strict=True)
    pq.write_table(pa.table({"country": country, "x": [None, *x[1:]], "y": y}), "t.parquet")
    _, out, _ = train(capsys, "t.parquet", "--impute")
    assert "'country': 10 cells as a category of their own (of them 10 'NA')\n" in out and "'x': 1 cell with" in out
    X = np.arange(80.0).reshape(40, 2)
    np.savez("t.npz", X=np.where(X == 7, np.nan, X), y=np.arange(40) + 0.5)
    assert "filled in       1 missing value with the medians" in train(capsys, "t.npz", "--impute")[1]


def test_columns_that_are_empty(capsys):
    path = write_csv("t.csv", ["a b", "b", "c", "y"], [["", i, "", i + 0.5] for i in range(30)])
    line = line_of_error(capsys, 2, ["train", path])
    assert line.endswith("t.csv: the columns 'a b', 'c' are empty: --drop 'a b' --drop c\n")


# --- the header ----------------------------------------------------------------------------------------


def test_predict_remembers_that_there_is_no_header(capsys):
    rows = [["ab"[i % 2], "xyz"[i % 3], "pq"[i % 2]] for i in range(60)]
    path = write_csv("t.csv", None, rows)
    assert not train(capsys, path, "--no-header")[0].header
    predictions, err = predict(capsys, path)
    assert len(predictions) == 60
    assert "the first line of t.csv is taken for data, as in training with --no-header (--skip-lines 1 leaves" in err
    assert len(predict(capsys, write_csv("named.csv", "123", rows), "--skip-lines", "1")[0]) == 60
    net, extra = fb.load("m.npz"), files.read("m.npz")[0]["extra"]
    for name in ("header", "units"):  # as older versions write it
        del extra["preparation"][name]
    net.save("m.npz", extra=extra)
    line = line_of_error(capsys, 2, ["predict", "m.npz", path])  # the first line is taken for a header
    assert "line 7 repeats the header" in line and "--no-header" in line


def test_notes_come_before_errors(capsys):
    rows = [[100 + i, f"n{i}", i % 2] for i in range(30)]
    write_csv("t.csv", None, rows)
    for options in (["--target", "9"], []):
        assert cli.main(["train", "t.csv", *options]) == 2
        note, error = capsys.readouterr().err.splitlines()
        assert (
            note == "fastbp: the first line of t.csv is taken for names, such as '100': --no-header takes it for data"
        )
        assert error.startswith("fastbp: error: ")


@pytest.mark.parametrize("rows", [[["1", "x", "p"], ["2", "y", "q"]], [["g", "x", "p"], ["h", "y", "q"]]])
def test_a_header_that_comes_again(rows, capsys):
    path = write_csv("t.csv", ["a", "b", "y"], [*rows * 9, ["a", "b", "y"], *rows])
    line = line_of_error(capsys, 2, ["train", path])
    assert "t.csv, line 20 repeats the header: two files pasted together? Delete the line" in line
    cells = train(capsys, path, "--no-header", "--text", "1", "--task", "classification")[0].classes
    assert cells == ["p", "q", "y"]


def test_files_joined_in_two_encodings(capsys):
    text = "Straße,Wert,n,y\n" + "Köln,1,2,p\nBonn,2,3,q\n" * 9
    Path("t.csv").write_bytes(text.encode() + text.encode("cp1252"))
    line = line_of_error(capsys, 2, ["train", "t.csv"])
    assert "line 20: the bytes df are not text in utf-8, while others, such as those of line 1, are" in line
    assert "split the file there" in line and "utf-16" not in line
    assert "line 20 repeats the header" in line_of_error(capsys, 2, ["train", "t.csv", "--encoding", "cp1252"])


def test_advice_on_encodings_is_another_one(capsys):
    Path("t.csv").write_bytes(b"a,b\n1,22\n")
    line = line_of_error(capsys, 2, ["train", "t.csv", "--encoding", "utf-16"])
    assert "not text in utf-16: --encoding names another, such as cp1252, mac-roman or utf-8" in line


def test_columns_of_one_name(capsys):
    path = write_csv("t.csv", ["a", "a", "a.2", "a", "y"], [[i, 2 * i % 7, i % 5, i % 3, i + 0.5] for i in range(40)])
    preparation, _, err = train(capsys, path)
    assert preparation.features == ["a", "a.3", "a.2", "a.4"]
    assert "columns 1 and 2 are both named 'a': the latter is read as 'a.3'; columns 1 and 4" in err
    assert len(predict(capsys, path)[0]) == 40
    assert train(capsys, path, "--drop", "a.3")[0].features == ["a", "a.2", "a.4"]


def test_a_name_with_a_line_break_may_be_typed_with_a_space(capsys):
    path = write_csv("t.csv", ["Age\n(years)", "b", "y"], [[i, i % 7, i + 0.5] for i in range(40)])
    assert train(capsys, path, "--drop", "Age (years)")[0].features == ["b"]


def test_lines_with_another_number_of_cells(capsys):
    lines = ["a,b,y", *["1,2,3"] * 5, "1,2", *["1,2,3"] * 5, "1,2,3,4", "1", "", "2"]
    Path("t.csv").write_text("\n".join(lines))
    line = line_of_error(capsys, 2, ["train", "t.csv"])
    assert "line 7: expected 3 cells, found 2; line 13: found 4; line 14: found 1; and so on, 4 such lines" in line
    assert "quotation marks" in line
    Path("t.csv").write_text("\n".join(lines[:12]))
    line = line_of_error(capsys, 2, ["train", "t.csv"])
    assert "found 2: complete what was cut off, or delete lines that are no rows" in line and "quot" not in line


# --- numbers and units ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [("(61.22)", -61.22), ("($23.36)", -23.36), ("$(5)", -5), ("96,70-", -96.7), ("$-", 0), ("- €", 0), ("$ -", 0)],
)
def test_numbers_of_accountants(text, value):
    assert numbers.cell_of(text).value() == value
    assert numbers.exact(text) is None


@pytest.mark.parametrize("text", ["()", "(a)", "(-5)", "((5))", "-5-", "5 -", "%-", "-", "($5 €)", "a-"])
def test_what_accountants_do_not_write(text):
    assert numbers.cell_of(text) is None


def test_a_column_of_accountants(capsys):
    cells = ["$34.22", "($61.22)", "$-", "$80.95"]
    preparation, _, err = train(capsys, write_csv("t.csv", ["a", "y"], [[cells[i % 4], i + 0.5] for i in range(80)]))
    assert abs(preparation.mean[0] - (34.22 - 61.22 + 80.95) / 4) < 3 and preparation.units == ["$", ""]
    assert "cells such as '($61.22)' are read as negative numbers" in err
    assert "cells such as '$-' are read as 0" in err and "'$34.22' are read as numbers, without the $" in err
    write_csv("t.csv", ["a", "y"], [[f"({i % 4})", i + 0.5] for i in range(80)])
    assert train(capsys, "t.csv")[0].categories == [["(0)", "(1)", "(2)", "(3)"]]


def test_numbers_with_units_in_letters_are_noted(capsys):
    rows = [[["1.2 kg", "800 g", "EUR 5"][i % 3], ["A12", "2 door 2", "b"][i % 3], i + 0.5] for i in range(60)]
    _, _, err = train(capsys, write_csv("t.csv", ["weight", "kind", "y"], rows))
    assert "column 'weight': cells such as '1.2 kg' and '800 g' are names of categories: for numbers, write" in err
    assert "column 'kind'" not in err
    assert "such as '1.2 kg'" not in train(capsys, "t.csv", "--text", "weight")[2]


def test_the_cells_that_keep_a_column_from_being_numbers_are_named(capsys):
    rows = [[f"{i}.5" if i % 3 else f"21:{i:02d}", i + 0.5] for i in range(60)]
    rows += [[f"2:{i}", i + 0.5] for i in range(40)]
    line = line_of_error(capsys, 2, ["train", write_csv("t.csv", ["t", "y"], rows)])
    assert "('21:00' in line 2, '21:03' in line 5, …)" in line


def test_a_unit_that_was_trained_on_and_is_not_there(capsys):
    rows = [[f"{i % 9}.5%", i % 7, i + 0.5] for i in range(60)]
    path = write_csv("t.csv", ["rate", "x", "y"], rows)
    assert train(capsys, path)[0].units == ["%", "", ""]
    assert "trained" not in predict(capsys, path)[1]
    _, err = predict(capsys, write_csv("new.csv", ["rate", "x"], [["0.045", 1]]))
    assert "new.csv, column 'rate': the model was trained on values with %, and these come without it" in err
    _, err = predict(capsys, write_csv("new.csv", ["rate", "x"], [["$4", "5%"]]))
    assert "column 'rate': the model was trained on values with %, and these come with $" in err
    assert "column 'x': the model was trained on values without a unit, and these come with %" in err


def test_a_typographic_apostrophe(capsys):
    path = write_csv("t.csv", ["a", "y"], [[f"1’{100 + i}", i + 0.5] for i in range(40)])
    assert train(capsys, path, "--thousands", "’")[0].mean[0] > 1100


def test_classes_that_differ_in_case_or_spaces_are_noted(capsys):
    path = write_csv("t.csv", ["x", "y"], [[i, ["yes", "Yes", "n o", "no", "other"][i % 5]] for i in range(100)])
    note = "column 'y': 'yes' and 'Yes'; 'n o' and 'no' differ only in case or spaces, and each is a class of its own"
    assert note in train(capsys, path)[2]


def test_cells_are_shown_as_the_file_has_them(capsys):
    for cell, want in [(r"a\b", r"'a\b'"), ("1\u202f2x", "'1\u202f2x'"), ("it's", '"it\'s"'), ("a\nb", r"'a\nb'")]:
        path = write_csv("t.csv", ["x", "y"], [[cell if i == 3 else i, i + 0.5] for i in range(40)])
        assert f"column 'x': {want} is not a number" in line_of_error(capsys, 2, ["train", path])


# --- predict -------------------------------------------------------------------------------------------


def test_errors_of_predict_name_a_cure(capsys):
    train(capsys, write_csv("t.csv", ["a", "b", "y"], [[i, i % 7, i + 0.5] for i in range(40)]))
    write_csv("new.csv", ["a", "b"], [[1, "n.a."]])
    line = line_of_error(capsys, 2, ["predict", "m.npz", "new.csv"])
    assert "(the model was trained without --impute: delete the line, or train with --impute): the cell holds" in line
    write_csv("new.csv", ["a", "b"], [[1, "x"]])
    line = line_of_error(capsys, 2, ["predict", "m.npz", "new.csv"])
    assert "'x' is not a number (correct the cell or delete its line)" in line


def test_models_that_predict_does_not_take(capsys):
    X = np.ones((4, 2), np.float32)
    write_csv("t.csv", ["a", "b"], X.tolist())
    fb.Ensemble(fb.Network([fb.Dense(1)], (2,), loss="mse", seed=0), 2).save("e.npz")
    line = line_of_error(capsys, 2, ["predict", "e.npz", "t.csv"])
    assert "e.npz holds an ensemble, and this command takes one network: predict in Python" in line
    twice = fb.CustomActivation(lambda x: 2 * x, lambda x: 2.0, name="twice")
    fb.Network([fb.Dense(1, activation=twice)], (2,), loss="mse", seed=0).save("c.npz")
    line = line_of_error(capsys, 2, ["predict", "c.npz", "t.csv"])
    assert "c.npz has a CustomActivation or CustomLoss" in line and "custom_objects" in line


def test_what_is_no_model_is_named(capsys):
    fb.Network([fb.Dense(1)], (2,), loss="mse", seed=0).save("m.npz")
    write_csv("t.csv", ["a", "b"], [[1, 2]] * 40)
    np.savez("arrays.npz", X=np.ones(3), y=np.ones(3))
    Path("a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    Path("b.bin").write_bytes(bytes(range(256)))
    Path("cut.npz").write_bytes(Path("m.npz").read_bytes()[:-200])
    line = line_of_error(capsys, 2, ["predict", "t.csv", "m.npz"])
    assert "m.npz is a model, which comes before the data: fastbp predict m.npz t.csv" in line
    for name, kind in [
        ("t.csv", "it is a text file, such as CSV, and does not end as one does"),
        ("arrays.npz", "it is an NPZ file of arrays (X, y)"),
        ("a.png", "it is a picture (PNG)"),
        ("b.bin", "it is of no kind that is known here"),
        ("cut.npz", "it is a zip or NPZ file that was cut off"),
    ]:
        line = line_of_error(capsys, 2, ["predict", name, "t.csv"])
        assert f"{name} is not a whole fastbp model file: {kind}" in line


# --- output --------------------------------------------------------------------------------------------


def test_a_reader_that_leaves_early_does_not_lose_the_model():
    path = write_csv("t.csv", ["a", "y"], [[i, i + 0.5] for i in range(40)])
    command = [sys.executable, "-m", "fastbp", "train", path, *FAST, "--save", "m.npz"]
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as nobody_reads:
        done = subprocess.run(command, stdout=nobody_reads, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0 and done.stderr == ""
    assert fb.load("m.npz").input_shape == (1,)


def test_compiling_is_counted_apart(capsys, monkeypatch):
    assert functions.seconds_compiling() >= 0
    from fastbp.command import train as module

    told = iter([1.0, 1.25])
    monkeypatch.setattr(module, "seconds_compiling", lambda: next(told))
    path = write_csv("t.csv", ["a", "y"], [[i, i + 0.5] for i in range(40)])
    assert " s, after 0.25 s of compiling\n" in train(capsys, path)[1]
    monkeypatch.setattr(module, "seconds_compiling", lambda: 1.0)
    assert "compiling" not in train(capsys, path)[1]


def test_seconds_of_compiling_are_counted():
    twice = functions.EntryPoint(lambda x: 2 * x + 1, functions.types.float64(functions.types.float64))
    twice.__name__ = None  # not cached
    before = functions.seconds_compiling()
    assert twice(2.0) == 5
    assert functions.seconds_compiling() > before
    after = functions.seconds_compiling()
    twice(3.0)
    assert functions.seconds_compiling() == after
