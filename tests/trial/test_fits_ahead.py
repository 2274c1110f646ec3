"""While a language model makes rows, fits that need none of them are made; figures stay as they are."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from sklearn.linear_model import LogisticRegression
from tables import number_table

from opal.errors import LLMError
from opal.evaluate import fits
from opal.evaluate.classifiers import Classifier
from opal.evaluate.controls import class_weight
from opal.evaluate.curve import Amounts
from opal.evaluate.measure import measure
from opal.evaluate.validate import Folds
from opal.methods.duplicate import Duplicate
from opal.tasks.imbalanced import Imbalanced
from opal.trial import Trial

LOGISTIC = Classifier(partial(LogisticRegression, max_iter=500), scale=True)
TASK = Imbalanced(40, 0.2, test_rows=80)
STEPS = Amounts(2)


class Model:
    """A FAKE client, of which a trial asks nothing."""

    def identity(self):
        return "made-up"


class Asked(Duplicate):
    """Stands in for a method that waits for a language model, until so many fits are made in the background."""

    def __init__(self, model=None, until=(0, 0), fault=None, remake="free"):
        self.client, self.until, self.fault, self.remake = model, list(until), fault, remake
        self.fits: list[tuple[bool, int]] = []  # whether in the background, and synthetic rows, of each
        self.made = threading.Condition()

    def measure(self, *job):
        found = measure(*job)
        with self.made:
            self.fits.append((threading.current_thread() is not threading.main_thread(), job[3]))
            self.made.notify_all()
        return found

    @property
    def ahead(self):
        return [amount for background, amount in self.fits if background]

    def _sample(self, train, wanted, rng, progress):
        until = self.until.pop(0)
        with self.made:
            assert self.made.wait_for(lambda: len(self.ahead) >= until, timeout=60), "no fit was made meanwhile"
        if self.fault:
            raise self.fault
        return super()._sample(train, wanted, rng, progress)


@pytest.fixture
def errors(monkeypatch):
    """``errors(method)`` of a trial; nothing is known of earlier fits."""

    def run(method, amounts=STEPS):
        monkeypatch.setattr(fits, "_raw", {})
        monkeypatch.setattr(fits, "_folder", None)
        monkeypatch.setattr(fits, "measure", method.measure)
        given = {"controls": {"class_weight": class_weight}, "validation": Folds(3), "fidelity": False}
        trial = Trial(number_table(400), TASK, method, LOGISTIC, (1, 2), amounts, contamination="off", **given)
        return trial.run().errors

    return run


def test_fits_are_made_while_a_model_makes_rows_and_once(errors):
    alone = Asked(remake="paid")
    expected = errors(alone)
    assert not alone.ahead
    # the folds without rows of both seeds, then the first seed's curve and folds
    beside = Asked(Model(), until=(6, 6 + 2 + 6), remake="paid")
    assert errors(beside).equals(expected)
    assert beside.ahead[:6] == [0] * 6 and all(beside.ahead[6:14])
    assert len(beside.fits) == len(alone.fits), "none is made twice"
    assert not fits._ahead, "nothing is left for later trials"


@pytest.mark.slow
def test_amounts_that_add_the_same_rows_to_a_fold_stay_apart(errors):
    steps = Amounts(3, size=1)  # of a fold, whose train rows are two thirds, 1 and 2 are one row
    expected = errors(Asked(remake="paid"), steps)
    beside = Asked(Model(), until=(6, 6 + 3 + 9), remake="paid")
    assert errors(beside, steps).equals(expected)


@pytest.mark.slow
def test_folds_that_make_rows_of_their_own_wait_for_them(errors):
    alone = Asked(until=[0] * 8)
    beside = Asked(Model(), until=[6, 6 + 2, *[0] * 6])  # two seeds, three folds of each
    assert errors(beside).equals(errors(alone))
    assert len(beside.fits) == len(alone.fits)


def test_they_end_with_the_rows_whatever_happens(errors):
    before = threading.active_count()
    with pytest.raises(LLMError, match="gone"):
        errors(Asked(Model(), until=[1], fault=LLMError("the server is gone")))
    assert threading.active_count() == before


def test_a_fault_in_one_is_told_by_the_stage_that_needs_it(errors):
    class Faulty(Asked):
        def measure(self, *job):
            if job[3] and not self.until:
                raise ValueError("a fit with rows fails")
            return super().measure(*job)

    with pytest.raises(ValueError, match="a fit with rows fails"):
        errors(Faulty(Model(), until=(6, 6), remake="paid"))
