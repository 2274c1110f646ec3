"""method=replay: synthetic rows from files made by any tool."""

from __future__ import annotations

from typing import Any

import pandas as pd

from opal.data.row_files import fill_in, read_rows
from opal.errors import ConfigError
from opal.methods.base import Oversampler
from opal.result import Funnel, Rows
from opal.table import Train

PUBLISHED = "train_generate_colsbase_rand{seed}.csv"  # the study's name for synthetic rows


class Replay(Oversampler):
    """The first rows of a file, in its order and of any class: nothing is left out, cast or interleaved.

    Parameters
    ----------
    path : CSV or Parquet file with the table's columns; ``{seed}`` stands for the split's seed
    folder : a folder in the layout of the published study, used where ``path`` is None
    exact : refuse levels and fractions that a column of the table does not have; False takes any number
    """

    remake = "never"

    def __init__(self, path: str | None = None, folder: str | None = None, exact: bool = True) -> None:
        if not path and not folder:
            raise ConfigError(
                "method=replay needs method.path=FILE, with {seed} in the name where seeds differ "
                "(or paper.folder=FOLDER with an experiment=paper_*)"
            )
        self.path = path or f"{folder}/{PUBLISHED}"
        self.exact = exact

    def sample(self, train: Train, n: int, progress: Any = None) -> Rows:
        """The file's first ``n`` rows, the others as ``unused``; fewer, and ``stopped`` set, where it has fewer.

        Raises
        ------
        DataError : the file is missing, or its columns or values are not the table's
        """
        path = fill_in(self.path, train.seed)
        frame = read_rows(path, train.schema, "method.path", self.exact, complete=False)
        rows = self.arrange(frame, train, n)
        stopped = "" if len(rows) == n else f"{path} has {len(rows)} rows, {n} were asked for"
        funnel = Funnel(n, len(frame), len(frame), len(frame), len(rows))
        return Rows(rows, funnel, stopped=stopped, unused=frame.iloc[n:].reset_index(drop=True))

    def arrange(self, frame: pd.DataFrame, train: Train, n: int) -> pd.DataFrame:
        """The first ``n`` rows, unchanged."""
        return frame.iloc[:n].reset_index(drop=True)
