"""What one sees of a training: the bar, the picture, tables in notebooks."""

import html.parser
import io
import math
import sys
from contextlib import redirect_stderr
from functools import partial

import numpy as np
import pytest
import tqdm.auto

import fastbp as fb

X = np.random.default_rng(0).standard_normal((200, 4))
Y = X[:, 0] > 0


def classifier():
    return fb.Network([fb.Dense(5, "relu"), fb.Dense(2)], (4,), loss="cross_entropy", seed=0)


# --- the bar ------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A wide one, on which the bar moves at once."""
    monkeypatch.setattr(tqdm.auto, "tqdm", partial(tqdm.auto.tqdm, mininterval=0, miniters=1, ncols=200))
    return Terminal()


def states(terminal):
    """What the bar showed, one after the other; and that it is left on a line of its own."""
    text = terminal.getvalue()
    assert text.endswith("\n")
    return [line for line in text.strip().split("\r") if line.strip()]


def test_the_bar_shows_loss_metrics_and_rows_per_second(terminal):
    with redirect_stderr(terminal):
        classifier().fit(X, Y, epochs=3, validation_split=0.1, metrics="auc")
    lines = states(terminal)
    assert "100%" in lines[-1] and "540/540" in lines[-1] and "row/s" in lines[-1]
    assert all(name in lines[-1] for name in ("epoch 3/3", " loss ", " accuracy ", "val_loss", "val_auc"))
    during = next(line for line in lines if "epoch 2/3" in line)
    assert " loss " in during and "val_auc" in during  # of the epoch before


def test_the_bar_of_an_iterable_learns_how_long_it_is(terminal):
    with redirect_stderr(terminal):
        classifier().fit([(X, Y), (X, Y)], epochs=2)
    lines = states(terminal)
    assert "200row" in lines[1] and "100%" in lines[-1] and "800/800" in lines[-1]


class Break:
    def __init__(self, error):
        self.error = error

    def on_epoch_end(self, net, epoch, logs):
        raise self.error


def test_the_bar_is_closed_by_exceptions(terminal):
    with redirect_stderr(terminal), pytest.raises(OSError, match="no"):
        classifier().fit(X, Y, epochs=2, callbacks=Break(OSError("no")))
    assert "200/400" in states(terminal)[-1]


def test_an_interrupt_is_told_below_the_bar(terminal):
    with redirect_stderr(terminal):
        classifier().fit(X, Y, epochs=2, callbacks=Break(KeyboardInterrupt))
    *_, bar, text = terminal.getvalue().strip().split("\n")
    assert "200/400" in bar and text.startswith("fastbp: interrupted after 1 whole epochs")


def test_no_stderr_at_all():
    with redirect_stderr(None):
        assert len(classifier().fit(X, Y, epochs=2).epoch) == 2


# --- the picture --------------------------------------------------------------------------------------


def history(**numbers):
    made = fb.History()
    for epoch in range(len(next(iter(numbers.values())))):
        made.add(epoch, {name: values[epoch] for name, values in numbers.items()})
    return made


def drawn(figure):
    """By label of each panel: its lines' names and values, and its scale."""
    return {
        axes.get_ylabel(): ({line.get_label(): list(line.get_ydata()) for line in axes.lines}, axes.get_yscale())
        for axes in figure.axes
    }


def test_losses_and_one_metric():
    matplotlib = pytest.importorskip("matplotlib")
    figure = history(loss=[9.0, 0.3], val_loss=[5.0, 0.4], accuracy=[0.5, 0.6], val_accuracy=[0.5, 0.7]).plot("title")
    assert isinstance(figure, matplotlib.figure.Figure) and figure.get_suptitle() == "title"
    assert drawn(figure) == {
        "loss": ({"training": [9.0, 0.3], "validation": [5.0, 0.4]}, "log"),
        "accuracy": ({"training": [0.5, 0.6], "validation": [0.5, 0.7]}, "linear"),
    }
    assert [list(line.get_xdata()) for line in figure.axes[0].lines] == [[1, 2]] * 2


def test_many_metrics_a_learning_rate_and_gaps():
    pytest.importorskip("matplotlib")
    made = history(loss=[1.0, 0.9], val_auc=[0.5, 0.6], val_r2=[-1.0, math.nan], learning_rate=[0.1, 0.001])
    lines = drawn(made.plot())
    assert list(lines) == ["loss", "metrics", "learning rate"]
    assert list(lines["metrics"][0]) == ["val_auc", "val_r2"] and lines["loss"][1] == "linear"
    assert lines["learning rate"][1] == "log"


@pytest.mark.parametrize("losses", [[0.5], [math.inf, math.nan], [0.0, 1.0], [-1.0, 5.0], list(range(1, 200))])
def test_any_numbers_can_be_drawn(losses):
    pytest.importorskip("matplotlib")
    file = io.BytesIO()
    history(loss=losses).plot().savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")


def test_pyplot_is_left_alone():
    pytest.importorskip("matplotlib")
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    history(loss=[1.0]).plot()
    assert plt.get_fignums() == before


def test_losses_in_axes_of_ones_own():
    matplotlib = pytest.importorskip("matplotlib")
    figure = matplotlib.figure.Figure()
    left, right = figure.subplots(1, 2)
    numbers = history(loss=[9.0, 0.3], val_loss=[5.0, 0.4], accuracy=[0.5, 0.6], learning_rate=[0.1, 0.01])
    assert numbers.plot("losses", ax=left) is figure
    assert drawn(figure)["loss"] == ({"training": [9.0, 0.3], "validation": [5.0, 0.4]}, "log")
    assert left.get_title() == "losses" and not right.lines and len(figure.axes) == 2
    longer = history(loss=[2.0, 1.0, 0.5])
    longer.plot(ax=left)  # beside the other
    assert [len(line.get_xdata()) for line in left.lines] == [2, 2, 3] and left.get_xlim()[1] >= 3
    figure.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize("ax", [3, "ax", np.empty(2, object)])
def test_what_is_no_axes(ax):
    pytest.importorskip("matplotlib")
    with pytest.raises(TypeError, match=r"ax must be a matplotlib Axes, such as plt\.subplots\(\) gives, got "):
        history(loss=[1.0]).plot(ax=ax)


def test_a_history_is_read_by_names():
    made = history(loss=[9.0, 0.3], val_loss=[5.0, 0.4])
    assert made["loss"] is made.history["loss"] and made["val_loss"] == [5.0, 0.4]
    assert "val_loss" in made and "accuracy" not in made
    assert list(made) == ["loss", "val_loss"] and dict(made) == made.history
    assert bool(fb.History()) and list(fb.History()) == []
    with pytest.raises(KeyError, match="history has 'loss', 'val_loss', got 'accuracy'"):
        made["accuracy"]
    with pytest.raises(KeyError, match="history has no numbers, got 'loss'"):
        fb.History()["loss"]
    trained = classifier().fit(X, Y, epochs=2, validation_split=0.1, verbose=False)
    assert len(trained["val_accuracy"]) == 2


def test_errors_of_plot(monkeypatch):
    with pytest.raises(ValueError, match="history must have at least one epoch"):
        fb.History().plot()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"plotting needs matplotlib: pip install 'fastbp\[plot\]'"):
        history(loss=[1.0]).plot()


# --- notebooks ----------------------------------------------------------------------------------------


class Cells(html.parser.HTMLParser):
    """The cells of a table, and the tags that are open."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.rest, self.open = [], "", []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        else:
            self.rest += data


def test_history_as_html():
    made = history(**{"loss": [1.0, 0.25], "<b>&": [3.0, math.nan]})
    table = Cells(made._repr_html_())
    assert table.rows == [["epoch", "loss", "<b>&"], ["1", "1", "3"], ["2", "0.25", "nan"]]
    assert "2 epochs" in table.rest and "last" not in table.rest
    long = Cells(history(loss=list(range(50)))._repr_html_())
    assert [row[0] for row in long.rows[1:]] == [str(epoch) for epoch in range(41, 51)] and "the last 10" in long.rest
    assert Cells(fb.History()._repr_html_()).rows == [["epoch"]]


def test_network_as_html():
    table = Cells(classifier()._repr_html_())
    assert table.rows == [
        ["layer", "output shape", "parameters"],
        ["input", "(4,)", "0"],
        ["Dense_1 relu", "(5,)", "25"],
        ["Dense_2", "(2,)", "12"],
        ["total", "", "37"],
    ]
    assert "loss cross_entropy, Adam(" in table.rest
