"""opal.tune, opal.split and the study's figures, as a user starts them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal.errors import ConfigError
from opal.report.figures.paper import paper_curves, paper_figure
from opal.tune import draw, search


@pytest.mark.slow
def test_a_tuned_classifier_can_be_run_from_its_folder(verb):
    options = ["data=craft", "classifier=logistic", "seeds=[1,2]", "trials=4", "output=found", "name=mine"]
    code, _, err = verb("tune", *options)
    assert code == 0, err
    text = Path("found", "classifier", "mine.yaml").read_text()
    assert text.startswith("# python -m opal.tune data=craft") and "LogisticRegression" in text
    code, _, err = verb("run", "--config-dir", "found", "classifier=mine", "method=none", "seeds=[1]")
    assert code == 0, err


def test_splits_are_written_in_the_published_layout(verb):
    code, _, err = verb("split", "data=craft", "seeds=[1]", "output=sides")
    assert code == 0, err
    train = pd.read_csv("sides/train_colsbase_size100_total600_rand1.csv")
    assert len(train) == 100 and (train["Target"] == 0).sum() == 10
    assert len(pd.read_csv("sides/test_colsbase_size600_rand1.csv")) == 400


def test_a_classifier_without_a_space_is_told_in_a_sentence(verb):
    code, _, err = verb("tune", "data=craft", "classifier=paper_logistic")
    assert code == 2
    told = "space=paper_logistic is not an option; did you mean logistic? options: catboost, logistic, random_forest"
    assert told in err


def test_candidates_stay_within_their_space():
    rng = np.random.default_rng(0)
    space = {"n": {"low": 2, "high": 4}, "c": {"low": 0.001, "high": 1000.0, "log": True}, "f": ["log2", "sqrt"]}
    drawn = [draw(space, rng) for _ in range(300)]
    assert {d["n"] for d in drawn} == {2, 3, 4}
    assert {d["f"] for d in drawn} == {"log2", "sqrt"}
    assert all(0.001 <= d["c"] <= 1000 for d in drawn) and np.median([d["c"] for d in drawn]) < 20
    with pytest.raises(ConfigError, match=r"space\.n"):
        draw({"n": 3}, rng)


def test_the_search_sees_train_rows_alone():
    from opal.data.craft import load
    from opal.tasks.imbalanced import Imbalanced

    table = load(target="Target", minority=0)
    train = Imbalanced(train_rows=60, minority_share=0.2).split(table, 1).train
    seen: list[set] = []

    class Spy:
        def fit(self, frame, schema, sample_weight=None):
            seen.append(set(frame.index))
            return self

        def predict_proba(self, frame):
            seen.append(set(frame.index))
            return np.tile([0.6, 0.4], (len(frame), 1))

    scores = search([Spy()], [train], 3, "error", 1, None)
    assert scores.loc[0, 1] == pytest.approx(0.8)
    assert set.union(*seen) <= set(train.frame.index)


@pytest.fixture
def errors() -> pd.DataFrame:
    rows = [
        (method, seed, amount, metric, 0.5 - amount / 100 + seed / 100)
        for method in ("llm", "duplicate")
        for seed in (1, 2)
        for amount in (0, 10, 20)
        for metric in ("error", "minority_error", "majority_error", "worst_group_error", "group_gap")
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "amount", "metric", "value"])


def test_curves_are_means_and_deviations_against_synthetic_over_raw(errors):
    curves = paper_curves(errors, raw_rows=50)
    assert curves["method"].tolist() == ["llm"] * 3 + ["duplicate"] * 3
    assert curves["ratio"].tolist() == [0, 0.2, 0.4] * 2
    assert curves["mean"].iloc[0] == pytest.approx(0.515)
    assert curves["std"].iloc[0] == pytest.approx(np.std([0.51, 0.52], ddof=1))


@pytest.mark.slow
@pytest.mark.parametrize("error_type", ["overall", "minority", "majority", "worst", "diff"])
def test_every_error_type_is_drawn(errors, tmp_path, error_type):
    paper_figure(errors, 50, tmp_path / "figures" / f"{error_type}.png", error_type, "Gender: logistic")
    assert (tmp_path / "figures" / f"{error_type}.png").stat().st_size > 5000


def test_an_unknown_error_type_is_told(errors, tmp_path):
    with pytest.raises(ConfigError, match="overall, minority, majority, worst, diff"):
        paper_figure(errors, 50, tmp_path / "x.png", "median")
