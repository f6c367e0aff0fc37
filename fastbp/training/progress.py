"""Progress: how training tells the user how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping


class Progress:
    """A tqdm bar on a terminal or in a notebook, plain lines elsewhere, all to stderr."""

    def __init__(self, verbose: bool, first: int, epochs: int, rows: int | None):
        self._verbose, self._rows = verbose and sys.stderr is not None, rows
        self._first, self._epochs = min(first, epochs), epochs
        self._bar = None
        if self._verbose and (sys.stderr.isatty() or "ipykernel" in sys.modules):
            from tqdm.auto import tqdm

            total, done = (None, 0) if rows is None else (epochs * rows, self._first * rows)
            self._bar = tqdm(total=total, initial=done, unit="row", unit_scale=True)
        self._every = 1 if epochs <= 20 else epochs // 10
        self._begin = time.perf_counter()
        self._logs: dict[str, float] = {}  # of the last whole epoch

    def move(self, rows: int, epoch: int, loss: float) -> None:
        """Show that so many more rows are done, and the last batch's loss."""
        if self._bar is not None:
            self._bar.set_postfix_str(self._text(epoch, {**self._logs, "loss": loss}), refresh=False)
            self._bar.update(rows)

    def end_epoch(self, epoch: int, logs: Mapping[str, float], last: bool) -> None:
        """Show an epoch's numbers; last: whether it is the last one."""
        if not self._verbose:
            return
        self._logs = dict(logs)
        text = self._text(epoch, logs)
        if self._bar is not None:
            if self._rows is None:
                self._bar.total = self._bar.n // (epoch + 1 - self._first) * (self._epochs - self._first)
            self._bar.set_postfix_str(text, refresh=last)
        elif last or (epoch + 1) % self._every == 0:
            seconds = time.perf_counter() - self._begin
            print(f"{text} ({seconds:.1f} s)", file=sys.stderr, flush=True)

    def _text(self, epoch: int, logs: Mapping[str, float]) -> str:
        numbers = " ".join(f"{name} {value:.4g}" for name, value in logs.items())
        return f"epoch {epoch + 1}/{self._epochs} {numbers}"

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
