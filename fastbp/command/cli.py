"""The command line: fastbp train, predict, info, cache and bench."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import math
import os
import platform
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from .. import __version__, activations
from ..errors import DivergedError, FileFormatError
from ..optimizers import OPTIMIZERS
from ..runtime import cache, threads
from . import bench, tables
from .errors import CommandError
from .lines import forget_reader, say
from .predict import run_predict
from .tables import CLASSIFICATION, REGRESSION, TableError
from .train import (
    BATCH_SIZE,
    EPOCHS,
    HIDDEN,
    INTERRUPTED,
    LENET_BATCH_SIZE,
    LENET_EPOCHS,
    LENET_RATES,
    MOMENTUM,
    PATIENCE,
    RATES,
    run_train,
)

FAILED, WRONG_USE = 1, 2
MOST_UNITS = 1_000_000
INSTALLED = ("numba", "llvmlite", "numpy", "tbb", "scikit-learn", "matplotlib", "pyarrow", "torch")


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
    about = "Show where compiled code is kept, how much of it there is and how old it is, or remove it."
    kept = commands.add_parser("cache", help="show or clear the compiled code", description=about, allow_abbrev=False)
    kept.set_defaults(run=_cache)
    kept.add_argument("--clear", action="store_true", help="remove it: what is needed is compiled again")
    bench.add_command(commands)
    return parser


def _add_train(commands: Any) -> None:
    about = "Train on a table, test on rows kept aside, and save the model and a picture of the training."
    train = commands.add_parser("train", help="train on a table", description=about, allow_abbrev=False)
    train.set_defaults(run=run_train)
    names = ", ".join(tables.BUNDLED)
    train.add_argument(
        "data", metavar="DATA", nargs="?", default="digits", help=f"a CSV, NPZ or Parquet file, or {names}"
    )
    data = train.add_argument_group("data")
    data.add_argument("--target", metavar="COLUMN", help="name or number of what to predict (default: last column)")
    data.add_argument("--task", choices=(CLASSIFICATION, REGRESSION), help="default: guessed from the target")
    data.add_argument("--drop", metavar="COLUMN", action="append", default=[], help="leave it out (may be repeated)")
    about = "take its numbers, and words such as NA, for names of categories (may be repeated)"
    data.add_argument("--text", metavar="COLUMN", action="append", default=[], help=about)
    about = "take missing numbers for their column's median, missing texts for a category"
    data.add_argument("--impute", action="store_true", help=about)
    about = "leave out the rows that have no target, which are an error otherwise"
    data.add_argument("--skip-missing-target", action="store_true", help=about)
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
    _add_verbose(results)
    results.add_argument("--quiet", action="store_true", help="show no progress, only results")


def _add_verbose(group: Any) -> None:
    group.add_argument("--verbose", action="store_true", help="show all classes, and a confusion matrix")


def _add_no_header(group: Any) -> None:
    about = "the first line of a CSV file is data, though it holds text or is 0, 1, 2, …"
    group.add_argument("--no-header", action="store_true", help=about)


def _add_format(parser: argparse.ArgumentParser) -> None:
    """Options on how a CSV file is written, which `csv_format` takes."""
    group = parser.add_argument_group("how a CSV file is written, where that can't be told from it")
    about = "such as cp1252 or utf-16 (default: as its byte-order mark says, UTF-8, or cp1252 if it is none)"
    group.add_argument("--encoding", metavar="NAME", help=about)
    about = "the mark before the fraction of a number: a point or a comma"
    group.add_argument("--decimal", metavar="MARK", choices=tables.DECIMALS, help=about)
    about = "the mark between thousands: a comma, a point, \"'\" or ' '"
    group.add_argument("--thousands", metavar="MARK", type=tables.plain_mark, choices=tables.THOUSANDS, help=about)
    about = "lines above the header, or above the data without a header (default: a title is recognised)"
    group.add_argument("--skip-lines", metavar="N", type=_seed, help=about)


def _add_learning(group: Any) -> None:
    add = group.add_argument
    hidden = ",".join(map(str, HIDDEN))
    network = group.add_mutually_exclusive_group()
    about = f"such as 64,64, or none (default: {hidden})"
    network.add_argument("--hidden", metavar="UNITS", type=_widths, default=HIDDEN, help=about)
    network.add_argument("--preset", choices=("lenet",), help="a network for an NPZ file of images: LeNet-5")
    add("--activation", choices=tuple(activations.ACTIVATIONS), default="relu", help="default: relu")
    add("--epochs", metavar="N", type=_count, help=f"default: {EPOCHS}, for lenet {LENET_EPOCHS}")
    about = "stop when the validation loss gets no smaller, and keep the weights of the best epoch"
    add("--early-stopping", action="store_true", help=about)
    about = f"for early stopping: after so many epochs without a smaller loss (default: {PATIENCE})"
    add("--patience", metavar="N", type=_count, help=about)
    about = "let rare classes count for more: each row for rows / (classes × rows of its class)"
    add("--class-weight", choices=("balanced",), help=about)
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
    predict.set_defaults(run=run_predict)
    predict.add_argument("model", metavar="MODEL", help="a file that fastbp train or Network.save wrote")
    predict.add_argument("data", metavar="DATA", help="a CSV, NPZ or Parquet file, with or without the target")
    _add_no_header(predict)
    about = "write it beside the predictions, as identifiers need (may be repeated)"
    predict.add_argument("--keep", metavar="COLUMN", action="append", default=[], help=about)
    _add_verbose(predict)
    predict.add_argument("--output", metavar="FILE", help="where the predictions go (default: shown)")
    _add_format(predict)


def _info(args: argparse.Namespace) -> int:
    import llvmlite.binding

    say("fastbp", __version__)
    say("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in INSTALLED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            say(name, importlib.metadata.version(name))
    say("processor", f"{llvmlite.binding.get_host_cpu_name()} (LLVM's name), {os.cpu_count()} logical cores")
    say("threads", str(threads.get_num_threads()))
    say("threading layer", threads.threading_layer())
    folder = cache.place() if cache.enabled() else None
    say("cache folder", str(folder or "none: nothing that is compiled is kept"))
    return 0


def _cache(args: argparse.Namespace) -> int:
    for label, text in [("freed", cache.clear())] if args.clear else cache.report():
        say(label, text)
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
        forget_reader(sys.stdout)
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
    if sys.stdout is not None:
        sys.stdout.flush()
    return status
