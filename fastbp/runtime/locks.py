"""Locks that a forked child renews, and Ctrl-C that is heard later."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from typing import Any

_lock = threading.RLock()


_owners: weakref.WeakSet[Any] = weakref.WeakSet()


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Other Python threads that come here wait until this ends; nobody is inside in a child process that is forked."""
    with _lock:
        yield


def give_lock(owner: Any) -> None:
    """Make `owner.lock`, a reentrant lock, and another one in each child process that is forked."""
    owner.lock = threading.RLock()
    _owners.add(owner)


def _unlock() -> None:
    """In a child process: threads that held the locks when it was forked are not there."""
    global _lock
    _lock = threading.RLock()
    for owner in _owners:
        owner.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


@contextlib.contextmanager
def interrupts_later() -> Iterator[None]:
    """Hear Ctrl-C when this ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = []
    previous = signal.getsignal(signal.SIGINT)
    if not callable(previous):
        yield
        return
    signal.signal(signal.SIGINT, lambda *args: heard.append(args))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if heard:
            previous(*heard[0])
