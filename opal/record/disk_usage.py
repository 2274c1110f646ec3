"""The content of ``mlruns/``: size by kind, and what no run refers to."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from opal.errors import TrackingError
from opal.record import pending
from opal.record.connection import faults, sqlite_path
from opal.record.provenance import keys_of
from opal.record.read import fetch, local_artifacts
from opal.record.tracking import Tracking

if TYPE_CHECKING:
    from mlflow.entities import Run

DAY = 86400
ANSWERS = "[0-9a-f][0-9a-f]/*.json"  # of a response store, by key


@dataclass(frozen=True)
class Kind:
    """One kind of stored files. ``unused``: those that no run refers to (files or folders)."""

    name: str
    count: int
    size: int
    unused: tuple[Path, ...] = ()

    @property
    def unused_size(self) -> int:
        return sum(map(size_of, self.unused))


def kinds(tracking: Tracking, responses: Path | None = None) -> list[Kind]:
    """Size by kind of everything that OPAL stores beside this database.

    Parameters
    ----------
    responses : folder of stored answers; None is ``mlruns/responses``
    """
    runs = all_runs(tracking)
    mlruns = tracking.mlruns
    database = sqlite_path(str(tracking.uri))
    files = [p for p in database.parent.glob(database.name + "*") if p.is_file()] if database else []
    return [
        Kind("database", len(files), sum(map(size_of, files))),
        _artifacts(tracking, runs),
        _answers(tracking, runs, responses or mlruns / "responses"),
        _folders("results not logged yet", mlruns / "pending"),
        _hydra(mlruns / "hydra", runs),
        _folders("rows of --fresh", mlruns / "fresh"),
        _folders("locks", mlruns / "locks"),
    ]


def prune(tracking: Tracking, found: Iterable[Kind]) -> int:
    """Remove what no run refers to; returns the bytes freed.

    Raises
    ------
    TrackingError : a trial is running, whose answers no run refers to yet
    """
    if busy := _busy(tracking.mlruns / "locks"):
        raise TrackingError(f"{busy} trial(s) run at this moment, whose answers no run refers to yet: prune later")
    freed = 0
    for kind in found:
        for path in kind.unused:
            freed += size_of(path)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    return freed


def all_runs(tracking: Tracking) -> list[Run]:
    """Every run of every experiment, deleted ones included (MLflow can restore them)."""
    from mlflow.entities import ViewType

    with faults(tracking.uri):
        experiments = [e.experiment_id for e in tracking.client.search_experiments(ViewType.ALL)]
        found: list[Run] = []
        token = None
        while True:
            page = tracking.client.search_runs(experiments, run_view_type=ViewType.ALL, page_token=token)
            found, token = found + list(page), page.token
            if not token:
                return found


def size_of(path: Path) -> int:
    """Bytes of a file or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(p.stat().st_size for p in files if p.is_file())


def _artifacts(tracking: Tracking, runs: list[Run]) -> Kind:
    """Folders ``mlruns/<experiment>/<run id>``; unused are those whose run is not in the store any more."""
    known = {run.info.run_id for run in runs}
    folders = [
        p
        for p in tracking.mlruns.glob("*/*")
        if len(p.name) == 32 and (p / "artifacts").is_dir() and not set(p.name) - set("0123456789abcdef")
    ]
    unused = tuple(p for p in folders if p.name not in known)
    return Kind("artifacts of runs", len(folders), sum(map(size_of, folders)), unused)


def _answers(tracking: Tracking, runs: list[Run], store: Path) -> Kind:
    answers = sorted(store.glob(ANSWERS))
    used = {key for run in runs for key in _keys(tracking, run)} if answers else set()
    for folder in pending.folders(tracking.mlruns):
        used.update(keys_of(folder / pending.ARTIFACTS / "prompts"))
    unused = tuple(p for p in answers if p.stem not in used)
    return Kind("stored answers", len(answers), sum(map(size_of, answers)), unused)


def _keys(tracking: Tracking, run: Run) -> list[str]:
    """Keys of the stored answers that a run used."""
    if run.data.tags.get("opal.kind") == "sweep":
        return []
    local = local_artifacts(tracking, run)
    if local is not None:
        return keys_of(local / "prompts")
    with tempfile.TemporaryDirectory() as folder, faults(tracking.uri):
        if not any(a.path == "prompts" for a in tracking.client.list_artifacts(run.info.run_id)):
            return []
        return keys_of(fetch(tracking, run, Path(folder), "prompts"))


def _hydra(folder: Path, runs: list[Run]) -> Kind:
    """Hydra's job folders; unused are those of no recorded sweep, once a day old."""
    sweeps = {run.data.tags.get("opal.sweep_id") for run in runs}
    jobs = [p for p in folder.glob("*/*") if p.is_dir()]
    old = time.time() - DAY
    unused = tuple(p for p in jobs if p.name not in sweeps and p.stat().st_mtime < old)
    return Kind("Hydra's outputs", len(jobs), sum(map(size_of, jobs)), unused)


def _folders(name: str, folder: Path) -> Kind:
    entries = list(folder.iterdir()) if folder.is_dir() else []
    return Kind(name, len(entries), sum(map(size_of, entries)))


def _busy(locks: Path) -> int:
    """Number of trials that hold a lock at this moment."""
    from filelock import FileLock, Timeout

    busy = 0
    for path in locks.glob("*.lock"):
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout:
            busy += 1
    return busy
