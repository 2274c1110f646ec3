"""A file lock whose waiting can be given up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def held(path: Path, stop: threading.Event, waiting: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Hold the lock of ``path``; yields whether it is held: waiting ends once ``stop`` is set.

    ``waiting`` is called every half second of it.
    """
    lock = FileLock(path)
    while not stop.is_set():
        try:
            lock.acquire(timeout=0.5, poll_interval=0.05)
            break
        except Timeout:
            waiting()
    try:
        yield lock.is_locked
    finally:
        lock.release()
