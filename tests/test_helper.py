"""The helper process: what it is asked happens once, whichever process dies."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trials

from opal import helper
from opal.errors import DataError, TrackingError
from opal.record import pending, writing
from opal.record.tracking import Tracking

H = "a" * 64
HERE = int(os.environ.get("TEST_PROCESS", os.getpid()))  # also where the helper imports this


@pytest.fixture
def asked(monkeypatch):
    """A helper, although MLflow is loaded in this process."""
    monkeypatch.setenv("TEST_PROCESS", str(HERE))
    monkeypatch.setattr(helper, "_helper", helper.Helper())
    yield helper._helper
    helper.stop()


@pytest.fixture
def tracking(empty_store, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    return Tracking(f"sqlite:///{tmp_path}/mlflow.db")


def process_of() -> int:
    return os.getpid()


def refuse(word: str) -> None:
    logging.getLogger("opal").warning("%s is told", word)
    raise DataError(f"{word} is refused")


def divide(by: int) -> float:
    return 1 / by


def die_elsewhere(*_: object) -> str:
    if os.getpid() != HERE:
        os.kill(os.getpid(), signal.SIGKILL)
    return "here"


def test_without_a_helper_work_is_done_here():
    assert not helper.running() and helper.call(process_of) == HERE


def test_a_helper_answers_in_order_and_raises_as_it_would_here(asked, caplog):
    first, second = helper.begin(process_of), helper.begin(divide, 4)
    assert second() == 0.25 and first() == asked.process.pid != HERE
    with caplog.at_level(logging.INFO, "opal"), pytest.raises(DataError, match="x is refused"):
        helper.call(refuse, "x")
    assert caplog.messages == ["x is told"]
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        helper.call(divide, 0)


def test_what_a_killed_helper_left_is_done_here(asked):
    assert helper.begin(die_elsewhere)() == "here" and not helper.running()
    assert helper.call(process_of) == HERE


def test_it_loads_nothing_where_mlflow_is_loaded():
    assert "mlflow" in sys.modules or pytest.importorskip("mlflow")
    helper.start()
    assert not helper.running()


def test_its_end_waits_for_work_but_not_for_what_is_prepared(asked, tmp_path):
    wanted = helper.begin(Path.touch, tmp_path / "wanted")
    helper.prepare(time.sleep, 60)
    helper.stop()
    assert (tmp_path / "wanted").exists() and asked.process.returncode is not None
    assert wanted() is None


def log(tracking: Tracking, draw=None) -> str | None:
    with tracking.claim(H) as done:
        return None if done else tracking.log(trials.record(H), trials.write, draw)


class Draw:
    """A figure, drawn in the helper after ``fault`` happened there."""

    def __init__(self, fault=None) -> None:
        self.fault = fault

    def __call__(self, folder: Path) -> None:
        if self.fault and os.getpid() != HERE:
            self.fault()
        (folder / "figure.png").write_text(str(os.getpid()))


def no_space() -> None:
    raise OSError(28, "No space left on device")


def die_at_the_end() -> None:
    writing.end = die_elsewhere  # type: ignore[assignment]


def die_in_mid_run() -> None:
    writing.fill = die_elsewhere  # type: ignore[assignment]


@pytest.mark.slow
def test_the_helper_draws_and_records(asked, tracking):
    run_id = log(tracking, Draw())
    run = tracking.client.get_run(run_id)
    assert run.info.status == "FINISHED" and len(tracking.runs()) == 1
    assert (trials.artifacts(run) / "figure.png").read_text() == str(asked.process.pid)
    assert (trials.artifacts(run) / "synthetic" / "seed_1.csv").is_file()
    assert log(tracking) is None, "it is found again"
    assert not pending.folders(tracking.mlruns)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "halves", "lives"),
    [(die_elsewhere, 0, False), (no_space, 0, True), (die_in_mid_run, 1, False), (die_at_the_end, 1, False)],
)
def test_whatever_happens_to_the_helper_there_is_one_finished_run(fault, halves, lives, asked, tracking):
    run_id = log(tracking, Draw(fault))
    states = sorted((run.info.status, run.data.tags["opal.status"]) for run in tracking.runs())
    assert states == [("FINISHED", "finished")] + [("KILLED", "interrupted")] * halves
    assert helper.running() == lives
    run = tracking.client.get_run(run_id)
    assert run.info.status == "FINISHED" and (trials.artifacts(run) / "figure.png").is_file()
    assert not list((tracking.mlruns / "pending").iterdir())


@pytest.mark.slow
def test_a_store_that_fails_there_keeps_the_result(asked, tracking):
    tracking.experiment_id  # noqa: B018
    (tracking.mlruns / "opal").write_text("a file stands where the artifacts' folder should be")
    with pytest.raises(TrackingError, match=r"python -m opal\.store log"):
        log(tracking, Draw())
    (folder,) = pending.folders(tracking.mlruns)
    assert (folder / "artifacts" / "figure.png").is_file()


@pytest.mark.slow
def test_a_result_outlives_the_process_that_handed_it_over(tracking, tmp_path):
    """Killed while its helper draws: the next process waits for that one, and finds one finished run."""
    code = f"""
import os, signal, sys, time
sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
import trials
from opal import helper
from opal.record.tracking import Tracking
from test_helper import Draw, slowly
tracking = Tracking({tracking.uri!r})
helper._helper = helper.Helper()
with tracking.claim({H!r}):
    tracking.begin(trials.record({H!r}), trials.write, Draw(slowly))
    while not os.path.exists("begun"):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = os.environ | {"TEST_PROCESS": "0"}
    quiet: dict = {"stdout": subprocess.DEVNULL, "cwd": tmp_path, "check": False}
    done = subprocess.run([sys.executable, "-c", code], env=environment, **quiet)
    assert done.returncode == -signal.SIGKILL and tracking.runs() == []
    assert log(tracking) is None
    (run,) = tracking.runs()
    assert run.info.status == "FINISHED" and (trials.artifacts(run) / "figure.png").is_file()


def slowly() -> None:
    Path("begun").touch()
    time.sleep(2)
