"""What providers do differently: how a constraint is written, what they count, which fields do not affect an answer.

A new provider's peculiarity belongs here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opal.llm.api.gbnf import gbnf

# Ways to hold an answer to a regular expression: llama.cpp with LLGuidance; any llama.cpp; vLLM; vLLM before 0.11.
GRAMMARS = ("llguidance", "gbnf", "structured_outputs", "guided_regex")
# Those that are safe to probe. A llama.cpp server without LLGuidance, the default of its build, ends itself when it is
# sent a grammar that begins with %llguidance (llama.cpp issue 25960).
HARMLESS_GRAMMARS = ("gbnf", "structured_outputs", "guided_regex")

_GRAMMAR_FIELDS = ("grammar", "structured_outputs", "guided_regex")

# Fields of a request's body that do not affect the answer; every other field of `llm.extra_body` counts in its key.
DECIDES_NOTHING = frozenset(["cache_prompt", "id_slot", "service_tier"])  # llama.cpp's two, OpenAI's

FLEX_TIMEOUT = 900.0  # seconds that OpenAI advises for service_tier=flex (its guide "Flex processing", November 2026)
NO_CAPACITY = 498  # Groq's status where the flex tier is full (its guide of the same name, November 2026)

# llama-cpp-python 0.3 answers with status 500 where it means 422: a field's value is not one that it knows.
WRONG_FIELD = re.compile(r"validation error.*literal_error", re.DOTALL)

NO_CREDIT = ("insufficient_quota", "billing")  # in the code or text of an error: waiting does not help


def regex_fields(regex: str, grammar: str) -> dict[str, Any]:
    """Body fields that hold an answer to a regular expression, in one of `GRAMMARS`."""
    if grammar == "llguidance":
        escaped = regex.replace("/", r"\/")
        return {"grammar": f"%llguidance {{}}\nstart: /{escaped}/\n"}
    if grammar == "gbnf":
        return {"grammar": gbnf(regex)}
    return {"structured_outputs": {"regex": regex}} if grammar == "structured_outputs" else {"guided_regex": regex}


def schema_fields(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Body fields that hold a chat answer to a JSON schema."""
    form = {"name": "rows", "strict": True, "schema": dict(schema)}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def schema_of(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The JSON schema in a chat request's body, or None."""
    form = body.get("response_format")
    found = form.get("json_schema") if isinstance(form, Mapping) else None
    return found["schema"] if isinstance(found, Mapping) else None


def refuted_by(name: str, sent: Mapping[str, Any]) -> str | None:
    """The capability (`opal.llm.api.capabilities.Capabilities`) that an endpoint lacks which refuses this field."""
    if name == "response_format":
        form = sent[name]
        return str(form.get("type")) if isinstance(form, Mapping) else None
    return name if name in ("seed", "n") else "grammar" if name in _GRAMMAR_FIELDS else None


def renamed_to(name: str, text: str) -> str | None:
    """The other name that an error suggests for a field: "Use 'max_completion_tokens' instead" (OpenAI, Azure)."""
    found = re.search(r"[Uu]se ['\"`](\w+)['\"`] instead", text)
    return found[1] if found and found[1] != name else None


def reasoned(answer: Mapping[str, Any]) -> bool:
    """Whether an answer holds reasoning and, its limit being used up, no text."""
    choices = answer.get("choices") or ()
    return bool(choices) and all(not text_of(c).strip() and finish_of(c, answer) == "reasoning" for c in choices)


def finish_of(choice: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """Why a choice ended: the endpoint's word, or ``refusal``, or ``reasoning`` where that used up the limit."""
    said = str(choice.get("finish_reason") or "unknown")
    message = choice.get("message")
    if text_of(choice).strip() or not isinstance(message, Mapping):
        return said
    if message.get("refusal"):  # OpenAI
        return "refusal"
    # reasoning_content: DeepSeek, vLLM, llama.cpp; reasoning: OpenRouter, Ollama
    thought = message.get("reasoning_content") or message.get("reasoning") or reasoning_tokens(answer.get("usage"))
    return "reasoning" if said == "length" and thought else said


def reasoning_tokens(usage: Any) -> int:
    """Tokens of the answer that went into reasoning; they are among its completion tokens."""
    return _detail(usage, "completion_tokens_details", "reasoning_tokens")


def text_of(choice: Mapping[str, Any]) -> str:
    """The text of one choice of a chat or completion answer."""
    message = choice.get("message")
    text = message.get("content") if isinstance(message, Mapping) else choice.get("text")
    return text if isinstance(text, str) else ""


def cached_tokens(usage: Any) -> int:
    """Prompt tokens that came from the provider's cache."""
    # the latter: DeepSeek
    return _detail(usage, "prompt_tokens_details", "cached_tokens") or count(usage, "prompt_cache_hit_tokens") or 0


def cache_write_tokens(usage: Any) -> int:
    """Prompt tokens that were written to the provider's cache, where that is billed (OpenAI since GPT-5.6)."""
    return _detail(usage, "prompt_tokens_details", "cache_write_tokens")


def _detail(usage: Any, part: str, name: str) -> int:
    return count(usage.get(part) if isinstance(usage, Mapping) else None, name) or 0


def count(said: Any, name: str) -> int | None:
    """A number of tokens in an answer, or None where it holds none."""
    value = said.get(name) if isinstance(said, Mapping) else None
    return value if isinstance(value, int) and value >= 0 else None


def tokenize_url(base_url: str) -> str:
    """Where a llama.cpp server counts tokens."""
    return f"{base_url.rstrip('/').removesuffix('/v1')}/tokenize"


def recount(
    answer: dict[str, Any], texts: Sequence[str], finish: Sequence[str], tokenize: Callable[[Sequence[str]], int]
) -> None:
    """Correct the usage of a llama.cpp server, which counts the tokens of one answer among several.

    Parameters
    ----------
    texts, finish : of the answer's choices
    tokenize : texts -> tokens in them, without the token that ends an answer
    """
    if "timings" in answer and len(texts) > 1 and isinstance(answer.get("usage"), dict):
        answer["usage"]["completion_tokens"] = tokenize(texts) + list(finish).count("stop")
