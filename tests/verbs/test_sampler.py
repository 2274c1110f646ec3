"""opal.OpalSampler in other people's pipelines: their own checks, their dtypes, their cross-validation."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import sklearn.utils.estimator_checks
from fake_server import FakeLLM, shaken
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import parametrize_with_checks
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier
from tables import german_frame, mixed_frame

import opal
from opal import OpalSampler
from opal.errors import ConfigError, DataError
from opal.llm.api.client import Client
from opal.llm.rows.prompt import Prompt
from opal.methods.llm import LLM
from opal.methods.mixup import Mixup

METHODS = ["duplicate", "smote", "adasyn", "borderline_smote", "svm_smote", "kmeans_smote", "rose"]
METHODS += ["mixup", "bootstrap", "gaussian_mixture", "gaussian_copula"]
PROMPT = "{{ header }}\n{{ examples }}\n"
KEY = "sk-" + "secret" * 4

# Every check that an oversampler does not pass, and why it cannot.
EXCEPTIONS = {
    "gaussian_mixture": {
        "check_samplers_string": "a normal distribution has numbers only, and this table none",
        "check_samplers_nan": "its one column has two values: names, not numbers",
    },
    "kmeans_smote": {
        "check_samplers_nan": "its one column has two values: no cluster has any spread",
    },
}


def exceptions(estimator: OpalSampler) -> dict[str, str]:
    return EXCEPTIONS.get(estimator.method, {})


@pytest.mark.slow
@parametrize_with_checks([OpalSampler(m) for m in METHODS], expected_failed_checks=exceptions)
def test_imbalanced_learns_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


@pytest.mark.slow
@sklearn.utils.estimator_checks.parametrize_with_checks([OpalSampler(m) for m in METHODS])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def llm(server: FakeLLM, store) -> LLM:
    supports = {"json_schema": False, "json_object": False, "grammar": None, "seed": True, "n": True}
    client = Client(
        model="fake", base_url=server.url, key_env="FAKE_KEY", api="completion", store=store, supports=supports
    )
    prompt = Prompt(completion=PROMPT, label=False, rows_per_request=20, max_characters=20000)
    return LLM(client, prompt, reject_copies=False, reject_repeats=False)


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_KEY", KEY)
    with FakeLLM(answer=shaken, key=KEY) as server:
        yield server, llm(server, tmp_path)


@pytest.mark.slow
def test_the_checks_hold_for_a_language_model_too(model):
    from imblearn.utils.estimator_checks import estimator_checks_generator

    server, method = model
    checks = list(estimator_checks_generator(OpalSampler(method)))
    for estimator, check in checks:
        check(estimator)
    assert len(checks) >= 15 and server.requests


def people(n: int = 120, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Every dtype that pandas users have, and an index of their own."""
    rng = np.random.default_rng(seed)
    frame = mixed_frame(n, seed, missing=0.0)
    x = pd.DataFrame(
        {
            "job": frame["job"].astype("category").cat.add_categories(["never seen"]),
            "smoker": frame["smoker"] == "yes",
            "age": frame["age"].astype("Int64"),
            "visits": frame["visits"].astype("int8"),
            "income": frame["income"].astype("float32"),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 9, n), unit="D"),
            "mood, today": pd.array(rng.choice(["good", 'so "so"', "سعيد"], n), dtype="string"),
        }
    ).set_axis(rng.permutation(n) + 1000)
    return x, frame["outcome"].set_axis(x.index).astype("category")


@pytest.mark.parametrize("method", ["duplicate", "smote", "adasyn", "mixup", "gaussian_copula", "gaussian_mixture"])
def test_frames_keep_dtypes_categories_names_and_rows(method):
    x, y = people()
    x_all, y_all = OpalSampler(method).fit_resample(x, y)
    assert (x_all.dtypes == x.dtypes).all() and y_all.dtype == y.dtype and y_all.name == y.name
    assert list(x_all["job"].cat.categories) == list(x["job"].cat.categories)
    assert list(x_all.index) == list(range(len(x_all))) == list(y_all.index)  # imbalanced-learn's policy
    pd.testing.assert_frame_equal(x_all.iloc[: len(x)], x.reset_index(drop=True))
    assert y_all.value_counts().nunique() == 1
    for name in ("job", "smoker", "since", "mood, today"):
        assert set(x_all[name]) <= set(x[name])


def test_missing_values_and_empty_columns_are_carried():
    x, y = people()
    x.iloc[::3, 0], x.iloc[::4, 2], x["empty"] = None, pd.NA, np.nan
    for method in ("mixup", "smote"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # smote tells that it filled them in
            x_all, _ = OpalSampler(method).fit_resample(x, y)
        new = x_all.iloc[len(x) :]
        assert (x_all.dtypes == x.dtypes).all()
        assert new["job"].isna().any() and new["age"].isna().any() and new["empty"].isna().all()


def test_every_form_of_sampling_strategy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 2)), np.repeat(["a", "b", "c"], [10, 20, 30])
    for strategy in (
        "auto",
        "minority",
        "not minority",
        "not majority",
        "all",
        {"a": 15, "b": 25},
        lambda y: {"a": 11},
    ):
        ours = OpalSampler("smote", sampling_strategy=strategy).fit_resample(x, y)[1]
        theirs = RandomOverSampler(sampling_strategy=strategy).fit_resample(x, y)[1]
        assert Counter(ours) == Counter(theirs)
    two = y != "c"
    assert Counter(OpalSampler("smote", sampling_strategy=0.8).fit_resample(x[two], y[two])[1])["a"] == 16
    with pytest.raises(ValueError, match="samp"):
        OpalSampler("smote", sampling_strategy={"a": 5}).fit_resample(x, y)


def test_random_state():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 2)), np.repeat([0, 1], [10, 30])

    def new(**options):
        return OpalSampler("smote", **options).fit_resample(x, y)[0]

    assert (new() == new()).all()
    assert (new(random_state=1) != new(random_state=2)).any()
    assert (new(random_state=np.random.RandomState(3)) == new(random_state=np.random.RandomState(3))).all()
    assert (new(random_state=None) != new(random_state=None)).any()


def test_a_method_object_serves_as_well_as_its_name_and_options_reach_it():
    x, y = people()
    by_name = OpalSampler("mixup", options=["method.alpha=2.0"]).fit_resample(x, y)[0]
    pd.testing.assert_frame_equal(by_name, OpalSampler(Mixup(alpha=2.0)).fit_resample(x, y)[0])
    assert not by_name.equals(OpalSampler("mixup").fit_resample(x, y)[0])


def test_codes_that_are_names_are_never_between_two_names():
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"ward": rng.choice([10, 20, 30, 40], 80), "x": rng.normal(size=80)})
    y = np.repeat([0, 1], [20, 60])
    assert not set(OpalSampler("mixup").fit_resample(x, y)[0]["ward"]) <= {10, 20, 30, 40}
    assert set(OpalSampler("mixup", kinds={"ward": "categorical"}).fit_resample(x, y)[0]["ward"]) <= {10, 20, 30, 40}


@pytest.mark.parametrize(
    ("sampler", "error", "words"),
    [
        (OpalSampler("smoat"), ConfigError, "method=smoat is not an option; did you mean smote.*options: adasyn"),
        (OpalSampler("smote", options=["method.k=1"]), ConfigError, "k"),
        (OpalSampler("smote", kinds={"jb": "categorical"}), ConfigError, "kinds names 'jb'.*columns: job"),
        (OpalSampler("smote", descriptions={"jb": "work"}), ConfigError, "descriptions names 'jb'"),
    ],
)
def test_mistakes_are_told_in_one_sentence(sampler, error, words):
    with pytest.raises(error, match=words) as caught:
        sampler.fit_resample(*people())
    assert "\n" not in str(caught.value)


FORMS = {
    "gehalt": r"\d\.\d{3},\d\d|\d{3},\d\d",
    "schmal": r"(\d\u202f)?\d{1,3},\d",
    "prozent": r"\d\d?,\d %",
    "euro": r"€ (\d\.)?\d{1,3},\d\d",
    "klammer": r"\d+,\d|\(\d+,\d\)",
    "exp": r"\d,\d{3}e-\d\d",
    "fehlt": r"\d+,\d|k\.A\.|-",
    "alter": r"\d\d",
    "ort": "Ulm|Bonn|Köln|k\\.A\\.",
    "tag": r"\d\d\.\d\d\.2020",
}


@pytest.mark.parametrize("method", ["smote", "gaussian_copula"])
@pytest.mark.parametrize("dtype", [object, "string"])
def test_numbers_and_dates_that_stand_as_text_are_read_and_written_in_their_own_form(method, dtype):
    frame = german_frame()
    x = frame.drop(columns="ziel").astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is taken for free text
        warnings.filterwarnings("ignore", "Missing values of 2 columns")
        x_all, y_all = OpalSampler(method).fit_resample(x, frame["ziel"])
    new = x_all.iloc[len(x) :]
    pd.testing.assert_frame_equal(x_all.head(len(x)), x)
    assert y_all.value_counts().nunique() == 1 and len(new) > 20
    for name, form in FORMS.items():
        assert new[name].astype(str).str.fullmatch(form).all(), (name, new[name].tolist())
    assert not set(new["gehalt"]) <= set(x["gehalt"]) and set(new["fehlt"]) & {"k.A.", "-"}
    kept = OpalSampler(method, kinds={"alter": "categorical"}).fit_resample(x, frame["ziel"])[0]
    assert set(kept["alter"]) <= set(x["alter"])  # codes, never between two


def test_text_beside_numbers_with_decimal_points_has_decimal_points():
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"price": [f"{v},{w:03}" for v, w in rng.integers(1, 999, (60, 2))], "rate": rng.normal(size=60)})
    x.loc[::9, "price"] = "950"
    y = np.repeat([0, 1], [15, 45])
    new = OpalSampler("mixup").fit_resample(x, y)[0]["price"].iloc[60:]
    assert new.str.fullmatch(r"\d{1,3}(,\d{3})?").all()
    assert new.str.replace(",", "").astype(int).max() > 100_000


def test_nothing_but_free_text_is_told():
    x, y = people()
    notes = pd.DataFrame({"note": [f"patient {i}" for i in range(len(x))]})
    with pytest.raises(DataError, match="nothing but free text or keys \\('note'\\)"):
        OpalSampler("smote").fit_resample(notes, y.to_numpy())


def test_two_columns_of_one_name_are_refused():
    x, y = people()
    with pytest.raises(DataError, match="two columns named 'job'"):
        OpalSampler("smote").fit_resample(x.rename(columns={"age": "job"}), y)


def test_each_fold_is_made_from_its_own_train_rows_and_paid_once(model):
    server, method = model
    x, y = people(60)
    x = x[["income", "age", "visits"]].astype(float).round(2)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    pipeline = make_pipeline(OpalSampler(method), DecisionTreeClassifier(random_state=0))
    first = cross_validate(pipeline, x, y, cv=folds, error_score="raise")["test_score"]
    paid = len(server.requests)
    for body in server.requests:  # rows of one fold's train part alone, of the minority alone
        shown = {float(line.split(",")[0]) for line in body["prompt"].rstrip("\n").split("\n")[1:]}
        trains = [x.iloc[seen][(y == "yes").iloc[seen]] for seen, _ in folds.split(x, y)]
        assert any(shown <= set(rows["income"]) for rows in trains)
    again = cross_validate(clone(pipeline), x, y, cv=folds, error_score="raise")["test_score"]
    assert paid == len(server.requests) > 0
    assert (first == again).all()


def test_a_language_model_gives_any_dtype(model):
    _, method = model
    x, y = people(60)
    sampler = OpalSampler(method)
    x_all, y_all = sampler.fit_resample(x.drop(columns=["mood, today", "job"]), y)
    assert (x_all.dtypes == x.dtypes[x_all.columns]).all()
    assert y_all.value_counts().nunique() == 1
    assert sampler.funnel_.kept == len(x_all) - len(x)
    assert sampler.usage_.requests == len(sampler.prompts_) > 0


def test_fewer_rows_than_wanted_are_returned_with_the_reason(model):
    server, method = model
    x, y = people(60)
    x = x[["income", "age"]]
    server.answer = lambda body: shaken(body) if len(server.requests) == 1 else "no more rows"
    with pytest.warns(UserWarning, match="20 of the 36 rows wanted for class=yes are there") as told:
        x_all, y_all = OpalSampler(method).fit_resample(x, y)
    assert len(x_all) == len(y_all) == 80
    assert __file__ in {w.filename for w in told}  # the caller's own line, not scikit-learn's


def test_pickles_and_copies_hold_settings_but_no_secret(model):
    _, method = model
    x, y = people(60)
    x = x[["income", "age"]]
    sampler = OpalSampler(method)
    rows = sampler.fit_resample(x, y)[0]
    frozen = pickle.dumps(sampler)
    assert KEY.encode() not in frozen and KEY not in repr(sampler.get_params())
    pd.testing.assert_frame_equal(pickle.loads(frozen).fit_resample(x, y)[0], rows)
    assert clone(sampler).method.client == method.client


def test_a_whole_pipeline_with_names_and_grid():
    from sklearn.model_selection import GridSearchCV

    x, y = people(90)
    x = x.drop(columns=["since", "age"])
    onehot = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include=["category", "string"])),
        remainder="passthrough",
    )
    pipeline = make_pipeline(OpalSampler("smote"), onehot, RandomForestClassifier(10, random_state=0))
    grid = GridSearchCV(pipeline, {"opalsampler__method": ["smote", "mixup"]}, cv=3, error_score="raise")
    assert 0.5 < grid.fit(x, y).best_score_ <= 1


@pytest.mark.slow
def test_importing_opal_stays_light():
    code = (
        "import opal, sys; assert not {'sklearn', 'imblearn', 'pandas', 'hydra'} & set(sys.modules); opal.OpalSampler"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'Sampler'"):
        opal.Sampler  # noqa: B018
