"""A store that MLflow cannot use is named in one sentence, within seconds, and left as it was."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from opal.errors import TrackingError
from opal.record import database
from opal.record.tracking import Tracking


@pytest.fixture
def store(empty_store, tmp_path):
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_store.read_bytes())
    return path


def refused(path) -> str:
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(TrackingError) as fault:
        Tracking(f"sqlite:///{path}").client  # noqa: B018
    assert before is None or path.read_bytes() == before
    assert "\n" not in str(fault.value) and str(path) in str(fault.value)
    return str(fault.value)


def test_text_in_place_of_a_database(store):
    store.write_text("not a database\n" * 100)
    assert "is not a SQLite database: nothing was touched" in refused(store)


def test_a_cut_database(store):
    store.write_bytes(store.read_bytes()[: store.stat().st_size // 2])
    assert "is damaged" in refused(store)


def test_a_database_with_overwritten_pages(store):
    content = bytearray(store.read_bytes())
    content[8192:40960] = os.urandom(40960 - 8192)
    store.write_bytes(content)
    assert "is damaged" in refused(store)


@pytest.mark.slow
def test_a_store_is_made_whole_or_not_at_all(tmp_path, monkeypatch):
    """Else a disk that was full for a moment, or a kill, would leave a file that MLflow can never open."""
    from mlflow.store.db import utils

    def cut_short(engine: Any) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE registered_models (name TEXT)")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(utils, "_initialize_tables", cut_short)
        with pytest.raises(TrackingError, match="No space left"):
            Tracking(f"sqlite:///{tmp_path}/mlflow.db").client  # noqa: B018
    assert not list(tmp_path.glob("*mlflow.db*"))
    (tmp_path / ".mlflow.db-new").write_text("left by a killed process")
    assert Tracking(f"sqlite:///{tmp_path}/mlflow.db").runs() == []
    assert not (tmp_path / ".mlflow.db-new").exists()


def test_a_newer_mlflow(store):
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'fedcba987654'")
    said = refused(store)
    assert "newer MLflow" in said and "fedcba987654" in said and "pip install -U mlflow" in said


def test_another_programs_database(tmp_path):
    path = tmp_path / "photos.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
    assert "another program" in refused(path)


def test_a_look_at_the_store_keeps_the_locks_of_open_connections(store):
    """Else another process, when it ends, deletes the log that this one writes to, and what it wrote is lost."""
    ours = sqlite3.connect(store, isolation_level=None)
    ours.execute("PRAGMA journal_mode = WAL")
    ours.execute("CREATE TABLE runs_of_ours (n INTEGER)")
    database.check_database(store)
    code = f"import sqlite3; c = sqlite3.connect({str(store)!r}); c.execute('SELECT * FROM runs_of_ours'); c.close()"
    subprocess.run([sys.executable, "-c", code], check=True)
    ours.execute("INSERT INTO runs_of_ours VALUES (1)")
    with sqlite3.connect(store) as later:
        assert later.execute("SELECT n FROM runs_of_ours").fetchall() == [(1,)]
    database.check_database(store)
    assert store.with_name("mlflow.db-wal").exists()
    ours.close()


def test_a_folder(tmp_path):
    (tmp_path / "mlflow.db").mkdir()
    assert "is a folder" in refused(tmp_path / "mlflow.db")


def test_a_read_only_folder(store, monkeypatch):
    """Root may write anywhere: the answer of the file system is replaced."""
    monkeypatch.setattr(database.os, "access", lambda path, mode: path != store.parent)
    assert "is read-only" in refused(store)


def test_a_locked_database_and_who_holds_it(store, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE", 0.3)
    code = textwrap.dedent(f"""
        import sqlite3, sys
        c = sqlite3.connect({str(store)!r}, isolation_level=None)
        c.execute("BEGIN EXCLUSIVE")
        print("held", flush=True)
        sys.stdin.read()
    """)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        said = refused(store)
        holder.stdin.close()
    assert "locked" in said and f"process {holder.pid}" in said
    assert Tracking(f"sqlite:///{store}").experiment_id  # free again


def test_no_server_is_told_at_once():
    with pytest.raises(TrackingError, match=r"127.0.0.1:9 failed: no server answers there"):
        Tracking("http://127.0.0.1:9").client  # noqa: B018


def test_mlflow_still_has_what_is_patched():
    from mlflow.store.db import utils

    assert isinstance(utils.MAX_RETRY_COUNT, int)
    assert "MAX_RETRY_COUNT" in utils.create_sqlalchemy_engine_with_retry.__code__.co_names


def test_a_disk_that_is_almost_full(store, monkeypatch):
    usage = type(database.shutil.disk_usage(store.parent))
    monkeypatch.setattr(database.shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 4_000_000, 4_000_000))
    assert "has 4 MB left" in refused(store)
