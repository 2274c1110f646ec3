"""One request to a language model and its answer: the values that client, store and generator share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from opal.llm.api.schema import without
from opal.result import Usage

Mode = Literal["schema", "grammar", "json", "free"]


@dataclass(frozen=True)
class Constraint:
    """The form that every answer must have; a client uses the strictest one that the endpoint takes.

    Parameters
    ----------
    json_schema : for ``response_format={"type": "json_schema"}``, or None
    regex : for llama.cpp (LLGuidance) and vLLM, or None
    """

    json_schema: Mapping[str, Any] | None = None
    regex: str | None = None

    def unbounded(self) -> Constraint:
        """As it was before November 2026, when schemas held no limits of numbers."""
        schema = self.json_schema and without(self.json_schema, {"minimum", "maximum"})
        return Constraint(schema, self.regex)


@dataclass(frozen=True)
class Request:
    """Everything that determines an answer, and nothing else (no address, key, timeout or concurrency).

    Parameters
    ----------
    model : the name sent to the endpoint; for local weights it holds their digest
    messages : chat messages ``({"role":, "content":}, ...)``, or None for a base model
    prompt : text to continue, or None for a chat model
    sampling : temperature, top_p, max_tokens, stop, seed, ...
    n : answers wanted from this one request
    draw : tells requests apart that are equal in all else
    """

    model: str
    messages: tuple[Mapping[str, str], ...] | None = None
    prompt: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    constraint: Constraint | None = None
    n: int = 1
    draw: int = 0

    def canonical(self) -> dict[str, Any]:
        """The request as plain JSON types, keys sorted: what the store keeps and hashes."""
        constraint = self.constraint
        plain = {
            "model": self.model,
            "messages": None if self.messages is None else [dict(m) for m in self.messages],
            "prompt": self.prompt,
            "sampling": dict(self.sampling),
            "constraint": constraint and {"json_schema": constraint.json_schema, "regex": constraint.regex},
            "n": self.n,
            "draw": self.draw,
        }
        return json.loads(json.dumps(plain, sort_keys=True))

    @property
    def key(self) -> str:
        """SHA-256 (hex) of the canonical request: its address in the store."""
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Response:
    """The answers to one request, as they came."""

    request: Request
    texts: tuple[str, ...]
    finish: tuple[str, ...]  # one per text: stop | length | content_filter | ...
    usage: Usage
    mode: Mode  # the constraint that the endpoint applied
    cached: bool = False  # came from the store
    created: str = ""  # ISO time of the call that made it
    kept_as: str = ""  # its key in the store, where that is not the request's

    def record(self) -> dict[str, Any]:
        """The exchange as plain JSON types, for the run's record of its prompts."""
        request = self.request
        return {
            "key": self.kept_as or request.key,
            "model": request.model,
            "messages": request.messages and [dict(m) for m in request.messages],
            "prompt": request.prompt,
            "sampling": dict(request.sampling),
            "n": request.n,
            "draw": request.draw,
            "texts": list(self.texts),
            "finish": list(self.finish),
            "mode": self.mode,
            "usage": self.usage.as_dict(),
            "cached": self.cached,
            "created": self.created,
        }
