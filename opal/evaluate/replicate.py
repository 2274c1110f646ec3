"""Fresh draws of the generator, each trained on with several seeds: the data behind two sources of variance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

from opal.errors import ConfigError
from opal.evaluate.classifiers import Classifier
from opal.evaluate.fits import each
from opal.evaluate.measure import measure
from opal.result import Rows
from opal.table import Split, Train

MOST_FITS = 10_000
FAR = 1_000_003  # offset between the generator's seeds of two draws, so that no draw repeats another split's
SEED_NAMES = ("random_state", "random_seed")


@dataclass(frozen=True)
class Replicates:
    """How often rows are drawn, and how often a classifier is trained on each draw, at the largest amount.

    Parameters
    ----------
    draws : draws of the generator per split, the curve's own among them; 0: no replicates
    trainings : training seeds per draw, the classifier's own among them
    """

    draws: int = 0
    trainings: int = 5

    def __post_init__(self) -> None:
        if self.draws and (self.draws < 2 or self.trainings < 2):
            raise ConfigError(
                f"replicates={{draws: {self.draws}, trainings: {self.trainings}}} needs draws >= 2 (or 0, for none) "
                "and trainings >= 2"
            )
        if self.draws * self.trainings > MOST_FITS:
            raise ConfigError(
                f"replicates.draws={self.draws} times replicates.trainings={self.trainings} is more than "
                f"{MOST_FITS:,}: each is a fit per seed"
            )

    def __call__(
        self,
        classifier: Classifier,
        splits: Sequence[Split],
        rows: Sequence[pd.DataFrame],
        minority: Any,
        make: Callable[[Train, int], Rows],
        n_jobs: int = 1,
    ) -> tuple[pd.DataFrame, list[Rows]]:
        """Test errors [seed, draw, training, value], and the rows of the further draws.

        Parameters
        ----------
        rows : synthetic rows by split, the first draw
        make : makes rows from train rows, which carry the generator's seed
        """
        jobs, places, remade = [], [], []
        for split, made in zip(splits, rows, strict=True):
            for draw in range(self.draws):
                if draw:
                    own = make(replace(split.train, seed=split.seed + FAR * draw), len(made))
                    remade.append(own)
                    made = own.frame
                for training in range(self.trainings):
                    places.append((split.seed, draw, training))
                    jobs.append((seeded(classifier, training), split, made, len(made), minority))
        found = each(measure, jobs, n_jobs)
        errors = [next(r["value"] for r in records if r["metric"] == "error") for records in found]
        table = pd.DataFrame(places, columns=["seed", "draw", "training"]).assign(value=errors)
        return table, remade


def seeded(classifier: Classifier, training: int) -> Classifier:
    """The classifier with another seed, if its estimator takes one; 0 is its own."""
    return replace(classifier, estimator=partial(_seeded, classifier.estimator, training)) if training else classifier


def _seeded(make: Callable[..., Any], training: int) -> Any:
    estimator = make()
    known = estimator.get_params() if hasattr(estimator, "get_params") else {}
    name = next((n for n in SEED_NAMES if n in known), None)
    return estimator.set_params(**{name: FAR * training}) if name else estimator
