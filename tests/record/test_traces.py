"""A model's requests as MLflow traces, and its prompt in the registry: from the record, where wanted."""

from __future__ import annotations

import json
import logging

import mlflow
import pytest
import trials

from opal.record import pending, traces
from opal.record.tracking import Tracking

PROMPT = {
    "name": "paper",
    "system": "You make tables.",
    "user": "Continue {{ examples }}",
    "completion": "{{ examples }}",
}


@pytest.fixture
def tracking(empty_store, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    return Tracking(f"sqlite:///{tmp_path}/mlflow.db")


def log(tracking: Tracking, digit: str = "a", requests: int = 3, chat: bool = True, answer: str = "7", **given) -> str:
    """The id of a new run with so many requests."""
    with tracking.claim(digit * 64):
        record = trials.record(digit * 64, **{"traces": True, "prompt": PROMPT} | given)
        return tracking.log(record, lambda folder: trials.write_requests(folder, requests, chat, answer))


def found(tracking: Tracking, run_id: str) -> list:
    return sorted(
        tracking.client.search_traces(locations=[tracking.experiment_id], run_id=run_id, max_results=500),
        key=lambda trace: trace.data.spans[0].attributes["opal.draw"],
    )


def test_a_request_is_a_trace_with_tokens_text_and_the_time_of_its_call(tracking, monkeypatch):
    run_id = log(tracking)
    first, *others = found(tracking, run_id)
    assert len(others) == 2
    assert first.info.token_usage == {
        "input_tokens": 30,
        "output_tokens": 12,
        "total_tokens": 42,
        "cache_read_input_tokens": 8,
    }
    assert first.info.trace_metadata["mlflow.sourceRun"] == run_id
    assert (first.info.request_time, first.info.execution_duration) == (1_767_225_598_500, 1500)  # of the stored answer
    (span,) = first.data.spans
    assert span.inputs["messages"][-1] == {"role": "user", "content": "x\n0"}
    assert span.outputs["choices"][0]["message"]["content"] == "7"
    assert span.attributes["opal.cached"] is True and span.attributes["mlflow.llm.model"] == "made-up"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    try:
        mlflow.set_tracking_uri(str(tracking.uri))  # sets the environment variable too
        table = mlflow.search_traces(locations=[tracking.experiment_id], run_id=run_id)
    finally:
        mlflow.set_tracking_uri(None)
    assert [json.loads(t)["total_tokens"] for t in table["trace_metadata"].str["mlflow.trace.tokenUsage"]] == [42] * 3


def test_a_base_models_request_is_a_prompt_and_its_continuations(tracking):
    run_id = log(tracking, chat=False)
    span = found(tracking, run_id)[0].data.spans[0]
    assert span.inputs == {"prompt": "x\n0"} and span.outputs["choices"][0]["text"] == "7"
    (linked,) = json.loads(tracking.client.get_run(run_id).data.tags["mlflow.linkedPrompts"])
    assert tracking.client.get_prompt_version(linked["name"], linked["version"]).template == "{{ examples }}"


def test_number_and_size_are_bounded(tracking, monkeypatch):
    monkeypatch.setattr(traces, "MOST", 4)
    monkeypatch.setattr(traces, "AT_ONCE", 3)
    run_id = log(tracking, requests=6, answer="7" * (traces.LONGEST + 5))
    kept = found(tracking, run_id)
    assert [trace.data.spans[0].attributes["opal.draw"] for trace in kept] == [0, 1, 2, 3]
    assert "(5 characters more in the artifacts" in kept[0].data.spans[0].outputs["choices"][0]["message"]["content"]


def test_a_template_is_a_version_and_equal_ones_are_shared(tracking):
    runs = [log(tracking, digit, prompt=PROMPT | {"user": user}) for digit, user in zip("abc", "xyx", strict=True)]
    linked = [json.loads(tracking.client.get_run(run).data.tags["mlflow.linkedPrompts"]) for run in runs]
    assert linked == [[{"name": "opal-paper", "version": version}] for version in "121"]
    versions = {str(v.version): v.template for v in tracking.client.search_prompt_versions("opal-paper")}
    assert {version: messages[-1]["content"] for version, messages in versions.items()} == {"1": "x", "2": "y"}
    assert f",{tracking.experiment_id}," in tracking.client.get_prompt("opal-paper").tags["_mlflow_experiment_ids"]


def test_by_default_there_are_none(tracking):
    run_id = log(tracking, traces=False, prompt=None)
    assert not found(tracking, run_id) and "mlflow.linkedPrompts" not in tracking.client.get_run(run_id).data.tags


def test_a_run_is_complete_where_the_server_takes_no_traces(tracking, monkeypatch, caplog):
    from mlflow.exceptions import MlflowException
    from mlflow.tracing.client import TracingClient

    def refuse(*_):
        raise MlflowException("no traces here")

    monkeypatch.setattr(TracingClient, "start_trace", refuse)
    with caplog.at_level(logging.WARNING, "opal"):
        run_id = log(tracking)
    assert "lacks traces or prompt: the MLflow store" in caplog.text and "no traces here" in caplog.text
    assert tracking.client.get_run(run_id).data.tags["opal.status"] == "finished"


def test_a_run_is_complete_where_its_requests_have_another_form(tracking, caplog):
    def write(folder):
        (folder / "prompts").mkdir()
        (folder / "prompts" / "seed_1.jsonl").write_text('{"asked": "x"}\n')

    with caplog.at_level(logging.WARNING, "opal"), tracking.claim("a" * 64):
        run_id = tracking.log(trials.record(traces=True, prompt=PROMPT), write)
    assert "lacks traces or prompt" in caplog.text and "prompts is damaged" in caplog.text
    assert tracking.client.get_run(run_id).data.tags["opal.status"] == "finished"


def test_a_result_logged_later_has_them(tracking):
    record = trials.record(traces=True, prompt=PROMPT)
    folder = pending.keep(tracking.mlruns, record, lambda place: trials.write_requests(place, 2))
    run_id = tracking.log_pending(folder)
    assert len(found(tracking, run_id)) == 2
    assert "mlflow.linkedPrompts" in tracking.client.get_run(run_id).data.tags
