"""What every test shares. One thread a process, set before NumPy loads: small fits are far faster."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.pop("OPAL_DATA_DIR", None)  # the tests say themselves where tables lie

import sqlite3  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the repository; skips where there is none."""
    if not (SHARED / "data").is_dir():
        pytest.skip("no ../shared folder with reference data")
    return SHARED


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """A database with all migrations done, to copy: they take seconds."""
    from opal.record.store import Tracking

    folder = tmp_path_factory.mktemp("store")
    tracking = Tracking(f"sqlite:///{folder}/mlflow.db")
    tracking.client.search_experiments(max_results=1)
    with sqlite3.connect(folder / "mlflow.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder / "mlflow.db"
