"""What every test shares. One thread a process, set before NumPy loads: small fits are far faster."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.pop("OPAL_DATA_DIR", None)  # the tests say themselves where tables lie
os.environ.pop("OPAL_TABICL_WEIGHTS", None)

import gc  # noqa: E402
import importlib  # noqa: E402
import shutil  # noqa: E402
import sqlite3  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import ExitStack  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import servers  # noqa: E402
import skips  # noqa: E402

gc.set_threshold(10_000)  # as OPAL's verbs do
ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


_skipped: set[str] = set()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that compare with reference data, skipped where there is none, and those that start a server."""
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if "shared" in used:
            item.add_marker("reference")
        if used & {"browser", "mlflow_server"} or any(map(item.get_closest_marker, ("browser", "local_model"))):
            item.add_marker("slow")
    if not (SHARED / "data").is_dir():
        for item in items:
            if item.get_closest_marker("reference"):
                item.add_marker(pytest.mark.skip(reason=skips.REFERENCE))


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple) and not hasattr(report, "wasxfail"):
        _skipped.add(str(report.longrepr[2]).removeprefix("Skipped: "))


pytest_runtest_logreport = pytest_collectreport = _note_skip


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test was skipped for a reason that tests/skips.py does not list."""
    if not hasattr(session.config, "workerinput") and session.exitstatus == 0 and skips.unexpected(_skipped):
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the reasons that are not listed."""
    for reason in skips.unexpected(_skipped):
        terminalreporter.write_line(f"skipped for a reason that tests/skips.py does not list: {reason}", red=True)


@pytest.fixture(autouse=True)
def _told_anew() -> None:
    """Sentences that a process says once are said in each test."""
    from opal.data import told

    told._said.clear()


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the repository; skips where there is none."""
    if not (SHARED / "data").is_dir():
        pytest.skip(skips.REFERENCE)
    return SHARED


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """A database with all migrations done, to copy: they take seconds."""
    from opal.record.tracking import Tracking

    folder = tmp_path_factory.mktemp("store")
    tracking = Tracking(f"sqlite:///{folder}/mlflow.db")
    tracking.client.search_experiments(max_results=1)
    with sqlite3.connect(folder / "mlflow.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder / "mlflow.db"


@pytest.fixture
def verb(tmp_path, monkeypatch, capsys, empty_store) -> Callable[..., tuple[int, str, str]]:
    """``verb(name, *arguments) -> (exit code, stdout, stderr)``, within this process, beside an empty store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    shutil.copy(empty_store, tmp_path)

    def run(name: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [f"opal.{name}", *arguments])
        code = 0
        try:
            importlib.import_module(f"opal.{name}").main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="session")
def tabicl_weights(tmp_path_factory) -> Path:
    """A tiny checkpoint of TabICL; skips where the package is missing."""
    pytest.importorskip("tabicl")
    import tiny_tabicl

    return tiny_tabicl.write(tmp_path_factory.mktemp("tabicl") / "tiny.ckpt")


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Selenium's driver of a headless Chromium; skips where there is none."""
    pytest.importorskip("selenium")
    if not (servers.CHROMIUM and servers.DRIVER):
        pytest.skip("no Chromium with its driver on this machine")
    with servers.chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture(scope="module")
def mlflow_server() -> Iterator[Callable[[Path], str]]:
    """``mlflow_server(folder)``: address of an MLflow server over that folder's store, until the module ends."""
    with ExitStack() as started:
        yield lambda folder: started.enter_context(servers.Server(folder)).uri
