"""Fits, each made once: shared by the jobs of a sweep, and made ahead while a language model makes rows."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any

from opal.atomic import whole_file
from opal.evaluate.measure import measure
from opal.evaluate.metrics import Record
from opal.orphans import end_with

KEPT_RAW = 1000  # fits, some 20 kB each
_raw: dict[str | None, list[Record]] = {}  # the newest fits without synthetic rows, by digest of their inputs
_folder: Path | None = None  # the same for other processes, a file per fit
_ahead: dict[str, list[Record]] = {}  # fits with synthetic rows, made before they were asked for


def fitted(jobs: Sequence[tuple], n_jobs: int = 1, progress: Any = None) -> list[list[Record]]:
    """The records of every job (the arguments of `measure`); fits without synthetic rows are made once per sweep."""
    keys = [None if job[3] and not _ahead else _key(job) for job in jobs]
    known = [_recall(key) for key in keys]
    if progress is not None:
        progress.advance(fits=sum(records is not None for records in known))
    wanted = [job for job, records in zip(jobs, known, strict=True) if records is None]
    made = iter(each(measure, wanted, n_jobs, progress))
    found = [next(made) if records is None else records for records in known]
    for job, key, records, before in zip(jobs, keys, found, known, strict=True):
        if key and before is None and not job[3]:
            _keep(key, records)
    return found


@contextmanager
def ahead(wanted: bool = True) -> Iterator[Callable[[Iterable[tuple]], Any]]:
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
            if not job[3]:
                fitted([job])
            elif key := _key(job):
                _ahead[key] = next(iter(each(measure, [job], 1)))

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
    if key in _ahead:
        return _ahead.pop(key)
    if key and key not in _raw and _folder:
        with suppress(OSError, ValueError):
            _raw[key] = json.loads((_folder / f"{key}.json").read_text())
    return _raw.get(key)


def _keep(key: str, records: list[Record]) -> None:
    _raw[key] = records
    for old in list(_raw)[:-KEPT_RAW]:
        del _raw[old]
    if _folder:
        with suppress(OSError, TypeError):  # sharing only saves time
            _folder.mkdir(parents=True, exist_ok=True)
            with whole_file(_folder / f"{key}.json") as part:  # not forced to the disk: a lost fit is made again
                part.write_text(json.dumps(records))


def _key(job: tuple) -> str | None:
    """Digest of all inputs of a fit; None, so that it is never shared, if they cannot be pickled."""
    from joblib import hash as digest

    classifier, split, added, amount, minority, *controls = job
    # controls as a list: their order, which joblib ignores in a dict, is that of the records
    inputs = classifier, split, minority, [list((given or {}).items()) for given in controls]
    try:
        return digest((*inputs, added) if amount else inputs)
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
