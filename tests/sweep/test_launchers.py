"""A sweep on each engine, chosen by one override: recorded, and summed up also when one of its jobs fails."""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from opal.config.build import CONF
from opal.record.tracking import Tracking

SWEEP = ["method=smote", "task.train_rows=100000,40", "debug=fast", "controls=none", "validation.folds=0"]


def sweep(*overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "opal.run", "-m", *SWEEP, *overrides]
    env = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=env)


def check_one_of_two(done: subprocess.CompletedProcess[str]) -> None:
    """One trial is recorded, the other failed in one sentence, and the sweep's own run says all of that."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "failed: task=imbalanced wants 10000 train rows" in done.stdout
    tracking = Tracking()
    runs = tracking.runs()
    assert sorted(r.data.params["task.train_rows"] for r in runs if r.data.tags["opal.kind"] == "trial") == ["40"]
    (summed,) = [r for r in runs if r.data.tags["opal.kind"] == "sweep"]
    assert {k: v for k, v in summed.data.metrics.items() if v} == {"jobs/finished": 1, "jobs/failed": 1}
    assert len({r.data.tags["opal.sweep_id"] for r in runs}) == 1
    table = pd.read_csv(tracking.mlruns / "opal" / summed.info.run_id / "artifacts" / "sweep.csv")
    assert table["outcome"].tolist() == ["failed", "finished"]


@pytest.mark.parametrize("page", ["cluster", "search"])
def test_the_commands_of_the_pages_compose(page: str, root: Path):
    typed = re.findall(r"^    python -m opal.run -m (.*)$", (root / "docs" / f"{page}.md").read_text(), re.MULTILINE)
    assert typed
    for overrides in map(shlex.split, typed):
        if "submitit" in overrides[0]:
            pytest.importorskip("submitit")
        one_job = [o.split(",")[0] if "range" not in o else "amounts.size=5" for o in overrides]
        with initialize_config_dir(CONF, version_base="1.3"):
            config = compose("run", overrides=one_job, return_hydra_config=True)
        chosen = config.hydra.runtime.choices
        assert f"{overrides[0].split('=')[0]}={chosen[overrides[0].split('=')[0]]}" == overrides[0]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, empty_store):
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path)


@pytest.mark.slow
def test_processes_of_submitit_of_which_one_fails_and_one_is_killed():
    pytest.importorskip("submitit")
    import psutil

    jobs = [w.replace("100000,40", "100000,40,50") for w in SWEEP]
    impatient = "import submitit; submitit.Job._results_timeout_s = 1; from opal.run import main; main()"  # not 15 s
    command = [sys.executable, "-c", impatient, "-m", "hydra/launcher=submitit_local", *jobs, "figures=false"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    started: dict[int, psutil.Process] = {}
    while len(started) < 3:
        assert process.poll() is None
        for child in psutil.Process(process.pid).children(recursive=True):
            if "submitit.core._submit" in child.cmdline():
                started[child.pid] = child
        time.sleep(0.05)
    max(started.values(), key=lambda p: p.create_time()).kill()
    said = process.communicate(timeout=200)[0]
    assert process.returncode == 1
    assert "failed: task=imbalanced wants 10000 train rows" in said and "failed: it ended without a result" in said
    (summed,) = [r for r in Tracking().runs() if r.data.tags["opal.kind"] == "sweep"]
    assert {k: v for k, v in summed.data.metrics.items() if v} == {"jobs/finished": 1, "jobs/failed": 2}


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="no Ray")
def test_a_ray_cluster_of_two_nodes(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1")
        loopback = {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"
        }  # else Ray takes 127.0.0.1 for this machine's other address
        check_one_of_two(sweep("hydra/launcher=ray", f"hydra.launcher.address={cluster.address}", **loopback))
        check_killed_workers(cluster.address, loopback)
    finally:
        cluster.shutdown()


def check_killed_workers(address: str, environment: dict[str, str]) -> None:
    """A job whose worker is killed once is run again; one whose every worker is killed is named; others go on."""
    import psutil

    jobs = [w.replace("100000,40", "60,70,80") for w in SWEEP]
    command = [sys.executable, "-m", "opal.run", "-m", "hydra/launcher=ray", f"hydra.launcher.address={address}", *jobs]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
    killed: dict[int, int] = {}  # train rows by process
    while process.poll() is None:
        for worker in psutil.process_iter(["cmdline"]):
            for rows, times in ((60, 2), (70, 1)):
                at_work = any(f"ray::method=smote task.train_rows={rows}" in w for w in worker.info["cmdline"] or [])
                if at_work and worker.pid not in killed and list(killed.values()).count(rows) < times:
                    killed[worker.pid] = rows
                    worker.kill()
        time.sleep(0.05)
    said = process.communicate()[0]
    assert sorted(killed.values()) == [60, 60, 70] and process.returncode == 1
    assert len(re.findall("failed: its worker died.*hydra.launcher.retries=1", said)) == 1
    runs = [r for r in Tracking().runs() if r.data.params.get("task.train_rows") in ("60", "70", "80")]
    assert sorted(r.data.params["task.train_rows"] for r in runs) == ["70", "80"]
    assert {r.data.tags["opal.status"] for r in runs} == {"finished"}


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="no Ray")
def test_a_ray_that_does_not_answer_is_named():
    done = sweep("hydra/launcher=ray", "hydra.launcher.address=127.0.0.1:9")
    assert done.returncode == 2 and "opal: hydra.launcher.address=127.0.0.1:9: no Ray answers" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("sbatch") or subprocess.run(["sinfo"], capture_output=True, check=False).returncode != 0,
    reason="no SLURM that answers",
)
def test_slurm_jobs():
    pytest.importorskip("submitit")
    check_one_of_two(sweep("hydra/launcher=submitit_slurm", "hydra.launcher.array_parallelism=2"))
