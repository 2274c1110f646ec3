"""The wire format: what is sent for a request, and what an answer says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opal.errors import ConfigError
from opal.llm.api.budget import count_tokens, prompt_tokens
from opal.llm.api.messages import Constraint, Mode, Request

if TYPE_CHECKING:
    from opal.llm.api.capabilities import Capabilities


def bodies(
    request: Request, model: str, can: Capabilities, chat: bool, extra: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], Mode]:
    """What is sent for a request: one body, or one an answer where the endpoint gives one at a time.

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
    """The strictest form of ``constraint`` that the endpoint can apply, as fields of the request's body."""
    if constraint is None:
        return {}, "free"
    regex, schema = constraint.regex, constraint.json_schema
    if regex is not None and can.grammar is not None:
        return regex_fields(regex, can.grammar), "grammar"
    if schema is not None and can.json_schema and chat:
        form = {"name": "rows", "strict": True, "schema": dict(schema)}
        return {"response_format": {"type": "json_schema", "json_schema": form}}, "schema"
    if schema is not None and can.grammar == "llguidance":
        return {"grammar": f"%llguidance {{}}\nstart: %json {json.dumps(dict(schema))}\n"}, "schema"
    if schema is not None and can.json_object and chat:
        return {"response_format": {"type": "json_object"}}, "json"
    return {}, "free"


def regex_fields(regex: str, grammar: str) -> dict[str, Any]:
    """Body fields that hold an answer to a regular expression."""
    if grammar == "llguidance":
        escaped = regex.replace("/", r"\/")
        return {"grammar": f"%llguidance {{}}\nstart: /{escaped}/\n"}
    return {"structured_outputs": {"regex": regex}} if grammar == "structured_outputs" else {"guided_regex": regex}


def choices_of(answer: Any) -> list[dict[str, Any]]:
    """The choices of an answer; none, if it is not one."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    well = isinstance(choices, list) and all(isinstance(c, dict) for c in choices)
    return choices if well and choices else []


def read_answer(answer: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Texts and finish reasons of an answer's choices, in the order of their index."""
    choices = sorted(answer["choices"], key=lambda c: c["index"] if isinstance(c.get("index"), int) else 0)
    return [text_of(c) for c in choices], [str(c.get("finish_reason") or "unknown") for c in choices]


def text_of(choice: Mapping[str, Any]) -> str:
    """The text of one choice of a chat or completion answer."""
    message = choice.get("message")
    text = message.get("content") if isinstance(message, Mapping) else choice.get("text")
    return text if isinstance(text, str) else ""


def tokens_of(answer: Mapping[str, Any], request: Request | None = None) -> tuple[int, int, int]:
    """Tokens of an answer: prompt, completion, prompt from cache; counted roughly where the endpoint does not say."""
    said = answer.get("usage")
    prompt, completion = _count(said, "prompt_tokens"), _count(said, "completion_tokens")
    if prompt is None:
        prompt = prompt_tokens(request) if request else 0
    if completion is None:
        completion = sum(map(count_tokens, read_answer(answer)[0]))
    details = said.get("prompt_tokens_details") if isinstance(said, Mapping) else None
    cached = _count(details, "cached_tokens") or _count(said, "prompt_cache_hit_tokens") or 0  # the latter: DeepSeek
    return prompt, completion, min(prompt, cached)


def _count(said: Any, name: str) -> int | None:
    value = said.get(name) if isinstance(said, Mapping) else None
    return value if isinstance(value, int) and value >= 0 else None


def recount(answer: dict[str, Any], tokenize: Callable[[Sequence[str]], int]) -> None:
    """Mend the usage of a llama.cpp server, which counts the tokens of one answer among several.

    Parameters
    ----------
    tokenize : texts -> tokens in them, which leaves out the one that ends an answer
    """
    texts, finish = read_answer(answer)
    if "timings" in answer and len(texts) > 1 and isinstance(answer.get("usage"), dict):
        answer["usage"]["completion_tokens"] = tokenize(texts) + finish.count("stop")
