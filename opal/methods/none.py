"""method=none: no synthetic rows, only the raw error and the free controls."""

from __future__ import annotations

from typing import Any

from opal.methods.base import Oversampler
from opal.result import Rows
from opal.table import Train


class NoRows(Oversampler):
    """Adds no rows."""

    makes_rows = False

    def sample(self, train: Train, n: int, progress: Any = None) -> Rows:
        """No rows."""
        return Rows(train.frame.iloc[:0])
