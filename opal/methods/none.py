"""method=none: no synthetic rows; the raw error and the free controls alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from opal.methods.base import Oversampler
from opal.result import Rows
from opal.table import Group, Train


class NoRows(Oversampler):
    """Adds nothing."""

    def _sample(self, train: Train, wanted: dict[Group, int], rng: np.random.Generator, progress: Any) -> Rows:
        return Rows(train.frame.iloc[:0], stopped="method=none adds no rows")


