"""The methods that imbalanced-learn has beyond SMOTE, and those drawn from a fitted distribution."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import ADASYN, SVMSMOTE, BorderlineSMOTE, KMeansSMOTE, RandomOverSampler
from tables import mixed_table, number_table, table_of

from opal.errors import ConfigError, MethodError
from opal.methods.bootstrap import Bootstrap
from opal.methods.copula import GaussianCopula
from opal.methods.imblearn import Imblearn
from opal.methods.mixture import GaussianMixture
from opal.methods.mixup import Mixup
from opal.table import Train
from opal.tasks.imbalanced import Imbalanced
from opal.tasks.spurious import Spurious

METHODS = [
    Imblearn(partial(ADASYN, n_neighbors=5)),
    Imblearn(partial(SVMSMOTE, k_neighbors=5, m_neighbors=10)),
    Imblearn(partial(BorderlineSMOTE, k_neighbors=5)),
    Imblearn(partial(KMeansSMOTE, k_neighbors=2, kmeans_estimator=2, cluster_balance_threshold=0.05)),
    Imblearn(partial(RandomOverSampler, shrinkage=1.0)),
    Mixup(),
    Bootstrap(),
    GaussianMixture(),
    GaussianCopula(),
]
CARRY_MISSING = [Mixup(), Bootstrap(), GaussianCopula()]


def name_of(method) -> str:
    return method._name if isinstance(method, Imblearn) else type(method).__name__


def train_of(table, task=None, seed=1) -> Train:
    return (task or Imbalanced(80, 0.2, test_rows=60)).split(table, seed).train


@pytest.mark.parametrize("method", METHODS, ids=name_of)
@pytest.mark.parametrize(
    "task", [Imbalanced(80, 0.2, test_rows=60), Spurious(25, 8, test_rows=60)], ids=lambda t: t.name
)
@pytest.mark.parametrize("table", [mixed_table(400, missing=0.0), number_table(400)], ids=lambda t: t.name)
def test_rows_fit_the_table_and_repeat(method, task, table):
    train = train_of(table, task)
    try:
        rows = method.sample(train, 31).frame
    except MethodError as fault:  # these put rows in chosen places only, and say where there is none
        assert name_of(method) in ("BorderlineSMOTE", "KMeansSMOTE", "ADASYN", "SVMSMOTE")
        assert "from the" in str(fault) or "from these train rows" in str(fault)
        return
    assert (rows.dtypes == train.frame.dtypes).all()
    assert len(rows) == 31
    for column in train.schema.features:
        if column.nominal:
            assert set(rows[column.name]) <= set(train.frame[column.name])
    pd.testing.assert_frame_equal(rows, method.sample(train, 31).frame)


@pytest.mark.parametrize("method", CARRY_MISSING, ids=name_of)
def test_missing_values_keep_their_share(method):
    train = train_of(mixed_table(400, missing=0.3), Imbalanced(120, 0.2, test_rows=60))
    own = train.rows(train.minority_groups[0])
    made = method.sample(train, 400).frame
    for column in ("age", "income"):
        assert abs(made[column].isna().mean() - own[column].isna().mean()) < 0.1
    assert set(made["job"].dropna()) <= set(own["job"].dropna())


def test_numbers_alone_come_out_as_imbalanced_learn_makes_them():
    train = train_of(table_of(number_table(400).frame[["x1", "x2", "label"]], target="label", minority=1))
    rows = Imblearn(partial(RandomOverSampler, shrinkage=1.0)).sample(train, 24).frame
    rng = np.random.default_rng([train.seed, 1])
    x, y = train.frame[["x1", "x2"]].to_numpy(), (train.frame["label"] == 1).to_numpy()
    theirs, _ = RandomOverSampler(
        sampling_strategy={True: int(y.sum()) + 24}, shrinkage=1.0, random_state=int(rng.integers(2**31))
    ).fit_resample(x, y)
    np.testing.assert_allclose(rows[["x1", "x2"]], theirs[len(x) :])


def test_mixtures_of_two_rows_stay_between_rows_and_copula_rows_within_the_range():
    train = train_of(number_table(400))
    own = train.rows(train.minority_groups[0])
    for method in (Mixup(), GaussianCopula()):
        made = method.sample(train, 200).frame
        for column in ("x1", "x2", "count"):
            assert made[column].between(own[column].min(), own[column].max()).all()


@pytest.mark.parametrize("method", [Bootstrap(), GaussianMixture(), GaussianCopula()], ids=name_of)
def test_fitted_distributions_keep_means_and_correlations(method):
    rng = np.random.default_rng(0)
    x = rng.multivariate_normal([3, -1], [[1, 0.8], [0.8, 1]], size=400)
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.repeat([1, 0], [150, 250])})
    train = train_of(table_of(frame, "y", 1), Imbalanced(300, 0.4, test_rows=60))
    own = train.rows(train.minority_groups[0])[["a", "b"]]
    made = method.sample(train, 2000).frame[["a", "b"]]
    np.testing.assert_allclose(made.mean(), own.mean(), atol=0.15)
    np.testing.assert_allclose(made.corr().iloc[0, 1], own.corr().iloc[0, 1], atol=0.12)


def test_settings_out_of_range_are_named():
    for make, key in (
        (lambda: Mixup(0), "alpha"),
        (lambda: Bootstrap(-1), "shrinkage"),
        (lambda: GaussianMixture(0), "max_components"),
        (lambda: GaussianMixture(regularisation=0), "regularisation"),
    ):
        with pytest.raises(ConfigError, match=f"method.{key}="):
            make()


def test_one_row_is_too_few_for_a_distribution():
    train = train_of(number_table(400), Imbalanced(40, 0.025, test_rows=60))
    with pytest.raises(MethodError, match="needs 2 train rows of label=1 and has 1"):
        GaussianCopula().sample(train, 5)
