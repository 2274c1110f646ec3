"""What MLflow holds after a trial, after a crash, and after a fault."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import trials
from mlflow.entities import Run

from opal.errors import ConfigError, TrackingError
from opal.record import pending
from opal.record.runs import is_finished
from opal.record.tracking import Tracking

H = "a" * 64
PROCESSES = multiprocessing.get_context("forkserver")  # new ones, of a clean process that has imported MLflow once
PROCESSES.set_forkserver_preload(["mlflow.store.tracking.sqlalchemy_store", "sqlalchemy.dialects.sqlite", "trials"])


@pytest.fixture
def uri(empty_store, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def tracking(uri):
    return Tracking(uri)


def log(tracking: Tracking, config_hash: str = H, **given) -> str | None:
    """What a job does: the id of the new run, or None when it is skipped."""
    with tracking.claim(config_hash) as done:
        return None if done else tracking.log(trials.record(config_hash, **given), trials.write)


def finished(tracking: Tracking) -> Run | None:
    return next(filter(is_finished, tracking.runs_of(H)), None)


def test_a_run_holds_curve_tags_dataset_and_artifacts(tracking, tmp_path):
    run_id = log(tracking, seconds=2.0, tags={"opal.version": "1"})
    run = tracking.client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("toy/none/logistic-aaaa", "FINISHED")
    assert run.info.end_time - run.info.start_time >= 2000
    assert run.data.tags["opal.status"] == "finished"
    assert run.data.tags["opal.data_digest"] == trials.table().digest
    assert run.inputs.dataset_inputs[0].dataset.digest == trials.table().digest
    history = tracking.client.get_metric_history(run_id, "error")
    assert [(m.step, round(m.value, 4)) for m in history] == [(0, 0.065), (10, 0.165), (20, 0.265)]
    assert run.data.metrics["error_std"] == pytest.approx(0.5**0.5 / 100)
    assert run.data.metrics["seed_2/control/threshold/error"] == pytest.approx(0.25)
    assert {a.path for a in tracking.client.list_artifacts(run_id)} == {"errors.csv", "synthetic"}
    assert str(tmp_path / "mlruns") in run.info.artifact_uri
    assert not pending.folders(tracking.mlruns)


@pytest.mark.slow
def test_more_points_than_one_batch_takes(tracking):
    record = trials.record(H)
    record.metrics = [(f"m{i}", float(i), 0) for i in range(2500)]
    record.params = {f"p{i}": i for i in range(150)}
    run = tracking.client.get_run(tracking.log(record, trials.write))
    assert len(run.data.metrics) == 2500 and len(run.data.params) == 150


def test_existing_run_is_skipped_superseded_or_refused(tracking, uri):
    first = log(tracking)
    assert log(tracking) is None
    second = log(Tracking(uri, existing="rerun"))
    assert finished(tracking).info.run_id == second
    assert tracking.client.get_run(first).data.tags["opal.status"] == "superseded"
    with pytest.raises(TrackingError, match="is finished"):
        log(Tracking(uri, existing="fail"))
    with pytest.raises(ConfigError, match="skip, rerun, fail"):
        Tracking(uri, existing="maybe")  # type: ignore[arg-type]


def test_partial_run_is_done_anew(tracking):
    first = log(tracking, status="partial")
    second = log(tracking)
    assert tracking.client.get_run(first).data.tags["opal.status"] == "superseded"
    assert finished(tracking).info.run_id == second


@pytest.mark.slow
@pytest.mark.parametrize("step", ["log_batch", "log_inputs", "log_artifacts", "set_terminated"])
def test_killed_while_writing(uri, tmp_path, step):
    """SIGKILL at each step of writing: the next start logs the kept result, once, and marks the half run."""
    process = PROCESSES.Process(target=_killed_at, args=(uri, step))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    tracking = Tracking(uri)
    assert finished(tracking) is None
    assert log(tracking) is None  # nothing is computed again
    runs = tracking.runs()
    assert sorted(r.data.tags["opal.status"] for r in runs) in (["finished", "interrupted"], ["finished"])
    assert {r.info.status for r in runs} <= {"FINISHED", "KILLED"}
    assert not pending.folders(tracking.mlruns)


def _killed_at(uri: str, step: str, kind: str = "trial") -> None:
    tracking = Tracking(uri)
    with tracking.claim(H):
        setattr(tracking.client, step, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        tracking.log(trials.record(H, tags={"opal.kind": kind}), trials.write)


@pytest.mark.slow
def test_what_a_killed_sweep_left_of_its_own_run_is_mended_by_the_next_sweep(uri, tmp_path):
    """No trial claims the hash of a sweep's own run."""
    process = multiprocessing.get_context("spawn").Process(target=_killed_at, args=(uri, "log_batch", "sweep"))
    process.start()
    process.join(60)
    cut = tmp_path / "mlruns" / "pending" / ("b" * 16) / "artifacts"  # killed while it drew a figure
    cut.mkdir(parents=True)
    elsewhere = Tracking(uri, "another")
    elsewhere.mend_sweeps()
    tracking = Tracking(uri)
    assert [r.info.status for r in tracking.runs()] == ["RUNNING"] and not cut.exists()
    with tracking._lock(H):  # its sweep is still at work
        Tracking(uri).mend_sweeps()
    assert len(tracking.runs()) == 1
    tracking.mend_sweeps()
    assert sorted(r.data.tags["opal.status"] for r in tracking.runs()) == ["finished", "interrupted"]
    assert not list((tmp_path / "mlruns" / "pending").iterdir())


def test_a_result_kept_aside_is_logged_by_the_next_claim_of_its_store_alone(tracking, tmp_path, monkeypatch):
    """No room in mlruns, then in the store."""
    monkeypatch.setattr(pending.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "mlruns").mkdir(exist_ok=True)
    with monkeypatch.context() as patch:
        patch.setattr(tracking.client, "create_run", lambda *_, **__: (_ for _ in ()).throw(OSError("no space")))
        patch.setattr(pending, "folder_of", lambda *_: Path("/proc/no/room"))
        with pytest.raises(TrackingError, match="opal-pending-aaaa"):
            log(tracking)
    other = Tracking(str(tracking.uri), "another")
    with other.claim(H) as done:
        assert done is None
    assert log(tracking) is None and finished(tracking) is not None
    assert not pending.aside(H).exists()


def test_artifact_store_unwritable_keeps_the_result(tracking):
    tracking.experiment_id  # noqa: B018
    (tracking.mlruns / "opal").write_text("a file stands where the artifacts' folder should be")
    with pytest.raises(TrackingError, match=r"python -m opal\.store log") as err:
        log(tracking)
    assert "\n" not in str(err.value)
    (folder,) = pending.folders(tracking.mlruns)
    assert (folder / "artifacts" / "errors.csv").is_file()
    assert [r.data.tags["opal.status"] for r in tracking.runs()] == ["interrupted"]
    (tracking.mlruns / "opal").unlink()
    run_id = tracking.log_pending(folder)
    assert finished(tracking).info.run_id == run_id and not folder.exists()


@pytest.fixture
def impatient():
    """MLflow waits 0.1 s instead of 20 s for SQLite's lock."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def shorten(_connection, _cursor, statement, parameters, *_):
        return statement.replace("busy_timeout = 20000", "busy_timeout = 100"), parameters

    event.listen(Engine, "before_cursor_execute", shorten, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", shorten)


def test_locked_database_keeps_the_result(uri, tracking, impatient):
    other = sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    with tracking.claim(H):
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match="locked"):
            tracking.log(trials.record(H), trials.write)
        other.execute("ROLLBACK")
    assert log(tracking) is None and finished(tracking)
    assert len(tracking.runs()) == 1


@pytest.mark.slow
def test_full_disk_keeps_the_result(uri, tmp_path):
    """A limit on the size of files stands for the full disk: the database cannot grow, small files can."""
    code = f"""
import resource, signal, sys
sys.path[:0] = {[str(Path(__file__).parents[1]), *sys.path]!r}
import trials
from opal.record.tracking import Tracking
t = Tracking({uri!r})
with t.claim({H!r}):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    t.log(trials.record({H!r}), trials.write)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "python -m opal.store log" in result.stderr.splitlines()[-1], result.stderr
    assert log(Tracking(uri)) is None
    assert finished(Tracking(uri))


@pytest.mark.slow
def test_many_processes_lose_and_double_nothing(tmp_path):
    """Four processes meet on a missing database; two of them share their hashes."""
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    hashes = [[f"{group}{i:063d}" for i in range(6)] for group in (0, 0, 1, 2)]
    processes = [PROCESSES.Process(target=_log_all, args=(uri, h)) for h in hashes]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [p.exitcode for p in processes] == [0, 0, 0, 0]
    tracking = Tracking(uri)
    runs = tracking.runs()
    assert sorted(r.data.tags["opal.config_hash"] for r in runs) == sorted({h for part in hashes for h in part})
    assert {r.data.tags["opal.status"] for r in runs} == {"finished"}
    points = len({key for key, _, _ in trials.record().metrics})
    assert {len(r.data.metrics) for r in runs} == {points}


def _log_all(uri: str, hashes: list[str]) -> None:
    tracking = Tracking(uri)
    for config_hash in hashes:
        log(tracking, config_hash)


def test_unreachable_server_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError) as err:
        Tracking("http://user:secret@127.0.0.1:9").client  # noqa: B018
    assert "127.0.0.1:9" in str(err.value) and "secret" not in str(err.value) and "\n" not in str(err.value)


def test_file_store_is_refused_with_the_mend():
    with pytest.raises(ConfigError, match="sqlite:///"):
        Tracking("./mlruns")


def test_pending_record_survives_the_round_trip(tmp_path):
    record = trials.record(H)
    folder = pending.keep(tmp_path, record, trials.write)
    assert pending.load(folder) == record
    assert json.loads((folder / "record.json").read_text())["identity"] == pending.identity(folder)


def test_a_finished_run_is_known_without_mlflow(tracking, uri, tmp_path):
    assert tracking.known(H) is None
    run_id = log(tracking)
    found = Tracking(uri).known(H)
    assert found.run_id == run_id and found.name == "toy/none/logistic-aaaa"
    assert found.metrics["error_std"] == pytest.approx(0.5**0.5 / 100)
    assert Tracking(uri, experiment="other").known(H) is None
    assert Tracking(uri, existing="rerun").known(H) is None
    code = f"import sys; from opal.record.tracking import Tracking; assert Tracking({uri!r}).known({H!r})"
    code += "; assert not {'mlflow', 'sqlalchemy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_not_finished_is_not_known(tracking):
    log(tracking, status="partial")
    assert tracking.known(H) is None
    second = log(tracking)
    pending.folder_of(tracking.mlruns, H).mkdir(parents=True)
    assert tracking.known(H) is None, "claim() logs what is pending first"
    pending.folder_of(tracking.mlruns, H).rmdir()
    tracking.client.delete_run(second)
    assert tracking.known(H) is None
