"""Imports go downward only (contracts in pyproject.toml)."""

from __future__ import annotations

import subprocess
import sys


def test_import_contracts(root):
    lint = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports())"  # it turns loggers off
    done = subprocess.run([sys.executable, "-c", lint], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stdout


def test_start_up_imports_nothing_heavy(root):
    heavy = ["mlflow", "openai", "catboost", "xllamacpp", "matplotlib", "statsmodels", "sklearn"]
    code = f"import sys, opal.run; print(sorted(set(sys.modules) & set({heavy!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"
