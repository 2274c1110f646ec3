"""The locks of a hash, held over a trial and while its result is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path


@contextmanager
def locked(
    mlruns: Path, config_hash: str, waiting: Callable[[str], None] | None = None, wait: bool = True
) -> Iterator[bool]:
    """Lock a hash; yields whether it is locked, which it is not where another process is and ``wait`` is false.

    Parameters
    ----------
    waiting : called with one sentence when another process holds the hash
    """
    from filelock import FileLock, Timeout

    (mlruns / "locks").mkdir(parents=True, exist_ok=True)
    lock = FileLock(_path(mlruns, config_hash, ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if waiting:
            waiting(f"another process is at work on {config_hash[:12]}: waiting for it")
        if wait:
            lock.acquire()
    try:
        if lock.is_locked:
            with writing(mlruns, config_hash):
                pass
        yield lock.is_locked
    finally:
        lock.release()


def writing(mlruns: Path, config_hash: str) -> AbstractContextManager[object]:
    """Held by a helper process while it records: it may outlive the process that holds the lock of the hash."""
    from filelock import FileLock

    return FileLock(_path(mlruns, config_hash, ".writing.lock"))


def _path(mlruns: Path, config_hash: str, end: str) -> Path:
    return mlruns / "locks" / (config_hash[:16] + end)
