"""The README's commands, executed as they stand there; only sizes are cut down, and names like DIR filled in."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from fake_server import FakeLLM
from tables import craft_rows
from trials import SMALL_FOREST

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = re.findall(r"^    (\S.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
SMALL = ["debug=fast", "amounts.size=2", SMALL_FOREST]


def words(fragment: str) -> list[str]:
    """The words of the one README command that holds ``fragment``, after ``python -m``."""
    (command,) = [c for c in COMMANDS if fragment in c]
    return shlex.split(command.partition("python -m ")[2])


def start(arguments: list[str], monkeypatch) -> None:
    """``python -m`` in this process; fails on any exit status but 0."""
    import importlib

    module, *rest = arguments
    monkeypatch.setattr(sys, "argv", [module, *rest])
    try:
        importlib.import_module(module).main()
    except SystemExit as stop:
        assert not stop.code, f"{' '.join(arguments)}: exit status {stop.code}"


@pytest.fixture
def here(tmp_path, monkeypatch, empty_store):
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path)
    return tmp_path


def finished(folder: Path) -> list:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("opal")
    return client.search_runs([experiment.experiment_id], "tags.`opal.status` = 'finished'")


def test_every_command_is_known():
    known = [
        "scripts/",
        "opal.run",
        "mlflow",
        "opal.reproduce",
        "opal.export",
        "opal.store",
        "opal.compare",
        "opal.answer",
        "opal.look",
        "opal.augment",
        "opal.fit",
        "opal.tune",
    ]
    assert all(any(k in c for k in known) for c in COMMANDS)


@pytest.mark.local_model
def test_the_main_job_with_the_embedded_model(here, monkeypatch):
    pytest.importorskip("xllamacpp")
    start([*words("scripts/install && .venv/bin/python"), *SMALL, "prompt.examples_per_request=4"], monkeypatch)
    trials = [r for r in finished(here) if r.data.tags["opal.kind"] == "trial"]
    assert len(trials) == 6
    rows = pd.read_csv(Path(trials[0].info.artifact_uri.removeprefix("file://")) / "synthetic" / "seed_1.csv")
    assert len(rows) == 2


@pytest.mark.slow
def test_run_with_one_method_then_reproduce_export_and_store(here, monkeypatch):
    few_trees = "classifier.estimator.iterations=40"
    start([*words("method=smote data=craft classifier=catboost"), *SMALL, few_trees], monkeypatch)
    (run,) = finished(here)
    hash_ = run.data.tags["opal.config_hash"][:12]
    start([w.replace("1a2b3c4d5e6f", hash_) for w in words("opal.export")], monkeypatch)
    assert (here / "run" / "run.json").is_file() or any((here / "run").rglob("config.yaml"))
    start([w.replace("1a2b3c4d5e6f", hash_) for w in words("opal.reproduce")], monkeypatch)
    start(words("opal.store"), monkeypatch)
    start(words("opal.compare"), monkeypatch)
    assert hash_ in (here / "report.html").read_text()
    start(["opal.compare", "--published", "figures"], monkeypatch)
    types = {p.stem.rpartition("_")[2] for p in (here / "figures").glob("imbalanced_craft_catboost_*.pdf")}
    assert types == {"overall", "minority", "majority", "worst", "diff"}


@pytest.mark.slow
def test_a_sweep_in_processes(here):
    command = [sys.executable, "-m", *words("hydra/launcher=joblib"), *SMALL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert len([r for r in finished(here) if r.data.tags["opal.kind"] == "trial"]) == 4


@pytest.mark.slow
def test_own_table(here, monkeypatch):
    table = pd.DataFrame(
        {"x": range(80), "z": [i % 7 / 10 for i in range(80)], "label": [i % 4 == 0 for i in range(80)]}
    )
    table.to_csv("table.csv", index=False)
    start(words("opal.look"), monkeypatch)
    start(words("-m data=csv") + SMALL, monkeypatch)
    assert {r.data.params.get("method") for r in finished(here)} >= {"smote", "duplicate"}
    start(words("opal.augment"), monkeypatch)
    balanced = pd.read_csv("balanced.csv")
    pd.testing.assert_frame_equal(balanced.head(80), table)
    assert balanced["label"].mean() == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("fragment", ["llm=openai llm.model", "llm=openai_compatible"])
def test_own_model(here, monkeypatch, fragment):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with FakeLLM(answer=craft_rows()) as server:
        asked = [w for w in words(fragment) if not w.startswith("llm.base_url")]
        prompt = [] if any(w.startswith("prompt=") for w in asked) else ["prompt=expert"]
        start([*asked, *prompt, f"llm.base_url={server.url}", *SMALL], monkeypatch)
    assert finished(here)


def test_own_method_is_in_the_recipes():
    asked = " ".join(words("method=jitter")).removeprefix("opal.").split()
    page = (ROOT / "docs" / "extend.md").read_text()  # which tests/test_pages.py runs
    assert any(set(asked) <= set(line.split()) for line in page.splitlines() if line.startswith("$ opal run"))


def test_the_published_study_is_the_gallerys_first_example():
    asked = " ".join(words("experiment=paper_imbalanced")).removeprefix("opal.")
    assert f"$ opal {asked}\n" in (ROOT / "docs" / "gallery.md").read_text()  # which tests/test_pages.py runs


def test_the_scripts_are_there():
    for command in ("install", "check", "test"):
        done = subprocess.run(["bash", "-n", str(ROOT / "scripts" / command)], check=False)
        assert done.returncode == 0
