"""A table of one's own from a function: two half moons. One function, one YAML (``conf/data/moons.yaml``)."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.datasets import make_moons

from opal.data.build import build_table
from opal.table import Table


def load(rows: int = 300, noise: float = 0.3, **common: Any) -> Table:
    """``common``: target, minority, group, drop, kinds, descriptions and sizes, as in every table's YAML."""
    points, moon = make_moons(rows, noise=noise, random_state=0)
    frame = pd.DataFrame(points.round(2), columns=["x", "y"]).assign(moon=moon)
    frame["moon"] = frame["moon"].map({0: "outer", 1: "inner"})
    return build_table("moons", frame, source="generated", **common)
