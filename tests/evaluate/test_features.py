"""The encoding of a classifier's features is scikit-learn's, cell for cell."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tables import mixed_frame

from opal.data.build import build_table
from opal.evaluate import Classifier
from opal.evaluate.features import MOST_LEVELS, as_text, transformer
from opal.evaluate.portable import AsPipeline
from opal.table import Schema

NUMBERS, NAMES = ["visits", "age", "income", "member"], ["smoker", "job", "street", "odd"]


@pytest.mark.parametrize("streets", [MOST_LEVELS - 1, MOST_LEVELS, 250])
def test_names_and_numbers_become_what_scikit_learn_makes_of_them(streets):
    rng = np.random.default_rng(streets)
    frame = mixed_frame(800).assign(street=[f"street {i % streets}" for i in rng.permutation(800)])
    frame["odd"] = pd.Series(rng.choice(np.array([1, True, "1", 2.5, None], dtype=object), 800), dtype=object)
    schema = Schema.infer(frame[[*NUMBERS, *NAMES, "outcome"]], "outcome")
    theirs = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), NUMBERS),
            (
                "names",
                OneHotEncoder(
                    handle_unknown="infrequent_if_exist", max_categories=MOST_LEVELS, sparse_output=False, dtype=float
                ),
                NAMES,
            ),
        ]
    )
    fit, held = frame.iloc[:500], frame.iloc[500:].copy()
    held.iloc[:30, held.columns.get_indexer(["job", "street"])] = "never seen"
    ours = transformer(schema, "onehot", scale=True)
    known, new = (f.assign(**as_text(f[NAMES])) for f in (fit, held))
    np.testing.assert_array_equal(ours.fit_transform(fit), theirs.fit_transform(known))
    np.testing.assert_array_equal(ours.transform(held), theirs.transform(new))


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("gap_in_a_name", [True, False])
def test_a_number_that_is_missing_only_in_rows_to_predict_gets_the_median_of_train(scale, gap_in_a_name):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.normal(size=40), "z": rng.normal(size=40), "job": ["a", "b"] * 20, "y": [0, 1] * 20})
    if gap_in_a_name:
        frame.loc[0, "job"] = None
    classifier = Classifier(LogisticRegression, scale=scale)
    fitted = classifier.fit(frame, Schema.infer(frame, "y"))
    gappy = frame.assign(x=np.where(np.arange(40) < 5, np.nan, frame["x"]))
    filled = frame.assign(x=gappy["x"].fillna(frame["x"].median()))
    np.testing.assert_array_equal(fitted.predict_proba(gappy), fitted.predict_proba(filled))
    saved = AsPipeline(classifier).fit(frame, Schema.infer(frame, "y"))
    np.testing.assert_allclose(saved.predict_proba(gappy), fitted.predict_proba(filled), rtol=0, atol=1e-12)


def test_a_saved_forest_is_the_measured_one_where_names_are_missing():
    """A forest draws columns by position: those of the saved pipeline stand in the same order."""
    frame = mixed_frame(200).assign(ward=np.random.default_rng(0).choice([1, 2, 3, 10, 11], 200))
    table = build_table("mixed", frame, source="made up", target="outcome", kinds={"ward": "categorical"})
    assert table.frame["job"].isna().any()
    forest = Classifier(partial(RandomForestClassifier, n_estimators=20, min_samples_leaf=2, random_state=1))
    measured = forest.fit(table.frame, table.schema).predict_proba(table.frame)
    saved = AsPipeline(forest).fit(table.frame, table.schema).predict_proba(table.frame)
    np.testing.assert_array_equal(saved, measured)
