"""Raw tables: text, missing values and Parquet, from the file to the network and from the model to the predictions."""

import datetime
import decimal
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from commands import line_of_error, read_predictions, write_csv

import fastbp as fb
from fastbp.command import cli, tables
from fastbp.formats import files

OLD = Path(__file__).parent / "data" / "tables"
FAST = ["--hidden", "8", "--epochs", "3", "--no-plot", "--quiet"]
HOUSES = ["rooms", "town", "garden", "price"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def houses(rows=120, seed=0):
    """A column of numbers, one of text, one of flags, and a price that they decide."""
    rng = np.random.default_rng(seed)
    rooms, garden = rng.integers(1, 9, rows), rng.random(rows) < 0.5
    town = rng.choice(["Basel", "Bern", "Zürich"], rows)
    price = 100.5 * rooms + 300 * (town == "Zürich") + 50 * garden
    return [list(row) for row in zip(rooms.tolist(), town.tolist(), garden.tolist(), price.tolist(), strict=True)]


def write_parquet(path, header, rows, **types):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    pq.write_table(pa.table({name: pa.array(cells, types.get(name)) for name, cells in columns.items()}), path)
    return path


def train(*argv):
    assert cli.main(["train", *argv, *FAST, "--save", "m.npz"]) == 0
    return tables.Preparation(**files.read("m.npz")[0]["extra"]["preparation"])


def predict(capsys, *argv):
    """The predictions, and what is said on them."""
    capsys.readouterr()
    assert cli.main(["predict", *argv]) == 0
    out, err = capsys.readouterr()
    return read_predictions(out), err


# --- from a file to the network -----------------------------------------------------------------------


def test_numbers_are_scaled_and_texts_are_one_of_their_categories():
    rows = [[i, "abc"[i % 3], 10 * i, "xy"[i % 2], i + 0.5] for i in range(50)]
    table = tables.read_to_train(write_csv("t.csv", ["n", "s", "m", "t", "y"], rows))
    preparation, parts = tables.prepare(table, tables.REGRESSION, 0.2, 0, np.float64)
    assert preparation.features == ["n", "s", "m", "t"]
    assert preparation.categories == [None, ["a", "b", "c"], None, ["x", "y"]]
    for X, y in parts:
        i = np.rint(preparation.unscaled(y[:, None]) - 0.5).astype(int)
        numbers = (np.stack([i, 10 * i], axis=1) - preparation.mean) / preparation.deviation
        np.testing.assert_allclose(X, np.hstack([numbers, np.eye(3)[i % 3], np.eye(2)[i % 2]]), atol=1e-12)


def test_a_table_of_text_alone(capsys):
    rows = [["ab"[i % 2], "xyz"[i % 3], ["no", "yes"][i % 2]] for i in range(40)]
    preparation = train(write_csv("t.csv", ["a", "b", "y"], rows))
    assert preparation.mean == [] and fb.load("m.npz").input_shape == (5,)
    assert "2 features (2 of text: 'a', 'b'), 2 classes" in capsys.readouterr().out


def test_csv_and_parquet_give_the_same_network(capsys):
    rows = houses()
    for row in rows[::7]:
        row[1], row[0] = None, None
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    preparations, models = [], []
    for path in (write_csv("t.csv", HOUSES, texts), write_parquet("t.parquet", HOUSES, rows)):
        preparations.append(asdict(train(path, "--impute", "--text", "garden")))
        models.append(fb.load("m.npz").params)
    assert preparations[0].pop("categories") == [None, ["", "Basel", "Bern", "Zürich"], ["False", "True"]]
    assert preparations[1].pop("categories") == [None, ["", "Basel", "Bern", "Zürich"], ["0", "1"]]
    assert preparations[0] == preparations[1]
    np.testing.assert_array_equal(*models)


def test_flags_of_parquet_are_numbers_that_csv_may_write_as_words(capsys):
    rows = houses()
    preparation = train(write_parquet("t.parquet", HOUSES, rows))
    assert preparation.categories == [None, ["Basel", "Bern", "Zürich"], None]
    from_parquet = predict(capsys, "m.npz", "t.parquet")
    assert predict(capsys, "m.npz", write_csv("t.csv", HOUSES, rows)) == from_parquet

    train("t.csv")
    assert predict(capsys, "m.npz", "t.parquet") == predict(capsys, "m.npz", "t.csv")


@pytest.mark.parametrize("ending", ["csv", "parquet", "npz"])
def test_text_classes_in_every_format(ending, capsys):
    x = np.linspace(-1, 1, 80)
    rows = [[value, "plus" if value > 0 else "minus"] for value in x.tolist()]
    path = f"t.{ending}"
    if ending == "npz":
        np.savez(path, X=x, y=[name for _, name in rows])
    else:
        {"csv": write_csv, "parquet": write_parquet}[ending](path, ["x", "y"], rows)
    assert cli.main(["train", path, "--save", "m.npz", "--no-plot", "--quiet"]) == 0
    assert "1 feature, 2 classes, target 'y'" in capsys.readouterr().out
    predictions, err = predict(capsys, "m.npz", path)
    assert err.startswith(("fastbp: accuracy 0.9", "fastbp: accuracy 1.0"))
    assert {p["prediction"] for p in predictions} == {"minus", "plus"}


def test_a_set_of_scikit_learn_may_have_another_target(capsys):
    preparation = train("iris", "--target", "petal width (cm)", "--task", "regression")
    assert preparation.categories == [None, None, None, ["setosa", "versicolor", "virginica"]]
    assert "no R²" not in predict(capsys, "m.npz", "iris")[1]


# --- unknown categories -------------------------------------------------------------------------------


def test_unknown_categories_count_as_none_and_are_reported_once(capsys):
    train(write_csv("t.csv", HOUSES, houses()))
    rows = [[3, "Bern", True, 1], [3, "Genf", True, 1], [3, "Genf", True, 1], [3, "Lugano", True, 1]]
    predictions, err = predict(capsys, "m.npz", write_csv("new.csv", HOUSES, rows))
    first = "new.csv, line 3, column 'town': 'Genf'"
    assert err.splitlines()[0] == f"fastbp: 3 cells with unknown categories, which count as none; the first: {first}"
    prices = [p["prediction"] for p in predictions]
    assert prices[1] == prices[2] == prices[3] != prices[0]
    net = fb.load("m.npz")
    preparation = tables.Preparation(**files.read("m.npz")[0]["extra"]["preparation"])
    X = np.zeros((1, 6))
    X[0, 0], X[0, 5] = (3 - preparation.mean[0]) / preparation.deviation[0], 1  # and no town
    expected = preparation.unscaled(net.predict(X))
    np.testing.assert_allclose(float(prices[1]), expected, rtol=1e-5)


def test_a_category_that_is_a_number_may_be_written_otherwise(capsys):
    rows = [[i % 3, i % 2, i] for i in range(60)]
    preparation = train(write_csv("t.csv", ["code", "b", "y"], rows), "--text", "code", "--text", "2")
    assert preparation.categories == [["0", "1", "2"], ["0", "1"]]
    expected = predict(capsys, "m.npz", "t.csv")
    rows = [[f"{code}.0", ["false", "TRUE"][b], y] for code, b, y in rows]
    assert predict(capsys, "m.npz", write_csv("t.csv", ["code", "b", "y"], rows)) == expected


# --- missing values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["", " ", "?", "NA", "n/a", "NaN", "null"])
def test_a_missing_number(cell, capsys):
    rows = [[i, 3, i + 0.5] for i in range(40)]
    rows[5][1] = cell
    path = write_csv("t.csv", ["a", "b", "y"], rows)
    line = line_of_error(capsys, 2, ["train", path])
    assert "t.csv, line 7, column 'b': the value is missing (--impute" in line
    preparation = train(path, "--impute")
    assert preparation.fill[1] == 3 and preparation.categories is None


def test_a_missing_text(capsys):
    rows = [["ab"[i % 2], i] for i in range(40)]
    rows[5][0] = rows[6][0] = rows[7][0] = rows[8][0] = ""
    path = write_csv("t.csv", ["s", "y"], rows)
    assert "t.csv, line 7, column 's': the value is missing" in line_of_error(capsys, 2, ["train", path])
    assert train(path, "--impute").categories == [["", "a", "b"]]


def test_the_fill_values_are_of_the_rows_trained_on_and_kept(capsys):
    rng = np.random.default_rng(1)
    X = rng.exponential(size=(100, 2)).astype(np.float32)
    y = X.sum(axis=1)
    X[rng.random((100, 2)) < 0.2] = np.nan
    np.savez("t.npz", X=X, y=y)
    preparation = train("t.npz", "--impute", "--seed", "3")
    order = np.random.default_rng(3).permutation(100)[28:]  # 20 are for the test, 8 for validation
    np.testing.assert_allclose(preparation.fill, np.nanmedian(X[order], axis=0), rtol=1e-6)
    filled = np.where(np.isnan(X), np.array(preparation.fill, np.float32), X)
    np.testing.assert_allclose(preparation.mean, filled[order].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(preparation.deviation, filled[order].std(axis=0), rtol=1e-5)
    holes, _ = predict(capsys, "m.npz", "t.npz")
    np.savez("t.npz", X=filled, y=y)
    whole, _ = predict(capsys, "m.npz", "t.npz")
    np.testing.assert_allclose(*([float(p["prediction"]) for p in some] for some in (holes, whole)), rtol=1e-5)


def test_missing_values_at_prediction(capsys):
    path, new = write_csv("t.csv", HOUSES, houses()), write_csv("new.csv", HOUSES, [["", "", True, ""]])
    train(path)
    line = line_of_error(capsys, 2, ["predict", "m.npz", new])
    assert (
        "new.csv, line 2, column 'rooms': the value is missing (the model was trained without --impute: delete the line"
        in line
    )
    preparation = train(path, "--impute")
    assert preparation.categories[1] == ["Basel", "Bern", "Zürich"]  # none was missing: none of them, then
    predictions, err = predict(capsys, "m.npz", new)
    assert len(predictions) == 1 and err == ""


def test_the_target_is_never_filled_in(capsys):
    rows = houses()
    rows[3][3] = ""
    write_csv("t.csv", HOUSES, rows)
    assert line_of_error(capsys, 2, ["train", "t.csv", "--impute"]).endswith(
        "line 5, column 'price': the value is missing (--skip-missing-target leaves such rows out)\n"
    )


def test_a_test_set_is_checked_too(capsys):
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20.0)
    np.savez("t.npz", x_train=X, y_train=y, x_test=np.where(X == 5, np.nan, X), y_test=y)
    line = line_of_error(capsys, 2, ["train", "t.npz"])
    assert "t.npz, row 3, array 'x_test', feature 2: the value is missing" in line
    np.savez("t.npz", x_train=X, y_train=y, x_test=X, y_test=np.where(y == 5, np.nan, y))
    assert "row 6, array 'y_test': the value is missing" in line_of_error(capsys, 2, ["train", "t.npz", "--impute"])


def test_a_column_without_any_value(capsys):
    write_csv("t.csv", ["a", "b", "y"], [[i, "", i + 0.5] for i in range(30)])
    for options in ([], ["--impute"]):
        assert "t.csv: the column 'b' is empty: --drop b\n" in line_of_error(capsys, 2, ["train", "t.csv", *options])


# --- which columns are what ---------------------------------------------------------------------------


def test_a_column_of_numbers_with_a_text(capsys):
    rows = [[[0, 1, 2, "3+"][i % 4], i + 0.5] for i in range(40)]
    path = write_csv("t.csv", ["of children", "y"], rows)
    line = line_of_error(capsys, 2, ["train", path])
    assert "line 5, column 'of children': '3+' is not a number (correct" in line
    assert "--text 'of children' makes it a category" in line
    assert train(path, "--text", "of children").categories == [["0", "1", "2", "3+"]]


@pytest.mark.parametrize("rows", [30, 3000])
def test_a_column_of_identifiers(rows, capsys):
    cells = [[f"A{i % 1001}" if rows > 1001 else f"A{i}", i, i + 0.5] for i in range(rows)]
    path = write_csv("t.csv", ["customer id", "x", "y"], cells)
    line = line_of_error(capsys, 2, ["train", path])
    assert "t.csv: the column 'customer id' holds" in line and "--drop 'customer id'" in line
    assert train(path, "--drop", "customer id").features == ["x"]
    if rows > 1001:
        write_csv("t.csv", ["customer id", "x", "y"], [[f"A{i % 1000}", *cells[i][1:]] for i in range(rows)])
        assert 900 < len(train("t.csv").categories[0]) <= 1000


def test_texts_that_are_different_in_most_rows(capsys):
    """Dates: a few that occur twice make no categories of them."""
    cells = [[f"2024-{i % 11 + 1:02d}-{i % 29 + 1:02d}", i, i + 0.5] for i in range(400)]
    path = write_csv("t.csv", ["built", "x", "y"], cells)
    line = line_of_error(capsys, 2, ["train", path])
    assert "the column 'built' holds 319 different texts in 400 rows" in line and "--drop built" in line
    line = line_of_error(capsys, 2, ["train", path, "--target", "built"])
    assert "the target 'built' has 319 classes in 400 rows" in line


def test_identifiers_with_underscores_are_no_numbers():
    rows = [[f"{i % 5}_{i % 3}", i, i + 0.5] for i in range(60)]
    assert len(train(write_csv("t.csv", ["shelf", "x", "y"], rows)).categories[0]) == 15


def test_decimal_commas(capsys):
    rows = [[f"{i % 7},5", ["a", "b"][i % 2], i] for i in range(100)]
    path = write_csv("t.csv", ["x", "kind", "y"], rows, delimiter=";")
    preparation = train(path)
    assert preparation.categories == [None, ["a", "b"]] and 3 < preparation.mean[0] < 4
    assert train(path, "--text", "x").categories == [[f"{i},5" for i in range(7)], ["a", "b"]]
    assert train(path, "--target", "x", "--task", "classification").classes == [f"{i},5" for i in range(7)]


def test_a_first_line_that_may_be_no_header(capsys):
    rows = [[i, ["a", "b"][i % 2], i % 7 + 10] for i in range(70)]
    capsys.readouterr()
    assert cli.main(["train", write_csv("t.csv", None, rows), "--epochs", "1", "--no-save"]) == 0
    want = "fastbp: the first line of t.csv is taken for names, such as '0': --no-header takes it for data\n"
    assert capsys.readouterr().err.startswith(want)
    assert cli.main(["train", "t.csv", "--no-header", "--quiet", "--epochs", "1", "--no-save"]) == 0
    assert capsys.readouterr().err == ""


def test_pandas_names_columns_that_have_no_names_by_counting(capsys):
    rows = [[i / 7, i % 5, 10 + i % 3, i % 2] for i in range(60)]
    path = write_csv("t.csv", "0123", rows)
    preparation = train(path, "--target", "3")
    assert preparation.features == ["0", "1", "2"] and preparation.classes == ["0", "1"]
    out, err = capsys.readouterr()
    assert "60 rows" in out and err.startswith("fastbp: the first line of t.csv is taken for names, such as '0'")
    predictions, err = predict(capsys, "m.npz", write_csv("new.csv", "012", [row[:3] for row in rows]))
    assert len(predictions) == 60 and err == ""

    assert train(path, "--target", "3", "--no-header").position == 3
    assert "61 rows" in capsys.readouterr().out
    assert train(write_csv("one.csv", "1234", rows)).features is None
    predictions, err = predict(capsys, "m.npz", path)  # a model without names can't tell
    assert len(predictions) == 60 and "--no-header takes it for data" in err


@pytest.mark.parametrize(("target", "names"), [("0", "123"), ("2", "3102"), ("3", "012")])
def test_the_names_of_the_model_make_a_header(target, names, capsys):
    rows = [[10 + i % 2, i / 7, i % 5, i % 3] for i in range(60)]
    train(write_csv("t.csv", "0123", rows), "--target", target, "--task", "classification")
    expected, _ = predict(capsys, "m.npz", "t.csv")
    write_csv("new.csv", names, [[row[int(name)] for name in names] for row in rows])
    assert predict(capsys, "m.npz", "new.csv")[0] == expected


def test_pandas_index_has_no_name_in_csv(capsys):
    path = write_csv("t.csv", ["", "0"], [[i, i + 0.5] for i in range(60)])
    assert "t.csv has the one column '0'" in line_of_error(capsys, 2, ["train", path])
    path = write_csv("t.csv", ["", "0", "1", "2"], [[i, i % 5, i % 3, i + 0.5] for i in range(60)])
    assert train(path).features == ["0", "1"]
    assert "t.csv: column 1 has no name of its own and is left out" in capsys.readouterr().err
    assert "column '1': the value is missing" in line_of_error(capsys, 2, ["train", path, "--no-header"])


def test_dropped_columns(capsys):
    path = write_csv("t.csv", [*HOUSES, "note"], [[*row, f"text {i}"] for i, row in enumerate(houses())])
    assert train(path, "--drop", "note", "--drop", "2").features == ["rooms", "garden"]
    assert "target 'price'" in capsys.readouterr().out
    for options, phrase in [
        (["--drop", "age"], "no column 'age' for --drop; it has rooms, town"),
        (["--text", "6"], "no column '6' for --text"),
        (["--drop", "price", "--target", "price"], "'price' can't be both dropped and the target"),
        ([word for name in HOUSES for word in ("--drop", name)], "only 'note' is left of the columns"),
    ]:
        assert phrase in line_of_error(capsys, 2, ["train", path, *options])


def test_dropped_columns_of_a_file_without_header(capsys):
    rows = [[1000 + i, i % 2, i % 5, i] for i in range(40)]
    path = write_csv("t.csv", None, rows)
    assert train(path, "--drop", "1", "--target", "2", "--task", "classification").dropped == [1]
    whole, err = predict(capsys, "m.npz", path)
    assert "accuracy" in err
    assert predict(capsys, "m.npz", write_csv("new.csv", None, [row[2:] for row in rows])) == (whole, "")
    write_csv("new.csv", None, [row[1:] for row in rows])
    line = line_of_error(capsys, 2, ["predict", "m.npz", "new.csv"])
    assert "must have the model's 2 columns, or 4 with the target and what was left out, got 3" in line


def test_text_without_header(capsys):
    rows = [[40, "private", "yes"], *[[i, ["public", "private"][i % 2], ["no", "yes"][i % 2]] for i in range(40)]]
    path = write_csv("t.csv", None, rows)
    preparation = train(path, "--no-header")
    assert "41 rows, 2 features (1 of text: '2'), 2 classes, target '3'" in capsys.readouterr().out
    assert preparation.features is None and preparation.position == 3
    predictions, _ = predict(capsys, "m.npz", path, "--no-header")
    assert len(predictions) == 41
    np.savez("new.npz", X=np.ones((3, 2)))
    assert "2 features of the model, got 2 of numbers alone" in line_of_error(
        capsys, 2, ["predict", "m.npz", "new.npz"]
    )
    train(write_csv("twice.csv", None, [["a", "a", 1], *rows]))
    assert "(with --no-header the first line is data)" in capsys.readouterr().err


def test_text_in_a_column_of_numbers_to_predict(capsys):
    train(write_csv("t.csv", HOUSES, houses()))
    write_csv("new.csv", HOUSES, [[3, "Bern", True, 1], ["many", "Bern", True, 1]])
    line = line_of_error(capsys, 2, ["predict", "m.npz", "new.csv"])
    assert "new.csv, line 3, column 'rooms': 'many' is not a number" in line


def test_a_target_to_predict_that_is_no_number(capsys):
    train(write_csv("t.csv", HOUSES, houses()))
    predictions, err = predict(capsys, "m.npz", write_csv("new.csv", HOUSES, [[3, "Bern", True, "much"]]))
    assert len(predictions) == 1 and err == "fastbp: no R²: new.csv, line 2, column 'price': 'much' is not a number\n"


# --- Parquet ------------------------------------------------------------------------------------------


def test_types_of_parquet():
    pa = pytest.importorskip("pyarrow")
    rows = [[1, 2.5, True, decimal.Decimal("1.50"), 7, "a", "u", None, 0], [None] * 8 + [1]]
    header = ["int", "float", "flag", "decimal", "codes", "text", "category", "nothing", "y"]
    types = {"text": pa.large_string(), "category": pa.dictionary(pa.int8(), pa.string())}
    types |= {"codes": pa.dictionary(pa.int8(), pa.int64()), "decimal": pa.decimal128(5, 2)}
    table = tables.read_to_train(write_parquet("t.parquet", header, rows, **types))
    got = {name: column.tolist() for name, column in table.columns.items()}
    assert [got[name][0] for name in header[:5]] == [1, 2.5, 1, 1.5, 7]
    assert all(np.isnan(got[name][1]) for name in header[:5]) and np.isnan(got["nothing"]).all()
    assert [got[name] for name in header[5:7]] == [["a", ""], ["u", ""]]
    assert table.target == "y" and table.named


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        (datetime.date(2020, 1, 1), "date32"),
        (datetime.datetime(2020, 1, 1), "timestamp"),
        ([1.0, 2.0], "list"),
        ({"a": 1}, "struct"),
        (b"raw", "binary"),
    ],
)
def test_columns_of_parquet_that_are_neither_numbers_nor_text(cell, kind, capsys):
    path = write_parquet("t.parquet", ["when", *HOUSES], [[cell, *row] for row in houses()])
    line = line_of_error(capsys, 2, ["train", path])
    assert "t.parquet: the column 'when' of " + kind in line and "--drop when" in line
    train(path, "--drop", "when")
    assert "R²" in predict(capsys, "m.npz", path)[1]


def test_pandas_index_is_no_column():
    pytest.importorskip("pyarrow")
    import pandas as pd

    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": ["a", "b", "a"]}, index=[5, 3, 4])
    frame.to_parquet("t.parquet")
    assert list(tables.read_to_train("t.parquet").columns) == ["x", "y"]
    frame.rename_axis("key").to_parquet("t.parquet")
    assert tables.read_to_train("t.parquet").target == "y"


def test_a_column_of_parquet_with_the_name_of_a_part_of_another():
    path = write_parquet("t.parquet", ["x", "x.a", "y"], [[{"a": 7.0, "b": 8.0}, i, i % 2] for i in range(9)])
    table = tables.read_to_train(path, drop=["x"])
    assert table.features == ["x.a"] and table.columns["x.a"].tolist() == list(range(9))


def test_missing_values_of_parquet(capsys):
    rows = houses()
    rows[4][1] = None
    path = write_parquet("t.parquet", HOUSES, rows)
    assert "t.parquet, row 5, column 'town': the value is missing" in line_of_error(capsys, 2, ["train", path])


def test_wrong_parquet(capsys, tmp_path):
    good = Path(write_parquet("t.parquet", HOUSES, houses())).read_bytes()
    (tmp_path / "noise.parquet").write_bytes(bytes(range(256)))
    (tmp_path / "cut.parquet").write_bytes(good[:-20])
    (tmp_path / "torn.parquet").write_bytes(good[:4] + bytes(200) + good[204:])
    (tmp_path / "empty.pq").write_bytes(b"")
    for name in ("noise.parquet", "cut.parquet", "torn.parquet", "empty.pq"):
        assert f"{name} is not a Parquet file that can be read" in line_of_error(capsys, 2, ["train", name])
    assert "has no rows" in line_of_error(capsys, 2, ["train", write_parquet("t.pq", HOUSES, [])])
    train("t.parquet")
    line = line_of_error(capsys, 2, ["predict", "m.npz", write_parquet("t.pq", ["town"], [["Bern"]])])
    assert "t.pq lacks the model's columns 'rooms', 'garden'; it has town" in line


def test_parquet_needs_pyarrow(capsys, monkeypatch, tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'fastbp[parquet]'" in line_of_error(capsys, 2, ["train", "t.parquet"])


# --- model files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", sorted(path.name for path in OLD.glob("*.model")))
def test_models_of_older_versions(model, capsys):
    version, name = model.removesuffix(".model").split("-")
    data = next(path for path in OLD.glob(f"{name}.*") if path.suffix in (".csv", ".npz"))
    predictions, err = predict(capsys, str(OLD / model), str(data))
    with open(OLD / f"{version}-{name}.csv", encoding="utf-8") as file:
        expected = read_predictions(file.read())
    assert "accuracy" in err or "R²" in err
    if "probability" in expected[0]:
        assert [p["prediction"] for p in predictions] == [p["prediction"] for p in expected]
    values = [[float(p.get("probability", p["prediction"])) for p in some] for some in (predictions, expected)]
    np.testing.assert_allclose(*values, rtol=1e-5)


@pytest.mark.parametrize(
    "damage",
    [
        {"categories": [None, ["a"]]},
        {"categories": [["a"], ["b"], None]},
        {"categories": [None, [1, 2, 3], None]},
        {"categories": 3},
        {"fill": [1.0]},
        {"fill": "x"},
        {"mean": [float("nan"), 1.0]},
        {"features": ["a"]},
        {"features": [1, 2, 3]},
        {"dropped": [9]},
        {"dropped": 1},
        {"position": "4"},
        {"position": 0},
    ],
)
def test_damaged_preparation(damage, capsys):
    rows = [[row[0], row[1], int(row[2]), row[3]] for row in houses()]
    preparation = asdict(train(write_csv("t.csv", HOUSES, rows), "--impute"))
    assert len(preparation["mean"]) == 2
    fb.load("m.npz").save("m.npz", extra={"preparation": {**preparation, **damage}})
    capsys.readouterr()
    assert "m.npz is not a valid model" in line_of_error(capsys, 2, ["predict", "m.npz", "t.csv"])


# --- images -------------------------------------------------------------------------------------------


def bars(rows, *shape, seed=0):
    """Noisy images, half of them with a bright row, and whether they have one."""
    rng = np.random.default_rng(seed)
    X, y = rng.integers(0, 60, (rows, *shape), dtype=np.uint8), np.arange(rows) % 2
    X[y == 1, ..., 5, :] += 150
    return X, y


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (784,), (3, 33, 32), (12, 13)])
def test_lenet(shape, capsys):
    X, y = bars(300, *(shape if len(shape) > 1 else (28, 28)))
    np.savez("bars.npz", X=X.reshape(300, *shape), y=y)
    assert cli.main(["train", "bars.npz", "--preset", "lenet", "--no-plot", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "-> LeNet-5 -> 2" in out and f"{X[0].size:,} features" in out
    net = fb.load("fastbp-bars.npz")
    channels, size = (3, (33, 32)) if shape[0] == 3 else (1, X.shape[-2:])
    assert net.input_shape == (channels, *size) and net.epochs_trained == 10
    preparation = tables.Preparation(**files.read("fastbp-bars.npz")[0]["extra"]["preparation"])
    assert len(preparation.mean) == channels
    predictions, err = predict(capsys, "fastbp-bars.npz", "bars.npz")
    assert float(err.split()[2]) > 0.95
    mean, deviation = np.array([preparation.mean, preparation.deviation])[:, :, None, None]
    scaled = (X.reshape(300, channels, *size) - mean) / deviation
    np.testing.assert_allclose(scaled.mean(), 0, atol=0.05)
    expected = net.predict(scaled).max(axis=1)
    np.testing.assert_allclose([float(p["probability"]) for p in predictions], expected, rtol=1e-4)


def test_images_to_predict_have_the_shape_of_those_trained_on_or_are_flat(capsys):
    X, y = bars(60, 3, 16, 20)
    for images, options, same, other in [
        (X[:, 0], ["--preset", "lenet"], [(16, 20), (1, 16, 20), (16, 20, 1), (320,)], [(20, 16), (8, 40), (20, 20)]),
        (X, ["--preset", "lenet"], [(3, 16, 20), (960,)], [(16, 20, 3), (48, 20), (16, 20)]),
        (X[:, 0], [], [(16, 20), (20, 16), (320,)], []),  # for dense layers it is a row of numbers
    ]:
        np.savez("t.npz", X=images, y=y)
        assert cli.main(["train", "t.npz", *options, "--epochs", "1", "--quiet", "--no-plot", "--save", "m.npz"]) == 0
        expected = predict(capsys, "m.npz", "t.npz")
        for shape in same:
            np.savez("t.npz", X=images.reshape(-1, *shape), y=y)
            assert predict(capsys, "m.npz", "t.npz") == expected
        for shape in other:
            np.savez("t.npz", X=np.ones((5, *shape)))
            line = line_of_error(capsys, 2, ["predict", "m.npz", "t.npz"])
            trained = f"rows of shape {images.shape[1:]}, as the model was trained on"
            assert f"t.npz: 'X' must have {trained}, got {shape}\n" in line


def test_lenet_is_the_classical_network(capsys):
    np.savez("bars.npz", X=bars(60, 28, 28)[0], y=np.arange(60) % 10)
    options = ["--epochs", "1", "--no-plot", "--quiet", "--dropout", "0.5", "--learning-rate", "0.01"]
    assert cli.main(["train", "bars.npz", "--preset", "lenet", "--task", "classification", *options]) == 0
    assert "1×28×28 -> LeNet-5 -> 10, 61,706 parameters" in capsys.readouterr().out
    net = fb.load("fastbp-bars.npz")
    assert net.summary().count("Dropout") == 2
    assert net.optimizer == fb.Adam(fb.CosineDecay(0.01, 1))


@pytest.mark.parametrize(
    ("arrays", "options", "phrase"),
    [
        (dict(X=np.ones((20, 8, 8))), "", "images of 12 × 12 pixels or more, got 1 × 8 × 8"),
        (dict(X=np.ones((20, 32, 32, 3))), "", "got 32 × 32 × 3 (channels × height × width; channels come first)"),
        (dict(X=np.ones((20, 200))), "", "(rows, pixels of a square), got (rows, 200)"),
        (dict(X=np.ones((20, 2, 3, 28, 28))), "", "got (rows, 2, 3, 28, 28)"),
        (dict(X=np.ones(20)), "", "got (rows,)"),
        (dict(X=np.ones((20, 28, 28))), "--hidden 64", "--hidden: not allowed with argument --preset"),
        (dict(X=np.ones((20, 28, 28))), "--activation softmax", "--preset: activation must work element by element"),
    ],
)
def test_wrong_images(arrays, options, phrase, capsys):
    np.savez("t.npz", **arrays, y=np.arange(20) % 2)
    assert phrase in line_of_error(capsys, 2, ["train", "t.npz", "--preset", "lenet", *options.split()])


def test_a_preset_is_for_images(capsys):
    for data in (write_csv("t.csv", HOUSES, houses()), "digits"):
        line = line_of_error(capsys, 2, ["train", data, "--preset", "lenet"])
        assert f"--preset lenet needs an NPZ file with an array of images, got {data}" in line
    assert "--preset" in line_of_error(capsys, 2, ["train", "--preset", "vgg"])


def test_missing_pixels(capsys):
    X, y = bars(40, 28, 28)
    X = X.astype(float)
    X[7, 3, 2] = np.nan
    np.savez("t.npz", X=X, y=y)
    argv = ["train", "t.npz", "--preset", "lenet", "--epochs", "1", "--no-plot", "--quiet"]
    assert "t.npz, row 8, array 'X', feature 87: the value is missing" in line_of_error(capsys, 2, argv)
    assert cli.main([*argv, "--impute"]) == 0
    assert len(files.read("fastbp-t.npz")[0]["extra"]["preparation"]["fill"]) == 1
