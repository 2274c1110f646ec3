"""One trial from start to end: split, make rows, measure the curve and its controls. Uses neither Hydra nor MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal, get_args

from opal.config.options import nearest
from opal.errors import ConfigError
from opal.evaluate.classifiers import Classifier
from opal.evaluate.controls import Control
from opal.evaluate.curate import Filter
from opal.evaluate.curve import Amounts
from opal.evaluate.looks import AUTO, FIRST_LOOK, first_seeds, look_sizes, nominal_level
from opal.evaluate.metrics import Costs, Measure
from opal.evaluate.replicate import Replicates
from opal.evaluate.validate import Folds
from opal.evaluate.verdict import MARGIN
from opal.methods.base import Oversampler
from opal.progress import Progress
from opal.result import TrialResult
from opal.table import Table
from opal.tasks.base import Task
from opal.trial.stages import Stages

SEEDS = (1, 2, 6, 8, 42)  # of the published study
MOST_SEEDS = 40


@dataclass(frozen=True)
class Trial:
    """Error on untouched test rows against the number of synthetic rows, over ``seeds``.

    ``Trial(table, task, method, classifier).run()`` returns everything that was measured.

    Parameters
    ----------
    seeds : one split, one set of synthetic rows and one curve each; ``auto``: as many as it takes until the method
        helps, hurts or makes no difference that matters (`opal.evaluate.looks`)
    amounts : numbers of synthetic rows added
    controls : free remedies to compare with, by name
    curation : removes synthetic rows before they are used
    validation : also measures errors on folds of the train rows; an amount is chosen by them
    replicates : further draws and trainings, which separate the generator's variance from that of training
    contamination : ``count`` counts synthetic rows that equal a test row; ``refit`` also finds the nearest real rows,
        and draws the curve without the equal rows where there are any; ``off`` does neither
    contamination_probe : ask the method's language model to continue the table's first rows
    fidelity : measure how the synthetic rows differ from real ones
    n_jobs : fits at a time; has no effect on the figures
    measure : what amounts and actions are chosen by, on folds; ``auto``: the group-balanced error where an attribute
        defines groups, else the balanced error
    costs : of wrong predictions, for ``measure="cost"``
    margin : differences of an error up to this size do not matter
    most_seeds : bound of ``seeds=auto``
    method_name : what sentences call the method; the name of its class by default
    """

    table: Table
    task: Task
    method: Oversampler
    classifier: Classifier
    seeds: Sequence[int] | Literal["auto"] = SEEDS
    amounts: Amounts = field(default_factory=Amounts)
    controls: Mapping[str, Control] = field(default_factory=dict)
    curation: Filter = field(default_factory=Filter)
    validation: Folds = field(default_factory=lambda: Folds(0))
    replicates: Replicates = field(default_factory=Replicates)
    contamination: Literal["count", "refit", "off"] = "refit"
    contamination_probe: bool = False
    fidelity: bool = True
    n_jobs: int = 1
    measure: Measure = "auto"
    costs: Costs = field(default_factory=Costs)
    margin: float = MARGIN
    most_seeds: int = MOST_SEEDS
    method_name: str = ""

    def run(self, progress: Progress | None = None) -> TrialResult:
        """Measure everything, and judge it.

        Raises
        ------
        OpalError : table, sizes, method or endpoint do not allow it; the message names what to change
        """
        return Stages(self, progress or Progress(enabled=False)).result()

    def __post_init__(self) -> None:
        if self.measure not in (known := get_args(Measure)):
            best = nearest(str(self.measure), known)
            guess = f"did you mean {best}?" if best else f"choices: {', '.join(known)}"
            raise ConfigError(f"measure={self.measure} is not a measure; {guess}")
        if self.measure == "group_balanced_error" and not self.grouped:
            raise ConfigError("measure=group_balanced_error needs an attribute that defines groups (task=spurious)")
        object.__setattr__(self, "validation", replace(self.validation, measure=self.measure))

    @property
    def grouped(self) -> bool:
        """Whether an attribute tells more groups than classes."""
        return any(group.column is not None for group in self.task.groups(self.table))

    @property
    def chosen_by(self) -> str:
        """The metric by which folds choose."""
        if self.measure != "auto":
            return self.measure
        return "group_balanced_error" if self.grouped else "balanced_error"

    @property
    def looks(self) -> list[list[int]]:
        """The seeds of each look at the answer: all at once, unless ``seeds`` is ``auto``."""
        if self.seeds != AUTO:
            return [list(map(int, self.seeds))]
        sizes = [0, *look_sizes(self.most_seeds)]
        found = first_seeds(sizes[-1])
        return [found[a:b] for a, b in pairwise(sizes)]

    @property
    def level(self) -> float:
        """Level of every interval that decides: wider with several looks, so that all together err no more often."""
        return nominal_level(tuple(look_sizes(self.most_seeds))) if self.seeds == AUTO else 0.95

    def forecast(self) -> str:
        """Rows wanted, and the cost of the first round of requests; asks nothing."""
        rows, total = 0, None
        seeds = self.looks[0]
        for seed in seeds:
            train = self.task.split(self.table, seed).train
            n = max(self.amounts(len(train.frame)))
            found = self.method.forecast(train, n)
            if found is None:
                return "asks no model, costs nothing"
            rows, total = rows + n, found if total is None else total + found
        more = f" (seeds=auto: at most {self.most_seeds / FIRST_LOOK:g} times as many)" if self.seeds == AUTO else ""
        return f"{rows} rows over {len(seeds)} seeds{more}, {total}"
