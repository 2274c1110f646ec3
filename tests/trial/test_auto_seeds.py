"""seeds=auto goes on until the answer is clear, and no further."""

from __future__ import annotations

from functools import partial

import pytest
from sklearn.linear_model import LogisticRegression
from tables import number_table

from opal.errors import ConfigError
from opal.evaluate import controls
from opal.evaluate.classifiers import Classifier
from opal.evaluate.curve import Amounts
from opal.evaluate.looks import first_seeds
from opal.evaluate.validate import Folds
from opal.methods.duplicate import Duplicate
from opal.tasks.imbalanced import Imbalanced
from opal.trial import Trial

LOGISTIC = Classifier(partial(LogisticRegression, max_iter=500), scale=True)
TASK = Imbalanced(40, 0.2, test_rows=80)


def trial(method, seeds="auto", **given):
    given = {"amounts": Amounts(steps=1), "validation": Folds(2), "fidelity": False, "contamination": "off"} | given
    weights = {"class_weight": controls.class_weight}
    return Trial(number_table(400), TASK, method, LOGISTIC, seeds, controls=weights, **given)


@pytest.mark.slow
def test_it_stops_at_the_first_look_that_is_clear():
    wide = trial(Duplicate(), margin=0.5)  # every difference is within the margin
    found = wide.run()
    assert list(found.rows) == first_seeds(5)
    assert found.verdicts["balanced_error"] == "no difference that matters"
    assert found.metrics["looks/seeds"] == 5 and found.metrics["looks/level"] == wide.level > 0.95
    assert any(note.startswith("seeds=auto took 5 of at most 40 seeds") for note in found.notes)


@pytest.mark.slow
def test_it_goes_on_to_the_most_seeds_where_nothing_is_clear():
    found = trial(Duplicate(), margin=0.0, most_seeds=10).run()
    assert found.verdicts["balanced_error"] == "inconclusive"
    assert list(found.rows) == first_seeds(10)


@pytest.mark.slow
def test_the_figures_are_those_of_the_same_seeds_listed():
    auto = trial(Duplicate(), margin=0.0, most_seeds=10).run()
    listed = trial(Duplicate(), first_seeds(10), margin=0.0).run()
    order = ["metric", "seed", "amount"]
    mine, theirs = (r.errors.sort_values(order, ignore_index=True) for r in (auto, listed))
    assert mine.equals(theirs)


def test_a_listed_seed_keeps_the_usual_level_and_names_no_looks():
    found = trial(Duplicate(), (1, 2))
    assert found.level == 0.95 and "looks/seeds" not in found.run().metrics


def test_the_first_look_alone_is_forecast_and_the_rest_is_bounded():
    assert trial(Duplicate()).forecast() == "asks no model, costs nothing"
    with pytest.raises(ConfigError, match=r"answer\.most_seeds=3"):
        trial(Duplicate(), most_seeds=3).run()
