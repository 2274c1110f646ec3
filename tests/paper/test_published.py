"""The published study's figures, from its files and from splits drawn here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal.config.build import build, compose
from opal.errors import ConfigError, DataError
from opal.evaluate import Folds
from opal.result import TrialResult
from opal.trial import Trial

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
PAPER = SHARED / "paper" / "gender_imbalanced"
needs_files = pytest.mark.skipif(not PAPER.is_dir(), reason="the published files are not here")
SEEDS = (1, 2, 6, 8, 42)


def trial_of(*overrides: str) -> Trial:
    return build(compose(f"data_dir={SHARED}/data", *overrides))


def run(trial: Trial, seeds: tuple[int, ...] = SEEDS) -> TrialResult:
    return replace(trial, seeds=seeds, contamination="off", fidelity=False, validation=Folds(0)).run()


@pytest.fixture(scope="module")
def expected() -> pd.DataFrame:
    return pd.read_csv(PAPER / "expected.csv", index_col=["method", "classifier", "statistic"])


@pytest.fixture(scope="module")
def layout(tmp_path_factory) -> Path:
    """Folders as the study names them, with a file of another total beside each that counts."""
    root = tmp_path_factory.mktemp("published")
    for method in ("llm", "smote", "duplicate"):
        (root / method).mkdir()
        for seed in SEEDS:
            names = {
                "train": f"train_colsbase_size50_total4001_rand{seed}.csv",
                "test": f"test_colsbase_size4001_rand{seed}.csv",
                method: f"train_generate_colsbase_rand{seed}.csv",
            }
            for kind, name in names.items():
                (root / method / name).symlink_to(PAPER / f"{kind}_rand{seed}.csv")
            (root / method / f"train_colsbase_size50_total3000_rand{seed}.csv").write_text("other\n1\n")
            (root / method / f"test_colsbase_size3000_rand{seed}.csv").write_text("other\n1\n")
    return root


CURVES = [(m, c) for c in ("logistic", "catboost", "random_forest") for m in ("llm", "smote", "duplicate")]
SLOW = CURVES[7:]


@needs_files
@pytest.mark.parametrize(
    ("method", "classifier"),
    [pytest.param(*pair, marks=[pytest.mark.slow] if pair in SLOW else []) for pair in CURVES],
)
def test_replayed_files_give_the_published_curve(layout, expected, method, classifier):
    trial = trial_of(
        "experiment=paper_imbalanced",
        "data=gender",
        f"classifier=paper_{classifier}",
        f"paper.folder={layout / method}",
    )
    curve = run(trial).curve()
    np.testing.assert_allclose(curve.mean(), expected.loc[(method, classifier, "mean")], rtol=0, atol=1e-9)
    np.testing.assert_allclose(curve.std(), expected.loc[(method, classifier, "std")], rtol=0, atol=1e-9)


@needs_files
def test_splits_drawn_here_and_the_studys_duplication_give_the_published_curve(expected):
    curve = run(trial_of("experiment=paper_imbalanced", "data=gender", "method=duplicate")).curve()
    np.testing.assert_allclose(curve.mean(), expected.loc[("duplicate", "logistic", "mean")], rtol=0, atol=1e-9)
    np.testing.assert_allclose(curve.std(), expected.loc[("duplicate", "logistic", "std")], rtol=0, atol=1e-9)


@needs_files
def test_splits_and_duplicates_drawn_here_are_the_published_rows():
    trial = trial_of("experiment=paper_imbalanced", "data=gender", "method=duplicate")
    for seed in SEEDS:
        split = trial.task.split(trial.table, seed)
        made = {"train": split.train.frame, "test": split.test, "duplicate": trial.method.sample(split.train, 50).frame}
        for kind, frame in made.items():
            assert frame.to_numpy().tolist() == pd.read_csv(PAPER / f"{kind}_rand{seed}.csv").to_numpy().tolist()
        assert trial.table.frame.loc[split.train.frame.index].equals(split.train.frame)
        assert not set(split.train.frame.index) & set(split.test.index)


@needs_files
def test_summary_has_the_published_form(layout):
    trial = trial_of("experiment=paper_imbalanced", "data=gender", f"paper.folder={layout / 'llm'}")
    text = run(trial).summary("gender", "replay", "paper_logistic").splitlines()
    rows = [line for line in text if line.startswith("Row ")]
    assert len(rows) == 5 and all(len(r.split(": ")[1].strip("[]").split(", ")) == 6 for r in rows)
    assert [line.split(":")[0] for line in text[8:11]] == ["Mean", "Std", "min"]
    assert text[10].startswith("min: 0.077") and ", mean: 0.102" in text[10]


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the base tables are not here")
@pytest.mark.parametrize(
    ("data", "classifier", "metric", "mean"),
    [  # the study's figures for its duplicated rows, at 0 synthetic rows: they depend on split and classifier alone
        ("diabetes", "paper_logistic", "error", 0.474),
        ("diabetes", "paper_catboost", "error", 0.527),
        ("heart_failure", "paper_logistic", "error", 0.464),
        ("craft", "paper_logistic", "error", 0.231),
        ("craft", "paper_catboost", "error", 0.3035),
    ],
)
def test_raw_errors_of_the_other_tables(data, classifier, metric, mean):
    trial = trial_of(
        "experiment=paper_imbalanced", f"data={data}", f"classifier={classifier}", "method=none", "amounts.steps=0"
    )
    assert run(trial).curve(metric)[0].mean() == pytest.approx(mean, abs=1e-9)


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the base tables are not here")
@pytest.mark.parametrize(
    ("data", "errors"),
    [  # the study's raw errors of the logistic classifier: overall, minority, majority, worst group
        ("diabetes", (0.437, 0.6989567820688715, 0.06034912802468713, 0.8998947368421053)),
        ("heart_failure", (0.32, 0.495051861892202, 0.10141092384420938, 0.5387317814581626)),
        ("gender", (0.0766, 0.1211434498172391, 0.03254033712708768, 0.14560939608256618)),
    ],
)
def test_raw_errors_of_the_spurious_study(data, errors):
    trial = trial_of("experiment=paper_spurious", f"data={data}", "method=none", "amounts.steps=0")
    result = run(trial)
    for metric, value in zip(("error", "minority_error", "majority_error", "worst_group_error"), errors, strict=True):
        assert result.curve(metric)[0].mean() == pytest.approx(value, abs=1e-9)


def test_forest_settings_follow_the_table_and_the_task():
    def settings(*overrides: str) -> dict:
        return (
            trial_of("classifier=paper_random_forest", "method=duplicate", *overrides).classifier.estimator().settings
        )

    assert settings("data=gender", "experiment=paper_imbalanced") == {
        "n_estimators": 335,
        "max_depth": 47,
        "max_features": "log2",
    }
    plain = {"n_estimators": 200, "max_features": "sqrt", "min_samples_leaf": 2}
    assert settings("data=craft", "experiment=paper_imbalanced") == plain
    assert settings("data=gender", "experiment=paper_spurious") == plain


def test_quirks_are_repeated_in_the_imbalanced_study_only():
    imbalanced = trial_of("experiment=paper_imbalanced", "data=craft", "method=duplicate")
    assert imbalanced.classifier.drop_last_feature
    made = imbalanced.method.sample(imbalanced.task.split(imbalanced.table, 1).train, 40).frame
    assert set(made["Target"]) == {0, 1}
    plain = trial_of("data=craft", "method=duplicate", "classifier=paper_logistic")
    assert not plain.classifier.drop_last_feature
    assert set(plain.method.sample(plain.task.split(plain.table, 1).train, 40).frame["Target"]) == {0}


def test_replay_without_a_file_says_what_to_name():
    with pytest.raises(ConfigError, match="needs method"):
        trial_of("experiment=paper_imbalanced", "data=craft")
    with pytest.raises(DataError, match="is no file"):
        run(trial_of("data=craft", "method=replay", "method.path=nowhere.csv"), (1,))
