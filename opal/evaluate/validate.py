"""Validation errors on folds of train rows: what the amount is chosen by, so that no test row is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from opal.errors import ConfigError, MethodError
from opal.evaluate.classifiers import Classifier
from opal.evaluate.controls import Sampler
from opal.evaluate.curve import each, measure
from opal.table import Split, Train

MEASURED = ("error", "balanced_error")


@dataclass(frozen=True)
class Folds:
    """Stratified folds of the train rows.

    Parameters
    ----------
    folds : at most the rows of the rarest group; below 2 there is no validation
    remake : make each fold's synthetic rows from that fold's train rows alone: ``free`` does so for methods that
        cost nothing, ``always`` for language models too (``folds`` times the requests). Otherwise the rows made
        from all train rows serve every fold; they have seen its held-out rows, which favours larger amounts.
        The test error at the chosen amount stays honest either way.
    """

    folds: int = 3
    remake: Literal["free", "always", "never"] = "free"

    def __post_init__(self) -> None:
        if self.folds < 0 or self.remake not in ("free", "always", "never"):
            raise ConfigError(
                f"validation={{folds: {self.folds}, remake: {self.remake}}} needs folds >= 0 and "
                "remake=free, always or never"
            )

    def __call__(
        self,
        classifier: Classifier,
        splits: Sequence[Split],
        rows: Sequence[pd.DataFrame],
        amounts: Sequence[Sequence[int]],
        minority: Any,
        method: Any,
        n_jobs: int = 1,
    ) -> pd.DataFrame:
        """Tidy errors [seed, amount, metric, value] with metrics ``validation_error``, ``validation_balanced_error``.

        A fold adds the same share of synthetic rows to its own train rows. Values are means over held-out rows.
        Seeds whose folds do not allow the method (SMOTE needs two rows a group) are left out.
        """
        again = method.remake in {"free": ("free",), "always": ("free", "paid"), "never": ()}[self.remake]
        jobs, weights = [], []
        for split, made, steps in zip(splits, rows, amounts, strict=True):
            for fold in self.parts(split.train):
                share = len(fold.train.frame) / len(split.train.frame)
                sizes = {a: round(a * share) for a in steps if a <= len(made)}
                try:
                    own = remade(method, fold.train, max(sizes.values())) if again else made
                except MethodError:
                    break
                jobs += [(classifier, fold, own.iloc[:n], amount, minority) for amount, n in sizes.items()]
                weights += [len(fold.test)] * len(sizes)
        found = each(measure, jobs, n_jobs)
        records = [r | {"weight": w} for w, part in zip(weights, found, strict=True) for r in part]
        return weighted([r for r in records if r["metric"] in MEASURED])

    def parts(self, train: Train) -> Iterator[Split]:
        """Each fold as a split of its own: its train rows, and its held-out rows as test."""
        from sklearn.model_selection import StratifiedKFold

        group = np.argmax([g.mask(train.frame) for g in train.groups], axis=0)
        folds = min(self.folds, int(np.bincount(group).min()))
        if folds < 2:
            return
        for seen, held in StratifiedKFold(folds, shuffle=True, random_state=train.seed).split(group, group):
            frame = train.frame.iloc[seen]
            yield Split(Train(frame, train.schema.learn(frame), train.groups, train.seed), train.frame.iloc[held])


def remade(method: Sampler, train: Train, n: int) -> pd.DataFrame:
    return method.sample(train, n).frame


def weighted(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Mean over folds, weighted by held-out rows."""
    frame = pd.DataFrame(records, columns=["seed", "amount", "metric", "value", "weight"])
    frame["value"] *= frame["weight"]
    sums = frame.groupby(["seed", "amount", "metric"], sort=False)[["value", "weight"]].sum().reset_index()
    sums["value"] /= sums.pop("weight")
    return sums.assign(metric="validation_" + sums["metric"].astype(str)) if len(sums) else sums
