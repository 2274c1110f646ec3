"""Fits, each made once: shared by the jobs of a sweep, and made ahead while a language model makes rows."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any

from opal.atomic import whole_file
from opal.evaluate.measure import measure
from opal.evaluate.metrics import Record
from opal.orphans import end_with

KEPT_RAW = 1000  # fits, some 20 kB each
PATIENCE = 600  # seconds to wait for a fit that another process makes, before it is made here too
_raw: dict[str, list[Record]] = {}  # the newest fits without synthetic rows, by digest of their inputs
_folder: Path | None = None  # the same for other processes, a file per fit
_ahead: dict[str, list[Record]] = {}  # fits with synthetic rows, made before they were asked for


def fitted(jobs: Sequence[tuple], n_jobs: int = 1, progress: Any = None) -> list[list[Record]]:
    """The records of every job (the arguments of `measure`); fits without synthetic rows are made once per sweep."""
    keys = [None if job[3] and not _ahead else _key(job) for job in jobs]
    found: list[Any] = [_recall(key) for key in keys]
    if progress is not None:
        progress.advance(fits=sum(records is not None for records in found))
    for patience in (0, PATIENCE):  # what other processes make just now comes last, and is then known
        left = [i for i, records in enumerate(found) if records is None]
        wanted = [(jobs[i], keys[i], _folder, patience) for i in left]
        for i, records in zip(left, each(_made, wanted, n_jobs), strict=True):
            found[i] = records
            if progress is not None and records is not None:
                progress.advance(fits=1)
    for job, key, records in zip(jobs, keys, found, strict=True):
        if key and not job[3]:
            _keep(key, records)
    return found


def _made(job: tuple, key: str | None, folder: Path | None, patience: float) -> list[Record] | None:
    """The records of one fit; None where another process is making it, unless there is patience to wait for it."""
    if job[3] or not (key and folder):  # only fits without synthetic rows are shared
        return measure(*job)
    with _claim(folder / f"{key}.lock", patience) as claimed:
        if not claimed and not patience:
            return None
        found = _read(key, folder)
        if found is None:
            found = measure(*job)
            _write(key, folder, found)
        return found


@contextmanager
def ahead(wanted: bool) -> Iterator[Callable[[Iterable[tuple]], Any]]:
    """Make fits in the background while the block waits for something else; `fitted` then finds their records.

    A fault in one of them is left to the stage that needs it, which makes the fit again.

    Yields
    ------
    A function that takes jobs as `fitted` does; does nothing unless ``wanted``.
    """
    if not wanted:
        yield lambda jobs: None
        return
    ended = Event()

    def make(jobs: Iterable[tuple]) -> None:
        for job in jobs:
            if ended.is_set():
                return
            key, raw = _key(job), not job[3]
            if key is None or (raw and _recall(key)):
                continue
            (records,) = each(_made, [(job, key, _folder, 0)], 1)
            if records and raw:
                _keep(key, records)
            elif records:
                _ahead[key] = records

    _ahead.clear()
    pool = ThreadPoolExecutor(1, thread_name_prefix="opal-fits")
    try:
        yield lambda jobs: pool.submit(make, jobs)
    finally:
        ended.set()
        pool.shutdown(cancel_futures=True)  # waits for one fit at most: the next stage must not make the same


def share_raw_fits(folder: Path) -> None:
    """Share fits without synthetic rows with other processes that name the same folder."""
    global _folder
    _folder = folder


def _recall(key: str | None) -> list[Record] | None:
    if key is None:
        return None
    return _ahead.pop(key) if key in _ahead else _raw.get(key) or _read(key, _folder)


def _keep(key: str, records: list[Record]) -> None:
    _raw[key] = records
    for old in list(_raw)[:-KEPT_RAW]:
        del _raw[old]


def _read(key: str, folder: Path | None) -> list[Record] | None:
    if folder:
        with suppress(OSError, ValueError):
            return json.loads((folder / f"{key}.json").read_text())
    return None


def _write(key: str, folder: Path, records: list[Record]) -> None:
    # sharing only saves time; not forced to the disk: a lost fit is made again
    with suppress(OSError, TypeError), whole_file(folder / f"{key}.json") as part:
        part.write_text(json.dumps(records))


@contextmanager
def _claim(file: Path, patience: float) -> Iterator[bool]:
    """Whether a lock is held: not where another process holds it for longer than ``patience`` seconds."""
    from filelock import FileLock, Timeout

    with ExitStack() as held:
        claimed = True
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(file, timeout=patience))
        except Timeout:
            claimed = False
        except (OSError, NotImplementedError):  # a disk without locks: two processes may make the same fit
            pass
        yield claimed


def _key(job: tuple) -> str | None:
    """Digest of all inputs of a fit; None, so that it is never shared, if they cannot be pickled."""
    from joblib import hash as digest

    classifier, split, added, amount, minority, *controls = job
    # controls as a list: their order, which joblib ignores in a dict, is that of the records
    inputs = classifier, split, minority, [list((given or {}).items()) for given in controls]
    try:
        return digest((*inputs, amount, added) if amount else inputs)
    except (pickle.PicklingError, TypeError, AttributeError):
        return None


def each(work: Callable[..., Any], jobs: Sequence[tuple], n_jobs: int, progress: Any = None) -> Iterable[Any]:
    """``work(*job)`` for every job, in order, one thread per fit: small tables fit slower on more."""
    from joblib import Parallel, delayed, parallel_config
    from threadpoolctl import threadpool_limits

    if not jobs:
        return
    with threadpool_limits(1), parallel_config("loky", inner_max_num_threads=1):
        found = Parallel(n_jobs, return_as="generator", initializer=end_with, initargs=(os.getpid(),))(
            delayed(work)(*job) for job in jobs
        )
        for result in found:
            if progress is not None:
                progress.advance(fits=1)
            yield result
