"""What the commands report: scores beside those of a guess, class by class, rows left out; and the split by class."""

import re
import sys

import numpy as np
import pytest
from commands import line_of_error, read_predictions, write_csv

import fastbp as fb
from fastbp.command import cli, report, tables
from fastbp.command.tables.split import split
from fastbp.formats import files

FAST = ["--hidden", "8", "--epochs", "3", "--no-plot", "--quiet"]
SCORED = r"(-?\d+\.\d+), RMSE (\S+), MAE (\S+)\n"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(capsys, *argv):
    """What the command prints, as results and beside them."""
    capsys.readouterr()
    assert cli.main(["train", *argv]) == 0
    return capsys.readouterr()


def write_classes(counts, path="t.csv"):
    """A table with so many rows of each class, of features that tell nothing."""
    rng = np.random.default_rng(0)
    rows = [[*rng.normal(size=2).round(3).tolist(), name] for name, count in counts.items() for _ in range(count)]
    return write_csv(path, ["a", "b", "y"], rows)


def rows_of_table(text):
    """The cells of a report's table of classes, by the class."""
    lines = text[text.index("class  ") :].splitlines()[2:]
    return {cells[0]: cells[1:] for cells in (re.split(r"  +", line.strip()) for line in lines) if len(cells) == 5}


# --- scores -------------------------------------------------------------------------------------------


def test_accuracy_stands_beside_what_a_majority_guess_scores(capsys):
    """Of data with 20 % "yes" and features that tell nothing, an accuracy of 0.80 is no success."""
    path = write_classes({"no": 400, "yes": 100})
    options = ["--hidden", "none", "--epochs", "20", "--l2", "0.1", "--no-plot", "--quiet", "--verbose"]
    out, err = train(capsys, path, *options)
    assert "test accuracy   0.8000 (80 of 100 rows)\n" in out and err == ""
    assert "majority guess  0.8000 (80 of 100 rows), always 'no'\n" in out
    assert "note            the network is no better than the majority guess\n" in out
    assert rows_of_table(out) == {
        "no": ["0.800", "1.000", "0.889", "80"],
        "yes": ["0.000", "0.000", "0.000", "20"],
        "macro average": ["0.400", "0.500", "0.444", "100"],
    }
    matrix = out[out.index("Confusion matrix") :].splitlines()
    assert [line.split() for line in matrix[1:]] == [["no", "yes"], ["-" * 12], ["no", "80", "0"], ["yes", "20", "0"]]


def test_reports_need_no_scikit_learn(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    out, _ = train(capsys, write_classes({"no": 40, "yes": 10}), *FAST, "--verbose")
    assert list(rows_of_table(out)) == ["no", "yes", "macro average"] and "Confusion matrix" in out


def test_a_good_network_gets_no_note_and_the_matrix_is_for_verbose(capsys):
    out, _ = train(capsys, "iris", "--no-save", "--quiet")
    assert "note" not in out and "Confusion" not in out
    scores = rows_of_table(out)
    assert list(scores) == ["setosa", "versicolor", "virginica", "macro average"]
    assert [cells[-1] for cells in scores.values()] == ["10", "10", "10", "30"]


@pytest.mark.parametrize("verbose", [[], ["--verbose"]])
def test_predict_reports_what_train_does(verbose, capsys):
    """On standard error where standard output is for the predictions, else on standard output."""
    metrics = pytest.importorskip("sklearn.metrics")
    path = write_classes({"no": 30, "yes": 20, "maybe": 10})
    train(capsys, path, *FAST)
    assert cli.main(["predict", "fastbp-t.npz", path, *verbose]) == 0
    out, aside = capsys.readouterr()
    predicted = [row["prediction"] for row in read_predictions(out)]
    assert len(predicted) == 60
    assert cli.main(["predict", "fastbp-t.npz", path, "--output", "p.csv", *verbose]) == 0
    shown, err = capsys.readouterr()
    assert err == ""

    truth = ["no"] * 30 + ["yes"] * 20 + ["maybe"] * 10
    accuracy = metrics.accuracy_score(truth, predicted)
    right = round(60 * accuracy)
    assert f"accuracy        {accuracy:.4f} ({right} of 60 rows)\n" in shown
    assert f"fastbp: accuracy {accuracy:.4f} ({right} of 60 rows)\n" in aside
    assert "majority guess  0.5000 (30 of 60 rows), always 'no'\n" in shown
    assert "fastbp: majority guess 0.5000 (30 of 60 rows), always 'no'\n" in aside
    want = metrics.precision_recall_fscore_support(truth, predicted, zero_division=0)
    table = rows_of_table(shown)
    for place, name in enumerate(["maybe", "no", "yes"]):
        assert table[name] == [*(f"{values[place]:.3f}" for values in want[:3]), str(want[3][place])]
    assert table["macro average"] == [*(f"{values.mean():.3f}" for values in want[:3]), "60"]
    assert shown[shown.index("class  ") :] == aside[aside.index("class  ") :]
    assert ("Confusion matrix" in shown) == bool(verbose)


def test_scores_of_numbers_are_in_the_units_of_the_file(capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3)).round(4)
    y = (250_000 + 40_000 * x[:, 0] + 15_000 * rng.exponential(size=300)).round(2)
    path = write_csv("t.csv", ["a", "b", "c", "price"], np.column_stack([x, y]).tolist())
    out, _ = train(capsys, path, "--hidden", "none", "--epochs", "300", "--no-plot", "--quiet", "--save", "m.npz")
    table = tables.read_to_train(path)
    preparation, parts = tables.prepare(table, tables.REGRESSION, 0.2, 0, np.float64)
    truth = preparation.unscaled(parts.test[1][:, None])
    assert set(truth.round(2)) <= set(y)
    predicted = preparation.unscaled(fb.load("m.npz").predict(parts.test[0]))
    learnt = preparation.unscaled(parts.train[1][:, None])
    guesses = [("test R²", predicted), ("mean guess", learnt.mean()), ("median guess", np.median(learnt))]
    for name, guess in guesses:
        found = re.search(rf"^{name} +{SCORED}", out, re.MULTILINE)
        assert found, out
        r2, rmse, mae = (float(number.replace(",", "")) for number in found.groups())
        error = guess - truth
        assert r2 == pytest.approx(1 - (error**2).mean() / truth.var(), abs=1e-4)
        assert rmse == pytest.approx(np.sqrt((error**2).mean()), rel=1e-3)
        assert mae == pytest.approx(np.abs(error).mean(), rel=1e-3)
    assert re.search(r"^mean guess      -0\.0\d+, RMSE 4", out, re.MULTILINE) and "note" not in out and "e+" not in out

    assert cli.main(["predict", "m.npz", path]) == 0
    out, err = capsys.readouterr()
    error = np.array([float(row["prediction"]) for row in read_predictions(out)]) - y
    found = re.search(rf"fastbp: R² {SCORED}", err)
    _, rmse, mae = (float(number.replace(",", "")) for number in found.groups())
    assert rmse == pytest.approx(np.sqrt((error**2).mean()), rel=1e-3)
    assert mae == pytest.approx(np.abs(error).mean(), rel=1e-3)
    assert re.search(rf"fastbp: mean guess {SCORED}fastbp: median guess {SCORED}$", err)


def test_a_regression_that_learns_nothing_is_told_of(capsys):
    rng = np.random.default_rng(0)
    path = write_csv("t.csv", ["a", "y"], rng.normal(size=(200, 2)).tolist())
    out, _ = train(capsys, path, "--no-save", "--quiet", "--epochs", "200", "--learning-rate", "0.02")
    assert "note            the network is no better than the mean guess\n" in out


def test_a_target_that_is_always_the_same_number(capsys):
    path = write_csv("t.csv", ["a", "y"], [[i, 0.1] for i in range(50)])
    out, _ = train(capsys, path, "--task", "regression", "--no-save", "--quiet", "--epochs", "1")
    assert out.count("undefined (all targets are one number)") == 3


# --- many classes, rare classes, unknown ones ---------------------------------------------------------


def test_of_many_classes_the_worst_are_shown(capsys):
    path = write_classes({f"class {number:02}": 10 + 2 * (number % 5) for number in range(40)})
    out, err = train(capsys, path, *FAST)
    scores = rows_of_table(out)
    assert err == "" and len(scores) == 21 and list(scores)[-1] == "macro average"
    order = [(float(cells[2]), -int(cells[3])) for cells in scores.values()][:-1]
    assert order == sorted(order)
    assert re.search(r"^The 20 classes of \d\d with the lowest f1-score; --verbose shows all\.$", out, re.MULTILINE)

    out, _ = train(capsys, path, *FAST, "--verbose")
    scores = rows_of_table(out[: out.index("The most frequent mistakes")])
    assert len(scores) > 35 and list(scores)[:-1] == sorted(list(scores)[:-1])
    assert sum(int(cells[3]) for cells in list(scores.values())[:-1]) == 112
    mistakes = out[out.index("The most frequent mistakes") :].splitlines()
    assert len(mistakes) == 2 + 20 and mistakes[1].split() == ["rows", "class", "predicted"]
    assert max(map(len, out.splitlines())) < 120


def test_only_classes_that_occur_are_in_the_table():
    shown = report.report_on_classes(["a", "b", "c\nd", "e"], np.array([0, 2, 2]), np.array([0, 2, 0]), verbose=True)
    assert list(rows_of_table(shown.tables[0])) == ["a", "c d", "macro average"]
    assert shown.scores[1] == ("majority guess", "0.6667 (2 of 3 rows), always 'c\\nd'")
    long = report.report_on_classes(["x" * 50 + "1", "x" * 50 + "2"], np.array([0, 1]), np.array([1, 0]), verbose=True)
    assert max(len(line) for table in long.tables for line in table.splitlines()) < 80
    assert list(rows_of_table(long.tables[0])) == [f"{'x' * 16}…{'x' * 14}{end}" for end in "12"] + ["macro average"]


def test_one_class_alone_says_nothing_on_the_network():
    shown = report.report_on_classes(["a", "b"], np.array([1, 1]), np.array([1, 1]))
    assert [label for label, _ in shown.scores] == ["accuracy", "majority guess"]
    assert report.report_on_classes(["a", "b"], np.array([1, 0]), np.array([1, 1])).scores[2][0] == "note"


@pytest.mark.parametrize("earlier", [False, True])
def test_guesses_are_those_of_the_rows_trained_on(earlier, capsys):
    """As scikit-learn's Dummy estimators make them; what earlier versions saved is scored by the rows' own."""
    dummy, metrics = pytest.importorskip("sklearn.dummy"), pytest.importorskip("sklearn.metrics")

    def scored(path, rows):
        net, extra = fb.load("fastbp-t.npz"), files.read("fastbp-t.npz")[0]["extra"]
        if earlier:
            for name in ("majority", "target_median"):
                del extra["preparation"][name]
            net.save("fastbp-t.npz", extra=extra)
        write_csv(path, ["a", "b", "y"], rows)
        capsys.readouterr()
        assert cli.main(["predict", "fastbp-t.npz", path, "--output", "p.csv"]) == 0
        return capsys.readouterr().out

    train(capsys, write_classes({"no": 30, "yes": 20}), *FAST)
    out = scored("new.csv", [[0.5, 0.5, "no"]] * 2 + [[0.5, 0.5, "yes"]] * 6)
    share, name = ("0.7500 (6 of 8 rows)", "yes") if earlier else ("0.2500 (2 of 8 rows)", "no")
    assert f"majority guess  {share}, always {name!r}\n" in out

    y = np.random.default_rng(0).exponential(10, 50).round(3)
    np.savez("t.npz", x_train=y[:40, None], y_train=y[:40], x_test=y[40:, None], y_test=y[40:])
    out, _ = train(capsys, "t.npz", *FAST, "--task", "regression")
    # an eighth of the rows to train on is for validation: what the median is, the model file says
    kept = files.read("fastbp-t.npz")[0]["extra"]["preparation"]
    for strategy, guess in (("mean", kept["target_mean"]), ("median", kept["target_median"])):
        model = dummy.DummyRegressor(strategy="constant", constant=guess).fit(y[:1, None], y[:1])
        r2 = metrics.r2_score(y[40:], model.predict(y[40:, None]))
        assert f"{strategy} guess" in out and float(re.search(rf"^{strategy} guess +(\S+),", out, re.M)[1]) == (
            pytest.approx(r2, abs=6e-5)
        )
    assert 0 < kept["target_median"] < kept["target_mean"] < 40
    train(capsys, write_csv("t.csv", ["a", "b", "y"], [[i, i % 3, i + 0.5] for i in range(60)]), *FAST)
    out = scored("new.csv", [[i, i % 3, i + 0.5] for i in range(100, 110)])
    low = float(re.search(r"^mean guess +(\S+),", out, re.M)[1])
    assert low == 0 if earlier else low < -10


def test_numbers_as_large_as_they_can_be():
    shown = report.report_on_numbers(np.array([1e300, -1e300]), np.array([1.0, 2.0]))
    assert [label for label, _ in shown.scores[:3]] == ["R²", "mean guess", "median guess"]
    assert shown.scores[0][1].endswith("RMSE inf, MAE 1e+300")


def test_rare_classes_are_warned_of(capsys):
    out, err = train(capsys, write_classes({"many": 60, "nine": 9, "ten": 10, "two": 2, "one": 1}), *FAST)
    assert "5 classes" in out
    few, without = err.splitlines()
    assert few.startswith(
        "fastbp: classes with fewer than 10 rows can hardly be learnt or tested: 'one' (1), 'two' (2), 'nine' (9): get"
    )
    assert "'ten'" not in few and "--task" not in few
    assert without == "fastbp: no row of these classes is among the rows for the test: 'one'"


def test_numbers_that_are_hardly_classes(capsys):
    rows = [[i, i % 12] for i in range(60)]
    _, err = train(capsys, write_csv("t.csv", ["a", "y"], rows), *FAST)
    assert err.endswith("; --task regression takes the target for numbers\n") and err.count("\n") == 1


def test_a_class_of_the_test_set_alone(capsys):
    X = np.arange(40.0).reshape(20, 2)
    np.savez("t.npz", x_train=X, y_train=["a", "b"] * 10, x_test=X[:2], y_test=["a", "z"])
    _, err = train(capsys, "t.npz", *FAST)
    assert "fastbp: no row of these classes is among the rows to train on: 'z'\n" in err
    assert "fastbp: no row of these classes is among the rows for the test: 'b'\n" in err


def test_classes_that_the_model_does_not_know_count_as_wrong(capsys):
    train(capsys, write_classes({"no": 30, "yes": 20}), *FAST)
    path = write_classes({"no": 5, "green": 2, "blue": 1}, "new.csv")
    assert cli.main(["predict", "fastbp-t.npz", path, "--output", "p.csv"]) == 0
    out, err = capsys.readouterr()
    assert err == "fastbp: 3 rows of classes that the model does not know count as wrong: 'blue', 'green'\n"
    assert re.search(r"^accuracy +0\.\d+ \([0-5] of 8 rows\)\nmajority guess  0\.6250 \(5 of 8 rows\)", out)
    scores = rows_of_table(out)
    assert scores["green"] == ["0.000", "0.000", "0.000", "2"] and scores["blue"] == ["0.000", "0.000", "0.000", "1"]


# --- the split ----------------------------------------------------------------------------------------


def split_of(counts, test_size=0.2, seed=0):
    """How many rows of each class are in each part, (3, classes)."""
    rng = np.random.default_rng(1)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    table = tables.Table("t", {"x": np.zeros(len(labels)), "y": labels.astype(float)}, np.arange(len(labels)))
    parts = split(table, test_size, seed, labels)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    by_chance = split(table, test_size, seed)
    assert [len(part) for part in parts] == [len(part) for part in by_chance]
    return np.stack([np.bincount(labels[part], minlength=len(counts)) for part in parts])


@pytest.mark.parametrize(
    ("counts", "test", "validation"),
    [
        ([100, 100, 100], [20, 20, 20], [8, 8, 8]),
        ([400, 100], [80, 20], [32, 8]),
        ([97, 1, 2, 3], [19, 0, 1, 1], [7, 0, 0, 1]),
        ([1, 1, 8], [0, 0, 2], [0, 0, 1]),
    ],
)
def test_each_part_has_its_share_of_each_class(counts, test, validation):
    parts = split_of(counts)
    assert parts[2].tolist() == test and parts[1].tolist() == validation


def test_every_class_is_in_every_part_as_far_as_its_rows_allow():
    rng = np.random.default_rng(0)
    for trial in range(200):
        counts = np.maximum(1, rng.integers(1, 5, rng.integers(2, 12)) ** rng.integers(1, 5))
        test_size = rng.choice([0.1, 0.2, 0.5])
        try:
            train, validation, test = split_of(counts, test_size, trial)
        except tables.TableError:
            continue
        assert ((train >= 1) | (test.sum() + validation.sum() > (counts - 1).sum())).all()
        if np.count_nonzero(counts >= 2) <= test.sum() <= np.maximum(counts - 2, counts >= 2).sum():
            assert (test[counts >= 2] >= 1).all() and (train[counts >= 2] >= 1).all()
            if np.count_nonzero(counts >= 3) <= validation.sum() <= np.maximum(counts - test - 1, 0).sum():
                assert (validation[counts >= 3] >= 1).all()
        exact = counts * test.sum() / counts.sum()
        assert (np.abs(test - exact)[counts >= 20] < 3 + len(counts)).all()


def test_the_split_is_the_seed_s(capsys):
    labels = np.arange(60) % 3
    table = tables.Table("t", {"x": np.zeros(60), "y": labels}, np.arange(60))
    first, again, other = (split(table, 0.2, seed, labels) for seed in (0, 0, 1))
    assert all((one == two).all() for one, two in zip(first, again, strict=True))
    assert any((one != two).any() for one, two in zip(first, other, strict=True))
    assert (np.diff(labels[first[0]]) != 0).any() and (np.diff(first[0]) < 0).any()  # the rows stay in a random order


# --- rows without a target ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,y\n1,x\n2,\n3,x\n", [], "t.csv, line 3, column 'y': the value is missing (--skip-missing-target leaves"),
        ("a,y\n1,1.5\n2,\n3,nan\n4,2\n", [], "t.csv, lines 3, 4, column 'y': the value is missing (--skip-"),
        ("a,y\n" + "1,\n2,x\n" * 20, [], "22, 24, … (20 in all), column 'y': the value is missing (--skip-"),
        ("a,y,b\n1,,2\n2,,3\n", ["--target", "y"], "all values of the column 'y' are missing: choose another target"),
        ("a,y\n1,\n2,x\n3,z\n4,x\n", ["--skip-missing-target"], "too few rows: t.csv has 3, at least 4 are needed"),
    ],
)
def test_rows_without_a_target(text, options, message, capsys, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    assert message in line_of_error(capsys, 2, ["train", "t.csv", *options])
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize("kind", ["names", "numbers", "whole numbers"])
def test_rows_without_a_target_can_be_skipped(kind, capsys):
    def target(i):
        return {"names": "xy"[i % 2], "numbers": i + 0.5, "whole numbers": i % 3}[kind]

    rows = [[i + 0.5, -i - 0.5, target(i)] for i in range(60)]
    want, _ = train(capsys, write_csv("t.csv", ["a", "b", "y"], rows), *FAST)
    holes = [row for i, row in enumerate(rows) for row in [row] + [[i, i, ""]] * (i % 20 == 3)]
    out, err = train(capsys, write_csv("t.csv", ["a", "b", "y"], holes), *FAST, "--skip-missing-target")
    assert "skipped         3 rows without a target\n" in out and err == ""
    without_time = [re.sub(r" in .* s$", "", line) for line in out.splitlines() if not line.startswith("skipped")]
    assert without_time == [re.sub(r" in .* s$", "", line) for line in want.splitlines()]
    assert "skipped" not in train(capsys, write_csv("t.csv", ["a", "b", "y"], rows), *FAST, "--skip-missing-target")[0]


def test_rows_without_a_target_in_arrays_and_in_their_test_set(capsys):
    X, y = np.random.default_rng(0).normal(size=(60, 2, 3)), np.arange(60.0) % 2
    y[[4, 50]] = np.nan
    np.savez("t.npz", x_train=X[:40], y_train=y[:40], x_test=X[40:], y_test=y[40:])
    assert "t.npz, row 11, array 'y_test': the value is missing" in line_of_error(capsys, 2, ["train", "t.npz"])
    out, _ = train(capsys, "t.npz", *FAST, "--skip-missing-target")
    assert "skipped         2 rows without a target\n" in out
    assert "35 to train on, 4 for validation, 19 for the test" in out


# --- early stopping and weights of classes ------------------------------------------------------------


def test_early_stopping_keeps_the_best_epoch(capsys):
    argv = ["diabetes", "--quiet", "--no-plot", "--save", "m.npz"]
    out, _ = train(capsys, *argv, "--early-stopping", "--patience", "4")
    stopped = re.search(r"trained +(\d+) epochs in \S+ s, then stopped early\n", out)
    kept = re.search(r"kept +the weights of epoch (\d+): (\S+), the smallest validation loss\n", out)
    assert int(stopped[1]) == int(kept[1]) + 4
    best = fb.load("m.npz")
    assert best.epochs_trained == int(kept[1])
    train(capsys, *argv, "--epochs", kept[1])
    np.testing.assert_array_equal(fb.load("m.npz").params, best.params)


def test_early_stopping_after_ctrl_c_keeps_the_best_epoch_too(capsys, monkeypatch):
    train_epoch = fb.training.loop._Run._train_epoch

    def interrupted(run, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        return train_epoch(run, epoch)

    monkeypatch.setattr(fb.training.loop._Run, "_train_epoch", interrupted)
    argv = [
        "train",
        "diabetes",
        "--quiet",
        "--no-plot",
        "--save",
        "m.npz",
        "--early-stopping",
        "--learning-rate",
        "0.5",
    ]
    assert cli.main(argv) == 130
    out = capsys.readouterr().out
    kept = re.search(r"trained +2 epochs in \S+ s, then interrupted\nkept +the weights of epoch ([12]): ", out)
    assert fb.load("m.npz").epochs_trained == int(kept[1])


def test_early_stopping_that_does_not_stop_keeps_the_best_epoch_too(capsys):
    out, _ = train(capsys, "diabetes", "--quiet", "--no-save", "--epochs", "12", "--early-stopping")
    assert re.search(r"trained +12 epochs in \S+ s\nkept +the weights of epoch ([1-9]|1[012]): ", out)


def test_balanced_classes(capsys):
    """Features that tell a little of a rare class: with weights it is found more often."""
    rng = np.random.default_rng(0)
    yes = rng.random(1000) < 0.1
    rows = [[*(rng.normal(size=2) + positive).tolist(), ["no", "yes"][positive]] for positive in yes.astype(int)]
    path, recall = write_csv("t.csv", ["a", "b", "y"], rows), []
    for options in ([], ["--class-weight", "balanced"]):
        out, _ = train(capsys, path, "--quiet", "--no-save", "--hidden", "none", *options)
        recall.append(float(rows_of_table(out)["yes"][1]))
    assert recall[0] < 0.2 and recall[1] > 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("diabetes --class-weight balanced", "the target 'target' is taken for numbers: --task classification makes"),
        ("diabetes --class-weight balanced --task regression", "--class-weight needs a classification, got --task reg"),
        ("iris --class-weight auto", "--class-weight: invalid choice: 'auto' (choose from"),
        ("iris --patience 3", "--patience needs --early-stopping"),
        ("iris --early-stopping --patience 0", "--patience: must be an integer, 1 or more, got '0'"),
    ],
)
def test_options_that_do_not_go_together(options, message, capsys):
    assert message in line_of_error(capsys, 2, ["train", *options.split(), "--no-save"])


# --- columns that go along with predictions -----------------------------------------------------------

ROWS = [["007", "9007199254740993", 1.5, "x, y"], ["042", "1.50", -1.0, ""], ["1e3", "", 0.5, 'a "b"']]


def save_model():
    """A model of one feature, a, and two classes."""
    net = fb.Network([fb.Dense(2)], (1,), loss="cross_entropy", seed=0)
    preparation = tables.Preparation("classification", "y", None, ["a"], [0.0], [1.0], ["no", "yes"])
    net.save("m.npz", extra={"preparation": vars(preparation)})


def kept(capsys, *argv):
    capsys.readouterr()
    assert cli.main(["predict", "m.npz", *argv]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return read_predictions(out)


@pytest.mark.parametrize(
    ("keep", "names"),
    [
        (["--keep", "id"], ["id"]),
        (["--keep", "note", "--keep", "id"], ["note", "id"]),
        (["--keep", "2", "--keep", "a", "--keep", "number"], ["number", "a"]),
    ],
)
def test_kept_columns_have_the_text_of_the_file(keep, names, capsys):
    save_model()
    header = ["id", "number", "a", "note"]
    path = write_csv("new.csv", header, ROWS)
    without = kept(capsys, path)
    found = kept(capsys, path, *keep)
    assert list(found[0]) == [*names, "prediction", "probability"]
    for row, plain, cells in zip(found, without, ROWS, strict=True):
        assert {name: row[name] for name in names} == {name: str(cells[header.index(name)]) for name in names}
        assert row["prediction"] == plain["prediction"] and row["probability"] == plain["probability"]


def test_kept_columns_of_parquet_of_any_type_and_of_pandas_index(capsys):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    save_model()
    days = pd.to_datetime(["2024-01-02", "2024-01-03", None])
    table = {
        "a": [1.0, 2.0, 3.0],
        "big": [9007199254740993, 2, 3],
        "day": days.date,
        "kind": pd.Categorical(list("xyx")),
    }
    index = pd.Index(["007", "042", "001"], name="id")
    frame = pd.DataFrame({**table, "many": [[1], [2], [3]]}, index=index)
    frame.to_parquet("new.parquet")
    found = kept(capsys, "new.parquet", "--keep", "id", "--keep", "big", "--keep", "day", "--keep", "kind")
    assert [row["id"] for row in found] == ["007", "042", "001"]
    assert [row["big"] for row in found] == ["9007199254740993", "2", "3"]
    assert [row["day"] for row in found] == ["2024-01-02", "2024-01-03", ""]
    assert [row["kind"] for row in found] == ["x", "y", "x"]
    line = line_of_error(capsys, 2, ["predict", "m.npz", "new.parquet", "--keep", "many"])
    assert "new.parquet: the column 'many' of list<element: int64> can't be kept as text" in line


def test_kept_arrays(capsys):
    fb.Network([fb.Dense(1)], (2,), loss="mse", seed=0).save("m.npz")
    ids = np.array(["007", "042", "ü"])
    np.savez("new.npz", X=np.ones((3, 2)), id=ids, number=np.array([[2**53 + 1], [2], [3]]), wide=np.ones((3, 2)))
    found = kept(capsys, "new.npz", "--keep", "number", "--keep", "id")
    assert list(found[0]) == ["number", "id", "prediction"]
    assert [(row["number"], row["id"]) for row in found] == [("9007199254740993", "007"), ("2", "042"), ("3", "ü")]
    for keep, message in [
        (
            "wide",
            "the array 'wide' must hold one number or text for each of the 3 rows to be kept, got the shape (3, 2)",
        ),
        ("X", "the array 'X' must hold one number or text for each of the 3 rows to be kept, got the shape (3, 2)"),
        ("price", "new.npz has no array 'price' for --keep; it has X, id, number, wide"),
    ]:
        assert message in line_of_error(capsys, 2, ["predict", "m.npz", "new.npz", "--keep", keep])


def test_kept_columns_of_a_bundled_data_set(capsys):
    train(capsys, "iris", *FAST, "--save", "m.npz")
    assert cli.main(["predict", "m.npz", "iris", "--keep", "petal width (cm)", "--output", "p.csv"]) == 0
    with open("p.csv", encoding="utf-8") as file:
        found = read_predictions(file.read())
    assert found[0]["petal width (cm)"] == "0.2" and len(found) == 150


@pytest.mark.parametrize(
    ("header", "keep", "message"),
    [
        (["id", "a", "y"], "key", "new.csv has no column 'key' for --keep; it has id, a, y"),
        (["prediction", "a", "y"], "prediction", "--keep: the predictions have a column 'prediction' of their own"),
        (["probability", "a", "y"], "1", "--keep: the predictions have a column 'probability' of their own"),
    ],
)
def test_columns_that_can_not_be_kept(header, keep, message, capsys, tmp_path):
    save_model()
    write_csv("new.csv", header, [["007", 1, "no"]])
    (tmp_path / "p.csv").write_text("old")
    argv = ["predict", "m.npz", "new.csv", "--keep", keep, "--output", "p.csv"]
    assert message in line_of_error(capsys, 2, argv)
    assert (tmp_path / "p.csv").read_text() == "old"
