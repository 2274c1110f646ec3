"""The published study's figures, from its files and from splits drawn here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tables import made_up

from opal.config.build import build, compose
from opal.errors import ConfigError, DataError
from opal.evaluate import Folds
from opal.result import TrialResult
from opal.split import write_split
from opal.table import Table
from opal.trial import Trial

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
PAPER = SHARED / "paper" / "gender_imbalanced"
SEEDS = (1, 2, 6, 8, 42)


def trial_of(*overrides: str, table: Table | None = None) -> Trial:
    return build(compose(f"data_dir={SHARED}/data", *overrides), table)


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
SLOW = CURVES[3:]


@pytest.mark.reference
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


@pytest.mark.reference
def test_splits_drawn_here_and_the_studys_duplication_give_the_published_curve(expected):
    curve = run(trial_of("experiment=paper_imbalanced", "data=gender", "method=duplicate")).curve()
    np.testing.assert_allclose(curve.mean(), expected.loc[("duplicate", "logistic", "mean")], rtol=0, atol=1e-9)
    np.testing.assert_allclose(curve.std(), expected.loc[("duplicate", "logistic", "std")], rtol=0, atol=1e-9)


@pytest.mark.reference
def test_splits_and_duplicates_drawn_here_are_the_published_rows():
    trial = trial_of("experiment=paper_imbalanced", "data=gender", "method=duplicate")
    for seed in SEEDS:
        split = trial.task.split(trial.table, seed)
        made = {"train": split.train.frame, "test": split.test, "duplicate": trial.method.sample(split.train, 50).frame}
        for kind, frame in made.items():
            assert frame.to_numpy().tolist() == pd.read_csv(PAPER / f"{kind}_rand{seed}.csv").to_numpy().tolist()
        assert trial.table.frame.loc[split.train.frame.index].equals(split.train.frame)
        assert not set(split.train.frame.index) & set(split.test.index)


@pytest.mark.reference
def test_summary_has_the_published_form(layout):
    trial = trial_of("experiment=paper_imbalanced", "data=gender", f"paper.folder={layout / 'llm'}")
    text = run(trial).summary("gender", "replay", "paper_logistic").splitlines()
    rows = [line for line in text if line.startswith("Row ")]
    assert len(rows) == 5 and all(len(r.split(": ")[1].strip("[]").split(", ")) == 6 for r in rows)
    assert [line.split(":")[0] for line in text[8:11]] == ["Mean", "Std", "min"]
    assert text[10].startswith("min: 0.077") and ", mean: 0.102" in text[10]


@pytest.mark.slow
@pytest.mark.reference
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


@pytest.mark.slow
@pytest.mark.reference
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


@pytest.mark.slow
def test_forest_settings_follow_the_table_and_the_task():
    def settings(data: str, task: str) -> dict:
        given = f"experiment=paper_{task}", f"data={data}", "classifier=paper_random_forest", "method=duplicate"
        return trial_of(*given, table=made_up(data)).classifier.estimator().settings

    assert settings("gender", "imbalanced") == {"n_estimators": 335, "max_depth": 47, "max_features": "log2"}
    plain = {"n_estimators": 200, "max_features": "sqrt", "min_samples_leaf": 2}
    assert settings("craft", "imbalanced") == plain
    assert settings("gender", "spurious") == plain


@pytest.mark.slow
@pytest.mark.parametrize("task", ["imbalanced", "spurious"])
@pytest.mark.parametrize("data", ["gender", "heart_failure", "diabetes"])
def test_splits_written_in_the_layout_and_replayed_give_the_curve_of_those_drawn_here(data, task, tmp_path):
    """On made-up tables with the columns of the study's."""
    table, given = made_up(data), (f"experiment=paper_{task}", f"data={data}", "method=duplicate", "amounts.steps=1")
    drawn = replace(trial_of(*given, table=table), seeds=(1, 2), contamination="off")
    for seed in drawn.seeds:
        split = drawn.task.split(table, seed)
        sizes = table.sizes[task]
        assert len(split.test) == sizes["test_rows"]
        if task == "imbalanced":
            assert len(split.train.frame) == sizes["train_rows"]
            few = round(sizes["minority_share"] * sizes["train_rows"])
            assert (split.train.frame[table.schema.target] == table.minority).sum() == few
        write_split(table, split, tmp_path)
        rows = drawn.method.sample(split.train, max(drawn.amounts(len(split.train.frame)))).frame
        rows.to_csv(tmp_path / f"train_generate_colsbase_rand{seed}.csv", index=False)
    replayed = trial_of(*given[:2], "method=replay", f"paper.folder={tmp_path}", "amounts.steps=1", table=table)
    curve = replace(replayed, seeds=(1, 2), contamination="off").run().curve()
    pd.testing.assert_frame_equal(curve, drawn.run().curve())


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
    with pytest.raises(DataError, match="is not a file"):
        run(trial_of("data=craft", "method=replay", "method.path=nowhere.csv"), (1,))
