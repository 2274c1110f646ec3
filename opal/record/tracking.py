"""The MLflow store, written so that no run is lost or duplicated, and no incomplete run is called finished.

A trial runs under the file lock of its hash (`claim`). Its result is first written to
``mlruns/pending/<hash>``; then one MLflow run is created with the tag ``opal.status=running``, filled by one
batch and one folder of artifacts, and named finished at the very end; then the pending folder goes. Whatever a
crash leaves behind, the next `claim` of that hash repairs: a run that stayed ``running`` is marked
``interrupted``, and a complete pending result is logged. The next sweep does so for a sweep's own run.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from opal import helper
from opal.errors import ConfigError, TrackingError
from opal.record import pending, prompts, traces, unfinished, writing
from opal.record.connection import existing_uri, faults, sqlite_path
from opal.record.database import check
from opal.record.environment import masked
from opal.record.finished import Finished, finished_run, unknown
from opal.record.locks import locked
from opal.record.locks import writing as writing_lock
from opal.record.pending import Write
from opal.record.run_record import RunRecord
from opal.record.runs import Runs, is_finished

if TYPE_CHECKING:
    from mlflow.entities import Run

Existing = Literal["skip", "rerun", "fail"]
log = logging.getLogger("opal")
_stores: dict[str, Tracking] = {}


@dataclass
class Tracking(Runs):
    """Where and how runs are recorded (`conf/tracking/*.yaml`).

    Parameters
    ----------
    uri : MLflow address; None is ``sqlite:///mlflow.db`` in the working folder, with artifacts in ``mlruns/``
    experiment : MLflow experiment
    existing : what to do when a finished run has the same hash: ``skip`` it, ``rerun`` (the older run is then
        marked ``superseded``) or ``fail``
    tags : the user's own tags, set on every run
    log_table : whether the table becomes an artifact (up to 5 MB), so that the run can be repeated elsewhere
    traces : whether a language model's requests also become MLflow traces (rows of the table are in them)
    prompts : whether the prompt's template is also kept in MLflow's Prompt Registry
    """

    existing: Existing = "skip"
    tags: Mapping[str, Any] = field(default_factory=dict)
    log_table: bool = True
    traces: bool = False
    prompts: bool = False

    def __post_init__(self) -> None:
        if self.existing not in get_args(Existing):
            raise ConfigError(f"tracking.existing={self.existing!r} is not one of {', '.join(get_args(Existing))}")
        super().__post_init__()

    def load(self) -> None:
        """Begin to load MLflow and to open the store in the helper process, where `claim` can do without.

        Raises
        ------
        TrackingError : the store is a SQLite file that cannot be used
        """
        database = sqlite_path(str(self.uri))
        if database is not None and not helper.running():
            check(database)
            helper.start()
            helper.prepare(self.open)

    def open(self) -> None:
        """Connect, and make the experiment if it is missing."""
        self.experiment_id  # noqa: B018
        import matplotlib.figure  # noqa: F401

    def known(self, config_hash: str) -> Finished | None:
        """A finished run that makes a trial unnecessary, without loading MLflow; None where `claim` must look."""
        if self.existing != "skip" or pending.folder_of(self.mlruns, config_hash).exists():
            return None
        return finished_run(sqlite_path(str(self.uri)), self.experiment, config_hash)

    @contextmanager
    def claim(self, config_hash: str, waiting: Callable[[str], None] | None = None) -> Iterator[Finished | None]:
        """Lock this hash for the time of a trial; yields the run that makes the trial unnecessary, or None.

        Parameters
        ----------
        waiting : called with one sentence when another process holds the hash

        Raises
        ------
        TrackingError : the store cannot be used, or ``tracking.existing=fail`` and a finished run exists
        """
        with self._lock(config_hash, waiting):  # without MLflow where that can be: it is still being loaded
            found = None if self._new(config_hash) else helper.call(self.mended, config_hash)
            if found is not None and self.existing == "fail":
                raise TrackingError(f"tracking.existing=fail: {found.name} (run {found.run_id}) is finished")
            yield found if self.existing == "skip" else None

    def log(self, record: RunRecord, write: Write | None = None, draw: Write | None = None) -> str:
        """Record a trial; call it inside `claim`. Returns the run's id. See `begin`."""
        return self.begin(record, write, draw)()

    def begin(self, record: RunRecord, write: Write | None = None, draw: Write | None = None) -> Callable[[], str]:
        """Begin to record a trial; gives a function that waits for it and returns the run's id, to call inside `claim`.

        Parameters
        ----------
        write : puts artifacts into the folder it is given
        draw : does so too, in the helper process where there is one, so that it must be one that can be pickled

        Raises
        ------
        TrackingError : the store failed; the sentence names the folder that keeps the result and the command
            that logs it later
        """

        def here() -> str:
            written = filter(None, (write, draw))
            return self._deliver(record, pending.keep(self.mlruns, record, *written, store=self._store))

        if not helper.running():
            run_id = here()
            return lambda: run_id
        identity = pending.new_identity()

        def again(*_: Any) -> str:
            return self._logged(record, identity) or here()

        try:
            folder = pending.begun(pending.folder_of(self.mlruns, record.config_hash), *filter(None, [write]))
        except OSError:
            return again
        beside = helper.begin(self._finish, record, folder, draw, identity, again=again)
        return lambda: beside() or again()

    def log_pending(self, folder: Path) -> str:
        """Record a result that an earlier `log` could not; returns the run's id."""
        record = pending.load(folder)
        with self._lock(record.config_hash):
            if folder == pending.folder_of(self.mlruns, record.config_hash):
                self._close_halves(record.config_hash)
            else:
                self._mend(record.config_hash)
            return self._log_kept(record, folder)

    def mend_sweeps(self) -> None:
        """Log or close what killed sweeps left of their own runs: unlike a trial's, no later job claims their hash.

        Raises
        ------
        TrackingError : the store failed
        """
        begun = self.runs("attributes.status = 'RUNNING' AND tags.`opal.kind` = 'sweep'")
        # a live one may keep its lock in another folder
        left = {run.data.tags["opal.config_hash"] for run in begun if not unfinished.alive(run)}
        left |= pending.left_by_sweeps(self.mlruns, self._store)
        for config_hash in sorted(left):
            with self._lock(config_hash, wait=False) as locked:
                if locked:  # else its sweep is at work on it
                    self._mend(config_hash)

    def _new(self, config_hash: str) -> bool:
        """Whether nothing is recorded or kept of this hash, as far as can be told without MLflow."""
        database = sqlite_path(str(self.uri))
        if not helper.running() or database is None:
            return False
        places = pending.folder_of(self.mlruns, config_hash), pending.aside(config_hash)
        return not any(place.exists() for place in places) and unknown(database, self.experiment, config_hash)

    def mended(self, config_hash: str) -> Finished | None:
        """Under the lock of the hash: mend what a crash left behind; gives a finished run."""
        run = next(filter(is_finished, self._mend(config_hash)), None)
        return Finished(run.info.run_id, str(run.info.run_name), run.data.metrics) if run else None

    def _finish(self, record: RunRecord, folder: Path, draw: Write | None, identity: str) -> str:
        """In the helper process: draw, complete the folder and deliver it; "" where the disk does not take it."""
        with writing_lock(self.mlruns, record.config_hash):
            try:
                if draw:
                    draw(folder / pending.ARTIFACTS)
                pending.seal(folder, record, self._store, identity)
            except OSError:
                return ""
            return self._deliver(record, folder)

    def _deliver(self, record: RunRecord, folder: Path) -> str:
        """Send what a folder keeps, then remove it; returns the run's id."""
        try:
            run_id = self._send_patiently(record, folder)
        except TrackingError as err:
            raise TrackingError(
                f"{err}. The result is kept in {folder}; log it later with: python -m opal.store log "
                f"--uri {masked(str(self.uri))} --experiment {self.experiment} {folder}"
            ) from err
        shutil.rmtree(folder, ignore_errors=True)
        return run_id

    def _logged(self, record: RunRecord, identity: str) -> str:
        """The run that a killed helper wrote, or that now gets what it had kept; "" where it came to neither."""
        self._close_halves(record.config_hash)
        folder = pending.folder_of(self.mlruns, record.config_hash)
        if pending.complete(folder):
            return self._log_kept(record, folder)
        return self._finished_as(record.config_hash, identity)

    def __reduce__(self) -> tuple[Any, ...]:
        return _connected, (type(self), {of.name: getattr(self, of.name) for of in fields(self)})

    @property
    def _store(self) -> str:
        """Which store kept results are for."""
        return f"{masked(str(self.uri))} {self.experiment}"

    @contextmanager
    def _lock(
        self, config_hash: str, waiting: Callable[[str], None] | None = None, wait: bool = True
    ) -> Iterator[bool]:
        """Lock a hash; see `opal.record.locks.locked`."""
        with ExitStack() as stack:
            with faults(self.uri):
                held = stack.enter_context(locked(self.mlruns, config_hash, waiting, wait))
            yield held

    def _mend(self, config_hash: str) -> list[Run]:
        """Under the lock of the hash: mark incomplete runs, log pending results; returns the existing runs."""
        runs = self._close_halves(config_hash)
        folder, aside = pending.folder_of(self.mlruns, config_hash), pending.aside(config_hash)
        if not pending.complete(folder) and pending.is_ours(aside, self._store):
            folder = aside
        if pending.complete(folder):
            self._log_kept(pending.load(folder), folder)
            return self.runs_of(config_hash)
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
        return runs

    def _close_halves(self, config_hash: str) -> list[Run]:
        runs = self.runs_of(config_hash)
        # we hold the lock: the writer of an open run is gone
        left = [r for r in runs if r.info.status == "RUNNING" and not unfinished.foreign(r)]
        with faults(self.uri):
            for run in left:
                unfinished.close(self.client, run)
        return self.runs_of(config_hash) if left else runs

    def _log_kept(self, record: RunRecord, folder: Path) -> str:
        done = self._finished_as(record.config_hash, pending.identity(folder))
        run_id = done or self._send(record, folder)
        shutil.rmtree(folder, ignore_errors=True)
        return run_id

    def _finished_as(self, config_hash: str, identity: str) -> str:
        """The run that holds the result of this identity, "" where there is none or it is not ended."""
        logged = [r for r in self.runs_of(config_hash) if r.data.tags.get("opal.record") == identity]
        return next((r.info.run_id for r in logged if r.info.status == "FINISHED"), "")

    def _send_patiently(self, record: RunRecord, folder: Path) -> str:
        """Send, again where other writers held SQLite's lock for longer than MLflow waits (20 s)."""
        for _ in range(writing.ATTEMPTS - 1):
            try:
                return self._send(record, folder)
            except TrackingError as err:
                if "database is locked" not in str(err):
                    raise
        return self._send(record, folder)

    def _send(self, record: RunRecord, folder: Path) -> str:
        with faults(self.uri):
            run_id = writing.begin(self.client, self.experiment_id, record, folder, self.tags)
            try:
                writing.fill(self.client, run_id, record, folder)
                self._show_calls(run_id, record, folder / pending.ARTIFACTS)
                older = [r for r in self.runs_of(record.config_hash) if r.info.run_id != run_id]
                writing.end(self.client, run_id, record.status)
            except Exception:
                unfinished.try_close(self.client, run_id)
                raise
            for run in older if record.status == "finished" else ():
                if run.data.tags.get("opal.status") in ("finished", "partial", "failed"):
                    self.client.set_tag(run.info.run_id, "opal.status", "superseded")
        return run_id

    def _show_calls(self, run_id: str, record: RunRecord, artifacts: Path) -> None:
        """Traces and prompt, where they are wanted. A run is complete without them: a fault is only told."""
        try:
            with faults(self.uri):
                if record.traces:
                    traces.write(str(self.uri), self.experiment_id, run_id, artifacts)
                if record.prompt:
                    locks = self.mlruns / "locks"
                    prompts.link(self.client, self.experiment_id, run_id, record.prompt, artifacts, locks)
        except TrackingError as fault:
            log.warning("opal: %s lacks traces or prompt: %s", record.name, fault)


def _connected(kind: type[Tracking], given: Mapping[str, Any]) -> Tracking:
    """One object, with its connection, for equal settings that come to the helper process."""
    key = f"{kind} {given}"
    if key not in _stores:
        _stores[key] = kind(**given)
    return _stores[key]


def existing_store(uri: str | None = None, experiment: str = "opal") -> Tracking:
    """Tracking to read from: ``uri``, else MLFLOW_TRACKING_URI, else the SQLite file here.

    Raises
    ------
    TrackingError : the SQLite file is missing; it is not made
    """
    return Tracking(existing_uri(uri), experiment)
