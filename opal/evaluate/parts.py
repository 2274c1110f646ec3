"""Folds of train rows: stratified, and never with rows of one unit in two of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from opal.table import Train


def parted(train: Train, strata: np.ndarray, folds: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of the rows that are seen and of those held out, fold after fold; none where units leave none.

    Parameters
    ----------
    strata : what is spread evenly, shape (n_rows,)
    folds : at most the rows of the rarest stratum, and the units of which there are rows of it
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if train.units is None:
        yield from StratifiedKFold(folds, shuffle=True, random_state=train.seed).split(strata, strata)
        return
    units = train.units.loc[train.frame.index].to_numpy()
    folds = min(folds, *(len(np.unique(units[strata == s])) for s in np.unique(strata)))
    if folds > 1:
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=train.seed)
        for seen, held in splitter.split(strata, strata, units):
            if len(held):
                yield seen, held
