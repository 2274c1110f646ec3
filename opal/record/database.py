"""A SQLite store: made in one step, and looked at before MLflow opens it, which retries a broken one for minutes."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from opal.errors import TrackingError

MOST_PAGES = 50_000  # of 4 kB: larger files are not read through
PATIENCE = 5.0  # seconds that another process may hold the database when we begin: told within ten, loading included
LEAST_FREE = 20_000_000  # bytes: a new store takes 1 MB, a run with its table and answers a few
GO_ON = "nothing was touched: put a copy of it back, or name another store with tracking.uri=sqlite:///new.db"
VERSIONS = re.compile(r"""^(revision|down_revision) = ["'](\w+)["']""", re.MULTILINE)
OWN_TABLES = {"experiments", "runs", "alembic_version"}


def make_database(path: Path) -> None:
    """Make MLflow's tables in a new file, then give it its name, unless a file is there; call it under a lock.

    MLflow makes them in some fifty steps, and can never open a file in which a kill or a full disk cut these short.
    """
    if path.is_file() and path.stat().st_size:
        return
    from mlflow.store.db import utils

    new = path.with_name(f".{path.name}-new")
    _remove(new)  # a killed process's
    try:
        engine = utils.create_sqlalchemy_engine(f"sqlite:///{new}")
        try:
            utils._initialize_tables(engine)
        finally:
            engine.dispose()
        with closing(sqlite3.connect(new)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")  # all in one file
        new.replace(path)
    finally:
        _remove(new)


def _remove(database: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        database.with_name(database.name + end).unlink(missing_ok=True)


def check(path: Path) -> None:
    """Raise TrackingError where a SQLite file cannot be written to, is not MLflow's, or stays locked."""
    check_writable(path)
    check_database(path)
    check_free(path)


def check_database(path: Path) -> None:
    """Raise TrackingError unless the SQLite file is one that the installed MLflow reads; a missing one is fine.

    Nothing but SQLite may open the file: closing any other descriptor of it would release the locks that this process's
    connections hold, and another process would then delete the write-ahead log that they write to (sqlite.org,
    "How To Corrupt An SQLite Database File", 2.2).
    """
    if path.is_dir():
        raise TrackingError(f"the MLflow store {path} is a folder, not a SQLite file: {GO_ON}")
    if not path.is_file() or path.stat().st_size == 0:
        return
    with _reading(path), read_only(path) as connection:
        _check_content(path, connection)


def read_only(path: Path) -> closing[sqlite3.Connection]:
    """A connection that changes nothing, closed at the end of its block; another's lock is waited for."""
    return closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=PATIENCE))


def check_writable(path: Path) -> None:
    """Raise TrackingError where the file, or the folder that SQLite's log lies in, is read-only or full."""
    closest = next(p for p in (path, *path.parents) if p.exists())
    for place in (closest, path.parent) if closest == path else (closest,):
        if not os.access(place, os.W_OK):
            raise TrackingError(f"the MLflow store {path} cannot be written ({place} is read-only): {GO_ON}")
    if (free := shutil.disk_usage(closest).free) < LEAST_FREE:
        raise TrackingError(
            f"the disk of {path} has {free / 1e6:.0f} MB left, and a run may need {LEAST_FREE / 1e6:.0f}: "
            "free some, or name a store on another disk with tracking.uri=sqlite:///DISK/mlflow.db"
        )


def check_free(path: Path) -> None:
    """Wait for other writers; TrackingError where one holds the database for longer than PATIENCE. Changes nothing."""
    if path.is_file():
        with _reading(path), closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into a TrackingError."""
    try:
        yield
    except sqlite3.DatabaseError as fault:
        if getattr(fault, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise TrackingError(f"the MLflow store {path} is not a SQLite database: {GO_ON}") from fault
        if "locked" in str(fault):
            raise TrackingError(
                f"the MLflow store {path} has been locked for {PATIENCE:.0f} seconds{_holders(path)}: "
                "wait for that process or end it, or name another store with tracking.uri=sqlite:///new.db"
            ) from fault
        raise TrackingError(f"the MLflow store {path} is damaged ({fault}): {GO_ON}") from fault


def _check_content(path: Path, connection: sqlite3.Connection) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if pages <= MOST_PAGES:
        (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise TrackingError(f"the MLflow store {path} is damaged ({' '.join(state.split())}): {GO_ON}")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and not tables & OWN_TABLES:
        raise TrackingError(f"{path} is a database of another program, not an MLflow store: {GO_ON}")
    if "alembic_version" in tables and (found := connection.execute("SELECT * FROM alembic_version").fetchone()):
        known = set(_migrations())
        if known and found[0] not in known:
            from importlib.metadata import version

            raise TrackingError(
                f"the MLflow store {path} is of a newer MLflow than {version('mlflow')}, which is installed "
                f"(schema {found[0]}): update it with pip install -U mlflow, or name another store; nothing was touched"
            )


def newest_schema() -> str:
    """The schema version that the installed MLflow makes: the one that no other follows; "" where that is unclear."""
    newest = set(_migrations()) - set(_migrations().values())
    return newest.pop() if len(newest) == 1 else ""


@lru_cache(maxsize=1)
def _migrations() -> dict[str, str]:
    """Each schema version that the installed MLflow knows, and the one it follows, read without importing MLflow."""
    found = importlib.util.find_spec("mlflow")
    folders = (found.submodule_search_locations or ()) if found else ()
    paths = [path for of in folders for path in Path(of, "store", "db_migrations", "versions").glob("*_*.py")]
    given = [dict(VERSIONS.findall(path.read_text(encoding="utf-8"))) for path in paths]
    return {of["revision"]: of.get("down_revision", "") for of in given if "revision" in of}


def _holders(path: Path) -> str:
    """The processes that have the file open, as far as this user may see them."""
    import psutil

    found = []
    until = time.monotonic() + 1.5
    for process in psutil.process_iter(["pid", "cmdline"]):
        if time.monotonic() > until:
            break
        try:
            names = {Path(f.path).name for f in process.open_files() if Path(f.path).parent == path.parent}
        except (psutil.Error, OSError):
            continue
        if path.name in names and process.pid != os.getpid():
            found.append(f"{process.pid} ({' '.join(' '.join(process.info['cmdline'] or ()).split())[:60]})")
    return f" by process {', '.join(found)}" if found else ""
