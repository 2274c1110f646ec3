"""Runs through the real command line: repeated, exported, pruned, killed and started again."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from opal.errors import TrackingError
from opal.export import export_run
from opal.record import disk_usage
from opal.record.read import find
from opal.record.tracking import Tracking

pytestmark = pytest.mark.slow  # the first test runs a sweep
ROOT = Path(__file__).resolve().parents[2]
SMALL = ["data=csv", "data.path=table.csv", "data.target=y", "controls=none", "amounts.steps=2", "amounts.size=6"]


@dataclass
class Done:
    """What a verb said, on both streams."""

    said: str


def opal(folder: Path, verb: str, *arguments: str, ok: bool = True) -> Done:
    """Run a verb within this process, in ``folder``: imports cost more than small trials."""
    module = importlib.import_module(f"opal.{verb}")
    said = io.StringIO()
    before, sys.argv = sys.argv, [f"opal {verb}", *arguments]
    with contextlib.chdir(folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            module.main()
            code: object = 0
        except SystemExit as end:
            code = end.code
        finally:
            sys.argv = before
    assert (not code) == ok, said.getvalue()
    return Done(said.getvalue())


def write_table(folder: Path) -> None:
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(3)
    x = rng.normal(size=(160, 2)).round(2)
    y = (x.sum(axis=1) + rng.normal(size=160) < 0.8).astype(int)
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y}).to_csv(folder / "table.csv", index=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory, empty_store):
    """A folder with one sweep: two trials, and one job that fails."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(empty_store, folder)
    write_table(folder)
    secret = "http://user:hunter2@example.org"  # a password in an address must not be logged
    arguments = ["-m", "method=smote,duplicate,replay", "seeds=[1,2]", *SMALL, f"+tracking.tags.place='{secret}'"]
    done = opal(folder, "run", *arguments, ok=False)
    assert "method.path=FILE" in done.said
    return folder


def trial(folder: Path, method: str):
    tracking = Tracking(f"sqlite:///{folder}/mlflow.db")
    (run,) = tracking.runs(f"tags.`opal.kind` = 'trial' and params.method = '{method}'")
    return run


def test_the_sweep_is_summed_up_though_a_job_failed(project):
    tracking = Tracking(f"sqlite:///{project}/mlflow.db")
    (run,) = tracking.runs("tags.`opal.kind` = 'sweep'")
    assert run.data.tags["opal.status"] == "partial" and run.info.status == "FINISHED"
    assert run.data.metrics["jobs/finished"] == 2 and run.data.metrics["jobs/failed"] == 1
    assert "toy" not in run.info.run_name and "method.path=FILE" in run.data.tags["mlflow.note.content"]
    names = {a.path for a in tracking.client.list_artifacts(run.info.run_id)}
    assert {"sweep.csv", "curves.csv", "figures"} <= names
    assert trial(project, "smote").data.tags["opal.sweep_id"] == run.data.tags["opal.sweep_id"]


def test_a_run_says_what_made_it(project):
    run = trial(project, "smote")
    environment = json.loads((Path(run.info.artifact_uri.removeprefix("file://")) / "environment.json").read_text())
    assert {"python", "platform", "git_revision", "git_dirty", "overrides"} <= environment.keys()
    assert "method=smote" in environment["overrides"] and "mlflow" in environment["packages"]
    assert "hunter2" not in json.dumps(environment)
    assert {"time/rows", "time/curve", "time/peak_memory_mb"} <= run.data.metrics.keys()
    assert run.data.params["method"] == "smote" and run.info.run_name.startswith("table/smote/logistic-")


def test_repeated_here_and_from_an_export_elsewhere(project, tmp_path):
    run = trial(project, "smote")
    short = run.data.tags["opal.config_hash"][:8]
    done = opal(project, "reproduce", short)
    assert "all equal" in done.said
    opal(project, "export", run.info.run_name, "--output", str(tmp_path / "run"))
    (tmp_path / "elsewhere").mkdir()
    assert "all equal" in opal(tmp_path / "elsewhere", "reproduce", str(tmp_path / "run")).said
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_moved_store_is_enough(project, tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in project.glob("mlflow.db*"):  # with the write-ahead log of this process
        shutil.copy(path, moved)
    shutil.copytree(project / "mlruns" / "opal", moved / "mlruns" / "opal")
    run = trial(project, "duplicate")
    project.rename(project.with_name("away"))
    try:
        assert "all equal" in opal(moved, "reproduce", run.info.run_id).said
    finally:
        project.with_name("away").rename(project)


def test_every_difference_is_told_with_both_values(project, tmp_path):
    opal(project, "export", trial(project, "smote").info.run_id, "--output", str(tmp_path / "run"))
    content = json.loads((tmp_path / "run" / "run.json").read_text())
    wrong = next(m for m in content["metrics"] if m[0] == "error")
    wrong[1] += 1e-12
    (tmp_path / "run" / "run.json").write_text(json.dumps(content))
    environment = tmp_path / "run" / "artifacts" / "environment.json"
    environment.write_text(environment.read_text().replace('"pandas": "', '"pandas": "0.'))
    done = opal(tmp_path, "reproduce", "run", ok=False)
    assert "metric error at 0" in done.said and repr(wrong[1]) in done.said and "package pandas" in done.said
    assert "1 differences" in done.said


def test_changed_data_is_told_with_both_digests(project):
    table = project / "table.csv"
    original = table.read_bytes()
    table.write_bytes(original.replace(b"0.", b"1.", 1))
    try:
        done = opal(project, "reproduce", trial(project, "smote").info.run_id, ok=False)
        digest = trial(project, "smote").data.tags["opal.data_digest"]
        assert "table.csv" in done.said and digest in done.said
        again = opal(project, "reproduce", trial(project, "smote").info.run_id, "--recorded-data")
        assert "all equal" in again.said
    finally:
        table.write_bytes(original)


def test_references_are_found_or_refused_in_a_sentence(project, tmp_path):
    tracking = Tracking(f"sqlite:///{project}/mlflow.db")
    run = trial(project, "smote")
    for reference in (run.info.run_id, run.info.run_name, run.data.tags["opal.config_hash"]):
        assert find(tracking, reference).info.run_id == run.info.run_id
    with pytest.raises(TrackingError, match="no run"):
        find(tracking, "nothing")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(TrackingError, match="exists already"):
        export_run(run.info.run_id, tmp_path / "full", tracking.uri)
    with pytest.raises(TrackingError, match="no MLflow store"):
        export_run(run.info.run_id, tmp_path / "new", f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()


def test_prune_removes_only_what_no_run_refers_to(project):
    tracking = Tracking(f"sqlite:///{project}/mlflow.db")
    run = trial(project, "smote")
    prompts = Path(run.info.artifact_uri.removeprefix("file://")) / "prompts" / "seed_1.jsonl"
    responses = project / "mlruns" / "responses"
    used, unused = "ab" + "1" * 62, "cd" + "2" * 62
    for key in (used, unused):
        (responses / key[:2]).mkdir(parents=True)
        (responses / key[:2] / f"{key}.json").write_text("{}")
    orphan = project / "mlruns" / "opal" / ("f" * 32) / "artifacts"
    orphan.mkdir(parents=True)
    (orphan / "errors.csv").write_text("left by a run that is gone")
    before = prompts.read_text()
    prompts.write_text(json.dumps({"key": used}) + "\n")
    try:
        size = opal(project, "store").said
        assert "stored answers" in size and (responses / "cd").is_dir() and orphan.exists()
        opal(project, "store", "prune", "--yes")
    finally:
        prompts.write_text(before)
    assert (responses / "ab" / f"{used}.json").is_file()
    assert not (responses / "cd" / f"{unused}.json").exists() and not orphan.exists()
    assert prompts.is_file()
    lock = tracking._lock("e" * 64)
    with lock, pytest.raises(TrackingError, match="prune later"):
        disk_usage.prune(tracking, [])


def test_killed_sweeps_started_again_lose_and_double_nothing(tmp_path, empty_store):
    """Kill a sweep at random moments once its first job has begun, then let it finish: each trial once, whole."""
    write_table(tmp_path)
    shutil.copy(empty_store, tmp_path)
    rng = random.Random(0)
    sweep = ["-m", "method=duplicate", "seeds=[1],[2],[3],[4],[5],[6]", *SMALL]
    for how in (signal.SIGKILL, signal.SIGINT):
        _killed(tmp_path, sweep, how, rng.uniform(0, 2))
    opal(tmp_path, "run", *sweep)
    tracking = Tracking(f"sqlite:///{tmp_path}/mlflow.db")
    runs = tracking.runs("tags.`opal.kind` = 'trial'")
    finished = [r for r in runs if r.data.tags["opal.status"] == "finished"]
    assert len({r.data.tags["opal.config_hash"] for r in finished}) == len(finished) == 6
    assert {len(r.data.metrics) for r in finished} == {len(finished[0].data.metrics)}
    assert {r.data.tags["opal.status"] for r in runs} <= {"finished", "interrupted"}
    assert all(r.info.status != "RUNNING" for r in runs)
    assert opal(tmp_path, "run", *sweep).said.count("is finished already;") == 6


def _killed(folder: Path, sweep: list[str], how: int, seconds: float) -> None:
    """Start a sweep in a process of its own and kill it some seconds after its first job began to write."""
    locks = folder / "mlruns" / "locks"
    before = len(list(locks.glob("*"))) if locks.is_dir() else 0
    process = subprocess.Popen(
        [sys.executable, "-m", "opal.run", *sweep],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 90
    while process.poll() is None and time.monotonic() < deadline:
        if locks.is_dir() and len(list(locks.glob("*"))) > before:
            break
        time.sleep(0.05)
    time.sleep(seconds)
    if process.poll() is None:
        os.killpg(process.pid, how)
    process.wait(60)


def test_dates_units_time_and_several_classes_are_repeated_from_the_record_alone(tmp_path, empty_store):
    import numpy as np
    import pandas as pd

    shutil.copy(empty_store, tmp_path)
    rng, n = np.random.default_rng(5), 300
    label = rng.choice(["sun", "rain", "snow", "fog"], n, p=[0.5, 0.3, 0.1, 0.1])
    x = rng.normal(size=n) + (label == "snow") * 2 - (label == "fog") * 2
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 600, n), unit="D")
    place = rng.integers(0, 90, n)
    frame = pd.DataFrame({"day": days.strftime("%d.%m.%Y"), "place": place, "x": x.round(2), "y": label})
    frame.to_csv(tmp_path / "table.csv", index=False)
    arguments = ["method=smote", "seeds=[1,2]", *SMALL, "data.groups=place", "data.time=day", "figures=false"]
    said = opal(tmp_path, "run", *arguments).said
    assert re.search(r"Error by class on test rows.*: fog [\d.]+.*, rain .*, snow .*, sun ", said)
    assert "short of rows: fog, snow, rain" in said
    run = trial(tmp_path, "smote")
    rows = pd.read_csv(Path(run.info.artifact_uri.removeprefix("file://")) / "synthetic" / "seed_1.csv")
    assert rows["day"].str.fullmatch(r"\d\d\.\d\d\.202\d").all() and set(rows["y"]) == {"fog", "snow", "rain"}
    assert {"error_of_snow", "threshold/error_of_fog", "f1"} <= run.data.metrics.keys()
    (tmp_path / "table.csv").unlink()
    assert "all equal" in opal(tmp_path, "reproduce", run.data.tags["opal.config_hash"][:8]).said
