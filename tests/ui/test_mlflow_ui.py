"""The real MLflow UI in headless Chromium: a sweep's runs are there, with curves, and can be compared."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "record"))
import trials

from opal.record.store import Tracking

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium with its driver on this machine"),
]
NAMES = ("toy/smote/logistic-111111111111", "toy/llm/logistic-222222222222")
PATIENCE = 120  # seconds: the server takes up to a minute to start on a busy machine


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A project folder with two runs, and their ids."""
    folder = tmp_path_factory.mktemp("project")
    tracking = Tracking(f"sqlite:///{folder}/mlflow.db")
    ids = []
    for i, name in enumerate(NAMES):
        with tracking.claim(f"{i}" * 64):
            ids.append(tracking.log(trials.record(f"{i}" * 64, name), trials.write))
    return folder, tracking.experiment_id, ids


@pytest.fixture(scope="module")
def server(runs):
    """Address of a plain `mlflow ui`, started in the project folder: it finds the store by itself."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    env = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    env.pop("MLFLOW_TRACKING_URI", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "ui", "--port", str(port), "--workers", "1"],
        cwd=runs[0],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address, process)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
        "disable-component-update disable-sync disable-dev-shm-usage window-size=1600,2400 "
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}"
    ).split(" "):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def _wait_for(address: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, "mlflow ui ended"
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail("mlflow ui did not start")


def _text_with(browser, wanted) -> str:
    """The page's text, once it holds all that is wanted."""
    deadline, text = time.monotonic() + PATIENCE, ""
    while time.monotonic() < deadline:
        text = browser.execute_script("return document.body ? document.body.innerText : ''")
        if all(w in text for w in wanted):
            return text
        time.sleep(0.5)
    pytest.fail(f"{[w for w in wanted if w not in text]} not on the page:\n{text[:2000]}")


def test_two_runs_in_the_compare_view(server, runs, browser):
    _, experiment, ids = runs
    browser.get(f"{server}/#/compare-runs?runs={quote(json.dumps(ids))}&experiments={quote(json.dumps([experiment]))}")
    _text_with(browser, NAMES)


def test_the_error_is_a_curve_over_synthetic_rows(server, runs, browser):
    """The chart that the UI draws by itself has the runs' steps, 0 to 20 rows, on its axis."""
    browser.get(f"{server}/#/experiments/{runs[1]}/runs/{runs[2][0]}/model-metrics")
    _text_with(browser, ["error", "balanced_error"])
    with urllib.request.urlopen(
        f"{server}/ajax-api/2.0/mlflow/metrics/get-history?run_id={runs[2][0]}&metric_key=error", timeout=30
    ) as answer:
        assert [point["step"] for point in json.load(answer)["metrics"]] == [0, 10, 20]


def test_artifacts_open_from_the_run_page(server, runs, browser):
    browser.get(f"{server}/#/experiments/{runs[1]}/runs/{runs[2][1]}/artifacts/errors.csv")
    _text_with(browser, ["errors.csv", "synthetic"])
