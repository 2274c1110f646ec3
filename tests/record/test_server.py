"""An MLflow server over PostgreSQL: many writers, a server that goes in mid-run and comes back."""

from __future__ import annotations

import multiprocessing
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import trials

from opal.errors import TrackingError
from opal.record import pending
from opal.record.store import Tracking

PG = {name: shutil.which(name) or "" for name in ("initdb", "postgres")}
pytest.importorskip("psycopg2")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(PG.values()), reason="no PostgreSQL server on this machine"),
]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def database():
    """Address of a new PostgreSQL cluster on 127.0.0.1; it refuses to run as root."""
    folder = Path(tempfile.mkdtemp(prefix="opal-pg-"))  # pytest's own folders are closed to other users
    as_user: dict = {}
    if os.geteuid() == 0:
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        as_user = {"user": "postgres", "env": os.environ | {"HOME": str(folder)}}
    data, port = folder / "data", free_port()
    quiet: dict = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **as_user}
    initdb = [PG["initdb"], "-D", str(data), "-U", "opal", "-A", "trust", "--no-sync", "-E", "UTF8"]
    subprocess.run(initdb, check=True, timeout=120, **quiet)
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    process = subprocess.Popen([PG["postgres"], "-D", str(data), "-p", str(port), *options], **quiet)
    try:
        yield _when_ready(port)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        shutil.rmtree(folder)


def _when_ready(port: int) -> str:
    import psycopg2

    for _ in range(120):
        try:
            psycopg2.connect(host="127.0.0.1", port=port, user="opal", dbname="postgres").close()
            return f"postgresql+psycopg2://opal@127.0.0.1:{port}/postgres"
        except psycopg2.OperationalError:
            time.sleep(0.25)
    pytest.fail("PostgreSQL did not start")


class Server:
    """`mlflow server` that can be stopped and started again at the same address."""

    def __init__(self, database: str, folder):
        self.port, self.folder, self.database = free_port(), folder, database
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", self.database]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        env = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        quiet: dict = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, cwd=self.folder, env=env, start_new_session=True, **quiet)
        for _ in range(480):
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.25)
        pytest.fail("mlflow server did not start")

    def stop(self) -> None:
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)
            self.process = None


@pytest.fixture(scope="module")
def server(database, tmp_path_factory):
    server = Server(database, tmp_path_factory.mktemp("server"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


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
