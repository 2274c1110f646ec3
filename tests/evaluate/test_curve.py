"""The curve and its controls, on classifiers fast enough to fit often."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from tables import mixed_table, number_table, table_of

from opal.errors import ConfigError
from opal.evaluate import controls
from opal.evaluate.classifiers import Classifier
from opal.evaluate.curve import Amounts, curve, curve_without
from opal.evaluate.features import label_codes
from opal.evaluate.metrics import calibration_error, errors, ranking
from opal.methods.duplicate import Duplicate
from opal.methods.smote import Smote
from opal.tasks.base import class_groups
from opal.tasks.imbalanced import Imbalanced
from opal.tasks.spurious import Spurious

LOGISTIC = Classifier(partial(LogisticRegression, max_iter=500), scale=True)


def native_catboost(**options) -> Classifier:
    from catboost import CatBoostClassifier

    quiet = {"iterations": 10, "thread_count": 1, "verbose": False, "allow_writing_files": False}
    return Classifier(partial(CatBoostClassifier, **quiet, **options), encoding="native")


@pytest.fixture(scope="module")
def trial():
    splits = [Imbalanced(40, 0.2, test_rows=80).split(mixed_table(400), seed) for seed in (1, 2)]
    rows = [Duplicate().sample(s.train, 24).frame for s in splits]
    return splits, rows, [[0, 8, 16, 24]] * 2


@pytest.mark.slow
@pytest.mark.parametrize("classifier", [LOGISTIC, native_catboost()], ids=["logistic", "catboost"])
def test_a_curve_holds_every_seed_and_amount_for_any_number_of_workers(trial, classifier):
    found = curve(classifier, *trial, "yes")
    assert set(found["metric"]) >= {"error", "balanced_error", "worst_group_error", "roc_auc", "brier"}
    error = found[found["metric"] == "error"]
    assert list(zip(error["seed"], error["amount"], strict=True)) == [(s, a) for s in (1, 2) for a in (0, 8, 16, 24)]
    assert found["value"].between(0, 1).all()
    pd.testing.assert_frame_equal(found, curve(classifier, *trial, "yes", n_jobs=2))


def test_amounts_that_the_rows_do_not_reach_are_left_out(trial):
    splits, rows, amounts = trial
    found = curve(LOGISTIC, splits, [rows[0].iloc[:10], rows[1]], amounts, "yes")
    assert found[found["seed"] == 1]["amount"].max() == 8


def test_rows_left_out_change_only_the_amounts_that_hold_them(trial):
    splits, rows, amounts = trial
    known = curve(LOGISTIC, splits, rows, amounts, "yes")
    out = [np.arange(24) >= 16, np.zeros(24, dtype=bool)]
    found = curve_without(out, known, LOGISTIC, splits, rows, amounts, "yes")
    both = known.merge(found, on=["seed", "amount", "metric"], suffixes=("", "_clean"))
    assert len(both) == len(known) == len(found)
    changed = both[both["value"] != both["value_clean"]]
    assert set(zip(changed["seed"], changed["amount"], strict=True)) == {(1, 24)}
    assert (
        both[(both["seed"] == 1) & (both["amount"] == 24)]["value_clean"].tolist()
        == both[(both["seed"] == 1) & (both["amount"] == 16)]["value"].tolist()
    )


def test_errors_by_group():
    split = Spurious(20, 5, test_rows=100).split(number_table(600), 1)
    truth = label_codes(split.test, split.train.schema)
    predicted = np.zeros_like(truth)  # always label 0
    found = errors(predicted, split.test, truth, split.train.groups)
    minority = np.any([g.mask(split.test) for g in split.train.minority_groups], axis=0)
    assert found["error"] == pytest.approx(truth.mean())
    assert found["balanced_error"] == 0.5
    assert found["minority_error"] == pytest.approx(truth[minority].mean())
    assert found["majority_error"] == pytest.approx(truth[~minority].mean())
    assert found["worst_group_error"] == found["group_gap"] == 1.0
    swapped = errors(np.where(minority, 1 - truth, truth), split.test, truth, split.train.groups)
    assert swapped["group_balanced_error"] == 0.5 != swapped["error"]  # two of four groups are wrong
    assert "group_balanced_error" not in errors(predicted, split.test, truth, class_groups(number_table(600)))


def test_calibration_error_by_hand():
    assert calibration_error(np.array([0.95, 0.95, 0.05, 0.05]), np.array([1, 0, 0, 0])) == pytest.approx(0.25)


def test_amounts():
    assert Amounts()(100) == [0, 20, 40, 60, 80, 100]
    assert Amounts(steps=2, size=7)(100) == [0, 7, 14]
    assert Amounts()(3) == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ConfigError, match=r"amounts.size=0"):
        Amounts(size=0)


def test_controls_move_what_they_say_they_move(trial):
    splits, rows, amounts = trial
    named = {n: getattr(controls, n) for n in ("class_weight", "base_rate_threshold", "tuned_threshold")}
    named["duplicate"] = controls.Balanced(Duplicate())
    named["smote"] = controls.Balanced(Smote())
    named["catboost"] = controls.Instead(native_catboost())
    found = curve(LOGISTIC, splits, rows, amounts, "yes", controls=named)
    found = found[found["amount"] == 0].set_index(["seed", "metric"])["value"]
    for seed in (1, 2):
        for threshold in ("base_rate_threshold", "tuned_threshold"):
            assert found[seed, f"control/{threshold}/roc_auc"] == found[seed, "roc_auc"]
            assert found[seed, f"control/{threshold}/brier"] == found[seed, "brier"]
        assert found[seed, "control/base_rate_threshold/minority_error"] <= found[seed, "minority_error"]
        for refitted in ("class_weight", "duplicate", "smote", "catboost"):
            assert found[seed, f"control/{refitted}/brier"] != found[seed, "brier"]


def test_tuned_threshold_is_chosen_without_test_rows(trial):
    split = trial[0][0]
    raw = LOGISTIC.fit(split.train.frame, split.train.schema).predict_proba(split.test)
    proba, predicted = controls.tuned_threshold(LOGISTIC, split, "yes", raw)
    fewer = type(split)(split.train, split.test.iloc[:7])
    _, again = controls.tuned_threshold(LOGISTIC, fewer, "yes", raw[:7])
    assert (again == predicted[:7]).all()
    held_out = controls.out_of_fold(LOGISTIC, split.train, 5)
    truth = label_codes(split.train.frame, split.train.schema)
    code = split.train.schema.labels.index("yes")
    low, high = proba[predicted != code, code].max(), proba[predicted == code, code].min()
    chosen = balanced_accuracy_score(truth, controls.above(held_out, [code], [(low + high) / 2]))
    assert chosen >= balanced_accuracy_score(truth, controls.above(held_out, [code], [0.5]))


def test_unseen_levels_and_missing_values_are_predicted():
    split = Imbalanced(40, 0.2, test_rows=80).split(mixed_table(400), 1)
    test = split.test.assign(job="astronaut", age=np.nan, income=np.nan)
    for classifier in (LOGISTIC, native_catboost()):
        proba = classifier.fit(split.train.frame, split.train.schema).predict_proba(test)
        assert proba.shape == (80, 2) and np.isfinite(proba).all()


@pytest.mark.slow
def test_a_fit_without_synthetic_rows_is_made_once_for_all_methods(trial):
    splits, rows, amounts = trial
    fits = []

    class Counted(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            fits.append(len(X))
            return super().fit(X, y, sample_weight)

    classifier = Classifier(partial(LogisticRegression, C=0.37), scale=True)
    counted = Classifier(partial(Counted, C=0.37), scale=True)  # a local class: cannot be pickled, is never shared
    reference = [curve(counted, splits, rows, amounts, "yes") for _ in range(2)]
    assert len(fits) == 16
    others = [r.iloc[::-1].reset_index(drop=True) for r in rows]
    first = curve(classifier, splits, rows, amounts, "yes")
    second = curve(classifier, splits, others, amounts, "yes")
    pd.testing.assert_frame_equal(first, reference[0])
    pd.testing.assert_frame_equal(second, curve(counted, splits, others, amounts, "yes"))
    with_controls = curve(classifier, splits, rows, amounts, "yes", controls={"weights": controls.class_weight})
    assert set(first["metric"]) < set(with_controls["metric"])


def test_processes_share_fits_without_synthetic_rows_through_a_folder(trial, tmp_path, monkeypatch):
    from opal.evaluate import fits as module

    classifier = Classifier(partial(LogisticRegression, C=0.21), scale=True)
    monkeypatch.setattr(module, "_folder", tmp_path / "raw")
    monkeypatch.setattr(module, "_raw", {})
    first = curve(classifier, *trial, "yes")
    assert len(list((tmp_path / "raw").glob("*.json"))) == 2
    monkeypatch.setattr(module, "_raw", {})  # as another process has it
    asked = []
    monkeypatch.setattr(module, "measure", lambda *job: asked.append(job[3]) or [])
    second = curve(classifier, *trial, "yes")
    assert asked == [8, 16, 24] * 2
    pd.testing.assert_frame_equal(second, first[first["amount"] == 0].reset_index(drop=True))


@pytest.mark.parametrize("other", ["ends", "is killed", "stands still"])
def test_what_another_process_is_making_comes_last_and_is_made_once(trial, tmp_path, monkeypatch, other):
    from opal.evaluate import fits as module

    classifier, folder = Classifier(partial(LogisticRegression, C=0.22), scale=True), tmp_path / "raw"
    expected = curve(classifier, *trial, "yes")
    monkeypatch.setattr(module, "_folder", folder)
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    first = (classifier, trial[0][0], None, 0, "yes", None)
    key, made = module._key(first), module._raw.copy()
    monkeypatch.setattr(module, "_raw", {})
    claim, asked = module._claim(folder / f"{key}.lock", 0), []

    def measure(*job):  # the other process ends while this one makes the second seed's
        asked.append((job[1].seed, job[3]))
        if job[1].seed == 2 and job[3] == 0 and other != "stands still":
            if other == "ends":
                module._write(key, folder, made[key])
            claim.__exit__(None, None, None)
        return real(*job)

    real = module.measure
    monkeypatch.setattr(module, "measure", measure)
    assert claim.__enter__()
    pd.testing.assert_frame_equal(curve(classifier, *trial, "yes"), expected)
    some = [(1, 8), (1, 16), (1, 24), (2, 0), (2, 8), (2, 16), (2, 24)]
    assert asked == some + [(1, 0)] * (other != "ends")
    if other == "stands still":
        claim.__exit__(None, None, None)


@pytest.mark.parametrize("levels", [None, 4], ids=["distinct", "tied"])
def test_ranking_equals_scikit_learn(levels):
    from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

    rng = np.random.default_rng(3)
    truth = rng.random(200) < 0.2
    proba = rng.random(200) if levels is None else rng.integers(0, levels, 200) / levels
    found = ranking(proba, truth)
    assert found["average_precision"] == pytest.approx(average_precision_score(truth, proba), abs=1e-14)
    assert found["roc_auc"] == pytest.approx(roc_auc_score(truth, proba), abs=1e-14)
    assert found["brier"] == pytest.approx(brier_score_loss(truth, proba), abs=1e-14)
    assert ranking(proba[~truth], truth[~truth]) == {}


def test_probabilities_are_brought_back_to_trains_own_shares():
    rng = np.random.default_rng(0)
    label = (rng.random(6000) < 0.1).astype(int)
    frame = pd.DataFrame({"x": (rng.normal(size=6000) + 1.5 * label).round(3), "y": label})
    split = Imbalanced(600, 0.1, test_rows=5000, deduplicate=False).split(table_of(frame, "y", 1), 1)
    rows = Duplicate().sample(split.train, 480).frame  # as many of the minority as of the majority
    found = curve(Classifier(partial(LogisticRegression, max_iter=500)), [split], [rows], [[0, 480]], 1)
    value = found.set_index(["metric", "amount"])["value"]
    for name in ("brier", "calibration_error"):
        assert value["corrected/" + name, 0] == value[name, 0]
        assert value["corrected/" + name, 480] < 0.7 * value[name, 480]
    assert value["corrected/brier", 480] == pytest.approx(value["brier", 0], abs=0.005)
