"""PostgreSQL, an MLflow server and headless Chromium on this machine, for tests and scripts/screenshots."""

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
from typing import Any

import pytest

PATIENCE = 120  # seconds: a server takes up to a minute to start on a busy machine
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
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
    """`mlflow server` that can be stopped and started again at the same address; a context manager.

    Parameters
    ----------
    folder : where it is started; without a ``database`` it finds the store there by itself, as `mlflow ui` does
    """

    def __init__(
        self, folder: Path, database: str = "", artifacts: str | None = None, env: dict[str, str] | None = None
    ) -> None:
        self.port, self.folder, self.env = free_port(), folder, env or {}
        self.store = ["--backend-store-uri", database] if database else []
        self.store += ["--artifacts-destination", artifacts or str(folder / "artifacts")] if database else []
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        quick = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        env = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | quick | self.env
        with (self.folder / "server.log").open("ab") as log:
            said: dict = {"stdout": log, "stderr": log, "start_new_session": True}
            self.process = subprocess.Popen([*command, "--workers", "1", *self.store], cwd=self.folder, env=env, **said)
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.25)
        self.stop()
        pytest.fail(f"mlflow server did not start: {(self.folder / 'server.log').read_text()[-2000:]}")

    def stop(self) -> None:
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)
            self.process = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self.stop()


@contextmanager
def chromium(folder: Path) -> Iterator[Any]:
    """Selenium's driver of a headless Chromium that keeps its profile in ``folder``."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (
        "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
        f"disable-component-update disable-sync disable-dev-shm-usage window-size=1600,2400 user-data-dir={folder}"
    ).split(" "):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()
