"""The command line: fastbp train, predict, info and bench."""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.metadata
import io
import math
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from . import __version__, _jit, activations, bench, files, network, plots, presets, tables
from .errors import DivergedError, FileFormatError
from .layers import Dense, Dropout, Layer
from .network import Network
from .optimizers import OPTIMIZERS, SGD, Optimizer
from .schedules import CosineDecay
from .tables import CLASSIFICATION, REGRESSION, Parts, Preparation, Table, TableError
from .training import History

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130
HIDDEN, EPOCHS, BATCH_SIZE = (128,), 60, 32
RATES, MOMENTUM = {"adam": 3e-3, "sgd": 2e-2}, 0.9  # for the others, their own default
LENET_EPOCHS, LENET_BATCH_SIZE, LENET_RATES = 10, 128, {**RATES, "adam": 2e-3}  # falling to 0 on a cosine
MOST_UNITS = 1_000_000
INSTALLED = ("numba", "llvmlite", "numpy", "tbb", "scikit-learn", "matplotlib", "pyarrow", "torch")


class CommandError(ValueError):
    """The command can't be done as it was given; the message is one line."""


@contextlib.contextmanager
def _blaming(option: str) -> Iterator[None]:
    """A ValueError within is that option's fault."""
    try:
        yield
    except ValueError as error:
        raise CommandError(f"{option}: {error}") from None


# --- arguments ----------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CommandError(message)


def _integer(text: str, low: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if value < low:
        raise argparse.ArgumentTypeError(f"must be an integer, {low} or more, got {text!r}")
    return value


def _count(text: str) -> int:
    return _integer(text, 1)


def _seed(text: str) -> int:
    return _integer(text, 0)


def _real(text: str) -> float:
    """NaN for what is not a number: no comparison with it holds."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _rate(text: str) -> float:
    if not 0 < _real(text) < math.inf:
        raise argparse.ArgumentTypeError(f"must be a finite number greater than 0, got {text!r}")
    return float(text)


def _share(text: str) -> float:
    if not 0 < _real(text) < 1:
        raise argparse.ArgumentTypeError(f"must be greater than 0 and less than 1, got {text!r}")
    return float(text)


def _fraction(text: str) -> float:
    if not 0 <= _real(text) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and less than 1, got {text!r}")
    return float(text)


def _widths(text: str) -> tuple[int, ...]:
    """Units of the hidden layers: "64,64", or "none"."""
    if text == "none":
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= MOST_UNITS for part in parts):
        raise argparse.ArgumentTypeError(f"must be numbers of units such as 64,64, or none, got {text!r}")
    return tuple(int(part) for part in parts)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastbp", description="Train neural networks on tables, fast.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"fastbp {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    _add_train(commands)
    _add_predict(commands)
    info = commands.add_parser("info", help="show versions, processor, threads and cache", allow_abbrev=False)
    info.set_defaults(run=_info)
    bench.add_command(commands)
    return parser


def _add_train(commands: Any) -> None:
    about = "Train on a table, test on rows kept aside, and save the model and a picture of the training."
    train = commands.add_parser("train", help="train on a table", description=about, allow_abbrev=False)
    train.set_defaults(run=_train)
    names = ", ".join(tables.BUNDLED)
    train.add_argument(
        "data", metavar="DATA", nargs="?", default="digits", help=f"a CSV, NPZ or Parquet file, or {names}"
    )
    data = train.add_argument_group("data")
    data.add_argument("--target", metavar="COLUMN", help="name or number of what to predict (default: last column)")
    data.add_argument("--task", choices=(CLASSIFICATION, REGRESSION), help="default: guessed from the target")
    data.add_argument("--drop", metavar="COLUMN", action="append", default=[], help="leave it out (may be repeated)")
    about = "take its numbers for names of categories (may be repeated)"
    data.add_argument("--text", metavar="COLUMN", action="append", default=[], help=about)
    about = "take missing numbers for their column's median, missing texts for a category"
    data.add_argument("--impute", action="store_true", help=about)
    _add_no_header(data)
    data.add_argument("--test-size", metavar="SHARE", type=_share, default=0.2, help="of the rows (default: 0.2)")
    _add_format(train)
    learning = train.add_argument_group("network and training")
    _add_learning(learning)
    results = train.add_argument_group("results")
    save = results.add_mutually_exclusive_group()
    save.add_argument("--save", metavar="FILE", help="where the model goes (default: fastbp-NAME.npz)")
    save.add_argument("--no-save", action="store_true", help="save no model, and no picture without --plot")
    plot = results.add_mutually_exclusive_group()
    plot.add_argument("--plot", metavar="FILE", help="where the picture goes (default: beside the model, .png)")
    plot.add_argument("--no-plot", action="store_true", help="draw no picture")
    results.add_argument("--quiet", action="store_true", help="show no progress, only results")


def _add_no_header(group: Any) -> None:
    about = "the first line of a CSV file is data, though it holds text or is 0, 1, 2, …"
    group.add_argument("--no-header", action="store_true", help=about)


def _add_format(parser: argparse.ArgumentParser) -> None:
    """Options on how a CSV file is written, for `_format`."""
    group = parser.add_argument_group("how a CSV file is written, where that can't be told from it")
    about = "such as cp1252 or utf-16 (default: as its byte-order mark says, UTF-8, or cp1252 if it is none)"
    group.add_argument("--encoding", metavar="NAME", help=about)
    about = "the mark before the fraction of a number: a point or a comma"
    group.add_argument("--decimal", metavar="MARK", choices=tables.DECIMALS, help=about)
    about = "the mark between thousands: a comma, a point, \"'\" or ' '"
    group.add_argument("--thousands", metavar="MARK", choices=tables.THOUSANDS, help=about)
    about = "lines above the header, or above the data without a header (default: a title is recognised)"
    group.add_argument("--skip-lines", metavar="N", type=_seed, help=about)


def _format(args: argparse.Namespace) -> tables.CSVFormat:
    return tables.CSVFormat(args.encoding, args.decimal, args.thousands, args.skip_lines)


def _add_learning(group: Any) -> None:
    add = group.add_argument
    hidden = ",".join(map(str, HIDDEN))
    network = group.add_mutually_exclusive_group()
    about = f"such as 64,64, or none (default: {hidden})"
    network.add_argument("--hidden", metavar="UNITS", type=_widths, default=HIDDEN, help=about)
    network.add_argument("--preset", choices=("lenet",), help="a network for an NPZ file of images: LeNet-5")
    add("--activation", choices=tuple(activations.ACTIVATIONS), default="relu", help="default: relu")
    add("--epochs", metavar="N", type=_count, help=f"default: {EPOCHS}, for lenet {LENET_EPOCHS}")
    add("--batch-size", metavar="ROWS", type=_count, help=f"default: {BATCH_SIZE}, for lenet {LENET_BATCH_SIZE}")
    add("--dropout", metavar="SHARE", type=_fraction, default=0.0, help="after each hidden layer (default: 0)")
    add("--l2", metavar="FACTOR", type=_fraction, default=0.0, help="of the sum of squared weights (default: 0)")
    add("--optimizer", choices=tuple(map(str.lower, OPTIMIZERS)), default="adam", help="default: adam")
    rates = ", ".join(f"{rate:g} for {name}" for name, rate in RATES.items())
    about = f"default: {rates}, the optimizer's own for the others; for lenet with adam {LENET_RATES['adam']:g}"
    add("--learning-rate", metavar="RATE", type=_rate, help=about)
    add("--momentum", metavar="M", type=_fraction, help=f"for sgd (default: {MOMENTUM:g})")
    add("--seed", metavar="N", type=_seed, default=0, help="decides all that is random (default: 0)")
    add("--dtype", choices=("float32", "float64"), default="float32", help="default: float32")
    add("--threads", metavar="N", type=_count, help="default: all")


def _add_predict(commands: Any) -> None:
    about = "Predict the rows of a table with a saved model, and write the predictions as CSV."
    predict = commands.add_parser("predict", help="predict with a saved model", description=about, allow_abbrev=False)
    predict.set_defaults(run=_predict)
    predict.add_argument("model", metavar="MODEL", help="a file that fastbp train or Network.save wrote")
    predict.add_argument("data", metavar="DATA", help="a CSV, NPZ or Parquet file, with or without the target")
    _add_no_header(predict)
    predict.add_argument("--output", metavar="FILE", help="where the predictions go (default: shown)")
    _add_format(predict)


# --- places to write to -------------------------------------------------------------------------------


def _check_place(option: str, path: Path, inputs: Iterable[str]) -> None:
    """Find out before the work whether its result can be written to `path`, and is none of the inputs."""
    if path.is_dir():
        raise CommandError(f"{option}: {path} is a folder: it must be a file")
    if not path.parent.is_dir():
        raise CommandError(f"{option}: there is no folder {path.parent}")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise CommandError(f"{option}: the folder {path.parent} can't be written to: {error.strerror}") from None
    for source in inputs:
        if path.exists() and os.path.exists(source) and path.samefile(source):
            raise CommandError(f"{option}: {path} would overwrite what is read")


def _places(args: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """Where the model and the picture go; None for one that is not wanted."""
    model = Path(args.save if args.save is not None else f"fastbp-{tables.stem(args.data)}.npz")
    if not args.no_save:
        _check_place("--save", model, [args.data])
    return (None if args.no_save else model), _picture_place(args, model)


def _picture_place(args: argparse.Namespace, model: Path) -> Path | None:
    if args.no_plot or (args.plot is None and args.no_save):
        return None
    picture = model.with_suffix(".png") if args.plot is None else Path(args.plot)
    if not _can_draw(picture, args.plot is not None):
        return None
    _check_place("--plot", picture, [args.data])
    if picture == model and not args.no_save:
        raise CommandError(f"--plot and --save must be two files, got {model} for both")
    return picture


def _can_draw(picture: Path, asked_for: bool) -> bool:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError:
        if asked_for:
            raise CommandError("--plot needs matplotlib: pip install 'fastbp[plot]'") from None
        return False
    known = FigureCanvasAgg.get_supported_filetypes()
    if picture.suffix.lower().removeprefix(".") not in known:
        raise CommandError(f"--plot: {picture} must end in .{', .'.join(sorted(known))}")
    return True


# --- train --------------------------------------------------------------------------------------------


def _say(label: str, text: str) -> None:
    print(f"{label:<15} {text}", flush=True)


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _train(args: argparse.Namespace) -> int:
    if args.preset and not args.data.endswith(".npz"):
        raise CommandError(f"--preset {args.preset} needs an NPZ file with an array of images, got {args.data}")
    epochs, batch_size = (LENET_EPOCHS, LENET_BATCH_SIZE) if args.preset else (EPOCHS, BATCH_SIZE)
    args.epochs, args.batch_size = args.epochs or epochs, args.batch_size or batch_size
    optimizer = _optimizer(args)
    _set_threads(args.threads)
    model, picture = _places(args)
    form, header = _format(args), not args.no_header
    table = tables.read_to_train(
        args.data, args.target, args.task, drop=args.drop, text=args.text, header=header, form=form
    )
    assert table.y is not None
    _report_notes(table)
    _report_header(table)
    task = args.task or tables.guess_task(table.y)
    image = _image(args, table)
    channels = image and image[0]
    preparation, parts = tables.prepare(
        table, task, args.test_size, args.seed, args.dtype, impute=args.impute, channels=channels
    )
    if image is not None:
        parts = Parts(*((X.reshape(-1, *image), y) for X, y in parts))
    net = _network(args, preparation, parts, optimizer)
    _describe(args, table, preparation, parts, net)
    history = _fit(net, args, parts)
    trained, seconds = _counted(len(history.epoch), "epoch"), history.seconds
    interrupted = history.stopped == "interrupted"
    score = _test_score(net, preparation, *parts.test)
    _say("trained", f"{trained} in {seconds:.2f} s{', then interrupted' if interrupted else ''}")
    _say(*score)
    if not history.epoch:
        return INTERRUPTED  # nothing was learnt: a model that was there stays
    if model is not None:
        net.save(model, extra={"preparation": asdict(preparation)})
        _say("model", str(model))
    if picture is not None and history.epoch:
        _draw(picture, history, _loss_name(preparation), f"{tables.stem(args.data)}: {' '.join(score)}")
        _say("picture", str(picture))
    return INTERRUPTED if interrupted else 0


def _report_notes(table: Table) -> None:
    """Say what was assumed of the file."""
    for note in table.notes:
        print(f"fastbp: {note}", file=sys.stderr)


def _report_header(table: Table) -> None:
    """Say so where the header line may have been data."""
    numbers = table.numbers_as_names()
    if numbers:
        taken = f"the first line of {table.source} is taken for names, such as {numbers[0]!r}"
        print(f"fastbp: {taken}: --no-header takes it for data", file=sys.stderr)


def _image(args: argparse.Namespace, table: Table) -> tuple[int, int, int] | None:
    """The shape of the images, as a --preset takes them."""
    if args.preset is None:
        return None
    with _blaming("--preset"):
        return presets.image_shape(table.columns[table.features[0]].shape[1:])


def _optimizer(args: argparse.Namespace) -> Optimizer:
    rates = LENET_RATES if args.preset else RATES
    rate = rates.get(args.optimizer) if args.learning_rate is None else args.learning_rate
    given: dict[str, Any] = {} if rate is None else {"learning_rate": rate}
    if args.optimizer == "sgd":
        return SGD(**given, momentum=MOMENTUM if args.momentum is None else args.momentum)
    if args.momentum is not None:
        raise CommandError("--momentum needs --optimizer sgd")
    return next(kind for name, kind in OPTIMIZERS.items() if name.lower() == args.optimizer)(**given)


def _set_threads(threads: int | None) -> None:
    try:
        _jit.set_num_threads(threads)
    except ValueError as error:
        raise CommandError(f"--threads {str(error).removeprefix('n ')}") from None


def _network(args: argparse.Namespace, preparation: Preparation, parts: Parts, optimizer: Optimizer) -> Network:
    X, _ = parts.train
    rate = optimizer.learning_rate
    if args.preset is not None and isinstance(rate, float) and args.optimizer != "rprop":  # which takes no schedule
        steps = args.epochs * math.ceil(len(X) / args.batch_size)
        optimizer = replace(optimizer, learning_rate=CosineDecay(rate, steps))
    outputs = len(preparation.classes) if preparation.classes else 1
    return Network(
        _layers(args, X.shape[1:], outputs),
        X.shape[1:],
        loss="cross_entropy" if preparation.classes else "mse",
        optimizer=optimizer,
        dtype=args.dtype,
        seed=args.seed,
    )


def _layers(args: argparse.Namespace, input_shape: tuple[int, ...], outputs: int) -> list[Layer]:
    if args.preset is not None:
        with _blaming("--preset"):
            return presets.lenet(input_shape, outputs, args.activation, args.dropout, args.l2)
    layers: list[Layer] = []
    for units in args.hidden:
        layers.append(Dense(units, activation=args.activation, l2=args.l2))
        layers += [Dropout(args.dropout)] if args.dropout else []
    return [*layers, Dense(outputs, l2=args.l2)]


def _describe(args: argparse.Namespace, table: Table, preparation: Preparation, parts: Parts, net: Network) -> None:
    rows = sum(len(part[0]) for part in parts)
    kind = f"{len(preparation.classes):,} classes" if preparation.classes else REGRESSION
    texts = [names for names in preparation.categories or () if names is not None]
    count = len(preparation.categories or ()) or math.prod(net.input_shape)
    features = _counted(count, "feature") + (f" ({len(texts):,} of text)" if texts else "")
    _say("data", f"{args.data}: {_counted(rows, 'row')}, {features}, {kind}, target {table.target!r}")
    sizes = [f"{len(part[0]):,}" for part in parts]
    for name in tables.row_numbers(table):
        _say("row numbers", f"{name!r} numbers the rows: --drop {shlex.quote(name)} leaves it out")
    _say("rows", f"{sizes[0]} to train on, {sizes[1]} for validation, {sizes[2]} for the test")
    hidden = ["LeNet-5"] if args.preset else [f"{units} {args.activation}" for units in args.hidden]
    shape = ["×".join(map(str, net.input_shape)), *hidden, f"{net.output_shape[0]}"]
    _say("network", f"{' -> '.join(shape)}, {net.num_params:,} parameters, {net.dtype}")


def _fit(net: Network, args: argparse.Namespace, parts: Parts) -> History:
    X, y = parts.train
    batch_size = min(args.batch_size, len(X))
    return net.fit(X, y, args.epochs, batch_size, validation_data=parts.validation, verbose=not args.quiet)


def _test_score(net: Network, preparation: Preparation, X: np.ndarray, y: np.ndarray) -> tuple[str, str]:
    """The score's name, and the score."""
    outputs = net.predict(X)
    if preparation.classes is not None:
        return "test accuracy", _accuracy(outputs.argmax(axis=1) == y)
    return "test R²", _fit_of(preparation.unscaled(y[:, None]), preparation.unscaled(outputs))


def _accuracy(right: np.ndarray) -> str:
    return f"{right.mean():.4f} ({right.sum():,} of {_counted(len(right), 'row')})"


def _fit_of(y: np.ndarray, predicted: np.ndarray) -> str:
    """R² and the root of the mean squared error, in the target's units."""
    error, spread = ((predicted - y) ** 2).mean(), ((y - y.mean()) ** 2).mean()
    r2 = f"{1 - error / spread:.4f}" if spread > 0 else "undefined (all targets are one number)"
    return f"{r2}, RMSE {math.sqrt(error):.4g}"


def _loss_name(preparation: Preparation) -> str:
    if preparation.classes is None:
        return "mean squared error (target standardised)"
    return "cross-entropy"


def _draw(path: Path, history: History, loss: str, title: str) -> None:
    figure = plots.plot_history(history, title, loss)
    with files.replacing(path) as file:
        figure.savefig(file, format=path.suffix.lower().removeprefix("."), dpi=150)


# --- predict ------------------------------------------------------------------------------------------


def _predict(args: argparse.Namespace) -> int:
    output = None if args.output is None else Path(args.output)
    if output is not None:
        _check_place("--output", output, [args.model, args.data])
    net = network.load(args.model)
    preparation = _preparation(args.model, net)
    form, header = _format(args), not args.no_header
    table = tables.read_to_predict(args.data, preparation, net.input_shape, header=header, form=form)
    _report_notes(table)
    if preparation.features is None:  # no name proves the first line a header
        _report_header(table)
    if (unknown := preparation.unknown(table)) is not None:
        print(f"fastbp: {unknown}", file=sys.stderr)
    X = preparation.inputs(table, net.dtype)
    columns, score = _columns(preparation, net.predict(X.reshape(-1, *net.input_shape)), table)
    _write_csv(output, columns)
    if score is not None:
        print(f"fastbp: {score}", file=sys.stderr)
    return 0


def _preparation(model: str, net: Network) -> Preparation:
    """What `fastbp train` keeps in a model file; for a file that was saved from Python, one that changes nothing."""
    extra = files.read(model)[0].get("extra")
    if not isinstance(extra, dict) or "preparation" not in extra:
        count, outputs = math.prod(net.input_shape), net.output_shape[0]
        classes = [str(label) for label in range(outputs)] if net.loss.name == "cross_entropy" else None
        return Preparation("", "", None, None, [0.0] * count, [1.0] * count, classes)
    with contextlib.suppress(TypeError, ValueError):
        preparation = Preparation(**extra["preparation"])
        if preparation.valid_for(net.input_shape, net.output_shape):
            return preparation
    raise FileFormatError(f"{model} is not a valid model: what fastbp train kept beside the network is damaged")


def _columns(
    preparation: Preparation, outputs: np.ndarray, table: Table
) -> tuple[dict[str, Sequence[str]], str | None]:
    """The columns to write, by name, and the score if there is a target."""
    if preparation.classes is not None:
        best = outputs.argmax(axis=1)
        names = [preparation.classes[place] for place in best]
        sure = [f"{probability:.6g}" for probability in outputs.max(axis=1)]
        return {"prediction": names, "probability": sure}, _score_labels(table, preparation.classes, best)
    flat = outputs.reshape(len(outputs), -1)
    if flat.shape[1] == 1:
        predicted = preparation.unscaled(flat)
        return {"prediction": _texts(predicted)}, _score_numbers(table, predicted)
    return {f"prediction_{number}": _texts(column) for number, column in enumerate(flat.T, 1)}, None


def _texts(values: np.ndarray) -> list[str]:
    return [f"{value:.10g}" for value in values]


def _score_labels(table: Table, classes: list[str], best: np.ndarray) -> str | None:
    if table.target is None:
        return None
    labels = table.texts(table.target)
    missing = labels == ""
    if missing.any():
        return None if missing.all() else f"no accuracy: the target of row {int(np.argmax(missing)) + 1} is missing"
    return f"accuracy {_accuracy(tables.places_in(classes, labels) == best)}"


def _score_numbers(table: Table, predicted: np.ndarray) -> str | None:
    if table.target is None:
        return None
    try:
        values = table.numbers(table.target)
    except TableError as error:
        return f"no R²: {error}"
    missing = ~np.isfinite(values)
    if missing.any():
        return None if missing.all() else f"no R²: the target of row {int(np.argmax(missing)) + 1} is missing"
    return f"R² {_fit_of(values, predicted)}"


def _write_csv(path: Path | None, columns: dict[str, Sequence[str]]) -> None:
    rows = zip(*columns.values(), strict=True)
    if path is None:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        return
    with files.replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        text.flush()
        text.detach()


# --- info ---------------------------------------------------------------------------------------------


def _info(args: argparse.Namespace) -> int:
    import llvmlite.binding

    _say("fastbp", __version__)
    _say("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in INSTALLED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            _say(name, importlib.metadata.version(name))
    _say("processor", f"{llvmlite.binding.get_host_cpu_name()} (LLVM's name), {os.cpu_count()} logical cores")
    _say("threads", str(_jit.get_num_threads()))
    _say("threading layer", _jit.threading_layer())
    _say("cache folder", str(_jit.cache_folder() or "none: nothing that is compiled is kept"))
    return 0


# --- main ---------------------------------------------------------------------------------------------


def _fail(error: object, status: int = WRONG_USE) -> int:
    print("fastbp: error:", str(error).replace("\n", " "), file=sys.stderr)
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (sys.argv's by default); returns the exit status.

    0 if all went well, 1 if training diverged, 2 if the command or the data is wrong, 130 after Ctrl-C.
    """
    try:
        return _run(argv)
    except SystemExit as end:  # argparse ends --help and --version so
        return int(end.code or 0)
    except KeyboardInterrupt:
        print("fastbp: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output had enough, as `head` has
        with contextlib.suppress(OSError):  # or Python complains when it flushes at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except DivergedError as error:
        return _fail(error, FAILED)
    except (CommandError, bench.BenchError, TableError, FileFormatError) as error:
        return _fail(error)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else error)
    except MemoryError:
        return _fail("there is not enough memory")


def _run(argv: Sequence[str] | None) -> int:
    if argv is None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal can't show must not end the run
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help(sys.stderr)
        return WRONG_USE
    status: int = args.run(args)
    sys.stdout.flush()
    return status
