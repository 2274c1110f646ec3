"""PostgreSQL, an S3-compatible store and an MLflow server, all on 127.0.0.1, for the tests of tracking at scale."""

from __future__ import annotations

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PG = {name: shutil.which(name) or "" for name in ("initdb", "postgres")}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def postgresql() -> Iterator[str]:
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

    def __init__(self, database: str, folder, artifacts: str | None = None, env: dict[str, str] | None = None):
        self.port, self.folder, self.database = free_port(), folder, database
        self.artifacts, self.env = artifacts or str(folder / "artifacts"), env or {}
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", self.database]
        command += ["--artifacts-destination", self.artifacts]
        env = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            said: dict = {"stdout": log, "stderr": log, "start_new_session": True}
            self.process = subprocess.Popen(command, cwd=self.folder, env=env | self.env, **said)
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
