"""How realistic a run's synthetic rows are: their position, the columns that differ, and all measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from opal.evaluate.features import transformer
from opal.evaluate.fidelity import at_most
from opal.report.figures.run import COLORS
from opal.table import Train

MOST_COLUMNS = 12  # the worst ones
MOST_POINTS = 400  # synthetic rows shown
MOST_REAL = 5000  # train rows shown
MEASURES = {  # metric: its label, what is good, and the metric that holds the value for chance or real rows
    "marginal": ("column distance", None, "marginal_chance"),
    "pairwise": ("correlation distance", None, "pairwise_chance"),
    "nearest": ("distance to nearest real row", None, "nearest_real"),
    "coverage": ("coverage of real rows", 1.0, None),
    "validity": ("valid rows", 1.0, None),
    "duplicates": ("duplicates", 0.0, None),
    "detector_auc": ("detector AUC, boosting", 0.5, None),
    "detector_auc_logistic": ("detector AUC, logistic", 0.5, None),
}
MADE = COLORS[0]


@dataclass(frozen=True)
class Places:
    """Where real and synthetic rows lie on the two directions in which real train rows differ most.

    Parameters
    ----------
    groups : name, whether it is a minority, and coordinates of real and of synthetic rows, shape (n_rows, 2) each
    shares : of the variance
    title : what is shown
    """

    groups: list[tuple[str, bool, np.ndarray, np.ndarray]]
    shares: list[float]
    title: str


def places(made: pd.DataFrame, train: Train) -> Places:
    """The places of one seed's synthetic rows, one at least, and train rows: of as many as can be seen."""
    from sklearn.decomposition import PCA

    frame = at_most(train.frame, MOST_REAL, np.random.default_rng(train.seed))
    shown = made.iloc[:MOST_POINTS]
    transform = transformer(train.schema.learn(pd.concat([frame, shown])), "onehot", scale=True)
    real = np.asarray(transform.fit_transform(frame), dtype=float)
    pca = PCA(n_components=min(2, *real.shape), random_state=0).fit(real)
    at = [_plane(pca.transform(np.asarray(rows, dtype=float))) for rows in (real, transform.transform(shown))]
    groups = [(g.name, g.minority, at[0][g.mask(frame)], at[1][g.mask(shown)]) for g in train.groups]
    some = f"{len(frame):,} of the " if len(frame) < len(train.frame) else ""
    shares = [float(share) for share in pca.explained_variance_ratio_]
    return Places(groups, shares, f"{some}train and synthetic rows, seed {train.seed}")


def fidelity_figure(measured: pd.DataFrame, columns: pd.DataFrame, found: Places, path: Path, title: str) -> None:
    """Draw ``path``: one seed's rows in two principal components, columns against chance, every measure.

    Parameters
    ----------
    measured, columns : the trial's tables ``fidelity`` [metric, and a column per seed] and ``fidelity_columns`` [seed,
        column, distance, chance]; without any nothing is drawn
    """
    if columns.empty:
        return
    figure = draw_fidelity(measured, columns, found, title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def draw_fidelity(measured: pd.DataFrame, columns: pd.DataFrame, found: Places, title: str) -> Any:
    """The Matplotlib figure of `fidelity_figure`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    by_name = measured.set_index("metric")
    by_name.index = by_name.index.str.removeprefix("fidelity/")
    figure = Figure(figsize=(15, 4.8), dpi=110)  # no pyplot: no state shared between threads
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    labels = [
        max(map(len, map(_column_name, columns["column"].astype(str)))),
        max(len(m[0]) for m in MEASURES.values()),
    ]
    axes = [figure.add_axes(place) for place in _places_of_panels(labels)]
    _places(axes[0], found)
    _columns(axes[1], columns)
    _measures(axes[2], by_name.reindex(_measured()))
    return figure


def _places_of_panels(labels: Sequence[int]) -> list[tuple[float, float, float, float]]:
    """Left, bottom, width and height of three panels; ``labels`` are the letters left of the second and third.

    Computed here: a layout engine takes as long as drawing, and every run of a sweep pays for it.
    """
    before = [0.05, *(0.03 + 0.0045 * letters for letters in labels)]  # a letter of 8 points is 0.0045 of the width
    width = [(0.99 - sum(before)) * share / 3.25 for share in (1.25, 1, 1)]
    starts = [sum(before[: i + 1]) + sum(width[:i]) for i in range(3)]
    return [(start, 0.19, wide, 0.68) for start, wide in zip(starts, width, strict=True)]


def _measured() -> list[str]:
    return [name for m, (_, _, level) in MEASURES.items() for name in (m, level) if name]


def _places(axis: Any, found: Places) -> None:
    """Synthetic rows as crosses over real ones, the minority's framed."""
    from matplotlib.colors import to_rgba

    large = [name for name, minority, *_ in found.groups if not minority]
    names = {name: _short(name, 24) for name, *_ in found.groups}
    if len(large) > 2:  # no more greys can be told apart
        names |= dict.fromkeys(large, "") | {large[0]: "all other groups"}
    few, many = cycle(COLORS[1:6]), cycle(["0.75", "0.5"] if len(large) < 3 else ["0.75"])
    for name, minority, old, new in found.groups:
        color = next(few if minority else many)
        if len(new):
            axis.scatter(*new.T, color=color, marker="x", s=24, linewidths=1.1, alpha=0.9, zorder=4)
        edge, size, order, alpha = ("black", 60, 3, 0.45) if minority else ("none", 18, 1, 1.0)
        style = {"facecolors": to_rgba(color, alpha), "edgecolors": edge, "linewidths": 0.8, "s": size, "zorder": order}
        axis.scatter(*old.T, label=names[name], **style)
    axis.scatter([], [], color="black", marker="x", s=24, linewidths=1.1, label="synthetic, in its group's colour")
    share = [f"{s:.0%}" for s in found.shares]
    axis.set_xlabel(f"first principal component ({share[0]} of the variance)")
    axis.set_ylabel(f"second ({share[1]})" if len(share) > 1 else "")
    axis.set_title(found.title, fontsize=10)
    below = {"loc": "upper left", "bbox_to_anchor": (-0.1, -0.12), "ncols": 3, "columnspacing": 1.0}
    axis.legend(fontsize=8, frameon=False, **below)  # inside the panel it would hide some points


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _column_name(name: str) -> str:
    return _short(name, 22)


def _plane(points: np.ndarray) -> np.ndarray:
    """Two coordinates; the second is 0 if there is only one feature."""
    return points if points.shape[1] == 2 else np.column_stack([points, np.zeros(len(points))])


def _columns(axis: Any, columns: pd.DataFrame) -> None:
    """Each column's distance between synthetic and real rows, and its chance level; mean over seeds."""
    mean = columns.groupby("column", sort=False)[["distance", "chance"]].mean()
    distance, chance = mean["distance"].to_numpy(), mean["chance"].to_numpy()
    names = [_column_name(name) for name in mean.index.astype(str)]
    seeds = columns["seed"].nunique()
    varied = np.flatnonzero(np.maximum(distance, chance) > 0)  # a group's own attribute never differs
    worst = varied[np.argsort((distance - chance)[varied], kind="stable")[-MOST_COLUMNS:]]
    places = np.arange(len(worst))
    axis.barh(places, distance[worst], color=MADE, alpha=0.8, height=0.65, label="synthetic against real")
    axis.plot(chance[worst], places, "|", color="black", markersize=13, markeredgewidth=2, label="by chance")
    axis.set_yticks(places, [names[i] for i in worst], fontsize=8)
    axis.set_xlim(0, max(0.5, 1.05 * float(np.max([distance, chance], initial=0))))
    axis.set_xlabel("distance of the distributions (KS or total variation)", fontsize=9)
    which = f"the {len(worst)} columns most above chance" if len(worst) < len(varied) else "columns"
    axis.set_title(f"{which}, mean of {seeds} seed{'s' * (seeds > 1)}", fontsize=10)
    axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=2, frameon=False)
    axis.grid(axis="x", alpha=0.3)


def _measures(axis: Any, by_seed: pd.DataFrame) -> None:
    """One line per measure: every seed, their mean, and the value for real rows."""
    shown = [m for m in MEASURES if by_seed.loc[m].notna().any()][::-1]
    places, values = np.arange(len(shown)), by_seed.loc[shown].to_numpy(dtype=float)
    real = [by_seed.loc[level].mean() if level else good for _, good, level in (MEASURES[m] for m in shown)]
    axis.plot(real, places, "|", color="black", markersize=13, markeredgewidth=2, zorder=2, label="real rows")
    axis.scatter(np.nanmean(values, axis=1), places, s=50, color=MADE, zorder=4, label="synthetic, mean")
    every = np.repeat(places, values.shape[1])
    axis.scatter(values.ravel(), every, s=16, color=MADE, alpha=0.4, linewidths=0, zorder=3, label="a seed")
    axis.set_yticks(range(len(shown)), [MEASURES[m][0] for m in shown], fontsize=8)
    axis.set_ylim(-0.6, len(shown) - 0.4)
    axis.set_xlim(-0.04, 1.04)
    axis.set_title("measures", fontsize=10)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=3, frameon=False)
