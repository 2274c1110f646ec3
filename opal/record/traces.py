"""A run's requests as MLflow traces (`tracking.traces=true`), made from the exchanges that its artifacts keep.

Not recorded while the model answers: answers from the store would be missing. An exchange holds messages, answers and
settings, and neither key nor header.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opal.record.provenance import readable

if TYPE_CHECKING:
    from mlflow.entities import Span, TraceInfo

PROMPTS = "prompts"  # the artifacts' folder that holds the exchanges
MOST = 100  # traces of a run: each takes a moment and some kilobytes of the database
AT_ONCE = 25  # spans in one transaction
LONGEST = 20_000  # characters of a message or an answer
PREVIEW = 1000  # characters in the UI's list, MLflow's own limit
FACTS = ("group", "key", "sampling", "n", "draw", "mode", "cached", "created", "rows")


def write(uri: str, experiment_id: str, run_id: str, artifacts: Path) -> None:
    """Write the first `MOST` exchanges as traces of the run."""
    from mlflow.tracing.client import TracingClient

    client = TracingClient(uri)  # the documented functions write in the background, and only log their faults
    with readable(artifacts / PROMPTS):  # a method of somebody else's may record its requests in another form
        made = [trace(experiment_id, run_id, stage, said) for stage, said in islice(exchanges(artifacts), MOST)]
    for i in range(0, len(made), AT_ONCE):
        some = made[i : i + AT_ONCE]
        for info, _ in some:
            client.start_trace(info)
        client.log_spans(experiment_id, [span for _, span in some])


def exchanges(artifacts: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(what for, exchange) of every request: those for rows by seed, then the others."""

    def place(path: Path) -> tuple[bool, int, str]:
        start, _, seed = path.stem.partition("_")
        return (False, int(seed), "") if start == "seed" else (True, 0, path.stem)

    for path in sorted((artifacts / PROMPTS).glob("*.jsonl"), key=place):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                yield path.stem, json.loads(line)


def trace(experiment_id: str, run_id: str, stage: str, said: Mapping[str, Any]) -> tuple[TraceInfo, Span]:
    """MLflow's form of an exchange. Its time is that of the call that made the answer, however long ago."""
    from mlflow.entities import Span, TraceInfo, TraceLocation, TraceState

    usage = said["usage"]
    tokens = {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}
    tokens |= {"total_tokens": sum(tokens.values())}
    if usage.get("cached_tokens"):
        tokens["cache_read_input_tokens"] = usage["cached_tokens"]
    if usage.get("cache_write_tokens"):
        tokens["cache_creation_input_tokens"] = usage["cache_write_tokens"]
    answer = datetime.fromisoformat(said["created"]) if said["created"] else datetime.now(UTC)
    end = int(answer.timestamp() * 1e9)
    start = end - int(usage["seconds"] * 1e9)
    number = uuid.uuid4()
    trace_id = f"tr-{number.hex}"
    attributes = {
        "mlflow.traceRequestId": trace_id,
        "mlflow.spanType": "CHAT_MODEL" if said["messages"] else "LLM",
        "mlflow.spanInputs": asked(said),
        "mlflow.spanOutputs": answered(said),
        "mlflow.chat.tokenUsage": tokens,
        "mlflow.llm.model": said["model"],
        **{f"opal.{fact}": said[fact] for fact in FACTS if said.get(fact) is not None},
    }
    if said["messages"]:
        attributes["mlflow.message.format"] = "openai"
    span = {
        "trace_id": base64.b64encode(number.bytes).decode(),
        "span_id": base64.b64encode(number.bytes[:8]).decode(),
        "parent_span_id": None,
        "name": stage,
        "start_time_unix_nano": start,
        "end_time_unix_nano": end,
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {name: json.dumps(value, ensure_ascii=False) for name, value in attributes.items()},
    }
    last = said["messages"][-1]["content"] if said["messages"] else said["prompt"]
    info = TraceInfo(
        trace_id,
        TraceLocation.from_experiment_id(experiment_id),
        request_time=start // 1_000_000,
        state=TraceState.OK,
        request_preview=str(last)[:PREVIEW],
        response_preview="\n".join(said["texts"])[:PREVIEW],
        execution_duration=(end - start) // 1_000_000,
        trace_metadata={
            "mlflow.sourceRun": run_id,
            "mlflow.trace.tokenUsage": json.dumps(tokens),
            "mlflow.trace_schema.version": "3",
        },
        tags={"mlflow.traceName": stage, "mlflow.trace.spansLocation": "TRACKING_STORE"},
    )
    return info, Span.from_dict(span)


def asked(said: Mapping[str, Any]) -> dict[str, Any]:
    """The request as OpenAI's protocol has it."""
    if said["messages"]:
        return {"messages": [{**m, "content": cut(m["content"])} for m in said["messages"]]}
    return {"prompt": cut(said["prompt"])}


def answered(said: Mapping[str, Any]) -> dict[str, Any]:
    """The answer as OpenAI's protocol has it, one choice for each text."""
    choices = []
    for i, (text, finish) in enumerate(zip(said["texts"], said["finish"], strict=True)):
        body = {"message": {"role": "assistant", "content": cut(text)}} if said["messages"] else {"text": cut(text)}
        choices.append({"index": i, "finish_reason": finish, **body})
    return {"choices": choices}


def cut(text: str) -> str:
    """At most `LONGEST` characters; the run's artifacts have the whole text."""
    more = len(text) - LONGEST
    return text if more <= 0 else f"{text[:LONGEST]} ... ({more} characters more in the artifacts, under prompts/)"
