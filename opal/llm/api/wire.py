"""The wire format: what is sent for a request, and what an answer says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from opal.errors import ConfigError
from opal.llm.api.budget import count_tokens, prompt_tokens
from opal.llm.api.capabilities import Capabilities
from opal.llm.api.dialects import (
    cache_write_tokens,
    cached_tokens,
    count,
    finish_of,
    regex_fields,
    schema_fields,
    text_of,
)
from opal.llm.api.messages import Constraint, Mode, Request


def bodies(
    request: Request, model: str, can: Capabilities, chat: bool, extra: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], Mode]:
    """The bodies sent for a request: one, or one per answer where the endpoint gives one at a time.

    Parameters
    ----------
    extra : fields of every request

    Raises
    ------
    ConfigError : the prompt is for the other kind of model
    """
    if (request.messages is None) == chat:
        kind, other = ("chat", "completion") if chat else ("completion", "chat")
        raise ConfigError(f"llm.api={kind}, but the prompt is for a {other} model: choose another prompt or llm.api")
    fields, mode = constrain(request.constraint, can, chat)
    body: dict[str, Any] = {"model": model}
    body |= {"messages": [dict(m) for m in request.messages or ()]} if chat else {"prompt": request.prompt}
    body |= {**request.sampling, **fields, **extra}
    if not can.seed:
        body.pop("seed", None)
    if request.n == 1:
        return [body], mode
    if can.n:
        return [body | {"n": request.n}], mode
    seeds = [{"seed": body["seed"] + i} if "seed" in body else {} for i in range(request.n)]
    return [body | seed for seed in seeds], mode


def constrain(constraint: Constraint | None, can: Capabilities, chat: bool) -> tuple[dict[str, Any], Mode]:
    """The strictest form of ``constraint`` that the endpoint supports, as fields of the request's body."""
    if constraint is None:
        return {}, "free"
    regex, schema = constraint.regex, constraint.json_schema
    if regex is not None and can.grammar is not None:
        return regex_fields(regex, can.grammar), "grammar"
    if schema is not None and can.json_schema and chat:
        return schema_fields(schema), "schema"
    if schema is not None and can.grammar == "llguidance":
        return {"grammar": f"%llguidance {{}}\nstart: %json {json.dumps(dict(schema))}\n"}, "schema"
    if schema is not None and can.json_object and chat:
        return {"response_format": {"type": "json_object"}}, "json"
    return {}, "free"


def choices_of(answer: Any) -> list[dict[str, Any]]:
    """The choices of an answer; empty if it is malformed."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    well = isinstance(choices, list) and all(isinstance(c, dict) for c in choices)
    return choices if well and choices else []


def read_answer(answer: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Texts and finish reasons of an answer's choices, in the order of their index."""
    choices = sorted(answer["choices"], key=lambda c: c["index"] if isinstance(c.get("index"), int) else 0)
    return [text_of(c) for c in choices], [finish_of(c, answer) for c in choices]


def tokens_of(answer: Mapping[str, Any], request: Request | None = None) -> tuple[int, int, int, int]:
    """Tokens of an answer: prompt, completion, prompt from cache and into it; estimated where not told."""
    said = answer.get("usage")
    prompt, completion = count(said, "prompt_tokens"), count(said, "completion_tokens")
    if prompt is None:
        prompt = prompt_tokens(request) if request else 0
    if completion is None:
        completion = sum(map(count_tokens, read_answer(answer)[0]))
    cached = min(prompt, cached_tokens(said))
    return prompt, completion, cached, min(prompt - cached, cache_write_tokens(said))
