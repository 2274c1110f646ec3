"""A FAKE api.openai.com for tests that refuses what the real one refuses, so that a wrong request fails loudly.

Written from the API reference (developers.openai.com/api/reference, chat completions), the guides on reasoning and on
structured outputs, and errors that users quote; looked up on 2026-11-28. Reasoning models: names that begin with gpt-5,
gpt-6 or o.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fake_server import FakeLLM, Reply, Status

KNOWN = frozenset(
    re.findall(
        r"\w+",
        """
        model messages audio frequency_penalty logit_bias logprobs max_completion_tokens max_tokens metadata
        modalities n parallel_tool_calls prediction presence_penalty prompt_cache_key reasoning_effort
        response_format safety_identifier seed service_tier stop store stream stream_options temperature
        tool_choice tools top_logprobs top_p user verbosity
        """,
    )
)
KNOWN_RESPONSES = frozenset(
    re.findall(
        r"\w+",
        """background conversation include input instructions max_output_tokens max_tool_calls metadata model
        parallel_tool_calls previous_response_id prompt prompt_cache_key reasoning safety_identifier service_tier store
        stream stream_options temperature text tool_choice tools top_logprobs top_p truncation user""",
    )
)
NOT_WHILE_REASONING = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "n": None}
NEVER = ("logprobs", "top_logprobs", "logit_bias", "stop")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
REASONING = 300  # tokens that it reasons for


class StrictOpenAI(FakeLLM):
    """``answer(body)`` gives the text; see :class:`FakeLLM`.

    Parameters
    ----------
    efforts : values of ``reasoning_effort`` that the reasoning models take
    lacks : keywords that schemas may not hold, as with Azure and fine-tuned models
    """

    def __init__(
        self, answer: Any, efforts: tuple[str, ...] = EFFORTS, lacks: tuple[str, ...] = (), **more: Any
    ) -> None:
        super().__init__(answer=lambda body: self.reply(body, answer(body)), **more)
        self.efforts, self.lacks = efforts, lacks

    def refusal(self, body: dict[str, Any]) -> Status | None:
        form = body.get("response_format") or (body.get("text") or {}).get("format") or {}
        for node in nodes(form.get("json_schema", form).get("schema")):
            if found := sorted(set(self.lacks) & set(node)):
                return bad_schema(f"'{found[0]}' is not permitted.", "('properties', 'rows', 'items')")
        if "input" in body:
            return self.refusal_of_responses(body)
        for name in sorted(set(body) - KNOWN):
            return Status(400, "unknown_parameter", f"Unknown parameter: '{name}'.", param=name)
        if reasons(body["model"]):
            return self.refusal_of_reasoning(body) or schema_refusal(body)
        if "reasoning_effort" in body:
            return Status(400, None, "Unrecognized request argument supplied: reasoning_effort")
        return schema_refusal(body)

    def refusal_of_responses(self, body: dict[str, Any]) -> Status | None:
        for name in sorted(set(body) - KNOWN_RESPONSES):
            return Status(400, "unknown_parameter", f"Unknown parameter: '{name}'.", param=name)
        if body.get("max_output_tokens", 16) < 16:
            text = "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16"
            return Status(400, "integer_below_min_value", text, param="max_output_tokens")
        effort = (body.get("reasoning") or {}).get("effort")
        if reasons(body["model"]) and effort != "none" and body.get("temperature", 1) != 1:
            return unsupported("temperature")
        form = (body.get("text") or {}).get("format") or {"type": "text"}
        if form["type"] == "json_schema":
            return schema_refusal({"response_format": {"type": "json_schema", "json_schema": form}})
        return None

    def refusal_of_reasoning(self, body: Mapping[str, Any]) -> Status | None:
        if "max_tokens" in body:
            return unsupported("max_tokens", " Use 'max_completion_tokens' instead.")
        if (effort := body.get("reasoning_effort")) is not None and effort not in self.efforts:
            text = f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this model."
            return Status(400, "unsupported_value", text, param="reasoning_effort")
        for name in NEVER:
            if name in body:
                return unsupported(name)
        for name, default in NOT_WHILE_REASONING.items() if effort != "none" else ():
            if name in body and default is not None and body[name] != default:
                text = f"Unsupported value: '{name}' does not support {body[name]} with this model. Only the default"
                return Status(400, "unsupported_value", f"{text} ({default}) value is supported.", param=name)
        return None

    def reply(self, body: Mapping[str, Any], text: str) -> Reply:
        effort = body.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort")
        if not reasons(body["model"]) or effort == "none":
            return Reply([text] * body.get("n", 1))
        given = body.get("max_completion_tokens", body.get("max_output_tokens", 10**6))
        limit, needed = given, REASONING + len(text) // 4 + 1
        cut = limit < needed
        usage = {
            "completion_tokens": min(limit, needed),
            "completion_tokens_details": {"reasoning_tokens": min(limit, REASONING)},
        }
        return Reply(["" if cut else text], finish="length" if cut else "stop", usage=usage)


def reasons(model: str) -> bool:
    return re.match(r"gpt-[56]|o\d", model) is not None


def unsupported(name: str, more: str = "") -> Status:
    text = f"Unsupported parameter: '{name}' is not supported with this model.{more}"
    return Status(400, "unsupported_parameter", text, param=name)


def schema_refusal(body: Mapping[str, Any]) -> Status | None:
    """Rules of strict structured outputs."""
    form = body.get("response_format") or {}
    if form.get("type") != "json_schema":
        return None
    given = form["json_schema"]
    if not re.fullmatch(r"[\w-]{1,64}", given["name"]):
        return Status(400, "invalid_value", "invalid name", param="response_format.json_schema.name")
    values = characters = 0
    for node in nodes(given["schema"]):
        if node.get("type") == "object" and given.get("strict"):
            if node.get("additionalProperties") is not False:
                return bad_schema("'additionalProperties' is required to be supplied and to be false.")
            if set(node.get("required", ())) != set(node.get("properties", {})):
                return bad_schema("'required' is required to be supplied and to be an array including every key.")
        if {"allOf", "not", "if", "dependentRequired", "patternProperties", "default"} & set(node):
            return bad_schema("a keyword is not permitted.")
        values += len(node.get("enum", ()))
        characters += sum(map(len, map(str, (*node.get("enum", ()), *node.get("properties", ())))))
    return bad_schema("too many enum values or characters") if values > 1000 or characters > 120_000 else None


def bad_schema(why: str, context: str = "()") -> Status:
    text = f"Invalid schema for response_format 'rows': In context={context}, {why}"
    return Status(400, "invalid_json_schema", text, param="response_format")


def nodes(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [node for part in schema for node in nodes(part)]
    if not isinstance(schema, dict):
        return []
    inner = [node for key, part in schema.items() if key not in ("enum", "const") for node in nodes(part)]
    return [schema, *inner] if {"type", "anyOf", "$ref", "enum"} & set(schema) else inner
