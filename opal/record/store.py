"""The MLflow store, written so that no run is lost, none is double, and none is half and called finished.

A trial runs under the file lock of its hash (`claim`). Its result is first written to
``mlruns/pending/<hash>``; then one MLflow run is created with the tag ``opal.status=running``, filled by one
batch and one folder of artifacts, and named finished at the very end; then the pending folder goes. Whatever a
crash leaves behind, the next `claim` of that hash mends: a run that stayed ``running`` is marked
``interrupted``, and a complete pending result is logged.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from opal.errors import ConfigError, TrackingError
from opal.record import pending, view
from opal.record.environment import masked
from opal.record.log import DatasetInput, RunRecord
from opal.record.mlflow_client import connect, faults

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

Existing = Literal["skip", "rerun", "fail"]
ATTEMPTS = 3  # to write what other writers are in the way of
HALF_AFTER = 3600  # seconds: writing a run takes seconds, so one that stays open longer on another host is dead
Write = Callable[[Path], None]  # puts a trial's artifacts into a folder


@dataclass
class Tracking:
    """Where runs are recorded (`conf/tracking/*.yaml`).

    Parameters
    ----------
    uri : MLflow address; None is ``sqlite:///mlflow.db`` in the working folder, with artifacts in ``mlruns/``
    experiment : MLflow experiment
    existing : what to do when a finished run has the same hash: ``skip`` it, ``rerun`` (the older run is then
        marked ``superseded``) or ``fail``
    tags : the user's own tags, set on every run
    log_table : whether the table becomes an artifact (up to 5 MB), so that the run can be repeated elsewhere
    """

    uri: str | None = None
    experiment: str = "opal"
    existing: Existing = "skip"
    tags: Mapping[str, Any] = field(default_factory=dict)
    log_table: bool = True

    def __post_init__(self) -> None:
        if self.existing not in get_args(Existing):
            raise ConfigError(f"tracking.existing={self.existing!r} is none of {', '.join(get_args(Existing))}")
        self.uri = resolve_uri(self.uri)

    @property
    def root(self) -> Path:
        """The folder that holds ``mlruns/``: beside the SQLite file, else the working folder."""
        path = sqlite_path(str(self.uri))
        return path.parent if path else Path.cwd()

    @property
    def mlruns(self) -> Path:
        return self.root / "mlruns"

    @cached_property
    def client(self) -> MlflowClient:
        """Connected client; the first use of a new database initialises it under a lock.

        Raises
        ------
        TrackingError : the store cannot be reached, in one sentence
        """
        with faults(self.uri):
            return connect(str(self.uri), self.mlruns)

    @cached_property
    def experiment_id(self) -> str:
        """Id of the experiment, made when missing. Local artifacts go to ``mlruns/<experiment>``."""
        from mlflow.exceptions import MlflowException

        with faults(self.uri):
            for _ in range(2):  # another process may make it between our look and our try
                found = self.client.get_experiment_by_name(self.experiment)
                if found is not None and found.lifecycle_stage == "deleted":
                    raise TrackingError(
                        f"the MLflow experiment {self.experiment!r} is deleted: "
                        "restore it or choose another tracking.experiment"
                    )
                if found is not None:
                    return found.experiment_id
                remote = str(self.uri).startswith("http")
                place = None if remote else (self.mlruns / pending.clean_name(self.experiment)).as_uri()
                try:
                    made = self.client.create_experiment(self.experiment, place, tags=view.experiment_tags())
                    self.client.set_experiment_tag(made, "mlflow.note.content", view.description(made))
                    return made
                except MlflowException as err:
                    if err.error_code != "RESOURCE_ALREADY_EXISTS":
                        raise
            raise TrackingError(f"the MLflow experiment {self.experiment!r} can neither be read nor made")

    @property
    def ui(self) -> str:
        """Where the MLflow UI shows the runs: on the server, or where plain `mlflow ui` listens."""
        host = str(self.uri) if str(self.uri).startswith("http") else "http://127.0.0.1:5000"
        return host.rstrip("/") + view.address(self.experiment_id)

    def runs(self, filter_string: str = "") -> list[Run]:
        """All runs of the experiment that match, newest first."""
        with faults(self.uri):
            found: list[Run] = []
            token = None
            while True:
                page = self.client.search_runs(
                    [self.experiment_id],
                    filter_string,
                    order_by=["attributes.start_time DESC"],
                    page_token=token,
                )
                found, token = found + list(page), page.token
                if not token:
                    return found

    def runs_of(self, config_hash: str) -> list[Run]:
        return self.runs(f"tags.`opal.config_hash` = '{config_hash}'")

    def finished(self, config_hash: str) -> Run | None:
        """The newest finished run with this hash."""
        return next((r for r in self.runs_of(config_hash) if is_finished(r)), None)

    @contextmanager
    def claim(self, config_hash: str, waiting: Callable[[str], None] | None = None) -> Iterator[Run | None]:
        """Hold this hash for the time of a trial; gives the run that makes the trial needless, or None.

        Parameters
        ----------
        waiting : told one sentence when another process holds the hash

        Raises
        ------
        TrackingError : the store cannot be used, or ``tracking.existing=fail`` and a finished run exists
        """
        with self._lock(config_hash, waiting):
            self._mend(config_hash)
            run = self.finished(config_hash)
            if run is not None and self.existing == "fail":
                raise TrackingError(f"tracking.existing=fail: {run.info.run_name} (run {run.info.run_id}) is finished")
            yield run if self.existing == "skip" else None

    def log(self, record: RunRecord, write: Write | None = None) -> str:
        """Record a trial; call it inside `claim`. Gives the run's id.

        Parameters
        ----------
        write : puts the artifacts into the folder it is given

        Raises
        ------
        TrackingError : the store failed; the sentence names the folder that keeps the result and the command
            that logs it later
        """
        folder = pending.keep(self.mlruns, record, write)
        try:
            run_id = self._send_patiently(record, folder)
        except TrackingError as err:
            raise TrackingError(
                f"{err}. The result is kept in {folder}; log it later with: python -m opal.store log "
                f"--uri {masked(str(self.uri))} --experiment {self.experiment} {folder}"
            ) from err
        shutil.rmtree(folder, ignore_errors=True)
        return run_id

    def log_pending(self, folder: Path) -> str:
        """Record a result that an earlier `log` could not; gives the run's id."""
        record = pending.load(folder)
        with self._lock(record.config_hash):
            if folder == pending.folder_of(self.mlruns, record.config_hash):
                self._close_halves(record.config_hash)
            else:
                self._mend(record.config_hash)
            return self._log_kept(record, folder)

    def mark_interrupted(self) -> int:
        """Mark runs that a dead process of this host left open; gives their number."""
        stuck = [r for r in self.runs("attributes.status = 'RUNNING'") if not _alive(r)]
        for run in stuck:
            self._close_half(run)
        return len(stuck)

    @contextmanager
    def _lock(self, config_hash: str, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        from filelock import FileLock, Timeout

        path = self.mlruns / "locks" / f"{config_hash[:16]}.lock"
        with faults(self.uri):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if waiting:
                    waiting(f"another process is at work on {config_hash[:12]}: waiting for it")
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _mend(self, config_hash: str) -> None:
        """Under the lock of the hash: mark what a crash left half, log what it kept."""
        self._close_halves(config_hash)
        folder = pending.folder_of(self.mlruns, config_hash)
        if pending.complete(folder):
            self._log_kept(pending.load(folder), folder)
        elif folder.exists():
            shutil.rmtree(folder, ignore_errors=True)

    def _close_halves(self, config_hash: str) -> None:
        for run in self.runs_of(config_hash):
            if run.info.status == "RUNNING" and not _foreign(run):  # ours is the lock: its writer is gone
                self._close_half(run)

    def _log_kept(self, record: RunRecord, folder: Path) -> str:
        identity = pending.identity(folder)
        logged = [r for r in self.runs_of(record.config_hash) if r.data.tags.get("opal.record") == identity]
        done = next((r for r in logged if r.info.status == "FINISHED"), None)
        run_id = done.info.run_id if done else self._send(record, folder)
        shutil.rmtree(folder, ignore_errors=True)
        return run_id

    def _send_patiently(self, record: RunRecord, folder: Path) -> str:
        """Send, again where other writers held SQLite's lock for longer than MLflow waits (20 s)."""
        for _ in range(ATTEMPTS - 1):
            try:
                return self._send(record, folder)
            except TrackingError as err:
                if "database is locked" not in str(err):
                    raise
        return self._send(record, folder)

    def _send(self, record: RunRecord, folder: Path) -> str:
        from mlflow.entities import RunTag

        now = int(time.time() * 1000)
        tags = {str(k): str(v) for k, v in {**record.tags, **self.tags}.items() if v != ""} | {
            "opal.config_hash": record.config_hash,
            "opal.generation_hash": record.generation_hash,
            "opal.status": "running",
            "opal.record": pending.identity(folder),
            "opal.writer": _me(),
        }
        if record.dataset:
            tags["opal.data_digest"] = record.dataset.digest
        if record.description:
            tags["mlflow.note.content"] = record.description[:8000]
        with faults(self.uri):
            start = now - int(record.seconds * 1000)
            run = self.client.create_run(self.experiment_id, start_time=start, tags=tags, run_name=record.name)
            run_id = run.info.run_id
            try:
                self._fill(run_id, record, folder, now)
                older = [r for r in self.runs_of(record.config_hash) if r.info.run_id != run_id]
                self.client.log_batch(run_id, tags=[RunTag("opal.status", record.status)])
                self.client.set_terminated(run_id, "FAILED" if record.status == "failed" else "FINISHED")
            except Exception:
                self._try_close(run_id)
                raise
            if record.status == "finished":
                self._supersede(older)
        return run_id

    def _fill(self, run_id: str, record: RunRecord, folder: Path, now: int) -> None:
        from mlflow.entities import Metric, Param

        params = [Param(k, str(v)[:6000]) for k, v in record.params.items()]
        metrics = [Metric(key, value, now, step) for key, value, step in record.metrics]
        first = 1000 - min(len(params), 100)  # MLflow's limits: 1000 entities, of them 100 params, a call
        self.client.log_batch(run_id, metrics=metrics[:first], params=params[:100])
        for i in range(first, len(metrics), 1000):
            self.client.log_batch(run_id, metrics=metrics[i : i + 1000])
        for i in range(100, len(params), 100):
            self.client.log_batch(run_id, params=params[i : i + 100])
        if record.dataset:
            self._log_dataset(run_id, record.dataset)
        artifacts = folder / pending.ARTIFACTS
        if any(artifacts.iterdir()):
            self.client.log_artifacts(run_id, str(artifacts))

    def _log_dataset(self, run_id: str, data: DatasetInput) -> None:
        from mlflow.entities import Dataset, InputTag
        from mlflow.entities import DatasetInput as Input
        from mlflow.exceptions import MlflowException

        shown = data.mlflow_source(), data.mlflow_schema(), data.mlflow_profile()
        dataset = Dataset(data.name, data.digest[:36], "local", *shown)
        inputs = [Input(dataset, [InputTag("mlflow.data.context", "training")])]
        for attempt in range(ATTEMPTS):
            try:
                self.client.log_inputs(run_id, inputs)
                return
            except MlflowException as err:  # MLflow looks, then inserts: another run may do the same in between
                if attempt == ATTEMPTS - 1 or "unique" not in str(err).lower():
                    raise

    def _supersede(self, runs: list[Run]) -> None:
        for run in runs:
            if run.data.tags.get("opal.status") in ("finished", "partial", "failed"):
                self.client.set_tag(run.info.run_id, "opal.status", "superseded")

    def _close_half(self, run: Run) -> None:
        """End a run whose writer is gone: complete if its last tag was written, else interrupted."""
        with faults(self.uri):
            status = run.data.tags.get("opal.status")
            if status == "running":
                self.client.set_tag(run.info.run_id, "opal.status", "interrupted")
            ended = {"finished": "FINISHED", "partial": "FINISHED", "failed": "FAILED"}.get(str(status), "KILLED")
            self.client.set_terminated(run.info.run_id, ended)

    def _try_close(self, run_id: str) -> None:
        """After a fault, as far as the store still answers."""
        try:
            self._close_half(self.client.get_run(run_id))
        except Exception:  # the next claim of this hash marks it
            return


def is_finished(run: Run) -> bool:
    """Whether the run is whole: both its tag and MLflow's status say so."""
    return run.data.tags.get("opal.status") == "finished" and run.info.status == "FINISHED"


def existing_store(uri: str | None = None, experiment: str = "opal") -> Tracking:
    """Tracking to read from: ``uri``, else MLFLOW_TRACKING_URI, else the SQLite file here.

    Raises
    ------
    TrackingError : the SQLite file is missing; it is not made
    """
    tracking = Tracking(uri or os.environ.get("MLFLOW_TRACKING_URI"), experiment)
    path = sqlite_path(str(tracking.uri))
    if path is not None and not path.is_file():
        raise TrackingError(f"there is no MLflow store {path}: go to its folder, or name it by its URI")
    return tracking


def resolve_uri(uri: str | None) -> str:
    """``uri`` with relative SQLite paths made absolute; None is ``mlflow.db`` in the working folder."""
    uri = uri or "sqlite:///mlflow.db"
    if uri.startswith("file:") or "://" not in uri:
        raise ConfigError(
            f"tracking.uri={uri!r} is no store that MLflow 3 writes to: use sqlite:///FILE.db or http(s)://HOST:PORT"
        )
    path = sqlite_path(uri)
    return f"sqlite:///{path}" if path else uri


def sqlite_path(uri: str) -> Path | None:
    """Absolute path of a SQLite address, or None for any other."""
    prefix = "sqlite:///"
    return Path(uri.removeprefix(prefix)).absolute() if uri.startswith(prefix) else None


def _me() -> str:
    import psutil

    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.0f}"


def _foreign(run: Run) -> bool:
    """Whether another host opened the run, lately enough that it may be writing still."""
    host = run.data.tags.get("opal.writer", "").split(" ")[0]
    age = time.time() - (run.info.start_time or 0) / 1000
    return host != socket.gethostname() and age < HALF_AFTER


def _alive(run: Run) -> bool:
    """Whether the process that opened the run may still be writing it."""
    import psutil

    parts = run.data.tags.get("opal.writer", "").split(" ")
    if len(parts) != 3:
        return True  # not written by OPAL
    if parts[0] != socket.gethostname():
        return _foreign(run)
    try:
        return abs(psutil.Process(int(parts[1])).create_time() - float(parts[2])) < 2
    except (psutil.Error, ValueError):
        return False
