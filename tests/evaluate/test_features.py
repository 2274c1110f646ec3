"""The encoding of a classifier's features is scikit-learn's, cell for cell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tables import mixed_frame

from opal.evaluate.features import MOST_LEVELS, as_text, transformer
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
