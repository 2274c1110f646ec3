"""The simulated table ``craft``: known structural equations, no download."""

from __future__ import annotations

from typing import Unpack

import numpy as np
import pandas as pd

from opal.data.build import Common, build_table
from opal.table import Table


def load(name: str = "craft", rows: int = 1000, seed: int = 42, **common: Unpack[Common]) -> Table:
    """Generate ``craft``; with the default ``rows`` and ``seed`` it equals the published one."""
    return build_table(name, craft_frame(rows, seed), source="generated", **common)


def craft_frame(rows: int, seed: int) -> pd.DataFrame:
    """Draw the table from its structural equations.

    The order of the draws and the points of rounding determine the values: X3 is rounded before X5 and X8
    use it. NumPy's legacy generator is used because its stream is frozen.

    Returns
    -------
    DataFrame of shape (rows, 10): X1..X9 with one decimal, Target in {0, 1}, balanced by its median cut
    """
    random = np.random.RandomState(seed)

    def noise(scale: float = 1.0) -> np.ndarray:
        return random.normal(0.0, scale, rows)

    x: dict[str, np.ndarray] = {}
    x["X1"] = noise().round(1)
    x["X2"] = noise().round(1)
    x["X3"] = (0.5 * x["X1"] + 0.3 * x["X2"] + noise(0.5)).round(1)
    x["X4"] = (noise() * x["X1"]).round(1)
    x["X5"] = (noise() + 0.5 * x["X3"]).round(1)
    x["X6"] = noise().round(1)
    x["X7"] = noise().round(1)
    x["X8"] = (x["X2"] * x["X3"]).round(1)
    x["X9"] = (x["X1"] * x["X2"]).round(1)
    score = 1.5 + 0.7 * x["X1"] - 0.6 * x["X2"] + 0.8 * x["X3"] + 0.4 * x["X9"] + noise(0.5)
    return pd.DataFrame(x).assign(Target=(score > np.median(score)).astype("int64"))
