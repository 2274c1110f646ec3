"""What needs no table, no model, no plot and no store does not load the libraries of these."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from trials import SMALL_FOREST, artifacts, runs

pytestmark = pytest.mark.slow  # each command in a process of its own
TABLES = ["pandas", "numpy", "pydantic", "pyarrow"]
TRIAL = ["sklearn", "scipy", "imblearn", "catboost", "statsmodels", "jinja2", "openai", "xllamacpp", "filelock"]
RECORD = ["mlflow", "sqlalchemy", "matplotlib"]
CODE = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr))
from opal.cli.main import main
main()
"""
SMALL = ["seeds=[1]", "amounts.steps=1", "task.test_rows=60", "task.train_rows=40", "task.minority_share=0.2"]
SMALL += [SMALL_FOREST]
CASES = {
    "--help": (0, ["hydra", *TABLES, *TRIAL, *RECORD]),
    "--version": (0, ["hydra", *TABLES, *TRIAL, *RECORD]),
    "completion bash": (0, ["hydra", *TABLES, *TRIAL, *RECORD]),
    "rnu": (2, ["hydra", *TABLES, *TRIAL, *RECORD]),
    "run methd=smote": (2, [*TABLES, *TRIAL, *RECORD]),
    "run method=smot": (2, [*TABLES, *TRIAL, *RECORD]),
    "run --method=smote": (2, [*TABLES, *TRIAL, *RECORD]),
    "run data=csv data.path=missing.csv data.target=y": (2, [*TABLES, *TRIAL, *RECORD]),
    "run n_jobs=0": (2, ["pandas", *TRIAL, *RECORD]),
    "run data=csv data.path=table.csv": (2, [*TABLES, *TRIAL, *RECORD]),  # data.target is not set
    "run method=none tracking.uri=sqlite:///broken.db": (2, [*TRIAL, *RECORD]),
    "fit methd=smote": (2, ["sklearn", "scipy", "imblearn", *RECORD]),
    "answer": (2, [*TRIAL[:-1], *RECORD]),
    "run dry_run=true method=smote seeds=[1]": (0, ["sklearn", "scipy", "imblearn", "catboost", "openai", *RECORD]),
}


def loaded(words: list[str], folder: Path) -> tuple[int, set[str], str, str]:
    """Exit status, packages loaded, stdout and stderr of a command in a new process."""
    command = [sys.executable, "-c", CODE, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    *err, packages = done.stderr.splitlines()
    return done.returncode, set(json.loads(packages)), done.stdout, "\n".join(err)


def without_log(said: str) -> list[str]:
    return [line for line in said.splitlines() if not line.startswith("[20")]


@pytest.mark.parametrize("command", CASES)
def test_a_command_loads_only_what_it_needs(command, tmp_path):
    (tmp_path / "table.csv").write_text("a,y\n1,no\n2,yes\n")
    (tmp_path / "broken.db").write_text("no database")
    status, unwanted = CASES[command]
    code, packages, _, err = loaded(command.split(), tmp_path)
    assert code == status, err
    assert not packages & set(unwanted)


def test_a_process_ends_without_a_last_search_for_unreachable_objects(tmp_path):
    code = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 10_000, gc.get_threshold()[0]))\n"
    command = [sys.executable, "-c", f"{code}from opal.cli.main import main; main()", "store"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2 and done.stdout.split() == ["True", "10000"], done.stderr


def test_a_run_leaves_store_and_figures_to_its_helper(tmp_path, monkeypatch, empty_store):
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path)
    code, packages, _, err = loaded(["run", "method=duplicate", *SMALL], tmp_path)
    (run,) = runs()
    assert code == 0 and (artifacts(run) / "figures" / "curves.png").is_file(), err
    assert not packages & set(RECORD)


def test_what_is_finished_loads_neither_classifier_nor_mlflow(verb, tmp_path):
    code, answer, err = verb("run", "-m", "method=none,duplicate", *SMALL)
    assert code == 0 and "Recommended" in answer, err
    code, packages, again, err = loaded(["run", "-m", "method=none,duplicate", *SMALL], tmp_path)
    assert code == 0 and err.count("is finished already") == 2, err
    assert without_log(again) == without_log(answer)
    assert len(runs()) == 2 and len(runs("sweep")) == 1, "a sweep that is summed up is not recorded again"
    assert not packages & {"sklearn", "imblearn", "catboost", "openai", *RECORD}
    code, packages, _, err = loaded(["run", "method=none", *SMALL], tmp_path)
    assert code == 0 and "is finished already" in err
    assert not packages & {*TRIAL, *RECORD}
