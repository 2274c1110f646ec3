"""opal fit: the recommended action as a model that loads elsewhere and decides as the folds found best."""

from __future__ import annotations

import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score
from tables import mixed_frame
from trials import SMALL_FOREST

from opal import fit as module
from opal.evaluate.actions import Action
from opal.progress import Progress
from opal.result import TrialResult
from opal.trial.trial import Trial

SMALL = ["seeds=[1,2]", "amounts.steps=1", "contamination=off", SMALL_FOREST]
COMPARED: dict[tuple, TrialResult] = {}
OWN = ["data=csv", "data.path=in.csv", "data.target=outcome"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mixed_frame(300).to_csv("in.csv", index=False)
    return tmp_path


@pytest.fixture
def fitted(folder, verb, monkeypatch):
    """``fitted(*arguments, action=None) -> (exit code, stdout, stderr)``; the answer recommends ``action`` if given.

    What is recommended is made of one comparison, which tests of the same table and classifier share.
    """
    real, compare = module.answers, Trial.run

    def run(*arguments: str, action: Action | None = None) -> tuple[int, str, str]:
        def recommending(*given):
            return [replace(found, recommended=action or found.recommended) for found in real(*given)]

        def compared(trial: Trial, progress: Progress) -> TrialResult:
            key = (trial.table.digest, arguments)
            if key not in COMPARED:
                COMPARED[key] = compare(trial, progress)
            return deepcopy(COMPARED[key])

        monkeypatch.setattr(module, "answers", recommending)
        if action:
            monkeypatch.setattr(Trial, "run", compared)
        return verb("fit", *OWN, *SMALL, *arguments)

    return run


@pytest.mark.slow
def test_a_model_loads_without_opal_and_finds_more_of_the_minority(fitted):
    code, out, err = fitted("output=model")
    assert code == 0, err
    assert "Recommended for in with logistic:" in out and 'mlflow.pyfunc.load_model("' in out
    card = Path("model/MODEL_CARD.md").read_text()
    assert "## Why this one" in card and "| balanced error | 0." in card and "| job | categorical | clerk," in card
    code = (
        "import sys; sys.modules['opal'] = None\n"
        "import mlflow, pandas as pd\n"
        "rows = pd.read_csv('in.csv').drop(columns='outcome')\n"
        "for part in (rows, rows.head(3), rows.dropna()):\n"
        "    print(*mlflow.pyfunc.load_model('model').predict(part))\n"
        "print(mlflow.sklearn.load_model('model').predict_proba(rows).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    whole, few, _, shape = done.stdout.splitlines()
    truth = pd.read_csv("in.csv")["outcome"]
    assert balanced_accuracy_score(truth, whole.split()) > 0.7 and whole.startswith(few) and shape == "(300, 2)"


ACTIONS = ["nothing", "class_weight", "base_rate_threshold", "tuned_threshold", "duplicate", "smote", "balanced_forest"]


@pytest.mark.slow
@pytest.mark.parametrize("classifier", ["logistic", "catboost"])
@pytest.mark.parametrize("name", ACTIONS)
def test_every_free_action_is_saved(name, classifier, fitted):
    import mlflow

    options = ["classifier.estimator.iterations=80"] if classifier == "catboost" else []
    given = [f"classifier={classifier}", *options, "output=model"]
    code, _, err = fitted(*given, action=Action(name))
    assert code == 0, err
    frame = pd.read_csv("in.csv")
    model = mlflow.sklearn.load_model("model")
    predicted, proba = model.predict(frame), model.predict_proba(frame)[:, 1]
    likeliest = np.where(proba > 0.5, "yes", "no")
    assert ((predicted == likeliest).all()) == ("threshold" not in name)
    assert ("fitted on" in Path("model/MODEL_CARD.md").read_text().lower()) and set(predicted) == {"yes", "no"}


@pytest.mark.slow
@pytest.mark.parametrize("moved", [False, True])
def test_rows_of_a_method_grow_with_the_table(moved, fitted):
    import mlflow

    action = Action("smote", 40, moved=moved, price=3)
    code, out, err = fitted("output=model", action=action)
    assert code == 0, err
    assert "fitted on 357 rows" in out  # 40 rows beside 210 train rows are 57 beside 300
    model = mlflow.sklearn.load_model("model")
    assert hasattr(model, "threshold") == moved


@pytest.mark.slow
def test_several_classes_and_dates_need_opal(fitted):
    import mlflow

    frame = mixed_frame(300, missing=0.0)
    frame["day"] = pd.date_range("2021-01-01", periods=300).strftime("%d.%m.%Y")
    frame["outcome"] = frame["outcome"].where(frame.index % 9 != 0, "perhaps")
    frame.to_csv("in.csv", index=False)
    action = Action("base_rate_threshold")
    code, _, err = fitted("output=model", action=action)
    assert code == 0, err
    assert "opal==" in Path("model/requirements.txt").read_text()
    model = mlflow.pyfunc.load_model("model")
    assert set(model.predict(frame.drop(columns="outcome"))) == {"yes", "no", "perhaps"}


@pytest.mark.slow
@pytest.mark.parametrize("before", [None, "sqlite:///mlflow.db"])
def test_a_model_is_registered(before, fitted, request):
    import mlflow

    request.addfinalizer(lambda: mlflow.set_tracking_uri(None))
    mlflow.set_tracking_uri(before)
    address = os.environ.get("MLFLOW_TRACKING_URI"), mlflow.get_tracking_uri()
    uri = f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    code, out, err = fitted("output=model", "register=loans", f"tracking.uri={uri}", action=Action("class_weight"))
    assert code == 0 and "registered as loans, version 1" in out, err
    assert (os.environ.get("MLFLOW_TRACKING_URI"), mlflow.get_tracking_uri()) == address
    mlflow.set_tracking_uri(uri)
    assert "## Why this one" in mlflow.MlflowClient().get_model_version("loans", "1").description
    assert len(mlflow.pyfunc.load_model("models:/loans/1").predict(pd.read_csv("in.csv"))) == 300


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "output is not set"),
        (["output=in.csv"], "in.csv is a file: name another place"),
        (["output=full"], "exists already"),
        (["output=full", "overwrite=true"], "holds something else than a model"),
        (["output=m", "validation.folds=0"], "no action could be compared"),
        (["output=m", "register="], "register= is empty"),
        (["output=m", "score=error"], "score"),
    ],
)
def test_one_sentence_says_what_is_wrong(arguments, words, fitted):
    Path("full").mkdir()
    Path("full/a.txt").write_text("mine")
    code, _, err = fitted(*arguments)
    assert code == 2 and words in err and "Traceback" not in err
    assert Path("full/a.txt").read_text() == "mine"
