"""An MLflow server over PostgreSQL: many writers, a server that goes in mid-run and comes back."""

from __future__ import annotations

import multiprocessing
import os

import pytest
import trials
from servers import PG, Server, postgresql

from opal.errors import TrackingError
from opal.record import pending
from opal.record.tracking import Tracking

pytest.importorskip("psycopg2")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(PG.values()), reason="no PostgreSQL server on this machine"),
]


@pytest.fixture(scope="module")
def database():
    with postgresql() as address:
        yield address


@pytest.fixture(scope="module")
def server(database, tmp_path_factory):
    with Server(tmp_path_factory.mktemp("server"), database) as server:
        yield server


def _log_all(uri: str, folder: str, hashes: list[str]) -> None:
    os.chdir(folder)
    tracking = Tracking(uri)
    for config_hash in hashes:
        with tracking.claim(config_hash) as done:
            if done is None:
                tracking.log(trials.record(config_hash), trials.write)


def test_many_writers_lose_and_double_nothing(server, tmp_path):
    hashes = [[f"{group}{i:063d}" for i in range(4)] for group in (0, 0, 1)]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_log_all, args=(server.uri, str(tmp_path), h)) for h in hashes]
    for process in processes:
        process.start()
    for process in processes:
        process.join(200)
    assert [p.exitcode for p in processes] == [0, 0, 0]
    runs = Tracking(server.uri).runs()
    assert sorted(r.data.tags["opal.config_hash"] for r in runs) == sorted({h for part in hashes for h in part})
    assert {(r.info.status, r.data.tags["opal.status"]) for r in runs} == {("FINISHED", "finished")}
    assert {len(r.data.metrics) for r in runs} == {len({key for key, _, _ in trials.record().metrics})}


def test_server_gone_in_mid_run_keeps_the_result(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    tracking, config_hash = Tracking(server.uri), "e" * 64
    with tracking.claim(config_hash):
        log_inputs = tracking.client.log_inputs

        def gone(*args, **kwargs):
            server.stop()
            return log_inputs(*args, **kwargs)

        monkeypatch.setattr(tracking.client, "log_inputs", gone)
        with pytest.raises(TrackingError, match=r"no server answers there.*python -m opal\.store log"):
            tracking.log(trials.record(config_hash), trials.write)
    (folder,) = pending.folders(tracking.mlruns)
    server.start()
    run_id = Tracking(server.uri).log_pending(folder)
    runs = tracking.runs_of(config_hash)
    assert {r.info.run_id: r.data.tags["opal.status"] for r in runs}[run_id] == "finished"
    assert sorted(r.data.tags["opal.status"] for r in runs) == ["finished", "interrupted"]
    assert {a.path for a in tracking.client.list_artifacts(run_id)} == {"errors.csv", "synthetic"}
