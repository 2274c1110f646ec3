"""The real MLflow UI in headless Chromium: a sweep's runs are there, with curves, and can be compared."""

from __future__ import annotations

import json
import time
import urllib.request
from urllib.parse import quote

import pytest
import trials
from servers import PATIENCE

from opal.record.tracking import Tracking

pytestmark = pytest.mark.browser
NAMES = ("toy/smote/logistic-111111111111", "toy/llm/logistic-222222222222")

PROMPT = {"name": "paper", "system": "You make tables.", "user": "Continue these: {{ examples }}"}


def write(folder):
    trials.write(folder)
    trials.write_requests(folder, 3)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A project folder with two runs, and their ids."""
    folder = tmp_path_factory.mktemp("project")
    tracking = Tracking(f"sqlite:///{folder}/mlflow.db")
    ids = []
    for i, name in enumerate(NAMES):
        with tracking.claim(f"{i}" * 64):
            asked = {"traces": True, "prompt": PROMPT} if "llm" in name else {}
            ids.append(tracking.log(trials.record(f"{i}" * 64, name, **asked), write))
    return folder, tracking.experiment_id, ids


@pytest.fixture(scope="module")
def server(runs, mlflow_server):
    """Address of a server started in the project folder: it finds the store by itself."""
    return mlflow_server(runs[0])


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


def test_a_runs_requests_are_traces_with_their_tokens(server, runs, browser):
    browser.get(f"{server}/#/experiments/{runs[1]}/runs/{runs[2][1]}/traces")
    _text_with(browser, ["3 of 3", "Tokens", "42", "1.5s"])


def test_a_runs_prompt_is_a_version_in_the_registry(server, runs, browser):
    browser.get(f"{server}/#/experiments/{runs[1]}/runs/{runs[2][1]}")
    _text_with(browser, ["Registered prompts", "opal-paper (v1)"])
    browser.get(f"{server}/#/prompts/opal-paper")
    _text_with(browser, ["Viewing version 1", "You make tables.", "Continue these: {{ examples }}"])
