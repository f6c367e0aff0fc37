"""Whether results can be written where they shall go: found out before the work."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from . import tables
from .errors import CommandError


def check_place(option: str, path: Path, inputs: Iterable[str]) -> None:
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


def places(args: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """Where the model and the picture go; None for one that is not wanted."""
    model = Path(args.save if args.save is not None else f"fastbp-{tables.stem(args.data)}.npz")
    if not args.no_save:
        check_place("--save", model, [args.data])
    return (None if args.no_save else model), _picture_place(args, model)


def _picture_place(args: argparse.Namespace, model: Path) -> Path | None:
    if args.no_plot or (args.plot is None and args.no_save):
        return None
    picture = model.with_suffix(".png") if args.plot is None else Path(args.plot)
    if not _can_draw(picture, args.plot is not None):
        return None
    check_place("--plot", picture, [args.data])
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
