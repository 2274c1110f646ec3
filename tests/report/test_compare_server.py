"""Runs behind an MLflow server are the same as those read from its database."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pandas as pd
import pytest

from opal.errors import TrackingError
from opal.report import Where
from opal.report.load import load

PATIENCE = 120  # seconds: the server takes up to a minute to start on a busy machine
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(store):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    env = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    env.pop("MLFLOW_TRACKING_URI", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"],
        cwd=store.folder,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _wait_for(url: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, "mlflow server ended"
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail("mlflow server did not start")


def test_a_server_gives_the_same_runs(store, address):
    for where in (Where(), Where(sweep="s2", search="metrics.error < 0.9")):
        direct = load(where, ["error", "amount_chosen"], store.uri, singles=["llm/"])
        served = load(where, ["error", "amount_chosen"], address, singles=["llm/"])
        pd.testing.assert_frame_equal(direct.runs, served.runs)
        columns = ["run", "seed", "control", "metric", "amount", "value"]
        assert len(direct.values) > 40
        assert sorted(map(tuple, direct.values[columns].to_numpy())) == sorted(
            map(tuple, served.values[columns].to_numpy())
        )


def test_no_server_there(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match="no server answers there"):
        load(uri="http://127.0.0.1:9")
