"""A tree whose settings' names are read once makes the forest that scikit-learn makes."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from opal.evaluate import PaperForest
from opal.evaluate.tree import Tree


def test_the_forest_is_the_same():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(80, 4))
    y = (x[:, 0] + rng.normal(size=80) > 0.5).astype(int)
    settings = {"n_estimators": 30, "max_depth": 4}
    ours = PaperForest("t", {"t": settings}).fit(x, y)
    theirs = RandomForestClassifier(**settings, random_state=1).fit(np.column_stack([np.ones(80), x]), y)
    new = rng.normal(size=(50, 4))
    expected = theirs.predict_proba(np.column_stack([np.ones(50), new]))
    assert np.array_equal(ours.predict_proba(new), expected)
    assert isinstance(ours.model_.estimators_[0], Tree)
    assert Tree().get_params() == DecisionTreeClassifier().get_params()
