"""python -m opal.run as its users meet it: runs in MLflow, one sentence for every mistake, figures that repeat."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from fake_server import FakeLLM
from tables import craft_rows
from trials import SMALL_FOREST, artifacts, runs

QUICK = ["seeds=[1,2]", "amounts.steps=2", "task.test_rows=60", "task.train_rows=40", "task.minority_share=0.2"]
QUICK += [SMALL_FOREST]


def history(run, key: str) -> dict[int, float]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{Path.cwd() / 'mlflow.db'}")
    return {m.step: m.value for m in client.get_metric_history(run.info.run_id, key)}


def test_a_run_holds_what_the_contract_names(opal):
    code, out, _ = opal("method=smote", "data=craft", "show=published", *QUICK)
    assert code == 0
    (run,) = runs()
    assert run.info.status == "FINISHED"
    tags, params, metrics = run.data.tags, run.data.params, run.data.metrics
    assert tags["opal.status"] == "finished"
    assert len(tags["opal.config_hash"]) == len(tags["opal.generation_hash"]) == 64
    assert {"opal.data_digest", "opal.version"} <= set(tags)
    assert run.info.run_name.startswith("craft/smote/logistic")
    shown = {k: params[k] for k in ("data", "task", "method", "classifier")}
    assert shown == {"data": "craft", "task": "imbalanced", "method": "smote", "classifier": "logistic"}
    expected = ["error", "balanced_error", "minority_error", "majority_error", "worst_group_error", "group_gap"]
    expected += ["average_precision", "roc_auc", "brier"]
    for name in expected:
        assert {name, f"{name}_std", f"seed_1/{name}", f"seed_2/{name}"} <= set(metrics)
    assert {f"control/{c}/error" for c in ("class_weight", "base_rate_threshold", "tuned_threshold")} <= set(metrics)
    errors = pd.read_csv(artifacts(run) / "errors.csv")
    assert list(errors.columns) == ["seed", "amount", "metric", "value"]
    mean = errors[errors["metric"] == "error"].groupby("amount")["value"].mean()
    assert history(run, "error") == pytest.approx(mean.to_dict())
    assert list(mean.index) == [0, 8, 16]
    files = {str(p.relative_to(artifacts(run))) for p in artifacts(run).rglob("*") if p.is_file()}
    assert files >= {
        *("config.yaml", "errors.csv", "summary.txt", "funnel.csv", "contamination.csv"),
        *("synthetic/seed_1.csv", "synthetic/seed_2.csv", "prompts/seed_1.jsonl", "figures/curves.png"),
    }
    summary = (artifacts(run) / "summary.txt").read_text().splitlines()
    assert summary[:3] == ["data: craft", "method: smote", "classifier: logistic"]
    assert [line.split(":")[0] for line in summary[3:8]] == ["Row 0", "Row 1", "Mean", "Std", "min"]
    assert "\n".join(summary) in out


@pytest.mark.slow
def test_a_second_start_skips_and_a_rerun_repeats_every_figure(opal):
    opal("method=smote", *QUICK)
    first = runs()[0].data.metrics
    code, _, err = opal("method=smote", *QUICK)
    assert code == 0 and "finished already" in err and len(runs()) == 1
    opal("method=smote", "tracking.existing=rerun", "n_jobs=2", *QUICK)
    again = next(r for r in runs() if r.data.tags["opal.status"] == "finished").data.metrics
    assert len(runs()) == 2
    stable = {k: v for k, v in first.items() if not k.startswith(("time/", "paid/"))}
    assert stable == {k: again[k] for k in stable}


@pytest.mark.slow
def test_a_sweep_is_one_run_a_job_and_one_that_sums_it_up_failed_jobs_included(opal):
    code, _, err = opal("-m", "method=none,duplicate,smote", "nosuch=1")
    assert code == 2 and "nosuch" in err  # an unknown key stops the sweep before any job
    code, _, err = opal("-m", "method=smote,none,duplicate", *QUICK, "task.minority_share=0.025")
    assert code == 1 and "two train rows of Target=0 and has 1" in err and "Error executing" not in err
    assert sorted(r.data.params["method"] for r in runs()) == ["duplicate", "none"]
    found = runs("sweep")
    assert len(found) == 1, err
    (sweep,) = found
    assert sweep.info.status != "RUNNING"
    assert {r.data.tags["opal.sweep_id"] for r in runs()} == {sweep.data.tags["opal.sweep_id"]}


SENTENCES = {
    "method=nosuch": "method=nosuch is not an option; ",
    "data=csv data.path=none.csv data.target=y": "none.csv",
    "data=csv data.path=good.csv data.target=nosuch": "nosuch",
    "data=csv data.path=good.csv data.target=y data.minority=7": "7",
    "data=csv data.path=single.csv data.target=y": "single class",
    "data=csv data.path=gaps.csv data.target=y": "missing values",
    "data=csv data.path=latin.csv data.target=y": "data.encoding",
    "data=csv data.path=empty.csv data.target=y": "empty",
    "data=gender": "data_dir",
    "task.train_rows=900": "Target=0",
    "task=spurious": "data.group",
    "method=llm llm=openai": "OPENAI_API_KEY",
    "method=llm llm=openai_compatible llm.base_url=http://127.0.0.1:9/v1 llm.model=m": "127.0.0.1:9",
    "seeds=[1] nosuch=1": "nosuch",
    "method=smote method.impute=mean": "method.impute=mean must be",
    "seeds=auto answer.most_seeds=3": "answer.most_seeds=3 must be a whole number, 5 or more",
    "seeds=auto method=replay method.path=rows_{seed}.csv": "seeds=auto does not fit rows_{seed}.csv",
    "classifier=logistic classifier.encoding=fancy": "fancy",
}


@pytest.mark.slow
@pytest.mark.parametrize("command", SENTENCES)
def test_every_mistake_is_one_sentence(command, opal, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # no download can succeed
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Path("good.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    Path("single.csv").write_text("x,y\n1,1\n2,1\n3,1\n")
    Path("gaps.csv").write_text("x,y\n1,1\n2,\n3,0\n")
    Path("latin.csv").write_bytes("näme,y\n1,1\n2,0\n".encode("latin-1"))
    Path("empty.csv").write_text("")
    start = [] if "method=" in command else ["method=smote"]
    cached = [f"data.cache_dir={Path.cwd()}"] if command == "data=gender" else []
    code, out, err = opal(*start, *command.split(), *cached)
    assert code == (1 if "method=llm" in command else 2) and SENTENCES[command] in err
    assert "Traceback" not in err and "Traceback" not in out
    lines = [line for line in err.splitlines() if line.startswith("opal: ")]
    said = [line for line in lines if not re.match(r"opal: data=gender: (downloading |\S+ failed)", line)]
    assert len(said) == 1


@pytest.mark.slow
def test_everything_is_shown_on_request(tmp_path):
    env = {**os.environ, "HYDRA_FULL_ERROR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "opal.run", "method=smote", "task.train_rows=900"],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode != 0 and "Traceback" in done.stderr and "SplitError" in done.stderr


@pytest.mark.slow
def test_an_endpoint_sees_only_minority_train_rows_and_its_key_stays_out_of_every_file(opal, monkeypatch):
    key = "sk-test-0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with FakeLLM(answer=craft_rows()) as server:
        arguments = ["method=llm", "llm=openai", f"llm.base_url={server.url}", "prompt=expert", *QUICK]
        code, _, err = opal(*arguments)
        assert code == 0, err
        sent = len(server.requests)
        opal(*arguments, "tracking.existing=rerun")
        assert len(server.requests) == sent  # the second time the rows come from the store
    (first, second) = [r.data for r in runs()]
    assert {k: v for k, v in first.metrics.items() if k == "error" or k.startswith("seed_")} == {
        k: v for k, v in second.metrics.items() if k == "error" or k.startswith("seed_")
    }
    shown = json.dumps([body for body in server.requests if "messages" in body])
    train_target_one = '\\"Target\\": 1'
    assert '\\"Target\\": 0' in shown and train_target_one not in shown
    for path in [*Path.cwd().rglob("*")]:
        if path.is_file():
            assert key.encode() not in path.read_bytes(), path
    prompts = (artifacts(runs()[0]) / "prompts" / "seed_1.jsonl").read_text().splitlines()
    assert {"messages", "usage", "model", "cached"} <= set(json.loads(prompts[0]))


@pytest.mark.slow
def test_a_full_disk_ends_a_sweep_in_one_sentence(opal, monkeypatch):
    """Nor can the note be written that the job failed."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("opal.atomic.os.fsync", full)
    code, _, err = opal("-m", "method=none", "data=craft", *QUICK)
    assert code == 1 and "No space left on device" in err and "Traceback" not in err
