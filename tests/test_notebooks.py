"""The notebooks in docs/ run, and are kept with what they show."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pandas as pd
import pytest
import trials

from opal.result import Rows, TrialResult

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "docs" / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def maker(root):
    """scripts/notebooks as a module."""
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    loader = SourceFileLoader("notebooks", str(root / "scripts" / "notebooks"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("notebooks", loader))
    loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_and_shows_tables_and_figures(path, maker):
    kept = json.loads(path.read_text(encoding="utf-8"))
    made = maker.cleaned(maker.executed(path, timeout=600))
    for old, new in zip(kept["cells"], made.cells, strict=True):
        outputs = new.get("outputs", [])
        kinds = [(o.output_type, sorted(o.get("data", {}))) for o in outputs]
        assert kinds == [(o["output_type"], sorted(o.get("data", {}))) for o in old.get("outputs", [])], new.source
        assert not [o for o in outputs if o.get("name") == "stderr"]  # no warning, and no line left of a bar
    shown = [
        o.data["text/html"] for cell in made.cells for o in cell.get("outputs", []) if "text/html" in o.get("data", {})
    ]
    figures = [html for html in shown if '<img src="data:image/png;base64,' in html]
    assert len(figures) == 2 and all("<table" in html and ' alt="' in html for html in figures)
    assert "Recommended for" in figures[1]


@pytest.mark.slow
def test_the_bar_of_a_notebook_moves_and_goes(maker):
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook

    seen = []

    class Client(NotebookClient):
        def process_message(self, msg, cell, cell_index):
            seen.append(msg["content"].get("data", {}))
            return super().process_message(msg, cell, cell_index)

    code = """
        from opal import progress
        progress.NotebookBar.EVERY = 0
        with progress.Progress() as bar:
            bar.stage("rows, seed 1", rows=2)
            bar.advance(rows=1, tokens=20)
    """
    below = '!{__import__("sys").executable} -c "from opal.progress import wanted; print(wanted())"'
    cells = [new_code_cell("\n".join(line[8:] for line in code.splitlines())), new_code_cell(below)]
    notebook = Client(new_notebook(cells=cells)).execute()
    (bar,) = [data["text/html"] for data in seen if "text/html" in data]
    assert bar == '<progress max="2" value="1"></progress> rows, seed 1: 1/2 rows, 20 tokens'
    left = maker.cleaned(notebook).cells
    assert left[0].outputs == [] and "False" in "".join(o.text for o in left[1].outputs)


def test_a_result_is_a_table_and_a_figure_with_text_escaped():
    rows = {seed: Rows(pd.DataFrame({"x": [1]})) for seed in (1, 2)}
    html = TrialResult(trials.errors(), rows, warnings=["column <script>\n\n"])._repr_html_()
    assert "0.1650" in html and 'alt="Curves of error, balanced error against synthetic rows added, 2 seeds' in html
    assert "<script>" not in html and "WARNING: column &lt;script&gt;" in html
    assert "\n\n" not in html and len(html) < 60_000


def test_matplotlib_waits_until_something_is_displayed():
    code = "import sys, opal.trial.trial, opal.report, opal.result; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
