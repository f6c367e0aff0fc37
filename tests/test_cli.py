"""The command line: round trips from raw files to predictions, and one clear line for each thing that can be wrong."""

import gzip
import os
import re
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
import pytest
from commands import line_of_error, read_predictions, write_csv

import fastbp as fb
from fastbp.command import cli, tables
from fastbp.formats import files

FAST = ["--hidden", "16", "--epochs", "5", "--no-plot"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    fb.set_num_threads(None)


def colours(rows=240, seed=0):
    """Rows of two features, a constant column and a text class that the features decide."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 2)) * [100, 0.01] + [5000, 3]
    names = np.array(["red", "green", "blue: ½"])[(X[:, 0] > 5000).astype(int) + (X[:, 1] > 3)]
    return [[*map(float, x), 7, name] for x, name in zip(X, names, strict=True)]


COLOURS = ["size", "weight", "always 7", "colour"]


def accuracy_in(text):
    found = re.search(r"test accuracy +(\d\.\d+)", text)
    assert found, text
    return float(found[1])


# --- train --------------------------------------------------------------------------------------------


def test_digits(capsys, tmp_path):
    assert cli.main(["train"]) == 0
    out, err = capsys.readouterr()
    assert accuracy_in(out) >= 0.97
    assert "1,797 rows, 64 features, 10 classes" in out and "64 -> 128 relu -> 10" in out
    assert "epoch 60/60" in err
    assert (tmp_path / "fastbp-digits.png").read_bytes().startswith(b"\x89PNG")
    assert fb.load("fastbp-digits.npz").learning_rate == 3e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fastbp-digits.npz", "fastbp-digits.png"]


@pytest.mark.parametrize("name", [n for n in tables.BUNDLED if n not in ("digits", "diabetes")])
def test_other_data_sets_of_scikit_learn(name, capsys):
    assert cli.main(["train", name, "--no-save", "--quiet", "--seed", "2", "--threads", "1"]) == 0
    assert accuracy_in(capsys.readouterr().out) > 0.9


def test_the_same_seed_gives_the_same_model_and_another_seed_another(capsys):
    saved = []
    for seed in ("3", "3", "4"):
        assert cli.main(["train", "iris", *FAST, "--seed", seed, "--save", "m.npz"]) == 0
        saved.append(fb.load("m.npz").params.copy())
    np.testing.assert_array_equal(saved[0], saved[1])
    assert (saved[0] != saved[2]).any()


def test_no_save_leaves_nothing(tmp_path):
    assert cli.main(["train", "iris", "--no-save", "--epochs", "1"]) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.png", "a.pdf", "a.svg"])
def test_picture_where_asked_for(name, tmp_path):
    assert cli.main(["train", "iris", "--no-save", "--epochs", "1", "--plot", name]) == 0
    assert (tmp_path / name).stat().st_size > 1000
    assert len(list(tmp_path.iterdir())) == 1


def test_picture_is_skipped_without_matplotlib_unless_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    assert cli.main(["train", "iris", "--hidden", "8", "--epochs", "1"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["fastbp-iris.npz"]
    capsys.readouterr()
    line = line_of_error(capsys, 2, ["train", "iris", "--plot", "a.png"])
    assert "needs matplotlib" in line and "pip install 'fastbp[plot]'" in line


def test_options_reach_the_network(capsys):
    options = "--hidden 8,4 --activation tanh --optimizer sgd --momentum 0.5 --learning-rate 0.1 --dtype float64"
    more = "--epochs 3 --batch-size 7 --test-size 0.5 --save m.npz --no-plot"
    assert cli.main(["train", "iris", *options.split(), *more.split()]) == 0
    net = fb.load("m.npz")
    assert [layer.output_shape for layer in net.layers] == [(8,), (4,), (3,)]
    assert net.optimizer == fb.SGD(0.1, momentum=0.5) and net.dtype == np.float64
    assert net.epochs_trained == 3 and net.steps_trained == 3 * -(-67 // 7)
    assert "67 to train on, 8 for validation, 75 for the test" in capsys.readouterr().out


def test_network_without_hidden_layers(capsys):
    assert cli.main(["train", "iris", "--hidden", "none", "--no-save"]) == 0
    assert "4 -> 3, 15 parameters" in capsys.readouterr().out


def test_features_and_target_are_standardised_by_the_rows_trained_on():
    rows = [[i, 0.1, 10 * i + 3.5] for i in range(50)]
    table = tables.read_to_train(write_csv("t.csv", ["a", "same", "b"], rows))
    preparation, parts = tables.prepare(table, tables.REGRESSION, 0.2, 0, np.float64)
    X, y = parts.train
    np.testing.assert_allclose(X[:, 0].mean(), 0, atol=1e-12)
    np.testing.assert_allclose(X[:, 0].std(), 1)
    np.testing.assert_allclose([y.mean(), y.std()], [0, 1], atol=1e-12)
    assert preparation.deviation[1] == 1
    everything = np.concatenate([preparation.unscaled(part[1][:, None]) for part in parts])
    np.testing.assert_allclose(np.sort(everything), [row[2] for row in rows])


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.array(["a", "b"] * 10, object), "classification"),
        (np.arange(20.0) % 3, "classification"),
        (np.arange(20.0) % 3 + 0.5, "regression"),
        (np.arange(20.0) // 2, "regression"),
        (np.arange(404.0) % 101, "regression"),
        (np.arange(404.0) % 100, "classification"),
    ],
)
def test_the_task_is_guessed_from_the_target(y, task):
    assert tables.guess_task(y) == task


# --- round trips --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["colours.csv", "colours.csv.gz"])
def test_round_trip_of_text_classes(name, capsys, tmp_path):
    rows = colours()
    path = write_csv(name, COLOURS, rows)
    assert cli.main(["train", path, "--hidden", "32", "--no-plot"]) == 0
    assert accuracy_in(capsys.readouterr().out) > 0.9
    assert [p.name for p in tmp_path.glob("*.npz")] == ["fastbp-colours.npz"]

    # Other order of columns, one that the model does not know, and no target.
    other = write_csv("new.csv", ["weight", "note", "always 7", "size"], [[r[1], "?", r[2], r[0]] for r in rows])
    assert cli.main(["predict", "fastbp-colours.npz", other]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    predictions = read_predictions(out)
    assert list(predictions[0]) == ["prediction", "probability"]
    right = np.mean([p["prediction"] == row[3] for p, row in zip(predictions, rows, strict=True)])
    assert right > 0.9
    assert all(1 / 3 <= float(p["probability"]) <= 1 for p in predictions)

    assert cli.main(["predict", "fastbp-colours.npz", path, "--output", "out.csv"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.startswith(f"accuracy        {right:.4f} (")
    assert read_predictions((tmp_path / "out.csv").read_text(encoding="utf-8")) == predictions
    assert not list(tmp_path.glob(".*"))


def test_round_trip_of_a_regression_in_npz(capsys):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1000, 2, 3)).astype(np.float32)
    y = 1000 + 50 * X[:, 0, 0] - 20 * X[:, 1, 2]
    np.savez("plane.npz", X=X, y=y)
    assert cli.main(["train", "plane.npz", "--hidden", "32", "--no-plot"]) == 0
    out = capsys.readouterr().out
    r2 = re.search(r"test R² +(\d\.\d+), RMSE (\S+), MAE", out)
    assert r2 and float(r2[1]) > 0.98 and float(r2[2]) < 10
    assert "1,000 rows, 6 features, regression, target 'y'" in out

    assert cli.main(["predict", "fastbp-plane.npz", "plane.npz"]) == 0
    out, err = capsys.readouterr()
    predicted = np.array([float(p["prediction"]) for p in read_predictions(out)])
    assert np.sqrt(np.mean((predicted - y) ** 2)) < 10
    assert re.search(r"R² 0\.9\d+, RMSE", err)

    # By position: a CSV file has no names that this model knows.
    path = write_csv("plane.csv", list("abcdef"), X.reshape(1000, 6).tolist())
    assert cli.main(["predict", "fastbp-plane.npz", path]) == 0
    again = [float(p["prediction"]) for p in read_predictions(capsys.readouterr().out)]
    np.testing.assert_allclose(again, predicted, rtol=1e-6)


def test_csv_without_header_goes_by_position(capsys):
    rows = [[int(label != "red"), *x] for *x, label in colours()]
    assert cli.main(["train", write_csv("t.csv", None, rows), "--target", "1", *FAST]) == 0
    assert "3 features, 2 classes, target '1'" in capsys.readouterr().out
    assert cli.main(["predict", "fastbp-t.npz", "t.csv"]) == 0
    with_target, err = capsys.readouterr()
    assert "accuracy" in err
    assert cli.main(["predict", "fastbp-t.npz", write_csv("new.csv", None, [row[1:] for row in rows])]) == 0
    assert capsys.readouterr() == (with_target, "")


def test_target_by_name_and_other_separators(capsys):
    rows = [[row[3], *row[:3]] for row in colours()]
    write_csv("t.csv", ["colour", *COLOURS[:3]], rows, delimiter=";")
    assert cli.main(["train", "t.csv", "--target", "colour", *FAST]) == 0
    assert "3 classes, target 'colour'" in capsys.readouterr().out


def test_byte_order_mark_blank_lines_and_crlf(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfa,b\r\n\r\n1, x\r\n2,y \r\n\r\n3,x\r\n")
    table = tables.read_to_train("t.csv")
    assert table.features == ["a"] and table.target == "b"
    assert table.columns["a"].tolist() == [1, 2, 3] and table.y.tolist() == ["x", "y", "x"]


def test_a_class_may_be_written_otherwise_in_the_file_to_predict(capsys):
    rows = [[x, 0 if x < 0 else 1] for x in np.linspace(-1, 1, 60).tolist()]
    assert cli.main(["train", write_csv("t.csv", ["x", "y"], rows), "--no-plot"]) == 0
    write_csv("new.csv", ["x", "y"], [["-0.9", "0.0"], ["0.9", "1.0"]])
    capsys.readouterr()
    assert cli.main(["predict", "fastbp-t.npz", "new.csv"]) == 0
    assert capsys.readouterr().err.startswith("fastbp: accuracy 1.0000 (2 of 2 rows)\n")


@pytest.mark.parametrize(
    ("cells", "note"),
    [(["", ""], ""), (["red", ""], "the scores are of 1 of 2 rows: the others have no target\nfastbp: accuracy ")],
)
def test_the_target_to_predict_may_be_empty(cells, note, capsys):
    assert cli.main(["train", write_csv("t.csv", COLOURS, colours()), *FAST]) == 0
    path = write_csv("new.csv", COLOURS, [[5000, 3, 7, cell] for cell in cells])
    capsys.readouterr()
    assert cli.main(["predict", "fastbp-t.npz", path]) == 0
    out, err = capsys.readouterr()
    assert len(read_predictions(out)) == 2 and note in err and bool(err) == bool(note)


def test_npz_with_a_test_set(capsys):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (250, 5, 5), dtype=np.uint8)
    y = (X[:, 2, 2] > 127).astype(np.int64)
    np.savez("parts.npz", x_train=X[:200], y_train=y[:200], x_test=X[200:], y_test=y[200:])
    assert cli.main(["train", "parts.npz", *FAST]) == 0
    assert "180 to train on, 20 for validation, 50 for the test" in capsys.readouterr().out
    assert cli.main(["predict", "fastbp-parts.npz", "parts.npz"]) == 0
    out, err = capsys.readouterr()
    assert len(read_predictions(out)) == 50 and "of 50 rows" in err


def test_npz_with_arrays_of_other_names(capsys):
    rng = np.random.default_rng(0)
    np.savez("n.npz", pixels=rng.normal(size=(60, 4)), digit=np.array(["a", "b", "c"] * 20), where=np.arange(60))
    assert cli.main(["train", "n.npz", "--target", "digit", *FAST]) == 0
    assert "4 features, 3 classes, target 'digit'" in capsys.readouterr().out


def test_predict_a_bundled_data_set_by_name(capsys):
    assert cli.main(["train", "iris", "--no-plot", "--quiet"]) == 0
    capsys.readouterr()
    assert cli.main(["predict", "fastbp-iris.npz", "iris"]) == 0
    out, err = capsys.readouterr()
    assert {p["prediction"] for p in read_predictions(out)} == {"setosa", "versicolor", "virginica"}
    assert err.startswith("fastbp: accuracy 0.9")


@pytest.mark.parametrize(
    ("loss", "outputs", "columns"),
    [
        ("cross_entropy", 3, ["prediction", "probability"]),
        ("mse", 1, ["prediction"]),
        ("mse", 2, ["prediction_1", "prediction_2"]),
    ],
)
def test_predict_with_a_model_saved_from_python(loss, outputs, columns, capsys):
    net = fb.Network([fb.Dense(outputs)], (2,), loss=loss, seed=0)
    net.save("m.npz")
    X = np.array([[0.5, -1.0], [2.0, 0.25]])
    assert cli.main(["predict", "m.npz", write_csv("t.csv", ["a", "b"], X.tolist())]) == 0
    out, err = capsys.readouterr()
    predictions = read_predictions(out)
    assert err == "" and list(predictions[0]) == columns
    expected = net.predict(X)
    if loss == "cross_entropy":
        assert [int(p["prediction"]) for p in predictions] == expected.argmax(axis=1).tolist()
        expected = expected.max(axis=1, keepdims=True)
        columns = ["probability"]
    np.testing.assert_allclose([[float(p[name]) for name in columns] for p in predictions], expected, rtol=1e-5)


def test_metadata_in_a_model_file_is_ignored_by_load():
    net = fb.Network([fb.Dense(1)], (2,), loss="mse", seed=0)
    net.save("m.npz", extra={"names": ["a", "ü"], "scale": 0.1})
    assert files.read("m.npz")[0]["extra"] == {"names": ["a", "ü"], "scale": 0.1}
    np.testing.assert_array_equal(fb.load("m.npz").params, net.params)


# --- how training can end -----------------------------------------------------------------------------


@pytest.mark.parametrize("whole_epochs", [0, 2])
def test_ctrl_c_still_tests_and_saves(whole_epochs, monkeypatch, capsys, tmp_path):
    train_epoch = fb.training.loop._Run._train_epoch

    def interrupted(run, epoch):
        if epoch == whole_epochs:
            raise KeyboardInterrupt
        return train_epoch(run, epoch)

    monkeypatch.setattr(fb.training.loop._Run, "_train_epoch", interrupted)
    assert cli.main(["train", "iris", "--hidden", "8", "--quiet"]) == 130
    out = capsys.readouterr().out
    assert f"{whole_epochs} epochs in" in out and "then interrupted" in out and "test accuracy" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fastbp-iris.npz", "fastbp-iris.png"] * (
        whole_epochs > 0
    )
    if whole_epochs:
        assert fb.load("fastbp-iris.npz").epochs_trained == whole_epochs


def test_ctrl_c_elsewhere(monkeypatch, capsys):
    def interrupted(*args, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(tables, "read_to_train", interrupted)
    assert cli.main(["train"]) == 130
    assert capsys.readouterr().err == "fastbp: interrupted\n"


def test_divergence(capsys, tmp_path):
    argv = ["train", "diabetes", "--optimizer", "sgd", "--learning-rate", "1e20", "--quiet"]
    assert cli.main(argv) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("fastbp: error: ") and "epoch 1" in last and "learning_rate" in last
    assert list(tmp_path.iterdir()) == []


# --- wrong data ---------------------------------------------------------------------------------------

GOOD = "a,b,y\n" + "1,2,x\n3,4,z\n" * 10


@pytest.mark.parametrize(
    ("text", "options", "phrases"),
    [
        ("", "", ["t.csv is empty"]),
        ("\n\n", "", ["t.csv is empty"]),
        ("a,b,y\n", "", ["t.csv has no rows"]),
        ("a,b,y\n1,2,x\n1,2\n", "", ["t.csv, line 3", "expected 3 cells, found 2"]),
        ("a,b,y\n1,2,x\n\n1,2,x,4\n", "", ["line 4", "expected 3 cells, found 4"]),
        ("a,b,y\n1,2,x\n1,two,x\n", "", ["line 3", "column 'b'", "'two' is not a number"]),
        ("1,2,3\n1,oops,3\n", "", ["line 2", "column '2'", "'oops' is not a number"]),
        ("a,b,y\n1,,x\n1,2,x\n", "", ["line 2", "column 'b'", "the value is missing (--impute"]),
        ("a,b,y\n1,2,x\nnan,2,x\n", "", ["line 3", "column 'a'", "the value is missing (--impute"]),
        ("a,b,y\n1,-inf,x\n", "", ["line 2", "column 'b'", "-inf is not a finite number"]),
        ("a,b,y\n1,2,x\n1,2,\n", "", ["line 3", "column 'y'", "the value is missing (--skip-missing-target"]),
        ("a,b,y\n1,2,3\n1,2,NaN\n", "", ["line 3", "column 'y'", "the value is missing (--skip-missing-target"]),
        ("a,b,y\n1,2,3\n1,2,inf\n", "", ["line 3", "column 'y'", "inf is not a finite number"]),
        ("a,b,y\n1,2,3\n1,2,4\n1,2,5o\n", "", ["line 4", "column 'y'", "'5o' is not a number", "classification"]),
        (GOOD, "--task regression", ["line 2", "column 'y'", "'x' is not a number"]),
        (GOOD, "--target price", ["no column 'price'", "a, b, y"]),
        (GOOD, "--target 4", ["no column '4'", "a, b, y"]),
        (GOOD, "--target 0", ["no column '0'", "a, b, y"]),
        ("y\n1\n2\n", "", ["one column 'y'", "features"]),
        ("a,b,y\n1,2,x\n1,2,z\n1,2,x\n", "", ["too few rows: t.csv has 3, at least 4 are needed"]),
        (GOOD, "--test-size 0.99", ["too few rows: t.csv has 20, at least", "(--test-size)"]),
        ("a,b,y\n" + "1,2,x\n" * 9, "", ["'y'", "at least 2 classes", "only x"]),
        ("a,y\n" + "".join(f"1,n{i}\n" for i in range(9)), "", ["'y'", "9 classes in 9 rows", "--target"]),
        ("a,y\n" + "".join(f"{i}e200,{i}.5\n" for i in range(9)), "", ["column 'a'", "too large"]),
        ("a,y\n" + "".join(f"{i},{i}.5e200\n" for i in range(9)), "", ["target 'y'", "too large"]),
        ('a,b,y\n1,2,"x\n1,2,y\n', "", ["t.csv, line 2", "unexpected end", "never closed"]),
        ("a,b,y\n1,2," + "x" * 200_000 + "\n", "", ["line 2", "field larger than"]),
    ],
)
def test_wrong_csv(text, options, phrases, capsys, tmp_path):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    line = line_of_error(capsys, 2, ["train", "t.csv", *options.split()])
    for phrase in phrases:
        assert phrase in line
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize("share", [1e-9, 0.2, 0.5, 0.7, 0.99, 0.99999999])
def test_as_few_rows_as_are_needed(share):
    def split(rows):
        table = tables.Table("t", {"x": np.zeros(rows), "y": np.arange(rows) + 0.5}, np.arange(rows), target="y")
        return tables.prepare(table, tables.REGRESSION, share, 0, np.float32)[1]

    with pytest.raises(tables.TableError, match="2 to train on, 1 for validation, a share of") as error:
        split(2)
    needed = int(re.search(r"at least (\d+) are needed", str(error.value))[1])
    if needed < 10_000:  # more would take memory
        assert len(split(needed).train[0]) == 2
        with pytest.raises(tables.TableError, match=f"t has {needed - 1}, at least {needed} are"):
            split(needed - 1)
    assert 2.5 <= needed * (1 - share) <= 5


def test_wrong_files(capsys, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "noise.csv").write_bytes(bytes(range(256)))
    (tmp_path / "noise.csv.gz").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress((GOOD + "1,2,x\n" * 999).encode())[:-20])
    (tmp_path / "noise.npz").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "empty.npz").write_bytes(b"")
    for name, phrase in [
        ("nothing.csv", "no such file: nothing.csv"),
        ("digitz", "digits"),
        ("folder", "folder is a folder"),
        ("noise.csv", "noise.csv is not text: line 1 holds a zero byte"),
        ("noise.csv.gz", "noise.csv.gz is not a whole gzip file"),
        ("cut.csv.gz", "cut.csv.gz is not a whole gzip file"),
        ("noise.npz", "noise.npz is not an NPZ file"),
        ("empty.npz", "empty.npz is not an NPZ file"),
    ]:
        assert phrase in line_of_error(capsys, 2, ["train", name])


def test_file_without_permission(capsys, monkeypatch):
    def closed(*args, **more):
        raise PermissionError(13, "Permission denied", "t.csv")

    write_csv("t.csv", COLOURS, colours())
    monkeypatch.setattr("builtins.open", closed)
    assert "t.csv: Permission denied" in line_of_error(capsys, 2, ["train", "t.csv"])


X8, Y8 = np.arange(16.0).reshape(8, 2), np.arange(8.0)
HOLE = np.where(X8 == 5, np.nan, X8)


@pytest.mark.parametrize(
    ("arrays", "options", "phrases"),
    [
        (dict(X=X8), "", ["no array y or target", "it has X"]),
        (dict(y=Y8), "", ["no array X or x or data", "it has y"]),
        (dict(y=Y8, a=X8, b=X8), "", ["no array X or x or data", "it has y, a, b"]),
        (dict(X=X8, y=Y8), "--target z", ["no array 'z'", "it has X, y"]),
        (dict(X=X8, y=Y8[:5]), "", ["'y' must have as many rows as 'X', which has 8, got 5"]),
        (dict(X=X8, y=X8), "", ["'y' must hold one number or text a row", "(8, 2)"]),
        (dict(X=X8.astype(str), y=Y8), "", ["'X' must hold rows of numbers"]),
        (dict(X=X8[:0], y=Y8[:0]), "", ["'X' must hold rows of numbers", "(0, 2)"]),
        (dict(X=HOLE, y=Y8), "", ["t.npz, row 3, array 'X', feature 2: the value is missing (--impute"]),
        (dict(X=X8, y=HOLE[:, 1]), "", ["t.npz, row 3, array 'y': the value is missing (--skip-"]),
        (dict(X=X8, y=np.array(["a", "b"] * 4)), "--task regression", ["t.npz, row 1, array 'y': 'a' is not a number"]),
        (dict(X=X8, y=Y8.astype(object)), "", ["t.npz: the array 'y' holds Python objects", "y.astype(str)"]),
        (dict(X=X8.astype(object), y=Y8), "", ["t.npz: the array 'X' holds Python objects", "X.astype(float)"]),
        (dict(y=Y8, a=X8.astype(object)), "", ["t.npz: the array 'a' holds Python objects"]),
        (
            dict(X=X8[:3], y=Y8[:3]),
            "",
            ["too few rows: t.npz has 3, at least 4 are needed", "0.2 (--test-size) for the test"],
        ),
        (
            dict(x_train=X8[:2], y_train=Y8[:2], x_test=X8, y_test=Y8),
            "",
            ["too few rows: t.npz has 2, at least 3 are needed: 2 to train on, 1 for validation\n"],
        ),
        (dict(x_train=X8, y_train=Y8, x_test=X8[:, :1], y_test=Y8), "", ["x_test and y_test must have the features"]),
    ],
)
def test_wrong_npz(arrays, options, phrases, capsys):
    np.savez("t.npz", **arrays)
    line = line_of_error(capsys, 2, ["train", "t.npz", *options.split()])
    for phrase in phrases:
        assert phrase in line


def test_npz_with_a_file_that_is_no_array(capsys):
    np.savez("t.npz", y=Y8)
    with zipfile.ZipFile("t.npz", "a") as file:
        file.writestr("X", "a note")
    assert "t.npz: 'X' is not an array" in line_of_error(capsys, 2, ["train", "t.npz"])


def test_named_data_needs_scikit_learn(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    line = line_of_error(capsys, 2, ["train"])
    assert "needs scikit-learn: pip install 'fastbp[sklearn]'" in line


@pytest.mark.parametrize(
    ("options", "phrases"),
    [
        ("--target x", ["iris has no column 'x' for --target"]),
        ("--task regression", ["column 'target': 'setosa' is not a number"]),
    ],
)
def test_wrong_target_of_a_bundled_data_set(options, phrases, capsys):
    line = line_of_error(capsys, 2, ["train", "iris", *options.split()])
    assert all(phrase in line for phrase in phrases)


# --- wrong options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "phrases"),
    [
        ("--learning-rate 0", ["--learning-rate", "greater than 0", "'0'"]),
        ("--learning-rate -1", ["--learning-rate", "greater than 0", "'-1'"]),
        ("--learning-rate nan", ["--learning-rate", "finite number", "'nan'"]),
        ("--learning-rate inf", ["--learning-rate", "finite number", "'inf'"]),
        ("--learning-rate fast", ["--learning-rate", "'fast'"]),
        ("--hidden 64,x", ["--hidden", "'64,x'"]),
        ("--hidden 0", ["--hidden", "'0'"]),
        ("--hidden 64,", ["--hidden", "'64,'"]),
        ("--hidden 99999999999", ["--hidden", "'99999999999'"]),
        ("--epochs 0", ["--epochs", "1 or more", "'0'"]),
        ("--epochs 1.5", ["--epochs", "integer", "'1.5'"]),
        ("--batch-size 0", ["--batch-size", "1 or more", "'0'"]),
        ("--test-size 1", ["--test-size", "less than 1", "'1'"]),
        ("--test-size 0", ["--test-size", "greater than 0", "'0'"]),
        ("--test-size nan", ["--test-size", "'nan'"]),
        ("--momentum 1 --optimizer sgd", ["--momentum", "less than 1", "'1'"]),
        ("--momentum 0.5", ["--momentum needs --optimizer sgd"]),
        ("--threads 0", ["--threads", "'0'"]),
        ("--threads 9999", ["--threads must be 1 to", "9999"]),
        ("--seed -1", ["--seed", "0 or more", "'-1'"]),
        ("--optimizer best", ["--optimizer", "'best'", "adam"]),
        ("--activation best", ["--activation", "'best'", "relu"]),
        ("--dtype float16", ["--dtype", "'float16'", "float32"]),
        ("--task both", ["--task", "'both'"]),
        ("--surprise", ["--surprise"]),
        ("--epochs", ["--epochs", "expected one argument"]),
        ("--save nowhere/m.npz", ["--save", "no folder nowhere"]),
        ("--save t.csv/m.npz", ["--save", "no folder t.csv"]),
        ("--save .", ["--save", "is a folder"]),
        ("--save t.csv", ["--save", "t.csv would overwrite what is read"]),
        ("--plot nowhere/a.png", ["--plot", "no folder nowhere"]),
        ("--plot a.doc", ["--plot", "a.doc must end in", ".png"]),
        ("--plot a", ["--plot", "a must end in", ".png"]),
        ("--plot a.png --save a.png", ["--plot and --save", "two files"]),
        ("--plot a.png --no-plot", ["--no-plot", "not allowed with"]),
    ],
)
def test_wrong_options(options, phrases, capsys):
    write_csv("t.csv", COLOURS, colours())
    line = line_of_error(capsys, 2, ["train", "t.csv", *options.split()])
    for phrase in phrases:
        assert phrase in line


def test_folder_that_cannot_be_written_to_is_found_before_training(capsys, monkeypatch):
    def closed(*args, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", closed)
    line = line_of_error(capsys, 2, ["train", "--save", "m.npz"])
    assert "--save" in line and "can't be written to: Permission denied" in line


def test_full_disk(capsys, monkeypatch, tmp_path):
    def full(*args, **more):
        raise OSError(28, "No space left on device", "m.npz")

    monkeypatch.setattr(files, "write", full)
    assert cli.main(["train", "iris", *FAST, "--quiet", "--save", "m.npz"]) == 2
    assert capsys.readouterr().err.endswith("fastbp: error: m.npz: No space left on device\n")
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_stays_when_predictions_cannot_be_written(monkeypatch, tmp_path):
    fb.Network([fb.Dense(1)], (2,), loss="mse", seed=0).save("m.npz")
    write_csv("t.csv", ["a", "b"], [[1, 2]])
    (tmp_path / "out.csv").write_text("old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert cli.main(["predict", "m.npz", "t.csv", "--output", "out.csv"]) == 2
    assert (tmp_path / "out.csv").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.npz", "out.csv", "t.csv"]


# --- wrong predictions --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def colour_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    path = write_csv(folder / "t.csv", COLOURS, colours())
    assert cli.main(["train", path, *FAST, "--quiet", "--save", str(folder / "m.npz")]) == 0
    return str(folder / "m.npz")


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("size,always 7\n1,2\n", ["lacks the model's column 'weight'", "size, always 7"]),
        ("a,b,c,d\n1,2,3,4\n", ["the model's columns 'size', 'weight', 'always 7'; it has a, b, c, d"]),
        ("1,2\n3,4\n", ["the model's 3 columns, or 4 with the target, got 2"]),
        ("size,weight,always 7\n1,2,x\n", ["line 2", "column 'always 7'", "'x' is not a number"]),
        ("size,weight,always 7\n1,2,1e300\n", ["column 'always 7'", "1e+300", "too large"]),
        ("size,weight,always 7\n", ["no rows"]),
        ("", ["is empty"]),
    ],
)
def test_wrong_data_to_predict(text, phrases, colour_model, capsys, tmp_path):
    (tmp_path / "new.csv").write_text(text)
    line = line_of_error(capsys, 2, ["predict", colour_model, "new.csv"])
    for phrase in phrases:
        assert phrase in line


def test_wrong_models(colour_model, capsys, tmp_path):
    write_csv("t.csv", COLOURS, colours())
    np.savez("arrays.npz", X=X8)
    (tmp_path / "text.npz").write_text("text")
    for name, phrase in [
        ("nothing.npz", "nothing.npz: No such file"),
        ("text.npz", "text.npz is not a whole fastbp model"),
        ("arrays.npz", "arrays.npz is not a whole fastbp model"),
        ("t.csv", "t.csv is not a whole fastbp model"),
        (".", ".: "),
    ]:
        assert phrase in line_of_error(capsys, 2, ["predict", name, "t.csv"])
    np.savez("wide.npz", X=np.ones((3, 5)))
    assert "the 3 features of the model, got 5" in line_of_error(capsys, 2, ["predict", colour_model, "wide.npz"])


@pytest.mark.parametrize(
    "damage", [{"classes": ["a"]}, {"mean": [1.0]}, {"mean": "x"}, {"surprise": 1}, {"mean": None}]
)
def test_damaged_metadata(damage, colour_model, capsys):
    extra = files.read(colour_model)[0]["extra"]
    fb.load(colour_model).save("m.npz", extra={"preparation": {**extra["preparation"], **damage}})
    write_csv("t.csv", COLOURS, colours())
    assert "m.npz is not a valid model" in line_of_error(capsys, 2, ["predict", "m.npz", "t.csv"])


def test_output_must_not_overwrite_what_is_read(colour_model, capsys):
    write_csv("t.csv", COLOURS, colours())
    for output in ("t.csv", colour_model):
        line = line_of_error(capsys, 2, ["predict", colour_model, "t.csv", "--output", output])
        assert "would overwrite what is read" in line


# --- the rest -----------------------------------------------------------------------------------------


def test_info(capsys):
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out
    for name in ("fastbp", "python", "numba", "llvmlite", "numpy", "processor", "threads", "threading layer", "cache"):
        assert re.search(rf"^{name}", out, re.MULTILINE)
    assert f"fastbp          {fb.__version__}\n" in out


def test_version_and_help(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"fastbp {fb.__version__}\n"
    for argv in (["--help"], ["train", "--help"], ["predict", "--help"], ["info", "--help"], ["cache", "--help"]):
        assert cli.main(argv) == 0
        assert capsys.readouterr().out.startswith("usage: fastbp")


def test_without_a_command(capsys):
    assert cli.main([]) == 2
    assert "usage: fastbp" in capsys.readouterr().err
    assert "'dance'" in line_of_error(capsys, 2, ["dance"])


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "fastbp", "train", "nothing.csv"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("fastbp: error: no such file: nothing.csv") and done.stderr.count("\n") == 1


def test_output_that_the_terminal_cannot_show(colour_model):
    write_csv("t.csv", COLOURS, colours())
    command = [sys.executable, "-m", "fastbp", "predict", colour_model, "t.csv"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and b"blue: \\xbd" in done.stdout


def test_help_imports_no_heavy_library():
    code = (
        "import sys; from fastbp.command import cli; cli.main(['--help']);"
        " sys.exit(bool({'sklearn', 'matplotlib', 'tqdm', 'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_reader_that_leaves_early(colour_model):
    write_csv("t.csv", COLOURS, colours(rows=20_000))
    command = [sys.executable, "-m", "fastbp", "predict", colour_model, "t.csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "prediction,probability\n"
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 1
