"""python -m opal.compare and opal.report.runs over a real store."""

from __future__ import annotations

import io
import sqlite3

import numpy as np
import pandas as pd
import pytest
import stores

import opal.report
from opal.compare import main
from opal.errors import ConfigError
from opal.evaluate.verdict import at_amounts, confidence_interval, verdict
from opal.record.tracking import Tracking
from opal.report import Where
from opal.report.comparison import CHOSEN, RAW, compare, interval
from opal.report.protocol import labels, protocols
from opal.report.read.load import load, open_store, split_key
from opal.report.read.server import ServerRuns

PAIRS = [(data, method) for data in ("bank", "farm") for method in ("llm", "smote")]


def compared(uri: str, metric: str = "error", at="chosen", where=None):
    loaded = load(where, [metric, CHOSEN], uri)
    (protocol,) = protocols(loaded)
    return compare(loaded, protocol, metric, at)


@pytest.fixture
def copy(store, tmp_path):
    """Tracking of a copy of the store that a test may write to."""
    with sqlite3.connect(store.folder / "mlflow.db") as old, sqlite3.connect(tmp_path / "mlflow.db") as new:
        old.backup(new)  # with what is in WAL still
    return Tracking(f"sqlite:///{tmp_path}/mlflow.db", existing="rerun")


def test_runs_gives_back_what_was_logged(store):
    tidy = opal.report.runs(uri=store.uri, metrics=["error"])
    assert list(tidy.columns[-5:]) == ["control", "metric", "seed", "amount", "value"]
    assert set(tidy["run_id"]) == set(store.ids.values())  # neither superseded, nor partial, nor the sweep's
    for data, method in PAIRS:
        mine = tidy[(tidy["data"] == data) & (tidy["method"] == method)]
        key = np.where(mine["control"] == "", "error", "control/" + mine["control"].astype(str) + "/error")
        found = pd.Series(mine["value"].to_numpy(), index=[mine["seed"], mine["amount"], key]).sort_index()
        logged = stores.errors(data, method).set_index(["seed", "amount", "metric"])["value"]
        logged = logged[logged.index.get_level_values("metric").str.fullmatch("error|control/.*/error")].sort_index()
        np.testing.assert_array_equal(found.to_numpy(), logged.to_numpy())
        assert list(found.index) == list(logged.index)


@pytest.mark.parametrize(
    "key, parts",
    [
        ("seed_42/control/class_weight/error", (42, "class_weight", "error")),
        ("seed_1/contamination/test_exact", (1, "", "contamination/test_exact")),
        ("error", (-1, "", "error")),
    ],
)
def test_keys_are_taken_apart(key, parts):
    assert split_key(key) == parts


def test_cells_are_means_and_sample_deviations(store):
    cells = compared(store.uri).cells
    for data, method in PAIRS:
        curve = stores.errors(data, method).query("metric == 'error'").groupby("amount")["value"]
        mine = cells[(cells["data"] == data) & (cells["method"] == method)].set_index("amount")
        pd.testing.assert_series_equal(mine["mean"], curve.mean(), check_names=False, check_index_type=False)
        pd.testing.assert_series_equal(mine["std"], curve.std(), check_names=False, check_index_type=False)
    assert not cells[cells["amount"] == 0]["best"].any()  # all equal there
    assert set(cells[cells["best"]]["method"]) == {"llm"}
    assert set(compared(store.uri, "average_precision").cells.query("best")["method"]) == {"llm"}  # higher is better


@pytest.mark.parametrize("data, method", PAIRS)
def test_differences_are_those_of_the_verdict(store, data, method):
    found = compared(store.uri)
    run = found.runs[(found.runs["data"] == data) & (found.runs["method"] == method)].iloc[0]
    errors = stores.errors(data, method)
    chosen = at_amounts(errors, "error", {seed: 10 if seed == 1 else 20 for seed in (1, 2, 6, 8)})
    zero = dict.fromkeys((1, 2, 6, 8), 0)
    raw = at_amounts(errors, "error", zero)
    free = {c: at_amounts(errors, f"control/{c}/error", zero) for c in ("threshold", "class_weight")}
    against_raw = confidence_interval((chosen - raw).to_numpy())
    np.testing.assert_allclose([run.raw_low, run.raw_high], against_raw)
    best = verdict(chosen, {RAW: raw} | free)
    assert run.control == best.control
    np.testing.assert_allclose(
        [run.control_difference, run.control_low, run.control_high], [best.difference, best.low, best.high]
    )
    assert run.word == best.word
    assert run.amount == "10 to 20"


@pytest.mark.slow
def test_words_agree_with_the_verdict_on_many_draws():
    from opal.report.comparison import _deciding, _words

    rng = np.random.default_rng(0)
    gaps = rng.normal(rng.normal(0, 1, (300, 1, 1)), 0.7, (300, 3, 5))
    gaps[::7, 1] = np.nan  # a control that the run does not have
    _, good, bad = _deciding(gaps, interval(gaps))
    words = _words(good, bad)
    zero = pd.Series(np.zeros(5))
    for gap, word in zip(gaps, words, strict=True):
        controls = {str(i): -pd.Series(line) for i, line in enumerate(gap) if not np.isnan(line).any()}
        assert verdict(zero, controls).word == word
    assert set(words) == {"helps", "hurts", "inconclusive"}


def test_interval_of_many_is_that_of_one():
    gaps = np.random.default_rng(1).normal(size=(20, 6))
    gaps[3, 2:] = np.nan
    gaps[4] = 0.25
    gaps[5, 1:] = np.nan
    _, low, high = interval(gaps)
    for row, bounds in zip(gaps, zip(low, high, strict=True), strict=True):
        np.testing.assert_allclose(bounds, confidence_interval(row[~np.isnan(row)]))


@pytest.mark.parametrize(
    "where, expected",
    [
        (Where(sweep="s2"), {("farm", "llm"), ("farm", "smote")}),
        (Where(hashes=["a2a2", "a3"]), {("bank", "llm"), ("farm", "smote")}),
        (Where(tags={"team": "blue"}), {("bank", "llm")}),
        (Where(options={"data": ["bank"], "method": ["llm", "smote"]}), {("bank", "llm"), ("bank", "smote")}),
        (Where(options={"data": ["csv"], "method": ["llm"]}), {("bank", "llm"), ("farm", "llm")}),
        (Where(search="params.method = 'llm' and metrics.error < 0.9"), {("bank", "llm"), ("farm", "llm")}),
        (Where(search="metrics.error < 0.22 and params.method != 'smote'"), {("bank", "llm"), ("farm", "llm")}),
        (Where(search="run_name LIKE 'bank/%' and tags.team IS NULL"), {("bank", "smote")}),
        (Where(search="attributes.run_name ILIKE 'FARM/%'"), {("farm", "llm"), ("farm", "smote")}),
        (Where(search="dataset.name = 'bank'"), {("bank", "llm"), ("bank", "smote")}),
        (Where(since="2000-01-01", until="2000-01-02"), set()),
        (Where(since="2000-01-01", search="params.data = 'csv'"), set(PAIRS)),
    ],
    ids=lambda v: type(v).__name__,  # a set has another text in each process
)
def test_filters_mean_the_same_by_sql_and_by_mlflow(store, where, expected, monkeypatch):
    direct = load(where, uri=store.uri)
    assert {(r.data, r.method) for r in direct.runs.itertuples()} == expected
    monkeypatch.setattr("opal.report.read.load.open_store", lambda uri: (ServerRuns(uri), uri))
    by_client = load(where, uri=store.uri)
    pd.testing.assert_frame_equal(direct.runs, by_client.runs)
    columns = ["run", "seed", "control", "metric", "amount", "value"]
    assert sorted(map(tuple, direct.values[columns].to_numpy())) == sorted(
        map(tuple, by_client.values[columns].to_numpy())
    )


def test_few_runs_of_a_large_store_are_read_run_by_run(store, monkeypatch):
    whole = load(Where(hashes=["a2"]), uri=store.uri)
    monkeypatch.setattr("opal.report.read.sqlite.MANY", 2.0)
    order = ["seed", "control", "amount"]
    pd.testing.assert_frame_equal(
        whole.values.astype({"control": str}).sort_values(order).reset_index(drop=True),
        load(Where(hashes=["a2"]), uri=store.uri)
        .values.astype({"control": str})
        .sort_values(order)
        .reset_index(drop=True),
    )


def test_protocols_are_never_averaged(copy, capsys):
    stores.log(copy, "bank", "smote", "b1", seeds=(3, 4))
    stores.log(copy, "bank", "smote", "b2", content="other cells")
    with pytest.raises(SystemExit) as stop:
        main(["--uri", copy.uri, "method=smote"])
    told = capsys.readouterr()
    assert stop.value.code == 2 and not told.out
    assert "3 protocols, which are not averaged together: they differ in seeds, digest of bank" in told.err
    found = protocols(load(Where(options={"method": ["smote"]}), uri=copy.uri))
    assert f"--protocol {found[0].name}" in told.err
    assert [int(p.runs.sum()) for p in found] == [2, 1, 1]  # the newest content of bank goes with farm
    main(["--uri", copy.uri, "method=smote", "--protocol", "all", "--format", "csv"])
    cells = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert cells.groupby(["protocol", "data", "classifier", "method", "amount"]).size().max() == 1
    with pytest.raises(SystemExit):
        main(["--uri", copy.uri, "--protocol", "zzz"])
    assert "--protocol zzz is not one of" in capsys.readouterr().err


def test_settings_that_differ_are_told_apart(copy):
    stores.log(copy, "bank", "smote", "b1", params={"method.k": "3"})
    stores.log(copy, "bank", "llm", "b2", params={"prompt": "expert"})
    stores.log(copy, "bank", "smote", "b3", params={"classifier.depth": "2"})
    loaded = load(Where(options={"data": ["bank"]}), ["error"], copy.uri)
    methods, classifiers = labels(loaded)
    assert sorted(zip(methods, classifiers, strict=True)) == [
        ("llm (prompt=csv)", "logistic (depth=none)"),
        ("llm (prompt=expert)", "logistic (depth=none)"),
        ("smote (k=3)", "logistic (depth=none)"),
        ("smote (k=none)", "logistic (depth=2)"),
        ("smote (k=none)", "logistic (depth=none)"),
    ]


def test_runs_that_nothing_logged_tells_apart_bear_their_hash(copy):
    stores.log(copy, "bank", "smote", "b1")
    loaded = load(Where(options={"data": ["bank"], "method": ["smote"]}), ["error"], copy.uri)
    assert labels(loaded)[0] == ["smote #a1a1a1", "smote #b1b1b1"]


def test_other_splits_are_noticed(copy):
    run = stores.log(copy, "farm", "jitter", "b1")
    for seed in (1, 2, 6, 8):
        copy.client.log_metric(run, f"seed_{seed}/error", 0.5, step=0, timestamp=0)
    values = copy.client.get_metric_history(run, "seed_1/error")
    assert len(values) == 4
    notes = compared(copy.uri, where=Where(options={"data": ["farm"]})).notes
    assert any("without synthetic rows is not the same in all runs of farm/logistic" in note for note in notes)


def test_terminal(store, capsys):
    main(["--uri", store.uri])
    told = capsys.readouterr()
    for part in ("bank: error by synthetic rows added", "What synthetic rows changed", "threshold", "4 runs"):
        assert part in told.out
    assert "1 partial, 1 superseded" in told.err
    assert "2 tables cannot settle whether 2 methods differ in general: it takes at least 6" in told.out
    assert "significant" not in told.out
    main(["--uri", store.uri, "--rows", "1"])
    assert "too many to print" in capsys.readouterr().out


def test_markdown_latex_csv(store, capsys):
    main(["--uri", store.uri, "--format", "markdown"])
    lines = capsys.readouterr().out.splitlines()
    assert "| classifier | method | 0 | 10 | 20 |" in lines
    assert sum("**0." in line for line in lines if line.startswith("| logistic | llm")) == 2
    main(["--uri", store.uri, "--format", "latex", "data=bank"])
    latex = capsys.readouterr().out
    assert r"class\_weight" in latex or "threshold" in latex
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == 2 and r"\textbf{0." in latex
    for line in latex.splitlines():
        assert line.startswith("%") or "±" not in line
    main(["--uri", store.uri, "--format", "csv", "--at", "20"])
    cells = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert len(cells) == 12 and set(cells["compared_at"]) == {20}


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--where", "params.data ~ 3"], "is not an MLflow search string"),
        (["data=none_such"], "has data=none_such; there are data="),
        (["--experiment", "none_such"], "there is no finished run in"),
        (["--sweep", "none_such"], "fits the whole selection"),
        (["--metric", "f1"], "--metric f1 is in none of the 4 runs"),
        (["--at", "15"], "no run measured that amount; measured were 0, 10, 20"),
        (["--at", "best"], "--at best is not one of chosen, most, or a number"),
        (["--since", "yesterday"], "--since yesterday is not a date"),
        (["--tag", "team"], "--tag 'team' is not NAME=VALUE"),
        (["data"], "the selection 'data' is not NAME=VALUE"),
        (["--uri", "sqlite:///no/such.db"], "there is no MLflow store"),
        (["--uri", "mlruns"], "is not a store that MLflow 3 writes to"),
    ],
)
def test_mistakes_are_one_sentence(store, capsys, arguments, sentence):
    with pytest.raises(SystemExit) as stop:
        main(["--uri", store.uri, *arguments])
    told = capsys.readouterr().err
    assert stop.value.code == 2 and sentence in told and "Traceback" not in told


def test_other_files_are_no_stores(tmp_path, capsys):
    (tmp_path / "mlflow.db").write_text("this is not a database" * 100)
    with pytest.raises(SystemExit):
        main(["--uri", f"sqlite:///{tmp_path}/mlflow.db"])
    assert "cannot be read as an MLflow store" in capsys.readouterr().err


def test_reading_changes_nothing(store):
    before = (store.folder / "mlflow.db").read_bytes()
    compared(store.uri)
    assert (store.folder / "mlflow.db").read_bytes() == before


def test_store_of_the_working_folder(store, monkeypatch):
    monkeypatch.chdir(store.folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert open_store()[1] == store.uri
    assert len(opal.report.runs()["run_id"].unique()) == 4


def test_amounts_that_were_not_chosen_are_said(copy):
    loaded = load(None, ["error"], copy.uri)  # as of runs without validation
    found = compare(loaded, protocols(loaded)[0])
    assert set(found.runs["amount"]) == {"20"}
    assert "4 of 4 runs chose no amount" in " ".join(found.notes)
    with pytest.raises(ConfigError, match="no run measured that amount"):
        compare(loaded, protocols(loaded)[0], at=5)
