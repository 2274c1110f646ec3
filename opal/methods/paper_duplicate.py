"""The published study's duplication, for experiment=paper_imbalanced: the first train rows again, of any class."""

from __future__ import annotations

from typing import Any

import pandas as pd

from opal.methods.base import Oversampler
from opal.result import Funnel, Rows
from opal.table import Train


class PaperDuplicate(Oversampler):
    """Draws from the first train rows with replacement, with one seed for every split.

    In the study's splits the first 10 rows are 5 of the minority and 5 of the majority, so that half of the
    added rows are of the majority class.

    Parameters
    ----------
    first : train rows to draw from
    random_state : seed of NumPy's legacy generator, whose stream is frozen
    """

    def __init__(self, first: int = 10, random_state: int = 0) -> None:
        self.first = first
        self.random_state = random_state

    def sample(self, train: Train, n: int, progress: Any = None) -> Rows:
        """``n`` rows in the order drawn."""
        from sklearn.utils import resample

        drawn = resample(train.frame.iloc[: self.first], n_samples=n, random_state=self.random_state)
        return Rows(drawn.reset_index(drop=True), Funnel(n, n, n, n, n))

    def arrange(self, frame: pd.DataFrame, train: Train, n: int) -> pd.DataFrame:
        """The first ``n`` rows, unchanged."""
        return frame.iloc[:n].reset_index(drop=True)
