"""opal.OpalClassifier in other people's hands: scikit-learn's checks, pipelines, searches, groups."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from tables import german_frame, mixed_frame

from opal import OpalClassifier, classifier
from opal.classifier import CONTROLS
from opal.errors import ConfigError, DataError, MethodError
from opal.evaluate.actions import Action
from opal.methods.mixup import Mixup

NAMES, NUMBERS = ["smoker", "job"], ["visits", "age", "income", "member"]


@pytest.mark.slow
@parametrize_with_checks([OpalClassifier(repeats=1), OpalClassifier(methods=["mixup"], repeats=1, steps=1)])
def test_scikit_learns_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


def pipeline():
    names = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return make_pipeline(make_column_transformer((names, NAMES), (numbers, NUMBERS)), LogisticRegression(max_iter=500))


@pytest.fixture(scope="module")
def mixed():
    frame = mixed_frame(600)
    return train_test_split(frame.drop(columns="outcome"), frame["outcome"], random_state=0, stratify=frame["outcome"])


@pytest.mark.slow
def test_a_pipeline_gets_rows_as_they_are_and_does_better(mixed):
    x, x_new, y, y_new = mixed
    model = OpalClassifier(pipeline(), methods=["smote", Mixup()], repeats=2, steps=2).fit(x, y)
    plain = balanced_accuracy_score(y_new, pipeline().fit(x, y).predict(x_new))
    assert balanced_accuracy_score(y_new, model.predict(x_new)) > plain
    assert model.action_ == model.answer_["action"].iloc[0] != "nothing"
    actions = set(model.answer_["action"].str.partition(",")[0])
    assert actions >= {"nothing", "smote", "Mixup", "class weight", "tuned threshold"}
    assert model.answer_["validation"].between(0, 1).all()
    again = pickle.loads(pickle.dumps(clone(model).fit(x, y)))
    assert (again.predict(x_new) == model.predict(x_new)).all() and again.answer_.equals(model.answer_)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tuned_threshold", "base_rate_threshold"])
def test_a_threshold_is_what_predict_uses(name, monkeypatch):
    monkeypatch.setattr(classifier, "choose", lambda validation, measure: Action(name))
    x, y = make_classification(600, weights=[0.85], class_sep=0.7, random_state=0)
    y = np.array(["well", "ill"])[y]
    model = OpalClassifier(repeats=2).fit(x, y)
    assert model.action_ == name.replace("_", " ") and list(model.threshold_) == ["ill"]
    proba = model.predict_proba(x)[:, list(model.classes_).index("ill")]
    assert ((proba > model.threshold_["ill"]) == (model.predict(x) == "ill")).all()
    assert model.estimator_.coef_.shape == (1, 20)


@pytest.mark.slow
def test_weights_reach_the_last_step_and_are_left_out_where_none_are_taken(mixed):
    x, _, y, _ = mixed
    weighted = OpalClassifier(pipeline(), repeats=1).fit(x, y).answer_["action"]
    none = OpalClassifier(KNeighborsClassifier(), repeats=1).fit(x[["visits", "member"]], y).answer_["action"]
    assert "class weight" in set(weighted) and "class weight" not in set(none)


@pytest.mark.parametrize("name", list(CONTROLS))
def test_every_free_action_can_be_carried_out(name, monkeypatch):
    monkeypatch.setattr(classifier, "choose", lambda validation, measure: Action(name))
    x, y = make_classification(300, weights=[0.9], random_state=1)
    model = OpalClassifier(repeats=1).fit(x, y)
    assert model.action_ == name.replace("_", " ")
    plain = LogisticRegression(max_iter=1000).fit(x, y).predict(x)
    assert model.predict(x)[y == 1].mean() > plain[y == 1].mean()  # more of the minority is found


@pytest.mark.slow
@pytest.mark.parametrize("moved", [False, True])
def test_rows_of_a_method_are_trained_on(moved, monkeypatch):
    monkeypatch.setattr(classifier, "choose", lambda validation, measure: Action("duplicate", 60, moved=moved))
    x, y = make_classification(200, weights=[0.9], random_state=1)
    model = OpalClassifier(RandomForestClassifier(10), methods=["duplicate"], repeats=1, steps=2).fit(x, y)
    assert model._decision.rows == 260 and (model.threshold_ is not None) == moved
    if moved:
        assert model.threshold_[1] == pytest.approx(((y == 1).sum() + 60) / 260)


@pytest.mark.slow
def test_several_classes_dates_and_missing_cells():
    rng, n = np.random.default_rng(3), 400
    label = rng.choice(["a", "b", "c"], n, p=[0.7, 0.2, 0.1])
    x = rng.normal(size=n) + np.array([{"a": 0.0, "b": 1.5, "c": -1.5}[v] for v in label])
    x[::9] = np.nan
    frame = pd.DataFrame({"x": x, "day": pd.date_range("2020-01-01", periods=n).strftime("%d.%m.%Y")})
    whole = make_column_transformer((SimpleImputer(), ["x"]))
    model = OpalClassifier(make_pipeline(whole, LogisticRegression()), repeats=2).fit(frame, label)
    plain = LogisticRegression().fit(frame[["x"]].fillna(0), label).predict(frame[["x"]].fillna(0))
    assert balanced_accuracy_score(label, model.predict(frame)) > balanced_accuracy_score(label, plain) + 0.1
    assert list(model.classes_) == ["a", "b", "c"] and model.predict_proba(frame).shape == (n, 3)


@pytest.mark.slow
def test_searches_and_cross_validation_take_it(mixed):
    x, _, y, _ = (part.iloc[:240] for part in mixed)
    space = {"estimator__logisticregression__C": [0.1, 1.0], "measure": ["balanced_error", "f1"]}
    search = GridSearchCV(OpalClassifier(pipeline(), repeats=1), space, cv=2, scoring="balanced_accuracy").fit(x, y)
    assert set(search.best_params_) == set(space) and search.best_estimator_.action_
    scores = cross_validate(OpalClassifier(pipeline(), repeats=1), x, y, cv=3, scoring="balanced_accuracy")[
        "test_score"
    ]
    plain = cross_validate(pipeline(), x, y, cv=3, scoring="balanced_accuracy")["test_score"]
    assert scores.mean() > plain.mean()


@pytest.mark.slow
def test_groups_come_by_metadata_routing(monkeypatch):
    seen = []
    fit = classifier.Folds.__call__

    def spy(self, adapter, splits, *rest):
        for split in splits:
            for fold in self.parts(split.train):
                units = split.train.units
                seen.append(set(units[fold.train.frame.index]) & set(units[fold.test.index]))
        return fit(self, adapter, splits, *rest)

    monkeypatch.setattr(classifier.Folds, "__call__", spy)
    x, y = make_classification(240, weights=[0.8], random_state=2)
    groups = np.arange(240) // 4
    with sklearn.config_context(enable_metadata_routing=True):
        model = OpalClassifier(repeats=1).set_fit_request(groups=True)
        found = cross_validate(model, x, y, params={"groups": groups}, cv=GroupKFold(3))
    assert len(found["test_score"]) == 3 and len(seen) == 9 and not any(seen)


def test_rows_that_allow_no_folds_and_methods_that_make_none():
    x, y = make_classification(40, random_state=0)
    y[:] = 0
    y[3] = 1
    assert OpalClassifier().fit(x, y).action_ == "nothing"  # a single minority row: nothing can be compared
    with pytest.raises(MethodError, match="needs two train rows"):
        OpalClassifier(methods=["smote"]).fit(x, y)
    with pytest.raises(ValueError, match="1 class"):
        OpalClassifier().fit(x, np.zeros(40))


def test_columns_keep_their_names_whatever_they_are():
    x, y = make_classification(200, weights=[0.85], n_features=4, random_state=0)
    frame = pd.DataFrame(x, columns=[0, "b", 7, "d"]).rename(columns=str)
    numbered = frame.set_axis(range(4), axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(OpalClassifier(repeats=1).fit(numbered, y).predict(numbered)) == 200
        assert list(OpalClassifier(repeats=1).fit(frame, y).estimator_.feature_names_in_) == ["0", "b", "7", "d"]
    with pytest.raises(DataError, match="two columns named"):
        OpalClassifier().fit(frame.set_axis(["a", "a", "b", "c"], axis=1), y)


def test_numbers_that_stand_as_text_are_read_in_fit_and_predict():
    frame = german_frame(300)
    names = ["gehalt", "schmal", "prozent", "euro", "klammer", "exp"]
    rows, seen = frame[names], slice(0, 200)
    model = OpalClassifier(make_pipeline(StandardScaler(), LogisticRegression()), methods=["smote"], repeats=1, steps=1)
    model.fit(rows[seen], frame["ziel"][seen])
    found = balanced_accuracy_score(frame["ziel"][200:], model.predict(rows[200:]))
    assert found > 0.75
    numbers = pd.DataFrame({n: rows[n].map(read_by_hand) for n in names})
    assert (model.predict(numbers[200:]) == model.predict(rows[200:])).all()  # numbers serve as well
    assert (model.predict_proba(rows.to_numpy()[200:]) == model.predict_proba(rows[200:])).all()
    with pytest.raises(DataError, match=r"column 'gehalt' holds '12\.5', which is not a number as in the rows of fit"):
        model.predict(rows[:3].assign(gehalt="12.5"))


def read_by_hand(text: str) -> float:
    bare = text.strip("€ %").replace(".", "").replace("\u202f", "").replace(",", ".")
    return -float(bare[1:-1]) if bare.startswith("(") else float(bare)


@pytest.mark.slow
def test_names_in_text_reach_the_estimator_as_they_are():
    frame = german_frame(200)
    whole = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["ort", "alter"]), (StandardScaler(), ["gehalt"])
    )
    model = OpalClassifier(make_pipeline(whole, LogisticRegression()), repeats=1, kinds={"alter": "categorical"})
    model.fit(frame.drop(columns="ziel"), frame["ziel"])
    encoder = model.estimator_[0].named_transformers_["onehotencoder"]
    assert list(encoder.categories_[0]) == ["Bonn", "Köln", "Ulm", "k.A."]
    assert all(isinstance(age, str) for age in encoder.categories_[1])
    with pytest.raises(ConfigError, match="kinds names 'age', which is not a column; columns: gehalt"):
        OpalClassifier(kinds={"age": "categorical"}).fit(frame.drop(columns="ziel"), frame["ziel"])
