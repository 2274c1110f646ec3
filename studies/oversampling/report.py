#!/usr/bin/env python
"""results.parquet and runs.csv to report.md, report.html and pictures; every figure of the text is computed here.

PYTHONPATH=studies/oversampling python studies/oversampling/report.py [--output FOLDER]
"""

from __future__ import annotations

import argparse
import base64
import re
from pathlib import Path
from typing import Any

import figures
from analysis import gaps
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from text import CLASSIFIERS, SIZES, Study

from opal.report.figures.compare_ranks import ranks_diagram

HERE = Path(__file__).parent
RANKINGS = {"roc_auc": "ROC AUC", "average_precision": "average precision"}


def pictures(study: Study) -> dict[str, Any]:
    """The figures by name."""
    order = study.actions("logistic")
    methods = [action for action in order if not action.startswith("free: ") or action == "free: class_weight"]
    cells = {figures.NAMES[c]: study.cell(c) for c in CLASSIFIERS if len(study.cell(c))}
    lines = {f"{rows} train rows": study.minority_lines(rows) for rows in SIZES}
    regret = study.regret()
    return {
        "gain": figures.dots(
            {name: gaps(cell, order, "nothing") for name, cell in cells.items()},
            "balanced error, difference to doing nothing: mean over tables, 95 % interval",
            order,
        ),
        "information": figures.dots(
            {words: gaps(study.cell("logistic", metric), methods, "nothing") for metric, words in RANKINGS.items()},
            "difference to no rows (logistic regression; more is better)",
            methods,
        ),
        "minority": figures.by_minority(
            {title: found for title, found in lines.items() if found}, "balanced error, difference to doing nothing"
        ),
        "regret": figures.bars(
            regret.loc[regret.mean(axis=1).sort_values().index],
            "regret: balanced error above that of the best action in hindsight",
        ),
        "ranks": ranks_diagram(study.ranks("logistic")),
    }


def page(text: str, folder: Path) -> str:
    """The report as one HTML page, its pictures inside."""
    from markdown_it import MarkdownIt

    def inline(found: re.Match[str]) -> str:
        content = base64.b64encode((folder / found[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{content}"'

    body = MarkdownIt("commonmark").enable("table").render(text)
    return (HERE / "page.html").read_text().replace("BODY", re.sub(r'src="([a-z]+\.png)"', inline, body))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE)
    folder = parser.parse_args().output
    study = Study(HERE)
    for name, figure in pictures(study).items():
        figure.savefig(folder / f"{name}.png", dpi=150, metadata={"Software": None})
    templates = Environment(loader=FileSystemLoader(HERE), undefined=StrictUndefined, trim_blocks=True)
    text = templates.get_template("report.md.j2").render(study=study).rstrip() + "\n"
    (folder / "report.md").write_text(text)
    (folder / "report.html").write_text(page(text, folder))


if __name__ == "__main__":
    main()
