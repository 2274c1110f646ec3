"""A comparison as one self-contained HTML page, which can be mailed and kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import opal
from opal.errors import ConfigError
from opal.evaluate.answer import Answer
from opal.report import render
from opal.report.answer import how, rows_of
from opal.report.comparison import Comparison
from opal.report.figures.compare import plots, svg
from opal.report.protocol import differing, protocols
from opal.report.read.load import Loaded

UI = "http://127.0.0.1:5000"  # where plain `mlflow ui` listens


def write_page(
    found: Sequence[Comparison],
    answers: Sequence[Sequence[Answer]],
    loaded: Loaded,
    path: Path,
    command: str,
    ui: str | None = None,
) -> None:
    """Write the page.

    Parameters
    ----------
    found : one comparison for each protocol, of runs in ``loaded``
    answers : what to do, for each protocol; may be empty
    command : the command typed, shown on the page
    ui : address of the MLflow UI that the runs' links lead to; default the server read from, else UI

    Raises
    ------
    ConfigError : the file cannot be written
    """
    from jinja2 import Environment, FileSystemLoader

    folder = Path(__file__).parent / "templates"
    template = Environment(loader=FileSystemLoader(folder), autoescape=True).get_template("compare.html.j2")
    ui = ui or (loaded.uri if loaded.uri.startswith("http") else UI)
    text = template.render(
        sections=[_section(c, a, loaded, ui) for c, a in zip(found, answers, strict=True)],
        differing=differing(protocols(loaded)),
        left_out=sorted(loaded.left_out.items()),
        command=command,
        store=loaded.uri.rsplit("@", 1)[-1],
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        version=opal.__version__,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as err:
        raise ConfigError(f"--html {path} cannot be written: {err.strerror}") from err


def _section(comparison: Comparison, answers: Sequence[Answer], loaded: Loaded, ui: str) -> dict[str, Any]:
    """What the template shows of one protocol; figures are markup, everything else is escaped by the template."""
    from markupsafe import Markup

    name = comparison.protocol.name
    return {
        "name": name,
        "facts": comparison.protocol.facts,
        "answers": [
            {"said": one.sentences, "how": how(one), "title": f"{one.data}, {one.classifier}", "table": rows_of(one)}
            for one in answers
        ],
        "caption": render.caption(comparison),
        "findings": [render.counted(comparison), *comparison.ranks.sentences()],
        "notes": comparison.notes,
        "errors": list(render.error_grids(comparison)),
        "differences": render.difference_grid(comparison),
        "pairs": render.pair_grid(comparison),
        "figures": [(p.name, p.caption, Markup(svg(p, name))) for p in plots(comparison, loaded)],
        "runs": [
            {
                "name": run.name,
                "hash": run.config_hash,
                "started": run.start.strftime("%Y-%m-%d %H:%M"),
                "word": run.word,
                "mean": run.mean,
                "command": f"python -m opal.reproduce {run.config_hash[:12] or run.run_id}",
                "link": f"{ui.rstrip('/')}/#/experiments/{quote(str(run.experiment_id))}/runs/{quote(run.run_id)}",
            }
            for run in comparison.runs.itertuples()
        ],
    }
