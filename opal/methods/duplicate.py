"""method=duplicate: minority rows drawn again, with replacement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from opal.methods.base import Oversampler
from opal.table import Group, Train


class Duplicate(Oversampler):
    """Random oversampling: works with every kind of column and with missing values."""

    def _sample(self, train: Train, wanted: dict[Group, int], rng: np.random.Generator, progress: Any) -> pd.DataFrame:
        drawn = [train.rows(group) for group in wanted]
        return pd.concat(
            rows.iloc[self.places(len(rows), n, rng)] for rows, n in zip(drawn, wanted.values(), strict=True)
        )

    def places(self, count: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """Which of a group's ``count`` rows are drawn, shape (n,)."""
        return rng.integers(count, size=n)
