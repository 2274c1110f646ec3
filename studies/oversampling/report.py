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

import analysis
import figures
import pandas as pd
from analysis import LLM, MAIN, at, gaps
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from opal.evaluate.verdict import confidence_interval
from opal.report.figures.compare_ranks import ranks_diagram
from opal.report.ranks import rank

HERE = Path(__file__).parent
CLASSIFIERS = ("logistic", "catboost", "random_forest")
COMPARED = ["smote", "gaussian_copula", LLM]
LEFT_OUT = ("nothing", "free: duplicate", "free: smote")  # the last two are duplicate and smote once more
SIZES = (50, 100, 200)
MINORITIES = (5, 10, 20)


class Study:
    """The results, with what the template asks of them."""

    def __init__(self, folder: Path) -> None:
        self.tidy = pd.read_parquet(folder / "results.parquet")
        self.tidy["metric"] = self.tidy["metric"].astype(str)
        self.tidy["method"] = self.tidy["method"].astype(str)
        self.runs = pd.read_csv(folder / "runs.csv")
        self.tables = pd.read_csv(folder / "tables.csv")
        self.errors = {m: analysis.test_errors(self.tidy, m) for m in ("balanced_error", "error", "roc_auc")}
        self.errors["average_precision"] = analysis.test_errors(self.tidy, "average_precision")
        chosen = analysis.recommended(self.tidy, COMPARED)
        self.regrets = analysis.regrets(self.errors["balanced_error"], chosen)

    def cell(self, classifier: str, metric: str = "balanced_error", size: tuple[int, int] = MAIN) -> pd.DataFrame:
        return at(self.errors[metric], size, classifier)

    def actions(self, classifier: str) -> list[str]:
        """Free actions and methods at their largest amount, best first."""
        frame = self.cell(classifier)
        named = [a for a in frame if "/" not in a and not a.endswith("+") and a not in LEFT_OUT]
        return list(gaps(frame, named, "nothing")["mean"].sort_values().index)

    def gap(
        self, action: str, other: str = "nothing", classifier: str = "logistic", metric: str = "balanced_error"
    ) -> str:
        """A mean difference with its interval, as text."""
        row = gaps(self.cell(classifier, metric), [action], other).loc[action]
        return f"{row['mean']:+.3f} (95 % interval {row['low']:+.3f} to {row['high']:+.3f}, {row['tables']:.0f} tables)"

    def mean(
        self, action: str, other: str = "nothing", classifier: str = "logistic", metric: str = "balanced_error"
    ) -> str:
        return f"{gaps(self.cell(classifier, metric), [action], other).loc[action, 'mean']:+.3f}"

    def lower(self, action: str, other: str, classifier: str = "logistic", metric: str = "balanced_error") -> str:
        """In how many tables the first action's figure is lower."""
        row = gaps(self.cell(classifier, metric), [action], other).loc[action]
        return f"{row['lower'] * row['tables']:.0f} of {row['tables']:.0f}"

    def comparison(self, classifier: str) -> str:
        """The main table of one classifier, in Markdown."""
        best = next(a for a in self.actions(classifier) if a.startswith("free: "))
        frame = self.cell(classifier)
        head = ["action", "tables", "balanced error, less that of doing nothing", f"less that of {figures.words(best)}",
                "ROC AUC, less that without rows"]  # fmt: skip
        rows = []
        for action in self.actions(classifier):
            against = _interval(gaps(frame, [action], best)) if action != best else ""
            ranking = _interval(gaps(self.cell(classifier, "roc_auc"), [action], "nothing"))
            nothing = gaps(frame, [action], "nothing")
            rows.append(
                [figures.words(action), f"{nothing['tables'].iloc[0]:.0f}", _interval(nothing), against, ranking]
            )
        return _markdown(head, rows)

    def split(self, classifier: str) -> str:
        """Threshold and information, in Markdown."""
        methods = [a for a in self.actions(classifier) if not a.startswith("free: ")]
        found = analysis.split_gain(self.cell(classifier), methods)
        rows = [
            [figures.words(m), f"{r.threshold:+.3f}", f"{r.information:+.3f} ({r.low:+.3f} to {r.high:+.3f})"]
            for m, r in zip(found.index, found.itertuples(), strict=True)
        ]
        return _markdown(["method", "threshold, free", "information"], rows)

    def minority_lines(self, rows: int) -> dict[str, pd.DataFrame]:
        """Difference to doing nothing by minority rows, of each action drawn."""
        found: dict[str, dict[int, pd.Series]] = {}
        for minority in MINORITIES:
            frame = self.cell("logistic", size=(rows, minority))
            wanted = [a for a in ("free: base_rate_threshold", "free: class_weight", *COMPARED) if a in frame]
            for action, row in gaps(frame, wanted, "nothing").iterrows() if wanted else ():
                found.setdefault(str(action), {})[minority] = row
        return {action: pd.DataFrame(by).T for action, by in found.items()}

    def minority_table(self) -> str:
        rows = []
        for train in SIZES:
            lines = self.minority_lines(train)
            for minority in MINORITIES:
                cells = [_interval(lines[a].loc[[minority]]) if a in lines and minority in lines[a].index else ""
                         for a in ("free: base_rate_threshold", *COMPARED)]  # fmt: skip
                rows.append([str(train), str(minority), *cells])
        return _markdown(
            ["train rows", "minority rows", "base-rate threshold (free)", *map(figures.words, COMPARED)], rows
        )

    def regret(self, size: tuple[int, int] | None = MAIN) -> pd.DataFrame:
        """Mean regret: a row per policy, a column per classifier."""
        frame = self.regrets if size is None else self.regrets.loc[size]
        by = frame.groupby("classifier", observed=True).mean().T
        return by[[c for c in CLASSIFIERS if c in by]].dropna(how="all")

    def regret_table(self, size: tuple[int, int] | None = MAIN) -> str:
        found = self.regret(size)
        found = found.assign(mean=found.mean(axis=1)).sort_values("mean")
        rows = [[figures.words(p), *(f"{v:.3f}" if v == v else "" for v in row)] for p, row in
                zip(found.index, found.to_numpy(), strict=True)]  # fmt: skip
        return _markdown(["policy", *(figures.NAMES[c] for c in found.columns[:-1]), "mean"], rows)

    def ranks(self, classifier: str) -> Any:
        frame = self.cell(classifier)[["nothing", *self.actions(classifier)]]
        return rank(frame.drop(columns=[LLM], errors="ignore").rename(columns=figures.words))

    def contamination(self, method: str) -> dict[str, float]:
        """Synthetic rows of a method that equal a test row, and as many as chance would give, over all its runs."""
        mine = self.runs[(self.runs["method"] == method) & (self.runs["classifier"] == "logistic")]
        asked = (mine["train_rows"] * 4 // 5 * 3).sum()
        exact, chance = mine["contamination/test_exact"].sum(), mine["contamination/test_chance"].sum()
        return {"rows": asked, "exact": exact, "chance": chance, "share": exact / asked, "by_chance": chance / asked}

    def llm_cost(self) -> dict[str, float]:
        mine = self.runs[(self.runs["method"] == LLM) & (self.runs["classifier"] == "logistic")]
        rows = (mine["train_rows"] * 4 // 5 * 3).sum()
        tokens = (mine["llm/prompt_tokens"] + mine["llm/completion_tokens"]).sum()
        return {"rows": rows, "tokens_a_row": tokens / rows, "seconds_a_row": mine["time/rows"].sum() / rows}

    def draw(self, folder: Path) -> None:
        """Write the pictures."""
        order = self.actions("logistic")
        found = {figures.NAMES[c]: gaps(self.cell(c), order, "nothing") for c in CLASSIFIERS if len(self.cell(c))}
        _save(
            figures.dots(found, "balanced error, less that of doing nothing: mean over tables, 95 % interval", order),
            folder,
            "gain",
        )
        methods = [a for a in order if not a.startswith("free: ") or a == "free: class_weight"]
        words = {"roc_auc": "ROC AUC", "average_precision": "average precision"}
        found = {words[m]: gaps(self.cell("logistic", m), methods, "nothing") for m in words}
        _save(
            figures.dots(found, "less that without rows (logistic regression; more is better)", methods),
            folder,
            "information",
        )
        panels = {f"{rows} train rows": self.minority_lines(rows) for rows in SIZES}
        _save(
            figures.by_minority({k: v for k, v in panels.items() if v}, "balanced error, less that of doing nothing"),
            folder,
            "minority",
        )
        regret = self.regret()
        _save(
            figures.bars(
                regret.loc[regret.mean(axis=1).sort_values().index],
                "regret: balanced error above the best action in hindsight",
            ),
            folder,
            "regret",
        )
        _save(ranks_diagram(self.ranks("logistic")), folder, "ranks")


def _interval(row: pd.DataFrame) -> str:
    if row.empty:
        return ""
    one = row.iloc[0]
    return f"{one['mean']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def _save(figure: Any, folder: Path, name: str) -> None:
    figure.savefig(folder / f"{name}.png", dpi=150, metadata={"Software": None})


def page(text: str, folder: Path) -> str:
    """The report as one HTML page, its pictures inside."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark").enable("table").render(text)

    def inline(found: re.Match[str]) -> str:
        content = base64.b64encode((folder / found[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{content}"'

    return (HERE / "page.html").read_text().replace("BODY", re.sub(r'src="([a-z]+\.png)"', inline, body))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE)
    folder = parser.parse_args().output
    study = Study(HERE)
    study.draw(folder)
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    text = environment.get_template("report.md.j2").render(study=study, interval=confidence_interval)
    (folder / "report.md").write_text(text)
    (folder / "report.html").write_text(page(text, folder))


if __name__ == "__main__":
    main()
