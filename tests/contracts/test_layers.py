"""Imports go downward only (contracts in pyproject.toml)."""

from __future__ import annotations

from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports


def test_import_contracts(root, monkeypatch, tmp_path):
    monkeypatch.chdir(root)
    assert lint_imports(config_filename="pyproject.toml", cache_dir=str(tmp_path)) == EXIT_STATUS_SUCCESS


def test_start_up_imports_nothing_heavy(root):
    import subprocess
    import sys

    heavy = ["mlflow", "openai", "catboost", "xllamacpp", "matplotlib", "statsmodels", "sklearn"]
    code = f"import sys, opal.run; print(sorted(set(sys.modules) & set({heavy!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(root), check=True)
    assert done.stdout.strip() == "[]"
