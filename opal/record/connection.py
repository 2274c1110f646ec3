"""MLflow stores: their addresses, a connected client, and MLflow's many exceptions turned into one."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opal.errors import ConfigError, OpalError, TrackingError
from opal.record.database import check_database, check_free, check_writable, make_database
from opal.record.environment import masked

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",  # MLflow's own 7 wait for minutes when a server is gone
    # artifacts go through the server: MLflow may send clients to an S3 store that they cannot reach
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


SERVER_PATIENCE = 8.0  # seconds until a server must accept a first connection


def resolve_uri(uri: str | None) -> str:
    """``uri`` with relative SQLite paths made absolute; None is ``mlflow.db`` in the working folder.

    Raises
    ------
    ConfigError : MLflow 3 cannot write to such an address
    """
    uri = uri or "sqlite:///mlflow.db"
    if uri.startswith("file:") or "://" not in uri:
        raise ConfigError(
            f"tracking.uri (--uri) {uri!r} is not a store that MLflow 3 writes to: use sqlite:///FILE.db or http(s)://HOST:PORT"
        )
    path = sqlite_path(uri)
    return f"sqlite:///{path}" if path else uri


def existing_uri(uri: str | None = None) -> str:
    """Address of a store to read from: ``uri``, else MLFLOW_TRACKING_URI, else ``mlflow.db`` in the working folder.

    Raises
    ------
    ConfigError : MLflow 3 cannot write to such an address
    TrackingError : the SQLite file is missing; it is not made
    """
    address = resolve_uri(uri or os.environ.get("MLFLOW_TRACKING_URI"))
    path = sqlite_path(address)
    if path is not None and not path.is_file():
        raise TrackingError(f"there is no MLflow store {path}: go to its folder, or name it with --uri")
    return address


def sqlite_path(uri: str) -> Path | None:
    """Absolute path of a SQLite address, or None for any other."""
    prefix = "sqlite:///"
    return Path(uri.removeprefix(prefix)).absolute() if uri.startswith(prefix) else None


def connect(uri: str, mlruns: Path | None = None) -> MlflowClient:
    """A client for ``uri``, after one test request.

    With ``mlruns``, a SQLite file is initialised under a lock there (processes that meet on a missing database
    break it) and put into WAL mode, so that readers and writers do not wait for each other.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if uri.startswith(("http://", "https://")):
        _check_server(uri)
    database = sqlite_path(uri)
    if database is not None and mlruns is None:
        check_database(database)
    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic"):  # after the import, which sets them to INFO
        logging.getLogger(name).setLevel(logging.WARNING)

    if mlruns is None or database is None:
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
        return client
    from filelock import FileLock

    _tune_sqlite()
    check_writable(database)
    database.parent.mkdir(parents=True, exist_ok=True)
    atexit.register(_checkpoint, database)
    (mlruns / "locks").mkdir(parents=True, exist_ok=True)
    with FileLock(mlruns / "locks" / "mlflow.db.lock"):
        check_database(database)
        check_free(database)
        make_database(database)
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    return client


def _check_server(uri: str) -> None:
    """Raise TrackingError where no server listens: MLflow asks again for half a minute.

    Not asked where a proxy stands between.
    """
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(uri)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme in getproxies() and not proxy_bypass(host):
        return
    try:
        socket.create_connection((host, port), timeout=SERVER_PATIENCE).close()
    except OSError as fault:
        raise TrackingError(f"the MLflow store {masked(uri)} failed: no server answers there ({fault})") from fault


def _checkpoint(database: Path) -> None:
    """Move what WAL holds into the database file, so that a copy of that file alone has every run."""
    import sqlite3
    from contextlib import closing, suppress

    if database.is_file():
        with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=5)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _tune_sqlite() -> None:
    """Set WAL and its matching durability on every SQLite connection of this process, once."""
    import sqlite3

    from mlflow.store.db import utils
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def on_connect(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA busy_timeout=20000")  # MLflow sets the same, but only once connected
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

    if not getattr(_tune_sqlite, "done", False):
        event.listen(Engine, "connect", on_connect)
        utils.MAX_RETRY_COUNT = 4  # MLflow's 10 wait for 102 s on a file that has no hope; it has no setting
        logging.getLogger(utils.__name__).setLevel(logging.CRITICAL)  # OPAL says it in one sentence
        _tune_sqlite.done = True  # type: ignore[attr-defined]


@contextmanager
def faults(uri: Any) -> Iterator[None]:
    """Turn what MLflow, SQLAlchemy, requests and the file system raise into one TrackingError sentence."""
    try:
        yield
    except OpalError:
        raise
    except Exception as err:
        if not _is_fault(err):
            raise
        raise TrackingError(_sentence(str(uri), err)) from err


def _is_fault(err: Exception) -> bool:
    modules = {cls.__module__.split(".")[0] for cls in type(err).__mro__}
    known = {"mlflow", "sqlalchemy", "requests", "urllib3", "sqlite3", "filelock"}
    return isinstance(err, OSError) or bool(modules & known)


def _sentence(uri: str, err: Exception) -> str:
    from urllib.parse import urlsplit

    text = str(err)
    lines = [line for line in text.splitlines() if line.strip()]
    why = lines[0][:300].rstrip(".") if lines else type(err).__name__
    if "Max retries exceeded" in text or "Connection refused" in text:
        why = "no server answers there"
    password = urlsplit(uri).password
    said = f"the MLflow store {masked(uri)} failed: {why}"
    return said.replace(password, "***") if password else said
