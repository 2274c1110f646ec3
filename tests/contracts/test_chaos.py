"""`scripts/bench_faults.py` counts what is wrong in a store: each fault once, none in a store without."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import trials

from opal.record.tracking import Tracking

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tools(monkeypatch):
    """The tool's modules, imported as it imports them."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import chaos_checks
    import chaos_endpoint

    return chaos_checks, chaos_endpoint


@pytest.mark.slow
def test_what_is_wrong_in_a_store_is_counted(tools, empty_store, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    tracking = Tracking(f"sqlite:///{tmp_path}/mlflow.db")
    for i in range(3):
        tracking.log(trials.record(f"{i}" * 64), trials.write)
    found = tools[0].look(tracking, 3, tmp_path)
    assert found.whole and (found.finished, found.double, found.half, found.open) == (3, 0, 0, 0)
    assert not replace(found, expected=4).whole

    tracking.existing = "rerun"  # what follows is what OPAL must never leave behind
    again = trials.record("0" * 64)
    half = tracking.log(replace(again, metrics=again.metrics[:1]), trials.write)
    older = next(run for run in tracking.runs_of("0" * 64) if run.info.run_id != half)
    tracking.client.set_tag(older.info.run_id, "opal.status", "finished")
    tracking.client.create_run(tracking.experiment_id, tags={"opal.status": "running", "opal.config_hash": "9" * 64})
    (tmp_path / "opal-pending-0123").mkdir()
    answers = tmp_path / "mlruns" / "responses" / "ab"
    answers.mkdir(parents=True)
    (answers / "abc.damaged").touch()
    found = tools[0].look(tracking, 3, tmp_path)
    counted = found.finished, found.double, found.half, found.open, found.pending, found.damaged
    assert counted == (3, 1, 1, 1, 1, 1) and not found.whole


def test_a_process_left_behind_is_found(tools):
    sleep = [sys.executable, "-c", "print(1, flush=True); import time; time.sleep(60)"]
    with subprocess.Popen(sleep, env={"OPAL_CHAOS": "here"}, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        try:
            assert tools[0].processes("OPAL_CHAOS=here") == [process.pid]
        finally:
            process.kill()
    assert tools[0].processes("OPAL_CHAOS=here") == []


def test_a_request_billed_after_its_answer_was_stored_is_found(tools, tmp_path, monkeypatch):
    kind = tools[1].Endpoint(tmp_path, random.Random(0))
    kind.bills, stored = ["a", "b", "a"], {2, 3}
    monkeypatch.setattr(kind, "stored", lambda: stored)
    kind.count_lost(1)
    assert kind.billed_twice() == "" and kind.lost == 1
    kind.bills.append("b")
    assert kind.billed_twice().startswith("1 billed again after being stored")
