"""OpenAI's Responses API as if it were chat: for models that have nothing else (`llm.api=responses`).

Written from developers.openai.com/api/reference (responses, create), November 2026. It gives one answer per request and
takes no seed; nothing is stored at the provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LIMITS = ("max_completion_tokens", "max_tokens")
# How errors name the fields of a chat request.
NAMES = {"max_output_tokens": LIMITS[0], "reasoning": "reasoning_effort", "text": "response_format"}
LACKING: dict[str, Any] = {"seed": False, "n": False}  # of `opal.llm.api.capabilities.Capabilities`


def from_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a Responses request that asks for the same as a chat request."""
    rest = {k: v for k, v in body.items() if k not in ("messages", "n", "seed", *LIMITS)}
    limit = next((body[name] for name in LIMITS if name in body), None)
    asked: dict[str, Any] = {"input": [dict(m) for m in body["messages"]], "store": False}
    if limit is not None:
        asked["max_output_tokens"] = limit
    if effort := rest.pop("reasoning_effort", None):
        asked["reasoning"] = {"effort": effort}
    if form := rest.pop("response_format", None):
        schema = form.get("json_schema")
        asked["text"] = {"format": {"type": "json_schema", **schema} if schema else {"type": form["type"]}}
    return rest | asked


def to_chat(answer: Any) -> Any:
    """An answer of the Responses API in the shape of a chat answer; anything else as it is."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("output"), list):
        return answer
    parts = [
        part
        for item in answer["output"]
        if isinstance(item, Mapping) and item.get("type") == "message"
        for part in item.get("content") or ()
        if isinstance(part, Mapping)
    ]
    text = "".join(str(p.get("text", "")) for p in parts if p.get("type") == "output_text")
    refusal = "".join(str(p.get("refusal", "")) for p in parts if p.get("type") == "refusal")
    why = (answer.get("incomplete_details") or {}).get("reason")
    finish = {"max_output_tokens": "length", None: "stop"}.get(why, why)
    message = {"role": "assistant", "content": text, "refusal": refusal or None}
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": _usage(answer.get("usage")),
    }


def _usage(said: Any) -> dict[str, Any] | None:
    if not isinstance(said, Mapping):
        return None
    return {
        "prompt_tokens": said.get("input_tokens"),
        "completion_tokens": said.get("output_tokens"),
        "prompt_tokens_details": said.get("input_tokens_details"),
        "completion_tokens_details": said.get("output_tokens_details"),
    }
