"""The published study's figures: one line per method, error bars, a red line at the error without synthetic rows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from opal.errors import ConfigError
from opal.report.figures.run import COLORS, MARKERS, plain
from opal.report.protocol import labels
from opal.report.read.load import Loaded

ERROR_TYPES = {  # as the study calls them: our metric
    "overall": "error",
    "minority": "minority_error",
    "majority": "majority_error",
    "worst": "worst_group_error",
    "diff": "group_gap",
}


def paper_curves(errors: pd.DataFrame, raw_rows: float, error_type: str = "overall") -> pd.DataFrame:
    """Mean and sample standard deviation over seeds.

    Parameters
    ----------
    errors : tidy [method, seed, amount, metric, value]
    raw_rows : train rows before any is added
    error_type : a key of ERROR_TYPES

    Returns
    -------
    DataFrame [method, ratio, mean, std] with ratio = synthetic / raw rows, methods in order of appearance
    """
    if error_type not in ERROR_TYPES:
        raise ConfigError(f"error type {error_type!r} is not one of {', '.join(ERROR_TYPES)}")
    chosen = errors[errors["metric"] == ERROR_TYPES[error_type]]
    if chosen.empty:
        raise ConfigError(f"the runs have no {ERROR_TYPES[error_type]}: error type {error_type!r} cannot be drawn")
    by_amount = chosen.groupby(["method", "amount"], sort=False)["value"].agg(["mean", "std"]).reset_index()
    by_amount["std"] = by_amount["std"].fillna(0.0)
    by_amount.insert(1, "ratio", by_amount.pop("amount") / raw_rows)
    order = list(dict.fromkeys(errors["method"]))
    return by_amount.sort_values(["method", "ratio"], key=lambda c: c.map(order.index) if c.name == "method" else c)


def paper_figure(
    errors: pd.DataFrame, raw_rows: float, path: Path, error_type: str = "overall", title: str = ""
) -> None:
    """Draw ``paper_curves`` to ``path`` (.png, .pdf, .svg)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = paper_curves(errors, raw_rows, error_type)
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")  # no pyplot: no state shared between threads
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.axhline(curves["mean"].iloc[0], color="red")
    for i, (method, line) in enumerate(curves.groupby("method", sort=False)):
        _errorbar(axis, line, str(method), i)
    axis.set_xlabel("synthetic / raw")
    axis.set_ylabel(f"{error_type} error" if error_type != "diff" else "difference of group errors")
    axis.set_title(plain(title))
    axis.grid(axis="y", linestyle="--")
    axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def write_published(loaded: Loaded, folder: Path) -> list[Path]:
    """A PDF for each task, table, classifier and error type that the runs of one protocol hold."""
    methods, classifiers = labels(loaded)
    runs = loaded.runs[["task", "data"]].assign(method=methods, classifier=classifiers)
    runs["rows"] = loaded.singles()["train/rows"]
    curves = loaded.values[(loaded.values["control"] == "") & (loaded.values["seed"] >= 0)]
    errors = curves.join(runs, on="run")
    written = []
    for (task, data, classifier), mine in errors.groupby(["task", "data", "classifier"], sort=False, observed=True):
        for error_type, metric in ERROR_TYPES.items():
            if (mine["metric"] == metric).any():
                path = folder / re.sub(r"[^\w.=-]", "_", f"{task}_{data}_{classifier}_{error_type}.pdf")
                paper_figure(mine, float(mine["rows"].iloc[0]), path, error_type, f"{data}: {classifier}")
                written.append(path)
    return written


def _errorbar(axis: Any, line: pd.DataFrame, label: str, i: int) -> None:
    style = {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)], "capsize": 5, "label": label}
    axis.errorbar(line["ratio"], line["mean"], yerr=line["std"], fmt="-", **style)
