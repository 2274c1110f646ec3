"""The oversampler's template: ``sample`` validates and orders, subclasses write ``_sample``."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from opal.errors import MethodError
from opal.result import Funnel, Rows
from opal.table import Group, Train


class Oversampler:
    """Makes synthetic rows for the minority groups of a train set, from that train set alone.

    A subclass writes ``_sample(train, wanted, rng, progress)``, which returns rows of the wanted groups in any
    order, as a DataFrame with the columns of ``train.frame`` or as ``Rows`` where it has more to tell.
    ``remake`` says what asking again for other train rows costs: nothing, money or time, or it cannot be done.
    """

    remake: Literal["free", "paid", "never"] = "free"

    def sample(self, train: Train, n: int, progress: Any = None) -> Rows:
        """``n`` synthetic rows, minority groups taking turns so that every prefix is balanced over them.

        Parameters
        ----------
        train : the split's train rows
        n : rows wanted in all
        progress : anything with ``advance(rows=..., tokens=...)``, or None

        Returns
        -------
        Rows with a frame of shape (n, n_columns); fewer only where ``stopped`` says why.

        Raises
        ------
        MethodError : the train rows do not allow this method.
        """
        wanted = share_out(n, train.minority_groups)
        rng = np.random.default_rng([train.seed, 1])  # 1: another stream than the split's
        made = self._sample(train, wanted, rng, progress)
        rows = made if isinstance(made, Rows) else Rows(made)
        rows.frame = take_turns(train.schema.cast(rows.frame), wanted)
        if len(rows.frame) < n and not rows.stopped:
            raise MethodError(f"{type(self).__name__} made {len(rows.frame)} valid rows where {n} were wanted")
        if not rows.funnel.requested:
            rows.funnel = Funnel(n, n, n, n, len(rows.frame))
        return rows

    def _sample(
        self, train: Train, wanted: dict[Group, int], rng: np.random.Generator, progress: Any
    ) -> Rows | pd.DataFrame:
        raise NotImplementedError


def share_out(n: int, groups: tuple[Group, ...]) -> dict[Group, int]:
    """``n`` rows over the groups, as equal as whole rows allow."""
    return {g: n // len(groups) + (i < n % len(groups)) for i, g in enumerate(groups)}


def take_turns(frame: pd.DataFrame, wanted: dict[Group, int]) -> pd.DataFrame:
    """The first ``wanted`` rows of each group, groups alternating, index 0..n-1; other rows are left out."""
    places, turns = [], []
    for group, n in wanted.items():
        found = np.flatnonzero(group.mask(frame))[:n]
        places.append(found)
        turns.append(np.arange(len(found)))
    order = np.argsort(np.concatenate(turns), kind="stable")
    return frame.iloc[np.concatenate(places)[order]].reset_index(drop=True)
