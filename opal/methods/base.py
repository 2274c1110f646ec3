"""The oversampler's template: ``sample`` validates and orders, subclasses write ``_sample``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain, cycle, islice
from typing import Any, Literal

import numpy as np
import pandas as pd

from opal.errors import MethodError
from opal.methods import gaps
from opal.result import Funnel, Rows
from opal.table import Group, Train


class Oversampler:
    """Makes synthetic rows for the minority groups of a train set, from that train set alone.

    A subclass writes ``_sample(train, wanted, rng, progress)``, which returns rows of the wanted groups in any
    order, as a DataFrame with the columns of ``train.frame`` or as ``Rows`` with more details.

    Attributes
    ----------
    makes_rows : False for a method that stands for adding nothing
    impute : how gaps are filled in before rows are made, and put back afterwards (`opal.methods.gaps`); None for a
        method that carries missing values itself
    remake : the cost of asking again for other train rows: nothing, money or time, or impossible
    client : the language model that it uses, or None
    """

    makes_rows: bool = True
    impute: gaps.Impute | None = None
    remake: Literal["free", "paid", "never"] = "free"
    client: Any = None

    @property
    def model(self) -> str:
        """Identity of the language model, "" without one; starts nothing."""
        return self.client.identity() if self.client is not None else ""

    def forecast(self, train: Train, n: int) -> Any:
        """What the requests for ``n`` rows would cost (`opal.llm.api.budget.Estimate`), or None without a model."""
        return None

    def sample(self, train: Train, n: int, progress: Any = None) -> Rows:
        """``n`` synthetic rows, minority groups in turn, so that every prefix is balanced over them.

        With ``train.augment`` rows go to every group in turn once the minority groups have reached the largest.

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
        wanted = share_out(n, train)
        rng = np.random.default_rng([train.seed, 1])  # 1: a stream other than the split's
        with_gaps = self.impute is not None and bool(gaps.columns_with_gaps(train))
        known = gaps.filled(train, self.impute) if self.impute is not None and with_gaps else train
        made = self._sample(known, wanted, rng, progress)
        rows = made if isinstance(made, Rows) else Rows(made)
        if with_gaps:  # a separate stream, so that tables without gaps keep their rows
            rows.frame = gaps.put_back(rows.frame, train, list(wanted), np.random.default_rng([train.seed, 2]))
        rows.note = " ".join(filter(None, [rows.note, self.remark(train, [g for g, k in wanted.items() if k])]))
        rows.frame = self.arrange(train.schema.cast(within_dates(rows.frame, train)), train, n)
        if len(rows.frame) < n and not rows.stopped:
            raise MethodError(f"{type(self).__name__} made {len(rows.frame)} valid rows where {n} were wanted")
        if not rows.funnel.requested:
            rows.funnel = Funnel(n, n, n, n, len(rows.frame))
        return rows

    def arrange(self, frame: pd.DataFrame, train: Train, n: int) -> pd.DataFrame:
        """The first ``n`` of ``frame``'s rows in the order in which they are added to train, index 0..n-1."""
        if len(train.wanted_groups) == 1:  # a million rows need no turns
            (only,) = train.wanted_groups
            return frame[only.mask(frame)].iloc[:n].reset_index(drop=True)
        return take_turns(frame, turns(n, train))

    def remark(self, train: Train, groups: Sequence[Group]) -> str:
        """A note on how rows for ``groups`` are made, or ""."""
        filled_in = gaps.note(train, self.impute) if self.impute is not None else ""
        return " ".join(filter(None, [self.shortcut(train, groups), filled_in]))

    def shortcut(self, train: Train, groups: Sequence[Group]) -> str:
        """A sentence on what is simplified for ``groups`` of so many train rows, or ""."""
        return ""

    def _sample(
        self, train: Train, wanted: dict[Group, int], rng: np.random.Generator, progress: Any
    ) -> Rows | pd.DataFrame:
        raise NotImplementedError


def within_dates(rows: pd.DataFrame, train: Train) -> pd.DataFrame:
    """``rows`` with dates as whole numbers within those of train: a date outside is rarely possible."""
    dates = [c for c in train.schema.columns if c.dates]
    return rows.assign(**{c.name: rows[c.name].round().clip(c.low, c.high) for c in dates}) if dates else rows


def turns(n: int, train: Train) -> list[Group]:
    """The group of each of ``n`` rows: minority groups in turn, minority classes as each lacks rows.

    With ``train.augment`` the minority groups first rise to the size of the largest group, the smallest before the
    others; from there on all groups take turns.
    """
    few = train.minority_groups
    if not train.augment and len(few) > 1 and all(g.column is None for g in few):
        return by_lack(n, train)
    if not train.augment:
        return list(islice(cycle(few), n))
    sizes = {g: len(train.rows(g)) for g in train.groups}
    rising = [g for level in range(max(sizes.values())) for g in few if sizes[g] <= level]
    return list(islice(chain(rising, cycle(train.groups)), n))


def by_lack(n: int, train: Train) -> list[Group]:
    """Minority classes in proportion to the rows that each lacks of the largest class, in any prefix; then in turn."""
    few, most = train.minority_groups, max(len(train.rows(g)) for g in train.groups)
    lacks = {g: most - len(train.rows(g)) for g in few}
    places = sorted(((k + 0.5) / lack, i, g) for i, (g, lack) in enumerate(lacks.items()) for k in range(lack))
    return list(islice(chain((g for _, _, g in places), cycle(few)), n))


def share_out(n: int, train: Train) -> dict[Group, int]:
    """How many of ``n`` rows each group gets; minority groups first, so that ``augment`` changes none of their rows."""
    if len(train.wanted_groups) == 1:
        return {train.wanted_groups[0]: n}
    counts = Counter(turns(n, train))
    return {g: counts[g] for g in sorted(train.wanted_groups, key=lambda g: not g.minority)}


def take_turns(frame: pd.DataFrame, order: Sequence[Group]) -> pd.DataFrame:
    """Rows in the ``order`` of their groups, index 0..n-1; a group that has run out is skipped."""
    left = {g: iter(np.flatnonzero(g.mask(frame))) for g in dict.fromkeys(order)}
    places = [place for g in order if (place := next(left[g], None)) is not None]
    return frame.iloc[places].reset_index(drop=True)
