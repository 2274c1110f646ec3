"""Fixtures of the record's tests."""

from __future__ import annotations

import sqlite3

import pytest

from opal.record.store import Tracking


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A database with all migrations done, to copy: they take seconds."""
    folder = tmp_path_factory.mktemp("store")
    tracking = Tracking(f"sqlite:///{folder}/mlflow.db")
    tracking.client.search_experiments(max_results=1)
    with sqlite3.connect(folder / "mlflow.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder / "mlflow.db"
