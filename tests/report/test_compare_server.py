"""Runs behind an MLflow server are the same as those read from its database."""

from __future__ import annotations

import pandas as pd
import pytest

from opal.errors import TrackingError
from opal.report import Where
from opal.report.read.load import load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(store, mlflow_server):
    return mlflow_server(store.folder)


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
