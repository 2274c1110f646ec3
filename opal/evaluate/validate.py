"""Validation errors on folds of the train rows, by which the amount is chosen, so that test rows choose nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from opal.config.effect import NoEffect
from opal.errors import ConfigError, LLMError, MethodError
from opal.evaluate.classifiers import Classifier
from opal.evaluate.controls import Control
from opal.evaluate.fits import fitted
from opal.evaluate.metrics import OF_CHOICE, Measure, names
from opal.evaluate.parts import parted
from opal.result import Rows
from opal.table import Split, Train

Make = Callable[[Train, int], Rows]

Job = tuple[tuple, int]  # arguments of ``measure``, and the rows held out

MOST_WAITING = 1_000_000  # rows to predict in fits that wait: the folds of five large splits would fill the memory
PREFIX = "validation_"  # of the metrics measured on folds
AUC = "roc_auc"  # helps to choose among free actions (opal/evaluate/actions.py)
# What folds choose by: the first of these that was measured on them. Those of the first row are measured there only
# where `measure` asks for them, and the ROC AUC without a balanced error then too, so that records say by themselves
# what they were chosen by. Train rows have few minority rows by design: their plain error would always choose no rows.
# Where an attribute defines the groups (task=spurious), the classes are balanced, and the balanced error is the plain
# one. The worst group's error is the largest of several, each of a few rows: noisy.
CHOSEN_BY = (
    *("cost", "f1", "average_precision", "worst_group_error"),
    *("group_balanced_error", "balanced_error", "roc_auc", "error"),
)


@dataclass(frozen=True)
class Folds:
    """Stratified folds of the train rows.

    Parameters
    ----------
    folds : at most the rows of the rarest group; below 2 there is no validation
    remake : make each fold's synthetic rows from that fold's train rows alone: ``free`` does so for methods that
        cost nothing, ``always`` for language models too (``folds`` times the requests). Otherwise the rows made
        from all train rows serve every fold; its held-out rows were among them, which favours larger amounts.
        The test error at the chosen amount stays honest either way.
    measure : what is chosen by; ``auto``: the group-balanced error where an attribute defines groups, else the balanced
        error
    """

    folds: int = 3
    remake: Literal["free", "always", "never"] = "free"
    measure: NoEffect[Measure] = "auto"  # counts at the top of the configuration

    def __post_init__(self) -> None:
        if self.folds < 0 or self.remake not in ("free", "always", "never"):
            raise ConfigError(
                f"validation={{folds: {self.folds}, remake: {self.remake}}} needs folds >= 0 (0: no validation) and "
                "remake=free, always or never"
            )

    def __call__(
        self,
        classifier: Classifier,
        splits: Sequence[Split],
        rows: Sequence[pd.DataFrame],
        amounts: Sequence[Sequence[int]],
        minority: Any,
        make: Make,
        cost: Literal["free", "paid", "never"] = "free",
        n_jobs: int = 1,
        controls: Mapping[str, Control] | None = None,
    ) -> tuple[pd.DataFrame, list[Rows]]:
        """Tidy errors [seed, amount, metric, value] with metrics ``validation_error``, ``validation_balanced_error``
        and, where groups are told by an attribute, ``validation_group_balanced_error``.

        A fold adds the same share of synthetic rows to its own train rows. Values are means over held-out rows;
        an amount for which a fold has too few rows is left out, and so are seeds whose folds do not allow the method
        (SMOTE needs two rows per group) or get no rows.

        Parameters
        ----------
        rows : synthetic rows by seed, made from all train rows
        make : makes a fold's own rows, from its train rows alone
        controls : measured on the folds too, as ``validation_control/<name>/<metric>``
        cost : what ``make`` costs; ``never`` if it cannot be asked again

        Returns
        -------
        The errors, and the cost of the folds' own rows: `Rows` without their frames
        """
        again, waiting, records, took = self.remakes(cost), [], [], []
        for split, made, steps in zip(splits, rows, amounts, strict=True):
            jobs, remade = self.jobs(classifier, split, made, steps, minority, make if again else None, controls)
            waiting += jobs
            took += [replace(r, frame=r.frame.iloc[:0].copy(), unused=None) for r in remade]
            if sum(weight for _, weight in waiting) > MOST_WAITING:
                records += self._measured(waiting, n_jobs)
                waiting = []
        return weighted(records + self._measured(waiting, n_jobs)), took

    def jobs(
        self,
        classifier: Classifier,
        split: Split,
        made: pd.DataFrame,
        steps: Sequence[int],
        minority: Any,
        make: Make | None,
        controls: Mapping[str, Control] | None,
    ) -> tuple[list[Job], list[Rows]]:
        """The fits of one split, and its folds' own rows where ``make`` is given: no fit where it fails."""
        reached = [a for a in steps if a <= len(made)]
        folds = list(self.parts(split.train))
        sizes = [{a: round(a * len(f.train.frame) / len(split.train.frame)) for a in reached} for f in folds]
        own, remade = [made] * len(folds), []
        if make is not None:
            try:
                for fold, n in zip(folds, sizes, strict=True):
                    remade.append(make(fold.train, max(n.values())))
            except (MethodError, LLMError):
                return [], remade
            own = [r.frame for r in remade]
        reached = [a for a in reached if all(n[a] <= len(o) for n, o in zip(sizes, own, strict=True))]
        jobs: list[Job] = []
        for fold, n, o in zip(folds, sizes, own, strict=True):
            jobs += [
                ((classifier, fold, o.iloc[: n[a]], a, minority, None if a else controls), len(fold.test))
                for a in reached
            ]
        return jobs, remade

    @property
    def recorded(self) -> set[str]:
        """The metrics that are kept of the folds."""
        kept: set[str] = set(names("validated")) if self.measure == "auto" else {"error", self.measure}
        if self.measure == "cost":
            kept |= set(OF_CHOICE) - {"f1"}
        return kept | {AUC} if "balanced_error" in kept else kept

    def _measured(self, jobs: Sequence[Job], n_jobs: int) -> list[dict[str, Any]]:
        """Records of every fit with the rows that it held out."""
        found, kept = fitted([job for job, _ in jobs], n_jobs), self.recorded
        records = [r | {"weight": weight} for (_, weight), part in zip(jobs, found, strict=True) for r in part]
        return [r for r in records if r["metric"].rpartition("/")[2] in kept]

    def remakes(self, cost: str) -> bool:
        """Whether each fold's rows are made from its own train rows alone."""
        return cost in {"free": ("free",), "always": ("free", "paid"), "never": ()}[self.remake]

    def parts(self, train: Train) -> Iterator[Split]:
        """Each fold as a split of its own: its train rows, and its held-out rows as test."""
        group = np.argmax([g.mask(train.frame) for g in train.groups], axis=0)
        folds = min(self.folds, int(np.bincount(group).min()))
        if folds < 2:
            return
        for seen, held in parted(train, group, folds):
            frame = train.frame.iloc[seen]
            yield Split(replace(train, frame=frame, schema=train.schema.learn(frame)), train.frame.iloc[held])


def chosen_by(measured: Collection[str]) -> str | None:
    """The metric that amounts and actions are chosen by, of those measured; None without validation errors."""
    return next((name for name in CHOSEN_BY if PREFIX + name in measured), None)


def weighted(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Mean over folds, weighted by held-out rows."""
    frame = pd.DataFrame(records, columns=["seed", "amount", "metric", "value", "weight"])
    frame = frame.astype({"seed": int, "amount": int, "value": float, "weight": float})  # also where there is none
    frame["value"] *= frame["weight"]
    sums = frame.groupby(["seed", "amount", "metric"], sort=False)[["value", "weight"]].sum().reset_index()
    sums["value"] /= sums.pop("weight")
    return sums.assign(metric=PREFIX + sums["metric"].astype(str)) if len(sums) else sums
